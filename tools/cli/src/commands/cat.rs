//! `sluice cat`: plaintext out, on any system.

use std::{fs::OpenOptions, io::Write, path::Path};

use serde_json::json;
use sluice_chain::bytes::Target;
use sluice_engine::{
    format::Header,
    volume::{InPlace, Kind},
};
use sluice_xts::{Backend, Xts256};
use zeroize::Zeroizing;

use crate::{
    args::Cat,
    failure::Failure,
    image::Image,
    mapped::ReadOnly,
    output::{Report, size},
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
    let mut in_place;
    let mut mapped;
    let read: &mut Read<'_> = match header.kind() {
        Kind::InPlace(place) => {
            let cipher = Xts256::new(key.as_bytes(), Backend::detect()).map_err(|_| Failure::Tampered)?;
            in_place = decrypting(&image, header, place, cipher);
            &mut in_place
        }
        Kind::Mapped(of) => {
            let mut volume = ReadOnly::open(&image, &header, &of, &key)?;
            mapped = move |offset, into: &mut [u8]| volume.read(offset, into);
            &mut mapped
        }
    };
    let sector = u64::from(header.sector_size());
    let written = range.end - range.start;
    match &args.output {
        None => {
            let name = Path::new("standard output");
            copy(read, sector, range, name, &mut std::io::stdout().lock())?;
        }
        Some(path) => {
            let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|source| {
                if source.kind() == std::io::ErrorKind::AlreadyExists {
                    Failure::Exists { path: path.clone() }
                } else {
                    Failure::Open { path: path.clone(), source }
                }
            })?;
            let copied = copy(read, sector, range, path, &mut file)
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

/// Fills a buffer with plaintext from a byte of the volume on, whole sectors.
type Read<'a> = dyn FnMut(u64, &mut [u8]) -> Result<(), Failure> + 'a;

/// The plaintext of a volume in place.
fn decrypting<'a>(
    image: &'a Image,
    header: Header<'a>,
    place: InPlace,
    cipher: Xts256,
) -> impl FnMut(u64, &mut [u8]) -> Result<(), Failure> + 'a {
    move |offset, into| {
        image.read(header.data_offset() + offset, into)?;
        let sector = place.sector_size;
        let end = offset + into.len() as u64;
        let decrypted =
            cipher.decrypt_in_place(offset / u64::from(sector), sector as usize, Target::from(into));
        decrypted.map_err(|_| Failure::Range { offset, end, size: header.volume_bytes() })
    }
}

/// Reads `range` of the volume, whole sectors at a time, and writes just the bytes asked for.
fn copy(
    read: &mut Read<'_>,
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
        read(at, chunk)?;
        let from = range.start.saturating_sub(at).min(length as u64) as usize;
        let to = (range.end - at).min(length as u64) as usize;
        out.write_all(&chunk[from..to]).map_err(|e| Failure::io("write to", name, e))?;
        bar.inc((to - from) as u64);
        at += length as u64;
    }
    bar.finish_and_clear();
    out.flush().map_err(|e| Failure::io("write to", name, e))
}
