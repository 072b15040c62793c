//! The C miniport that does everything wrong (`tests/c-miniport/torture`), in a driver that is linked to `sluice.sys`: each
//! request ends once, with the data or the status that it should have, and whatever the miniport does, others go on.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::adapter::{OWN, one_unit, ran};
use crate::{
    adapter::{Adapter, minor},
    device::{Error, TIMED_OUT},
    disk::{Answer, Disk, Request, cdb},
    report::{self, check},
    service,
};

/// Blocks of a stretch of the disk, in which each request is treated in one way.
const STRETCH: u32 = 256;
const SECTOR: u32 = 512;
const DATA_OVERRUN: u8 = 0x12;
const ERROR: u8 = 0x04;

/// As in `torments.h`: those that move data as they should, whatever else they do.
const CARRIES: [(&str, u32); 15] = [
    ("nothing", 0),
    ("completes out of order", 1),
    ("completes late, from a timer", 2),
    ("completes from a DPC", 3),
    ("completes from a work item", 4),
    ("completes before StartIo", 5),
    ("completes twice", 6),
    ("completes what nobody sent", 7),
    ("says busy three times", 8),
    ("refuses three times", 9),
    ("tells of more than there was", 11),
    ("says that its unit stays busy", 17),
    ("tells of a thousand bus changes", 19),
    ("takes locks in a wrong order", 22),
    ("forgets what it has allocated", 23),
];
const SHORT: u32 = 10;
const SENSE: u32 = 12;
const SENSELESS: u32 = 13;
const UNKNOWN_STATUS: u32 = 14;
const PENDING: u32 = 15;
const PAUSE: u32 = 16;
const RESET: u32 = 18;
const NEVER: u32 = 20;
const LOST: u32 = 21;

/// `miniport`: the file of the driver in `C:\\drv`. `all`: also what takes seconds.
pub(crate) fn run(adapter: &Adapter, miniport: &str, all: bool) {
    let installed = service::install("torture", &format!("C:\\drv\\{miniport}"));
    if let Err(e) = installed {
        report::fatal(format!("install {miniport}: error {e}"));
    }
    ran(miniport, life(adapter, all));
}

fn life(adapter: &Adapter, all: bool) -> Result<(), Error> {
    // So that sluice.sys is there when the miniport is linked to it, as its load order says on Windows.
    adapter.add("Root\\SluiceNothing")?;
    let added = adapter.add_for("torture", "Root\\SluiceTestTorture")?;
    let disk = one_unit(adapter, &added, ["its driver takes its adapter", "it starts", "its unit is found"])?;
    for (name, torment) in CARRIES {
        carries(&disk, name, torment, 8)?;
    }
    let (_, before, _) = adapter.control(0, &[], 0)?;
    check(
        "that units may have come or gone is passed on, not a thousand times",
        (1..500).contains(&before),
        before,
    );
    spoilt(&disk)?;
    paused(&disk)?;
    if all {
        // Its eighth request resets: four are started over, once, after the bus has been left alone for some seconds.
        carries(&disk, "resets its bus by itself", RESET, 4)?;
        carries(&disk, "nothing any more", 0, 8)?;
        lost(adapter, disk)?;
    } else {
        let s = [adapter.remove(disk)?, adapter.pnp(minor::QUERY_REMOVE)?];
        check("its unit goes", s == [0; 2], format!("{s:x?}"));
    }
    let s = adapter.pnp(minor::REMOVE)?;
    let live = adapter.bench.counters()?.live;
    check(
        "it is removed, and only what it has registered is left",
        (s, live) == (0, OWN + 2),
        format!("{s:#x} {live}"),
    );
    Ok(())
}

/// So many requests at once are written, then read.
fn carries(disk: &Disk, name: &str, torment: u32, requests: u32) -> Result<(), Error> {
    const BYTES: usize = 8192;
    let place = |n: u32| u64::from((torment * STRETCH + n * 16) * SECTOR);
    let data = |n: u32| -> Vec<u8> {
        (0..BYTES as u32)
            .map(|i| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8 ^ (torment * 8 + n) as u8)
            .collect()
    };
    let began = Instant::now();
    let writes: Vec<_> = (0..requests).map(|n| disk.top.start_write(place(n), data(n))).collect();
    let written: Vec<_> = writes.into_iter().map(|write| write.wait_count()).collect();
    let reads: Vec<_> = (0..requests).map(|n| disk.top.start_read(place(n), BYTES)).collect();
    let same = reads.into_iter().enumerate().all(|(n, read)| read.wait() == Ok(data(n as u32)));
    check(
        &format!("data is what was written by a miniport that does: {name}"),
        same && written.iter().all(|count| *count == Ok(BYTES)),
        format!("{written:x?}, read back {same}, {:?}", began.elapsed()),
    );
    Ok(())
}

fn read(disk: &Disk, torment: u32) -> Result<Answer, Error> {
    disk.send(&Request::cdb(&cdb::read10(torment * STRETCH, 8)).reads(8 * SECTOR as usize))
}

/// What it says of a request reaches whoever has sent it; what cannot be is no success.
fn spoilt(disk: &Disk) -> Result<(), Error> {
    let a = read(disk, SHORT)?;
    check("a short transfer is one", (a.srb_status, a.transferred) == (DATA_OVERRUN, 4 * SECTOR), a.text());
    let a = read(disk, SENSE)?;
    check("sense data arrives", (a.srb_status, &a.sense[..2]) == (ERROR, &[3, 0x11]), a.text());
    let a = read(disk, SENSELESS)?;
    check("and is not made up", !a.good() && a.sense == [0; 3], a.text());
    for (name, torment) in [("that there is not", UNKNOWN_STATUS), ("of a request under way", PENDING)] {
        let a = read(disk, torment)?;
        check(&format!("a status {name} is no success"), !a.good(), a.text());
    }
    carries(disk, "nothing any more", 0, 8)
}

/// It pauses for a second, and never resumes.
fn paused(disk: &Disk) -> Result<(), Error> {
    let began = Instant::now();
    let (first, then) = (read(disk, PAUSE)?, read(disk, 0)?);
    let took = began.elapsed();
    check(
        "a pause that nobody ends ends by itself",
        first.good() && then.good() && took > Duration::from_millis(900) && took < Duration::from_secs(8),
        format!("{took:?}"),
    );
    Ok(())
}

/// Pulled out while it has what it never gives back.
fn lost(adapter: &Adapter, disk: Disk) -> Result<(), Error> {
    let at = |torment: u32| u64::from(torment * STRETCH * SECTOR);
    let kept: Vec<_> = [NEVER, LOST].map(|torment| disk.top.start_read(at(torment), 4096)).into();
    thread::sleep(Duration::from_millis(50));
    let began = Instant::now();
    let s = adapter.pnp(minor::SURPRISE)?;
    let ended: Vec<_> = kept.into_iter().map(|read| read.wait()).collect();
    check(
        "what it has kept when it is pulled out is given up",
        s == 0 && ended.iter().all(|read| read.is_err() && *read != Err(TIMED_OUT)),
        format!("{s:#x} {ended:x?} {:?}", began.elapsed()),
    );
    let s = [disk.pnp(minor::SURPRISE, 0)?, adapter.remove(disk)?];
    check("and its unit goes", s == [0; 2], format!("{s:x?}"));
    Ok(())
}
