//! Volumes: what a header and a key become when a disk is unlocked.

mod in_place;

pub use in_place::InPlace;
