//! Callers' IRPs: how they wait for the unit, and how they are answered.

use core::ptr::NonNull;

use sluice_chain::Status;
use sluice_shim::{
    queue::Waiting,
    request::Incoming,
    scsi::sense::Refusal,
    storport::{SrbStatus, srb::SrbView},
    unit::{Finished, Host},
};
use wdk_sys::{
    IRP, NTSTATUS, PDEVICE_OBJECT, PIRP, STATUS_CANCELLED, STATUS_DATA_OVERRUN, STATUS_DEVICE_BUSY,
    STATUS_IO_DEVICE_ERROR, STATUS_NO_SUCH_DEVICE, STATUS_SUCCESS,
};

use crate::{
    disk::Disk,
    nt::{cancel, irp::Irp},
    requests,
};

/// The host of a volume's unit: callers are IRPs of `disk`.
pub(crate) struct Callers {
    disk: &'static Disk,
}

impl Callers {
    pub(crate) fn new(disk: &'static Disk) -> Self {
        Self { disk }
    }
}

// SAFETY: a waiting node lies in an IRP that is pending from `submit` until it is completed here or cancelled.
unsafe impl Host for Callers {
    fn queued(&self, waiting: NonNull<Waiting>) -> bool {
        // SAFETY: pending and ours.
        unsafe { cancel::arm(Irp::of_waiting(waiting), cancelled) }
    }

    fn describe(&self, waiting: NonNull<Waiting>) -> Incoming {
        // SAFETY: pending and ours to look at.
        requests::describe(unsafe { &Irp::take(Irp::of_waiting(waiting)) })
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
}
