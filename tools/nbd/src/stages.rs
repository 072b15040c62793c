//! The work behind requests, counted, and what a mapped volume's engine says of itself.

use sluice_mapped::{Volume as Engine, io::DeviceOp};
use sluice_statistics::{Counter, Engine as Counts, Log, Mapped, Memory, Space, Stage};

/// Asks the engine of a volume, if it has one.
pub(crate) type Teller = Box<dyn Fn() -> Option<Mapped> + Send + Sync>;

/// What is done for a volume. Encrypting in a mapped volume is part of the engine's work, and not told apart.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    pub(crate) encrypt: Counter,
    pub(crate) decrypt: Counter,
    pub(crate) device_read: Counter,
    pub(crate) device_write: Counter,
    pub(crate) device_flush: Counter,
    pub(crate) device_discard: Counter,
    pub(crate) engine_busy: Counter,
}

impl Stages {
    /// What an I/O of the device is counted as, and its bytes.
    pub(crate) fn of(&self, op: &DeviceOp) -> (&Counter, usize) {
        match op {
            DeviceOp::Read { length, .. } => (&self.device_read, *length),
            DeviceOp::Write { length, .. } => (&self.device_write, *length),
            DeviceOp::Flush => (&self.device_flush, 0),
            DeviceOp::Discard { length, .. } => (&self.device_discard, *length as usize),
        }
    }

    /// Those that a volume of this kind has.
    pub(crate) fn all(&self, mapped: bool) -> Vec<Stage> {
        let device = [
            self.device_read.stage("device_read"),
            self.device_write.stage("device_write"),
            self.device_flush.stage("device_flush"),
        ];
        let mut all = if mapped {
            vec![self.engine_busy.stage("engine_busy")]
        } else {
            vec![self.encrypt.stage("encrypt"), self.decrypt.stage("decrypt")]
        };
        all.extend(device);
        all.extend(mapped.then(|| self.device_discard.stage("device_discard")));
        all
    }
}

/// What an engine says of itself.
pub(crate) fn facts(engine: &Engine, segment_bytes: u64) -> Mapped {
    let (stats, usage, activity) = (engine.stats(), engine.usage(), engine.activity());
    Mapped {
        space: Space::of(&usage, segment_bytes),
        engine: Counts {
            user_written_bytes: stats.user_written,
            shared_bytes: stats.shared * 4096,
            data_written_bytes: stats.data_written,
            cleaned_bytes: stats.cleaned,
            device_written_bytes: stats.device_written,
            page_reads: stats.page_reads,
            checkpoints: stats.checkpoints,
            segments_cleaned: stats.segments_cleaned,
            flushes: stats.flushes,
            discarded_bytes: stats.discarded,
        },
        log: Log {
            segments: usage.segments,
            free_segments: usage.free_segments,
            dead_segments: activity.dead_segments,
            reserved_segments: activity.reserved_segments,
            segment_bytes,
            journal_bytes: activity.journal_bytes,
            journal_used_bytes: activity.journal_used,
            cleaning: activity.cleaning,
            checkpointing: activity.checkpointing,
            requests: activity.requests,
            failed: activity.failed,
        },
        memory: Memory {
            cache_bytes: activity.cache_bytes,
            dirty_bytes: activity.dirty_bytes,
            index_bytes: activity.index_bytes,
            index_capacity: activity.index_capacity,
            index_used: activity.index_used,
        },
    }
}
