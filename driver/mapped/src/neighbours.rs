//! What was written together is found together: when a block is found, the index learns its chunk's neighbours in the table,
//! which it may have forgotten. Blocks that were written one after the other got numbers one after the other, so the block
//! that comes next is probably among them.
//!
//! Only an index that is too small for all chunks needs it. The next leaf is fetched before it is wanted; a block that is
//! not found while it is on its way waits for it.

use alloc::vec::Vec;

use crate::{
    Volume,
    cache::{PageKey, Tree},
    engine::Stop,
    leaf::{self, TABLE_ENTRIES},
    limits::{NEIGHBOURS, OPS},
    memory::list,
    units::Chunk,
};

/// Leaves that are fetched before they are wanted: requests that follow each other are under way together.
const AHEAD: usize = 4;
/// When so much of the index has been displaced since a leaf was noted, it is noted again.
const STALE: u64 = 8;

/// Which leaves of the table have been noted lately.
pub(crate) struct Neighbours {
    /// The leaf, and how much had been displaced then. A leaf has one place.
    noted: Vec<(u64, u64)>,
    /// Leaves that are being fetched, for as many requests as are under way.
    coming: Vec<u64>,
}

impl Neighbours {
    /// None. `None` when memory has run out.
    pub(crate) fn new() -> Option<Self> {
        let mut noted = list(NEIGHBOURS)?;
        noted.resize(NEIGHBOURS, (u64::MAX, 0));
        Some(Self { noted, coming: list(OPS)? })
    }
}

impl Volume {
    /// A block was found to be this chunk.
    pub(crate) fn found_beside(&mut self, chunk: Chunk) {
        if self.index.displaced() == 0 {
            return;
        }
        let leaf = chunk.0 / TABLE_ENTRIES;
        if self.is_news(leaf) && self.note(leaf).is_err() {
            return;
        }
        let end = self.table_size.div_ceil(TABLE_ENTRIES);
        for next in (leaf + 1..end).take(AHEAD) {
            let coming = &self.neighbours.coming;
            if coming.len() == OPS || coming.contains(&next) || !self.is_news(next) {
                continue;
            }
            if matches!(self.note(next), Err(Stop::Page(_))) {
                self.neighbours.coming.push(next);
            }
        }
    }

    /// A block was not found. Whether it is worth another look: a leaf that was fetched has come.
    ///
    /// # Errors
    /// One is still on its way.
    pub(crate) fn more_is_known(&mut self) -> Result<bool, Stop> {
        let (mut more, mut awaited, mut at) = (false, None, 0);
        while let Some(leaf) = self.neighbours.coming.get(at) {
            match self.note(*leaf) {
                Err(stop @ Stop::Page(_)) => {
                    awaited = Some(stop);
                    at += 1;
                }
                other => {
                    more |= other.is_ok();
                    self.neighbours.coming.swap_remove(at);
                }
            }
        }
        match awaited {
            Some(stop) if !more => Err(stop),
            _ => Ok(more),
        }
    }

    fn is_news(&self, leaf: u64) -> bool {
        let (noted, then) = self.neighbours.noted[leaf as usize % NEIGHBOURS];
        let turned_over = (self.index.displaced() - then) * STALE > self.index.capacity() as u64;
        noted != leaf || turned_over
    }

    /// The index learns a leaf's tags.
    fn note(&mut self, leaf: u64) -> Result<(), Stop> {
        let frame = match self.page(key(leaf)) {
            Ok(frame) => frame,
            Err(stop) => {
                if matches!(stop, Stop::Failed(_)) {
                    self.set_noted(leaf);
                }
                return Err(stop);
            }
        };
        self.set_noted(leaf);
        for entry in 0..TABLE_ENTRIES {
            if let Some(found) = leaf::table(self.cache.page(frame), entry) {
                self.index.insert(&found.tag, Chunk(leaf * TABLE_ENTRIES + entry));
            }
        }
        Ok(())
    }

    fn set_noted(&mut self, leaf: u64) {
        self.neighbours.noted[leaf as usize % NEIGHBOURS] = (leaf, self.index.displaced());
    }
}

fn key(leaf: u64) -> PageKey {
    PageKey::new(Tree::Table, 0, leaf)
}
