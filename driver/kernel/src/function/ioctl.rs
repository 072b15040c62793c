//! Device controls for an adapter and its units: what they are, where they are, and commands from programs.

use sluice_shim::{
    enumeration::descriptors::{self, NoAnswer},
    scsi::{ioctl::code, policy::Treatment},
};
use wdk_sys::{
    NTSTATUS, STATUS_BUFFER_TOO_SMALL, STATUS_DEVICE_DOES_NOT_EXIST, STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_NOT_SUPPORTED, STATUS_SUCCESS,
};

use super::{fdo::Fdo, pdo::Pdo, srb};
use crate::{
    ioctl::decide,
    nt::{irp::Irp, irql::Passive},
    pass_through::{self, Recipient, buffer},
    probe::Adapter,
};

/// IRP_MJ_DEVICE_CONTROL for an adapter. Up to DISPATCH_LEVEL.
pub(crate) fn adapter(fdo: &'static Fdo, irp: Irp) -> NTSTATUS {
    fdo.with_lock(irp, |irp| match control_code(&irp) {
        code::STORAGE_QUERY_PROPERTY => match fdo.hosted.with(|hosted| hosted.descriptor()) {
            Some(adapter) => property(irp, &adapter, None),
            None => irp.complete(STATUS_DEVICE_DOES_NOT_EXIST, 0),
        },
        code::SCSI_RESCAN_BUS => {
            fdo.rescan();
            irp.complete(STATUS_SUCCESS, 0)
        }
        _ => irp.complete(STATUS_INVALID_DEVICE_REQUEST, 0),
    })
}

/// IRP_MJ_DEVICE_CONTROL for a unit: in the caller's thread, at PASSIVE_LEVEL, as these controls are documented.
pub(crate) fn unit(pdo: &'static Pdo, irp: Irp, at: Passive<'_>) -> NTSTATUS {
    let Some((state, adapter)) = pdo.with_line(|line| (srb::state(line), line.hosted().descriptor())) else {
        return irp.complete(STATUS_DEVICE_DOES_NOT_EXIST, 0);
    };
    if let Treatment::Refuse(refusal) = decide(&irp, state) {
        return irp.complete(refusal.answer().ntstatus.cast_signed(), 0);
    }
    match control_code(&irp) {
        code::STORAGE_QUERY_PROPERTY => property(irp, &adapter, pdo.profile()),
        code::SCSI_GET_ADDRESS => address(pdo, irp),
        code @ (code::SCSI_PASS_THROUGH
        | code::SCSI_PASS_THROUGH_DIRECT
        | code::SCSI_PASS_THROUGH_EX
        | code::SCSI_PASS_THROUGH_DIRECT_EX) => {
            pass_through::command(recipient(pdo, &adapter), code, irp, at)
        }
        code::SCSI_MINIPORT => pass_through::io_control(recipient(pdo, &adapter), irp, at),
        _ => irp.complete(STATUS_INVALID_DEVICE_REQUEST, 0),
    }
}

fn recipient(pdo: &Pdo, adapter: &descriptors::Adapter) -> Recipient {
    let takes = Adapter {
        kind: adapter.srb_kind,
        most_bytes: adapter.max_transfer,
        alignment: adapter.alignment_mask,
    };
    Recipient { device: pdo.device, takes }
}

fn control_code(irp: &Irp) -> u32 {
    // SAFETY: the union member of this major function.
    unsafe { irp.stack().Parameters.DeviceIoControl.IoControlCode }
}

/// IOCTL_STORAGE_QUERY_PROPERTY.
fn property(
    irp: Irp,
    adapter: &descriptors::Adapter,
    unit: Option<&sluice_shim::enumeration::profile::Profile>,
) -> NTSTATUS {
    let mut descriptor = [0; descriptors::ROOM];
    let (buffer, input, output) = buffer(&irp);
    let query = buffer.get(..input).unwrap_or(&[]);
    let (status, length) = match descriptors::answer(query, output, adapter, unit, &mut descriptor) {
        Ok(length) => (STATUS_SUCCESS, length),
        Err(NoAnswer::Query) => (STATUS_INFO_LENGTH_MISMATCH, 0),
        Err(NoAnswer::Room) => (STATUS_BUFFER_TOO_SMALL, 0),
        Err(NoAnswer::Unknown) => (STATUS_NOT_SUPPORTED, 0),
    };
    for (to, from) in buffer.iter_mut().zip(&descriptor[..length]) {
        *to = *from;
    }
    irp.complete(status, length)
}

/// IOCTL_SCSI_GET_ADDRESS: SCSI_ADDRESS, 8 bytes.
fn address(pdo: &Pdo, irp: Irp) -> NTSTATUS {
    const LENGTH: usize = 8;
    let (buffer, _, output) = buffer(&irp);
    let Some(answer) = buffer.get_mut(..output).and_then(<[u8]>::first_chunk_mut::<LENGTH>) else {
        return irp.complete(STATUS_BUFFER_TOO_SMALL, 0);
    };
    let [size @ .., _, _, _, _] = answer;
    size.copy_from_slice(&(LENGTH as u32).to_le_bytes());
    answer[4..].copy_from_slice(&[pdo.port, pdo.address.path, pdo.address.target, pdo.address.lun]);
    irp.complete(STATUS_SUCCESS, LENGTH)
}
