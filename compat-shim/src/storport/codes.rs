//! What the fields of an SRB say. Open types: any foreign value can be held and compared.

use core::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// `SRB_FUNCTION_*`: what an SRB asks for.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SrbFunction(pub u8);

#[allow(missing_docs, reason = "each is the WDK's SRB_FUNCTION_ constant of the same name")]
impl SrbFunction {
    pub const EXECUTE_SCSI: Self = Self(0x00);
    pub const CLAIM_DEVICE: Self = Self(0x01);
    pub const IO_CONTROL: Self = Self(0x02);
    pub const RECEIVE_EVENT: Self = Self(0x03);
    pub const RELEASE_QUEUE: Self = Self(0x04);
    pub const ATTACH_DEVICE: Self = Self(0x05);
    pub const RELEASE_DEVICE: Self = Self(0x06);
    pub const SHUTDOWN: Self = Self(0x07);
    pub const FLUSH: Self = Self(0x08);
    pub const PROTOCOL_COMMAND: Self = Self(0x09);
    pub const EXECUTE_NVME: Self = Self(0x0A);
    pub const ABORT_COMMAND: Self = Self(0x10);
    pub const RELEASE_RECOVERY: Self = Self(0x11);
    pub const RESET_BUS: Self = Self(0x12);
    pub const RESET_DEVICE: Self = Self(0x13);
    pub const TERMINATE_IO: Self = Self(0x14);
    pub const FLUSH_QUEUE: Self = Self(0x15);
    pub const REMOVE_DEVICE: Self = Self(0x16);
    pub const WMI: Self = Self(0x17);
    pub const LOCK_QUEUE: Self = Self(0x18);
    pub const UNLOCK_QUEUE: Self = Self(0x19);
    pub const QUIESCE_DEVICE: Self = Self(0x1A);
    pub const RESET_LOGICAL_UNIT: Self = Self(0x20);
    pub const SET_LINK_TIMEOUT: Self = Self(0x21);
    pub const LINK_TIMEOUT_OCCURRED: Self = Self(0x22);
    pub const LINK_TIMEOUT_COMPLETE: Self = Self(0x23);
    pub const POWER: Self = Self(0x24);
    pub const PNP: Self = Self(0x25);
    pub const DUMP_POINTERS: Self = Self(0x26);
    pub const FREE_DUMP_POINTERS: Self = Self(0x27);
    /// In the first header only: the SRB is a `STORAGE_REQUEST_BLOCK`, whose own field names the function.
    pub const STORAGE_REQUEST_BLOCK: Self = Self(0x28);
    pub const CRYPTO_OPERATION: Self = Self(0x29);
}

/// `SRB_STATUS_*`: how an SRB ended. The two top bits are flags beside the code.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SrbStatus(pub u8);

#[allow(missing_docs, reason = "each is the WDK's SRB_STATUS_ constant of the same name")]
impl SrbStatus {
    pub const PENDING: Self = Self(0x00);
    pub const SUCCESS: Self = Self(0x01);
    pub const ABORTED: Self = Self(0x02);
    pub const ABORT_FAILED: Self = Self(0x03);
    pub const ERROR: Self = Self(0x04);
    pub const BUSY: Self = Self(0x05);
    pub const INVALID_REQUEST: Self = Self(0x06);
    pub const INVALID_PATH_ID: Self = Self(0x07);
    pub const NO_DEVICE: Self = Self(0x08);
    pub const TIMEOUT: Self = Self(0x09);
    pub const SELECTION_TIMEOUT: Self = Self(0x0A);
    pub const COMMAND_TIMEOUT: Self = Self(0x0B);
    pub const MESSAGE_REJECTED: Self = Self(0x0D);
    pub const BUS_RESET: Self = Self(0x0E);
    pub const PARITY_ERROR: Self = Self(0x0F);
    pub const REQUEST_SENSE_FAILED: Self = Self(0x10);
    pub const NO_HBA: Self = Self(0x11);
    pub const DATA_OVERRUN: Self = Self(0x12);
    pub const UNEXPECTED_BUS_FREE: Self = Self(0x13);
    pub const PHASE_SEQUENCE_FAILURE: Self = Self(0x14);
    pub const BAD_SRB_BLOCK_LENGTH: Self = Self(0x15);
    pub const REQUEST_FLUSHED: Self = Self(0x16);
    pub const INVALID_LUN: Self = Self(0x20);
    pub const INVALID_TARGET_ID: Self = Self(0x21);
    pub const BAD_FUNCTION: Self = Self(0x22);
    pub const ERROR_RECOVERY: Self = Self(0x23);
    pub const NOT_POWERED: Self = Self(0x24);
    pub const LINK_DOWN: Self = Self(0x25);
    /// The cause is an NTSTATUS in the SRB's internal (legacy) or system (extended) status.
    pub const INTERNAL_ERROR: Self = Self(0x30);

    /// Flag: the port holds the unit's queue. Only a port driver may set it; the shim never does.
    pub const QUEUE_FROZEN: u8 = 0x40;
    /// Flag: the sense buffer is filled in.
    pub const AUTOSENSE_VALID: u8 = 0x80;

    /// The code alone, as the WDK's `SRB_STATUS()` macro gives it.
    #[must_use]
    pub const fn code(self) -> Self {
        Self(self.0 & !(Self::QUEUE_FROZEN | Self::AUTOSENSE_VALID))
    }

    /// Whether the sense buffer is filled in.
    #[must_use]
    pub const fn has_sense(self) -> bool {
        self.0 & Self::AUTOSENSE_VALID != 0
    }

    /// The same with the sense flag set.
    #[must_use]
    pub const fn with_sense(self) -> Self {
        Self(self.0 | Self::AUTOSENSE_VALID)
    }
}

/// `SCSISTAT_*`: the SCSI status byte (SAM-5 5.3.1).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScsiStatus(pub u8);

#[allow(missing_docs, reason = "SAM-5's names")]
impl ScsiStatus {
    pub const GOOD: Self = Self(0x00);
    pub const CHECK_CONDITION: Self = Self(0x02);
    pub const CONDITION_MET: Self = Self(0x04);
    pub const BUSY: Self = Self(0x08);
    pub const RESERVATION_CONFLICT: Self = Self(0x18);
    pub const TASK_SET_FULL: Self = Self(0x28);
    pub const TASK_ABORTED: Self = Self(0x40);
}

/// `SRB_FLAGS_*` and `SRB_CLASS_FLAGS_*`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SrbFlags(pub u32);

#[allow(missing_docs, reason = "each is the WDK's SRB_FLAGS_ constant of the same name")]
impl SrbFlags {
    pub const NONE: Self = Self(0);
    /// The tag action is valid; without it the request is untagged.
    pub const QUEUE_ACTION_ENABLE: Self = Self(0x0000_0002);
    pub const DISABLE_DISCONNECT: Self = Self(0x0000_0004);
    pub const DISABLE_SYNCH_TRANSFER: Self = Self(0x0000_0008);
    pub const BYPASS_FROZEN_QUEUE: Self = Self(0x0000_0010);
    pub const DISABLE_AUTOSENSE: Self = Self(0x0000_0020);
    pub const DATA_IN: Self = Self(0x0000_0040);
    pub const DATA_OUT: Self = Self(0x0000_0080);
    pub const NO_QUEUE_FREEZE: Self = Self(0x0000_0100);
    pub const ADAPTER_CACHE_ENABLE: Self = Self(0x0000_0200);
    pub const FREE_SENSE_BUFFER: Self = Self(0x0000_0400);
    pub const D3_PROCESSING: Self = Self(0x0000_0800);
    pub const IS_ACTIVE: Self = Self(0x0001_0000);
    pub const ALLOCATED_FROM_ZONE: Self = Self(0x0002_0000);
    pub const SGLIST_FROM_POOL: Self = Self(0x0004_0000);
    pub const BYPASS_LOCKED_QUEUE: Self = Self(0x0008_0000);
    pub const NO_KEEP_AWAKE: Self = Self(0x0010_0000);
    pub const PORT_DRIVER_ALLOCSENSE: Self = Self(0x0020_0000);
    pub const PORT_DRIVER_SENSEHASPORT: Self = Self(0x0040_0000);
    pub const DONT_START_NEXT_PACKET: Self = Self(0x0080_0000);
    /// `SRB_CLASS_FLAGS_LOW_PRIORITY`.
    pub const CLASS_LOW_PRIORITY: Self = Self(0x1000_0000);
    /// `SRB_CLASS_FLAGS_PERSISTANT`.
    pub const CLASS_PERSISTENT: Self = Self(0x2000_0000);
    /// `SRB_CLASS_FLAGS_PAGING`: paging I/O, which must make progress without allocating.
    pub const CLASS_PAGING: Self = Self(0x4000_0000);
    /// `SRB_CLASS_FLAGS_FREE_MDL`.
    pub const CLASS_FREE_MDL: Self = Self(0x8000_0000);

    /// Whether all of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for SrbFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for SrbFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for SrbFlags {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for SrbFlags {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

/// The tag action: legacy `QueueAction`, extended `RequestAttribute`. The same values in both.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueAction(pub u8);

impl QueueAction {
    /// `SRB_SIMPLE_TAG_REQUEST`: any order.
    pub const SIMPLE: Self = Self(0x20);
    /// `SRB_HEAD_OF_QUEUE_TAG_REQUEST`: next.
    pub const HEAD_OF_QUEUE: Self = Self(0x21);
    /// `SRB_ORDERED_QUEUE_TAG_REQUEST`: after all before it, before all after it.
    pub const ORDERED: Self = Self(0x22);
}

/// `SP_UNTAGGED`: the queue tag of a request without one.
pub const UNTAGGED: u8 = 0xFF;
