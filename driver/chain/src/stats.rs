//! Counters that any number of processors may bump at once.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets of a latency histogram. Bucket *n* counts durations from 2^n up to 2^(n+1) nanoseconds; the first
/// also counts zero, the last everything from 2.1 s.
pub const BUCKETS: usize = 32;

/// What passed one point.
#[derive(Debug, Default)]
pub struct PointStats {
    /// I/Os.
    pub requests: AtomicU64,
    /// Payload bytes.
    pub bytes: AtomicU64,
    /// I/Os that left the point with an error.
    pub errors: AtomicU64,
    /// How long each took.
    pub latency: [AtomicU64; BUCKETS],
}

/// What passed one stage, both ways.
#[derive(Debug, Default)]
pub struct StageStats {
    /// On the way down.
    pub request: PointStats,
    /// On the way up.
    pub completion: PointStats,
}

impl StageStats {
    /// All zero.
    pub const fn new() -> Self {
        Self { request: PointStats::new(), completion: PointStats::new() }
    }
}

impl PointStats {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            latency: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }

    /// Counts one I/O of `bytes` at a point where nothing is timed.
    #[inline]
    pub fn count(&self, bytes: u64) {
        self.requests.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts one I/O of `bytes` that took `nanoseconds`.
    #[inline]
    pub fn record(&self, bytes: u64, failed: bool, nanoseconds: u64) {
        self.count(bytes);
        if failed {
            self.errors.fetch_add(1, Relaxed);
        }
        let bucket = (nanoseconds | 1).ilog2() as usize;
        self.latency[bucket.min(BUCKETS - 1)].fetch_add(1, Relaxed);
    }
}
