//! What the control device `\\.\SluiceControl` and its callers say to each other.
//!
//! All requests are METHOD_BUFFERED and little-endian. Each structure begins with [`VERSION`]; one of another
//! version is refused, so that an old program and a new driver fail clearly. Parsers are total: they look at
//! the length first and at nothing beyond it.
#![no_std]
#![forbid(unsafe_code)]

mod counters;
mod list;
mod refusal;
mod request;

pub use counters::{BUCKETS, MAX_STAGES, PointCounters, StageCounters, Statistics, stage};
pub use list::{DiskEntry, ListHeader, ListWriter, entries, state};
pub use refusal::Refusal;
pub use request::{DiskRequest, Request, RequestError, UnlockRequest};

/// Version of every structure here.
pub const VERSION: u32 = 2;

/// Where programs open the device.
pub const DEVICE_PATH: &str = r"\\.\SluiceControl";

/// Bytes of a header copy, the answer to [`code::READ_HEADER`].
pub const HEADER_BYTES: usize = 4096;

/// The device's control codes.
pub mod code {
    /// `CTL_CODE`: a vendor's device type (bit 15), a vendor's function (bit 11), METHOD_BUFFERED.
    const fn control(function: u32, access: u32) -> u32 {
        const DEVICE_TYPE: u32 = 0x8053;
        DEVICE_TYPE << 16 | access << 14 | (0x800 + function) << 2
    }
    const READ: u32 = 1;
    const WRITE: u32 = 2;

    /// The disks that the driver filters. No input; output [`super::ListHeader`], then entries.
    pub const LIST: u32 = control(0, READ);
    /// A disk's header. Input [`super::DiskRequest`]; output [`super::HEADER_BYTES`].
    pub const READ_HEADER: u32 = control(1, READ);
    /// Unlocks a disk. Input [`super::UnlockRequest`]; no output.
    pub const UNLOCK: u32 = control(2, READ | WRITE);
    /// Locks a disk: waits for its requests and wipes its key. Input [`super::DiskRequest`]; no output.
    pub const LOCK: u32 = control(3, READ | WRITE);
    /// A disk's counters. Input [`super::DiskRequest`]; output [`super::Statistics`].
    pub const STATISTICS: u32 = control(4, READ);
    /// Unlocks a disk that is not encrypted. Input [`super::DiskRequest`]; no output.
    pub const UNLOCK_OPEN: u32 = control(5, READ | WRITE);
}
