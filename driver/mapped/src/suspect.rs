//! Chunks that have been found damaged: by a read that failed, or while repairing.
//!
//! The table marks them, and no other block is led to one that is marked. Who writes the same contents again, because they could
//! not be read, gets a chunk that is whole. What blocks lead to the old one stays as it is, until they are written, or repairing
//! finds the twin. There is no record of a mark in the journal: a crash before the next checkpoint forgets it, as it forgets that
//! somebody has read.

use crate::{
    Volume,
    disk::Disk,
    engine::Stop,
    leaf::Entry,
    limits::SUSPECTS,
    recover::OpenError,
    units::{Block, Chunk},
};

impl Volume {
    /// A block's chunk is not what was stored, or cannot be read.
    pub(crate) fn found_damaged(&mut self, block: Block, entry: &Entry) {
        if self.is_suspect(entry) {
            return;
        }
        if self.suspects.len() < SUSPECTS {
            self.suspects.push_back((block, *entry));
        } else {
            self.index.forget(&entry.tag);
        }
    }

    /// Whether a chunk has been found damaged.
    pub(crate) fn is_suspect(&self, entry: &Entry) -> bool {
        entry.suspect || self.suspects.iter().any(|(_, one)| one.tag == entry.tag && one.place == entry.place)
    }

    /// Marks what has been found; whether anything moved.
    pub(crate) fn step_suspects(&mut self) -> bool {
        let before = self.suspects.len();
        while let Some((block, entry)) = self.suspects.front().copied() {
            self.cache.begin_step();
            let stop = self.mark_block(block, &entry);
            if matches!(stop, Err(Stop::Page(_) | Stop::Event)) && !self.failed {
                break;
            }
            self.suspects.pop_front();
        }
        self.suspects.len() < before
    }

    fn mark_block(&mut self, block: Block, found: &Entry) -> Result<(), Stop> {
        let Some(chunk) = self.mapped_to(block)? else { return Ok(()) };
        match self.entry(chunk)? {
            Some(entry) if entry.tag == found.tag && entry.place == found.place => {
                self.throttle_leaving(0)?;
                self.mark(chunk, entry)
            }
            // It was written meanwhile, or moved.
            _ => {
                self.index.forget(&found.tag);
                Ok(())
            }
        }
    }

    fn mark(&mut self, chunk: Chunk, entry: Entry) -> Result<(), Stop> {
        self.index.remove(&entry.tag, chunk);
        self.set_entry(chunk, Some(Entry { suspect: true, ..entry }))
    }

    /// Marks all of them, in the next checkpoint. Answers whether there was any to be marked.
    pub(crate) fn mark_damaged(&mut self, disk: &mut dyn Disk, damaged: &[Chunk]) -> Result<bool, OpenError> {
        let mut any = false;
        for &chunk in damaged {
            let entry = self.pump(disk, |volume| volume.entry(chunk))?;
            if let Some(entry) = entry.filter(|entry| !entry.suspect) {
                self.make_room(disk)?;
                self.pump(disk, |volume| volume.mark(chunk, entry))?;
                any = true;
            }
        }
        Ok(any)
    }
}
