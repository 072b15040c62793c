//! A mapped volume that tells its disk what is free, and one that does not. Whether it names whole segments, the scenario
//! sees: it knows where they lie.

use std::{thread, time::Duration};

use super::mapped::{MIB, flush, fresh, unmap};
use crate::{device::Error, disk::Disk, interface::*, report::check};

/// Where it writes, and how much: several hundred segments.
const BASE: u64 = 8 * MIB as u64;
const COUNT: usize = 40;
/// Of these MiB, this one is kept.
const KEPT: usize = 17;
/// UNMAPs that a volume has under way at once, so as many as a disk refuses before it is known that it does: four segments,
/// of three pieces each where they are cut.
const AT_ONCE: u64 = 4 * 3;

fn at(i: usize) -> u64 {
    BASE + (i * MIB) as u64
}

/// Fills the place, and gives all but one MiB back.
fn churn(disk: &Disk, seed: u64) -> Result<(), Error> {
    for i in 0..COUNT {
        disk.top.write(at(i), &fresh(seed + i as u64, MIB))?;
    }
    flush(disk)?;
    for i in (0..COUNT).filter(|&i| i != KEPT) {
        let a = unmap(disk, at(i), MIB as u32)?;
        if !a.good() {
            check("UNMAP of the volume is taken", false, a.text());
        }
    }
    settle(disk)
}

/// Until what is free can be written over (a frame that is durable says so of another), and the disk was told.
fn settle(disk: &Disk) -> Result<(), Error> {
    for round in 0..4 {
        disk.top.write(0, &fresh(round, 4096))?;
        flush(disk)?;
    }
    let mut asked = asked_for(disk)?;
    for _ in 0..40 {
        thread::sleep(Duration::from_millis(500));
        let now = asked_for(disk)?;
        if now == asked {
            break;
        }
        asked = now;
    }
    Ok(())
}

/// UNMAPs that have come to the disk.
fn asked_for(disk: &Disk) -> Result<u32, Error> {
    Ok(disk.statistics()?.opcodes[0x42])
}

/// What [`churn`] has left.
fn left(disk: &Disk, seed: u64, when: &str) -> Result<(), Error> {
    let mut wrong = Vec::new();
    for i in 0..COUNT {
        let back = disk.top.read(at(i), MIB)?;
        let want = if i == KEPT { fresh(seed + i as u64, MIB) } else { vec![0; MIB] };
        if back != want {
            wrong.push(i);
        }
    }
    check(&format!("{when} the volume reads what it should"), wrong.is_empty(), format!("not MiB {wrong:?}"));
    Ok(())
}

fn ready(disk: &Disk) -> Result<(), Error> {
    disk.class(CLASS_EXTENDED, 0, 3)?;
    disk.port(|_| ())
}

/// The volume is to tell, and the disk listens.
pub(crate) fn told(disk: &Disk) {
    let outcome = (|| -> Result<(), Error> {
        ready(disk)?;
        churn(disk, 1000)?;
        let s = disk.statistics()?;
        let told = s.unmapped * disk.sector;
        check("the disk is told what is free", told > (COUNT / 2 * MIB) as u64, format!("{told} bytes"));
        left(disk, 1000, "afterwards")?;
        let (before, faults) = (s.unmapped, s.faults);
        disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_BUSY, ON_UNMAP, 3))?;
        churn(disk, 2000)?;
        let s = disk.statistics()?;
        let more = (s.unmapped - before) * disk.sector;
        check(
            "and is asked again when it is busy",
            s.faults - faults == 3 && more > (COUNT / 2 * MIB) as u64,
            format!("busy {} times, {more} bytes", s.faults - faults),
        );
        left(disk, 2000, "after that")
    })();
    check("suite of discards ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}

/// After [`told`], and after the volume was locked and unlocked. Then the disk refuses UNMAP, although it says that it
/// takes it.
pub(crate) fn refused(disk: &Disk) {
    let outcome = (|| -> Result<(), Error> {
        ready(disk)?;
        left(disk, 2000, "locked and unlocked")?;
        disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_MEDIUM, ON_UNMAP, u32::MAX))?;
        let (before, asked) = (disk.statistics()?, asked_for(disk)?);
        churn(disk, 3000)?;
        let refused = disk.statistics()?.faults - before.faults;
        check(
            "a disk that refuses UNMAP is asked by those under way, and by no other",
            (1..=AT_ONCE).contains(&refused),
            refused,
        );
        left(disk, 3000, "when it was refused")?;
        disk.port(|_| ())?;
        churn(disk, 4000)?;
        let more = u64::from(asked_for(disk)? - asked);
        check("and not again while the volume is open", more == refused, format!("{more} of {refused}"));
        left(disk, 4000, "later on")
    })();
    check("suite of refused discards ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}

/// The volume is not to tell, or the disk does not say that it takes UNMAP.
pub(crate) fn silent(disk: &Disk) {
    let outcome = (|| -> Result<(), Error> {
        ready(disk)?;
        churn(disk, 5000)?;
        let asked = asked_for(disk)?;
        check("the disk is told nothing of what is free", asked == 0, asked);
        left(disk, 5000, "afterwards")
    })();
    check("suite without discards ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}
