//! `sluice info`: what a disk or image is. Needs no key.

use serde_json::{Value, json};
use sluice_chain::registration::Place;
use sluice_engine::{
    format::{Copy, Header, OtherCopy, Probe},
    volume::{Kind, Mapped},
};
use sluice_mapped::{Usage, kept::area};
use sluice_statistics::Space;

use crate::{
    args::Info,
    convert::record,
    failure::{Failure, other_copy_text},
    image::Image,
    mapped::ReadOnly,
    output::{Report, size, uuid},
    secret::{kind_name, volume_key},
};

pub(crate) fn run(args: &Info) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, false)?;
    if let Some(record) = record::find(&image)? {
        return super::convert::describe(&image, &record);
    }
    let copies = image.copies();
    let (header, probe) = image.header(&copies)?;
    let Probe::Valid { from, other, .. } = probe else { return Err(Failure::NotSluice { path: image.path }) };
    let (good, bad) = if from == Copy::A { ("A", "B") } else { ("B", "A") };
    let mut text = format!(
        "{}: Sluice volume, {}\n  UUID     {}\n  label    {}\n  size     {} ({} bytes), sectors of {} bytes\n  \
         cipher   {}\n  header   copy {good} in use (change {}), copy {bad} {}\n",
        image.path.display(),
        if matches!(header.kind(), Kind::Mapped(_)) { "mapped" } else { "in place" },
        uuid(&header.uuid()),
        header.label(),
        size(header.volume_bytes()),
        header.volume_bytes(),
        header.sector_size(),
        if header.is_open() { "none: everybody can read it" } else { "AES-256-XTS" },
        header.sequence(),
        other_copy_text(other),
    );
    if other != OtherCopy::Same {
        text += "           `sluice header repair` writes it anew\n";
    }
    if let Some(stage) = header.foreign_stage() {
        let side = if stage.place == Place::ABOVE { "above" } else { "below" };
        text += &format!(
            "  stage    {} of another driver, {side} ours: it is never opened without\n",
            stage.name()
        );
    }
    for slot in header.slots() {
        text += &format!("  key {}    {} {}\n", slot.index, kind_name(slot.kind), slot.label());
    }
    let slots: Vec<_> = header.slots().map(slot_json).collect();
    let mut json = json!({
        "kind": "in_place",
        "uuid": uuid(&header.uuid()),
        "label": header.label(),
        "volume_bytes": header.volume_bytes(),
        "data_offset": header.data_offset(),
        "sector_size": header.sector_size(),
        "cipher": if header.is_open() { "none" } else { "aes-256-xts" },
        "sequence": header.sequence(),
        "copy_in_use": good,
        "other_copy": other_copy_text(other),
        "slots": slots,
        "foreign_stage": header.foreign_stage().map(|stage| {
            json!({ "name": stage.name(), "below": stage.place == Place::BELOW })
        }),
    });
    if let Kind::Mapped(mapped) = header.kind() {
        text += &mapped_text(&mapped);
        json["kind"] = json!("mapped");
        json["mapped"] = mapped_json(&mapped);
        json["space"] = Value::Null;
        if let Some(usage) = usage(args, &image, &header, &mapped)? {
            let space = Space::of(&usage, mapped.segment_bytes);
            text += &space_text(&space);
            json["space"] = json!(space);
        } else {
            text += "  space    give a key (--passphrase-file, ...) to see it\n";
        }
    }
    Ok(Report::new(text, json))
}

/// What it holds, if it can be opened without asking.
fn usage(args: &Info, image: &Image, header: &Header<'_>, mapped: &Mapped) -> Result<Option<Usage>, Failure> {
    if header.foreign_stage().is_some() || !header.is_open() && !args.secret.is_given() {
        return Ok(None);
    }
    let key = volume_key(header, &args.secret)?;
    Ok(Some(ReadOnly::open(image, header, mapped, &key)?.usage()))
}

pub(super) fn mapped_text(mapped: &Mapped) -> String {
    let dedup = match mapped.index_bytes {
        Some(bytes) => format!("de-duplicates with {} of memory", size(bytes)),
        None => "does not de-duplicate".to_owned(),
    };
    let compression = match mapped.level {
        Some(level) => format!("compresses with zstd at level {level}"),
        None => "does not compress".to_owned(),
    };
    let kept = match mapped.index_area {
        0 => String::new(),
        bytes => format!("{} to keep the index in, ", size(bytes)),
    };
    let forgotten = match is_kept(mapped) {
        Some(false) => {
            "  index    too large to be kept: read anew from the volume's table whenever it is opened\n"
        }
        _ => "",
    };
    format!(
        "  stages   {dedup}; {compression}\n  layout   journal of {}, {kept}segments of {}\n{forgotten}  discard  {}\n",
        size(mapped.journal_bytes),
        size(mapped.segment_bytes),
        if mapped.discard { "the disk is told what is free" } else { "the disk is not told what is free" },
    )
}

/// Whether there is room for keeping the index while the volume is closed. `None`: there is no index.
fn is_kept(mapped: &Mapped) -> Option<bool> {
    mapped.index_bytes.map(|bytes| area(bytes) <= mapped.index_area)
}

pub(super) fn mapped_json(mapped: &Mapped) -> Value {
    json!({
        "dedup_memory": mapped.index_bytes,
        "level": mapped.level,
        "journal_bytes": mapped.journal_bytes,
        "index_area_bytes": mapped.index_area,
        "index_kept": is_kept(mapped),
        "discard": mapped.discard,
        "segment_bytes": mapped.segment_bytes,
    })
}

fn space_text(space: &Space) -> String {
    let saved = |from: u64, saved: u64| {
        let percent = if from == 0 { 0.0 } else { saved as f64 * 100.0 / from as f64 };
        format!("{} ({percent:.1} %) saved", size(saved))
    };
    format!(
        "  space    {} hold data\n           {} of them are unique: {} by de-duplication\n           \
         {} stored: {} by compression\n           {} of metadata; {} in segments; room for {} more\n",
        size(space.written_bytes),
        size(space.unique_bytes),
        saved(space.written_bytes, space.saved_by_dedup),
        size(space.stored_bytes),
        saved(space.unique_bytes, space.saved_by_compression),
        size(space.metadata_bytes),
        size(space.segment_bytes_in_use),
        size(space.free_bytes),
    )
}

/// A key slot for programs.
pub(crate) fn slot_json(slot: sluice_engine::format::Slot<'_>) -> Value {
    json!({
        "slot": slot.index,
        "kind": kind_name(slot.kind),
        "label": slot.label(),
        "created": slot.raw.created.get(),
        "kdf": {"memory_kib": slot.raw.memory_kib.get(), "iterations": slot.raw.iterations.get()},
    })
}
