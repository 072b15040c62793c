//! `sluice convert --in-place`: begun, gone on with, or turned round; `crate::convert` does it.

use serde_json::json;
use sluice_engine::format::{
    COPY_BYTES, Geometry, Header, MAX_VOLUME_BYTES, Probe, RawHeader, copy_b_offset,
};

use crate::{
    args::Convert,
    commands::format,
    convert::{
        Disk, contents, life,
        record::{self, Mark, Place, Record, UNIT, UNITS, Way},
        shift::Shift,
    },
    failure::Failure,
    image::Image,
    output::{Report, size, uuid},
    plain, progress,
    secret::volume_key,
    stop::Stop,
};

const MIB: u64 = 1 << 20;

pub(super) fn run(args: &Convert) -> Result<Report, Failure> {
    let image = Image::open(&args.source, true)?;
    let way = if args.decrypt { Way::Decrypt } else { Way::Encrypt };
    if let Some(mut record) = record::find(&image)? {
        let Some(header) = record.header() else { return Err(Failure::NotSluice { path: image.path }) };
        let key = volume_key(&header, &args.secret)?;
        let shift = Shift { disk: &image, cipher: &plain::cipher(&key)?, place: record.place };
        let stop = Stop::watch();
        life::resume(&shift, &mut record, way)?;
        return go_on(&shift, record, true, &stop);
    }
    let copies = image.copies();
    match (image.probe(&copies), way) {
        (Probe::None, Way::Encrypt) => begin(args, image),
        (Probe::None, Way::Decrypt) => {
            Err(unconvertible(&image, "it holds no volume; if it was being decrypted, that has been done"))
        }
        (Probe::Valid { header, .. }, Way::Encrypt) => tidy(&image, &header),
        (Probe::Valid { header, .. }, Way::Decrypt) => undo(args, &image, &header),
        _ => Err(image.header(&copies).err().unwrap_or(Failure::NotSluice { path: image.path.clone() })),
    }
}

fn unconvertible(image: &Image, what: impl Into<String>) -> Failure {
    Failure::Unconvertible { path: image.path.clone(), what: what.into() }
}

/// A plain disk.
fn begin(args: &Convert, mut image: Image) -> Result<Report, Failure> {
    let options = args.format(args.source.clone());
    let sector_size = format::sector_size(&options, &image)?;
    if let Some(bytes) = record::not_begun(&image)?.filter(|_| image.regular_file().is_some() && !args.reduce)
    {
        image.resize(bytes)?;
        image.bytes = bytes;
    }
    let geometry = geometry(args, &image, sector_size)?;
    if args.reduce {
        refuse_to_give_up(args, &image, &geometry)?;
    }
    let new = format::seal(&options, geometry, None)?;
    let raw: &RawHeader = zerocopy::transmute_ref!(&*new.header);
    let place = Header::check(raw).ok().and_then(|header| Place::of(&header));
    let place = place.ok_or_else(|| unconvertible(&image, "it is too small"))?;
    let cipher = plain::cipher(&new.key)?;
    if geometry.disk_bytes > image.bytes {
        grow(&mut image, place, &new.header)?;
    }
    let shift = Shift { disk: &image, cipher: &cipher, place };
    let stop = Stop::watch();
    let record = life::begin(&shift, &new.header, Way::Encrypt)?;
    go_on(&shift, record, false, &stop)
}

/// Where everything will lie.
fn geometry(args: &Convert, image: &Image, sector_size: u32) -> Result<Geometry, Failure> {
    let bytes = image.bytes;
    let shift = args.shift.unwrap_or((bytes >> 9).next_power_of_two().clamp(MIB, 16 * MIB));
    if shift == 0 || !shift.is_multiple_of(MIB) {
        return Err(unconvertible(image, "--shift must be whole mebibytes"));
    }
    let too_small = || unconvertible(image, "it is too small");
    let (volume_bytes, copy_b_offset, disk_bytes) = if args.reduce {
        let copy_b = copy_b_offset(bytes).ok_or_else(too_small)?;
        (copy_b.checked_sub(shift).ok_or_else(too_small)?, copy_b, bytes)
    } else {
        if image.regular_file().is_none() {
            let needed = copy_b_offset(bytes).and_then(|copy_b| copy_b.checked_sub(shift));
            let end = size(bytes - needed.ok_or_else(too_small)?);
            let what =
                format!("a disk cannot grow, and the headers need {end}; --reduce gives up its last {end}");
            return Err(unconvertible(image, what));
        }
        if !bytes.is_multiple_of(u64::from(sector_size)) {
            let what =
                format!("its size is no multiple of its sectors, {sector_size} bytes; make it larger first");
            return Err(unconvertible(image, what));
        }
        let copy_b = bytes.saturating_add(shift).checked_next_multiple_of(MIB).ok_or_else(too_small)?;
        (bytes, copy_b, copy_b.saturating_add(MIB))
    };
    if volume_bytes < UNIT + u64::from(sector_size) {
        return Err(too_small());
    }
    if volume_bytes > MAX_VOLUME_BYTES {
        return Err(unconvertible(image, "it is larger than 256 TiB"));
    }
    Ok(Geometry { disk_bytes, sector_size, copy_b_offset, data_offset: shift, volume_bytes })
}

/// The end of a disk is given up only if nothing is known to lie there.
fn refuse_to_give_up(args: &Convert, image: &Image, geometry: &Geometry) -> Result<(), Failure> {
    let kept = geometry.volume_bytes;
    let given_up = size(image.bytes - kept);
    let found = contents::reach(image, u64::from(geometry.sector_size))?;
    if let Some(reach) = found.as_ref().filter(|reach| reach.end > kept && !args.force) {
        let what = format!(
            "its last {given_up} are to be given up, and {} reaches into them, up to byte {}: make it end at byte {kept} \
             first, or give --force to lose what is there",
            reach.what, reach.end
        );
        return Err(unconvertible(image, what));
    }
    if args.yes {
        return Ok(());
    }
    if record::is_zero(image, kept, image.bytes)? {
        return Ok(());
    }
    let gpt = match found {
        Some(contents::Reach { what: contents::GPT, .. }) => {
            " (the copy of its GPT, which partitioning tools write anew on the open volume, or more)"
        }
        _ => "",
    };
    let what = format!(
        "its last {given_up} are to be given up, and they are not all zeros{gpt}; --yes gives them up"
    );
    Err(unconvertible(image, what))
}

/// Makes an image file larger. That there is room for all of it is found out before anything is changed; and it grows by a
/// mark being written behind it, so that the next attempt knows why it has grown, whenever this one ends.
fn grow(image: &mut Image, place: Place, header: &[u8; COPY_BYTES]) -> Result<(), Failure> {
    image.reserve(0, place.disk)?;
    image.write(place.spare_at(), &record::marked(header, Mark::Converting))?;
    image.flush()?;
    if let Some(file) = image.regular_file() {
        file.set_len(place.disk).map_err(|e| Failure::io("change the size of", &image.path, e))?;
    }
    image.bytes = place.disk;
    Ok(())
}

/// A finished volume: only what a conversion may have left behind is put right.
fn tidy(image: &Image, header: &Header<'_>) -> Result<Report, Failure> {
    let mut spare = [0; COPY_BYTES];
    let left = Place::of(header).filter(|place| {
        let read = image.read(place.spare_at(), &mut spare);
        let mark = read.ok().and_then(|()| record::unmarked(&spare));
        mark.is_some_and(|(_, left)| {
            let left: &RawHeader = zerocopy::transmute_ref!(&*left);
            left.uuid == header.uuid()
        })
    });
    let Some(place) = left else { return Err(unconvertible(image, "it is a Sluice volume already")) };
    life::tidy(image, place, zerocopy::transmute_ref!(header.raw()))?;
    Ok(report(&image.path, header, Way::Encrypt, true))
}

/// A volume becomes plain.
fn undo(args: &Convert, image: &Image, header: &Header<'_>) -> Result<Report, Failure> {
    let place = Place::of(header).ok_or_else(|| {
        unconvertible(
            image,
            "it is a mapped volume, or there is no room for what must be kept; use --to and --raw",
        )
    })?;
    if place.disk != image.bytes || copy_b_offset(image.bytes) != Some(place.copy_b) {
        return Err(unconvertible(
            image,
            "the disk has not the size that it had when the volume was made; use --to and --raw",
        ));
    }
    let key = volume_key(header, &args.secret)?;
    let cipher = plain::cipher(&key)?;
    let shift = Shift { disk: image, cipher: &cipher, place };
    let stop = Stop::watch();
    let record = life::begin(&shift, zerocopy::transmute_ref!(header.raw()), Way::Decrypt)?;
    go_on(&shift, record, false, &stop)
}

/// Moves what is left, until it is done or somebody stops it.
fn go_on(shift: &Shift<'_>, mut record: Record, resumed: bool, stop: &Stop) -> Result<Report, Failure> {
    let (way, total) = (record.way, shift.place.volume);
    let done = |record: &Record| match way {
        Way::Encrypt => record.encrypted(),
        Way::Decrypt => total - record.encrypted(),
    };
    let bar = progress::bytes(total, if way == Way::Encrypt { "Encrypting" } else { "Decrypting" });
    bar.set_position(done(&record));
    bar.reset_eta();
    let finished = life::go_on(shift, &mut record, |record| {
        bar.set_position(done(record));
        !stop.is_asked()
    });
    bar.finish_and_clear();
    let path = shift.disk.path();
    if !finished? {
        return Err(Failure::Stopped { path: path.into(), done: done(&record), total });
    }
    let header = record.header().ok_or_else(|| Failure::NotSluice { path: path.into() })?;
    Ok(report(path, &header, way, resumed))
}

fn report(path: &std::path::Path, header: &Header<'_>, way: Way, resumed: bool) -> Report {
    let text = match way {
        Way::Encrypt => format!(
            "{} is a Sluice volume now, with all that it held.\n  UUID    {}\n  size    {}, sectors of {} bytes\n\n\
             Without a key nobody can read it, sluice's makers included. `sluice header backup` saves its header. A disk \
             that keeps old versions of sectors (flash, snapshots) may still have some of what was plain.",
            path.display(),
            uuid(&header.uuid()),
            size(header.volume_bytes()),
            header.sector_size(),
        ),
        Way::Decrypt => format!("{} is plain now: {}.", path.display(), size(header.volume_bytes())),
    };
    let json = json!({
        "kind": if way == Way::Encrypt { "in_place" } else { "raw" },
        "uuid": uuid(&header.uuid()),
        "volume_bytes": header.volume_bytes(),
        "data_offset": header.data_offset(),
        "sector_size": header.sector_size(),
        "resumed": resumed,
    });
    Report::new(text, json)
}

/// For whoever asks what the disk is.
pub(in crate::commands) fn describe(image: &Image, record: &Record) -> Result<Report, Failure> {
    let header = record.header().ok_or_else(|| Failure::NotSluice { path: image.path.clone() })?;
    let (encrypted, total) = (record.encrypted(), record.place.volume);
    let (way, again) = match record.way {
        Way::Encrypt => ("encrypted", ""),
        Way::Decrypt => ("decrypted", " --decrypt"),
    };
    let text = format!(
        "{}: is being {way} in place, and that has not finished\n  UUID     {}\n  done     {} of {} are encrypted\n\nIt can be \
         used when it has: `sluice convert {} --in-place{again}` goes on. Until then nothing else may write to it.",
        image.path.display(),
        uuid(&header.uuid()),
        size(encrypted),
        size(total),
        image.path.display(),
    );
    let json = json!({
        "kind": "converting",
        "way": if record.way == Way::Encrypt { "encrypt" } else { "decrypt" },
        "uuid": uuid(&header.uuid()),
        "label": header.label(),
        "volume_bytes": total,
        "encrypted_bytes": encrypted,
        "data_offset": header.data_offset(),
        "sector_size": header.sector_size(),
    });
    Ok(Report::new(text, json))
}

const _: () = assert!(UNITS * UNIT <= MIB, "the records lie between copy B and the end");
