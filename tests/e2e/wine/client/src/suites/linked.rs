//! A miniport in C, in a driver of its own that is linked to `sluice.sys`, as it comes from its compiler: found, started,
//! scanned, used, stopped, pulled out, unloaded. On a device that the root bus makes up it is a disk in memory; on the
//! bench's PCI function (`disk/rings.c`) it drives registers, rings, interrupts, configuration space and memory of its
//! device's.

use std::{thread, time::Duration};

use super::{
    adapter::{OWN, PASS_THROUGH, hammer, one_unit, passed, ran, text},
    policy::marked,
    sleep,
};
use crate::{
    adapter::{Adapter, minor},
    device::{Error, TIMED_OUT},
    disk::{Disk, Request, cdb, word},
    interface::*,
    report::{self, check},
    service,
};

const MIB: u64 = 1 << 20;
const STATUS_UNSUCCESSFUL: u32 = 0xc000_0001;
const IOCTL_SCSI_MINIPORT: u32 = 0x4d008;

/// What is under the miniport.
#[derive(Clone, Copy)]
struct Hardware {
    name: &'static str,
    id: &'static str,
    /// Interrupt messages, if it is a PCI function; 0: it has a line.
    messages: Option<u32>,
    /// Queues that StartIo fills at once, each with a lock and a message of its own.
    channels: u32,
}

const HARDWARE: [Hardware; 5] = [
    Hardware { name: "no device", id: "Root\\SluiceTestMiniport", messages: None, channels: 1 },
    Hardware { name: "a line", id: "PCI\\VEN_534C&DEV_5543&REV_00", messages: Some(0), channels: 1 },
    Hardware { name: "one message", id: "PCI\\VEN_534C&DEV_5543&REV_01", messages: Some(1), channels: 1 },
    Hardware { name: "two messages", id: "PCI\\VEN_534C&DEV_5543&REV_02", messages: Some(2), channels: 2 },
    Hardware {
        name: "a line, and memory by other addresses",
        id: "PCI\\VEN_534C&DEV_5543&REV_03",
        messages: Some(0),
        channels: 1,
    },
];

/// `miniport`: the file of the driver in `C:\\drv`.
pub(crate) fn run(adapter: &Adapter, miniport: &str) {
    let installed = service::install("miniport", &format!("C:\\drv\\{miniport}"));
    if let Err(e) = installed.and_then(|()| keys()) {
        report::fatal(format!("install {miniport}: error {e}"));
    }
    for hardware in HARDWARE {
        ran(&format!("{miniport} with {}", hardware.name), life(adapter, hardware));
    }
}

/// Where a miniport keeps its parameters: its INF makes these keys. The adapters of this suite have numbers up to 15.
fn keys() -> Result<(), Error> {
    for number in 0..16 {
        let parameters = r"System\CurrentControlSet\Services\miniport\Parameters";
        service::make_key(&format!(r"{parameters}\Device{number}"))?;
    }
    service::make_key(r"Software\SluiceTestAdapter\StorPort")
}

fn start(adapter: &Adapter, hardware: Hardware) -> Result<Disk, Error> {
    let added = adapter.add_for("miniport", hardware.id)?;
    let told = [
        "StorPortInitialize makes the miniport's driver take its adapter",
        "the miniport finds and starts its adapter",
        "its unit is found",
    ];
    one_unit(adapter, &added, told)
}

fn life(adapter: &Adapter, hardware: Hardware) -> Result<(), Error> {
    // So that sluice.sys is there when the miniport is linked to it, as its load order says on Windows.
    adapter.add("Root\\SluiceNothing")?;
    let disk = start(adapter, hardware)?;
    used(adapter, &disk)?;
    let far = disk.top.read(1 << 40, 512);
    check("beyond the end is refused", far.is_err() && far != Err(TIMED_OUT), format!("{far:?}"));
    exercised(&disk, hardware)?;
    let s = [adapter.pnp(minor::QUERY_STOP)?, adapter.pnp(minor::STOP)?, adapter.pnp(minor::START)?];
    let r = disk.top.read(0, 16384);
    // It takes ScsiStopAdapter and not ScsiRestartAdapter.
    check(
        "what could not be started again is not to be stopped; stopped all the same and started, it has what it had",
        s == [STATUS_UNSUCCESSFUL, 0, 0] && r.as_ref().is_ok_and(|data| data[..] == [0x5a; 16384]),
        format!("{s:x?}"),
    );
    sleep::run(adapter, &disk)?;
    let again = adapter.scan("")?;
    check(
        "a scan finds what there was",
        (again.status, again.arrived_count, again.missing_count) == (0, 0, 0),
        format!("{again:x?}"),
    );
    let s = [adapter.remove(disk)?, adapter.pnp(minor::QUERY_REMOVE)?, adapter.pnp(minor::REMOVE)?];
    check("it is removed", s == [0; 3], format!("{s:x?}"));
    pulled(adapter, hardware)?;
    let live = adapter.bench.counters()?.live;
    check("what is left is the control device, and what the miniport has registered", live == OWN + 2, live);
    Ok(())
}

/// Its own counters, after it has called the rest of the interface.
fn exercised(disk: &Disk, hardware: Hardware) -> Result<(), Error> {
    const EXERCISE: u32 = 3;
    const READ: u32 = 1;
    let done = counters(disk, EXERCISE);
    check("it calls the rest of the interface", done.is_ok(), format!("{done:x?}"));
    let counted = counters(disk, READ)?;
    let [interrupts, synchronized] = [5, 20].map(|at: usize| counted[at]);
    let [wrong, failures, messages, channels] = [23, 24, 25, 26].map(|at: usize| counted[at]);
    // Where there is no device there is no configuration space to write to and to read.
    let refused = if hardware.messages.is_some() { 0 } else { 2 };
    check(
        "nothing that it called did what it should not",
        (wrong, failures) == (0, refused),
        format!("{wrong} {failures}"),
    );
    let Some(wanted) = hardware.messages else { return Ok(()) };
    check(
        "it is interrupted as it is connected",
        interrupts > 100 && (messages, channels) == (wanted, hardware.channels),
        format!("{interrupts} interrupts, {messages} messages, {channels} channels"),
    );
    check("and excludes its interrupt", synchronized > 0, synchronized);
    Ok(())
}

/// COUNTERS (`tests/c-miniport/disk/counters.h`) by SRB_IO_CONTROL.
fn counters(disk: &Disk, code: u32) -> Result<[u32; 28], Error> {
    const BYTES: usize = 28 * 4;
    let mut request = 28u32.to_le_bytes().to_vec();
    request.extend(b"SLCOUNT\0");
    for word in [10, code, 0, BYTES as u32] {
        request.extend(word.to_le_bytes());
    }
    request.resize(28 + BYTES, 0);
    let answer = disk.top.control(IOCTL_SCSI_MINIPORT, &request, request.len())?;
    let mut out = [0; 28];
    for (to, from) in out.iter_mut().zip(answer.get(28..).unwrap_or(&[]).chunks_exact(4)) {
        *to = word(from)?;
    }
    Ok(out)
}

/// What it says of itself, and what it does with requests. Its first blocks then hold 5A.
fn used(adapter: &Adapter, disk: &Disk) -> Result<(), Error> {
    let (s, id) = adapter.query(&disk, minor::QUERY_ID, 0)?;
    check(
        "its identifier is made of what it says of itself",
        s == 0 && text(&id).starts_with("SCSI\\Disk"),
        text(&id),
    );
    let inquiry = disk.top.control(PASS_THROUGH, &passed(&[0x12, 0, 0, 0, 36, 0], 1, &[], 36), 124)?;
    check("INQUIRY by pass-through reaches it", inquiry.len() == 124 && inquiry[2] == 0, inquiry.len());
    for flags in [0, CLASS_EXTENDED | CLASS_CDB16, CLASS_CDB12, CLASS_FUA] {
        disk.class(flags, 0, 0)?;
        let data: Vec<u8> =
            (0..1 << 20).map(|i: u32| (i.wrapping_mul(0x9e37_79b9) >> 11) as u8 ^ flags as u8).collect();
        let w = disk.top.write(MIB, &data)?;
        let back = disk.top.read(MIB, data.len())?;
        check(
            &format!("1 MiB read back, class driver's mode {flags:#x}"),
            w == data.len() && back == data,
            w,
        );
    }
    let blocks: Vec<Vec<u8>> = (0..64u8).map(|n| vec![n ^ 0x5a; 16384]).collect();
    let writes: Vec<_> =
        blocks.iter().enumerate().map(|(n, b)| disk.top.start_write(n as u64 * 16384, b.clone())).collect();
    let written = writes.into_iter().all(|w| w.wait_count() == Ok(16384));
    let reads: Vec<_> = (0..64u64).map(|n| disk.top.start_read(n * 16384, 16384)).collect();
    let same = reads.into_iter().zip(&blocks).all(|(r, b)| r.wait().as_ref() == Ok(b));
    check("64 at once are written and read", written && same, format!("{written} {same}"));
    let a = disk.send(&Request::cdb(&cdb::ten(0x35, 0, 0)))?;
    let f = disk.send(&Request::function(0x08))?;
    check("SYNCHRONIZE CACHE and FLUSH", a.good() && f.good(), format!("{} / {}", a.text(), f.text()));
    for (name, function) in [("BUS", 0x12), ("LOGICAL_UNIT", 0x20)] {
        let a = disk.send(&Request::function(function))?;
        let r = disk.top.read(0, 16384);
        check(
            &format!("RESET_{name}, and it goes on"),
            r.as_ref() == Ok(&blocks[0]),
            format!("{}, {:?}", a.text(), r.map(|b| b.len())),
        );
    }
    Ok(())
}

/// Pulled out under load.
fn pulled(adapter: &Adapter, hardware: Hardware) -> Result<(), Error> {
    let disk = start(adapter, hardware)?;
    disk.top.write(0, &marked(65536))?;
    let number = disk.number;
    let workers: Vec<_> = (0..2u64).map(|worker| thread::spawn(move || hammer(number, worker))).collect();
    thread::sleep(Duration::from_millis(100));
    let s = adapter.pnp(minor::SURPRISE)?;
    let workers: Vec<_> = workers.into_iter().map(|w| w.join().unwrap_or((0, 0, true))).collect();
    check(
        "requests under way when it is pulled out end, those before it well",
        s == 0 && workers.iter().all(|w| w.0 > 0 && w.1 > 0 && !w.2),
        format!("{s:#x} {workers:?}"),
    );
    let s = [disk.pnp(minor::SURPRISE, 0)?, adapter.remove(disk)?, adapter.pnp(minor::REMOVE)?];
    check("and its stacks go", s == [0; 3], format!("{s:x?}"));
    Ok(())
}
