//! The mapped volume: see `docs/mapped.md`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod codec;
pub mod disk;
pub mod index;
pub mod io;
pub mod seal;
pub mod units;
