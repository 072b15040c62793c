//! A miniport in C, in a driver of its own that is linked to `sluice.sys`, as it comes from its compiler: found, started,
//! scanned, used, stopped, pulled out, unloaded.

use std::{thread, time::Duration};

use super::{
    adapter::{OWN, PASS_THROUGH, hammer, one_unit, passed, ran, text},
    policy::marked,
    sleep,
};
use crate::{
    adapter::{Adapter, minor},
    device::{Error, TIMED_OUT},
    disk::{Disk, Request, cdb},
    interface::*,
    report::{self, check},
    service,
};

const MIB: u64 = 1 << 20;

/// `miniport`: the file of the driver in `C:\\drv`.
pub(crate) fn run(adapter: &Adapter, miniport: &str) {
    let installed = service::install("miniport", &format!("C:\\drv\\{miniport}"));
    if let Err(e) = installed {
        report::fatal(format!("install {miniport}: error {e}"));
    }
    ran(&format!("{miniport}"), life(adapter));
}

fn start(adapter: &Adapter) -> Result<Disk, Error> {
    let added = adapter.add_for("miniport", "Root\\SluiceTestMiniport")?;
    let told = [
        "StorPortInitialize makes the miniport's driver take its adapter",
        "the miniport finds and starts its adapter",
        "its unit is found",
    ];
    one_unit(adapter, &added, told)
}

fn life(adapter: &Adapter) -> Result<(), Error> {
    // So that sluice.sys is there when the miniport is linked to it, as its load order says on Windows.
    adapter.add("Root\\SluiceNothing")?;
    let disk = start(adapter)?;
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
    let far = disk.top.read(1 << 40, 512);
    check("beyond the end is refused", far.is_err() && far != Err(TIMED_OUT), format!("{far:?}"));
    // It takes ScsiStopAdapter and not ScsiRestartAdapter.
    let s = adapter.pnp(minor::QUERY_STOP)?;
    check("what could not be started again is not to be stopped", s == 0xc000_0001, format!("{s:#x}"));
    let s = [adapter.pnp(minor::STOP)?, adapter.pnp(minor::START)?];
    let r = disk.top.read(0, 16384);
    check(
        "stopped all the same and started again, it has what it had",
        s == [0; 2] && r.as_ref() == Ok(&blocks[0]),
        format!("{s:x?}"),
    );
    sleep::run(adapter, &disk)?;
    let s = [adapter.remove(disk)?, adapter.pnp(minor::QUERY_REMOVE)?, adapter.pnp(minor::REMOVE)?];
    check("it is removed", s == [0; 3], format!("{s:x?}"));
    pulled(adapter)?;
    let live = adapter.bench.counters()?.live;
    check("what is left is the control device, and what the miniport has registered", live == OWN + 2, live);
    Ok(())
}

/// Pulled out under load.
fn pulled(adapter: &Adapter) -> Result<(), Error> {
    let disk = start(adapter)?;
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
