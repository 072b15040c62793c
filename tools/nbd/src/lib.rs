//! The nbdkit plugin behind `sluice serve`: an unlocked volume as a network block device.
//!
//! ```text
//!   client ── NBD ──► nbdkit, a thread for each request
//!                       │
//!            plugin     ▼
//!              in_place: decrypts and encrypts on that thread ──────────────► image
//!              mapped:   ── channel ──► engine's thread ── channel ──► a few threads ──► image
//! ```
//!
//! Around each volume, `watched` counts requests and `stages` the work for them; `publish` tells `sluice top`.
//!
//! `sluice serve` has found the header, taken the lock and unlocked the key; `handover` says how they come here.
#![cfg(unix)]

mod handover;
mod image;
mod in_place;
mod mapped;
mod plugin;
mod publish;
mod stages;
mod volume;
mod watched;
