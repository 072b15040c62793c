//! The trees as they lie on the disk: from a key down to its page, and what stands in it.

use alloc::boxed::Box;
use core::ops::ControlFlow;

use super::{Health, Inspector};
use crate::{
    cache::{PageKey, Tree},
    leaf::{self, Entry, FANOUT, MAP_ENTRIES, Page, Ref, SPACE_ENTRIES, TABLE_ENTRIES},
    memory::zeros,
    pages::{most_chunks, of_block, of_chunk, of_segment},
    read,
    recover::read_unaligned,
    seal::Domain,
    units::{Address, BLOCK, Block, Chunk, Segment},
};

/// Names a page: its tree, its level (0 is a leaf), and its number on that level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageName {
    /// The tree.
    pub tree: Tree,
    /// The level.
    pub level: u8,
    /// The number.
    pub index: u64,
}

/// A page, where it lies, and whether it is what was written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLine {
    /// Which.
    pub page: PageName,
    /// What leads there.
    pub at: Ref,
    /// How it was found.
    pub health: Health,
}

/// Why it cannot be said what stands in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// No root record leads to the tree.
    NoRoot,
    /// This page, on the way down or the last one, is not good.
    Page(PageLine),
}

/// What a block, or a run of them, leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapLine {
    /// The first.
    pub block: Block,
    /// How many: more than one only where they are holes or lost.
    pub count: u64,
    /// Where it leads.
    pub what: Mapping,
}

/// See [`MapLine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Nowhere: zeros.
    Hole,
    /// To a chunk, and what the table says of it; `None`: that there is none.
    Chunk(Chunk, Result<Option<Entry>, Loss>),
    /// That is lost.
    Lost(Loss),
}

/// A chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLine {
    /// What the table says; `None`: that there is none of this number.
    pub entry: Result<Option<Entry>, Loss>,
    /// If it says something, whether the chunk's bytes are what was stored.
    pub health: Option<Health>,
}

/// A page in memory.
pub(super) struct Held {
    key: Option<PageKey>,
    at: Ref,
    health: Health,
    bytes: Box<Page>,
}

impl Held {
    pub(super) fn new() -> Option<Self> {
        let bytes = zeros(BLOCK)?.try_into().ok()?;
        Some(Self { key: None, at: Ref::default(), health: Health::Good, bytes })
    }
}

/// Where the way down to a page ends.
enum Way {
    /// There: it is held.
    Page,
    /// On this level, with a null reference: what is below are zeros.
    Null(u8),
}

fn name(key: PageKey) -> PageName {
    PageName { tree: key.tree(), level: key.level(), index: key.index() }
}

/// The first entry that is not below the same page of a level as entry `at`; `leaf`: entries of a leaf.
fn behind(at: u64, leaf: u64, level: u8) -> u64 {
    let span = leaf.saturating_mul(FANOUT.saturating_pow(u32::from(level)));
    (at / span + 1).saturating_mul(span)
}

impl Inspector<'_> {
    /// The way down to a page, each page on it compared with its tag.
    fn way(&mut self, key: PageKey) -> Result<Way, Loss> {
        let Self { disk, layout, sealer, trees, .. } = self;
        let trees = trees.as_mut().map_err(|_| Loss::NoRoot)?;
        let tree = key.tree() as usize;
        let depth = trees.depths[tree];
        for level in (key.level()..depth).rev() {
            let index = key.index() / FANOUT.saturating_pow(u32::from(level - key.level()));
            let one = PageKey::new(key.tree(), level, index);
            let held = &mut trees.held[tree];
            let at = match held.get(usize::from(level) + 1) {
                Some(above) => leaf::child(&above.bytes, index % FANOUT),
                None if index == 0 => trees.root.trees[tree],
                // Beyond what the tree reaches.
                None => Ref::default(),
            };
            if at.address == Address(0) {
                return Ok(Way::Null(level));
            }
            let Some(held) = held.get_mut(usize::from(level)) else { break };
            if held.key != Some(one) {
                (held.key, held.at) = (Some(one), at);
                held.health = if layout.segment_of(at.address).is_none()
                    || !at.address.0.is_multiple_of(u64::from(layout.sector))
                {
                    Health::Damaged
                } else if disk.read(at.address.0, &mut held.bytes[..]).is_err() {
                    Health::Unreadable
                } else {
                    sealer.open(&at.tag, &mut held.bytes[..]);
                    let whole = sealer.matches(&at.tag, Domain::Page, one.raw(), &[&held.bytes[..]]);
                    if whole { Health::Good } else { Health::Damaged }
                };
            }
            if held.health != Health::Good {
                return Err(Loss::Page(PageLine { page: name(one), at: held.at, health: held.health }));
            }
        }
        if key.level() < depth { Ok(Way::Page) } else { Ok(Way::Null(depth)) }
    }

    fn held(&self, tree: Tree, level: u8) -> Option<&Held> {
        self.trees.as_ref().ok()?.held[tree as usize].get(usize::from(level))
    }

    /// What a page is, if something leads to it.
    pub(super) fn page(&mut self, page: PageName) -> Result<Option<PageLine>, Loss> {
        match self.way(PageKey::new(page.tree, page.level, page.index)) {
            Ok(Way::Page) => {
                let held = self.held(page.tree, page.level);
                Ok(held.map(|held| PageLine { page, at: held.at, health: held.health }))
            }
            Ok(Way::Null(_)) => Ok(None),
            Err(Loss::Page(line)) if line.page == page => Ok(Some(line)),
            Err(loss) => Err(loss),
        }
    }

    /// What the table says of a chunk.
    pub(super) fn entry(&mut self, chunk: Chunk) -> Result<Option<Entry>, Loss> {
        if self.trees.as_ref().is_ok_and(|trees| chunk.0 >= trees.root.table_size) {
            return Ok(None);
        }
        let (key, entry) = of_chunk(chunk);
        let Way::Page = self.way(key)? else { return Ok(None) };
        Ok(self.held(Tree::Table, 0).and_then(|held| leaf::table(&held.bytes, entry)))
    }

    /// Live bytes of chunks in a segment, as the space tree says.
    pub(super) fn live(&mut self, segment: Segment) -> Result<u32, Loss> {
        let (key, entry) = of_segment(segment);
        let Way::Page = self.way(key)? else { return Ok(0) };
        Ok(self.held(Tree::Space, 0).map_or(0, |held| leaf::space(&held.bytes, entry)))
    }

    /// Reads a chunk and compares it with its tag. Its plaintext leaves no trace.
    pub(super) fn chunk_health(&mut self, entry: &Entry) -> Health {
        if self.layout.segment_of(entry.place.address).is_none() {
            return Health::Damaged;
        }
        let length = usize::from(entry.place.length);
        let Ok(mut bytes) = read_unaligned(self.disk, &self.layout, entry.place.address.0, length) else {
            return Health::Unreadable;
        };
        let good = read::open(&self.sealer, &mut self.decompressor, entry, &mut bytes, &mut self.scratch);
        self.scratch.fill(0);
        bytes.fill(0);
        if good { Health::Good } else { Health::Damaged }
    }

    /// What the table says of a chunk, and whether that is true.
    pub fn chunk(&mut self, chunk: Chunk) -> ChunkLine {
        let entry = self.entry(chunk);
        let health = match &entry {
            Ok(Some(entry)) => Some(self.chunk_health(entry)),
            _ => None,
        };
        ChunkLine { entry, health }
    }

    /// What the table says of every chunk, each page read once. What is lost is told once, with the first of its chunks.
    pub fn table<B>(
        &mut self,
        mut see: impl FnMut(Chunk, Result<Entry, Loss>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let end = self.trees.as_ref().map_or(0, |trees| trees.root.table_size);
        let mut at = 0;
        while at < end {
            let (key, entry) = of_chunk(Chunk(at));
            at = match self.way(key) {
                Ok(Way::Null(level)) => behind(at, TABLE_ENTRIES, level),
                Ok(Way::Page) => {
                    let found = self.held(Tree::Table, 0).and_then(|held| leaf::table(&held.bytes, entry));
                    if let Some(found) = found {
                        see(Chunk(at), Ok(found))?;
                    }
                    at + 1
                }
                Err(loss @ Loss::Page(line)) => {
                    see(Chunk(at), Err(loss))?;
                    behind(at, TABLE_ENTRIES, line.page.level)
                }
                Err(Loss::NoRoot) => end,
            };
        }
        ControlFlow::Continue(())
    }

    /// Where `count` blocks from `first` on lead.
    pub fn map<B>(
        &mut self,
        first: Block,
        count: u64,
        mut see: impl FnMut(MapLine) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let end = first.0.saturating_add(count).min(self.layout.blocks);
        let (mut at, mut hole) = (first.0, first.0);
        // Holes up to here are one line, told when something else comes.
        let run = |hole: u64, to: u64| MapLine { block: Block(hole), count: to - hole, what: Mapping::Hole };
        while at < end {
            let (key, entry) = of_block(Block(at));
            let (next, what) = match self.way(key) {
                Ok(Way::Null(level)) => (behind(at, MAP_ENTRIES, level), Mapping::Hole),
                Ok(Way::Page) => {
                    let chunk = self.held(Tree::Map, 0).and_then(|held| leaf::map(&held.bytes, entry));
                    (at + 1, chunk.map_or(Mapping::Hole, |chunk| Mapping::Chunk(chunk, self.entry(chunk))))
                }
                Err(loss @ Loss::Page(line)) => {
                    (behind(at, MAP_ENTRIES, line.page.level), Mapping::Lost(loss))
                }
                Err(Loss::NoRoot) => (end, Mapping::Lost(Loss::NoRoot)),
            };
            let next = next.min(end);
            if what != Mapping::Hole {
                if hole < at {
                    see(run(hole, at))?;
                }
                see(MapLine { block: Block(at), count: next - at, what })?;
                hole = next;
            }
            at = next;
        }
        if hole < at { see(run(hole, at)) } else { ControlFlow::Continue(()) }
    }

    /// Every page of a tree, each before those below it. Nothing is below a page that is not good, or without a root record.
    pub fn tree<B>(&mut self, tree: Tree, mut see: impl FnMut(PageLine) -> ControlFlow<B>) -> ControlFlow<B> {
        let Ok(trees) = &self.trees else { return ControlFlow::Continue(()) };
        let (depth, layout) = (trees.depths[tree as usize], trees.layout);
        let leaves = match tree {
            Tree::Map => layout.blocks.div_ceil(MAP_ENTRIES),
            Tree::Table => most_chunks(&layout).div_ceil(TABLE_ENTRIES),
            Tree::Space => u64::from(layout.segments).div_ceil(SPACE_ENTRIES),
        };
        self.walk(PageName { tree, level: depth - 1, index: 0 }, leaves, &mut see)
    }

    /// No deeper than the tree.
    fn walk<B>(
        &mut self,
        page: PageName,
        leaves: u64,
        see: &mut impl FnMut(PageLine) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Ok(Some(line)) = self.page(page) else { return ControlFlow::Continue(()) };
        see(line)?;
        let Some(level) = page.level.checked_sub(1).filter(|_| line.health == Health::Good) else {
            return ControlFlow::Continue(());
        };
        let pages = leaves.div_ceil(FANOUT.saturating_pow(u32::from(level)));
        let first = page.index.saturating_mul(FANOUT);
        for index in first..first.saturating_add(FANOUT).min(pages) {
            self.walk(PageName { tree: page.tree, level, index }, leaves, see)?;
        }
        ControlFlow::Continue(())
    }
}
