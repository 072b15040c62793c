//! The structures that only the C functions use. As in `storport.h`; each names its WDK counterpart. Public for those who
//! compare them with the C headers.

#![allow(missing_docs, reason = "fields are the WDK's of the same name")]

use core::{
    ffi::c_void,
    mem::{offset_of, size_of},
};

use sluice_shim::storport::{extended::StorAddressBtl8, initialization::HwDpc};

/// `STOR_SCATTER_GATHER_ELEMENT`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ScatterElement {
    pub physical: u64,
    pub length: u32,
    pub reserved: usize,
}

const _: () = assert!(size_of::<ScatterElement>() == 24);

/// `STOR_SCATTER_GATHER_LIST` without its elements, which follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ScatterHead {
    pub count: u32,
    pub reserved: usize,
}

const _: () = assert!(size_of::<ScatterHead>() == 16);

/// `STOR_DPC`: a KDPC's room and a lock. The miniport's memory; what is in it is ours.
#[repr(C)]
pub struct StorDpc {
    /// [`StorDpc::MAGIC`] once it has been initialized.
    pub magic: u32,
    /// Zero, or queued.
    pub queued: core::sync::atomic::AtomicU32,
    pub routine: Option<HwDpc>,
    pub argument1: *mut c_void,
    pub argument2: *mut c_void,
    pub next: *mut StorDpc,
    pub spare: [usize; 3],
    /// `Lock`: what DpcLock takes.
    pub lock: sluice_shim::platform::LockWord,
}

impl StorDpc {
    pub const MAGIC: u32 = 0x4350_4453; // "SDPC"
}

const _: () = assert!(size_of::<StorDpc>() == 72 && offset_of!(StorDpc, lock) == 64);

/// `STOR_LOCK_HANDLE`.
#[repr(C)]
pub struct LockHandle {
    /// `STOR_SPINLOCK`; zero: nothing is held.
    pub kind: u32,
    /// `Context.LockQueue.Next`: here, the message of an MSI lock.
    pub message: usize,
    /// `Context.LockQueue.Lock`: here, the lock's address.
    pub lock: usize,
    /// `Context.OldIrql`.
    pub old_irql: u8,
}

const _: () = assert!(size_of::<LockHandle>() == 32 && offset_of!(LockHandle, old_irql) == 24);

/// `GROUP_AFFINITY`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupAffinity {
    pub mask: usize,
    pub group: u16,
    pub reserved: [u16; 3],
}

const _: () = assert!(size_of::<GroupAffinity>() == 16);

/// `PROCESSOR_NUMBER`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessorNumber {
    pub group: u16,
    pub number: u8,
    pub reserved: u8,
}

const _: () = assert!(size_of::<ProcessorNumber>() == 4);

/// `PERF_CONFIGURATION_DATA`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PerformanceData {
    pub version: u32,
    pub size: u32,
    pub flags: u32,
    pub concurrent_channels: u32,
    pub first_message: u32,
    pub last_message: u32,
    pub device_node: u32,
    pub reserved: u32,
    pub message_targets: *mut GroupAffinity,
}

const _: () = assert!(size_of::<PerformanceData>() == 40);

/// `STARTIO_PERFORMANCE_PARAMETERS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct StartIoParameters {
    pub version: u32,
    pub size: u32,
    pub message_number: u32,
    pub channel_number: u32,
}

const _: () = assert!(size_of::<StartIoParameters>() == 16);

/// `MESSAGE_INTERRUPT_INFORMATION`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageInformation {
    pub id: u32,
    pub data: u32,
    pub address: u64,
    pub vector: u32,
    pub level: u32,
    /// KINTERRUPT_MODE: 1, latched.
    pub mode: u32,
}

const _: () = assert!(size_of::<MessageInformation>() == 32);

/// `STOR_LOG_EVENT_DETAILS`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LogDetails {
    pub revision: u32,
    pub size: u32,
    pub flags: u32,
    /// 0 adapter, 1 unit, 2 target (STOR_EVENT_ASSOCIATION_ENUM).
    pub association: u32,
    pub path: u32,
    pub target: u32,
    pub lun: u32,
    pub storport_specific: u8,
    pub error: u32,
    pub unique: u32,
    pub dump_size: u32,
    pub dump: *const u8,
    pub string_count: u32,
    pub strings: *const *const u16,
}

const _: () = assert!(size_of::<LogDetails>() == 72 && offset_of!(LogDetails, dump) == 48);

/// `SCSI_SUPPORTED_CONTROL_TYPE_LIST`, with room for all types that we ask.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SupportedTypes<const N: usize> {
    pub most: u32,
    pub supported: [u8; N],
}

/// `STOR_SLIST_ENTRY`.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct SingleEntry {
    pub next: *mut SingleEntry,
}

/// `STOR_SLIST_HEADER`: 16 bytes that only the port looks into.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct SingleHead {
    pub first: *mut SingleEntry,
    pub depth: usize,
}

const _: () = assert!(size_of::<SingleEntry>() == 16 && size_of::<SingleHead>() == 16);

/// `STOR_LIST_ENTRY`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ListEntry {
    pub next: *mut ListEntry,
    pub before: *mut ListEntry,
}

const _: () = assert!(size_of::<ListEntry>() == 16);

/// `STOR_DPC_WATCHDOG_INFORMATION`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchdogInformation {
    pub time_limit: u32,
    pub time_count: u32,
    pub watchdog_limit: u32,
    pub watchdog_count: u32,
    pub reserved: u32,
}

const _: () = assert!(size_of::<WatchdogInformation>() == 20);

/// `STOR_REQUEST_INFO_V2`. Version 1 ends before the file's name.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RequestInfo {
    pub version: u16,
    pub size: u16,
    pub priority: u32,
    pub flags: u32,
    pub key: u32,
    pub length: u32,
    pub is_write: u8,
    pub reserved: [u8; 3],
    pub file_name: *mut c_void,
    pub process: u32,
}

const _: () = assert!(size_of::<RequestInfo>() == 40 && offset_of!(RequestInfo, file_name) == 24);

/// `STOR_POWER_CONTROL_HEADER`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PowerHeader {
    pub version: u32,
    pub size: u32,
    /// The unit; null: the adapter.
    pub address: *const StorAddressBtl8,
}

/// `STOR_ADAPTER_CONTROL_POWER`: what goes with ScsiAdapterPower.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AdapterPower {
    pub header: PowerHeader,
    /// STOR_POWER_ACTION.
    pub action: u32,
    /// STOR_DEVICE_POWER_STATE.
    pub state: u32,
}

impl AdapterPower {
    pub const VERSION: u32 = 1;
}

const _: () = assert!(size_of::<AdapterPower>() == 24 && offset_of!(AdapterPower, action) == 16);

/// `SCSI_WMI_REQUEST_BLOCK`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WmiRequestBlock {
    pub length: u16,
    pub function: u8,
    pub srb_status: u8,
    pub sub_function: u8,
    pub path_id: u8,
    pub target_id: u8,
    pub lun: u8,
    pub reserved1: u8,
    pub wmi_flags: u8,
    pub reserved2: [u8; 2],
    pub srb_flags: u32,
    pub data_transfer_length: u32,
    pub time_out_value: u32,
    pub data_buffer: *mut c_void,
    pub data_path: *mut c_void,
}

const _: () = assert!(offset_of!(WmiRequestBlock, data_path) == 32);
