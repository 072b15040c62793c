//! Device control requests that the class driver forwards: the same table decides.

use core::{ptr::NonNull, slice};

use sluice_shim::scsi::{
    inspect::inspect,
    policy::{Edit, RequestKind, Treatment, VolumeState, treatment},
    sense::Refusal,
};
use wdk_sys::{NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, STATUS_INVALID_PARAMETER, STATUS_SUCCESS};

use crate::{
    disk::{Disk, DiskState},
    dispatch,
    nt::{irp::Irp, is_success},
    volume::MAX_TRANSFER,
};

/// IRP_MJ_DEVICE_CONTROL. Up to DISPATCH_LEVEL.
pub(crate) fn dispatch(disk: &'static Disk, irp: Irp) -> NTSTATUS {
    let state = match disk.state() {
        // A disk that is not ours, or has gone: the device below answers for itself.
        DiskState::Plain | DiskState::Removed => return dispatch::pass(disk, irp),
        DiskState::Locked => VolumeState::Locked,
        DiskState::Damaged => VolumeState::Damaged,
        DiskState::Unreadable => VolumeState::Unreadable,
        DiskState::Unlocked => VolumeState::InPlace { read_only: false, discards: true },
    };
    match decide(&irp, state) {
        Treatment::Pass | Treatment::PassUnqueued => dispatch::pass(disk, irp),
        Treatment::Edit(Edit::MaximumTransfer) => pass_and_edit(disk, irp),
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

/// IOCTL_STORAGE_QUERY_PROPERTY for the adapter: the device answers, and a limit beyond ours is lowered.
fn pass_and_edit(disk: &'static Disk, irp: Irp) -> NTSTATUS {
    let tag = irp.tag();
    if let Err(status) = disk.remove_lock.acquire(tag) {
        return irp.complete(status, 0);
    }
    // SAFETY: the routine takes the disk, which the remove lock holds until it has run.
    unsafe { irp.pass_and_see(disk.lower(), Some(lower_limit), core::ptr::from_ref(disk).cast_mut().cast()) }
}

/// Completion routine of [`pass_and_edit`]. Up to DISPATCH_LEVEL.
unsafe extern "C" fn lower_limit(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // STORAGE_ADAPTER_DESCRIPTOR: Version, Size, MaximumTransferLength, MaximumPhysicalPages, 4 bytes each.
    const LENGTH_AT: usize = 8;
    let Some(found) = NonNull::new(irp) else { return STATUS_INVALID_PARAMETER };
    // SAFETY: the IRP is this driver's while its completion routine runs; the buffer holds as many bytes as the
    // device below says it has written. `pass_and_edit` gave the disk.
    unsafe {
        let irp = Irp::take(found);
        if (*found.as_ptr()).PendingReturned != 0 {
            irp.mark_pending();
        }
        let buffer = irp.system_buffer();
        if is_success(irp.status()) && irp.information() >= LENGTH_AT + 4 && !buffer.is_null() {
            let field = buffer.add(LENGTH_AT).cast::<u32>();
            field.write_unaligned(field.read_unaligned().min(MAX_TRANSFER));
        }
        (*context.cast::<Disk>()).remove_lock.release(irp.tag());
    }
    // STATUS_CONTINUE_COMPLETION
    STATUS_SUCCESS
}
