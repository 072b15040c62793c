//! Stages of other drivers in the chains of units that `sluice.sys` drives: there from the first I/O of a unit that is found
//! later, seeing all that moves blocks, and gone while I/O flows, with their unit, and before it.

use std::{thread, time::Duration};

use super::{
    adapter::{OWN, ran},
    policy::marked,
};
use crate::{
    adapter::{Adapter, minor},
    device::Error,
    disk::{Disk, Request, cdb},
    load::Load,
    report::check,
    stage::{ABOVE, Action, BELOW, EVERY_DISK, Probes, Registration, service},
};

const UNIT: u64 = 64 << 10;

/// On an adapter of its own.
pub(crate) fn run(adapter: &Adapter) {
    ran("the suite of watched units", watched(adapter));
}

fn watched(adapter: &Adapter) -> Result<(), Error> {
    adapter.set("Megabytes", 16)?;
    adapter.set("Units", 1)?;
    let added = adapter.add("Root\\SluiceRam")?;
    check("the driver takes an adapter", added.add_status == 0, format!("{added:x?}"));
    let started = adapter.pnp(minor::START)?;
    let disk = adapter.only(&adapter.scan("")?)?;
    check("and starts it", started == 0, format!("{started:#x}"));
    let probes = Probes::open(&adapter.bench)?;
    sees(&probes, &disk)?;
    comes_later(adapter, &probes)?;
    flows(&probes, &disk)?;
    goes_first(adapter, &probes, disk)?;
    let unloaded = service(&adapter.bench, "sluicestage", false)?;
    let live = adapter.bench.counters()?.live;
    check("nothing is left behind", unloaded == 0 && live == OWN, format!("{unloaded:#x} {live}"));
    Ok(())
}

/// What a probe has seen since `before`: requests, and bytes of reads and writes.
fn since(probes: &Probes, before: (u64, u64)) -> Result<(u64, u64), Error> {
    let seen = probes.seen(0)?;
    Ok((seen.requests - before.0, seen.bytes - before.1))
}

fn sees(probes: &Probes, disk: &Disk) -> Result<(), Error> {
    for (place, name) in [(ABOVE, "above"), (BELOW, "below")] {
        probes.mode(0, Action::Keep, [0; 2])?;
        let mut r = Registration::observer(0, EVERY_DISK);
        r.place = place;
        let handle = probes.accept(&r)?;
        let start = probes.seen(0)?;
        let before = (start.requests, start.bytes);
        let data = marked(UNIT as usize);
        let wrote = disk.top.write(0, &data)?;
        let same = disk.top.read(0, data.len())? == data;
        let (requests, bytes) = since(probes, before)?;
        check(
            &format!("a stage {name} that keeps every I/O sees what a unit's chain carries"),
            wrote == data.len() && same && requests >= 2 && bytes == 2 * UNIT,
            format!("{wrote} {same} {requests} {bytes}"),
        );
        // WRITE SAME of one sector to eight: the chain carries all of them.
        let mut same = cdb::ten(0x41, 0, 8);
        same[8] = 8;
        let filled = disk.send(&Request::cdb(&same).writes(&marked(512)))?;
        let (_, more) = since(probes, before)?;
        check(
            &format!("and WRITE SAME ({name})"),
            filled.good() && more - bytes == 4096 && disk.top.read(0, 4096)? == marked(512).repeat(8),
            format!("{} {more}", filled.text()),
        );
        // COMPARE AND WRITE goes past every stage.
        let compared = disk.send(
            &Request::cdb(&[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]).writes(&marked(1024)),
        )?;
        check(
            &format!("what a stage could not see is refused ({name})"),
            compared.sense == [5, 0x20, 0],
            compared.text(),
        );
        let left = probes.unregister(handle, 0)?;
        let s = probes.seen(0)?;
        disk.top.read(0, 4096)?;
        check(
            &format!("and sees nothing when it has left ({name})"),
            left == 0 && (s.detached, s.after_detach) == (1, 0) && probes.seen(0)?.requests == s.requests,
            format!("{left:#x} {s:?}"),
        );
    }
    Ok(())
}

/// A unit that is found while a stage is there.
fn comes_later(adapter: &Adapter, probes: &Probes) -> Result<(), Error> {
    probes.mode(0, Action::Pass, [0; 2])?;
    let handle = probes.accept(&Registration::observer(0, EVERY_DISK))?;
    adapter.set("Units", 2)?;
    let second = adapter.only(&adapter.scan("")?)?;
    let before = probes.seen(0)?.bytes;
    second.top.write(0, &marked(4096))?;
    let bytes = probes.seen(0)?.bytes - before;
    check("a unit that comes later has the stage in its chain", bytes == 4096, bytes);
    // It goes with the stage inside.
    adapter.set("Units", 1)?;
    let gone = adapter.scan("")?;
    let removed = adapter.remove(second)?;
    let left = probes.unregister(handle, 0)?;
    let s = probes.seen(0)?;
    check(
        "and goes before the stage does",
        (gone.missing_count, removed, left) == (1, 0, 0) && (s.detached, s.at_detach) == (1, 0),
        format!("{gone:x?} {removed:#x} {left:#x} {s:?}"),
    );
    Ok(())
}

fn flows(probes: &Probes, disk: &Disk) -> Result<(), Error> {
    let load = Load::start(disk.number, disk.sector);
    let (mut bad, mut used) = (Vec::new(), 0);
    for turn in 0..30u32 {
        probes.mode(0, [Action::Keep, Action::Pass, Action::KeepEarly][turn as usize % 3], [0; 2])?;
        let mut r = Registration::observer(0, EVERY_DISK);
        r.place = if turn % 2 == 0 { ABOVE } else { BELOW };
        let before = probes.seen(0)?.requests;
        let handle = probes.accept(&r)?;
        thread::sleep(Duration::from_millis(5));
        let status = probes.unregister(handle, 0)?;
        let s = probes.seen(0)?;
        used += u32::from(s.requests > before);
        if status != 0 || (s.detached, s.after_detach, s.at_detach) != (1, 0, 0) {
            bad.push(format!("turn {turn}: {status:#x} {s:?}"));
        }
    }
    let outcome = load.end();
    check(
        "stages come and go while I/O flows, and nothing is lost",
        bad.is_empty() && used > 3 && outcome.good > 0 && outcome.wrong == 0 && outcome.errors.is_empty(),
        format!("{used} {outcome:?} {bad:?}"),
    );
    Ok(())
}

/// The adapter is taken away with a stage in the chains of its units.
fn goes_first(adapter: &Adapter, probes: &Probes, disk: Disk) -> Result<(), Error> {
    let handle = probes.accept(&Registration::observer(0, EVERY_DISK))?;
    let s = [adapter.remove(disk)?, adapter.pnp(minor::QUERY_REMOVE)?, adapter.pnp(minor::REMOVE)?];
    let left = probes.unregister(handle, 0)?;
    let seen = probes.seen(0)?;
    check(
        "an adapter goes before a stage that watches it",
        s == [0; 3] && left == 0 && seen.detached == 1,
        format!("{s:x?} {left:#x} {seen:?}"),
    );
    Ok(())
}
