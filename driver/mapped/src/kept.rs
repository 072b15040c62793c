//! The index of de-duplication is kept while the volume is closed: a volume that is opened again soon knows what it holds.
//!
//! It lies behind the journal, in pieces of 64 KiB, piece *n* at `n` * 64 KiB:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 16 | tag of the rest; the context is *n* |
//! | 16 | 8 | number of the root record for which it is complete, or 0 |
//! | 24 | 8 | buckets of the whole index |
//! | 32 | 32 | zeros |
//! | 64 | | buckets from number *n* * 1023 on, sealed |
//!
//! Nothing is done for its safety, since nothing depends on it: each entry is a hint. A piece that is not there, is
//! damaged, or of an index of another size is passed over. If all pieces are of the root record that the volume is opened
//! with, and there was nothing to replay, the index is what it was. Otherwise it learns the whole table once more.

use alloc::sync::Arc;

use crate::{
    Volume,
    cache::{PageKey, Tree},
    engine::{IoKind, Stop},
    index::BUCKET_BYTES,
    io::{Buffer, DeviceError, DeviceOp},
    leaf::{self, TABLE_ENTRIES},
    operation::Op,
    seal::{Domain, Sealer},
    units::{Chunk, Tag},
};

/// Bytes of a piece: no more than the smallest segment, and so than any buffer for extents.
pub(crate) const PIECE: usize = 64 * 1024;
const HEADER: usize = BUCKET_BYTES;
/// Buckets of a piece.
const BUCKETS: usize = (PIECE - HEADER) / BUCKET_BYTES;
/// Pieces on their way at once.
const AT_ONCE: u32 = 4;

/// Bytes on the disk that keep an index of `index_bytes` bytes.
#[must_use]
pub fn area(index_bytes: u64) -> u64 {
    (index_bytes / BUCKET_BYTES as u64).div_ceil(BUCKETS as u64).saturating_mul(PIECE as u64)
}

/// A piece that is whole.
pub(crate) struct Piece<'a> {
    /// Which root record it is complete for, or 0.
    pub(crate) complete_for: u64,
    /// Buckets of the whole index.
    pub(crate) buckets: u64,
    /// Those that lie in it.
    pub(crate) held: &'a [u8],
}

/// Opens piece `number`, in place. `None` if it is damaged.
pub(crate) fn open_piece<'a>(sealer: &Sealer, number: u64, bytes: &'a mut [u8]) -> Option<Piece<'a>> {
    let tag = Tag(bytes.first_chunk().copied()?);
    sealer.open(&tag, bytes.get_mut(HEADER..)?);
    if !sealer.matches(&tag, Domain::Index, number, &[bytes.get(16..)?]) {
        return None;
    }
    let bytes = &*bytes;
    let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    Some(Piece { complete_for: number(16)?, buckets: number(24)?, held: bytes.get(HEADER..)? })
}

/// What the index is learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learning {
    /// Pieces from `next` on, with so many on their way. They are complete if all so far were of root record `of`.
    Kept { next: u64, left: u32, of: Option<u64> },
    /// The table, from this leaf on.
    Table(u64),
    /// Nothing: it knows what it has room for.
    Nothing,
}

impl Volume {
    /// What to learn after opening. `root`: the number of the root record that the kept index must be of.
    pub(crate) fn learn_after(&self, root: Option<u64>) -> Learning {
        match (self.options.index_bytes, self.pieces()) {
            (0, _) => Learning::Nothing,
            (_, 0) => Learning::Table(0),
            _ => Learning::Kept { next: 0, left: 0, of: root },
        }
    }

    /// Pieces that are kept: none if they do not fit.
    fn pieces(&self) -> u64 {
        let area = area((self.index.buckets() * BUCKET_BYTES) as u64);
        if self.options.index_bytes == 0 || area > self.layout.index_area { 0 } else { area / PIECE as u64 }
    }

    fn piece_at(&self, piece: u64) -> u64 {
        self.layout.index_start() + piece * PIECE as u64
    }

    /// Learns a little more; whether anything moved.
    pub(crate) fn step_learning(&mut self) -> bool {
        match self.learning {
            Learning::Kept { next, left, of } => self.fetch_piece(next, left, of),
            Learning::Table(leaf) => self.learn_leaf(leaf),
            Learning::Nothing => false,
        }
    }

    fn fetch_piece(&mut self, next: u64, left: u32, of: Option<u64>) -> bool {
        if next == self.pieces() {
            if left == 0 {
                self.learning = if of.is_some() { Learning::Nothing } else { Learning::Table(0) };
            }
            return left == 0;
        }
        if left == AT_ONCE {
            return false;
        }
        let Some(buffer) = self.large.pop() else { return false };
        self.issue(
            IoKind::KeptPiece(next),
            DeviceOp::Read { offset: self.piece_at(next), length: PIECE, buffer },
        );
        self.learning = Learning::Kept { next: next + 1, left: left + 1, of };
        true
    }

    /// A piece has been read.
    pub(crate) fn piece_came(&mut self, piece: u64, result: Result<(), DeviceError>, buffer: Option<Buffer>) {
        let mut complete_for = None;
        if let Some(mut buffer) = buffer {
            if result.is_ok() {
                complete_for = self.take_piece(piece, &mut buffer[..PIECE]);
            }
            self.large.push(buffer);
        }
        if let Learning::Kept { left, of, .. } = &mut self.learning {
            *left -= 1;
            *of = of.filter(|of| complete_for == Some(*of));
        }
    }

    /// Opens a piece into the index. Answers which root record it is complete for.
    fn take_piece(&mut self, piece: u64, bytes: &mut [u8]) -> Option<u64> {
        let found = open_piece(&self.sealer, piece, bytes)?;
        if found.buckets != self.index.buckets() as u64 {
            return None;
        }
        self.index.restore(piece as usize * BUCKETS, found.held);
        Some(found.complete_for)
    }

    /// The tags of a leaf of the table.
    fn learn_leaf(&mut self, leaf: u64) -> bool {
        if leaf * TABLE_ENTRIES >= self.table_size {
            self.learning = Learning::Nothing;
            return false;
        }
        self.cache.begin_step();
        match self.page(PageKey::new(Tree::Table, 0, leaf)) {
            Ok(frame) => {
                for entry in 0..TABLE_ENTRIES {
                    if let Some(found) = leaf::table(self.cache.page(frame), entry) {
                        self.index.insert(&found.tag, Chunk(leaf * TABLE_ENTRIES + entry));
                    }
                }
            }
            // What cannot be read is not shared; whoever reads its blocks learns of the damage.
            Err(Stop::Failed(_)) => {}
            Err(_) => return false,
        }
        self.learning = Learning::Table(leaf + 1);
        true
    }

    /// Makes a checkpoint, and then keeps the index.
    pub(crate) fn step_close(&mut self, op: &mut Op, slot: u32) -> Result<(), Stop> {
        self.step_wait_for_checkpoint(op)?;
        let pieces = if self.failed { 0 } else { self.pieces() };
        while op.at < pieces {
            if op.outstanding == AT_ONCE {
                return Err(Stop::Parked);
            }
            let data = self.extent_buffers.pop().ok_or(Stop::Event)?;
            let data = self.fill_piece(op.at, data).ok_or(Stop::Parked)?;
            let write = DeviceOp::Write { offset: self.piece_at(op.at), length: PIECE, data: data.clone() };
            self.issue(IoKind::Keep(slot, data), write);
            op.at += 1;
            op.outstanding += 1;
        }
        if op.outstanding > 0 {
            return Err(Stop::Parked);
        }
        // One flush for all of them; one that is under way may have come too early.
        if pieces > 0 && !op.fetched {
            if !self.flushing {
                self.flush_device();
                op.fetched = true;
            }
            return Err(Stop::Event);
        }
        if pieces > 0 && self.flushing { Err(Stop::Event) } else { Ok(()) }
    }

    fn fill_piece(&self, piece: u64, mut data: Arc<[u8]>) -> Option<Arc<[u8]>> {
        let bytes = Arc::get_mut(&mut data)?.get_mut(..PIECE)?;
        bytes.fill(0);
        self.index.keep(piece as usize * BUCKETS, &mut bytes[HEADER..]);
        let complete_for = if self.learning == Learning::Nothing { self.root_number } else { 0 };
        bytes[16..24].copy_from_slice(&complete_for.to_le_bytes());
        bytes[24..32].copy_from_slice(&(self.index.buckets() as u64).to_le_bytes());
        let tag = self.sealer.tag(Domain::Index, piece, &[&bytes[16..]]);
        bytes[..16].copy_from_slice(&tag.0);
        self.sealer.seal(&tag, &mut bytes[HEADER..]);
        Some(data)
    }

    /// A piece has been written. If not, nothing is lost but the next opening's time.
    pub(crate) fn piece_kept(&mut self, slot: u32, data: Arc<[u8]>) {
        self.extent_buffers.push(data);
        if let Some(op) = self.ops[slot as usize].as_mut() {
            op.outstanding -= 1;
        }
        self.ready.push(slot);
    }
}
