//! The chain: what a stage is, and how an I/O passes through several of them.
//!
//! ```text
//!             request: first stage to last            completion: last stage to first
//!   host ──► [encrypt] ──► [place] ──► device ──► [place] ──► [encrypt] ──► host
//! ```
//!
//! A *stage* is a [`StageTable`] of C-ABI function pointers and a context ([`abi`]). Stages written in Rust
//! implement the safe trait [`Stage`] and get their table from [`thunk`]; a stage of another driver brings its
//! own. The [`Chain`] calls both through the same pointers and cannot tell them apart.
//!
//! An I/O is one [`Io`], owned by the host (the shim) from the moment it enters the chain until it has come
//! back up. A stage answers each call with *continue*, *done* or *pending*. The chain is a loop that keeps its
//! place in the `Io` itself: there is no recursion, no allocation, and a stage that answered *pending* can
//! resume the I/O later from any thread.
//!
//! Only `compat-shim/src/interception.rs` calls [`Chain::request`] and [`Chain::completion`].
#![no_std]

extern crate alloc;

pub mod abi;
mod boxed;
pub mod bytes;
mod chain;
mod handshake;
pub mod io;
pub mod registration;
pub mod registry;
pub mod rundown;
mod stage;
pub mod stats;
pub mod thunk;

pub use abi::{Direction, Flags, Io, Segment, StageTable, Status, Verdict};
pub use boxed::{try_box, try_zeros};
pub use chain::{Chain, ChainFull, Outcome, Slot, Ticket};
pub use io::{Payload, StageIo};
pub use stage::Stage;
