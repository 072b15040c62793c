//! A mapped volume: what it promises that one in place does not have to, and what a failing device does to it.

use std::{thread, time::Duration};

use super::policy::marked;
use crate::{
    copy::Random,
    device::{Error, TIMED_OUT},
    disk::{Answer, Disk, Request, cdb},
    interface::*,
    report::check,
};

pub(super) const MIB: usize = 1 << 20;
/// Windows error codes that the tests expect.
const ERROR_CRC: u32 = 23;
const D0: u32 = 1;
const D3: u32 = 4;
const SURPRISE: u32 = 0x17;

/// Bytes like no others, which do not compress.
pub(super) fn fresh(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..length / 8).flat_map(|_| random.next().to_le_bytes()).collect()
}

pub(crate) fn run(disk: &Disk, volume: u64) {
    let outcome = (|| -> Result<(), Error> {
        disk.class(CLASS_EXTENDED, 0, 3)?;
        disk.port(|_| ())?;
        durable(disk)?;
        discard(disk)?;
        disturbed(disk)?;
        full(disk, volume)
    })();
    check("mapped suite ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}

fn durable(disk: &Disk) -> Result<(), Error> {
    let base = 8 * MIB as u64;
    disk.top.write(base, &fresh(1, 65536))?;
    let before = disk.statistics()?.flushes;
    let a = flush(disk)?;
    let after = disk.statistics()?.flushes;
    check("SYNCHRONIZE CACHE after a write flushes the device", a.good() && after > before, a.text());
    disk.top.write(base, &fresh(2, 65536))?;
    let f = disk.send(&Request::function(0x08))?;
    let flushed = disk.statistics()?.flushes;
    check("and so does SRB_FUNCTION_FLUSH", f.good() && flushed > after, f.text());
    disk.class(CLASS_EXTENDED | CLASS_FUA, 0, 3)?;
    let data = fresh(3, 65536);
    disk.top.write(base, &data)?;
    let fua = disk.statistics()?.flushes;
    check("a FUA write is flushed", fua > flushed, fua - flushed);
    disk.class(CLASS_EXTENDED, 0, 3)?;
    let before = disk.statistics()?.written_bytes;
    disk.top.write(base + MIB as u64, &data)?;
    let grown = disk.statistics()?.written_bytes - before;
    check("what is there already is not stored again", grown < 8192, grown);
    for round in ["once", "twice"] {
        let s = [disk.power(D3)?, disk.power(D0)?];
        let same = disk.top.read(base, data.len())? == data;
        check(&format!("power down and up {round}"), s == [0, 0] && same, format!("{s:x?}"));
    }
    Ok(())
}

/// SYNCHRONIZE CACHE, of everything.
pub(super) fn flush(disk: &Disk) -> Result<Answer, Error> {
    disk.send(&Request::cdb(&cdb::ten(0x35, 0, 0)))
}

/// UNMAP of one range, in bytes.
pub(super) fn unmap(disk: &Disk, offset: u64, length: u32) -> Result<Answer, Error> {
    // The parameter list (SBC-4 5.35.2): lengths of what follows, then the range.
    let mut list = vec![0, 22, 0, 16, 0, 0, 0, 0];
    list.extend((offset / disk.sector).to_be_bytes());
    list.extend((length / disk.sector as u32).to_be_bytes());
    list.extend([0; 4]);
    disk.send(&Request::cdb(&[0x42, 0, 0, 0, 0, 0, 0, 0, list.len() as u8, 0]).writes(&list))
}

fn discard(disk: &Disk) -> Result<(), Error> {
    let base = 16 * MIB as u64;
    disk.top.write(base, &fresh(4, 3 * 65536))?;
    let a = unmap(disk, base + 65536, 65536)?;
    let back = disk.top.read(base, 3 * 65536)?;
    let mut expected = fresh(4, 3 * 65536);
    expected[65536..2 * 65536].fill(0);
    check("what UNMAP names reads as zeros, and nothing else", a.good() && back == expected, a.text());
    Ok(())
}

/// A device that is busy for a while, or reports a reset or an error once.
fn disturbed(disk: &Disk) -> Result<(), Error> {
    let (base, data) = (24 * MIB as u64, fresh(5, MIB));
    disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_BUSY, ON_WRITE, 3))?;
    let w = disk.top.write(base, &data);
    check("a write survives that the device is busy", w == Ok(data.len()), format!("{w:?}"));
    disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_BUSY, ON_READ, 3))?;
    let r = disk.top.read(base, MIB);
    check("and so does a read", r.as_ref() == Ok(&data), r.map(|r| r.len()).unwrap_or(0));
    disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_MEDIUM, ON_READ, 1))?;
    let r = disk.top.read(base, MIB);
    check(
        "what a second reading finds is no error",
        r.as_ref() == Ok(&data),
        r.map(|r| r.len()).unwrap_or(0),
    );
    disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_MEDIUM, ON_READ, u32::MAX))?;
    let r = disk.top.read(base, 65536);
    check("a medium error that stays arrives", r == Err(ERROR_CRC), format!("{:?}", r.map(|r| r.len())));
    disk.port(|_| ())?;
    let r = disk.top.read(base, MIB)?;
    check("and is over when the device is well", r == data, r.len());
    Ok(())
}

/// The volume is larger than the disk: writing goes on until that is full, and after a discard.
fn full(disk: &Disk, volume: u64) -> Result<(), Error> {
    let mut end = None;
    let first = 32 * MIB as u64;
    for (i, at) in (first..volume).step_by(MIB).enumerate() {
        if let Err(error) = disk.top.write(at, &fresh(100 + i as u64, MIB)) {
            end = Some((i, at, error));
            break;
        }
    }
    let Some((count, at, error)) = end else {
        check("a full disk refuses new data", false, "it took all of the volume");
        return Ok(());
    };
    check(
        "a full disk refuses new data",
        error != TIMED_OUT && count > 8,
        format!("error {error} after {count} MiB"),
    );
    let kept = (0..count).all(|i| {
        let back = disk.top.read(first + (i * MIB) as u64, MIB);
        back.is_ok_and(|back| back == fresh(100 + i as u64, MIB))
    });
    check("and has kept everything that it took", kept, count);
    let zeros = vec![0; MIB];
    for i in 0..count {
        disk.top.write(first + (i * MIB) as u64, &zeros)?;
    }
    let data = fresh(7, MIB);
    let w = (0..50).find_map(|_| {
        let w = disk.top.write(at, &data).ok();
        if w.is_none() {
            thread::sleep(Duration::from_millis(100));
        }
        w
    });
    check("when something has been given back it takes new data", w == Some(MIB), format!("{w:?}"));
    check("which reads back", disk.top.read(at, MIB)? == data, "");
    disk.top.write(at, &zeros)?;
    Ok(())
}

/// The device fails a write. Leaves the volume open for reading only; the scenario locks and unlocks it.
pub(crate) fn fails(disk: &Disk) {
    let outcome = (|| -> Result<(), Error> {
        let (base, data) = (28 * MIB as u64, fresh(8, MIB));
        disk.class(CLASS_EXTENDED, 0, 3)?;
        disk.port(|_| ())?;
        disk.top.write(base, &data)?;
        let a = flush(disk)?;
        check("a flush before the failure succeeds", a.good(), a.text());
        disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_MEDIUM, ON_WRITE, u32::MAX))?;
        let w = disk.top.write(base + MIB as u64, &fresh(9, MIB));
        check(
            "a write that the device fails is an error",
            w.is_err() && w != Err(TIMED_OUT),
            format!("{w:?}"),
        );
        disk.port(|_| ())?;
        let w = disk.top.write(base + MIB as u64, &fresh(9, MIB));
        check("and so are all after it", w.is_err() && w != Err(TIMED_OUT), format!("{w:?}"));
        check("what was there is read", disk.top.read(base, MIB)? == data, "");
        Ok(())
    })();
    check("suite of a failing device ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}

/// After [`fails`], and after the volume was locked and unlocked: it is well.
pub(crate) fn mended(disk: &Disk) {
    let outcome = (|| -> Result<(), Error> {
        let base = 28 * MIB as u64;
        check("what was flushed before the failure is there", disk.top.read(base, MIB)? == fresh(8, MIB), "");
        let (at, data) = (base + MIB as u64, fresh(10, MIB));
        disk.top.write(at, &data)?;
        check("writing goes on", disk.top.read(at, MIB)? == data, "");
        Ok(())
    })();
    check("suite of a mended volume ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}

/// Leaves the disk removed.
pub(crate) fn surprise(disk: &Disk) {
    let outcome = (|| -> Result<(), Error> {
        disk.class(0, 0, 0)?;
        disk.port(|m| m.freeze = 1)?;
        let base = 4 * MIB as u64;
        let flying: Vec<_> = (0..8u64)
            .map(|i| match i % 2 {
                0 => disk.top.start_read(base + i * 65536, 65536),
                _ => disk.top.start_write(base + i * 65536, fresh(i, 65536)),
            })
            .collect();
        thread::sleep(Duration::from_millis(200));
        let s = disk.pnp(SURPRISE, 0)?;
        check("SURPRISE_REMOVAL succeeds", s == 0, format!("{s:#x}"));
        let ends: Vec<Error> = flying.into_iter().map(|one| one.wait_count().err().unwrap_or(0)).collect();
        check(
            "requests under way end when the disk is pulled",
            !ends.contains(&TIMED_OUT),
            format!("{ends:?}"),
        );
        let (r, w) = (disk.top.read(0, 4096), disk.top.write(0, &marked(4096)));
        check(
            "later requests fail at once",
            r.is_err() && w.is_err() && r != Err(TIMED_OUT),
            format!("{:?} {w:?}", r.map(|b| b.len())),
        );
        let s = disk.pnp(2, 0)?;
        check("REMOVE_DEVICE after it succeeds", s == 0, format!("{s:#x}"));
        Ok(())
    })();
    check("surprise removal ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}
