//! What a server tells: its volumes, and what has been counted of each since it began.
//!
//! Fields may be added; what is there keeps its name and meaning, or [`VERSION`] changes.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use crate::{histogram::Latency, space::Space};

/// Of the objects below.
pub const VERSION: u32 = 1;
/// The longest answer that is read.
const LONGEST: u64 = 16 << 20;

/// A server, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`VERSION`].
    pub version: u32,
    /// The server's process.
    pub pid: u32,
    /// Since it began, by a clock that is never set.
    pub uptime_ns: u64,
    /// Memory that its process has in use.
    pub resident_bytes: Option<u64>,
    /// In the order in which they were opened.
    pub volumes: Vec<Volume>,
}

/// A volume that is served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Of its header.
    pub uuid: String,
    /// The image or device.
    pub path: String,
    /// What clients call it; empty if there is only one.
    pub export: String,
    /// `in_place` or `mapped`.
    pub kind: String,
    /// As clients see it.
    pub volume_bytes: u64,
    /// Whether it may be written to.
    pub writable: bool,
    /// Requests, by kind.
    pub operations: Vec<Operation>,
    /// Work inside the server, by kind.
    pub stages: Vec<Stage>,
    /// Of a mapped volume whose engine has answered in time.
    pub mapped: Option<Mapped>,
}

/// Requests of a kind that have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// `read`, `write`, `flush`, `discard`.
    pub name: String,
    /// How many,
    pub requests: u64,
    /// the bytes of those that did not fail,
    pub bytes: u64,
    /// how many failed,
    pub errors: u64,
    /// how long all of them took, added up,
    pub nanoseconds: u64,
    /// and each.
    pub latency: Latency,
}

/// Work of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// What work.
    pub name: String,
    /// How often,
    pub times: u64,
    /// on how many bytes,
    pub bytes: u64,
    /// and how long in all.
    pub nanoseconds: u64,
}

/// What the engine of a mapped volume says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mapped {
    /// Space by what became of it.
    pub space: Space,
    /// What it has counted since the volume was opened.
    pub engine: Engine,
    /// Its log of segments, and its journal.
    pub log: Log,
    /// Its memory.
    pub memory: Memory,
}

/// See [`Mapped`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// Bytes written by requests,
    pub user_written_bytes: u64,
    /// bytes of blocks that were found to exist already,
    pub shared_bytes: u64,
    /// bytes of new chunks as they are stored,
    pub data_written_bytes: u64,
    /// bytes of chunks that the cleaner moved,
    pub cleaned_bytes: u64,
    /// and bytes of everything written to the device.
    pub device_written_bytes: u64,
    /// Metadata pages that were not in memory.
    pub page_reads: u64,
    /// Checkpoints completed.
    pub checkpoints: u64,
    /// Segments cleaned.
    pub segments_cleaned: u64,
    /// Flushes of the device.
    pub flushes: u64,
    /// Bytes of which the device was told that they are free.
    pub discarded_bytes: u64,
}

/// See [`Mapped`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// All segments,
    pub segments: u64,
    /// those that may be filled at once,
    pub free_segments: u64,
    /// those that are dead and will be free,
    pub dead_segments: u64,
    /// and those kept for the volume's own work.
    pub reserved_segments: u64,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Bytes of the journal,
    pub journal_bytes: u64,
    /// and those that recovery would need.
    pub journal_used_bytes: u64,
    /// Whether a segment is being cleaned,
    pub cleaning: bool,
    /// and whether a checkpoint is being written.
    pub checkpointing: bool,
    /// Requests that the engine has.
    pub requests: u64,
    /// Whether a write has failed: the volume takes no more.
    pub failed: bool,
}

/// See [`Mapped`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// For metadata pages,
    pub cache_bytes: u64,
    /// of those the ones that the device does not have yet.
    pub dirty_bytes: u64,
    /// For the index of de-duplication.
    pub index_bytes: u64,
    /// Chunks that it can know,
    pub index_capacity: u64,
    /// and those that it knows.
    pub index_used: u64,
}

impl Snapshot {
    /// Reads one, from whatever may answer.
    ///
    /// # Errors
    /// It is too long, or no snapshot, or of another version.
    pub fn read(from: impl Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        from.take(LONGEST).read_to_end(&mut bytes)?;
        Self::parse(&bytes)
    }

    /// Takes one apart.
    ///
    /// # Errors
    /// It is no snapshot, or of another version.
    pub fn parse(bytes: &[u8]) -> io::Result<Self> {
        /// What every version has.
        #[derive(Deserialize)]
        struct Any {
            version: u32,
        }
        let Any { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            let what = format!("it speaks version {version} of the statistics, and this program {VERSION}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// `550e8400-e29b-...`: a UUID as people know it (RFC 9562 4).
#[must_use]
pub fn uuid(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        let operation = Operation { latency: Latency(vec![(10, 2)]), requests: 2, ..Operation::default() };
        let volume = Volume {
            path: "a \"b\"\n\u{1f4be}".into(),
            operations: vec![operation],
            mapped: Some(Mapped::default()),
            ..Volume::default()
        };
        let told = Snapshot { version: VERSION, pid: 3, volumes: vec![volume], ..Snapshot::default() };
        let bytes = serde_json::to_vec(&told).unwrap();
        assert_eq!(Snapshot::read(&bytes[..]).unwrap(), told);
        for length in 0..bytes.len() {
            assert!(Snapshot::parse(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let error = Snapshot::parse(b"{\"version\": 7}").unwrap_err().to_string();
        assert!(error.contains('7') && error.contains('1'), "{error}");
        for wrong in [&b"[]"[..], b"{}", b"{\"version\": -1}", b"{\"version\": 1}", b"\xff", b""] {
            assert!(Snapshot::parse(wrong).is_err());
        }
    }
}
