//! The virtio-blk miniport on a PCI function that the bench plays: the modern device with messages and memory that it
//! reaches; the transitional one with a line, and DMA that is translated.

use std::{thread, time::Duration};

use super::{
    adapter::{OWN, PASS_THROUGH, Starved, hammer, one_unit, passed, ran, starves, text},
    sleep,
};
use crate::{
    adapter::{Adapter, minor},
    device::{Error, TIMED_OUT},
    disk::{Disk, Request, cdb},
    interface::*,
    report::check,
};

const MIB: u64 = 1 << 20;
const MODERN: &str = "PCI\\VEN_1AF4&DEV_1042";
const TRANSITIONAL: &str = "PCI\\VEN_1AF4&DEV_1001";
const STATUS_UNSUCCESSFUL: u32 = 0xc000_0001;

pub(crate) fn run(adapter: &Adapter) {
    ran("the modern device", life(adapter, MODERN, 8));
    ran("the transitional device", life(adapter, TRANSITIONAL, 1));
    ran("the modern device, pulled out", pulled(adapter, MODERN));
    ran("the transitional device, pulled out", pulled(adapter, TRANSITIONAL));
}

/// Each allocation of its life fails in turn: pool, mappings, DMA, the interrupt.
pub(crate) fn starve(adapter: &Adapter, most: u32) {
    starves(adapter, &Starved { service: "sluice", hardware: MODERN, units: 1, left: OWN }, most);
}

fn start(adapter: &Adapter, hardware: &str) -> Result<Disk, Error> {
    let added = adapter.add(hardware)?;
    let taken = format!("the driver takes {hardware}");
    one_unit(adapter, &added, [&taken, "it finds and starts the device", "its disk is found"])
}

/// A pattern in which every stretch of it looks different.
fn pattern(length: u32, seed: u32) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 11) as u8 ^ seed as u8).collect()
}

/// `sixteenths`: of a MiB that the adapter takes at once, at least.
fn life(adapter: &Adapter, hardware: &str, sixteenths: u32) -> Result<(), Error> {
    let disk = start(adapter, hardware)?;
    let (s, id) = adapter.query(&disk, minor::QUERY_ID, 0)?;
    check("the disk has its name", s == 0 && text(&id).starts_with("SCSI\\DiskVirtIO"), text(&id));
    let (s, _, told) = adapter.control(0x002d_1400, &[[1, 0, 0, 0], [0; 4], [0; 4]].concat(), 64)?;
    let most = u32::from_le_bytes([told[8], told[9], told[10], told[11]]);
    check(
        "the adapter takes as much as its card",
        s == 0 && most >= sixteenths << 16 && most <= 1 << 20,
        most,
    );
    let serial = disk.top.control(PASS_THROUGH, &passed(&[0x12, 1, 0x80, 0, 64, 0], 1, &[], 64), 152)?;
    check("and its serial number, from the device", serial[92..].starts_with(b"played-card"), serial.len());
    for flags in [0, CLASS_EXTENDED | CLASS_CDB16, CLASS_CDB12, CLASS_FUA] {
        disk.class(flags, 0, 0)?;
        let data = pattern(3 << 20, flags);
        let w = disk.top.write(MIB, &data)?;
        let back = disk.top.read(MIB, data.len())?;
        check(
            &format!("3 MiB read back, class driver's mode {flags:#x}"),
            w == data.len() && back == data,
            w,
        );
    }
    many(&disk)?;
    let a = disk.send(&Request::cdb(&cdb::ten(0x35, 0, 0)))?;
    let f = disk.send(&Request::function(0x08))?;
    check("SYNCHRONIZE CACHE and FLUSH", a.good() && f.good(), format!("{} / {}", a.text(), f.text()));
    let end = disk.top.read(16 * MIB, 512);
    check("beyond the end is refused", end.is_err() && end != Err(TIMED_OUT), format!("{end:?}"));
    let kept = disk.top.read(MIB, 65536)?;
    for (name, function) in [("BUS", 0x12), ("LOGICAL_UNIT", 0x20)] {
        let a = disk.send(&Request::function(function))?;
        let r = disk.top.read(MIB, 65536);
        check(&format!("RESET_{name}, and it goes on"), a.good() && r.as_ref() == Ok(&kept), a.text());
    }
    let s = adapter.pnp(minor::QUERY_STOP)?;
    check("its resources are not to be moved", s == STATUS_UNSUCCESSFUL, format!("{s:#x}"));
    let s = [adapter.pnp(minor::STOP)?, adapter.pnp(minor::START)?];
    let r = disk.top.read(MIB, 65536);
    check(
        "stopped all the same, and started with those it had, it goes on",
        s == [0; 2] && r.as_ref() == Ok(&kept),
        format!("{s:x?}"),
    );
    let s = [disk.power(4)?, adapter.power(4)?, adapter.power(1)?, disk.power(1)?];
    let r = disk.top.read(MIB, 65536);
    check("power down and up", s == [0; 4] && r.as_ref() == Ok(&kept), format!("{s:x?}"));
    sleep::run(adapter, &disk)?;
    let s = [adapter.remove(disk)?, adapter.pnp(minor::QUERY_REMOVE)?, adapter.pnp(minor::REMOVE)?];
    check("it is removed", s == [0; 3], format!("{s:x?}"));
    let live = adapter.bench.counters()?.live;
    check("and leaves nothing behind", live == OWN, live);
    Ok(())
}

/// More at once than the device has places for.
fn many(disk: &Disk) -> Result<(), Error> {
    disk.class(CLASS_EXTENDED, 0, 0)?;
    let blocks: Vec<Vec<u8>> = (0..128).map(|n| pattern(65536, n)).collect();
    let place = |n: usize| n as u64 * 65536;
    let writes: Vec<_> =
        blocks.iter().enumerate().map(|(n, b)| disk.top.start_write(place(n), b.clone())).collect();
    let written = writes.into_iter().all(|w| w.wait_count() == Ok(65536));
    let reads: Vec<_> = (0..128).map(|n| disk.top.start_read(place(n), 65536)).collect();
    let same = reads.into_iter().zip(&blocks).all(|(r, b)| r.wait().as_ref() == Ok(b));
    check("128 at once are written and read", written && same, format!("{written} {same}"));
    Ok(())
}

/// Under load.
fn pulled(adapter: &Adapter, hardware: &str) -> Result<(), Error> {
    let disk = start(adapter, hardware)?;
    let number = disk.number;
    let workers: Vec<_> = (0..2u64).map(|worker| thread::spawn(move || hammer(number, worker))).collect();
    thread::sleep(Duration::from_millis(200));
    let s = adapter.pnp(minor::SURPRISE)?;
    let workers: Vec<_> = workers.into_iter().map(|w| w.join().unwrap_or((0, 0, true))).collect();
    check(
        "requests under way when it is pulled out end, those before it well",
        s == 0 && workers.iter().all(|w| w.0 > 0 && w.1 > 0 && !w.2),
        format!("{s:#x} {workers:?}"),
    );
    let s = [disk.pnp(minor::SURPRISE, 0)?, adapter.remove(disk)?, adapter.pnp(minor::REMOVE)?];
    let live = adapter.bench.counters()?.live;
    check("and its stacks go", s == [0; 3] && live == OWN, format!("{s:x?} {live}"));
    Ok(())
}
