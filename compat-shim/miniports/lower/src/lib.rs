//! The miniport in the filter position: it forwards each SRB to the device below.
//!
//! It has no hardware. What "the device below" is, its host says ([`DeviceBelow`]): in the driver an IRP of our
//! own sent to the next lower device object with a completion routine.
#![no_std]

use sluice_shim::{
    miniport::{Miniport, Srb},
    storport::{SrbKind, SrbStatus},
};

/// A way to send an SRB to a device.
pub trait DeviceBelow: Sync {
    /// Which SRBs the device takes (`STORAGE_ADAPTER_DESCRIPTOR.SrbType`).
    fn srb_kind(&self) -> SrbKind;

    /// Sends it, and sees to it that [`returned`] is called once when it is back. Up to DISPATCH_LEVEL.
    fn send(&self, srb: Srb);
}

/// The miniport.
#[derive(Debug)]
pub struct Lower<D>(pub D);

impl<D: DeviceBelow> Miniport for Lower<D> {
    fn srb_kind(&self) -> SrbKind {
        self.0.srb_kind()
    }

    fn start_io(&self, srb: Srb) {
        self.0.send(srb);
    }
}

/// The device below has answered. `failure`: an NTSTATUS with which the request failed, whatever the SRB says (a
/// stack that is being removed completes IRPs without looking at their SRBs). Up to DISPATCH_LEVEL.
pub fn returned(mut srb: Srb, failure: Option<u32>) {
    let mut view = srb.view();
    let silent = matches!(view.srb_status().code(), SrbStatus::PENDING | SrbStatus::SUCCESS);
    if let Some(ntstatus) = failure.filter(|_| silent) {
        view.set_srb_status(srb_status(ntstatus));
        view.set_internal_status(ntstatus);
        view.set_data_transfer_length(0);
    }
    srb.complete();
}

/// How an SRB says an NTSTATUS.
fn srb_status(ntstatus: u32) -> SrbStatus {
    match ntstatus {
        // STATUS_NO_SUCH_DEVICE, _DELETE_PENDING, _DEVICE_NOT_CONNECTED, _DEVICE_DOES_NOT_EXIST, _DEVICE_REMOVED
        0xC000_000E | 0xC000_0056 | 0xC000_009D | 0xC000_00C0 | 0xC000_02B6 => SrbStatus::NO_DEVICE,
        0xC000_0120 => SrbStatus::ABORTED, // STATUS_CANCELLED
        _ => SrbStatus::INTERNAL_ERROR,
    }
}
