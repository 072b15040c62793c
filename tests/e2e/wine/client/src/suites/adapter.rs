//! The driver as the function driver of an adapter: what its units say of themselves, what they do with requests, and
//! how they come and go.

use std::{process::Command, thread, time::Duration};

use super::{policy::marked, programs, sleep};
use crate::{
    adapter::{Adapter, minor},
    device::{Error, TIMED_OUT},
    disk::{self, Disk, Request, cdb},
    interface::*,
    report::{self, check},
};

/// Kernel objects that the driver has while it is loaded: the control device and its name.
pub(super) const OWN: u32 = 2;
const RAM: &str = "Root\\SluiceRam";
const MIB: u64 = 1 << 20;
const SRB_LOCK_QUEUE: u32 = 0x18;
const SRB_UNLOCK_QUEUE: u32 = 0x19;
const SRB_QUIESCE: u32 = 0x1a;
const SRB_CLAIM: u32 = 0x01;
const SRB_RELEASE: u32 = 0x06;
const SRB_FLUSH_QUEUE: u32 = 0x15;
const SRB_RESETS: [(&str, u32); 3] = [("BUS", 0x12), ("DEVICE", 0x13), ("LOGICAL_UNIT", 0x20)];

/// An adapter of `megabytes` with `units` disks, started.
fn start(adapter: &Adapter, megabytes: u32, units: u32) -> Result<(), Error> {
    adapter.set("Megabytes", megabytes)?;
    adapter.set("Units", units)?;
    let added = adapter.add(RAM)?;
    check(
        "the driver takes an adapter of class SCSIAdapter with its hardware identifier",
        (added.root_status, added.load_status, added.add_status) == (0, 0, 0),
        format!("{added:x?}"),
    );
    let s = adapter.pnp(minor::START)?;
    check("the adapter starts", s == 0, format!("{s:#x}"));
    Ok(())
}

fn end(adapter: &Adapter) -> Result<(), Error> {
    let s = [adapter.pnp(minor::QUERY_REMOVE)?, adapter.pnp(minor::REMOVE)?];
    check("the adapter is removed", s == [0, 0], format!("{s:x?}"));
    let live = adapter.bench.counters()?.live;
    check("and leaves nothing behind but the control device", live == OWN, live);
    Ok(())
}

/// The driver that was put on the adapter takes it, starts it, and one unit is found there. `told` says so, of each.
pub(super) fn one_unit(adapter: &Adapter, added: &AdapterCreated, told: [&str; 3]) -> Result<Disk, Error> {
    let [taken, started, found] = told;
    let all_well = (added.root_status, added.load_status, added.add_status) == (0, 0, 0);
    check(taken, all_well, format!("{added:x?}"));
    let s = adapter.pnp(minor::START)?;
    check(started, s == 0, format!("{s:#x}"));
    let scanned = adapter.scan("")?;
    let one = (scanned.status, scanned.failed, scanned.arrived_count) == (0, 0, 1);
    check(found, one, format!("{scanned:x?}"));
    adapter.only(&scanned)
}

pub(super) fn ran(name: &str, outcome: Result<(), Error>) {
    check(&format!("{name} ran to its end"), outcome.is_ok(), format!("{outcome:x?}"));
}

/// A whole life: start, two units, everything that can be asked of them, stop and start, remove.
pub(crate) fn lives(adapter: &Adapter) {
    ran("the adapter's suite", life(adapter));
}

fn life(adapter: &Adapter) -> Result<(), Error> {
    let stranger = adapter.add("Root\\SluiceNothing")?;
    check(
        "an adapter that no miniport drives is refused",
        stranger.add_status == 0xc000_00bb,
        format!("{stranger:x?}"),
    );
    start(adapter, 16, 2)?;
    let s = adapter.scan("")?;
    check(
        "two units are found, and a disk comes up on each",
        (s.status, s.failed, s.arrived_count) == (0, 0, 2),
        format!("{s:x?}"),
    );
    let disks = [Disk::open(s.arrived[0], 512)?, Disk::open(s.arrived[1], 512)?];
    let again = adapter.scan("")?;
    check(
        "a second look finds the same",
        (again.arrived_count, again.missing_count) == (0, 0),
        format!("{again:x?}"),
    );
    for (number, disk) in disks.iter().enumerate() {
        names(adapter, disk, number as u8)?;
        properties(disk, number as u8)?;
        pass_through(disk, number as u8)?;
        programs::run(disk)?;
    }
    let [first, second] = &disks;
    round_trips(first)?;
    second.top.write(0, &marked(4096))?;
    let other = first.top.read(0, 4096)?;
    check("the units are different disks", other != marked(4096), "");
    commands(first)?;
    queue(adapter, first)?;
    controls(adapter)?;
    stops(adapter, first)?;
    sleep::run(adapter, first)?;
    sleep::stopped_meanwhile(adapter, first)?;
    come_and_go(adapter, disks)?;
    end(adapter)
}

pub(super) fn text(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect();
    String::from_utf16_lossy(&units)
}

/// What Plug and Play is told.
fn names(adapter: &Adapter, disk: &Disk, number: u8) -> Result<(), Error> {
    let full = "SCSI\\DiskSluice__RAM_disk________0001";
    let hardware = format!(
        "{full}\0SCSI\\DiskSluice__RAM_disk________\0SCSI\\DiskSluice__\0SCSI\\Sluice__RAM_disk________0\0\
         Sluice__RAM_disk________0\0GenDisk\0\0"
    );
    let rows = [
        ("device identifier", minor::QUERY_ID, 0, format!("{full}\0")),
        ("hardware identifiers", minor::QUERY_ID, 1, hardware),
        ("compatible identifiers", minor::QUERY_ID, 2, "SCSI\\Disk\0SCSI\\RAW\0\0".to_owned()),
        ("instance identifier", minor::QUERY_ID, 3, format!("0000{number:02x}\0")),
        ("description", minor::DEVICE_TEXT, 0, "Sluice RAM disk SCSI Disk Device\0".to_owned()),
        ("location", minor::DEVICE_TEXT, 1, format!("Bus Number 0, Target Id 0, LUN {number}\0")),
    ];
    for (name, minor, argument, wanted) in rows {
        let (s, answer) = adapter.query(disk, minor, argument)?;
        check(
            &format!("the unit's {name} is as documented"),
            s == 0 && text(&answer) == wanted,
            format!("{s:#x} {:?}", text(&answer)),
        );
    }
    let (s, _) = adapter.query(disk, minor::QUERY_ID, 5)?;
    check("an identifier that is not there stays NOT_SUPPORTED", s == 0xc000_00bb, format!("{s:#x}"));
    let (s, bus) = adapter.query(disk, minor::BUS_INFORMATION, 0)?;
    check(
        "the bus is described",
        s == 0 && bus.len() == 24 && bus[..4] == [0x7b, 0xe9, 0x36, 0x4d],
        format!("{s:#x} {bus:x?}"),
    );
    let (s, c) = adapter.query(disk, minor::CAPABILITIES, 0)?;
    let states: Vec<u8> = c.get(16..44).unwrap_or(&[]).iter().step_by(4).copied().collect();
    check(
        "capabilities: off whenever the machine is",
        s == 0 && states == [0, 1, 4, 4, 4, 4, 4],
        format!("{s:#x} {states:?}"),
    );
    let s = disk.pnp(7, 4)?;
    check("the target device relation is the unit", s == 0, format!("{s:#x}"));
    Ok(())
}

/// What programs and class drivers are told.
fn properties(disk: &Disk, number: u8) -> Result<(), Error> {
    const QUERY_PROPERTY: u32 = 0x002d_1400;
    let ask = |id: u32| disk.top.control(QUERY_PROPERTY, &[id.to_le_bytes(), [0; 4], [0; 4]].concat(), 1024);
    let adapter = ask(1)?;
    check(
        "the adapter takes 1 MiB and extended SRBs",
        adapter.len() == 32 && adapter[8..12] == [0, 0, 16, 0] && adapter[30] == 1,
        format!("{adapter:x?}"),
    );
    let device = ask(0)?;
    let at = |field: usize| {
        let offset = u32::from_le_bytes([device[field], device[field + 1], 0, 0]) as usize;
        String::from_utf8_lossy(device[offset..].split(|b| *b == 0).next().unwrap_or(&[])).into_owned()
    };
    let told = (at(12), at(16), at(20), at(24));
    let serial = format!("SLUICE-RAM-000{}", number + 1);
    check(
        "the device says its name",
        told == ("Sluice  ".into(), "RAM disk        ".into(), "0001".into(), serial),
        format!("{told:?}"),
    );
    let names = ask(2)?;
    check(
        "and its unique name, from page 83",
        names.len() == 36 && names[8] == 1 && names[28 + 3] == number,
        format!("{names:x?}"),
    );
    let seek = ask(7);
    check("a property that is not there is refused", seek == Err(50), format!("{seek:x?}")); // ERROR_NOT_SUPPORTED
    let address = disk.top.control(0x0004_1018, &[], 8)?;
    check(
        "IOCTL_SCSI_GET_ADDRESS",
        address.len() == 8 && address[0] == 8 && address[5..] == [0, 0, number],
        format!("{address:?}"),
    );
    Ok(())
}

/// A SCSI_PASS_THROUGH with room for `length` bytes at 88 and 32 bytes of sense at 56.
pub(super) fn passed(cdb: &[u8], direction: u8, data: &[u8], length: usize) -> Vec<u8> {
    let mut b = vec![0u8; 88];
    (b[0], b[6], b[7], b[8], b[16], b[24], b[32]) = (56, cdb.len() as u8, 32, direction, 10, 88, 56);
    b[12..16].copy_from_slice(&(length as u32).to_le_bytes());
    b[36..36 + cdb.len()].copy_from_slice(cdb);
    b.extend_from_slice(data);
    b
}

pub(super) const PASS_THROUGH: u32 = 0x0004_d004;

fn pass_through(disk: &Disk, number: u8) -> Result<(), Error> {
    let inquiry = disk.top.control(PASS_THROUGH, &passed(&[0x12, 0, 0, 0, 36, 0], 1, &[], 36), 124)?;
    check(
        "INQUIRY by pass-through reaches the unit",
        inquiry.len() == 124 && inquiry[2] == 0 && &inquiry[96..104] == b"Sluice  ",
        format!("{} bytes, status {}", inquiry.len(), inquiry.get(2).unwrap_or(&9)),
    );
    let serial = disk.top.control(PASS_THROUGH, &passed(&[0x12, 1, 0x80, 0, 64, 0], 1, &[], 64), 152)?;
    let wanted = [b"SLUICE-RAM-000", &[b'1' + number][..]].concat();
    check(
        "a shorter answer says so",
        serial.len() == 88 + 19 && serial[92..] == wanted,
        format!("{} bytes", serial.len()),
    );
    let block = marked(512);
    let wrote = disk.top.control(PASS_THROUGH, &passed(&cdb::write10(77, 1), 0, &block, 512), 88)?;
    let read = disk.top.control(PASS_THROUGH, &passed(&cdb::read10(77, 1), 1, &[], 512), 600)?;
    check("a block written by pass-through is read by it", wrote[2] == 0 && read[88..] == block, wrote.len());
    check("and by the class driver", disk.top.read(77 * 512, 512)? == block, "");
    let far = disk.top.control(PASS_THROUGH, &passed(&cdb::read10(1 << 30, 1), 1, &[], 512), 600)?;
    check(
        "a refusal comes back as sense data",
        far[2] == 2 && far[58] & 15 == 5 && far[68] == 0x21,
        format!("{:x?}", &far[..88]),
    );
    let mut outside = passed(&cdb::read10(0, 1), 1, &[], 512);
    outside[24] = 0xff;
    let bad = disk.top.control(PASS_THROUGH, &outside, 600);
    check("data outside the buffer is refused", bad == Err(87), format!("{:x?}", bad.map(|b| b.len()))); // ERROR_INVALID_PARAMETER
    let mut miniport = vec![0u8; 60];
    (miniport[0], miniport[24]) = (28, 32);
    let control = disk.top.control(0x0004_d008, &miniport, 60);
    check(
        "a miniport without controls refuses them",
        control == Err(1),
        format!("{:x?}", control.map(|b| b.len())),
    ); // ERROR_INVALID_FUNCTION
    Ok(())
}

fn round_trips(disk: &Disk) -> Result<(), Error> {
    for flags in [
        0,
        CLASS_EXTENDED,
        CLASS_EXTENDED | CLASS_CDB16,
        CLASS_CDB12,
        CLASS_CDB6,
        CLASS_EXTENDED | CLASS_CDB32,
        CLASS_FUA,
    ] {
        disk.class(flags, 0, 0)?;
        let data: Vec<u8> =
            (0..3 << 20).map(|i: u32| (i.wrapping_mul(0x9e37_79b9) >> 11) as u8 ^ flags as u8).collect();
        let w = disk.top.write(MIB, &data)?;
        let back = disk.top.read(MIB, data.len())?;
        check(
            &format!("3 MiB read back, class driver's mode {flags:#x}"),
            w == data.len() && back == data,
            w,
        );
    }
    disk.class(CLASS_EXTENDED, 65536, 0)?;
    // Many at once.
    let blocks: Vec<Vec<u8>> = (0..64u8).map(|n| vec![n ^ 0x5a; 65536]).collect();
    let writes: Vec<_> =
        blocks.iter().enumerate().map(|(n, b)| disk.top.start_write(n as u64 * 65536, b.clone())).collect();
    let written = writes.into_iter().all(|w| w.wait_count() == Ok(65536));
    let reads: Vec<_> = (0..64u64).map(|n| disk.top.start_read(n * 65536, 65536)).collect();
    let same = reads.into_iter().zip(&blocks).all(|(r, b)| r.wait().as_ref() == Ok(b));
    check("64 at once are written and read", written && same, format!("{written} {same}"));
    let end = disk.top.read(16 * MIB, 512);
    check("beyond the end is refused", end.is_err() && end != Err(TIMED_OUT), format!("{end:?}"));
    Ok(())
}

/// Commands that only the miniport understands, and those that move blocks without data.
fn commands(disk: &Disk) -> Result<(), Error> {
    for extended in [false, true] {
        let send = |r: Request| disk.send(&r.extended(extended));
        let kind = if extended { "extended" } else { "legacy" };
        let a = send(Request::cdb(&[0x1a, 8, 8, 0, 24, 0]).reads(24))?;
        check(&format!("MODE SENSE reaches the miniport ({kind})"), a.good() && a.data[4] == 8, a.text());
        let a = send(Request::cdb(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0]).reads(24))?;
        check(
            &format!("REPORT LUNS names both units ({kind})"),
            a.good() && a.data[3] == 16 && a.data[17] == 1,
            a.text(),
        );
        let a = send(Request::cdb(&[0x12, 0, 0, 0, 255, 0]).reads(255))?;
        check(
            &format!("less data than room is an overrun of the other kind ({kind})"),
            a.srb_status == 0x12 && a.transferred == 36,
            a.text(),
        );
        let a = send(Request::cdb(&[0; 6]))?;
        check(&format!("TEST UNIT READY ({kind})"), a.good(), a.text());
        let a = send(Request::cdb(&cdb::ten(0x2f, 0, 8)))?;
        check(&format!("VERIFY ({kind})"), a.good(), a.text());
        let a = send(Request::cdb(&cdb::ten(0x35, 0, 0)))?;
        let f = send(Request::function(0x08))?;
        check(
            &format!("SYNCHRONIZE CACHE and FLUSH ({kind})"),
            a.good() && f.good(),
            format!("{} / {}", a.text(), f.text()),
        );
        let a = send(Request::cdb(&cdb::ten(0xc5, 0, 0)))?;
        check(
            &format!("an unknown command is refused with sense ({kind})"),
            a.sense == [5, 0x20, 0],
            a.text(),
        );
        let a = send(Request::cdb(&[0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0]))?;
        check(&format!("a read of no blocks ({kind})"), a.good(), a.text());
        let a = send(Request::cdb(&cdb::read10(0, 8)).reads(512))?;
        check(&format!("a read with too little room is refused ({kind})"), a.sense == [5, 0x24, 0], a.text());
        let a = send(Request::cdb(&cdb::read10(0, 1)).reads(512).with(RAW_NO_MDL, 0))?;
        check(&format!("a read without an MDL is refused ({kind})"), !a.good(), a.text());
        for (name, function) in SRB_RESETS {
            let a = send(Request::function(function))?;
            check(&format!("RESET_{name} ({kind})"), a.good(), a.text());
        }
        let a = send(Request::function(SRB_QUIESCE))?;
        let u = send(Request::function(SRB_UNLOCK_QUEUE))?;
        check(&format!("QUIESCE_DEVICE, and its end ({kind})"), a.good() && u.good(), a.text());
    }
    // UNMAP of 8 blocks at 2048: they read as zeros afterwards, and no others.
    disk.top.write(MIB, &marked(8192))?;
    let mut list = vec![0u8; 24];
    (list[1], list[3], list[14], list[19]) = (22, 16, 8, 8);
    let a = disk.send(&Request::cdb(&[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0]).writes(&list))?;
    let back = disk.top.read(MIB, 8192)?;
    check(
        "UNMAP clears what it names",
        a.good() && back[..4096] == [0; 4096] && back[4096..] == marked(4096)[..],
        a.text(),
    );
    let taken = disk.send(&Request::function(SRB_CLAIM))?;
    let freed = disk.send(&Request::function(SRB_RELEASE))?;
    let claimed = disk.send(&Request::function(SRB_CLAIM))?;
    check(
        "a unit is claimed once, and again after its release",
        taken.srb_status == 5 && freed.good() && claimed.good(),
        format!("{} / {} / {}", taken.text(), freed.text(), claimed.text()),
    );
    Ok(())
}

/// A locked queue holds requests back, lets through what may pass, and gives up what is cancelled.
fn queue(adapter: &Adapter, disk: &Disk) -> Result<(), Error> {
    const BYPASS: u32 = 0x0008_0000; // SRB_FLAGS_BYPASS_LOCKED_QUEUE
    let lock = disk.send(&Request::function(SRB_LOCK_QUEUE))?;
    let waiting: Vec<_> = (0..100u64).map(|n| disk.top.start_read(n * 4096, 4096)).collect();
    thread::sleep(Duration::from_millis(50));
    let held = waiting.iter().filter(|p| !p.is_over()).count();
    check("a locked queue holds all requests back", lock.good() && held == 100, held);
    let passes = disk.send(&Request::cdb(&cdb::ten(0x35, 0, 0)).with(0, BYPASS))?;
    check("but those that may pass", passes.good(), passes.text());
    let flushed = disk.send(&Request::function(SRB_FLUSH_QUEUE))?;
    let ends: Vec<_> = waiting.into_iter().map(|p| p.wait_count()).collect();
    check(
        "FLUSH_QUEUE ends what waits",
        flushed.good() && ends.iter().all(|e| e.is_err() && *e != Err(TIMED_OUT)),
        format!("{:?}", ends[0]),
    );
    let waiting: Vec<_> = (0..40u64).map(|n| disk.top.start_read(n * 4096, 4096)).collect();
    let cancelled = disk.cancel()?;
    let ends: Vec<_> = waiting.into_iter().map(|p| p.wait_count()).collect();
    check(
        "what is cancelled while it waits ends",
        ends.iter().all(|e| *e == Err(995)),
        format!("{cancelled}, {:?}", ends[0]),
    ); // ERROR_OPERATION_ABORTED
    let waiting: Vec<_> = (0..100u64).map(|n| disk.top.start_read(n * 4096, 4096)).collect();
    let unlock = disk.send(&Request::function(SRB_UNLOCK_QUEUE))?;
    let ends: Vec<_> = waiting.into_iter().map(|p| p.wait_count()).collect();
    check(
        "the rest goes on when it is unlocked",
        unlock.good() && ends.iter().all(|e| *e == Ok(4096)),
        format!("{:?}", ends[0]),
    );
    let writes: Vec<_> = (0..100u64).map(|n| disk.top.start_write(n * 65536, vec![9; 65536])).collect();
    let quiet = disk.send(&Request::function(SRB_QUIESCE))?;
    let over = || writes.iter().filter(|p| p.is_over()).count();
    thread::sleep(Duration::from_millis(20)); // the client hears of what has ended
    let before = over();
    thread::sleep(Duration::from_millis(50));
    let after = over();
    let late = disk.top.start_read(0, 4096);
    let unlock = disk.send(&Request::function(SRB_UNLOCK_QUEUE))?;
    let ends = writes.into_iter().filter_map(|p| p.wait_count().ok()).filter(|n| *n == 65536).count();
    check(
        "after QUIESCE_DEVICE nothing moves until the queue is unlocked, and nothing is lost",
        quiet.good() && unlock.good() && before == after && ends == 100 && late.wait().is_ok(),
        format!("{} {before} {after} {ends}", quiet.text()),
    );
    let lock = disk.send(&Request::function(SRB_LOCK_QUEUE))?;
    let seen = adapter.scan("")?;
    let unlock = disk.send(&Request::function(SRB_UNLOCK_QUEUE))?;
    check(
        "a unit can be asked while its queue is locked",
        lock.good() && unlock.good() && (seen.status, seen.arrived_count, seen.missing_count) == (0, 0, 0),
        format!("{seen:x?}"),
    );
    for round in ["once", "twice"] {
        let s = [disk.power(4)?, disk.power(1)?];
        check(&format!("power down and up {round}"), s == [0, 0], format!("{s:x?}"));
    }
    let on = [disk.pnp(0x16, 0x101)?, disk.pnp(1, 0)?, disk.pnp(0x16, 1)?, disk.pnp(1, 0)?, disk.pnp(3, 0)?];
    check("a unit with a page file is not removed", on == [0, 0x8000_0011, 0, 0, 0], format!("{on:x?}"));
    let dump = disk.pnp(0x16, 0x103)?;
    check("a dump file is refused", dump == 0xc000_00bb, format!("{dump:#x}"));
    Ok(())
}

/// Controls to the adapter itself.
fn controls(adapter: &Adapter) -> Result<(), Error> {
    let (s, _, told) = adapter.control(0x002d_1400, &[[1, 0, 0, 0], [0; 4], [0; 4]].concat(), 64)?;
    check("the adapter describes itself", s == 0 && told.len() == 32, format!("{s:#x} {}", told.len()));
    let (s, _, _) = adapter.control(0x002d_1400, &[[0; 4]; 3].concat(), 64)?;
    check("but it is no device", s == 0xc000_00bb, format!("{s:#x}"));
    let (s, rescans, _) = adapter.control(0x0004_101c, &[], 0)?;
    check(
        "IOCTL_SCSI_RESCAN_BUS has the PnP manager ask again",
        s == 0 && rescans == 1,
        format!("{s:#x} {rescans}"),
    );
    let (s, _, _) = adapter.control(0x0004_d004, &[0; 64], 64)?;
    check("commands to the adapter are refused", s == 0xc000_0010, format!("{s:#x}"));
    let s = [adapter.power(4)?, adapter.power(1)?];
    check("the adapter's power goes down and up", s == [0, 0], format!("{s:x?}"));
    Ok(())
}

/// Stopped (its resources are moved), an adapter holds requests back; started again it goes on.
fn stops(adapter: &Adapter, disk: &Disk) -> Result<(), Error> {
    let s = [adapter.pnp(minor::QUERY_STOP)?, adapter.pnp(minor::STOP)?];
    let waiting: Vec<_> = (0..80u64).map(|n| disk.top.start_write(n * 4096, marked(4096))).collect();
    thread::sleep(Duration::from_millis(50));
    let held = waiting.iter().filter(|p| !p.is_over()).count();
    check("a stopped adapter holds requests back", s == [0, 0] && held == 80, format!("{s:x?} {held}"));
    let s = adapter.pnp(minor::START)?;
    let ends: Vec<_> = waiting.into_iter().map(|p| p.wait_count()).collect();
    check(
        "and carries them out when it starts again",
        s == 0 && ends.iter().all(|e| *e == Ok(4096)),
        format!("{s:#x} {:?}", ends[0]),
    );
    Ok(())
}

/// A unit vanishes and comes back; a disk whose driver is taken away and put back is the same one.
fn come_and_go(adapter: &Adapter, disks: [Disk; 2]) -> Result<(), Error> {
    let [first, second] = disks;
    let (one, two) = (first.number, second.number);
    first.top.write(0, &marked(4096))?;
    adapter.set("Units", 1)?;
    let s = adapter.scan("")?;
    check(
        "a unit that has gone is missing from the next report",
        (s.arrived_count, s.missing_count, s.missing[0]) == (0, 1, two),
        format!("{s:x?}"),
    );
    let r = second.top.read(0, 4096);
    check(
        "and fails what it is asked",
        r.is_err() && r != Err(TIMED_OUT),
        format!("{:?}", r.map(|b| b.len())),
    );
    let surprise = disk::pnp(&adapter.bench, two, minor::SURPRISE, 0)?;
    let removed = adapter.remove(second)?;
    check("its stack goes", (surprise, removed) == (0, 0), format!("{surprise:#x} {removed:#x}"));
    check("the other unit is unharmed", first.top.read(0, 4096)? == marked(4096), "");
    adapter.set("Units", 3)?;
    let s = adapter.scan("")?;
    check(
        "two more units arrive",
        (s.arrived_count, s.missing_count, s.failed) == (2, 0, 0),
        format!("{s:x?}"),
    );
    let s = adapter.remove(first)?;
    let back = adapter.scan("")?;
    check(
        "a disk whose stack is taken down is reported again",
        s == 0 && back.arrived_count == 1,
        format!("{s:#x} {back:x?}"),
    );
    let first = adapter.only(&back)?;
    check("with all that is on it", first.top.read(0, 4096)? == marked(4096), one);
    drop(first);
    for number in (0..8).filter(|n| Disk::open(*n, 512).is_ok()) {
        let s = disk::pnp(&adapter.bench, number, minor::REMOVE, 0)?;
        check("a disk is removed before its adapter", s == 0, format!("{s:#x}"));
    }
    Ok(())
}

/// The adapter is pulled out while many requests are under way, with the queue locked on one disk.
pub(crate) fn surprise(adapter: &Adapter) {
    ran("surprise removal of the adapter", pulled(adapter));
}

fn pulled(adapter: &Adapter) -> Result<(), Error> {
    start(adapter, 16, 2)?;
    let s = adapter.scan("")?;
    let (busy, locked) = (Disk::open(s.arrived[0], 512)?, Disk::open(s.arrived[1], 512)?);
    locked.send(&Request::function(SRB_LOCK_QUEUE))?;
    let stuck: Vec<_> = (0..100u64).map(|n| locked.top.start_read(n * 4096, 4096)).collect();
    let (number, workers) = (busy.number, 0..4u64);
    let workers: Vec<_> = workers.map(|worker| thread::spawn(move || hammer(number, worker))).collect();
    thread::sleep(Duration::from_millis(200));
    let s = adapter.pnp(minor::SURPRISE);
    let workers: Vec<_> = workers.into_iter().map(|w| w.join().unwrap_or((0, 0, true))).collect();
    let (good, failed) = workers.iter().fold((0, 0), |sum, w| (sum.0 + w.0, sum.1 + w.1));
    check(
        "requests under way when the adapter is pulled end, those before it well",
        s == Ok(0) && good > 0 && failed == 4 && workers.iter().all(|w| !w.2),
        format!("{s:x?}: {good} good, {failed} failed"),
    );
    let stuck: Vec<_> = stuck.into_iter().map(|p| p.wait_count()).collect();
    check(
        "what waited in a locked queue fails",
        stuck.iter().all(|e| e.is_err() && *e != Err(TIMED_OUT)),
        format!("{:?}", stuck[0]),
    );
    for disk in [busy, locked] {
        let surprise = disk.pnp(minor::SURPRISE, 0)?;
        let removed = adapter.remove(disk)?;
        check("a disk of it goes", (surprise, removed) == (0, 0), format!("{surprise:#x} {removed:#x}"));
    }
    end(adapter)?;
    orphan(adapter)?;
    disabled(adapter)
}

/// A unit whose disk is disabled vanishes: it is the PnP manager's until that has removed it a second time. One that is there
/// until its adapter goes hears of nothing more.
fn disabled(adapter: &Adapter) -> Result<(), Error> {
    start(adapter, 4, 2)?;
    let s = adapter.scan("")?;
    let (stays, goes) = (Disk::open(s.arrived[0], 512)?, Disk::open(s.arrived[1], 512)?);
    let number = goes.number;
    let s = [adapter.disable(stays)?, adapter.disable(goes)?];
    adapter.set("Units", 1)?;
    let seen = adapter.scan("")?;
    let removed = disk::pnp(&adapter.bench, number, minor::REMOVE, 0)?;
    check(
        "a disabled disk that vanishes is removed when the PnP manager says so",
        s == [0; 2] && (seen.missing_count, seen.missing[0]) == (1, number) && removed == 0,
        format!("{s:x?} {seen:x?} {removed:#x}"),
    );
    end(adapter)
}

/// The adapter goes while somebody still holds on to one of its disks, which is removed later.
fn orphan(adapter: &Adapter) -> Result<(), Error> {
    start(adapter, 4, 1)?;
    let disk = adapter.only(&adapter.scan("")?)?;
    let s = [adapter.pnp(minor::SURPRISE)?, disk.pnp(minor::SURPRISE, 0)?, adapter.pnp(minor::REMOVE)?];
    check("an adapter may go before its disk", s == [0; 3], format!("{s:x?}"));
    let r = disk.top.read(0, 4096);
    let address = disk.top.control(0x0004_1018, &[], 8);
    check(
        "the disk that stays answers that there is nothing",
        r.is_err() && address.is_err() && r != Err(TIMED_OUT),
        format!("{:?}", r.map(|b| b.len())),
    );
    let s = adapter.remove(disk)?;
    let live = adapter.bench.counters()?.live;
    check("and goes without a trace", (s, live) == (0, OWN), format!("{s:#x} {live}"));
    Ok(())
}

/// Writes and reads until something fails: how many rounds went well, how many failed, whether one hung or read wrong data.
pub(super) fn hammer(number: u32, worker: u64) -> (u32, u32, bool) {
    let Ok(disk) = Disk::open(number, 512) else { return (0, 0, true) };
    let mut good = 0;
    loop {
        let (at, data) = (worker * 2 * MIB + u64::from(good % 16) * 65536, vec![good as u8; 65536]);
        let written = disk.top.write(at, &data);
        let read = disk.top.read(at, 65536);
        match (written, read) {
            (Ok(65536), Ok(back)) if back == data => good += 1,
            (Ok(65536), Ok(_)) | (Err(TIMED_OUT), _) | (_, Err(TIMED_OUT)) => return (good, 0, true),
            _ => return (good, 1, false),
        }
    }
}

/// An encrypted Sluice disk on the RAM disk: both roles of the driver, one above the other.
pub(crate) fn volume(adapter: &Adapter, image: &str, passphrase: &str) {
    ran("the volume on the adapter's disk", on_volume(adapter, image, passphrase));
}

fn on_volume(adapter: &Adapter, image: &str, passphrase: &str) -> Result<(), Error> {
    let formatted = std::fs::read(image).map_err(|_| TIMED_OUT)?;
    start(adapter, (formatted.len() as u64 / MIB) as u32, 1)?;
    let bare = adapter.only(&adapter.scan("")?)?;
    for (n, piece) in formatted.chunks(1 << 20).enumerate() {
        bare.top.write(n as u64 * MIB, piece)?;
    }
    let s = adapter.remove(bare)?;
    let filtered = adapter.scan("sluice")?;
    check(
        "the filter attaches to the unit",
        s == 0 && (filtered.status, filtered.failed) == (0, 0),
        format!("{s:#x} {filtered:x?}"),
    );
    let disk = adapter.only(&filtered)?;
    let refused = disk.top.read(0, 4096);
    check(
        "a locked volume on a RAM disk refuses reads",
        refused.is_err(),
        format!("{:?}", refused.map(|b| b.len())),
    );
    let out = Command::new("C:\\drv\\sluice.exe").args(["unlock", "--passphrase-file", passphrase]).output();
    let said = out.as_ref().map(|o| String::from_utf8_lossy(&o.stderr).into_owned());
    check("it unlocks", out.as_ref().is_ok_and(|o| o.status.success()), format!("{said:?}"));
    let data = marked(2 << 20);
    for flags in [0, CLASS_EXTENDED | CLASS_CDB16] {
        disk.class(flags, 0, 0)?;
        disk.top.write(3 * MIB, &data)?;
        let back = disk.top.read(3 * MIB, data.len())?;
        check("what is written is read back", back == data, flags);
    }
    drop(disk);
    let s = disk::pnp(&adapter.bench, filtered.arrived[0], minor::REMOVE, 0)?;
    let bare = adapter.only(&adapter.scan("")?)?;
    let mut raw = Vec::new();
    for n in 0..formatted.len() as u64 / MIB {
        raw.extend(bare.top.read(n * MIB, 1 << 20)?);
    }
    let plain = raw.windows(16).step_by(16).any(|w| w == &data[..16]);
    let changed = raw.iter().zip(&formatted).filter(|(a, b)| a != b).count();
    check(
        "and lies on the RAM disk as ciphertext",
        s == 0 && !plain && changed > data.len() / 2,
        format!("{s:#x} {changed} bytes changed"),
    );
    let s = adapter.remove(bare)?;
    check("the disk is removed", s == 0, format!("{s:#x}"));
    end(adapter)
}

/// In each life of an adapter, one more allocation goes well before one fails.
pub(crate) fn starve(adapter: &Adapter, most: u32) {
    starves(adapter, &Starved { service: "sluice", hardware: RAM, units: 2, left: OWN }, most);
}

/// An adapter whose allocations fail.
pub(super) struct Starved<'a> {
    /// Its driver.
    pub(super) service: &'a str,
    pub(super) hardware: &'a str,
    /// How many disks it has.
    pub(super) units: usize,
    /// Kernel objects that are there when it has gone.
    pub(super) left: u32,
}

/// The same for any adapter of ours.
pub(super) fn starves(adapter: &Adapter, starved: &Starved<'_>, most: u32) {
    let mut lives = 0;
    for n in 1..=most {
        report::progress("starve the adapter", n.into(), most.into());
        match hungry(adapter, starved, n) {
            Ok(true) => lives = n,
            Ok(false) => break,
            Err(e) => report::fatal(format!("allocation {n} fails: error {e} ({e:#x})")),
        }
    }
    let bad = report::failures();
    check(
        &format!("{lives} allocations failed, one in each life of an adapter, and all was well"),
        lives > 20 && bad == 0,
        format!("{bad} failures"),
    );
}

fn said(n: u32, what: &str, ok: bool, detail: String) {
    if !ok {
        check(&format!("allocation {n} fails: {what}"), false, detail);
    }
}

/// Whether an allocation was made to fail.
fn hungry(adapter: &Adapter, starved: &Starved<'_>, n: u32) -> Result<bool, Error> {
    let bench = &adapter.bench;
    adapter.set("Megabytes", 4)?;
    adapter.set("Units", 2)?;
    let before = bench.counters()?.injected;
    let mut o = disk::Bench::options();
    o.fail_nth = n;
    bench.configure(&o)?;
    let added = adapter.add_for(starved.service, starved.hardware)?;
    let mut started = 0xffff_ffff;
    if added.add_status == 0 {
        started = adapter.pnp(minor::START)?;
    }
    let mut open = Vec::new();
    if started == 0 {
        let s = adapter.scan("")?;
        open.extend(s.arrived[..s.arrived_count as usize].iter().copied());
    }
    for number in &open {
        let disk = Disk::open(*number, 512)?;
        let w = disk.top.write(0, &marked(65536));
        let r = disk.top.read(0, 65536);
        said(n, "requests end", w != Err(TIMED_OUT) && r != Err(TIMED_OUT), format!("{w:?}"));
        for (minor, argument) in
            [(minor::QUERY_ID, 1), (minor::QUERY_ID, 3), (minor::BUS_INFORMATION, 0), (minor::DEVICE_TEXT, 0)]
        {
            adapter.query(&disk, minor, argument)?;
        }
        let _ = disk.top.control(PASS_THROUGH, &passed(&[0x12, 0, 0, 0, 36, 0], 1, &[], 36), 124);
    }
    let injected = bench.counters()?.injected > before;
    bench.configure(&disk::Bench::options())?;
    if started == 0 {
        let s = adapter.scan("")?;
        open.extend(s.arrived[..s.arrived_count as usize].iter().copied());
        said(
            n,
            "once there is memory all units are there",
            open.len() == starved.units && s.missing_count == 0,
            format!("{s:x?}"),
        );
        for number in open {
            let disk = Disk::open(number, 512)?;
            let w = disk.top.write(0, &marked(65536));
            let r = disk.top.read(0, 65536);
            said(n, "afterwards a write reads back", w.is_ok() && r == Ok(marked(65536)), format!("{w:?}"));
            adapter.remove(disk)?;
        }
    }
    if added.add_status == 0 {
        let s = adapter.pnp(minor::REMOVE)?;
        said(n, "the adapter is removed", s == 0, format!("{s:#x}"));
    }
    let live = bench.counters()?.live;
    said(n, "nothing is left behind", live == starved.left || added.load_status != 0, live.to_string());
    let v = bench.text(VERIFIER_REPORT)?;
    said(n, "the verifier is content", v.is_empty(), v);
    Ok(injected)
}
