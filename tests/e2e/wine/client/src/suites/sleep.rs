//! The machine goes to sleep and wakes: the adapter's device follows it, and what is sent meanwhile waits.

use std::{thread, time::Duration};

use super::policy::marked;
use crate::{
    adapter::{Adapter, minor},
    device::Error,
    disk::Disk,
    interface::{ADAPTER_QUERY, ADAPTER_SYSTEM},
    report::check,
};

/// SYSTEM_POWER_STATE.
const WORKING: u32 = ADAPTER_SYSTEM | 1;
const SLEEPING: u32 = ADAPTER_SYSTEM | 4;
/// DEVICE_POWER_STATE.
const D0: u32 = 1;
const D3: u32 = 4;
/// Of the load, in bytes.
const BLOCK: usize = 16384;

/// On an adapter that works, with one of its disks.
pub(super) fn run(adapter: &Adapter, disk: &Disk) -> Result<(), Error> {
    asked(adapter)?;
    sleeps(adapter, disk)?;
    under_load(adapter, disk)
}

/// A question changes nothing.
fn asked(adapter: &Adapter) -> Result<(), Error> {
    let answers = [adapter.power_seen(SLEEPING | ADAPTER_QUERY)?, adapter.power_seen(D3 | ADAPTER_QUERY)?];
    let agreed = answers.iter().all(|(status, state)| *status == 0 && *state != D3);
    check("the machine may sleep, and does not yet", agreed, format!("{answers:x?}"));
    Ok(())
}

fn sleeps(adapter: &Adapter, disk: &Disk) -> Result<(), Error> {
    disk.top.write(0, &marked(4096))?;
    let down = (disk.power(D3)?, adapter.power_seen(SLEEPING)?);
    check("asleep, the adapter's device has no power", down == (0, (0, D3)), format!("{down:x?}"));
    let again = adapter.power_seen(SLEEPING)?;
    check("and told once more it has none", again == (0, D3), format!("{again:x?}"));
    let (_, before, _) = adapter.control(0x002d_1400, &[[1, 0, 0, 0], [0; 4], [0; 4]].concat(), 64)?;
    let scanned = adapter.scan("")?;
    check(
        "what is on its bus can be asked for, and nothing is missing",
        (scanned.status, scanned.arrived_count, scanned.missing_count) == (0, 0, 0),
        format!("{scanned:x?}"),
    );
    let waiting: Vec<_> = (0..80u64).map(|n| disk.top.start_write(n * 4096, marked(4096))).collect();
    thread::sleep(Duration::from_millis(50));
    let held = waiting.iter().filter(|p| !p.is_over()).count();
    check("what is sent to a disk of it waits", held == 80, held);
    let up = (adapter.power_seen(WORKING)?, disk.power(D0)?);
    check("awake, it has power again", up == ((0, D0), 0), format!("{up:x?}"));
    let ends: Vec<_> = waiting.into_iter().map(|p| p.wait_count()).collect();
    check(
        "and what has waited is carried out",
        ends.iter().all(|e| *e == Ok(4096)),
        format!("{:?}", ends[0]),
    );
    let (_, after, _) = adapter.control(0x002d_1400, &[[1, 0, 0, 0], [0; 4], [0; 4]].concat(), 64)?;
    check("and the bus is looked at again", after == before + 1, format!("{before} {after}"));
    let back = disk.top.read(4096, 4096)?;
    check("the disk has what was written", back == marked(4096), "");
    Ok(())
}

/// The adapter loses its power, under a disk whose driver goes on sending.
fn under_load(adapter: &Adapter, disk: &Disk) -> Result<(), Error> {
    for round in 0..3u8 {
        let data = vec![round ^ 0xa5; BLOCK];
        let writes: Vec<_> =
            (0..64u64).map(|n| disk.top.start_write(n * BLOCK as u64, data.clone())).collect();
        let down = adapter.power_seen(SLEEPING)?;
        thread::sleep(Duration::from_millis(20));
        let up = adapter.power_seen(WORKING)?;
        let written = writes.into_iter().filter_map(|w| w.wait_count().ok()).filter(|n| *n == BLOCK).count();
        let whole = (0..64u64).all(|n| disk.top.read(n * BLOCK as u64, BLOCK).as_ref() == Ok(&data));
        check(
            &format!("sleep under load loses nothing, round {round}"),
            (down, up, written, whole) == ((0, D3), (0, D0), 64, true),
            format!("{down:x?} {up:x?} {written} {whole}"),
        );
    }
    Ok(())
}

/// Stopped while it sleeps, it goes on when both are over.
pub(super) fn stopped_meanwhile(adapter: &Adapter, disk: &Disk) -> Result<(), Error> {
    let stop = [adapter.pnp(minor::QUERY_STOP)?, adapter.pnp(minor::STOP)?];
    let power = [adapter.power_seen(D3)?, adapter.power_seen(D0)?];
    let waiting = disk.top.start_read(0, 4096);
    thread::sleep(Duration::from_millis(30));
    let held = !waiting.is_over();
    let start = adapter.pnp(minor::START)?;
    let read = waiting.wait().map(|data| data.len());
    check(
        "with power but stopped, it holds back what comes until it is started",
        (stop, power, held, start) == ([0; 2], [(0, D3), (0, D0)], true, 0) && read == Ok(4096),
        format!("{stop:x?} {power:x?} {held} {start:#x} {read:?}"),
    );
    Ok(())
}
