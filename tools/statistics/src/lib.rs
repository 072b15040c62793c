//! What a server of volumes counts, and how it tells others.
//!
//! ```text
//!   nbdkit with the plugin                          sluice top, sluice report
//!     a request ends ─► recorder                      folder: every server's socket
//!                          │ asked by a connection       │
//!                          ▼                             ▼
//!                       snapshot ── JSON, one for each connection ──► snapshot ─► rates
//! ```
//!
//! Counters only grow, so that whoever looks twice knows what happened between, and nobody who looks disturbs anybody else.
//! There are no secrets in them: names, sizes, times.

#[cfg(unix)]
pub mod folder;
mod histogram;
mod recorder;
mod snapshot;
mod space;

pub use histogram::{BUCKETS, Latency, bucket_of, end_of};
pub use recorder::{Count, Counter, Operations, Tally};
pub use snapshot::{Engine, Log, Mapped, Memory, Operation, Snapshot, Stage, VERSION, Volume, uuid};
pub use space::Space;
