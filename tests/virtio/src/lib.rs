//! A virtio block device in memory, written from the device's side of VIRTIO 1.2 and knowing nothing of the miniport but its
//! transport: one that obeys, with rings of either kind, and one that does anything that a device can do wrong.
//!
//! ```text
//!   memory   what both sides share
//!   rings    the device's side of a ring: split, packed
//!   model    registers, and a disk that obeys
//!   hostile  whatever a string of numbers says, in one run that ends
//!   task     requests without SRBs, counted as they end
//!   pci      the model behind the registers of a PCI function
//! ```
//!
//! Everything happens when it is told to, in one thread: one string of numbers gives one run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "for tests, which may stop")]

pub mod hostile;
mod memory;
mod model;
pub mod pci;
mod rings;
mod task;

pub use memory::Memory;
pub use model::{Behaviour, CAPACITY, Line, Model};
pub use rings::{Chain, Segment};
pub use task::{Task, Tasks};
