//! The nbdkit plugin behind `sluice serve`: an unlocked volume as a network block device.
//!
//! ```text
//!   client ── NBD ──► nbdkit, a thread for each request
//!                       │
//!            plugin     ▼
//!              in_place: decrypts and encrypts on that thread ──────────────► image
//!              mapped:   ── channel ──► engine's thread ── carry ──► a few threads, or io_uring ──► image
//! ```
//!
//! `sluice serve` has found the header, taken the lock and unlocked the key; `handover` says how they come here.
#![cfg(unix)]

mod callers;
mod carry;
mod handover;
mod image;
mod in_place;
mod mapped;
mod plugin;
mod ring;
mod volume;
