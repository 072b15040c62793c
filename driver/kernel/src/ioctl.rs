//! Device control requests that the class driver forwards: the same table decides.

use core::{ptr::NonNull, slice};

use sluice_shim::scsi::{
    inspect::inspect,
    policy::{RequestKind, Treatment, VolumeState, treatment},
    sense::Refusal,
};
use wdk_sys::{NTSTATUS, STATUS_INVALID_DEVICE_REQUEST};

use crate::{
    disk::Disk,
    dispatch, edited,
    nt::{
        irp::Irp,
        irql::{self, Passive},
    },
    pass_through::{self, Recipient},
    probe::Adapter,
    volume::MAX_TRANSFER,
};

/// IRP_MJ_DEVICE_CONTROL. Up to DISPATCH_LEVEL.
pub(crate) fn dispatch(disk: &'static Disk, irp: Irp) -> NTSTATUS {
    // A disk that is not ours, or has gone: the device below answers for itself.
    let state = match disk.volume_state() {
        None | Some(VolumeState::Plain) => return dispatch::pass(disk, irp),
        Some(state) => state,
    };
    match decide(&irp, state) {
        Treatment::Pass | Treatment::PassUnqueued => dispatch::pass(disk, irp),
        Treatment::Edit(edit) if edited::is_of_a_property(edit) => edited::pass_ioctl(disk, irp, edit),
        Treatment::Refuse(refusal) => irp.complete(refusal.answer().ntstatus.cast_signed(), 0),
        // A command inside a pass-through that is not for the device below as it is.
        _ => command(disk, irp),
    }
}

/// A command from a program goes the way of the class driver's SRBs: through this same device.
fn command(disk: &'static Disk, irp: Irp) -> NTSTATUS {
    // SAFETY: the union member of this major function.
    let code = unsafe { irp.stack().Parameters.DeviceIoControl.IoControlCode };
    let tag = irp.tag();
    if irql::current() != 0 {
        return irp.complete(STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    if let Err(status) = disk.remove_lock.acquire(tag) {
        return irp.complete(status, 0);
    }
    // SAFETY: just looked, and in the thread of whoever has sent it.
    let at = unsafe { Passive::assume() };
    // What is edited on its way up goes down as it is.
    let below = disk.identity.with(&mut disk.turn.take(at)).adapter;
    let takes = Adapter { most_bytes: below.most_bytes.min(MAX_TRANSFER), ..below };
    let status = pass_through::command(Recipient { device: disk.device, takes }, code, irp, at);
    disk.remove_lock.release(tag);
    status
}

pub(crate) fn decide(irp: &Irp, state: VolumeState) -> Treatment {
    // SAFETY: the union member of this major function.
    let control = unsafe { irp.stack().Parameters.DeviceIoControl };
    let first = treatment(&RequestKind::Ioctl(control.IoControlCode), state);
    if !matches!(first, Treatment::Inspect(_)) {
        return first;
    }
    let Some(buffer) = NonNull::new(irp.system_buffer()) else {
        return Treatment::Refuse(Refusal::InvalidField);
    };
    // SAFETY: the codes that are inspected are METHOD_BUFFERED: a system copy of the input, of this length.
    let input = unsafe { slice::from_raw_parts(buffer.as_ptr(), control.InputBufferLength as usize) };
    match inspect(control.IoControlCode, input) {
        Some(kind) => treatment(&kind, state),
        None => Treatment::Refuse(Refusal::InvalidField),
    }
}
