//! The stage interface as another driver sees it: C-ABI types, no behaviour.
//!
//! Every structure begins with its size, so that a later version can grow at the end. Values of foreign
//! origin are open enums (a transparent integer with named constants): an unknown value is representable.

use core::{ffi::c_void, sync::atomic::AtomicU32};

/// Version of this interface. A table with another major version (high 16 bits) is refused.
pub const ABI_VERSION: u32 = 0x0001_0000;

/// Stages in one chain, at most. Five are planned (cache, encrypt, compress, de-duplicate, place); the rest is
/// room for stages of other drivers. Bounds the size of [`Io`].
pub const MAX_STAGES: usize = 8;

/// 64-bit words of per-I/O state that each stage has to itself inside the [`Io`].
pub const STAGE_WORDS: usize = 4;

/// What an I/O does.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction(pub u32);

impl Direction {
    /// Device to memory; the payload is filled.
    pub const READ: Self = Self(0);
    /// Memory to device; the payload is read and never written.
    pub const WRITE: Self = Self(1);
    /// Make everything that was acknowledged durable. No payload, no sectors.
    pub const FLUSH: Self = Self(2);
    /// Forget sector ranges. The payload is one segment holding an array of [`Extent`].
    pub const DISCARD: Self = Self(3);
    /// Read on the device without transfer. No payload.
    pub const VERIFY: Self = Self(4);
    /// Tell which sectors hold data, from the first on. The payload is filled with the answer (GET LBA STATUS, SBC-4
    /// 5.7.2), whose numbers count on the volume: no stage changes it. Only mapped volumes are asked.
    pub const STATUS: Self = Self(5);
}

/// Flags of an I/O.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Flags(pub u32);

impl Flags {
    /// The write must be durable before it is acknowledged (SBC-4 5.40, FUA).
    pub const FUA: Self = Self(1);
    /// Sent by the memory manager: must make progress without allocating.
    pub const PAGING: Self = Self(2);

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How an I/O ended.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// Done as asked.
    pub const OK: Self = Self(0);
    /// The device or the miniport reported an error; its own status and sense data stand.
    pub const DEVICE: Self = Self(1);
    /// The sectors do not all lie on the volume.
    pub const OUT_OF_RANGE: Self = Self(2);
    /// The request makes no sense to this volume (length, alignment, direction).
    pub const INVALID: Self = Self(3);
    /// Stored data failed its check and cannot be returned.
    pub const MEDIUM: Self = Self(4);
    /// The volume or the device refuses writes.
    pub const WRITE_PROTECTED: Self = Self(5);
    /// The volume is locked.
    pub const LOCKED: Self = Self(6);
    /// No physical space is left.
    pub const NO_SPACE: Self = Self(7);
    /// A resource is lacking for the moment; the sender may retry.
    pub const BUSY: Self = Self(8);
    /// The device has gone.
    pub const NO_DEVICE: Self = Self(9);
    /// The sender withdrew the request.
    pub const CANCELLED: Self = Self(10);
    /// A stage or the shim met a state that should not exist. The volume fails its I/O from here on.
    pub const INTERNAL: Self = Self(11);
}

/// What a stage answers.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict(pub u32);

impl Verdict {
    /// Go on with the next stage.
    pub const CONTINUE: Self = Self(0);
    /// The I/O ends here with the status that the stage has put into it. On the way down, the stages already
    /// passed see its completion; on the way up it means the same as `CONTINUE`.
    pub const DONE: Self = Self(1);
    /// The stage keeps the I/O and will call [`HostTable::resume`]. It may already have done so: the I/O then goes on
    /// when the stage's function has returned.
    pub const PENDING: Self = Self(2);
}

/// A stretch of memory, mapped and non-paged for as long as the I/O lasts.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// First byte; a system address.
    pub address: *mut u8,
    /// Length in bytes.
    pub length: usize,
}

impl Segment {
    /// No memory.
    pub const EMPTY: Self = Self { address: core::ptr::null_mut(), length: 0 };
}

/// A range of sectors, in the payload of a [`Direction::DISCARD`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First sector.
    pub sector: u64,
    /// Number of sectors.
    pub count: u64,
}

/// One I/O on its way through the chain. Owned by the host; a stage has it from a call until its answer (or
/// until it resumes it) and keeps nothing of it afterwards.
#[repr(C)]
#[derive(Debug)]
pub struct Io {
    /// `size_of::<Io>()` of the host.
    pub size: u32,
    /// What it does.
    pub direction: Direction,
    /// How.
    pub flags: Flags,
    /// How it went; `OK` on the way down.
    pub status: Status,
    /// First sector. Above a `place` stage it counts on the volume, below on the device.
    pub sector: u64,
    /// Length in bytes: of the payload for READ and WRITE, of the sector range for VERIFY.
    pub length: u32,
    /// Bytes really moved; set by the device before the way up.
    pub transferred: u32,
    /// Size of a sector in bytes: 512 or 4096.
    pub sector_size: u32,
    /// Number of segments in the payload.
    pub segment_count: u32,
    /// The payload's segments.
    pub segments: *const Segment,
    /// Private memory of `length` bytes for a stage that must change a write's payload; `EMPTY` once taken,
    /// or if no stage of the chain asked for it ([`Needs::SPARE_ON_WRITE`]).
    pub spare: Segment,
    /// The payload's only segment once it lies in private memory.
    pub private: Segment,
    /// The host's services.
    pub host: *const HostTable,
    /// The chain's own: number of the stage that has the I/O, or had it last.
    pub position: u32,
    /// The chain's own: 0 on the way down, 1 on the way up.
    pub phase: u32,
    /// The chain's own: when the current stage was called, on the host's clock.
    pub entered: u64,
    /// The chain's own: what a stage that answers `PENDING` and whoever resumes the I/O say to each other.
    pub handshake: AtomicU32,
    /// Zero.
    pub reserved: u32,
    /// Room for each stage's own state between its two calls, zero at first.
    pub state: [[u64; STAGE_WORDS]; MAX_STAGES],
}

impl Io {
    /// A flush that has not set out: what a host begins with, and fills in for every I/O.
    #[must_use]
    pub const fn idle(host: *const HostTable) -> Self {
        Self {
            size: size_of::<Self>() as u32,
            direction: Direction::FLUSH,
            flags: Flags(0),
            status: Status::OK,
            sector: 0,
            length: 0,
            transferred: 0,
            sector_size: 512,
            segment_count: 0,
            segments: core::ptr::null(),
            spare: Segment::EMPTY,
            private: Segment::EMPTY,
            host,
            position: 0,
            phase: 0,
            entered: 0,
            handshake: AtomicU32::new(0),
            reserved: 0,
            state: [[0; STAGE_WORDS]; MAX_STAGES],
        }
    }
}

/// What the host offers to stages.
#[repr(C)]
#[derive(Debug)]
pub struct HostTable {
    /// `size_of::<HostTable>()`.
    pub size: u32,
    /// Keeps the pointers aligned; zero.
    pub reserved: u32,
    /// A monotonic clock in nanoseconds. Any IRQL up to DISPATCH_LEVEL.
    pub now: unsafe extern "C" fn() -> u64,
    /// Gives back an I/O that a stage kept by answering `PENDING`, with the answer it has now. At most once per
    /// `PENDING`. Any IRQL up to DISPATCH_LEVEL.
    pub resume: unsafe extern "C" fn(io: *mut Io, verdict: Verdict),
}

/// What a stage needs of its host.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Needs(pub u32);

impl Needs {
    /// Private memory for each write ([`Io::spare`]). The host reserves it before the I/O enters the chain, so
    /// that a stage never has to wait for memory.
    pub const SPARE_ON_WRITE: Self = Self(1);
}

/// A stage: its functions and what it is called. The functions run at up to DISPATCH_LEVEL, on any thread,
/// several at once.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StageTable {
    /// `size_of::<StageTable>()`.
    pub size: u32,
    /// [`ABI_VERSION`] of the stage.
    pub version: u32,
    /// ASCII, padded with zeros; shown in statistics.
    pub name: [u8; 16],
    /// What it needs.
    pub needs: Needs,
    /// Zero.
    pub reserved: u32,
    /// The way down.
    pub request: unsafe extern "C" fn(context: *const c_void, io: *mut Io) -> Verdict,
    /// The way up.
    pub completion: unsafe extern "C" fn(context: *const c_void, io: *mut Io) -> Verdict,
    /// Called once when the stage has left every chain and no I/O is inside it; the last use of `context`.
    /// PASSIVE_LEVEL.
    pub detach: unsafe extern "C" fn(context: *const c_void),
}

const _: () = {
    assert!(size_of::<Segment>() == 16);
    assert!(size_of::<Extent>() == 16);
    // 4*4 + 8 + 4*4 + 8 + 16 + 16 + 8 + 2*4 + 8 + 2*4
    assert!(core::mem::offset_of!(Io, state) == 112);
    assert!(size_of::<Io>() == 112 + 8 * STAGE_WORDS * MAX_STAGES);
    // 2*4 + 16 + 2*4 + 3*8
    assert!(size_of::<StageTable>() == 56);
    assert!(size_of::<HostTable>() == 24);
};
