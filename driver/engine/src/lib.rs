//! The engine: volumes, their stages, their format and their keys.
//!
//! ```text
//!   format   the header on the disk: found, checked, changed without a moment in which no copy is good
//!   keys     what opens a volume: volume key, key slots, derivation
//!   stages   what happens to an I/O: encrypt, place
//!   volume   a header and a key become a chain of stages
//! ```
//!
//! No I/O, no clock, no randomness, no threads: the host hands in bytes and takes bytes away. The same crate is
//! in the driver, in the `sluice` command and in the tests.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod format;
pub mod keys;
pub mod stages;
pub mod volume;
