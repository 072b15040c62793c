//! `sluice grow` and `sluice set`: a mapped volume becomes larger, or works differently from its next opening on.

use serde_json::json;
use sluice_engine::{
    format::{Draft, Geometry, Header, Probe, plan},
    keys::VolumeKey,
    volume::{Kind, Mapped},
};
use sluice_mapped::units::BLOCK;

use crate::{
    args::{Grow, SecretSource, Set, Switch},
    commands::info::{mapped_json, mapped_text},
    failure::Failure,
    image::{Copies, Image},
    mapped::{self, ReadOnly},
    output::{Report, size},
    secret::volume_key,
};

/// A mapped volume whose header is to be changed.
struct Opened<'a> {
    image: &'a Image,
    header: Header<'a>,
    probe: Probe<'a>,
    key: Box<VolumeKey>,
    mapped: Mapped,
}

impl<'a> Opened<'a> {
    fn new(image: &'a Image, copies: &'a Copies, secret: &SecretSource) -> Result<Self, Failure> {
        let (header, probe) = image.header(copies)?;
        let Kind::Mapped(mapped) = header.kind() else {
            return Err(Failure::NotMapped { path: image.path.clone() });
        };
        let key = volume_key(&header, secret)?;
        Ok(Self { image, header, probe, key, mapped })
    }

    /// Puts a header in place that says `mapped`.
    fn write(&self, mapped: &Mapped, disk_bytes: u64) -> Result<(), Failure> {
        let mut draft = Draft::of(self.header).map_err(Failure::Draft)?;
        draft.remap(mapped, disk_bytes).map_err(Failure::Draft)?;
        let steps = plan::grow(&self.probe, mapped.copy_b_offset, draft.seal(&self.key))
            .map_err(|plan::NoGoodHeader| Failure::NotSluice { path: self.image.path.clone() })?;
        self.image.carry_out(&steps)
    }
}

pub(crate) fn grow(args: &Grow) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, true)?;
    let copies = image.copies();
    let opened = Opened::new(&image, &copies, &args.secret)?;
    let was = opened.mapped;
    let geometry = Geometry::for_disk(image.bytes, was.sector_size)
        .map_err(|error| Failure::Geometry { path: image.path.clone(), error })?;
    let wanted = args.size.map_or(was.volume_bytes, |size| size / BLOCK as u64 * BLOCK as u64);
    if wanted < was.volume_bytes {
        return Err(Failure::Shrink { size: wanted, now: was.volume_bytes });
    }
    let copy_b_offset = geometry.copy_b_offset.max(was.copy_b_offset);
    let larger = Mapped { volume_bytes: wanted, copy_b_offset, ..was };
    let added = larger.copy_b_offset.saturating_sub(was.copy_b_offset);
    if larger == was {
        let text = format!(
            "Nothing to do: the volume takes its whole disk already, and is {} large. --size gives it another size.",
            size(was.volume_bytes)
        );
        return Ok(report(text, &larger, 0));
    }
    mapped::begin_growth(&image, &was, &larger, &opened.header.uuid(), &opened.key)?;
    // Nothing has been changed that counts. Only what opens as it will be is made so.
    ReadOnly::open(&image, &opened.header, &larger, &opened.key)?;
    opened.write(&larger, image.bytes)?;
    let text = format!(
        "The volume is {} large now (it was {}); its disk has {} more for it.\nThe file system on it does not know yet.",
        size(larger.volume_bytes),
        size(was.volume_bytes),
        size(added),
    );
    Ok(report(text, &larger, added))
}

pub(crate) fn set(args: &Set) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, true)?;
    let copies = image.copies();
    let opened = Opened::new(&image, &copies, &args.secret)?;
    let mut changed = opened.mapped;
    if let Some(level) = args.level {
        changed.level = Some(level).filter(|_| changed.level.is_some());
        if changed.level.is_none() {
            return Err(Failure::Off { what: "compression" });
        }
    }
    if let Some(memory) = args.dedup_memory {
        changed.index_bytes = Some(memory).filter(|_| changed.index_bytes.is_some());
        if changed.index_bytes.is_none() {
            return Err(Failure::Off { what: "de-duplication" });
        }
    }
    if let Some(discard) = args.discard {
        changed.discard = discard == Switch::On;
    }
    opened.write(&changed, opened.header.raw().disk_bytes.get())?;
    let text = format!("From its next opening on:\n{}", mapped_text(&changed));
    Ok(report(text, &changed, 0))
}

fn report(text: String, mapped: &Mapped, added: u64) -> Report {
    let json =
        json!({"volume_bytes": mapped.volume_bytes, "added_bytes": added, "mapped": mapped_json(mapped)});
    Report::new(text, json)
}
