//! Commands from programs: each becomes an SRB of our own, which goes to the unit's device like anybody else's, and so
//! passes the same policy and the same chain.

use core::ptr::NonNull;

use sluice_shim::{
    enumeration::descriptors,
    scsi::pass_through::{PassThrough, Wrong},
    storport::{
        SrbFlags, SrbFunction, SrbStatus, SrbView,
        srb::{SrbRequest, SrbStorage},
    },
};
use wdk_sys::{
    NTSTATUS, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER, STATUS_IO_DEVICE_ERROR, STATUS_SUCCESS,
};

use super::{ioctl::buffer, pdo::Pdo};
use crate::{
    nt::{irp::Irp, irql::Passive},
    probe::{Adapter, Probe},
};

/// Bytes of sense data that a program can take.
const SENSE: usize = 255;

/// IOCTL_SCSI_PASS_THROUGH.
pub(super) fn command(
    pdo: &'static Pdo,
    irp: Irp,
    adapter: &descriptors::Adapter,
    at: Passive<'_>,
) -> NTSTATUS {
    let (buffer, input, output) = buffer(&irp);
    let request = buffer
        .get(..input)
        .ok_or(Wrong::Size)
        .and_then(|input| PassThrough::parse(input, output, adapter.max_transfer));
    let request = match request {
        Ok(request) => request,
        Err(Wrong::Size) => return irp.complete(STATUS_BUFFER_TOO_SMALL, 0),
        Err(Wrong::Field) => return irp.complete(STATUS_INVALID_PARAMETER, 0),
    };
    let mut sense = [0; SENSE];
    let command = SrbRequest {
        timeout: request.timeout,
        sense_buffer: sense.as_mut_ptr(),
        sense_length: SENSE as u8,
        ..SrbRequest::command(request.cdb())
    };
    let data = buffer.get_mut(request.data.clone()).unwrap_or(&mut []);
    let mut storage = SrbStorage::new();
    let Ok((status, view)) = ask(pdo, adapter, &command, request.direction, data, &mut storage, at) else {
        return irp.complete(STATUS_INVALID_PARAMETER, 0);
    };
    // The device has answered, if only by saying no: that is the program's to judge.
    let answered = matches!(view.srb_status().code(), SrbStatus::SUCCESS | SrbStatus::DATA_OVERRUN)
        || (view.srb_status().code() == SrbStatus::ERROR && view.scsi_status().0 != 0);
    if !answered {
        return irp.complete(if status == STATUS_SUCCESS { STATUS_IO_DEVICE_ERROR } else { status }, 0);
    }
    // Without a flag the sense buffer says nothing. Its own length is in its eighth byte (SPC-5 4.4.2.2, 4.4.3).
    let length = if view.srb_status().has_sense() { (8 + usize::from(sense[7])).min(SENSE) } else { 0 };
    let moved = view.data_transfer_length().min(request.data.len() as u32);
    let length = request.answer(buffer, view.scsi_status(), moved, &sense[..length]);
    irp.complete(STATUS_SUCCESS, length)
}

/// IOCTL_SCSI_MINIPORT: SRB_IO_CONTROL, whose data comes back in the same place.
pub(super) fn io_control(
    pdo: &'static Pdo,
    irp: Irp,
    adapter: &descriptors::Adapter,
    at: Passive<'_>,
) -> NTSTATUS {
    /// HeaderLength, Signature, Timeout, ControlCode, ReturnCode, Length.
    const HEAD: usize = 28;
    const TIMEOUT_AT: usize = 12;
    const LENGTH_AT: usize = 24;
    let (buffer, input, output) = buffer(&irp);
    let word = |at: usize| {
        buffer.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_le_bytes(*word))
    };
    let whole = HEAD.checked_add(word(LENGTH_AT) as usize);
    let (size, timeout) = (word(0) as usize, word(TIMEOUT_AT));
    let Some(whole) = whole.filter(|whole| {
        input >= HEAD && size == HEAD && *whole <= buffer.len() && *whole <= adapter.max_transfer as usize
    }) else {
        return irp.complete(STATUS_INVALID_PARAMETER, 0);
    };
    let command = SrbRequest { timeout, ..SrbRequest::function(SrbFunction::IO_CONTROL) };
    let both = SrbFlags(SrbFlags::DATA_IN.0 | SrbFlags::DATA_OUT.0);
    let mut storage = SrbStorage::new();
    let data = buffer.get_mut(..whole).unwrap_or(&mut []);
    match ask(pdo, adapter, &command, both, data, &mut storage, at) {
        Ok((STATUS_SUCCESS, view)) => {
            let length = (view.data_transfer_length() as usize).min(whole).min(output);
            irp.complete(STATUS_SUCCESS, length)
        }
        Ok((status, _)) => irp.complete(status, 0),
        Err(()) => irp.complete(STATUS_INVALID_PARAMETER, 0),
    }
}

/// Sends an SRB to the unit's device and waits for it.
fn ask(
    pdo: &'static Pdo,
    adapter: &descriptors::Adapter,
    command: &SrbRequest<'_>,
    direction: SrbFlags,
    data: &mut [u8],
    storage: &mut SrbStorage,
    at: Passive<'_>,
) -> Result<(NTSTATUS, SrbView), ()> {
    let takes = Adapter {
        kind: adapter.srb_kind,
        most_bytes: adapter.max_transfer,
        alignment: adapter.alignment_mask,
    };
    let memory = NonNull::from(&mut *data).cast::<u8>();
    let length = data.len() as u32;
    let command =
        if length > 0 { command.with_data(direction, memory.as_ptr().cast(), length) } else { *command };
    storage.fill(takes.kind, &command).map_err(drop)?;
    // The I/O manager's buffer of a METHOD_BUFFERED request is non-paged.
    let status = Probe::with(pdo.device, takes, at).send(storage, memory, length);
    let view = storage.view().map_err(drop)?;
    Ok((status, view))
}
