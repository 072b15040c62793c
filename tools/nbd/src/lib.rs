//! The nbdkit plugin behind `sluice serve`: unlocked volumes as network block devices.
//!
//! ```text
//!   client ── NBD ──► nbdkit, a thread for each request
//!                       │
//!            plugin     ▼
//!              in_place: decrypts and encrypts on that thread ──────────────► image
//!              mapped:   the engine, in turns; what must be waited for ── carry ──► a few threads, or io_uring ──► image
//! ```
//!
//! Around each volume, `watched` counts requests and `stages` the work for them; `publish` tells `sluice top`.
//!
//! `sluice serve` has found the headers, taken the locks and unlocked the keys; `handover` says how they come here.
#![cfg(unix)]

mod abort;
mod callers;
mod carry;
mod flushes;
mod handover;
mod host;
mod image;
mod in_place;
mod losses;
mod mapped;
mod opening;
mod plugin;
mod publish;
mod ring;
mod soon;
mod stages;
mod tasks;
mod turns;
mod volume;
mod watched;
