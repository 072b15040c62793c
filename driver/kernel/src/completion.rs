//! Callers' IRPs in the unit: how they wait, are cancelled, and are answered.

use core::ptr::NonNull;

use sluice_chain::rundown::Inside;
use sluice_shim::{
    queue::Waiting,
    request::{DeviceResult, Incoming, Request, SENSE_BYTES},
    scsi::sense::{self, Refusal},
    storport::{SrbStatus, srb::SrbView},
    unit::{Finished, Host},
};
use wdk_sys::{
    IRP, NTSTATUS, PDEVICE_OBJECT, PIRP, STATUS_BUFFER_OVERFLOW, STATUS_IO_DEVICE_ERROR, STATUS_SUCCESS,
    ntddk::IoReleaseCancelSpinLock,
};

use crate::{
    child_io,
    disk::Disk,
    nt::{cancel, irp::Irp, is_success},
    requests,
};

/// The host of a volume's unit: its callers are IRPs of `disk`.
pub(crate) struct Callers {
    disk: &'static Disk,
    sector_size: u32,
}

impl Callers {
    pub(crate) fn new(disk: &'static Disk, sector_size: u32) -> Self {
        Self { disk, sector_size }
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
        requests::describe(&irp, self.sector_size).unwrap_or(Incoming::IMPOSSIBLE)
    }

    fn claim(&self, waiting: NonNull<Waiting>) -> bool {
        // SAFETY: pending and ours.
        unsafe { cancel::disarm(Irp::of_waiting(waiting)) }
    }

    fn finish(&self, waiting: NonNull<Waiting>, result: &Finished<'_>) {
        // SAFETY: the unit has finished with it: ours alone.
        let irp = unsafe { Irp::take(Irp::of_waiting(waiting)) };
        answer(self.disk, irp, result);
    }

    fn left(&self) {
        // SAFETY: `requests::submit` forgot one for each request that the unit took.
        self.disk.leave_volume(unsafe { Inside::remembered() });
    }

    fn release(&self, request: &Request) {
        // SAFETY: the unit is being dropped: the request is idle and will not be used again.
        unsafe { child_io::free_request(request) };
    }
}

/// Cancel routine of IRPs that wait. Called with the cancel spin lock held, at DISPATCH_LEVEL.
unsafe extern "C" fn cancelled(device: PDEVICE_OBJECT, irp: PIRP) {
    // SAFETY: the I/O manager calls it for an IRP of one of this driver's disks. The lock is given back with
    // the IRQL that the IRP carries, before any lock of ours is taken.
    let (disk, irp) = unsafe {
        IoReleaseCancelSpinLock((*irp).CancelIrql);
        (Disk::of(device), NonNull::new(irp))
    };
    let Some(irp) = irp else { return };
    // The IRP holds the volume open, so it is there. If the IRP is not in the queue any more, its turn had just
    // come, and `claim` has found that it is this routine's.
    // SAFETY: the IRP was kept inside the volume.
    let inside = unsafe { Inside::remembered() };
    disk.volume_while(&inside).map(|volume| volume.unit().withdraw(Irp::waiting(irp)));
    inside.forget();
    withdrawn(disk, irp);
}

/// Completes a request that was cancelled while it waited.
pub(crate) fn withdrawn(disk: &'static Disk, irp: NonNull<IRP>) {
    // SAFETY: out of the queue, or never in it: ours alone. It was kept by `requests::submit`.
    let (irp, inside) = unsafe { (Irp::take(irp), Inside::remembered()) };
    if let Some(mut view) = requests::view(&irp) {
        requests::refuse(disk, irp, &mut view, Refusal::Cancelled);
    }
    disk.leave_volume(inside);
}

/// Completes a caller's IRP with what has come of it, and releases the remove lock.
fn answer(disk: &'static Disk, irp: Irp, result: &Finished<'_>) {
    let Some(mut view) = requests::view(&irp) else {
        let tag = irp.tag();
        irp.complete(STATUS_IO_DEVICE_ERROR, 0);
        return disk.remove_lock.release(tag);
    };
    if requests::quiesces(view.function()) {
        return requests::quiesced(disk, irp, view.function());
    }
    match (Refusal::of(result.status), &result.device) {
        (None, Some(device)) => {
            let status = take_over(disk, &mut view, device, result.transferred);
            let tag = irp.tag();
            irp.complete(status, result.transferred as usize);
            disk.remove_lock.release(tag);
        }
        (refusal, _) => {
            requests::refuse(disk, irp, &mut view, refusal.unwrap_or(Refusal::Hardware));
        }
    }
}

/// The device's own answer, in the caller's SRB. Block numbers in sense data become the volume's.
fn take_over(disk: &Disk, view: &mut SrbView, device: &DeviceResult<'_>, transferred: u32) -> NTSTATUS {
    view.set_data_transfer_length(transferred);
    view.set_scsi_status(device.scsi_status);
    view.set_srb_status(device.srb_status.code());
    let mut copy = [0; SENSE_BYTES];
    if let Some(copy) = copy.get_mut(..device.sense.len()).filter(|copy| !copy.is_empty()) {
        copy.copy_from_slice(device.sense);
        sense::rebase(copy, disk.first_sector());
        // SAFETY: the class driver's sense buffer is non-paged and as long as its SRB says.
        unsafe { view.write_sense(copy) };
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
        SrbStatus::NO_DEVICE => Refusal::NoDevice.answer().ntstatus.cast_signed(),
        _ => STATUS_IO_DEVICE_ERROR,
    }
}
