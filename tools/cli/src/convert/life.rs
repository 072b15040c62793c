//! How a conversion begins, goes on and ends.
//!
//! Each step leaves the disk such that the next attempt knows where it is: before anything is overwritten, it lies elsewhere
//! and has been flushed.

use sluice_engine::format::{COPY_BYTES, CopyRead, Probe, probe};
use zeroize::Zeroizing;

use crate::{
    convert::{
        Disk,
        record::{HeaderCopy, Mark, Place, Record, UNIT, Way, marked},
        shift::Shift,
    },
    failure::Failure,
};

/// Bytes of zeros that are written at once.
const ZEROS: u64 = 1 << 20;

/// Begins: a plain disk with room for `header`'s volume, or a volume with that header, becomes a conversion.
pub(crate) fn begin(shift: &Shift<'_>, header: &HeaderCopy, way: Way) -> Result<Record, Failure> {
    let (disk, place) = (shift.disk, shift.place);
    let mut head = Zeroizing::new([0; COPY_BYTES]);
    match way {
        Way::Encrypt => {
            disk.read(0, &mut *head)?;
            shift.encrypt(0, &mut *head)?;
        }
        Way::Decrypt => {
            disk.read(place.shift, &mut *head)?;
            refuse_nested(shift, &head)?;
        }
    }
    let mut record = Record::new(header, place, way);
    disk.write(place.spare_at(), &marked(header, Mark::Converting))?;
    disk.write(place.head_at(), &*head)?;
    // Both copies: nothing of an earlier conversion is to be taken for one of this.
    record.write(disk)?;
    record.write(disk)?;
    disk.flush()?;
    put_marks(shift, header)?;
    Ok(record)
}

/// A volume inside the volume would be taken for the disk's own as soon as its first bytes are in their place.
fn refuse_nested(shift: &Shift<'_>, head: &HeaderCopy) -> Result<(), Failure> {
    let mut plain = Zeroizing::new(*head);
    shift.decrypt(0, &mut *plain)?;
    match probe(CopyRead::Bytes(&plain), CopyRead::Absent, shift.place.disk, shift.place.sector as u32) {
        Probe::None => Ok(()),
        _ => Err(Failure::Unconvertible {
            path: shift.disk.path().into(),
            what: "what is encrypted on it is a Sluice volume again".into(),
        }),
    }
}

/// Goes on with what was interrupted, in either way: `way` may be the other one.
pub(crate) fn resume(shift: &Shift<'_>, record: &mut Record, way: Way) -> Result<(), Failure> {
    shift.verify(record)?;
    put_marks(shift, &record.header)?;
    record.way = way;
    // Also if it stays: what was read may never have reached the medium, if flushing it had failed.
    record.write(shift.disk)?;
    shift.disk.flush()
}

/// Puts the mark in its places, one after the other, where it is not yet.
fn put_marks(shift: &Shift<'_>, header: &HeaderCopy) -> Result<(), Failure> {
    let mark = marked(header, Mark::Converting);
    [shift.place.spare_at(), shift.place.copy_b, 0].into_iter().try_for_each(|at| put(shift.disk, at, &mark))
}

/// Writes a copy, if it is not there yet, and makes sure that it can be read.
fn put(disk: &dyn Disk, at: u64, copy: &HeaderCopy) -> Result<(), Failure> {
    let is_there = || {
        let mut found = [0; COPY_BYTES];
        disk.read(at, &mut found).is_ok() && found == *copy
    };
    if is_there() {
        return Ok(());
    }
    disk.write(at, copy)?;
    disk.flush()?;
    if is_there() { Ok(()) } else { Err(Failure::ReadBack { path: disk.path().into() }) }
}

/// Moves everything that is left, and ends it. `watch` is told after each piece, and answers whether to go on; if not, so
/// does this.
pub(crate) fn go_on(
    shift: &Shift<'_>,
    record: &mut Record,
    mut watch: impl FnMut(&Record) -> bool,
) -> Result<bool, Failure> {
    loop {
        if !watch(record) {
            return Ok(false);
        }
        if !shift.step(record)? {
            break;
        }
    }
    match record.way {
        Way::Encrypt => finish_encrypting(shift, record)?,
        Way::Decrypt => finish_decrypting(shift)?,
    }
    Ok(true)
}

/// Everything has moved up: the disk becomes the volume.
fn finish_encrypting(shift: &Shift<'_>, record: &Record) -> Result<(), Failure> {
    let (disk, place) = (shift.disk, shift.place);
    let mut head = [0; COPY_BYTES];
    disk.read(place.head_at(), &mut head)?;
    disk.write(place.shift, &head)?;
    // What was plain there, and what was given up.
    wipe(disk, UNIT, place.shift)?;
    wipe(disk, place.shift + place.volume, place.copy_b)?;
    wipe(disk, place.records_end(), place.disk)?;
    disk.flush()?;
    put(disk, 0, &record.header)?;
    tidy(disk, place, &record.header)
}

/// Copy A is good: writes copy B, and wipes the records behind it.
pub(crate) fn tidy(disk: &dyn Disk, place: Place, header: &HeaderCopy) -> Result<(), Failure> {
    put(disk, place.copy_b, header)?;
    wipe(disk, place.spare_at(), place.records_end())?;
    disk.flush()
}

/// Everything has moved down: the disk becomes what it was. A file loses what it had grown by.
fn finish_decrypting(shift: &Shift<'_>) -> Result<(), Failure> {
    let (disk, place) = (shift.disk, shift.place);
    let mut head = Zeroizing::new([0; COPY_BYTES]);
    disk.read(place.head_at(), &mut *head)?;
    shift.decrypt(0, &mut *head)?;
    disk.write(0, &*head)?;
    disk.flush()?;
    if disk.resize(place.volume)? {
        return Ok(());
    }
    wipe(disk, place.volume, place.copy_b)?;
    wipe(disk, place.records_end(), place.disk)?;
    disk.flush()?;
    // While this one is being wiped, the other leads here.
    wipe(disk, place.copy_b, place.spare_at())?;
    disk.flush()?;
    wipe(disk, place.spare_at(), place.records_end())?;
    disk.flush()
}

fn wipe(disk: &dyn Disk, from: u64, to: u64) -> Result<(), Failure> {
    let zeros = vec![0; ZEROS.min(to.saturating_sub(from)) as usize];
    for at in (from..to).step_by(ZEROS as usize) {
        disk.write(at, &zeros[..ZEROS.min(to - at) as usize])?;
    }
    Ok(())
}
