//! Time-outs: what is done about requests that do not come back.
//!
//! ```text
//!   time is up ──► RESET_LOGICAL_UNIT ──► RESET_DEVICE ──► HwStorResetBus ──► given up: SRB_STATUS_TIMEOUT
//! ```
//!
//! Each step gives the miniport some time to complete what it has. A request that comes back aborted by a reset is
//! started over a few times before its sender hears of it. Nothing is started on a unit while it recovers. A request
//! that is given up keeps its slot until the miniport comes with it after all: then only does the device surely not
//! use its memory any more. Its sender's memory is given back at once, as StorPort does.

use core::{
    ptr::{self, NonNull},
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use sluice_shim::storport::{SrbFunction, SrbRequest, SrbStatus};

use crate::{
    faults::count,
    port::Port,
    services::Event,
    slots::{Origin, Slot},
    unit::LogicalUnit,
};

/// How long things take, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How often time-outs are looked at.
    pub tick: u64,
    /// How long the miniport has after each reset.
    pub step: u64,
    /// How long nothing is started after the miniport has reported a reset of its bus (`BusResetHoldTime`).
    pub reset_hold: u64,
}

impl Default for Timing {
    /// StorPort's.
    fn default() -> Self {
        Self { tick: 1_000_000, step: 10_000_000, reset_hold: 4_000_000 }
    }
}

/// How often a request that a reset has aborted is started over.
const RETRIES: u32 = 3;

/// How far a unit's recovery has got.
pub(crate) mod level {
    pub(crate) const NONE: u32 = 0;
    pub(crate) const UNIT: u32 = 1;
    pub(crate) const TARGET: u32 = 2;
    pub(crate) const BUS: u32 = 3;
}

impl Port {
    /// Looks at all deadlines. DISPATCH_LEVEL, without locks.
    pub(crate) fn look_for_timeouts(&self, now: u64) {
        let Some(slots) = self.slots().filter(|_| self.is_running()) else { return };
        let given_up = self.given_up_at();
        if given_up != 0 {
            // The adapter has gone: nothing is to be gained by resets.
            if given_up <= now {
                self.all_units().for_each(|unit| self.give_up(unit, SrbStatus::NO_HBA));
            }
            return;
        }
        for slot in slots.iter().filter(|slot| slot.is_out()) {
            let deadline = slot.deadline.load(Acquire);
            if deadline == 0 || deadline > now || slot.index() == 0 {
                continue;
            }
            if slot.deadline.compare_exchange(deadline, 0, AcqRel, Relaxed).is_err() {
                continue; // another request's by now
            }
            count(&self.faults().timed_out);
            if let Some(unit) = slot.unit()
                && unit.recovery.load(Acquire) == level::NONE
            {
                self.recover(unit, level::UNIT, now);
            }
        }
        for unit in self.all_units() {
            self.go_on(unit, now);
        }
    }

    /// One unit's next step, if it is due.
    fn go_on(&self, unit: &LogicalUnit, now: u64) {
        let reached = unit.recovery.load(Acquire);
        if reached == level::NONE {
            return;
        }
        if self.is_settled(unit) {
            return self.recovered(unit);
        }
        if unit.recovery_due.load(Relaxed) > now {
            return;
        }
        if reached == level::BUS {
            count(&self.faults().lost);
            // Before its callers hear of it, who may ask what has happened.
            self.services().event(Event::MarkedFailed(Some(unit.address())));
            self.give_up(unit, SrbStatus::TIMEOUT);
            return self.recovered(unit);
        }
        self.recover(unit, reached + 1, now);
    }

    /// Whether the miniport has nothing of the unit any more, nor a reset for it.
    fn is_settled(&self, unit: &LogicalUnit) -> bool {
        let resetting = self
            .slots()
            .and_then(|slots| slots.iter().next())
            .is_some_and(|slot| slot.is_out() && slot.unit().is_some_and(|of| ptr::eq(of, unit)));
        !resetting && unit.outstanding.load(Relaxed) == unit.again.load(Relaxed)
    }

    /// All that the unit had has come back.
    pub(crate) fn recovered(&self, unit: &LogicalUnit) {
        unit.recovery.store(level::NONE, Release);
        self.pump(unit);
    }

    /// For the DPC: ends a recovery as soon as it can be.
    pub(crate) fn settle(&self) {
        for unit in self.all_units().filter(|unit| unit.recovery.load(Acquire) != level::NONE) {
            if self.is_settled(unit) {
                self.recovered(unit);
            }
        }
    }

    /// Resets what is due at `step`.
    fn recover(&self, unit: &LogicalUnit, step: u32, now: u64) {
        unit.recovery_due.store(now.saturating_add(self.timing().step), Relaxed);
        unit.recovery.store(step, Release);
        let sent = match step {
            level::UNIT => self.send_reset(unit, SrbFunction::RESET_LOGICAL_UNIT),
            level::TARGET if self.resets_targets() => self.send_reset(unit, SrbFunction::RESET_DEVICE),
            level::TARGET => false,
            _ => {
                self.reset_bus(unit.address().path);
                true
            }
        };
        if !sent {
            unit.recovery_due.store(now, Relaxed); // on to the next step at the next tick
        }
    }

    /// HwStorResetBus: all units of the bus recover from it. Answers what it says. DISPATCH_LEVEL, without locks.
    pub fn reset_bus(&self, path: u8) -> bool {
        let due = self.system().now().saturating_add(self.timing().step);
        for unit in self.units().filter(|unit| unit.address().path == path) {
            unit.recovery_due.store(due, Relaxed);
            unit.recovery.store(level::BUS, Release);
        }
        // SAFETY: the miniport's own function and extension.
        let reset = || unsafe { (self.registration().reset_bus())(self.extension(), u32::from(path)) != 0 };
        let done = if self.is_half_duplex() {
            self.under(self.common_interrupt(), reset)
        } else {
            self.under_all(reset)
        };
        if !done {
            self.services().event(Event::AdapterFailed);
        }
        self.services().request_dpc(self);
        done
    }

    /// Sends a reset in the slot that is kept for it. `false` if that is out already.
    fn send_reset(&self, unit: &LogicalUnit, function: SrbFunction) -> bool {
        let Some(slot) = self.slots().and_then(|slots| slots.take_reserved()) else { return false };
        // Its own SRB is its origin: the copy is onto itself, by way of the stack.
        let mut fresh = sluice_shim::storport::SrbStorage::new();
        let kind = self.registration().srb_kind();
        if fresh.fill(kind, &SrbRequest::function(function)).is_err() {
            return false;
        }
        let origin = Origin { srb: NonNull::from(&mut fresh), is_command: false };
        slot.unit.store(ptr::from_ref(unit).cast_mut(), Relaxed);
        self.issue(slot, unit, origin);
        true
    }

    /// A reset's SRB has come back.
    pub(crate) fn reset_ended(&self, slot: &Slot, unit: &LogicalUnit) {
        let failed = self.status_of(slot).code() != SrbStatus::SUCCESS;
        if let Some(slots) = self.slots() {
            slots.give(slot);
        }
        if failed && unit.recovery.load(Acquire) != level::NONE {
            unit.recovery_due.store(0, Relaxed); // no use in waiting
        }
    }

    /// Whether a request is to be started over.
    pub(crate) fn wants_retry(&self, slot: &Slot, unit: &LogicalUnit, status: SrbStatus) -> bool {
        let aborted = matches!(
            status.code(),
            SrbStatus::BUS_RESET
                | SrbStatus::ABORTED
                | SrbStatus::TIMEOUT
                | SrbStatus::COMMAND_TIMEOUT
                | SrbStatus::REQUEST_FLUSHED
        );
        let recovering = unit.recovery.load(Acquire) != level::NONE || self.was_reset();
        let again = aborted && recovering && self.is_running() && unit.present.load(Relaxed);
        again && slot.retries.fetch_add(1, AcqRel) < RETRIES
    }

    /// Gives up everything that the miniport has of a unit.
    pub(crate) fn give_up(&self, unit: &LogicalUnit, status: SrbStatus) {
        let Some(slots) = self.slots() else { return };
        for slot in slots.iter() {
            let lost = slot.lose_of(|of| ptr::eq(of, unit));
            // A reset has nobody who waits for it.
            if let Some(origin) = lost.filter(|_| slot.index() != 0) {
                self.left(unit);
                self.refuse(origin, status);
            }
        }
    }
}
