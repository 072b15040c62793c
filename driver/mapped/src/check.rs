//! Checking: every page, every chunk, every count, compared with every other.

use alloc::{vec, vec::Vec};

use crate::{
    Volume,
    cache::{PageKey, Tree},
    disk::Disk,
    leaf::{self, Entry, MAP_ENTRIES, TABLE_ENTRIES},
    read::open,
    recover::{OpenError, read_unaligned},
    units::{Address, BLOCK, Block, Chunk, Segment},
};

/// Problems that a report names; more are counted.
const NAMED: usize = 1000;
/// Chunks whose references are counted in one pass over the map: a quarter of a gigabyte of memory.
const PASS: u64 = 64 << 20;

/// Something that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A page of the map is damaged: so many blocks from this one on cannot be read.
    MapPage(Block, u64),
    /// A page of the table is damaged: so many chunks from this one on.
    TablePage(Chunk, u64),
    /// A block leads to a chunk that does not exist.
    NoChunk(Block, Chunk),
    /// A chunk cannot be read, or is not what was stored.
    Damaged(Chunk),
    /// A block whose chunk is damaged.
    Lost(Block),
    /// The table counts so many references to a chunk, the map has so many.
    References(Chunk, u32, u32),
    /// So many bytes are said to be live in a segment; so many are.
    Live(Segment, u32, u32),
    /// So many chunks are said to exist; so many do.
    Chunks(u64, u64),
    /// So many blocks are said to be mapped; so many are.
    Mapped(u64, u64),
}

/// What checking has found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Blocks that are mapped.
    pub blocks: u64,
    /// Chunks that were read and compared with their tags.
    pub chunks: u64,
    /// Problems.
    pub problems: u64,
    /// The first of them.
    pub named: Vec<Problem>,
}

impl Report {
    fn add(&mut self, problem: Problem) {
        self.problems += 1;
        if self.named.len() < NAMED {
            self.named.push(problem);
        }
    }
}

impl Volume {
    /// Verifies everything that is stored. No request may be under way. `progress` is told how many chunks of how many
    /// have been read.
    ///
    /// # Errors
    /// Memory has run out; what is damaged is in the report.
    pub fn check(
        &mut self,
        disk: &mut dyn Disk,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Report, OpenError> {
        let mut report = Report::default();
        let mut live = vec![0u32; self.layout.segments as usize];
        let mut damaged = Vec::new();
        let mut exist = 0;
        let mut first = 0;
        loop {
            let count = PASS.min(self.table_size - first);
            let mut references = vec![0u32; count as usize];
            self.count_references(disk, first, &mut references, &mut report)?;
            for leaf in first / TABLE_ENTRIES..(first + count).div_ceil(TABLE_ENTRIES) {
                let range =
                    (leaf * TABLE_ENTRIES).max(first)..((leaf + 1) * TABLE_ENTRIES).min(first + count);
                let key = PageKey::new(Tree::Table, 0, leaf);
                let Some(frame) = self.page_or_none(disk, key)? else {
                    report.add(Problem::TablePage(Chunk(range.start), range.end - range.start));
                    continue;
                };
                let page = *self.cache.page(frame);
                for chunk in range.map(Chunk) {
                    let counted = references[(chunk.0 - first) as usize];
                    let entry = leaf::table(&page, chunk.0 % TABLE_ENTRIES);
                    let said = entry.map_or(0, |entry| entry.references);
                    if said != counted {
                        report.add(Problem::References(chunk, said, counted));
                    }
                    let Some(entry) = entry else { continue };
                    exist += 1;
                    if let Some(segment) = self.layout.segment_of(entry.place.address) {
                        let live = &mut live[segment.0 as usize];
                        *live = live.saturating_add(u32::from(entry.place.length));
                    }
                    report.chunks += 1;
                    if !self.chunk_is_whole(disk, &entry) {
                        report.add(Problem::Damaged(chunk));
                        damaged.push(chunk);
                    }
                }
                progress(report.chunks, self.chunks);
            }
            first += count;
            if first >= self.table_size {
                break;
            }
        }
        self.compare_counts(&mut report, &live, exist);
        if !damaged.is_empty() {
            self.find_lost(disk, &damaged, &mut report)?;
        }
        Ok(report)
    }

    fn compare_counts(&self, report: &mut Report, live: &[u32], exist: u64) {
        for (segment, &found) in (0..).map(Segment).zip(live) {
            let said = self.space.live_in(segment);
            if !self.space.holds_pages(segment) && said != found {
                report.add(Problem::Live(segment, said, found));
            }
        }
        if exist != self.chunks {
            report.add(Problem::Chunks(self.chunks, exist));
        }
        if report.blocks != self.mapped {
            report.add(Problem::Mapped(self.mapped, report.blocks));
        }
    }

    /// A page, or `None` if it is damaged.
    fn page_or_none(
        &mut self,
        disk: &mut dyn Disk,
        key: PageKey,
    ) -> Result<Option<crate::cache::FrameId>, OpenError> {
        self.bad_pages.clear();
        match self.pump(disk, |volume| volume.page(key)) {
            Ok(frame) => Ok(Some(frame)),
            Err(OpenError::Page) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Walks the map's leaves. `see` is shown each block that is mapped.
    fn walk_map(
        &mut self,
        disk: &mut dyn Disk,
        report: &mut Report,
        mut see: impl FnMut(&mut Report, Block, Chunk),
    ) -> Result<(), OpenError> {
        for leaf in 0..self.layout.blocks.div_ceil(MAP_ENTRIES) {
            let key = PageKey::new(Tree::Map, 0, leaf);
            let cached = self.cache.find(key).is_some();
            let reference = self.pump(disk, |volume| volume.reference(key));
            if !cached && reference.is_ok_and(|reference| reference.address == Address(0)) {
                continue;
            }
            let start = leaf * MAP_ENTRIES;
            let entries = MAP_ENTRIES.min(self.layout.blocks - start);
            let Some(frame) = self.page_or_none(disk, key)? else {
                report.add(Problem::MapPage(Block(start), entries));
                continue;
            };
            for entry in 0..entries {
                if let Some(chunk) = leaf::map(self.cache.page(frame), entry) {
                    see(report, Block(start + entry), chunk);
                }
            }
        }
        Ok(())
    }

    fn count_references(
        &mut self,
        disk: &mut dyn Disk,
        first: u64,
        references: &mut [u32],
        report: &mut Report,
    ) -> Result<(), OpenError> {
        let size = self.table_size;
        self.walk_map(disk, report, |report, block, chunk| {
            if first == 0 {
                report.blocks += 1;
                if chunk.0 >= size {
                    report.add(Problem::NoChunk(block, chunk));
                }
            }
            let index = chunk.0.checked_sub(first).and_then(|index| references.get_mut(index as usize));
            if let Some(count) = index {
                *count += 1;
            }
        })
    }

    fn chunk_is_whole(&mut self, disk: &mut dyn Disk, entry: &Entry) -> bool {
        let length = usize::from(entry.place.length);
        let Ok(mut bytes) = read_unaligned(disk, &self.layout, entry.place.address.0, length) else {
            return false;
        };
        open(&self.sealer, &mut self.decompressor, entry, &mut bytes, &mut self.scratch[..BLOCK])
    }

    /// Names the blocks that lead to damaged chunks.
    fn find_lost(
        &mut self,
        disk: &mut dyn Disk,
        damaged: &[Chunk],
        report: &mut Report,
    ) -> Result<(), OpenError> {
        self.walk_map(disk, report, |report, block, chunk| {
            if damaged.binary_search(&chunk).is_ok() {
                report.add(Problem::Lost(block));
            }
        })
    }
}
