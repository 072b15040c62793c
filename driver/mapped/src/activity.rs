//! What a volume does at this moment, and with how much memory. For people: nothing here is decided by it.

use crate::{Volume, units::BLOCK};

/// See above.
#[derive(Clone, Copy, Debug, Default)]
pub struct Activity {
    /// Bytes of the journal's ring,
    pub journal_bytes: u64,
    /// and those of them that recovery would need.
    pub journal_used: u64,
    /// Frames under way to the device.
    pub frames_flying: u64,
    /// Whether a checkpoint is being written.
    pub checkpointing: bool,
    /// Whether a segment is being cleaned.
    pub cleaning: bool,
    /// Segments that are dead, and free once a checkpoint or the journal says so.
    pub dead_segments: u64,
    /// Segments that are kept for the volume's own work.
    pub reserved_segments: u64,
    /// Requests under way, and those that wait to be begun.
    pub requests: u64,
    /// Bytes of memory for metadata pages,
    pub cache_bytes: u64,
    /// and those of them that the device does not have yet.
    pub dirty_bytes: u64,
    /// Bytes of memory for the index of de-duplication,
    pub index_bytes: u64,
    /// chunks that it can know,
    pub index_capacity: u64,
    /// and those that it knows.
    pub index_used: u64,
    /// Whether a write has failed: the volume takes no more.
    pub failed: bool,
}

impl Volume {
    /// What it does at this moment.
    pub fn activity(&self) -> Activity {
        Activity {
            journal_bytes: self.ring.bytes,
            journal_used: self.ring.used,
            frames_flying: self.flying.len() as u64,
            checkpointing: self.checkpoint.is_some(),
            cleaning: self.cleaning.is_some(),
            dead_segments: self.space.dead() as u64,
            reserved_segments: self.space.reserve() as u64,
            requests: (self.order.len() + self.waiting.len()) as u64,
            cache_bytes: self.options.cache_bytes as u64,
            dirty_bytes: (self.cache.dirty() * BLOCK) as u64,
            index_bytes: self.options.index_bytes as u64,
            index_capacity: self.index.capacity() as u64,
            index_used: self.index.used() as u64,
            failed: self.failed,
        }
    }
}
