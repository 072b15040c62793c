//! The header of a Sluice disk. `docs/format.md` describes it byte by byte.
//!
//! ```text
//!   raw       the bytes
//!   geometry  where copies and data lie on a disk of a given size
//!   probe     two copies as they were read -> what the disk is
//!   header    a copy that has been checked: what it says, and opening it
//!   draft     a new header, or a changed one, to be written
//!   plan      in which order it is written
//! ```

mod draft;
mod geometry;
mod header;
pub mod plan;
mod probe;
mod raw;

pub use draft::{Draft, DraftError, NewVolume, SlotSecret};
pub use geometry::{DATA_OFFSET, Geometry, GeometryError, MAX_VOLUME_BYTES, copy_b_offset};
pub(crate) use header::MAPPED;
pub use header::{ForeignStage, Header, Problem, Slot, SlotKind};
pub use probe::{Copy, CopyRead, Damage, OtherCopy, Probe, Second, probe, read_second};
pub use raw::{COPY_BYTES, LABEL_BYTES, RawHeader, RawSlot, SLOTS};
