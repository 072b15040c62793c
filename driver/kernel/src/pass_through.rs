//! Commands from programs: each becomes an SRB of our own, which goes to the device that was asked like anybody else's, and so
//! passes the same policy and the same chain.
//!
//! ```text
//!   buffer of the request ─┐                ┌─► SRB to the same device ─► policy ─► chain
//!   memory of the program ─┴─► a copy ◄─────┘
//! ```
//!
//! The data is copied: what a program does to its memory meanwhile changes nothing, and devices get memory that is aligned for
//! them. In the sender's thread, at PASSIVE_LEVEL: a program's memory is mapped there only.

use alloc::vec::Vec;
use core::{ptr::NonNull, slice};

use sluice_chain::bytes::{Source, Target};
use sluice_shim::{
    scsi::pass_through::{Data, PassThrough, Wrong},
    storport::{
        SrbFlags, SrbFunction, SrbStatus, SrbView,
        srb::{SrbRequest, SrbStorage},
    },
};
use wdk_sys::{
    DEVICE_OBJECT, NTSTATUS, STATUS_BUFFER_TOO_SMALL, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_PARAMETER, STATUS_INVALID_USER_BUFFER, STATUS_IO_DEVICE_ERROR, STATUS_SUCCESS,
};

use crate::{
    nt::{irp::Irp, irql::Passive, mdl::Pages},
    probe::{Adapter, Probe, TIME_OUT},
};

/// Bytes of sense data that a program can take.
const SENSE: usize = 255;

/// A device of this driver that is asked, and what it takes.
#[derive(Clone, Copy)]
pub(crate) struct Recipient {
    pub(crate) device: NonNull<DEVICE_OBJECT>,
    pub(crate) takes: Adapter,
}

/// IOCTL_SCSI_PASS_THROUGH in all its forms: `code`.
pub(crate) fn command(recipient: Recipient, code: u32, irp: Irp, at: Passive<'_>) -> NTSTATUS {
    let (buffer, input, output) = buffer(&irp);
    let request = buffer
        .get(..input)
        .ok_or(Wrong::Size)
        .and_then(|input| PassThrough::parse(code, input, output, recipient.takes.most_bytes));
    let request = match request {
        Ok(request) => request,
        Err(Wrong::Size) => return irp.complete(STATUS_BUFFER_TOO_SMALL, 0),
        Err(Wrong::Field) => return irp.complete(STATUS_INVALID_PARAMETER, 0),
    };
    let mut sense = [0; SENSE];
    let carried = carry_out(recipient, &request, &irp, buffer, &mut sense, at);
    let (status, view) = match carried {
        Ok(carried) => carried,
        Err(status) => return irp.complete(status, 0),
    };
    // The device has answered, if only by saying no: that is the program's to judge.
    let answered = matches!(view.status.code(), SrbStatus::SUCCESS | SrbStatus::DATA_OVERRUN)
        || (view.status.code() == SrbStatus::ERROR && view.scsi.0 != 0);
    if !answered {
        return irp.complete(if status == STATUS_SUCCESS { STATUS_IO_DEVICE_ERROR } else { status }, 0);
    }
    // Without a flag the sense buffer says nothing. Its own length is in its eighth byte (SPC-5 4.4.2.2, 4.4.3).
    let length = if view.status.has_sense() { (8 + usize::from(sense[7])).min(SENSE) } else { 0 };
    let length = request.answer(buffer, view.scsi, view.moved, &sense[..length]);
    irp.complete(STATUS_SUCCESS, length)
}

/// What has come back in an SRB.
struct Outcome {
    status: SrbStatus,
    scsi: sluice_shim::storport::ScsiStatus,
    moved: u32,
}

/// Sends the command with a copy of its data, and copies back what has come.
///
/// # Errors
/// Why it could not be sent.
fn carry_out(
    recipient: Recipient,
    request: &PassThrough,
    irp: &Irp,
    buffer: &mut [u8],
    sense: &mut [u8; SENSE],
    at: Passive<'_>,
) -> Result<(NTSTATUS, Outcome), NTSTATUS> {
    let reads = request.direction.contains(SrbFlags::DATA_IN);
    let length = request.data.length() as usize;
    let pages = match &request.data {
        Data::Buffer(_) => None,
        // SAFETY: a device of ours; the sender's thread, and an address that the sender has named.
        Data::Program(address, length) => Some(
            unsafe { Pages::of_sender(irp, recipient.device, *address, *length, reads) }
                .ok_or(STATUS_INVALID_USER_BUFFER)?,
        ),
    };
    let mut own: Vec<u128> = Vec::new();
    own.try_reserve_exact(length.div_ceil(16)).map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
    own.resize(length.div_ceil(16), 0);
    // SAFETY: so many bytes were just set to zero there; bytes may be anything.
    let copy = unsafe { slice::from_raw_parts_mut(own.as_mut_ptr().cast::<u8>(), length) };
    if request.direction.contains(SrbFlags::DATA_OUT) {
        match (&request.data, &pages) {
            (Data::Buffer(place), _) => {
                let from = buffer.get(place.clone()).unwrap_or(&[]);
                copy.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
            (Data::Program(..), pages) => {
                let from = pages.as_ref().and_then(Pages::address).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
                // SAFETY: so many bytes are locked there, which the program may change meanwhile.
                Target::from(&mut *copy).copy_from(unsafe { Source::from_raw(from.as_ptr(), length) });
            }
        }
    }
    // Before the command is sent, so that nothing can fail when it is done.
    let into = match &pages {
        Some(pages) => Some(pages.address().ok_or(STATUS_INSUFFICIENT_RESOURCES)?),
        None => None,
    };
    let command = SrbRequest {
        // Without one it would wait for ever.
        timeout: if request.timeout == 0 { TIME_OUT } else { request.timeout },
        sense_buffer: sense.as_mut_ptr(),
        sense_length: SENSE as u8,
        ..SrbRequest::command(request.cdb())
    };
    let mut storage = SrbStorage::new();
    let (status, view) = ask(recipient, &command, request.direction, copy, &mut storage, at)?;
    let moved = view.data_transfer_length().min(length as u32);
    let came = copy.get(..moved as usize).filter(|_| reads).unwrap_or(&[]);
    match (&request.data, into) {
        (Data::Buffer(place), _) => {
            let into = buffer.get_mut(place.clone()).unwrap_or(&mut []);
            into.iter_mut().zip(came).for_each(|(to, from)| *to = *from);
        }
        (Data::Program(..), Some(into)) => {
            // SAFETY: as above, and locked to be written if it is read from the device.
            unsafe { Target::from_raw(into.as_ptr(), came.len()).copy_from(Source::from(came)) };
        }
        (Data::Program(..), None) => {}
    }
    Ok((status, Outcome { status: view.srb_status(), scsi: view.scsi_status(), moved }))
}

/// IOCTL_SCSI_MINIPORT: SRB_IO_CONTROL, whose data comes back in the same place.
pub(crate) fn io_control(recipient: Recipient, irp: Irp, at: Passive<'_>) -> NTSTATUS {
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
        input >= HEAD
            && size == HEAD
            && *whole <= buffer.len()
            && *whole <= recipient.takes.most_bytes as usize
    }) else {
        return irp.complete(STATUS_INVALID_PARAMETER, 0);
    };
    let command = SrbRequest { timeout, ..SrbRequest::function(SrbFunction::IO_CONTROL) };
    let both = SrbFlags(SrbFlags::DATA_IN.0 | SrbFlags::DATA_OUT.0);
    let mut storage = SrbStorage::new();
    let data = buffer.get_mut(..whole).unwrap_or(&mut []);
    match ask(recipient, &command, both, data, &mut storage, at) {
        Ok((STATUS_SUCCESS, view)) => {
            let length = (view.data_transfer_length() as usize).min(whole).min(output);
            irp.complete(STATUS_SUCCESS, length)
        }
        Ok((status, _)) | Err(status) => irp.complete(status, 0),
    }
}

/// Sends an SRB to the device and waits for it.
fn ask(
    recipient: Recipient,
    command: &SrbRequest<'_>,
    direction: SrbFlags,
    data: &mut [u8],
    storage: &mut SrbStorage,
    at: Passive<'_>,
) -> Result<(NTSTATUS, SrbView), NTSTATUS> {
    let memory = NonNull::from(&mut *data).cast::<u8>();
    let length = data.len() as u32;
    let command =
        if length > 0 { command.with_data(direction, memory.as_ptr().cast(), length) } else { *command };
    storage.fill(recipient.takes.kind, &command).map_err(|_| STATUS_INVALID_PARAMETER)?;
    // Pool memory of ours, or the I/O manager's buffer of a METHOD_BUFFERED request: non-paged.
    let status = Probe::with(recipient.device, recipient.takes, at).send(storage, memory, length);
    let view = storage.view().map_err(|_| STATUS_INVALID_PARAMETER)?;
    Ok((status, view))
}

/// The buffer of a METHOD_BUFFERED request, and how much of it is input and output.
pub(crate) fn buffer(irp: &Irp) -> (&mut [u8], usize, usize) {
    // SAFETY: the union member of this major function.
    let control = unsafe { irp.stack().Parameters.DeviceIoControl };
    let (input, output) = (control.InputBufferLength as usize, control.OutputBufferLength as usize);
    let buffer = match NonNull::new(irp.system_buffer()) {
        // SAFETY: one system buffer as long as the longer of the two, this request's alone while it is not completed.
        Some(buffer) => unsafe { slice::from_raw_parts_mut(buffer.as_ptr(), input.max(output)) },
        None => &mut [],
    };
    (buffer, input, output)
}
