//! The trees: from a key to its page, by way of the pages above it.

use crate::{
    Volume,
    cache::{FrameId, PageKey, State, Tree},
    engine::{IoKind, Stop},
    io::{DeviceOp, Error},
    layout::Layout,
    leaf::{self, FANOUT, MAP_ENTRIES, Ref, SPACE_ENTRIES, TABLE_ENTRIES},
    limits::CHUNKS,
    mutants::Mutant,
    units::{Address, BLOCK, Block, Chunk, Segment},
};

/// Where a tree begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TreeRoot {
    pub(crate) root: Ref,
    /// Levels, leaves with them.
    pub(crate) depth: u8,
}

/// Levels of a tree with so many entries.
fn depth(entries: u64, a_leaf: u64) -> u8 {
    let leaves = entries.div_ceil(a_leaf);
    let (mut depth, mut reach) = (1, 1u64);
    while reach < leaves {
        reach = reach.saturating_mul(FANOUT);
        depth += 1;
    }
    depth
}

/// Most chunks of a volume, by its device: as many as chunks of 64 bytes would fill it. Blocks that compress to less than
/// that on average leave room that cannot be used.
pub(crate) fn most_chunks(layout: &Layout) -> u64 {
    (u64::from(layout.segments) * layout.segment_bytes / 64).min(CHUNKS)
}

/// The depths of the three trees.
pub(crate) fn depths(layout: &Layout) -> [u8; 3] {
    [
        depth(layout.blocks, MAP_ENTRIES),
        depth(most_chunks(layout), TABLE_ENTRIES),
        depth(u64::from(layout.segments), SPACE_ENTRIES),
    ]
}

/// Pages that a checkpoint writes at most when so many leaves have changed: those, those above them, and the list of page
/// segments.
pub(crate) fn with_parents(layout: &Layout, leaves: usize) -> usize {
    let all = [
        layout.blocks.div_ceil(MAP_ENTRIES),
        most_chunks(layout).div_ceil(TABLE_ENTRIES),
        u64::from(layout.segments).div_ceil(SPACE_ENTRIES),
    ];
    let (mut pages, mut level) = (leaves as u64 + 1, all);
    while level.iter().any(|count| *count > 1) {
        level = level.map(|count| if count > 1 { count.div_ceil(FANOUT) } else { 0 });
        pages += level.iter().sum::<u64>().min(leaves as u64);
    }
    pages as usize
}

/// The leaf and the entry of a block.
pub(crate) fn of_block(block: Block) -> (PageKey, u64) {
    (PageKey::new(Tree::Map, 0, block.0 / MAP_ENTRIES), block.0 % MAP_ENTRIES)
}

/// The leaf and the entry of a chunk.
pub(crate) fn of_chunk(chunk: Chunk) -> (PageKey, u64) {
    (PageKey::new(Tree::Table, 0, chunk.0 / TABLE_ENTRIES), chunk.0 % TABLE_ENTRIES)
}

/// The leaf and the entry of a segment.
pub(crate) fn of_segment(segment: Segment) -> (PageKey, u64) {
    let index = u64::from(segment.0);
    (PageKey::new(Tree::Space, 0, index / SPACE_ENTRIES), index % SPACE_ENTRIES)
}

/// The page above.
pub(crate) fn parent(key: PageKey) -> (PageKey, u64) {
    (PageKey::new(key.tree(), key.level() + 1, key.index() / FANOUT), key.index() % FANOUT)
}

impl Volume {
    /// What refers to a page now. May have to wait for the page above.
    pub(crate) fn reference(&mut self, key: PageKey) -> Result<Ref, Stop> {
        let tree = self.trees[key.tree() as usize];
        if key.level() + 1 >= tree.depth {
            return Ok(tree.root);
        }
        let (above, entry) = parent(key);
        // No deeper than the tree: seven levels reach 2^40 entries.
        let frame = self.page(above)?;
        Ok(leaf::child(self.cache.page(frame), entry))
    }

    /// A page, read if it is not in memory. The caller waits and asks again.
    pub(crate) fn page(&mut self, key: PageKey) -> Result<FrameId, Stop> {
        if let Some(frame) = self.cache.find(key) {
            return match self.cache.state(frame) {
                State::Loading => Err(Stop::Page(key)),
                _ => Ok(frame),
            };
        }
        if self.bad_pages.contains(&key) {
            return Err(Stop::Failed(Error::Medium));
        }
        let reference = self.reference(key)?;
        if reference.address == Address(0) {
            let frame = self.cache.insert(key, State::Clean).ok_or(Stop::Event)?;
            self.cache.page_mut(frame).fill(0);
            return Ok(frame);
        }
        if self.layout.segment_of(reference.address).is_none() {
            return Err(Stop::Failed(Error::Medium));
        }
        let buffer = self.small.pop().ok_or(Stop::Event)?;
        let Some(frame) = self.cache.insert(key, State::Loading) else {
            self.small.push(buffer);
            return Err(Stop::Event);
        };
        let op = DeviceOp::Read { offset: reference.address.0, length: BLOCK, buffer };
        self.issue(IoKind::Page { frame, tag: reference.tag }, op);
        self.stats.page_reads += 1;
        Err(Stop::Page(key))
    }

    /// A page that may be changed.
    pub(crate) fn page_to_change(&mut self, key: PageKey) -> Result<FrameId, Stop> {
        let frame = self.page(key)?;
        if self.errs(Mutant::FrozenPageChanged) && self.cache.state(frame) == State::Frozen {
            return Ok(frame);
        }
        self.cache.make_dirty(frame).ok_or(Stop::Event)
    }
}
