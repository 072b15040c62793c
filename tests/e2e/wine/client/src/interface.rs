//! What the test disk driver offers: the mirror of `../disk/interface.h` and,
//! for the verifier's structures, of `../verifier/verifier.h`.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

const fn code(n: u32) -> u32 {
    (0x22 << 16) | ((0x900 + n) << 2) // FILE_DEVICE_UNKNOWN, METHOD_BUFFERED, FILE_ANY_ACCESS
}
pub(crate) const CREATE: u32 = code(0);
pub(crate) const PNP: u32 = code(1);
pub(crate) const POWER: u32 = code(2);
pub(crate) const PORT_MODE: u32 = code(3);
pub(crate) const CLASS_MODE: u32 = code(4);
pub(crate) const STATISTICS: u32 = code(5);
pub(crate) const RESET: u32 = code(6);
pub(crate) const PATTERN: u32 = code(7);
pub(crate) const RAW: u32 = code(8);
pub(crate) const CANCEL: u32 = code(9);
pub(crate) const LOG: u32 = code(10);
pub(crate) const LOG_RESET: u32 = code(11);
pub(crate) const VERIFIER_CONFIGURE: u32 = code(12);
pub(crate) const VERIFIER_REPORT: u32 = code(13);
pub(crate) const VERIFIER_COUNTERS: u32 = code(14);
pub(crate) const VERIFIER_RESET: u32 = code(15);
pub(crate) const VERIFIER_LEAKS: u32 = code(16);
pub(crate) const CONTROL_DACL: u32 = code(17);
pub(crate) const ADAPTER: u32 = code(18);
pub(crate) const ADAPTER_PNP: u32 = code(19);
pub(crate) const ADAPTER_POWER: u32 = code(20);
pub(crate) const ADAPTER_SYSTEM: u32 = 0x100;
pub(crate) const ADAPTER_QUERY: u32 = 0x200;
pub(crate) const ADAPTER_SCAN: u32 = code(21);
pub(crate) const ADAPTER_SETTING: u32 = code(22);
pub(crate) const ADAPTER_CONTROL: u32 = code(23);
pub(crate) const QUERY: u32 = code(24);

pub(crate) const LOAD: u32 = code(25);
pub(crate) const UNLOAD: u32 = code(26);
pub(crate) const DIRECT: u32 = code(27);

pub(crate) const CREATE_READ_ONLY: u32 = 1;
pub(crate) const CREATE_LEGACY: u32 = 2;
pub(crate) const CREATE_OWN_WRITES: u32 = 4;
pub(crate) const CREATE_NO_UNMAP: u32 = 8;
pub(crate) const CREATE_SHORT_UNMAP: u32 = 0x10;

#[repr(C)]
#[derive(Clone, FromZeros, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Create {
    pub(crate) sector_size: u32,
    pub(crate) max_transfer: u32,
    pub(crate) alignment_mask: u32,
    pub(crate) flags: u32,
    pub(crate) filter: [u16; 32],
    pub(crate) image: [u16; 260],
}
const _: () = assert!(size_of::<Create>() == 16 + 64 + 520);

#[repr(C)]
#[derive(FromZeros, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Service {
    pub(crate) name: [u16; 32],
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Debug)]
pub(crate) struct Created {
    pub(crate) disk: u32,
    pub(crate) image_status: u32,
    pub(crate) load_status: u32,
    pub(crate) add_status: u32,
    pub(crate) start_status: u32,
    pub(crate) reserved: u32,
    pub(crate) capacity: u64,
}

#[repr(C)]
#[derive(Clone, Copy, IntoBytes, Immutable)]
pub(crate) struct Pnp {
    pub(crate) disk: u32,
    pub(crate) minor: u32,
    pub(crate) argument: u32,
}

#[repr(C)]
#[derive(Clone, FromZeros, IntoBytes, Immutable)]
pub(crate) struct AdapterCreate {
    pub(crate) service: [u16; 32],
    pub(crate) hardware: [u16; 32],
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Debug)]
pub(crate) struct AdapterCreated {
    pub(crate) root_status: u32,
    pub(crate) load_status: u32,
    pub(crate) add_status: u32,
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Debug)]
pub(crate) struct Scanned {
    pub(crate) status: u32,
    pub(crate) failed: u32,
    pub(crate) arrived_count: u32,
    pub(crate) missing_count: u32,
    pub(crate) arrived: [u32; 8],
    pub(crate) missing: [u32; 8],
}

#[repr(C)]
#[derive(Clone, FromZeros, IntoBytes, Immutable)]
pub(crate) struct Setting {
    pub(crate) name: [u16; 16],
    pub(crate) value: u32,
}

pub(crate) const ORDER_FIFO: u32 = 0;
pub(crate) const ORDER_REVERSE: u32 = 1;
pub(crate) const ORDER_SHUFFLE: u32 = 2;
pub(crate) const FAULT_MEDIUM: u32 = 1;
pub(crate) const FAULT_SHORT: u32 = 2;
pub(crate) const FAULT_SHORT_OVERRUN: u32 = 3;
pub(crate) const FAULT_BUSY: u32 = 4;
pub(crate) const FAULT_TIMEOUT: u32 = 5;
pub(crate) const FAULT_ABORTED: u32 = 6;
pub(crate) const FAULT_RECOVERED: u32 = 7;
pub(crate) const FAULT_INTERNAL: u32 = 8;
pub(crate) const ON_READ: u32 = 1;
pub(crate) const ON_WRITE: u32 = 2;
pub(crate) const ON_FLUSH: u32 = 4;
pub(crate) const ON_UNMAP: u32 = 8;

#[repr(C)]
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
pub(crate) struct PortMode {
    pub(crate) disk: u32,
    pub(crate) order: u32,
    pub(crate) hold: u32,
    pub(crate) seed: u32,
    pub(crate) delay_ms: u32,
    pub(crate) freeze: u32,
    pub(crate) fault: u32,
    pub(crate) fault_on: u32,
    pub(crate) fault_skip: u32,
    pub(crate) fault_count: u32,
    pub(crate) fault_first: u64,
    pub(crate) fault_last: u64,
    pub(crate) write_protect: u32,
    pub(crate) inline_completion: u32,
    pub(crate) generous: u32,
    pub(crate) reserved: u32,
}

pub(crate) const CLASS_EXTENDED: u32 = 0x1;
pub(crate) const CLASS_CDB16: u32 = 0x2;
pub(crate) const CLASS_FUA: u32 = 0x4;
pub(crate) const CLASS_PAGING: u32 = 0x8;
pub(crate) const CLASS_NO_FREEZE: u32 = 0x10;
pub(crate) const CLASS_CDB12: u32 = 0x20;
pub(crate) const CLASS_CDB6: u32 = 0x40;
pub(crate) const CLASS_CDB32: u32 = 0x80;

#[repr(C)]
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
pub(crate) struct ClassMode {
    pub(crate) disk: u32,
    pub(crate) flags: u32,
    pub(crate) max_transfer: u32,
    pub(crate) retries: u32,
}

#[repr(C)]
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Statistics {
    pub(crate) size: u32,
    pub(crate) violations: u32,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    pub(crate) flushes: u64,
    pub(crate) fua_writes: u64,
    pub(crate) paging: u64,
    pub(crate) own_srbs: u64,
    pub(crate) srbs: u64,
    pub(crate) ioctls: u64,
    pub(crate) pnp: u64,
    pub(crate) power: u64,
    pub(crate) written_hash: u64,
    pub(crate) pattern_hits: u64,
    pub(crate) pattern_sector: u64,
    pub(crate) faults: u64,
    pub(crate) busy_retries: u64,
    pub(crate) cancelled: u64,
    pub(crate) buffer_changes: u64,
    pub(crate) in_flight: u32,
    pub(crate) in_flight_max: u32,
    pub(crate) pending: u32,
    pub(crate) usage: [u32; 4],
    pub(crate) last_ioctl: u32,
    pub(crate) opcodes: [u32; 256],
    pub(crate) unmapped: u64,
    pub(crate) unmap_first: u64,
    pub(crate) unmap_step: u64,
    pub(crate) unmap_longest: u64,
}
const _: () = assert!(size_of::<Statistics>() == 8 + 19 * 8 + 8 * 4 + 1024 + 4 * 8);

#[repr(C)]
#[derive(Clone, Copy, IntoBytes, Immutable)]
pub(crate) struct Pattern {
    pub(crate) disk: u32,
    pub(crate) bytes: [u8; 16],
}

pub(crate) const RAW_EXTENDED: u32 = 0x1;
pub(crate) const RAW_DATA_IN: u32 = 0x2;
pub(crate) const RAW_DATA_OUT: u32 = 0x4;
pub(crate) const RAW_NO_MDL: u32 = 0x8;
pub(crate) const RAW_NULL_SRB: u32 = 0x10;
pub(crate) const RAW_SHORT_MDL: u32 = 0x20;
pub(crate) const RAW_READ_WRITE_IRP: u32 = 0x40;
pub(crate) const RAW_NO_SENSE: u32 = 0x80;

/// Bytes written over the finished SRB before it is sent.
#[repr(C)]
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
pub(crate) struct Patch {
    pub(crate) offset: u16,
    pub(crate) size: u16,
    pub(crate) reserved: u32,
    pub(crate) value: u64,
}

#[repr(C)]
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
pub(crate) struct Raw {
    pub(crate) disk: u32,
    pub(crate) flags: u32,
    pub(crate) function: u32,
    pub(crate) srb_flags: u32,
    pub(crate) data_length: u32,
    pub(crate) cdb_length: u32,
    pub(crate) cdb: [u8; 32],
    pub(crate) patches: u32,
    pub(crate) reserved: u32,
    pub(crate) patch: [Patch; 4],
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Debug)]
pub(crate) struct RawResult {
    pub(crate) status: u32,
    pub(crate) information: u32,
    pub(crate) transferred: u32,
    pub(crate) srb_status: u8,
    pub(crate) scsi_status: u8,
    pub(crate) sense_length: u8,
    pub(crate) reserved: u8,
    pub(crate) sense: [u8; 20],
    pub(crate) buffer_changed: u32,
}

#[repr(C)]
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
pub(crate) struct VerifierOptions {
    pub(crate) size: u32,
    pub(crate) target: [u8; 32],
    pub(crate) fail_nth: u32,
    pub(crate) fail_count: u32,
    pub(crate) fail_kinds: u32,
    pub(crate) force_pending: u32,
    pub(crate) raise_completion: u32,
    pub(crate) dpc_inline: u32,
    pub(crate) stuck_ms: u32,
    pub(crate) disabled: [u8; 256],
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct VerifierCounters {
    pub(crate) size: u32,
    pub(crate) violations: u32,
    pub(crate) target_violations: u32,
    pub(crate) allocations: u32,
    pub(crate) injected: u32,
    pub(crate) forced_pending: u32,
    pub(crate) irps: u32,
    pub(crate) live: u32,
    pub(crate) logged: u32,
}
