//! Requests that end before their time: cancelled, or their device pulled out
//! from under them. And plug and play, power, flush.

use std::{thread, time::Duration};

use super::policy::marked;
use crate::{
    device::{Error, Pending, TIMED_OUT},
    disk::{self, Answer, Disk, Request, cdb},
    interface::*,
    report::check,
};

const ERROR_OPERATION_ABORTED: u32 = 995;
const STATUS_SUCCESS: u32 = 0;
const D0: u32 = 1;
const D3: u32 = 4;

mod minor {
    pub(crate) const QUERY_REMOVE: u32 = 1;
    pub(crate) const CANCEL_REMOVE: u32 = 3;
    pub(crate) const STOP: u32 = 4;
    pub(crate) const QUERY_STOP: u32 = 5;
    pub(crate) const CANCEL_STOP: u32 = 6;
    pub(crate) const START: u32 = 0;
    pub(crate) const RELATIONS: u32 = 7;
    pub(crate) const CAPABILITIES: u32 = 9;
    pub(crate) const QUERY_ID: u32 = 0x13;
    pub(crate) const USAGE: u32 = 0x16;
    pub(crate) const SURPRISE: u32 = 0x17;
}

/// Freezes the port and gets some reads and writes stuck in it.
fn stuck(disk: &Disk, base: u64) -> Result<Vec<Pending>, Error> {
    disk.port(|m| m.freeze = 1)?;
    let flying: Vec<_> = (0..8u64)
        .map(|i| {
            if i % 2 == 0 {
                disk.top.start_read(base + i * 65536, 65536)
            } else {
                disk.top.start_write(base + i * 65536, marked(65536))
            }
        })
        .collect();
    for _ in 0..200 {
        if disk.statistics()?.in_flight >= 8 {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let s = disk.statistics()?;
    check(
        "eight requests are under way at the port",
        s.in_flight >= 8 && flying.iter().all(|p| !p.is_over()),
        format!("{} in flight", s.in_flight),
    );
    Ok(flying)
}

fn endings(flying: Vec<Pending>) -> Vec<Error> {
    flying.into_iter().map(|p| p.wait_count().err().unwrap_or(0)).collect()
}

/// RESET: the device gives back what it has, and the filter its callers' requests with it.
pub(crate) fn reset(disk: &Disk) {
    let outcome = (|| -> Result<(), Error> {
        let base = 4 << 20;
        for (name, function) in [("BUS", 0x12), ("DEVICE", 0x13), ("LOGICAL_UNIT", 0x20)] {
            disk.class(CLASS_EXTENDED, 0, 0)?;
            let flying = stuck(disk, base)?;
            let done = disk.send(&Request::function(function).extended(true))?;
            let ends = endings(flying);
            check(
                &format!("RESET_{name} passes at once, and what was under way fails"),
                done.good() && ends.iter().all(|end| *end != 0 && *end != TIMED_OUT),
                format!("{} {ends:?}", done.text()),
            );
            disk.port(|_| ())?;
            disk.top.write(base, &marked(1 << 20))?;
            let back = disk.top.read(base, 1 << 20)?;
            check("after a reset a write reads back", back == marked(1 << 20), back.len());
        }
        Ok(())
    })();
    check("reset suite ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}

/// The same below a mapped volume, whose engine asks again.
pub(crate) fn reset_mapped(disk: &Disk) {
    let outcome = (|| -> Result<(), Error> {
        let (base, data) = (4 << 20, marked(1 << 16));
        disk.top.write(base, &data)?;
        disk.port(|m| m.freeze = 1)?;
        let flush = Request::cdb(&cdb::ten(0x35, 0, 0)).start(disk);
        for _ in 0..200 {
            if disk.statistics()?.in_flight > 0 {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let under_way = disk.statistics()?.in_flight > 0;
        let done = disk.send(&Request::function(0x12))?;
        thread::sleep(Duration::from_millis(50));
        let waits = !flush.is_over();
        disk.port(|_| ())?;
        let flushed = flush.wait().and_then(|bytes| Answer::parse(&bytes))?;
        let back = disk.top.read(base, data.len())?;
        check(
            "a reset under a flush of a mapped volume is got over",
            under_way && done.good() && waits && flushed.good() && back == data,
            format!("under way {under_way}, waits {waits}, {}", flushed.text()),
        );
        Ok(())
    })();
    check("reset suite ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}

pub(crate) fn cancel(disk: &Disk) {
    let outcome = (|| -> Result<(), Error> {
        let base = 4 << 20;
        for flags in [0, CLASS_EXTENDED | CLASS_CDB16] {
            disk.class(flags, 0, 0)?;
            let flying = stuck(disk, base)?;
            let n = disk.cancel()?;
            let ends = endings(flying);
            check(
                "cancelled requests come back as cancelled",
                ends.iter().all(|e| *e == ERROR_OPERATION_ABORTED),
                format!("{n} cancelled: {ends:?}"),
            );
            disk.port(|_| ())?;
            let w = disk.top.write(base, &marked(1 << 20))?;
            let back = disk.top.read(base, 1 << 20)?;
            check("after a cancellation a write reads back", w == 1 << 20 && back == marked(1 << 20), w);
        }
        // One after the other, while they run.
        for round in 0..20 {
            let flying: Vec<_> =
                (0..8u64).map(|i| disk.top.start_read(base + i * 131_072, 131_072)).collect();
            disk.cancel()?;
            let ends = endings(flying);
            if ends.contains(&TIMED_OUT) {
                check("requests cancelled on the run all end", false, format!("round {round}: {ends:?}"));
            }
        }
        let s = disk.statistics()?;
        check(
            "nothing stays under way",
            s.in_flight == 0 && s.pending == 0,
            format!("{} and {}", s.in_flight, s.pending),
        );
        Ok(())
    })();
    check("cancellation suite ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}

/// Leaves the disk removed.
pub(crate) fn surprise(disk: Disk) {
    let outcome = (|| -> Result<(), Error> {
        disk.class(0, 0, 0)?;
        let flying = stuck(&disk, 4 << 20)?;
        let s = disk.pnp(minor::SURPRISE, 0)?;
        check("SURPRISE_REMOVAL succeeds", s == STATUS_SUCCESS, format!("{s:#x}"));
        let ends = endings(flying);
        check(
            "requests under way end with an error when the disk is pulled",
            ends.iter().all(|e| *e != 0 && *e != TIMED_OUT),
            format!("{ends:?}"),
        );
        let r = disk.top.read(0, 4096);
        let w = disk.top.write(0, &marked(4096));
        check(
            "later requests fail at once",
            r.is_err() && w.is_err() && r != Err(TIMED_OUT),
            format!("{:?} {w:?}", r.map(|b| b.len())),
        );
        Ok(())
    })();
    check("surprise removal ran to its end", outcome.is_ok(), format!("{outcome:?}"));
    let Disk { number, top, bench, .. } = disk;
    drop(top);
    let s = disk::pnp(&bench, number, 2, 0);
    check("REMOVE_DEVICE after it succeeds", s == Ok(STATUS_SUCCESS), format!("{s:x?}"));
}

fn same(disk: &Disk, at: u64, data: &[u8], when: &str) -> Result<(), Error> {
    let back = disk.top.read(at, data.len())?;
    check(&format!("data is unharmed {when}"), back == data, back.len());
    Ok(())
}

fn usage(disk: &Disk, transformed: bool) -> Result<(), Error> {
    for (name, kind) in [("hibernation", 2), ("dump", 3)] {
        let s = disk.pnp(minor::USAGE, kind | 0x100)?;
        if transformed {
            check(
                &format!("{name} file on a transformed volume is refused"),
                s != STATUS_SUCCESS,
                format!("{s:#x}"),
            );
        } else {
            check(&format!("{name} file on a plain disk is allowed"), s == STATUS_SUCCESS, format!("{s:#x}"));
            disk.pnp(minor::USAGE, kind)?;
        }
    }
    let (on, off) = (disk.pnp(minor::USAGE, 0x101)?, disk.pnp(minor::USAGE, 1)?);
    check(
        "a page file comes and goes",
        on == STATUS_SUCCESS && off == STATUS_SUCCESS,
        format!("{on:#x} {off:#x}"),
    );
    Ok(())
}

fn plug_and_play(disk: &Disk, at: u64, data: &[u8]) -> Result<(), Error> {
    use minor::*;
    for (name, m, argument) in [
        ("QUERY_CAPABILITIES", CAPABILITIES, 0),
        ("QUERY_DEVICE_RELATIONS, target", RELATIONS, 4),
        ("QUERY_REMOVE_DEVICE", QUERY_REMOVE, 0),
        ("CANCEL_REMOVE_DEVICE", CANCEL_REMOVE, 0),
        ("QUERY_STOP_DEVICE", QUERY_STOP, 0),
        ("CANCEL_STOP_DEVICE", CANCEL_STOP, 0),
    ] {
        let s = disk.pnp(m, argument)?;
        check(&format!("{name} succeeds"), s == STATUS_SUCCESS, format!("{s:#x}"));
    }
    same(disk, at, data, "after queries and their withdrawal")?;
    let s = disk.pnp(QUERY_ID, 1)?;
    check("a request that the bus does not know stays NOT_SUPPORTED", s == 0xc000_00bb, format!("{s:#x}"));
    let s = [disk.pnp(QUERY_STOP, 0)?, disk.pnp(STOP, 0)?, disk.pnp(START, 0)?];
    check("stop and start again succeed", s[0] == 0 && s[1] == 0, format!("{s:x?}"));
    same(disk, at, data, "after stop and start")
}

/// `transformed`: the disk holds an unlocked volume.
pub(crate) fn pnp(disk: &Disk, transformed: bool) {
    let outcome = (|| -> Result<(), Error> {
        let at = 2 << 20;
        let data = marked(1 << 20);
        disk.class(CLASS_EXTENDED, 0, 0)?;
        disk.port(|_| ())?;
        disk.top.write(at, &data)?;
        usage(disk, transformed)?;
        for round in ["once", "twice"] {
            let s = [disk.power(D3)?, disk.power(D0)?];
            check(&format!("power down and up {round}"), s == [0, 0], format!("{s:x?}"));
            same(disk, at, &data, &format!("after power {round}"))?;
        }
        flush(disk, at, &data)?;
        plug_and_play(disk, at, &data)
    })();
    check("PnP and power suite ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}

fn flush(disk: &Disk, at: u64, data: &[u8]) -> Result<(), Error> {
    let before = disk.statistics()?;
    let a = disk.send(&disk::Request::cdb(&disk::cdb::ten(0x35, 0, 0)))?;
    let f = disk.send(&disk::Request::function(0x08))?;
    let after = disk.statistics()?;
    check(
        "SYNCHRONIZE CACHE and SRB_FUNCTION_FLUSH reach the device",
        a.good() && f.good() && after.flushes >= before.flushes + 2,
        format!("{} / {}", a.text(), f.text()),
    );
    disk.class(CLASS_FUA, 0, 0)?;
    disk.top.write(at, data)?;
    let fua = disk.statistics()?;
    let kept = fua.fua_writes > after.fua_writes || fua.flushes > after.flushes;
    check("FUA reaches the device", kept, format!("{} FUA writes", fua.fua_writes - after.fua_writes));
    disk.class(CLASS_PAGING, 0, 0)?;
    disk.top.write(at, data)?;
    disk.class(0, 0, 0)
}
