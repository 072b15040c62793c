//! What is on an adapter's bus: each unit is asked who it is.

use sluice_shim::{
    enumeration::{luns, profile::Profile},
    scsi::answers::page,
    storport::srb::Address,
};

use super::{fdo::Fdo, hosted::Hosted, pdo::Pdo};
use crate::{
    nt::{event::TurnGuard, irql::Passive},
    probe::{Adapter, Probe, Silence},
};
use core::sync::atomic::Ordering;

/// Room for the answer to REPORT LUNS: as many units as an address can name.
const LUNS: usize = 8 + 8 * 256;
/// Room for a VPD page: as much as INQUIRY could ask for before SPC-3, which all devices understand.
const PAGE: usize = 255;

/// Asks all that may be there, and brings the list of units up to date: new ones are added, those that are gone, or
/// are others by now, are closed. A unit that cannot be asked for want of memory stays out until the next time.
pub(crate) fn scan(fdo: &'static Fdo, turn: &mut TurnGuard<'_>, at: Passive<'_>) {
    let Some(inside) = fdo.hosted.enter() else { return };
    if let Some(hosted) = fdo.hosted.value(&inside) {
        hosted.refresh(&fdo.settings(at));
        let (buses, targets) = hosted.extent();
        for (path, target) in (0..buses).flat_map(|path| (0..targets).map(move |target| (path, target))) {
            Bus { fdo, hosted, turn, at }.target(Address { path, target, lun: 0 });
        }
    }
    fdo.hosted.leave(inside);
}

struct Bus<'a, 'b> {
    fdo: &'static Fdo,
    hosted: &'a Hosted,
    turn: &'a mut TurnGuard<'b>,
    at: Passive<'a>,
}

impl Bus<'_, '_> {
    /// Unit 0 is asked for the list of all; a target that does not know the question has that one only (SPC-5 6.33:
    /// the command is mandatory, but for devices older than that).
    fn target(&mut self, first: Address) {
        let mut there = [false; 256];
        let listed = match self.find(first) {
            Some(unit) => list(&self.probe(unit), &mut there),
            None => self.make(first).is_some_and(|unit| {
                let listed = list(&self.probe(unit), &mut there);
                self.forget(unit);
                listed
            }),
        };
        if !listed {
            return;
        }
        for (number, there) in there.iter().enumerate() {
            let address = Address { lun: number as u8, ..first };
            if let Some(unit) = self.find(address) {
                if *there && self.is_still(unit) {
                    continue;
                }
                unit.close(self.at);
                self.leave_out(unit);
            }
            if *there {
                self.add(address);
            }
        }
    }

    /// A way to ask a unit, also while its class driver has locked its queue: the PnP manager waits for the answer.
    fn probe(&self, unit: &'static Pdo) -> Probe<'_> {
        let adapter = self.hosted.descriptor();
        let takes = Adapter {
            kind: adapter.srb_kind,
            most_bytes: adapter.max_transfer,
            alignment: adapter.alignment_mask,
        };
        Probe::with(unit.device, takes, self.at).past_locks()
    }

    fn find(&mut self, address: Address) -> Option<&'static Pdo> {
        let units = self.fdo.units(self.turn);
        units.iter().copied().find(|unit| unit.address == address && !unit.gone.load(Ordering::Acquire))
    }

    fn make(&self, address: Address) -> Option<&'static Pdo> {
        // SAFETY: this driver. The miniport is held open here, and closed only after all units have been.
        let made = unsafe {
            let hosted = core::ptr::NonNull::from(self.hosted).as_ref();
            Pdo::create(self.fdo.driver(), self.fdo, hosted, address, self.at)
        };
        made.ok()
    }

    /// Takes back a unit that nobody has heard of.
    fn forget(&self, unit: &'static Pdo) {
        unit.close(self.at);
        // SAFETY: closed, in no list, and never seen by anybody.
        unsafe { Pdo::destroy(unit, self.at) };
    }

    /// Asks a new unit who it is, and adds it.
    fn add(&mut self, address: Address) {
        if self.fdo.units(self.turn).try_reserve(1).is_err() {
            return;
        }
        let Some(unit) = self.make(address) else { return };
        let probe = self.probe(unit);
        let profile = ask(&probe).ok().flatten();
        let introduced = profile.is_some_and(|profile| unit.introduce(profile));
        if !introduced {
            return self.forget(unit);
        }
        if let Ok(capacity) = probe.capacity() {
            unit.with_line(|line| line.unit().set_sector_size(capacity.sector_size));
        }
        self.fdo.units(self.turn).push(unit);
    }

    /// Whether a unit that was there is the same one now. It is, as long as it cannot be asked.
    fn is_still(&self, unit: &'static Pdo) -> bool {
        let Ok(now) = ask(&self.probe(unit)) else { return true };
        unit.profile().zip(now).is_some_and(|(then, now)| then.is_same(&now))
    }

    /// A unit that is gone is the PnP manager's to take away, if it knows of it.
    fn leave_out(&mut self, unit: &'static Pdo) {
        if !unit.reported.load(Ordering::Acquire) {
            self.fdo.units(self.turn).retain(|one| !core::ptr::eq(*one, unit));
            // SAFETY: closed, in no list, and never seen by anybody.
            unsafe { Pdo::destroy(unit, self.at) };
        }
    }
}

/// Which units there are; `false` if the question could not be asked. Not inlined: the list takes 2 KiB of stack.
#[inline(never)]
fn list(probe: &Probe<'_>, there: &mut [bool; 256]) -> bool {
    let mut answer = [0; LUNS];
    match probe.report_luns(&mut answer) {
        Ok(answer) => luns::units(answer).for_each(|unit| there[usize::from(unit)] = true),
        Err(silence) if silence.is_ours() => return false,
        Err(_) => there[0] = true,
    }
    true
}

/// Who a unit is; `None` if none is there. Its pages are asked for only if it says that it has them.
///
/// # Errors
/// If it could not be asked.
#[inline(never)]
fn ask(probe: &Probe<'_>) -> Result<Option<Profile>, Silence> {
    let (mut standard, mut pages) = ([0; 36], [0; PAGE]);
    let (mut serial, mut identification) = ([0; PAGE], [0; PAGE]);
    let standard = inquire(probe, None, &mut standard)?;
    if Profile::new(standard, &[], &[]).is_none() {
        return Ok(None);
    }
    let pages = inquire(probe, Some(page::SUPPORTED), &mut pages)?;
    let has = |page: &u8| pages.get(4..).is_some_and(|pages| pages.contains(page));
    let serial = match Some(page::SERIAL).filter(has) {
        None => &[],
        page => inquire(probe, page, &mut serial)?,
    };
    let identification = match Some(page::IDENTIFICATION).filter(has) {
        None => &[],
        page => inquire(probe, page, &mut identification)?,
    };
    Ok(Profile::new(standard, serial, identification))
}

/// What a unit says; nothing if it does not know the page.
fn inquire<'a>(probe: &Probe<'_>, page: Option<u8>, into: &'a mut [u8]) -> Result<&'a [u8], Silence> {
    match probe.inquiry(page, into) {
        Err(silence) if silence.is_ours() => Err(silence),
        said => Ok(said.unwrap_or(&[])),
    }
}
