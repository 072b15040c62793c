//! Conversions on a disk that crashes, and what is there afterwards.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod crash;
mod disk;
mod record;
