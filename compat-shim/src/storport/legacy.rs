//! `SCSI_REQUEST_BLOCK`, the SRB from before Windows 8.

use core::{
    ffi::c_void,
    mem::{offset_of, size_of},
    ptr,
};

/// `SCSI_REQUEST_BLOCK`: one request to a unit, with room for a CDB of 16 bytes.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct ScsiRequestBlock {
    /// Size of this structure in bytes.
    pub length: u16,
    /// `SRB_FUNCTION_*`.
    pub function: u8,
    /// `SRB_STATUS_*`.
    pub srb_status: u8,
    /// The SCSI status byte.
    pub scsi_status: u8,
    /// Bus.
    pub path_id: u8,
    /// Target on the bus.
    pub target_id: u8,
    /// Unit of the target.
    pub lun: u8,
    /// Tag, or [`super::codes::UNTAGGED`].
    pub queue_tag: u8,
    /// See [`super::QueueAction`]; valid with `SRB_FLAGS_QUEUE_ACTION_ENABLE`.
    pub queue_action: u8,
    /// Bytes of `cdb` in use.
    pub cdb_length: u8,
    /// Size of the sense buffer in bytes; on return, what is valid of it.
    pub sense_info_buffer_length: u8,
    /// `SRB_FLAGS_*`.
    pub srb_flags: u32,
    /// Bytes to transfer; on return, bytes transferred.
    pub data_transfer_length: u32,
    /// Seconds.
    pub time_out_value: u32,
    /// The data. Not always a mapped address: see the IRP's MDL.
    pub data_buffer: *mut c_void,
    /// The sense buffer.
    pub sense_info_buffer: *mut c_void,
    /// The SRB to abort, for ABORT_COMMAND.
    pub next_srb: *mut ScsiRequestBlock,
    /// The IRP.
    pub original_request: *mut c_void,
    /// The miniport's memory for this request.
    pub srb_extension: *mut c_void,
    /// `InternalStatus`, `QueueSortKey` or `LinkTimeoutValue`.
    pub internal_status: u32,
    /// Zero.
    pub reserved: u32,
    /// The command.
    pub cdb: [u8; 16],
}

impl ScsiRequestBlock {
    /// All zero: EXECUTE_SCSI, pending, no data. `length` is zero too.
    #[must_use]
    pub const fn zeroed() -> Self {
        Self {
            length: 0,
            function: 0,
            srb_status: 0,
            scsi_status: 0,
            path_id: 0,
            target_id: 0,
            lun: 0,
            queue_tag: 0,
            queue_action: 0,
            cdb_length: 0,
            sense_info_buffer_length: 0,
            srb_flags: 0,
            data_transfer_length: 0,
            time_out_value: 0,
            data_buffer: ptr::null_mut(),
            sense_info_buffer: ptr::null_mut(),
            next_srb: ptr::null_mut(),
            original_request: ptr::null_mut(),
            srb_extension: ptr::null_mut(),
            internal_status: 0,
            reserved: 0,
            cdb: [0; 16],
        }
    }
}

// 12 bytes of header, 12 of lengths, 5 pointers, 8 of status, 16 of CDB.
const _: () = assert!(size_of::<ScsiRequestBlock>() == 88);
const _: () = assert!(offset_of!(ScsiRequestBlock, scsi_status) == 4);
const _: () = assert!(offset_of!(ScsiRequestBlock, srb_flags) == 12);
const _: () = assert!(offset_of!(ScsiRequestBlock, data_buffer) == 24);
const _: () = assert!(offset_of!(ScsiRequestBlock, original_request) == 48);
const _: () = assert!(offset_of!(ScsiRequestBlock, internal_status) == 64);
const _: () = assert!(offset_of!(ScsiRequestBlock, cdb) == 72);
