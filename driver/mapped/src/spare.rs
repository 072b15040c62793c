//! Memory that is taken when a volume is opened, for what may be under way later: whoever begins takes it from here, and
//! gives it back at the end. What finds none waits.

use alloc::{boxed::Box, vec::Vec};

use sluice_chain::try_box;

use crate::{
    cache::FrameId,
    checkpoint::Checkpoint,
    clean::Cleaning,
    limits::{EXTENT, EXTENT_BUFFERS, LARGE, LIST, LISTS, MERGED, OPS, PIECES, SMALL},
    memory::{list, several, zeros},
    operation::Op,
    read::Piece,
    units::BLOCK,
};

/// See above.
pub(crate) struct Spare {
    #[expect(clippy::vec_box, reason = "a request under way does not move")]
    pub(crate) ops: Vec<Box<Op>>,
    /// For blocks that are written in part.
    pub(crate) merged: Vec<Box<[u8]>>,
    /// Lists of the chunks of a device read: one for each buffer, and one to be filled.
    pub(crate) pieces: Vec<Vec<Piece>>,
    /// Lists of the items of an extent.
    pub(crate) lists: Vec<Vec<u8>>,
    /// Lists of the pages in an extent: one for each on its way, and one to be filled.
    pub(crate) pages: Vec<Vec<FrameId>>,
    pub(crate) checkpoint: Option<Box<Checkpoint>>,
    pub(crate) cleaning: Option<Box<Cleaning>>,
}

impl Spare {
    /// `None` when memory has run out.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            ops: several(OPS, || try_box(Op::none()))?,
            merged: several(MERGED, || zeros(BLOCK))?,
            pieces: several(SMALL + LARGE + 1, || list(PIECES))?,
            lists: several(LISTS, || list(LIST))?,
            pages: several(EXTENT_BUFFERS + 1, || list(EXTENT / BLOCK))?,
            checkpoint: Some(Checkpoint::none()?),
            cleaning: Some(Cleaning::none()?),
        })
    }
}
