//! Volumes: what a header and a key become when a disk is unlocked.

mod in_place;
mod mapped;

pub use in_place::InPlace;
pub use mapped::Mapped;
pub(crate) use mapped::{ENCRYPT, PLACE};

/// What kind of volume a header describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every sector has its fixed place; sizes stay.
    InPlace(InPlace),
    /// Blocks are found by a map: de-duplicated, compressed, thin.
    Mapped(Mapped),
}
