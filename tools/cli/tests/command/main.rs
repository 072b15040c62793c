//! The `sluice` command as a person or a script runs it, on real files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod bad_input;
mod bench;
mod compact;
#[cfg(unix)]
mod convert;
mod dump;
mod headers;
mod keys;
mod mapped;
mod reading;
mod repair;
mod report;
