//! `sluice header`: keeping the header safe.

use std::{fs::OpenOptions, io::Write};

use serde_json::json;
use sluice_engine::format::{COPY_BYTES, Copy, Header, OtherCopy, Probe, RawHeader, plan};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    args::{self, HeaderBackup, HeaderRepair, HeaderRestore},
    convert::record,
    failure::{Failure, problem_text},
    image::Image,
    output::{Report, uuid},
};

pub(crate) fn run(args: &args::Header) -> Result<Report, Failure> {
    match args {
        args::Header::Backup(args) => backup(args),
        args::Header::Restore(args) => restore(args),
        args::Header::Repair(args) => repair(args),
    }
}

fn backup(args: &HeaderBackup) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, false)?;
    let copies = image.copies();
    let (header, _) = image.header(&copies)?;
    let path = &args.file;
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|source| {
        if source.kind() == std::io::ErrorKind::AlreadyExists {
            Failure::Exists { path: path.clone() }
        } else {
            Failure::Open { path: path.clone(), source }
        }
    })?;
    let written = file.write_all(header.raw().as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|e| Failure::io("write to", path, e))?;
    let text = format!(
        "The header of {} is in {}.\nKeep it apart from the disk. Keys that are removed later still open it.",
        image.path.display(),
        path.display()
    );
    Ok(Report::new(text, json!({"uuid": uuid(&header.uuid()), "sequence": header.sequence()})))
}

fn restore(args: &HeaderRestore) -> Result<Report, Failure> {
    let contents =
        std::fs::read(&args.file).map_err(|source| Failure::Open { path: args.file.clone(), source })?;
    let bytes: &[u8; COPY_BYTES] =
        contents.as_slice().try_into().map_err(|_| Failure::Backup("it is not 4096 bytes long".into()))?;
    let raw =
        RawHeader::ref_from_bytes(bytes).map_err(|_| Failure::Backup("it is not 4096 bytes long".into()))?;
    let header = Header::check(raw).map_err(|problem| Failure::Backup(problem_text(problem)))?;
    let image = Image::open(&args.image.image, true)?;
    header
        .fits(image.bytes, image.sector_size.unwrap_or(header.sector_size()))
        .map_err(|problem| Failure::Backup(problem_text(problem)))?;
    if let Some(record) = record::find(&image)? {
        let (encrypted, total) = (record.encrypted(), record.place.volume);
        return Err(Failure::UnderWay { path: image.path, encrypted, total });
    }
    if !args.force {
        refuse_if_foreign(&image, &header)?;
    }
    refuse_other_size(&image, &header, args.force)?;
    // Whatever is there is replaced; the copy that is not in use first.
    let copies = image.copies();
    image.carry_out(&plan::replace(&image.probe(&copies), header.copy_b_offset(), bytes))?;
    let text = format!("{} has the header of volume {} again.", image.path.display(), uuid(&header.uuid()));
    Ok(Report::new(text, json!({"uuid": uuid(&header.uuid()), "sequence": header.sequence()})))
}

/// A disk that has grown still fits its header; it is more likely to be another disk.
fn refuse_other_size(image: &Image, backup: &Header<'_>, force: bool) -> Result<(), Failure> {
    let (made_for, has) = (backup.raw().disk_bytes.get(), image.bytes);
    if made_for == has || force {
        return Ok(());
    }
    Err(Failure::Backup(format!("it was made for a disk of {made_for} bytes, this one has {has}")))
}

/// A header on another volume's data opens nothing and hides what was there.
fn refuse_if_foreign(image: &Image, backup: &Header<'_>) -> Result<(), Failure> {
    match image.probe(&image.copies()) {
        Probe::Damaged(_) | Probe::Unreadable => Ok(()),
        Probe::None => {
            Err(Failure::Backup(format!("{} shows no trace of a Sluice volume", image.path.display())))
        }
        Probe::Valid { header, .. } if header.uuid() == backup.uuid() => Ok(()),
        Probe::Valid { header, .. } => Err(Failure::Backup(format!(
            "it is of volume {}, the disk holds volume {}",
            uuid(&backup.uuid()),
            uuid(&header.uuid())
        ))),
    }
}

fn repair(args: &HeaderRepair) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, true)?;
    let copies = image.copies();
    let (_, probe) = image.header(&copies)?;
    let Probe::Valid { other, .. } = probe else { return Err(Failure::NotSluice { path: image.path }) };
    if other == OtherCopy::Foreign && !args.force {
        return Err(Failure::Foreign);
    }
    let Some(name) = write_other(&image, &probe)? else {
        return Ok(Report::new("Both copies of the header are good.", json!({"repaired": null})));
    };
    Ok(Report::new(format!("Copy {name} of the header has been written anew."), json!({"repaired": name})))
}

/// Writes the copy that is not in use anew, unless it is good. Answers its name.
pub(super) fn write_other(image: &Image, probe: &Probe<'_>) -> Result<Option<&'static str>, Failure> {
    let steps =
        plan::repair(probe).map_err(|plan::NoGoodHeader| Failure::NotSluice { path: image.path.clone() })?;
    let Some(steps) = steps else { return Ok(None) };
    image.carry_out(&steps)?;
    let in_use_is_a = matches!(probe, Probe::Valid { from: Copy::A, .. });
    Ok(Some(if in_use_is_a { "B" } else { "A" }))
}
