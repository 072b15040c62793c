//! Bytes of a mapped volume by what became of them.

use serde::{Deserialize, Serialize};
use sluice_mapped::Usage;

/// Bytes of a block.
const BLOCK: u64 = 4096;

/// See above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// What clients have written and not discarded; zeros are not among it.
    pub written_bytes: u64,
    /// What is left of it when each block is there once,
    pub unique_bytes: u64,
    /// and what is left of that as it is stored.
    pub stored_bytes: u64,
    /// What says where everything is.
    pub metadata_bytes: u64,
    /// Segments that are not free.
    pub segment_bytes_in_use: u64,
    /// What can still be stored.
    pub free_bytes: u64,
    /// The first less the second,
    pub saved_by_dedup: u64,
    /// and the second less the third.
    pub saved_by_compression: u64,
}

impl Space {
    /// Of a volume with segments of `segment_bytes`.
    pub fn of(usage: &Usage, segment_bytes: u64) -> Self {
        let (written, unique) = (usage.mapped_blocks * BLOCK, usage.chunks * BLOCK);
        Self {
            written_bytes: written,
            unique_bytes: unique,
            stored_bytes: usage.data_bytes,
            metadata_bytes: usage.live_bytes.saturating_sub(usage.data_bytes),
            segment_bytes_in_use: usage.segments.saturating_sub(usage.free_segments) * segment_bytes,
            free_bytes: usage.capacity_bytes.saturating_sub(usage.live_bytes),
            saved_by_dedup: written.saturating_sub(unique),
            saved_by_compression: unique.saturating_sub(usage.data_bytes),
        }
    }
}
