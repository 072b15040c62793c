//! `sluice convert --to`: what a disk, an image or a volume holds, as a new volume or plainly in another place.
//!
//! While a volume is being filled, both copies of its header are marked: nothing takes it for one. If that is interrupted, it
//! is of no use, and is begun anew.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
};

use serde_json::json;
use sluice_engine::format::{Header, Probe};
use sluice_mapped::units::BLOCK;
use zeroize::Zeroizing;

use crate::{
    args::Convert,
    commands::format::{self, New, prepare},
    convert::record::{Mark, marked},
    failure::Failure,
    image::Image,
    mapped::Filling,
    output::{Report, size},
    plain::{self, Plain},
    progress,
    secret::volume_key,
    stop::Stop,
};

const MIB: u64 = 1 << 20;
/// Bytes that are copied at once.
const CHUNK: u64 = MIB;

pub(super) fn run(args: &Convert, target: &Path) -> Result<Report, Failure> {
    let image = Image::open(&args.source, false)?;
    let copies = image.copies();
    let mut source = match image.probe(&copies) {
        Probe::None => Source { image: &image, bytes: image.bytes, plain: None },
        _ => {
            let (header, _) = image.header(&copies)?;
            let key = volume_key(&header, &args.source_secret())?;
            let plain = Plain::open(&image, &header, &key)?;
            Source { image: &image, bytes: header.volume_bytes(), plain: Some(plain) }
        }
    };
    if source.bytes == 0 {
        return Err(Failure::Unconvertible { path: image.path.clone(), what: "it is empty".into() });
    }
    // A part could be taken for the whole: until it is that, a raw image has another name.
    let named = if args.raw && !target.exists() && !sluice_backend::is_uri(target) {
        let mut name = target.as_os_str().to_owned();
        name.push(".unfinished");
        PathBuf::from(name)
    } else {
        target.to_owned()
    };
    let apart = named != target;
    if apart {
        let _ = std::fs::remove_file(&named); // of an earlier attempt
    }
    let made = make(args, &named, source.bytes)?;
    let done = if args.raw {
        to_raw(args, &mut source, (&named, target), made)
    } else {
        to_volume(args, &mut source, target)
    };
    if done.is_err() && made {
        let _ = std::fs::remove_file(&named);
    }
    if done.is_ok() && apart {
        std::fs::rename(&named, target).map_err(|e| Failure::io("make", target, e))?;
    }
    done
}

/// What is copied.
struct Source<'a> {
    image: &'a Image,
    bytes: u64,
    /// It is a volume itself.
    plain: Option<Plain<'a>>,
}

impl Source<'_> {
    /// Fills `into` from a multiple of [`CHUNK`] on; behind the end with zeros.
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Failure> {
        let (data, behind) = into.split_at_mut((self.bytes - at).min(into.len() as u64) as usize);
        behind.fill(0);
        match &mut self.plain {
            Some(plain) => plain.read(at, data),
            None => self.image.read(at, data),
        }
    }

    /// The next chunk from `at` on that may hold something.
    fn next_data(&self, at: u64) -> u64 {
        #[cfg(unix)]
        if self.plain.is_none()
            && let Some(file) = self.image.backend().file()
        {
            use rustix::fs::{SeekFrom, seek};
            return match seek(file, SeekFrom::Data(at)) {
                Ok(data) => (data / CHUNK * CHUNK).max(at),
                Err(rustix::io::Errno::NXIO) => self.bytes,
                // Devices, and file systems that do not know.
                Err(_) => at,
            };
        }
        at
    }
}

/// Makes a target that does not exist; whether it has.
fn make(args: &Convert, target: &Path, bytes: u64) -> Result<bool, Failure> {
    let needed = if args.raw {
        bytes
    } else if args.wanted.mapped.mapped {
        // It takes no room before it holds something.
        (bytes / 4 * 5).next_multiple_of(MIB) + 64 * MIB
    } else {
        bytes.next_multiple_of(MIB) + 2 * MIB
    };
    if sluice_backend::is_uri(target) {
        return Ok(false);
    }
    match OpenOptions::new().write(true).create_new(true).open(target) {
        Ok(file) => {
            let sized = file.set_len(needed).inspect_err(|_| {
                let _ = std::fs::remove_file(target); // or it is there, empty
            });
            sized.map(|()| true).map_err(|e| Failure::io("change the size of", target, e))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(Failure::Open { path: target.into(), source }),
    }
}

fn too_small(path: &Path, has: u64, needed: u64) -> Failure {
    let what = format!(
        "it has room for {} ({has} bytes), and the source holds {} ({needed} bytes)",
        size(has),
        size(needed)
    );
    Failure::Unconvertible { path: path.into(), what }
}

/// Copies from chunk to chunk, whole blocks of 4096 bytes; a volume that holds the source holds the last one too. `write` is told what is not all zeros, or with `all` everything.
fn copy(
    source: &mut Source<'_>,
    what: &'static str,
    all: bool,
    mut write: impl FnMut(u64, &mut [u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (bar, stop) = (progress::bytes(source.bytes, what), Stop::watch());
    let mut buffer = Zeroizing::new(vec![0; CHUNK as usize]);
    let mut at = 0;
    while at < source.bytes {
        let data = if all { at } else { source.next_data(at) };
        bar.inc(data - at);
        at = data;
        if at >= source.bytes {
            break;
        }
        let length = CHUNK.min((source.bytes - at).next_multiple_of(BLOCK as u64)) as usize;
        source.read(at, &mut buffer[..length])?;
        if all || buffer[..length].iter().any(|byte| *byte != 0) {
            write(at, &mut buffer[..length])?;
        }
        bar.inc(CHUNK.min(source.bytes - at));
        at += CHUNK;
        if stop.is_asked() {
            bar.finish_and_clear();
            return Err(Failure::Interrupted { path: source.image.path.clone() });
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// `target` is where it is written, and what it will be called.
fn to_raw(
    args: &Convert,
    source: &mut Source<'_>,
    (target, called): (&Path, &Path),
    made: bool,
) -> Result<Report, Failure> {
    let image = Image::open(target, true)?;
    if !made && image.regular_file().is_some() {
        return Err(Failure::Exists { path: target.into() });
    }
    if !made && !args.force {
        format::refuse_if_not_empty(&image)?;
    }
    if image.bytes < source.bytes {
        return Err(too_small(target, image.bytes, source.bytes));
    }
    if !made {
        format::confirm(args.yes, target)?;
    }
    let bytes = source.bytes;
    // What a device held must go; a new file is all zeros.
    let whole = |at: u64, chunk: &[u8]| chunk.len().min((bytes - at) as usize);
    copy(source, "Copying", !made, |at, chunk| image.write(at, &chunk[..whole(at, chunk)]))?;
    image.flush()?;
    if !args.no_verify {
        image.forget();
        let mut found = Zeroizing::new(vec![0; CHUNK as usize]);
        copy(source, "Comparing", true, |at, chunk| {
            let length = whole(at, chunk);
            image.read(at, &mut found[..length])?;
            same(target, &found[..length], &chunk[..length])
        })?;
    }
    let text =
        format!("{} holds {} of {}, as they are.", called.display(), size(bytes), args.source.display());
    Ok(Report::new(text, json!({"kind": "raw", "bytes": bytes, "verified": !args.no_verify})))
}

fn same(target: &Path, found: &[u8], wanted: &[u8]) -> Result<(), Failure> {
    if found == wanted { Ok(()) } else { Err(Failure::Differs { path: target.into() }) }
}

fn to_volume(args: &Convert, source: &mut Source<'_>, target: &Path) -> Result<Report, Failure> {
    let mut options = args.format(target.to_owned());
    let bytes = source.bytes.next_multiple_of(BLOCK as u64);
    if options.wanted.mapped.mapped {
        options.wanted.mapped.size = Some(options.wanted.mapped.size.unwrap_or(bytes));
    }
    let image = Image::open(target, true)?;
    let new = prepare(&options, &image)?;
    let room = new.volume.mapped.map_or(new.volume.geometry.volume_bytes, |mapped| mapped.volume_bytes);
    if room < source.bytes {
        return Err(too_small(target, room, source.bytes));
    }
    new.put_header(&image, &marked(&new.header, Mark::Filling))?;
    fill(source, &image, &new)?;
    image.flush()?;
    let header = Header::check(zerocopy::transmute_ref!(&*new.header))
        .map_err(|_| Failure::ReadBack { path: target.into() })?;
    if !args.no_verify {
        image.forget();
        let mut plain = Plain::open(&image, &header, &new.key)?;
        let mut found = Zeroizing::new(vec![0; CHUNK as usize]);
        copy(source, "Comparing", true, |at, chunk| {
            plain.read(at, &mut found[..chunk.len()])?;
            same(target, &found[..chunk.len()], chunk)
        })?;
    }
    new.put_header(&image, &new.header)?;
    let mut report = new.report(target);
    report.text = format!("{}\n\nIt holds {} of {}.", report.text, size(source.bytes), args.source.display());
    (report.json["bytes"], report.json["verified"]) = (json!(source.bytes), json!(!args.no_verify));
    Ok(report)
}

/// Writes what the source holds into a volume that nobody else knows yet.
fn fill(source: &mut Source<'_>, image: &Image, new: &New<'_>) -> Result<(), Failure> {
    let geometry = new.volume.geometry;
    if let Some(mapped) = &new.volume.mapped {
        crate::mapped::format(image, mapped, &new.volume.uuid, &new.key)?;
        let mut filling = Filling::open(image, mapped, &new.volume.uuid, &new.key)?;
        copy(source, "Copying", false, |at, chunk| filling.write(at, chunk))?;
        return filling.close();
    }
    let (cipher, sector) = (plain::cipher(&new.key)?, geometry.sector_size as usize);
    // Zeros must be written as well: what a sector held before is noise under this key.
    copy(source, "Copying", true, |at, chunk| {
        let done = cipher.encrypt_in_place(at / sector as u64, sector, (&mut *chunk).into());
        done.map_err(|_| Failure::Range { offset: at, end: at + CHUNK, size: geometry.volume_bytes })?;
        image.write(geometry.data_offset + at, chunk)
    })
}
