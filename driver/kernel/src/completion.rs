//! Callers' IRPs in a unit: how they wait, are cancelled, and are answered.

use core::ptr::NonNull;

use sluice_chain::{Chain, rundown::Inside};
use sluice_shim::{
    queue::Waiting,
    request::{DeviceResult, Incoming, Request, SENSE_BYTES},
    scsi::sense::{self, Refusal},
    storport::{SrbFunction, SrbStatus, srb::SrbView},
    unit::{Finished, Hold, Host, Unit},
};
use wdk_sys::{
    IRP, NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, STATUS_BUFFER_OVERFLOW, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_IO_DEVICE_ERROR, STATUS_SUCCESS, ntddk::IoReleaseCancelSpinLock,
};

use crate::{
    child_io,
    nt::{cancel, event::Event, irp::Irp, irql::Passive, is_success},
    requests,
    role::Role,
};

/// A device whose callers' IRPs go to a unit. Up to DISPATCH_LEVEL, all of it.
pub(crate) trait Served: Sync {
    /// What the unit is asked for an IRP that waits.
    fn describe(&self, irp: &Irp) -> Result<Incoming, Refusal>;

    /// Takes a request out of the unit's queue, if it is still there.
    fn withdraw(&self, waiting: NonNull<Waiting>, inside: &Inside);

    /// One who was inside for a request goes out.
    fn leave(&self, inside: Inside);

    /// The IRP with this tag has been completed.
    fn done(&self, tag: PVOID);

    /// The engine has been flushed for a request that locks or quiesces the device below, which gets it now. Given back if
    /// there is none.
    fn quiesced(&self, irp: Irp, function: SrbFunction) -> Option<Irp> {
        let _ = function;
        Some(irp)
    }

    /// How many sectors further down the device below counts.
    fn moved_by(&self) -> u64;
}

/// The host of a unit: its callers are IRPs of `device`.
pub(crate) struct Callers {
    device: &'static dyn Served,
    /// Set when the unit is held to be changed and no request is under way any more.
    drained: Event,
}

impl Callers {
    pub(crate) fn new(device: &'static dyn Served) -> Self {
        Self { device, drained: Event::uninit() }
    }

    /// Makes it usable.
    ///
    /// # Safety
    /// Once, at the address where it stays.
    pub(crate) unsafe fn initialize(&self) {
        // SAFETY: the caller's contract.
        unsafe { self.drained.initialize() };
    }
}

impl Callers {
    /// Changes the chain of their unit while no request is under way; those that come meanwhile wait. By one at a time, and
    /// nobody else looks at the chain meanwhile.
    pub(crate) fn change_chain<R>(
        &self,
        unit: &Unit,
        at: Passive<'_>,
        change: impl FnOnce(&mut Chain) -> R,
    ) -> R {
        self.drained.clear();
        if !unit.hold(Hold::CHANGING) {
            self.drained.wait(at);
        }
        // SAFETY: held and drained; the rest is the caller's to see to.
        let result = change(unsafe { unit.chain_mut() });
        unit.go_on(Hold::CHANGING);
        result
    }
}

// SAFETY: a waiting node lies in an IRP that is pending from `submit` until it is completed here or cancelled.
unsafe impl Host for Callers {
    fn queued(&self, waiting: NonNull<Waiting>) -> bool {
        // SAFETY: pending and ours.
        unsafe { cancel::arm(Irp::of_waiting(waiting), Some(cancelled)) }
    }

    fn describe(&self, waiting: NonNull<Waiting>) -> Incoming {
        // SAFETY: pending and ours; only looked at.
        let irp = unsafe { Irp::take(Irp::of_waiting(waiting)) };
        self.device.describe(&irp).unwrap_or(Incoming::IMPOSSIBLE)
    }

    fn asked(&self, waiting: NonNull<Waiting>) -> Option<SrbView> {
        // SAFETY: pending and ours; only looked at.
        let irp = unsafe { Irp::take(Irp::of_waiting(waiting)) };
        // A stage may have come since it was described, which would not see it. From here on none comes.
        let now = self.device.describe(&irp).ok()?;
        requests::view(&irp).filter(|_| now.direction == Incoming::COMMAND)
    }

    fn claim(&self, waiting: NonNull<Waiting>) -> bool {
        // SAFETY: pending and ours.
        unsafe { cancel::disarm(Irp::of_waiting(waiting)) }
    }

    fn finish(&self, waiting: NonNull<Waiting>, result: &Finished<'_>) {
        // SAFETY: the unit has finished with it: ours alone.
        let irp = unsafe { Irp::take(Irp::of_waiting(waiting)) };
        answer(self.device, irp, result);
    }

    fn left(&self) {
        // SAFETY: `requests::enter` forgot one for each request that the unit took.
        self.device.leave(unsafe { Inside::remembered() });
    }

    fn drained(&self) {
        self.drained.set();
    }

    fn release(&self, request: &Request) {
        // SAFETY: the unit is being dropped: the request is idle and will not be used again.
        unsafe { child_io::free_request(request) };
    }
}

/// Cancel routine of IRPs that wait. Called with the cancel spin lock held, at DISPATCH_LEVEL.
unsafe extern "C" fn cancelled(device: PDEVICE_OBJECT, irp: PIRP) {
    // SAFETY: the I/O manager calls it for an IRP of one of this driver's devices. The lock is given back with
    // the IRQL that the IRP carries, before any lock of ours is taken.
    let (device, irp) = unsafe {
        IoReleaseCancelSpinLock((*irp).CancelIrql);
        (Role::of(device).served(), NonNull::new(irp))
    };
    let (Some(device), Some(irp)) = (device, irp) else { return };
    // The IRP holds the unit open, so it is there. If the IRP is not in the queue any more, its turn had just
    // come, and `claim` has found that it is this routine's.
    // SAFETY: the IRP was kept inside.
    let inside = unsafe { Inside::remembered() };
    device.withdraw(Irp::waiting(irp), &inside);
    inside.forget();
    withdrawn(device, irp, Refusal::Cancelled);
}

/// Completes a request that was cancelled, or given up for another reason, while it waited.
pub(crate) fn withdrawn(device: &dyn Served, irp: NonNull<IRP>, why: Refusal) {
    // SAFETY: out of the queue, or never in it: ours alone. It was kept by `requests::enter`.
    let (irp, inside) = unsafe { (Irp::take(irp), Inside::remembered()) };
    if let Some(mut view) = requests::view(&irp) {
        requests::refuse(device, irp, &mut view, why);
    }
    device.leave(inside);
}

/// Completes a caller's IRP with what has come of it.
fn answer(device: &dyn Served, irp: Irp, result: &Finished<'_>) {
    let Some(mut view) = requests::to_answer(&irp) else {
        let tag = irp.tag();
        irp.complete(STATUS_IO_DEVICE_ERROR, 0);
        return device.done(tag);
    };
    let irp = if requests::quiesces(view.function()) {
        match device.quiesced(irp, view.function()) {
            Some(irp) => irp,
            None => return,
        }
    } else {
        irp
    };
    match (Refusal::of(result.status), &result.device) {
        (None, Some(below)) => {
            let status = take_over(device.moved_by(), &mut view, below, result.transferred);
            let tag = irp.tag();
            irp.complete(status, result.transferred as usize);
            device.done(tag);
        }
        (refusal, _) => {
            requests::refuse(device, irp, &mut view, refusal.unwrap_or(Refusal::Hardware));
        }
    }
}

/// The device's own answer, in the caller's SRB. Block numbers in sense data become the volume's.
fn take_over(moved_by: u64, view: &mut SrbView, device: &DeviceResult<'_>, transferred: u32) -> NTSTATUS {
    view.set_data_transfer_length(transferred);
    view.set_scsi_status(device.scsi_status);
    view.set_srb_status(device.srb_status.code());
    if !device.sense.is_empty() {
        copy_sense(moved_by, view, device.sense);
    }
    match device.srb_status.code() {
        SrbStatus::SUCCESS => STATUS_SUCCESS,
        SrbStatus::INTERNAL_ERROR => {
            // Class drivers take the status from the SRB; one that means success would hide the failure.
            let status = device.internal_status.cast_signed();
            let status = if is_success(status) { STATUS_IO_DEVICE_ERROR } else { status };
            view.set_internal_status(status.cast_unsigned());
            status
        }
        SrbStatus::DATA_OVERRUN => STATUS_BUFFER_OVERFLOW,
        SrbStatus::BUSY => Refusal::Busy.answer().ntstatus.cast_signed(),
        SrbStatus::ABORTED => Refusal::Cancelled.answer().ntstatus.cast_signed(),
        SrbStatus::INVALID_REQUEST => STATUS_INVALID_DEVICE_REQUEST,
        SrbStatus::NO_DEVICE => Refusal::NoDevice.answer().ntstatus.cast_signed(),
        _ => STATUS_IO_DEVICE_ERROR,
    }
}

/// Not inlined: the copy takes stack, and most requests have none.
#[inline(never)]
fn copy_sense(moved_by: u64, view: &mut SrbView, sense: &[u8]) {
    let mut copy = [0; SENSE_BYTES];
    if let Some(copy) = copy.get_mut(..sense.len()) {
        copy.copy_from_slice(sense);
        sense::rebase(copy, moved_by);
        // SAFETY: the class driver's sense buffer is non-paged and as long as its SRB says.
        unsafe { view.write_sense(copy) };
    }
}
