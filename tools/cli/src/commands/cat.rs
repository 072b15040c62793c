//! `sluice cat`: plaintext out, on any system.

use std::{fs::OpenOptions, io::Write, path::Path};

use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    args::Cat,
    failure::Failure,
    image::Image,
    output::{Report, size},
    plain::Plain,
    progress,
    secret::volume_key,
};

/// Bytes that are read and decrypted at once.
const CHUNK: u64 = 1 << 20;

pub(crate) fn run(args: &Cat) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, false)?;
    let copies = image.copies();
    let (header, _) = image.header(&copies)?;
    let range = range(args, header.volume_bytes())?;
    let key = volume_key(&header, &args.secret)?;
    let mut plain = Plain::open(&image, &header, &key)?;
    let sector = u64::from(header.sector_size());
    let written = range.end - range.start;
    match &args.output {
        None => {
            let name = Path::new("standard output");
            copy(&mut plain, sector, range, name, &mut std::io::stdout().lock())?;
        }
        Some(path) => {
            let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|source| {
                if source.kind() == std::io::ErrorKind::AlreadyExists {
                    Failure::Exists { path: path.clone() }
                } else {
                    Failure::Open { path: path.clone(), source }
                }
            })?;
            let copied = copy(&mut plain, sector, range, path, &mut file)
                .and_then(|()| file.sync_all().map_err(|e| Failure::io("flush", path, e)));
            if copied.is_err() {
                // A part of a volume could be taken for the whole.
                let _ = std::fs::remove_file(path);
            }
            copied?;
        }
    }
    Ok(Report::new(format!("{} decrypted.", size(written)), json!({"bytes": written})))
}

fn range(args: &Cat, size: u64) -> Result<std::ops::Range<u64>, Failure> {
    let end = args.length.map_or(Some(size), |length| args.offset.checked_add(length));
    match end {
        Some(end) if end <= size && args.offset <= end => Ok(args.offset..end),
        end => Err(Failure::Range { offset: args.offset, end: end.unwrap_or(u64::MAX), size }),
    }
}

/// Reads `range` of the volume, whole sectors at a time, and writes just the bytes asked for.
fn copy(
    plain: &mut Plain<'_>,
    sector: u64,
    range: std::ops::Range<u64>,
    name: &Path,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let bar = progress::bytes(range.end - range.start, "Decrypting");
    let mut buffer = Zeroizing::new(vec![0; CHUNK as usize]);
    let mut at = range.start / sector * sector;
    while at < range.end {
        let length = CHUNK.min(range.end.next_multiple_of(sector) - at) as usize;
        let chunk = &mut buffer[..length];
        plain.read(at, chunk)?;
        let from = range.start.saturating_sub(at).min(length as u64) as usize;
        let to = (range.end - at).min(length as u64) as usize;
        out.write_all(&chunk[from..to]).map_err(|e| Failure::io("write to", name, e))?;
        bar.inc((to - from) as u64);
        at += length as u64;
    }
    bar.finish_and_clear();
    out.flush().map_err(|e| Failure::io("write to", name, e))
}
