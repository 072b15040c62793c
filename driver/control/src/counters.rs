//! What has passed a volume's points and stages.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Buckets of a latency histogram: bucket *n* counts 2^n up to 2^(n+1) nanoseconds.
pub const BUCKETS: usize = 32;

/// Stages of a chain, at most.
pub const MAX_STAGES: usize = 8;

/// What has passed one point.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PointCounters {
    /// Requests.
    pub requests: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Requests that left with an error.
    pub errors: u64,
    /// How long each took; see [`BUCKETS`].
    pub latency: [u64; BUCKETS],
}

/// Whose a stage is.
pub mod stage {
    /// The volume's own.
    pub const OWN: u32 = 0;
    /// Another driver's, which looks.
    pub const OBSERVER: u32 = 1;
    /// Another driver's, which changes data.
    pub const TRANSFORMER: u32 = 2;
}

/// What has passed one stage.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct StageCounters {
    /// ASCII, padded with zeros.
    pub name: [u8; 16],
    /// Whose it is: see [`stage`].
    pub kind: u32,
    /// Another driver's: its place among other drivers' stages on its side of ours.
    pub altitude: u32,
    /// On the way down.
    pub request: PointCounters,
    /// On the way up.
    pub completion: PointCounters,
}

/// All of a volume.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Statistics {
    /// [`crate::VERSION`].
    pub version: u32,
    /// The disk.
    pub disk: u32,
    /// Stages that are filled in.
    pub stage_count: u32,
    /// Zero.
    pub reserved: u32,
    /// Completions by the miniport of requests that it did not have.
    pub faults: u64,
    /// Interception point ①.
    pub dispatched: PointCounters,
    /// Interception point ②; its latency is from ① to ②.
    pub completed: PointCounters,
    /// The stages, top to bottom.
    pub stages: [StageCounters; MAX_STAGES],
}

// 3*8 + 32*8; 16 + 2*4 + 2*280; 4*4 + 8 + 2*280 + 8*584
const _: () = assert!(size_of::<PointCounters>() == 280);
const _: () = assert!(size_of::<StageCounters>() == 584);
const _: () = assert!(size_of::<Statistics>() == 5256);
