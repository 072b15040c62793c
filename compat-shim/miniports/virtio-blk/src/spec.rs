//! Numbers of VIRTIO 1.2 (OASIS Committee Specification 01, 1 July 2022), each with its section.

#![allow(missing_docs, reason = "the standard's names")]

/// Feature bits (6 for those of every device, 5.2.3 for block devices).
pub mod feature {
    pub const SIZE_MAX: u64 = 1 << 1;
    pub const SEG_MAX: u64 = 1 << 2;
    pub const RO: u64 = 1 << 5;
    pub const BLK_SIZE: u64 = 1 << 6;
    pub const FLUSH: u64 = 1 << 9;
    pub const TOPOLOGY: u64 = 1 << 10;
    pub const CONFIG_WCE: u64 = 1 << 11;
    pub const MQ: u64 = 1 << 12;
    pub const DISCARD: u64 = 1 << 13;
    pub const WRITE_ZEROES: u64 = 1 << 14;

    pub const INDIRECT_DESC: u64 = 1 << 28;
    pub const EVENT_IDX: u64 = 1 << 29;
    pub const VERSION_1: u64 = 1 << 32;
    pub const ACCESS_PLATFORM: u64 = 1 << 33;
    pub const RING_PACKED: u64 = 1 << 34;
}

/// Device status (2.1).
pub mod status {
    pub const ACKNOWLEDGE: u8 = 1;
    pub const DRIVER: u8 = 2;
    pub const DRIVER_OK: u8 = 4;
    pub const FEATURES_OK: u8 = 8;
    pub const NEEDS_RESET: u8 = 64;
    pub const FAILED: u8 = 128;
}

/// Descriptors and rings (2.7 split, 2.8 packed).
pub mod ring {
    /// Bytes of a descriptor of either kind.
    pub const DESCRIPTOR: usize = 16;
    /// Most descriptors of a queue (2.7, 2.8.10.1).
    pub const MAX_SIZE: u16 = 1 << 15;

    pub const NEXT: u16 = 1;
    pub const WRITE: u16 = 2;
    pub const INDIRECT: u16 = 4;
    /// Packed (2.8.1).
    pub const AVAIL: u16 = 1 << 7;
    pub const USED: u16 = 1 << 15;

    /// Split: flags of the two rings (2.7.6, 2.7.8).
    pub const NO_INTERRUPT: u16 = 1;
    pub const NO_NOTIFY: u16 = 1;
    /// Packed: flags of the two event structures (2.8.10).
    pub const EVENTS_ENABLE: u16 = 0;
    pub const EVENTS_DISABLE: u16 = 1;
    pub const EVENTS_DESC: u16 = 2;
}

/// Requests of a block device (5.2.6).
pub mod blk {
    pub const IN: u32 = 0;
    pub const OUT: u32 = 1;
    pub const FLUSH: u32 = 4;
    pub const GET_ID: u32 = 8;
    pub const DISCARD: u32 = 11;
    pub const WRITE_ZEROES: u32 = 13;

    pub const OK: u8 = 0;
    pub const IOERR: u8 = 1;
    pub const UNSUPP: u8 = 2;

    /// Bytes of the answer to GET_ID.
    pub const ID: usize = 20;
    /// Bytes of a range of DISCARD and WRITE_ZEROES.
    pub const RANGE: usize = 16;
    /// The flag of such a range: WRITE_ZEROES may unmap.
    pub const UNMAP: u32 = 1;
}

/// Bytes of a virtio sector: requests, capacity and limits count in these, whatever the block size (5.2.4).
pub const SECTOR: u32 = 512;

/// Bytes of the configuration that we read, up to what WRITE_ZEROES added (5.2.4).
pub const CONFIG: usize = 60;
