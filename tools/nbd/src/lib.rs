//! The nbdkit plugin behind `sluice serve`: unlocked volumes as network block devices.
//!
//! ```text
//!   client ── NBD ──► nbdkit, a thread for each request
//!                       │
//!            plugin     ▼
//!              in_place: decrypts and encrypts on that thread ──────────────► image
//!              mapped:   ── channel ──► engine's thread ── channel ──► a few threads ──► image
//! ```
//!
//! `sluice serve` has found the headers, taken the locks and unlocked the keys; `handover` says how they come here.
#![cfg(unix)]

mod handover;
mod image;
mod in_place;
mod losses;
mod mapped;
mod opening;
mod plugin;
mod volume;
