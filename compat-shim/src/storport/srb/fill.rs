//! Fresh SRBs: what the shim asks of a miniport, and child I/O for the device below.

use core::{
    ffi::c_void,
    mem::{offset_of, size_of},
    ptr,
};

use super::{Address, MAX_CDB, SrbError, SrbKind, SrbStorage, SrbView, storage::ExtendedSrb};
use crate::storport::{
    codes::{QueueAction, SrbFlags, SrbFunction, UNTAGGED},
    extended::{
        SRB_SIGNATURE, STOR_ADDR_BTL8_ADDRESS_LENGTH, STOR_ADDRESS_TYPE_BTL8,
        STORAGE_REQUEST_BLOCK_VERSION_1, SrbExDataCdb, StorageRequestBlock, data_type,
    },
    legacy::ScsiRequestBlock,
};

/// What a fresh SRB says.
#[derive(Clone, Copy, Debug)]
pub struct SrbRequest<'a> {
    /// What it does.
    pub function: SrbFunction,
    /// The command: 1 to 32 bytes for EXECUTE_SCSI (legacy: 16), else empty.
    pub cdb: &'a [u8],
    /// Direction, tagging and the rest. Own SRBs carry [`SrbFlags::NO_QUEUE_FREEZE`].
    pub flags: SrbFlags,
    /// The data's address.
    pub data_buffer: *mut c_void,
    /// Bytes to transfer.
    pub data_transfer_length: u32,
    /// Seconds.
    pub timeout: u32,
    /// Where sense data goes; may be null.
    pub sense_buffer: *mut u8,
    /// Its length in bytes.
    pub sense_length: u8,
    /// Bus, target and unit.
    pub address: Address,
    /// Tag action, with [`SrbFlags::QUEUE_ACTION_ENABLE`].
    pub queue_action: QueueAction,
    /// Priority (extended only).
    pub priority: u16,
    /// The IRP.
    pub original_request: *mut c_void,
    /// The class driver's context (extended only).
    pub class_context: *mut c_void,
    /// The port driver's context (extended only).
    pub port_context: *mut c_void,
    /// The miniport's memory for the request (`SrbExtension`, `MiniportContext`).
    pub miniport_context: *mut c_void,
}

impl<'a> SrbRequest<'a> {
    /// An untagged EXECUTE_SCSI of `cdb` without data, never freezing the queue.
    #[must_use]
    pub const fn command(cdb: &'a [u8]) -> Self {
        Self {
            function: SrbFunction::EXECUTE_SCSI,
            cdb,
            flags: SrbFlags::NO_QUEUE_FREEZE,
            data_buffer: ptr::null_mut(),
            data_transfer_length: 0,
            timeout: 0,
            sense_buffer: ptr::null_mut(),
            sense_length: 0,
            address: Address { path: 0, target: 0, lun: 0 },
            queue_action: QueueAction(0),
            priority: 0,
            original_request: ptr::null_mut(),
            class_context: ptr::null_mut(),
            port_context: ptr::null_mut(),
            miniport_context: ptr::null_mut(),
        }
    }

    /// Another function than EXECUTE_SCSI, without data.
    #[must_use]
    pub const fn function(function: SrbFunction) -> Self {
        Self { function, ..Self::command(&[]) }
    }

    /// The same with data in the direction of `direction` ([`SrbFlags::DATA_IN`] or [`SrbFlags::DATA_OUT`]).
    #[must_use]
    pub fn with_data(mut self, direction: SrbFlags, buffer: *mut c_void, length: u32) -> Self {
        self.flags |= direction;
        self.data_buffer = buffer;
        self.data_transfer_length = length;
        self
    }

    fn is_scsi(&self) -> bool {
        self.function == SrbFunction::EXECUTE_SCSI
    }
}

impl SrbStorage {
    /// Makes this storage a fresh SRB of the given kind, pending. Any IRQL.
    ///
    /// # Errors
    /// [`SrbError::CdbLength`] if the CDB does not fit the kind, [`SrbError::Command`] if an EXECUTE_SCSI has none
    /// or another function has one. The storage is then as it was.
    #[inline(always)] // every I/O: a field at a time, without a stop on the stack
    pub fn fill(&mut self, kind: SrbKind, request: &SrbRequest<'_>) -> Result<(), SrbError> {
        if request.is_scsi() == request.cdb.is_empty() {
            return Err(SrbError::Command);
        }
        let room = if kind == SrbKind::Legacy { 16 } else { MAX_CDB };
        if request.cdb.len() > room {
            return Err(SrbError::CdbLength);
        }
        match kind {
            SrbKind::Legacy => fill_legacy(self.as_legacy(), request),
            SrbKind::Extended => fill_extended(self.as_extended(), request),
        }
        Ok(())
    }

    /// As [`Self::fill`], with its view.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn filled(&mut self, kind: SrbKind, request: &SrbRequest<'_>) -> Result<SrbView, SrbError> {
        self.fill(kind, request)?;
        self.view()
    }
}

/// Copies `cdb`, whose length has been checked, to the front of `field`.
#[inline(always)] // every I/O: a field at a time, without a stop on the stack
fn put_cdb(field: &mut [u8], cdb: &[u8]) -> u8 {
    // No command that is sent often has fewer than ten bytes: so many are copied by a move or two, not by a loop.
    const MOST: usize = 10;
    let mut done = 0;
    if let (Some(to), Some(from)) = (field.first_chunk_mut::<MOST>(), cdb.first_chunk::<MOST>()) {
        *to = *from;
        done = MOST;
    }
    for (to, from) in field.iter_mut().zip(cdb).skip(done) {
        *to = *from;
    }
    cdb.len().min(field.len()) as u8
}

#[inline(always)] // every I/O: a field at a time, without a stop on the stack
fn fill_legacy(srb: &mut ScsiRequestBlock, request: &SrbRequest<'_>) {
    srb.length = size_of::<ScsiRequestBlock>() as u16;
    srb.function = request.function.0;
    srb.path_id = request.address.path;
    srb.target_id = request.address.target;
    srb.lun = request.address.lun;
    srb.queue_tag = UNTAGGED;
    srb.queue_action = request.queue_action.0;
    srb.cdb_length = put_cdb(&mut srb.cdb, request.cdb);
    srb.sense_info_buffer_length = request.sense_length;
    srb.srb_flags = request.flags.0;
    srb.data_transfer_length = request.data_transfer_length;
    srb.time_out_value = request.timeout;
    srb.data_buffer = request.data_buffer;
    srb.sense_info_buffer = request.sense_buffer.cast();
    srb.original_request = request.original_request;
    srb.srb_extension = request.miniport_context;
}

#[inline(always)] // every I/O: a field at a time, without a stop on the stack
fn fill_extended(srb: &mut ExtendedSrb, request: &SrbRequest<'_>) {
    let head = &mut srb.head;
    head.length = offset_of!(StorageRequestBlock, signature) as u16;
    head.function = SrbFunction::STORAGE_REQUEST_BLOCK.0;
    head.signature = SRB_SIGNATURE;
    head.version = STORAGE_REQUEST_BLOCK_VERSION_1;
    head.srb_length = size_of::<ExtendedSrb>() as u32;
    head.srb_function = u32::from(request.function.0);
    head.srb_flags = request.flags.0;
    head.request_tag = u32::from(UNTAGGED);
    head.request_priority = request.priority;
    head.request_attribute = u16::from(request.queue_action.0);
    head.time_out_value = request.timeout;
    head.address_offset = offset_of!(ExtendedSrb, address) as u32;
    head.data_transfer_length = request.data_transfer_length;
    head.data_buffer = request.data_buffer;
    head.original_request = request.original_request;
    head.class_context = request.class_context;
    head.port_context = request.port_context;
    head.miniport_context = request.miniport_context;

    srb.address.kind = STOR_ADDRESS_TYPE_BTL8;
    srb.address.address_length = STOR_ADDR_BTL8_ADDRESS_LENGTH;
    srb.address.path = request.address.path;
    srb.address.target = request.address.target;
    srb.address.lun = request.address.lun;

    if request.is_scsi() {
        put_command(srb, request);
    }
}

/// A CDB of up to 16 bytes goes into a CDB16 block, as class drivers send it: not every miniport looks for CDB32.
#[inline(always)] // every I/O: a field at a time, without a stop on the stack
fn put_command(srb: &mut ExtendedSrb, request: &SrbRequest<'_>) {
    srb.head.num_srb_ex_data = 1;
    srb.head.srb_ex_data_offset = [offset_of!(ExtendedSrb, command) as u32];
    let command = &mut srb.command;
    (command.kind, command.length) = if request.cdb.len() <= 16 {
        (data_type::SCSI_CDB16, SrbExDataCdb::<16>::LENGTH)
    } else {
        (data_type::SCSI_CDB32, SrbExDataCdb::<32>::LENGTH)
    };
    command.sense_info_buffer_length = request.sense_length;
    command.sense_info_buffer = request.sense_buffer.cast();
    command.cdb_length = put_cdb(&mut command.cdb, request.cdb);
}
