//! `sluice compact`: what a mapped volume stores is put together, so that more segments are free.
//!
//! Interrupted at any point, the volume is good: it is opened afterwards as after any crash.

use serde_json::json;
use sluice_engine::volume::Kind;

use crate::{
    args::Compact,
    failure::Failure,
    image::Image,
    mapped::{self, Compacted},
    output::{Report, size},
    progress,
    secret::volume_key,
};

pub(crate) fn run(args: &Compact) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, true)?;
    let copies = image.copies();
    let (header, _) = image.header(&copies)?;
    let Kind::Mapped(mapped) = header.kind() else { return Err(Failure::NotMapped { path: image.path }) };
    let key = volume_key(&header, &args.secret)?;
    let discard = args.discard || mapped.discard;
    let bar = progress::items(0, "Compacting");
    let done = mapped::compact(&image, &header, &mapped, &key, discard, |left, all| {
        // Pages that have been moved leave others with gaps: there may be more than at first.
        bar.set_length(all.max(left));
        bar.set_position(all.saturating_sub(left));
    })?;
    bar.finish_and_clear();
    Ok(report(&done, mapped.segment_bytes, discard))
}

fn report(done: &Compacted, segment_bytes: u64, discard: bool) -> Report {
    let used = [done.before, done.after].map(|usage| usage.segments - usage.free_segments);
    let [before, after] = used.map(|segments| segments * segment_bytes);
    let freed = before.saturating_sub(after);
    let mut text = format!(
        "Segments in use: {} before, {} now, of {}.\nBytes in use: {} before, {} now; {} more are free.\n",
        used[0],
        used[1],
        done.after.segments,
        size(before),
        size(after),
        size(freed),
    );
    if discard && (done.discarded > 0 || done.refused.is_none()) {
        text += &format!("The disk or image has been told of {} that are free.\n", size(done.discarded));
    }
    if !discard {
        text += "An image file does not shrink by this, and a disk does not know: `sluice compact --discard` tells them \
                 what is free, and `sluice set --discard on` has the volume always do so.\n";
    }
    if let Some(error) = &done.refused {
        text += &format!("The disk or image cannot be told what is free, and keeps what it has: {error}.\n");
    }
    if done.unreadable {
        text += "Something could not be read, and stays where it is: `sluice check` names what is lost.\n";
    }
    let json = json!({
        "segments": done.after.segments,
        "segment_bytes": segment_bytes,
        "segments_before": used[0],
        "segments_after": used[1],
        "bytes_before": before,
        "bytes_after": after,
        "freed_bytes": freed,
        "discard": discard,
        "discarded_bytes": done.discarded,
        "discard_refused": done.refused.as_ref().map(ToString::to_string),
        "unreadable": done.unreadable,
    });
    Report::new(text, json)
}
