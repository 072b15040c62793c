//! What the test disk driver offers: the mirror of `../disk/interface.h` and,
//! for the verifier's structures, of `../verifier/verifier.h`.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

const fn code(n: u32) -> u32 {
    (0x22 << 16) | ((0x900 + n) << 2) // FILE_DEVICE_UNKNOWN, METHOD_BUFFERED, FILE_ANY_ACCESS
}
pub const CREATE: u32 = code(0);
pub const PNP: u32 = code(1);
pub const POWER: u32 = code(2);
pub const PORT_MODE: u32 = code(3);
pub const CLASS_MODE: u32 = code(4);
pub const STATISTICS: u32 = code(5);
pub const RESET: u32 = code(6);
pub const PATTERN: u32 = code(7);
pub const RAW: u32 = code(8);
pub const CANCEL: u32 = code(9);
pub const LOG: u32 = code(10);
pub const LOG_RESET: u32 = code(11);
pub const VERIFIER_CONFIGURE: u32 = code(12);
pub const VERIFIER_REPORT: u32 = code(13);
pub const VERIFIER_COUNTERS: u32 = code(14);
pub const VERIFIER_RESET: u32 = code(15);
pub const VERIFIER_LEAKS: u32 = code(16);
pub const CONTROL_DACL: u32 = code(17);

pub const CREATE_READ_ONLY: u32 = 1;
pub const CREATE_LEGACY: u32 = 2;

#[repr(C)]
#[derive(Clone, FromZeros, IntoBytes, Immutable, KnownLayout)]
pub struct Create {
    pub sector_size: u32,
    pub max_transfer: u32,
    pub alignment_mask: u32,
    pub flags: u32,
    pub filter: [u16; 32],
    pub image: [u16; 260],
}
const _: () = assert!(size_of::<Create>() == 16 + 64 + 520);

#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Debug)]
pub struct Created {
    pub disk: u32,
    pub image_status: u32,
    pub load_status: u32,
    pub add_status: u32,
    pub start_status: u32,
    pub reserved: u32,
    pub capacity: u64,
}

#[repr(C)]
#[derive(Clone, Copy, IntoBytes, Immutable)]
pub struct Pnp {
    pub disk: u32,
    pub minor: u32,
    pub argument: u32,
}

pub const ORDER_FIFO: u32 = 0;
pub const ORDER_REVERSE: u32 = 1;
pub const ORDER_SHUFFLE: u32 = 2;
pub const FAULT_MEDIUM: u32 = 1;
pub const FAULT_SHORT: u32 = 2;
pub const FAULT_SHORT_OVERRUN: u32 = 3;
pub const FAULT_BUSY: u32 = 4;
pub const FAULT_TIMEOUT: u32 = 5;
pub const FAULT_ABORTED: u32 = 6;
pub const ON_READ: u32 = 1;
pub const ON_WRITE: u32 = 2;
pub const ON_FLUSH: u32 = 4;

#[repr(C)]
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
pub struct PortMode {
    pub disk: u32,
    pub order: u32,
    pub hold: u32,
    pub seed: u32,
    pub delay_ms: u32,
    pub freeze: u32,
    pub fault: u32,
    pub fault_on: u32,
    pub fault_skip: u32,
    pub fault_count: u32,
    pub fault_first: u64,
    pub fault_last: u64,
    pub write_protect: u32,
    pub inline_completion: u32,
}

pub const CLASS_EXTENDED: u32 = 0x1;
pub const CLASS_CDB16: u32 = 0x2;
pub const CLASS_FUA: u32 = 0x4;
pub const CLASS_PAGING: u32 = 0x8;
pub const CLASS_NO_FREEZE: u32 = 0x10;
pub const CLASS_CDB12: u32 = 0x20;
pub const CLASS_CDB6: u32 = 0x40;
pub const CLASS_CDB32: u32 = 0x80;

#[repr(C)]
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
pub struct ClassMode {
    pub disk: u32,
    pub flags: u32,
    pub max_transfer: u32,
    pub retries: u32,
}

#[repr(C)]
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Statistics {
    pub size: u32,
    pub violations: u32,
    pub reads: u64,
    pub writes: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub flushes: u64,
    pub fua_writes: u64,
    pub paging: u64,
    pub own_srbs: u64,
    pub srbs: u64,
    pub ioctls: u64,
    pub pnp: u64,
    pub power: u64,
    pub written_hash: u64,
    pub pattern_hits: u64,
    pub pattern_sector: u64,
    pub faults: u64,
    pub busy_retries: u64,
    pub cancelled: u64,
    pub buffer_changes: u64,
    pub in_flight: u32,
    pub in_flight_max: u32,
    pub pending: u32,
    pub usage: [u32; 4],
    pub last_ioctl: u32,
    pub opcodes: [u32; 256],
}
const _: () = assert!(size_of::<Statistics>() == 8 + 19 * 8 + 8 * 4 + 1024);

#[repr(C)]
#[derive(Clone, Copy, IntoBytes, Immutable)]
pub struct Pattern {
    pub disk: u32,
    pub bytes: [u8; 16],
}

pub const RAW_EXTENDED: u32 = 0x1;
pub const RAW_DATA_IN: u32 = 0x2;
pub const RAW_DATA_OUT: u32 = 0x4;
pub const RAW_NO_MDL: u32 = 0x8;
pub const RAW_NULL_SRB: u32 = 0x10;
pub const RAW_SHORT_MDL: u32 = 0x20;
pub const RAW_READ_WRITE_IRP: u32 = 0x40;
pub const RAW_NO_SENSE: u32 = 0x80;

/// Bytes written over the finished SRB before it is sent.
#[repr(C)]
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
pub struct Patch {
    pub offset: u16,
    pub size: u16,
    pub reserved: u32,
    pub value: u64,
}

#[repr(C)]
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
pub struct Raw {
    pub disk: u32,
    pub flags: u32,
    pub function: u32,
    pub srb_flags: u32,
    pub data_length: u32,
    pub cdb_length: u32,
    pub cdb: [u8; 32],
    pub patches: u32,
    pub reserved: u32,
    pub patch: [Patch; 4],
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Debug)]
pub struct RawResult {
    pub status: u32,
    pub information: u32,
    pub transferred: u32,
    pub srb_status: u8,
    pub scsi_status: u8,
    pub sense_length: u8,
    pub reserved: u8,
    pub sense: [u8; 20],
    pub buffer_changed: u32,
}

#[repr(C)]
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
pub struct VerifierOptions {
    pub size: u32,
    pub target: [u8; 32],
    pub fail_nth: u32,
    pub fail_count: u32,
    pub fail_kinds: u32,
    pub force_pending: u32,
    pub raise_completion: u32,
    pub dpc_inline: u32,
    pub disabled: [u8; 256],
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VerifierCounters {
    pub size: u32,
    pub violations: u32,
    pub target_violations: u32,
    pub allocations: u32,
    pub injected: u32,
    pub forced_pending: u32,
    pub irps: u32,
    pub live: u32,
}
