//! `sluice info`: what a disk or image is. Needs no key.

use serde_json::json;
use sluice_engine::format::{Copy, OtherCopy, Probe};

use crate::{
    args,
    failure::{Failure, other_copy_text},
    image::Image,
    output::{Report, size, uuid},
    secret::kind_name,
};

pub(crate) fn run(args: &args::Image) -> Result<Report, Failure> {
    let image = Image::open(&args.image, false)?;
    let copies = image.copies();
    let (header, probe) = image.header(&copies)?;
    let Probe::Valid { from, other, .. } = probe else { return Err(Failure::NotSluice { path: image.path }) };
    let (good, bad) = if from == Copy::A { ("A", "B") } else { ("B", "A") };
    let mut text = format!(
        "{}: Sluice volume, in place\n  UUID     {}\n  label    {}\n  size     {} ({} bytes), sectors of {} bytes\n  \
         cipher   AES-256-XTS\n  header   copy {good} in use (change {}), copy {bad} {}\n",
        image.path.display(),
        uuid(&header.uuid()),
        header.label(),
        size(header.volume_bytes()),
        header.volume_bytes(),
        header.sector_size(),
        header.sequence(),
        other_copy_text(other),
    );
    if other != OtherCopy::Same {
        text += "           `sluice header repair` writes it anew\n";
    }
    for slot in header.slots() {
        text += &format!("  key {}    {} {}\n", slot.index, kind_name(slot.kind), slot.label());
    }
    let slots: Vec<_> = header.slots().map(slot_json).collect();
    let json = json!({
        "kind": "in_place",
        "uuid": uuid(&header.uuid()),
        "label": header.label(),
        "volume_bytes": header.volume_bytes(),
        "data_offset": header.data_offset(),
        "sector_size": header.sector_size(),
        "cipher": "aes-256-xts",
        "sequence": header.sequence(),
        "copy_in_use": good,
        "other_copy": other_copy_text(other),
        "slots": slots,
    });
    Ok(Report::new(text, json))
}

/// A key slot for programs.
pub(crate) fn slot_json(slot: sluice_engine::format::Slot<'_>) -> serde_json::Value {
    json!({
        "slot": slot.index,
        "kind": kind_name(slot.kind),
        "label": slot.label(),
        "created": slot.raw.created.get(),
        "kdf": {"memory_kib": slot.raw.memory_kib.get(), "iterations": slot.raw.iterations.get()},
    })
}
