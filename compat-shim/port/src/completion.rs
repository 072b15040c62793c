//! What comes back. A miniport completes an SRB wherever it likes, up to the interrupt's IRQL; a DPC does the rest.

use core::{ffi::c_void, sync::atomic::Ordering::Relaxed};

use sluice_shim::{
    miniport::Srb,
    storport::{SrbStatus, srb::Address},
};

use crate::{
    command::Command,
    faults::count,
    flow::BUSY_WAIT,
    port::Port,
    slots::{Origin, Slot, Taken},
    unit::LogicalUnit,
};

/// How often a request is started over because the miniport was too busy for it.
const BUSY_RETRIES: u32 = 500;

impl Port {
    /// StorPortNotification(RequestComplete). Any IRQL up to that of the interrupt.
    pub(crate) fn request_complete(&self, srb: *const c_void) {
        let Some(slot) = self.slots().and_then(|slots| slots.of_srb(srb)) else {
            return count(&self.faults().foreign_srb);
        };
        match slot.take() {
            Taken::Now => self.push_completed(slot),
            Taken::Late => {
                count(&self.faults().late);
                slot.is_late.store(true, Relaxed);
                self.push_completed(slot);
            }
            Taken::Not => count(&self.faults().completed_twice),
        }
    }

    pub(crate) fn push_completed(&self, slot: &Slot) {
        if self.completed().push(slot) {
            self.services().request_dpc(self);
        }
    }

    /// StorPortCompleteRequest: completes with `status` all that the miniport has of the units that match; `u8::MAX`
    /// stands for all. Answers how many. Any IRQL up to that of the interrupt.
    pub(crate) fn complete_all_of(&self, address: Address, status: SrbStatus) -> usize {
        let fits = |wanted: u8, is: u8| wanted == u8::MAX || wanted == is;
        let mut done = 0;
        for slot in self.slots().into_iter().flat_map(|slots| slots.iter()) {
            let matches = |unit: &LogicalUnit| {
                let (here, want) = (unit.address(), address);
                fits(want.path, here.path) && fits(want.target, here.target) && fits(want.lun, here.lun)
            };
            if slot.take_of(matches) {
                self.set_status(slot, status);
                self.push_completed(slot);
                done += 1;
            }
        }
        done
    }

    /// The DPC's part: takes completed slots further. Answers whether there were any. DISPATCH_LEVEL, without locks.
    pub(crate) fn finish_completed(&self) -> bool {
        let mut at = self.completed().take();
        let any = !at.is_null();
        // SAFETY: slots exist as long as their port; the list gave them up to us.
        while let Some(slot) = unsafe { at.as_ref() } {
            at = slot.next.load(Relaxed);
            self.finish(slot);
        }
        any
    }

    fn finish(&self, slot: &Slot) {
        if slot.is_late.load(Relaxed) {
            // Whoever waited for it has been answered, and its unit does not count it any more.
            if let Some(slots) = self.slots() {
                slots.give(slot);
            }
            return;
        }
        let Some(unit) = slot.unit() else { return };
        let status = self.status_of(slot);
        if status.code() == SrbStatus::PENDING {
            count(&self.faults().argument);
            self.set_status(slot, SrbStatus::ERROR);
        }
        if slot.index() == 0 {
            return self.reset_ended(slot, unit);
        }
        if self.is_busy(slot, unit, status) || self.wants_retry(slot, unit, status) {
            return self.again(unit, slot);
        }
        self.give_back(slot, unit);
    }

    /// Whether the miniport had no room, so that the request is to be kept until it has.
    fn is_busy(&self, slot: &Slot, unit: &LogicalUnit, status: SrbStatus) -> bool {
        let busy = status.code() == SrbStatus::BUSY && slot.waits.load(Relaxed) < BUSY_RETRIES;
        if busy && self.is_running() {
            slot.waits.fetch_add(1, Relaxed);
            unit.gate.set_full(self.system().now() + BUSY_WAIT);
            self.wake_in(BUSY_WAIT);
            return true;
        }
        false
    }

    /// The request is done: its slot is freed and its origin answered.
    pub(crate) fn give_back(&self, slot: &Slot, unit: &LogicalUnit) {
        let Some(origin) = slot.origin() else { return };
        // SAFETY: both are the port's; the origin's own fields are read at fixed places, whatever the miniport has
        // written beside them.
        unsafe {
            let (buffer, length) = self.buffer_of(origin.srb.as_ptr());
            core::ptr::copy_nonoverlapping(slot.srb().cast_const(), origin.srb.as_ptr(), 1);
            self.copy_out(slot, origin.srb.as_ptr(), buffer, length);
        }
        if let Some(slots) = self.slots() {
            slots.give(slot);
        }
        self.left(unit);
        self.give_origin_back(origin);
    }

    /// A request has left its unit.
    pub(crate) fn left(&self, unit: &LogicalUnit) {
        let left = unit.outstanding.fetch_sub(1, Relaxed).saturating_sub(1);
        unit.gate.ended(left);
        let left = self.outstanding().fetch_sub(1, Relaxed).saturating_sub(1);
        self.gate().ended(left);
    }

    pub(crate) fn give_origin_back(&self, origin: Origin) {
        if origin.is_command {
            // SAFETY: `Command::send` made it a command, whose sender keeps it until now.
            unsafe { Command::finish(origin.srb.cast()) };
        } else {
            // SAFETY: the shim gave it to `start_io`, once, and it has not been completed yet.
            unsafe { Srb::from_raw(origin.srb.cast()) }.complete();
        }
    }
}
