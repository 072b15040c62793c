//! `STORAGE_REQUEST_BLOCK`, the SRB since Windows 8, and the extended data that follows it.
//!
//! ```text
//!   0     StorageRequestBlock, ending in an array of offsets (NumSrbExData of them)
//!   ...   StorAddressBtl8 at AddressOffset
//!   ...   SRBEX_DATA blocks at SrbExDataOffset[i], 8-byte aligned: the CDB, further information
//!   SrbLength
//! ```

use core::{
    ffi::c_void,
    mem::{offset_of, size_of},
    ptr,
};

/// `SRB_SIGNATURE`: "SRBX".
pub const SRB_SIGNATURE: u32 = 0x5352_4258;
/// `STORAGE_REQUEST_BLOCK_VERSION_1`.
pub const STORAGE_REQUEST_BLOCK_VERSION_1: u32 = 1;

/// `STORAGE_REQUEST_BLOCK`: the head of an extended SRB.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct StorageRequestBlock {
    /// Offset of `signature` (8).
    pub length: u16,
    /// `SRB_FUNCTION_STORAGE_REQUEST_BLOCK` (0x28).
    pub function: u8,
    /// `SRB_STATUS_*`.
    pub srb_status: u8,
    /// Zero.
    pub reserved1: u32,
    /// [`SRB_SIGNATURE`].
    pub signature: u32,
    /// [`STORAGE_REQUEST_BLOCK_VERSION_1`].
    pub version: u32,
    /// Bytes of this SRB with all that follows it.
    pub srb_length: u32,
    /// `SRB_FUNCTION_*`: what it does.
    pub srb_function: u32,
    /// `SRB_FLAGS_*`.
    pub srb_flags: u32,
    /// Zero.
    pub reserved2: u32,
    /// Tag.
    pub request_tag: u32,
    /// Priority of the request.
    pub request_priority: u16,
    /// See [`super::QueueAction`].
    pub request_attribute: u16,
    /// Seconds.
    pub time_out_value: u32,
    /// NTSTATUS for `SRB_STATUS_INTERNAL_ERROR`.
    pub system_status: u32,
    /// Zero, where a legacy SRB has pointers.
    pub zero_guard1: u32,
    /// Where the address lies, from the start of the SRB.
    pub address_offset: u32,
    /// Number of extended data blocks.
    pub num_srb_ex_data: u32,
    /// Bytes to transfer; on return, bytes transferred.
    pub data_transfer_length: u32,
    /// The data. Not always a mapped address: see the IRP's MDL.
    pub data_buffer: *mut c_void,
    /// Null.
    pub zero_guard2: *mut c_void,
    /// The IRP.
    pub original_request: *mut c_void,
    /// The class driver's.
    pub class_context: *mut c_void,
    /// The port driver's.
    pub port_context: *mut c_void,
    /// The miniport's memory for this request (legacy: SrbExtension).
    pub miniport_context: *mut c_void,
    /// The SRB to abort, for ABORT_COMMAND.
    pub next_srb: *mut StorageRequestBlock,
    /// Offsets of the extended data, from the start of the SRB. The first of `num_srb_ex_data`.
    pub srb_ex_data_offset: [u32; 1],
    /// Where C's structure has trailing padding.
    pub padding: u32,
}

impl StorageRequestBlock {
    /// All zero.
    #[must_use]
    pub const fn zeroed() -> Self {
        Self {
            length: 0,
            function: 0,
            srb_status: 0,
            reserved1: 0,
            signature: 0,
            version: 0,
            srb_length: 0,
            srb_function: 0,
            srb_flags: 0,
            reserved2: 0,
            request_tag: 0,
            request_priority: 0,
            request_attribute: 0,
            time_out_value: 0,
            system_status: 0,
            zero_guard1: 0,
            address_offset: 0,
            num_srb_ex_data: 0,
            data_transfer_length: 0,
            data_buffer: ptr::null_mut(),
            zero_guard2: ptr::null_mut(),
            original_request: ptr::null_mut(),
            class_context: ptr::null_mut(),
            port_context: ptr::null_mut(),
            miniport_context: ptr::null_mut(),
            next_srb: ptr::null_mut(),
            srb_ex_data_offset: [0],
            padding: 0,
        }
    }
}

// 64 bytes of numbers, 7 pointers, one offset, padding.
const _: () = assert!(size_of::<StorageRequestBlock>() == 128);
const _: () = assert!(offset_of!(StorageRequestBlock, signature) == 8);
const _: () = assert!(offset_of!(StorageRequestBlock, srb_function) == 20);
const _: () = assert!(offset_of!(StorageRequestBlock, time_out_value) == 40);
const _: () = assert!(offset_of!(StorageRequestBlock, data_buffer) == 64);
const _: () = assert!(offset_of!(StorageRequestBlock, original_request) == 80);
const _: () = assert!(offset_of!(StorageRequestBlock, miniport_context) == 104);
const _: () = assert!(offset_of!(StorageRequestBlock, srb_ex_data_offset) == 120);

/// `STOR_ADDRESS_TYPE_BTL8`.
pub const STOR_ADDRESS_TYPE_BTL8: u16 = 1;
/// `STOR_ADDR_BTL8_ADDRESS_LENGTH`: bytes after `address_length`.
pub const STOR_ADDR_BTL8_ADDRESS_LENGTH: u32 = 4;

/// `STOR_ADDR_BTL8`: bus, target, unit in 8 bits each.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default)]
pub struct StorAddressBtl8 {
    /// [`STOR_ADDRESS_TYPE_BTL8`].
    pub kind: u16,
    /// Port.
    pub port: u16,
    /// [`STOR_ADDR_BTL8_ADDRESS_LENGTH`].
    pub address_length: u32,
    /// Bus.
    pub path: u8,
    /// Target on the bus.
    pub target: u8,
    /// Unit of the target.
    pub lun: u8,
    /// Zero.
    pub reserved: u8,
}

const _: () = assert!(size_of::<StorAddressBtl8>() == 16);
const _: () = assert!(offset_of!(StorAddressBtl8, path) == 8);

/// `SRBEXDATATYPE`: what an extended data block is. Open: unknown ones are skipped by their length.
pub mod data_type {
    /// `SrbExDataTypeBidirectional`.
    pub const BIDIRECTIONAL: u32 = 0x01;
    /// `SrbExDataTypeScsiCdb16`.
    pub const SCSI_CDB16: u32 = 0x40;
    /// `SrbExDataTypeScsiCdb32`.
    pub const SCSI_CDB32: u32 = 0x41;
    /// `SrbExDataTypeScsiCdbVar`.
    pub const SCSI_CDB_VAR: u32 = 0x42;
    /// `SrbExDataTypeWmi`.
    pub const WMI: u32 = 0x60;
    /// `SrbExDataTypePower`.
    pub const POWER: u32 = 0x61;
    /// `SrbExDataTypePnP`.
    pub const PNP: u32 = 0x62;
    /// `SrbExDataTypeIoInfo`.
    pub const IO_INFO: u32 = 0x80;
}

/// The first two fields of every extended data block (`SRBEX_DATA`).
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default)]
pub struct SrbExData {
    /// See [`data_type`].
    pub kind: u32,
    /// Bytes after this field.
    pub length: u32,
}

/// Bytes of `SRBEX_DATA` that its own length does not count.
pub const EX_DATA_HEAD: usize = size_of::<SrbExData>();

/// `SRBEX_DATA_SCSI_CDB16` (N = 16) and `SRBEX_DATA_SCSI_CDB32` (N = 32).
#[repr(C, align(8))]
#[derive(Clone, Debug)]
pub struct SrbExDataCdb<const N: usize> {
    /// [`data_type::SCSI_CDB16`] or [`data_type::SCSI_CDB32`].
    pub kind: u32,
    /// [`Self::LENGTH`].
    pub length: u32,
    /// The SCSI status byte.
    pub scsi_status: u8,
    /// Size of the sense buffer in bytes; on return, what is valid of it.
    pub sense_info_buffer_length: u8,
    /// Bytes of `cdb` in use.
    pub cdb_length: u8,
    /// Zero.
    pub reserved: u8,
    /// Zero.
    pub reserved1: u32,
    /// The sense buffer.
    pub sense_info_buffer: *mut c_void,
    /// The command.
    pub cdb: [u8; N],
}

impl<const N: usize> SrbExDataCdb<N> {
    /// `SRBEX_DATA_SCSI_CDB16_LENGTH`, `SRBEX_DATA_SCSI_CDB32_LENGTH`.
    pub const LENGTH: u32 = (size_of::<Self>() - EX_DATA_HEAD) as u32;
}

const _: () = assert!(size_of::<SrbExDataCdb<16>>() == 40 && SrbExDataCdb::<16>::LENGTH == 32);
const _: () = assert!(size_of::<SrbExDataCdb<32>>() == 56 && SrbExDataCdb::<32>::LENGTH == 48);
const _: () = assert!(offset_of!(SrbExDataCdb<16>, cdb) == 24 && offset_of!(SrbExDataCdb<32>, cdb) == 24);

/// `SRBEX_DATA_SCSI_CDB_VAR` without its CDB, which follows.
#[repr(C, align(8))]
#[derive(Clone, Debug)]
pub struct SrbExDataCdbVar {
    /// [`data_type::SCSI_CDB_VAR`].
    pub kind: u32,
    /// At least 24, plus the CDB.
    pub length: u32,
    /// The SCSI status byte.
    pub scsi_status: u8,
    /// Size of the sense buffer in bytes; on return, what is valid of it.
    pub sense_info_buffer_length: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// Bytes of the CDB.
    pub cdb_length: u32,
    /// Zero.
    pub reserved1: [u32; 2],
    /// The sense buffer.
    pub sense_info_buffer: *mut c_void,
}

const _: () = assert!(size_of::<SrbExDataCdbVar>() == 32);
const _: () = assert!(offset_of!(SrbExDataCdbVar, sense_info_buffer) == 24);

/// `SRBEX_DATA_BIDIRECTIONAL`: a second buffer, for data coming in.
#[repr(C, align(8))]
#[derive(Clone, Debug)]
pub struct SrbExDataBidirectional {
    /// [`data_type::BIDIRECTIONAL`].
    pub kind: u32,
    /// 16.
    pub length: u32,
    /// Bytes coming in.
    pub data_in_transfer_length: u32,
    /// Zero.
    pub reserved1: u32,
    /// Where they go.
    pub data_in_buffer: *mut c_void,
}

const _: () = assert!(size_of::<SrbExDataBidirectional>() == 24);

/// `SRBEX_DATA_IO_INFO`: more about a read or write. Before Windows 8.1 Update the last field is missing.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default)]
pub struct SrbExDataIoInfo {
    /// [`data_type::IO_INFO`].
    pub kind: u32,
    /// 24, before Windows 8.1 Update 16.
    pub length: u32,
    /// `REQUEST_INFO_*`.
    pub flags: u32,
    /// Names the data.
    pub key: u32,
    /// Bytes to transfer.
    pub rw_length: u32,
    /// Whether it is a write.
    pub is_write_request: u8,
    /// For hybrid disks.
    pub cache_priority: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// Zero.
    pub reserved1: [u32; 2],
}

const _: () = assert!(size_of::<SrbExDataIoInfo>() == 32);

/// `SRBEX_DATA_PNP`.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default)]
pub struct SrbExDataPnp {
    /// [`data_type::PNP`].
    pub kind: u32,
    /// 16.
    pub length: u32,
    /// IRP_MN_* code.
    pub pnp_sub_function: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// STOR_PNP_ACTION.
    pub pnp_action: u32,
    /// SRB_PNP_FLAGS_*.
    pub pnp_flags: u32,
    /// Zero.
    pub reserved1: u32,
}

const _: () = assert!(size_of::<SrbExDataPnp>() == 24);

/// `SRBEX_DATA_POWER`.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default)]
pub struct SrbExDataPower {
    /// [`data_type::POWER`].
    pub kind: u32,
    /// 16.
    pub length: u32,
    /// SRB_POWER_FLAGS_*.
    pub power_flags: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// STOR_DEVICE_POWER_STATE.
    pub device_power_state: u32,
    /// STOR_POWER_ACTION.
    pub power_action: u32,
    /// Zero.
    pub reserved1: u32,
}

const _: () = assert!(size_of::<SrbExDataPower>() == 24);
