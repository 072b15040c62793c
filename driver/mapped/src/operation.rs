//! A request under way.

use alloc::{boxed::Box, vec::Vec};

use crate::{
    io::{Done, Error, Request},
    layout::Layout,
    limits,
    units::{BLOCK, Lsn, SECTOR, Tag},
};

/// What is to be done.
pub(crate) enum What {
    Read { buffer: Vec<u8> },
    Write { buffer: Vec<u8>, fua: bool },
    Discard,
    Status { buffer: Vec<u8> },
    Flush,
    Checkpoint,
    Close,
    Compact,
}

/// How far the block that a write is at has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockState {
    /// Its tag, once computed.
    pub(crate) tag: Option<Tag>,
    /// It is written in part, and `Op::merged` holds the whole.
    pub(crate) merged: bool,
}

pub(crate) struct Op {
    pub(crate) user: u64,
    pub(crate) what: What,
    /// In bytes.
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// Blocks touched: from `first` to before `end`.
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) started: bool,
    /// The next block to be worked on.
    pub(crate) at: u64,
    pub(crate) block: BlockState,
    /// A block that is written in part, put together.
    pub(crate) merged: Option<Box<[u8]>>,
    /// The same, on its way from the device, and whether it has been asked for.
    pub(crate) fetching: Option<Box<[u8]>>,
    pub(crate) fetched: bool,
    /// Own device reads under way.
    pub(crate) outstanding: u32,
    /// A read has to look up its blocks again: what it found was not what the table promised. Cleaned meanwhile?
    pub(crate) again: bool,
    pub(crate) tries: u8,
    /// The last frame that speaks of it.
    pub(crate) lsn: Option<Lsn>,
    /// It waits for that frame, or for its durability.
    pub(crate) waits: bool,
    pub(crate) checkpoint: Option<u64>,
    pub(crate) error: Option<Error>,
}

impl Op {
    /// None: the memory for one.
    pub(crate) fn none() -> Self {
        Self {
            user: 0,
            what: What::Flush,
            offset: 0,
            length: 0,
            first: 0,
            end: 0,
            started: false,
            at: 0,
            block: BlockState::default(),
            merged: None,
            fetching: None,
            fetched: false,
            outstanding: 0,
            again: false,
            tries: 0,
            lsn: None,
            waits: false,
            checkpoint: None,
            error: None,
        }
    }

    pub(crate) fn new(user: u64, request: Request, layout: &Layout) -> Result<Self, Done> {
        let volume = layout.blocks * BLOCK as u64;
        let (what, offset, length) = match request {
            Request::Read { offset, buffer } => {
                let length = buffer.len() as u64;
                (What::Read { buffer }, offset, length)
            }
            Request::Write { offset, buffer, fua } => {
                let length = buffer.len() as u64;
                (What::Write { buffer, fua }, offset, length)
            }
            Request::Discard { offset, length } => (What::Discard, offset, length),
            Request::Status { offset, buffer } => {
                let length = (buffer.len() as u64).saturating_mul(BLOCK as u64);
                (What::Status { buffer }, offset, length)
            }
            Request::Flush => (What::Flush, 0, 0),
            Request::Checkpoint => (What::Checkpoint, 0, 0),
            Request::Close => (What::Close, 0, 0),
            Request::Compact => (What::Compact, 0, 0),
        };
        let block = BLOCK as u64;
        let inside = offset.checked_add(length).is_some_and(|end| end <= volume);
        let status = matches!(what, What::Status { .. });
        let grain = if status { block } else { SECTOR as u64 };
        let whole = offset.is_multiple_of(grain) && length.is_multiple_of(grain);
        let short = matches!(what, What::Discard) || status || length <= limits::REQUEST as u64;
        let (first, end) = if matches!(what, What::Discard) {
            // Only whole blocks are forgotten.
            (offset.div_ceil(block), (offset.saturating_add(length) / block).max(offset.div_ceil(block)))
        } else {
            (offset / block, offset.saturating_add(length).div_ceil(block))
        };
        let mut op = Self { user, what, offset, length, first, end, at: first, ..Self::none() };
        if inside && whole && short {
            return Ok(op);
        }
        op.error = Some(Error::Range);
        Err(op.take_done())
    }

    /// Whether it changes blocks.
    pub(crate) fn changes(&self) -> bool {
        matches!(self.what, What::Write { .. } | What::Discard)
    }

    /// What of block `block` it covers: from byte, to byte, within the block.
    pub(crate) fn part(&self, block: u64) -> (usize, usize) {
        let start = block * BLOCK as u64;
        let from = self.offset.saturating_sub(start) as usize;
        let to = (self.offset + self.length - start).min(BLOCK as u64) as usize;
        (from, to)
    }

    /// Where in its buffer the covered part of a block begins.
    pub(crate) fn buffer_at(&self, block: u64) -> usize {
        (block * BLOCK as u64).saturating_sub(self.offset) as usize
    }

    /// Its answer, with its buffer: nothing is left but the memory.
    pub(crate) fn take_done(&mut self) -> Done {
        let buffer = match core::mem::replace(&mut self.what, What::Flush) {
            What::Read { buffer } | What::Write { buffer, .. } | What::Status { buffer } => Some(buffer),
            _ => None,
        };
        Done { user: self.user, result: self.error.map_or(Ok(()), Err), buffer }
    }
}
