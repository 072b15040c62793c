//! The nbdkit plugin behind `sluice serve`: unlocked volumes as network block devices.
//!
//! ```text
//!   client ── NBD ──► nbdkit, a thread for each request
//!                       │
//!            plugin     ▼
//!              in_place: decrypts and encrypts on that thread ──────────────► image
//!              mapped:   ── channel ──► engine's thread ── carry ──► a few threads, or io_uring ──► image
//! ```
//!
//! Around each volume, `watched` counts requests and `stages` the work for them; `publish` tells `sluice top`.
//!
//! `sluice serve` has found the headers, taken the locks and unlocked the keys; `handover` says how they come here.
#![cfg(unix)]

mod callers;
mod carry;
mod flushes;
mod handover;
mod image;
mod in_place;
mod losses;
mod mapped;
mod opening;
mod plugin;
mod publish;
mod ring;
mod stages;
mod volume;
mod watched;
