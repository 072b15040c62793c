//! Device control requests that the class driver forwards: the same table decides.

use core::{ptr::NonNull, slice};

use sluice_shim::scsi::{
    inspect::inspect,
    policy::{RequestKind, Treatment, VolumeState, treatment},
    sense::Refusal,
};
use wdk_sys::NTSTATUS;

use crate::{disk::Disk, dispatch, edited, nt::irp::Irp};

/// IRP_MJ_DEVICE_CONTROL. Up to DISPATCH_LEVEL.
pub(crate) fn dispatch(disk: &'static Disk, irp: Irp) -> NTSTATUS {
    // A disk that is not ours, or has gone: the device below answers for itself.
    let state = match disk.volume_state() {
        None | Some(VolumeState::Plain) => return dispatch::pass(disk, irp),
        Some(state) => state,
    };
    match decide(&irp, state) {
        Treatment::Pass | Treatment::PassUnqueued => dispatch::pass(disk, irp),
        Treatment::Edit(edit) => edited::pass_ioctl(disk, irp, edit),
        Treatment::Refuse(refusal) => irp.complete(refusal.answer().ntstatus.cast_signed(), 0),
        // A command inside a pass-through that would have to go through the chain. The class driver's own SRBs
        // do the same better; nobody reads a disk this way but tools that mean the bare device.
        _ => irp.complete(Refusal::InvalidOpcode.answer().ntstatus.cast_signed(), 0),
    }
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
