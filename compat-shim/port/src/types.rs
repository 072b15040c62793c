//! The structures that only the C functions use. As in `storport.h`; each names its WDK counterpart.

use core::{
    ffi::c_void,
    mem::{offset_of, size_of},
};

use sluice_shim::storport::initialization::HwDpc;

/// `STOR_SCATTER_GATHER_ELEMENT`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScatterElement {
    pub(crate) physical: u64,
    pub(crate) length: u32,
    pub(crate) reserved: usize,
}

const _: () = assert!(size_of::<ScatterElement>() == 24);

/// `STOR_SCATTER_GATHER_LIST` without its elements, which follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScatterHead {
    pub(crate) count: u32,
    pub(crate) reserved: usize,
}

const _: () = assert!(size_of::<ScatterHead>() == 16);

/// `STOR_DPC`: a KDPC's room and a lock. The miniport's memory; what is in it is ours.
#[repr(C)]
pub(crate) struct StorDpc {
    /// [`StorDpc::MAGIC`] once it has been initialized.
    pub(crate) magic: u32,
    /// Zero, or queued.
    pub(crate) queued: core::sync::atomic::AtomicU32,
    pub(crate) routine: Option<HwDpc>,
    pub(crate) argument1: *mut c_void,
    pub(crate) argument2: *mut c_void,
    pub(crate) next: *mut StorDpc,
    pub(crate) spare: [usize; 3],
    /// `Lock`: what DpcLock takes.
    pub(crate) lock: sluice_shim::platform::LockWord,
}

impl StorDpc {
    pub(crate) const MAGIC: u32 = 0x4350_4453; // "SDPC"
}

const _: () = assert!(size_of::<StorDpc>() == 72 && offset_of!(StorDpc, lock) == 64);

/// `STOR_LOCK_HANDLE`.
#[repr(C)]
pub(crate) struct LockHandle {
    /// `STOR_SPINLOCK`; zero: nothing is held.
    pub(crate) kind: u32,
    /// `Context.LockQueue.Next`: here, the message of an MSI lock.
    pub(crate) message: usize,
    /// `Context.LockQueue.Lock`: here, the lock's address.
    pub(crate) lock: usize,
    /// `Context.OldIrql`.
    pub(crate) old_irql: u8,
}

const _: () = assert!(size_of::<LockHandle>() == 32 && offset_of!(LockHandle, old_irql) == 24);

/// `GROUP_AFFINITY`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GroupAffinity {
    pub(crate) mask: usize,
    pub(crate) group: u16,
    pub(crate) reserved: [u16; 3],
}

const _: () = assert!(size_of::<GroupAffinity>() == 16);

/// `PROCESSOR_NUMBER`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProcessorNumber {
    pub(crate) group: u16,
    pub(crate) number: u8,
    pub(crate) reserved: u8,
}

const _: () = assert!(size_of::<ProcessorNumber>() == 4);

/// `PERF_CONFIGURATION_DATA`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerformanceData {
    pub(crate) version: u32,
    pub(crate) size: u32,
    pub(crate) flags: u32,
    pub(crate) concurrent_channels: u32,
    pub(crate) first_message: u32,
    pub(crate) last_message: u32,
    pub(crate) device_node: u32,
    pub(crate) reserved: u32,
    pub(crate) message_targets: *mut GroupAffinity,
}

const _: () = assert!(size_of::<PerformanceData>() == 40);

/// `STARTIO_PERFORMANCE_PARAMETERS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StartIoParameters {
    pub(crate) version: u32,
    pub(crate) size: u32,
    pub(crate) message_number: u32,
    pub(crate) channel_number: u32,
}

const _: () = assert!(size_of::<StartIoParameters>() == 16);

/// `MESSAGE_INTERRUPT_INFORMATION`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MessageInformation {
    pub(crate) id: u32,
    pub(crate) data: u32,
    pub(crate) address: u64,
    pub(crate) vector: u32,
    pub(crate) level: u32,
    /// KINTERRUPT_MODE: 1, latched.
    pub(crate) mode: u32,
}

const _: () = assert!(size_of::<MessageInformation>() == 32);

/// `STOR_LOG_EVENT_DETAILS`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogDetails {
    pub(crate) revision: u32,
    pub(crate) size: u32,
    pub(crate) flags: u32,
    /// 0 adapter, 1 target, 2 unit (STOR_EVENT_ASSOCIATION_ENUM).
    pub(crate) association: u32,
    pub(crate) path: u32,
    pub(crate) target: u32,
    pub(crate) lun: u32,
    pub(crate) storport_specific: u8,
    pub(crate) error: u32,
    pub(crate) unique: u32,
    pub(crate) dump_size: u32,
    pub(crate) dump: *const u8,
    pub(crate) string_count: u32,
    pub(crate) strings: *const *const u16,
}

const _: () = assert!(size_of::<LogDetails>() == 72 && offset_of!(LogDetails, dump) == 48);

/// `SCSI_SUPPORTED_CONTROL_TYPE_LIST`, with room for all types that we ask.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct SupportedTypes<const N: usize> {
    pub(crate) most: u32,
    pub(crate) supported: [u8; N],
}

/// `SCSI_WMI_REQUEST_BLOCK`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct WmiRequestBlock {
    pub(crate) length: u16,
    pub(crate) function: u8,
    pub(crate) srb_status: u8,
    pub(crate) sub_function: u8,
    pub(crate) path_id: u8,
    pub(crate) target_id: u8,
    pub(crate) lun: u8,
    pub(crate) reserved1: u8,
    pub(crate) wmi_flags: u8,
    pub(crate) reserved2: [u8; 2],
    pub(crate) srb_flags: u32,
    pub(crate) data_transfer_length: u32,
    pub(crate) time_out_value: u32,
    pub(crate) data_buffer: *mut c_void,
    pub(crate) data_path: *mut c_void,
}

const _: () = assert!(offset_of!(WmiRequestBlock, data_path) == 32);
