//! The device answers, and what it says is changed on its way up.

use core::{ptr::NonNull, slice};

use sluice_chain::bytes::{Source, Target};
use sluice_shim::{
    scsi::{
        edit::{Edit, FRONT},
        policy::Treatment,
        sense::Refusal,
    },
    storport::{SrbFlags, SrbStatus, SrbView},
};
use wdk_sys::{
    NTSTATUS, PDEVICE_OBJECT, PIO_COMPLETION_ROUTINE, PIRP, PVOID, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};

use crate::{
    disk::Disk,
    nt::{irp::Irp, is_success},
    requests::{Asked, decide, payload, refuse},
};

/// The edits of IOCTL_STORAGE_QUERY_PROPERTY, each with its completion routine: an IRP has no room to say which, and its
/// answer lies where the question was.
const PROPERTIES: [(Edit, PIO_COMPLETION_ROUTINE); 5] = [
    (Edit::MaximumTransfer, Some(edit_property::<0>)),
    (Edit::ProvisioningProperty, Some(edit_property::<1>)),
    (Edit::AlignmentProperty, Some(edit_property::<2>)),
    (Edit::TrimProperty, Some(edit_property::<3>)),
    (Edit::WriteCacheProperty, Some(edit_property::<4>)),
];

/// Whether an edit is of a property, and not of what a command brings.
pub(crate) fn is_of_a_property(edit: Edit) -> bool {
    PROPERTIES.iter().any(|(property, _)| *property == edit)
}

/// Passes an IOCTL_STORAGE_QUERY_PROPERTY and edits the answer. Up to DISPATCH_LEVEL.
pub(crate) fn pass_ioctl(disk: &'static Disk, irp: Irp, edit: Edit) -> NTSTATUS {
    let Some((_, routine)) = PROPERTIES.into_iter().find(|(property, _)| *property == edit) else {
        return irp.complete(STATUS_INVALID_PARAMETER, 0);
    };
    let tag = irp.tag();
    if let Err(status) = disk.remove_lock.acquire(tag) {
        return irp.complete(status, 0);
    }
    // SAFETY: the routine takes the disk, which the remove lock holds until it has run.
    unsafe { irp.pass_and_see(disk.lower(), routine, core::ptr::from_ref(disk).cast_mut().cast()) }
}

/// Completion routine of [`pass_ioctl`]. Up to DISPATCH_LEVEL.
unsafe extern "C" fn edit_property<const WHICH: usize>(
    _device: PDEVICE_OBJECT,
    irp: PIRP,
    context: PVOID,
) -> NTSTATUS {
    let Some(found) = NonNull::new(irp) else { return STATUS_INVALID_PARAMETER };
    // SAFETY: the IRP is this driver's while its completion routine runs; the buffer holds as many bytes as the
    // device below says it has written, and no more than its request had room for. `pass_ioctl` gave the disk.
    unsafe {
        let (irp, disk) = (Irp::returned(found), &*context.cast::<Disk>());
        let room = irp.stack().Parameters.DeviceIoControl.OutputBufferLength as usize;
        let length = irp.information().min(room);
        if let (true, Some(buffer)) = (is_success(irp.status()), NonNull::new(irp.system_buffer())) {
            let answer = slice::from_raw_parts_mut(buffer.as_ptr(), length);
            let _ = PROPERTIES[WHICH].0.apply(&disk.edited(), answer, length);
        }
        disk.remove_lock.release(irp.tag());
    }
    // STATUS_CONTINUE_COMPLETION
    STATUS_SUCCESS
}

/// Passes an SRB and edits the answer. The remove lock is held, and released when it is back. Up to DISPATCH_LEVEL.
pub(crate) fn pass_srb(disk: &'static Disk, irp: Irp, srb: &mut SrbView) -> NTSTATUS {
    let length = srb.data_transfer_length();
    // The memory of a sender that means to send is only read.
    if length > 0 && !srb.flags().contains(SrbFlags::DATA_IN) {
        return refuse(disk, irp, srb, Refusal::InvalidField);
    }
    // Mapped now, so that nothing can fail when the answer is there.
    if let Err(refusal) = payload(&irp, srb, length) {
        return refuse(disk, irp, srb, refusal);
    }
    irp.note(length as usize);
    // SAFETY: the routine takes the disk, which the remove lock holds until it has run.
    unsafe { irp.pass_and_see(disk.lower(), Some(edit_srb), core::ptr::from_ref(disk).cast_mut().cast()) }
}

/// Completion routine of [`pass_srb`]. Up to DISPATCH_LEVEL.
unsafe extern "C" fn edit_srb(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    let Some(found) = NonNull::new(irp) else { return STATUS_INVALID_PARAMETER };
    // SAFETY: the IRP is this driver's while its completion routine runs. `pass_srb` gave the disk.
    unsafe {
        let (irp, disk) = (Irp::returned(found), &*context.cast::<Disk>());
        if let Some(mut asked) = Asked::of(&irp)
            && let Some(length) = edit_answer(disk, &irp, &asked)
        {
            asked.view.set_data_transfer_length(length as u32);
            (*found.as_ptr()).IoStatus.Information = length as _;
        }
        disk.remove_lock.release(irp.tag());
    }
    // STATUS_CONTINUE_COMPLETION
    STATUS_SUCCESS
}

/// Edits what an SRB has brought; answers how long it is now. Nothing is done for what has failed.
fn edit_answer(disk: &Disk, irp: &Irp, asked: &Asked) -> Option<usize> {
    let srb = &asked.view;
    if !matches!(srb.srb_status().code(), SrbStatus::SUCCESS | SrbStatus::DATA_OVERRUN) {
        return None;
    }
    // Asked again: in place of the old state there may be a new one, whose edit is as good.
    let Treatment::Edit(edit) = decide(irp, asked, disk.volume_state()?) else { return None };
    let (room, mut front) = (irp.noted(), [0; FRONT]);
    let length = (srb.data_transfer_length() as usize).min(room);
    let memory = payload(irp, srb, room as u32).ok()?;
    let kept = room.min(FRONT);
    let front = front.get_mut(..kept)?;
    // SAFETY: `payload` has checked that so many bytes are mapped there.
    unsafe {
        Target::from(&mut *front).copy_from(Source::from_raw(memory.address, kept));
        let edited = edit.apply(&disk.edited(), front, length);
        Target::from_raw(memory.address, kept).copy_from(Source::from(&front[..]));
        // What lies behind the front is as it came.
        Some(if length > kept { length } else { edited })
    }
}
