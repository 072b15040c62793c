//! The mapped volume: de-duplicated, compressed, encrypted, thin. How it works is in `docs/mapped.md`.
//!
//! ```text
//!   engine      the volume's state and its loop; io: what passes between it and its host
//!   operation   a request under way; write and read step it; line: those that wait for something
//!   spare       memory for what may be under way, all taken when the volume is opened
//!   change      the only place where map, table and space change: a record is applied
//!   frames      the journal's frames on their way, and who waits for them
//!   checkpoint  changed pages to new places, then the root record
//!   clean       segments emptied; compact: all that is worth it; discard: the device told what is free
//!   recover     format, open, recovery; grow: the same volume, larger; check: everything compared with everything
//!   activity    what goes on, for people who watch
//!   inspect     structures shown as they lie on the disk, of a volume that need not open
//!   rebuild     opening with space counted anew, salvage: though the journal goes on in a damaged leaf of the map; repair:
//!               what can be derived from what is whole; stray: blocks that lead behind the table
//!   suspect     chunks that have been found damaged, to which no other block is led
//!
//!   pages, cache, leaf      the trees and their pages
//!   space, layout, limits   segments; what lies where; bounds
//!   journal, record, extent, root, varint   what lies on the disk
//!   seal, codec             tags and encryption; compression
//!   index, neighbours       who has been seen before, and what was written beside it; kept: while the volume is closed
//! ```
//!
//! Where a write goes: `Volume::submit` → `write.rs: write_block` → `find` (shared) or `store` (compressed, sealed, put
//! into an extent) → `change.rs: change` → a record in the frame → `frames.rs: close_frame` → the device → `arrived`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod activity;
mod cache;
mod change;
mod check;
mod checkpoint;
mod clean;
pub mod codec;
mod compact;
mod discard;
pub mod disk;
mod engine;
mod extent;
mod frames;
mod grow;
pub mod index;
pub mod inspect;
pub mod io;
mod journal;
pub mod kept;
pub mod layout;
mod leaf;
pub mod limits;
mod line;
mod memory;
pub mod mutants;
mod neighbours;
mod operation;
mod pages;
mod read;
mod rebuild;
mod record;
mod recover;
mod repair;
mod reuse;
mod root;
mod salvage;
pub mod seal;
mod space;
mod spare;
mod stray;
mod suspect;
pub mod units;
mod varint;
mod write;

pub use activity::Activity;
pub use cache::Tree;
pub use check::{Problem, Report};
pub use engine::{Options, Stats, Usage, Volume};
pub use recover::OpenError;
