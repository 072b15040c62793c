//! Repairing: the journal goes on in a leaf of the map that is damaged.
//!
//! Its records say what some blocks of the leaf hold now. What the others held, nobody knows any more: they are marked as lost
//! ([`Chunk::LOST`]), and then the records are applied as always. But that a chunk lost its last reference when such a block
//! was written, the table is not told: such a chunk is still there, until `repair` counts references. Meanwhile it may not be in
//! the way of what the volume did after it was gone. It gave its number to another chunk: then the record that stores that one
//! says so. It filled the chunk's place with something else: then a frame mentions an extent there. Either ends it.
//!
//! This holds as well when another opening has replayed half of the journal, so it is always done when repairing. Of a volume
//! that is whole it finds nothing.

use alloc::vec::Vec;

use crate::{
    Volume,
    cache::PageKey,
    check::Problem,
    disk::Disk,
    leaf::{self, MAP_ENTRIES},
    memory::list,
    pages::of_block,
    rebuild::Accounts,
    record::Record,
    recover::{Found, OpenError, frame_at},
    units::{Address, Block, Chunk},
};

/// Chunks that lie, or will lie when the cleaner has moved them, where some frame has written.
#[derive(Default)]
pub(crate) struct Overwritten {
    /// Extents that frames speak of, in order: from, to before.
    extents: Vec<(u64, u64)>,
    /// In order, after [`Self::sort`].
    chunks: Vec<(u64, Chunk)>,
}

impl Overwritten {
    /// A chunk lies there.
    pub(crate) fn see(&mut self, chunk: Chunk, address: Address) -> Result<(), OpenError> {
        let before = self.extents.partition_point(|(from, _)| *from <= address.0);
        let last = before.checked_sub(1).and_then(|last| self.extents.get(last));
        if last.is_some_and(|(_, to)| address.0 < *to) {
            self.chunks.try_reserve(1).map_err(|_| OpenError::NoMemory)?;
            self.chunks.push((address.0, chunk));
        }
        Ok(())
    }

    /// All have been seen.
    pub(crate) fn sort(&mut self) {
        self.chunks.sort_unstable();
    }

    fn between(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, Chunk)> + '_ {
        let first = self.chunks.partition_point(|(at, _)| *at < from);
        self.chunks.iter().skip(first).take_while(move |(at, _)| *at < to).copied()
    }
}

impl Volume {
    /// Where the frames have written, and what the cleaner has moved there. What else lies there, the table says.
    pub(crate) fn find_overwritten(
        &self,
        disk: &mut dyn Disk,
        frames: &[Found],
    ) -> Result<Overwritten, OpenError> {
        let mentions = || frames.iter().flat_map(|frame| frame.mentions.iter().flatten());
        let mut found =
            Overwritten { extents: list(mentions().count()).ok_or(OpenError::NoMemory)?, chunks: Vec::new() };
        found.extents.extend(mentions().map(|one| (one.address.0, one.address.0 + u64::from(one.bytes))));
        found.extents.sort_unstable();
        for frame in frames {
            let frame = frame_at(disk, &self.layout, &self.sealer, frame.at)?.ok_or(OpenError::Device)?;
            for record in frame.records() {
                if let Record::Move { chunk, address } = record {
                    found.see(chunk, address)?;
                }
            }
        }
        Ok(found)
    }

    /// A frame is about to be applied: what lay where its extents lie is gone.
    pub(crate) fn drop_overwritten(
        &mut self,
        disk: &mut dyn Disk,
        frame: &Found,
        overwritten: &Overwritten,
    ) -> Result<(), OpenError> {
        for mention in frame.mentions.iter().flatten() {
            let from = mention.address.0;
            for (address, chunk) in overwritten.between(from, from + u64::from(mention.bytes)) {
                let entry = self.pump(disk, |volume| volume.entry(chunk))?;
                if entry.is_some_and(|entry| entry.place.address == Address(address)) {
                    self.pump(disk, |volume| volume.drop_chunk(chunk))?;
                }
            }
        }
        Ok(())
    }

    /// A record is about to be applied: what is in its way although the volume was not in its way.
    pub(crate) fn make_way(
        &mut self,
        disk: &mut dyn Disk,
        record: &Record,
        accounts: &mut Accounts,
    ) -> Result<(), OpenError> {
        let block = match *record {
            Record::Hole { block } | Record::Share { block, .. } => block,
            Record::Store { block, chunk, .. } => {
                self.pump(disk, |volume| volume.drop_chunk(chunk))?;
                block
            }
            Record::Move { .. } => return Ok(()),
        };
        let (leaf, _) = of_block(block);
        if block.0 < self.layout.blocks && self.page_or_none(disk, leaf)?.is_none() {
            self.lose_leaf(leaf, accounts)?;
        }
        Ok(())
    }

    /// Marks every block of a leaf as lost: in memory, until the next checkpoint.
    fn lose_leaf(&mut self, leaf: PageKey, accounts: &mut Accounts) -> Result<(), OpenError> {
        let first = leaf.index() * MAP_ENTRIES;
        let entries = MAP_ENTRIES.min(accounts.blocks.saturating_sub(first));
        let frame = self.replace_page(leaf)?;
        let page = self.cache.page_mut(frame);
        (0..entries).for_each(|entry| leaf::set_map(page, entry, Some(Chunk::LOST)));
        accounts.found.add(Problem::MapLost(Block(first), entries));
        Ok(())
    }
}
