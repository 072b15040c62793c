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
pub(crate) const PASS: u64 = 64 << 20;

/// Something that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A page of the map is damaged: so many blocks from this one on cannot be read.
    MapPage(Block, u64),
    /// A page of the map was damaged in which the journal goes on: of so many blocks from this one on, those are lost of which
    /// the journal says nothing. Only repairing meets one.
    MapLost(Block, u64),
    /// A page of the table is damaged: so many chunks from this one on.
    TablePage(Chunk, u64),
    /// A block leads to a chunk that does not exist.
    NoChunk(Block, Chunk),
    /// A chunk cannot be read, or is not what was stored.
    Damaged(Chunk),
    /// A block whose chunk is damaged, or of which nobody knows where its chunk lies, or which chunk it was.
    Lost(Block),
    /// The table counts so many references to a chunk, the map has so many.
    References(Chunk, u32, u32),
    /// So many bytes are said to be live in a segment; so many are.
    Live(Segment, u32, u32),
    /// So many chunks are said to exist; so many do.
    Chunks(u64, u64),
    /// So many blocks are said to be mapped; so many are.
    Mapped(u64, u64),
    /// A page of the space tree was damaged: its level, and its number there. Only repairing meets one.
    SpacePage(u8, u64),
    /// The list of segments that hold pages was damaged. Only repairing meets it.
    List,
    /// A block leads to this number, which no chunk had: no other chunk gets it now.
    Kept(Chunk),
    /// A block led to this number behind the end of the table, which a chunk would have got one day: it is marked as lost now.
    Stray(Block, Chunk),
    /// A chunk was damaged, and its blocks lead to another now, which has the same contents.
    Twin(Chunk, Chunk),
}

/// What checking has found, or repairing has put right.
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

/// What has been found so far.
#[derive(Default)]
struct Found {
    report: Report,
    /// Live bytes of each segment, counted.
    live: Vec<u32>,
    /// Chunks that exist.
    exist: u64,
    /// Chunks that are not what was stored, and chunks that do not exist and to which a block leads. In order.
    damaged: Vec<Chunk>,
    missing: Vec<Chunk>,
    /// Leaves of the table that are damaged, in order.
    leaves: Vec<u64>,
}

impl Report {
    pub(crate) fn add(&mut self, problem: Problem) {
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
        progress: impl FnMut(u64, u64),
    ) -> Result<Report, OpenError> {
        self.examine(disk, None, progress).map(|(report, _)| report)
    }

    /// The same, and which chunks are damaged. If that is `known`, no chunk is read.
    pub(crate) fn examine(
        &mut self,
        disk: &mut dyn Disk,
        known: Option<&[Chunk]>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(Report, Vec<Chunk>), OpenError> {
        let mut found = Found { live: vec![0u32; self.layout.segments as usize], ..Found::default() };
        let mut first = 0;
        loop {
            let count = PASS.min(self.table_size - first);
            let mut references = vec![0u32; count as usize];
            // What is wrong with the map is told once.
            let mut again = Report::default();
            let report = if first == 0 { &mut found.report } else { &mut again };
            self.count_references(disk, first, &mut references, report)?;
            for leaf in first / TABLE_ENTRIES..(first + count).div_ceil(TABLE_ENTRIES) {
                let range =
                    (leaf * TABLE_ENTRIES).max(first)..((leaf + 1) * TABLE_ENTRIES).min(first + count);
                let key = PageKey::new(Tree::Table, 0, leaf);
                let Some(frame) = self.page_or_none(disk, key)? else {
                    found.report.add(Problem::TablePage(Chunk(range.start), range.end - range.start));
                    found.leaves.push(leaf);
                    continue;
                };
                let page = *self.cache.page(frame);
                for chunk in range.map(Chunk) {
                    let counted = references[(chunk.0 - first) as usize];
                    match leaf::table(&page, chunk.0 % TABLE_ENTRIES) {
                        Some(entry) => self.examine_chunk(disk, chunk, &entry, counted, known, &mut found),
                        None if counted > 0 => found.missing.push(chunk),
                        None => {}
                    }
                }
                progress(found.report.chunks, self.chunks);
            }
            first += count;
            if first >= self.table_size {
                break;
            }
        }
        self.compare_counts(&mut found);
        if !(found.damaged.is_empty() && found.missing.is_empty() && found.leaves.is_empty()) {
            self.find_lost(disk, &mut found)?;
        }
        Ok((found.report, found.damaged))
    }

    fn examine_chunk(
        &mut self,
        disk: &mut dyn Disk,
        chunk: Chunk,
        entry: &Entry,
        counted: u32,
        known: Option<&[Chunk]>,
        found: &mut Found,
    ) {
        if entry.references != counted {
            found.report.add(Problem::References(chunk, entry.references, counted));
        }
        found.exist += 1;
        if let Some(segment) = self.layout.segment_of(entry.place.address) {
            let live = &mut found.live[segment.0 as usize];
            *live = live.saturating_add(u32::from(entry.place.length));
        }
        found.report.chunks += 1;
        let whole = match known {
            Some(damaged) => damaged.binary_search(&chunk).is_err(),
            None => self.chunk_is_whole(disk, entry),
        };
        if !whole {
            found.report.add(Problem::Damaged(chunk));
            found.damaged.push(chunk);
        }
    }

    fn compare_counts(&self, found: &mut Found) {
        let Found { report, live, exist, .. } = found;
        let exist = *exist;
        for (segment, &found) in (0..).map(Segment).zip(&*live) {
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
    pub(crate) fn page_or_none(
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

    /// Walks the map's leaves. `see` is shown each block that is mapped. Answers how many leaves are damaged.
    pub(crate) fn walk_map(
        &mut self,
        disk: &mut dyn Disk,
        report: &mut Report,
        mut see: impl FnMut(&mut Report, Block, Chunk),
    ) -> Result<u64, OpenError> {
        let mut damaged = 0;
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
                damaged += 1;
                continue;
            };
            for entry in 0..entries {
                if let Some(chunk) = leaf::map(self.cache.page(frame), entry) {
                    see(report, Block(start + entry), chunk);
                }
            }
        }
        Ok(damaged)
    }

    /// Counts what leads to each chunk from `first` on. Answers how many leaves of the map are damaged, and, if that is the first
    /// of all, how many blocks lead behind the table.
    pub(crate) fn count_references(
        &mut self,
        disk: &mut dyn Disk,
        first: u64,
        references: &mut [u32],
        report: &mut Report,
    ) -> Result<(u64, u64), OpenError> {
        let (size, mut strays) = (self.table_size, 0);
        let damaged = self.walk_map(disk, report, |report, block, chunk| {
            if first == 0 {
                report.blocks += 1;
                if chunk == Chunk::LOST {
                    report.add(Problem::Lost(block));
                } else if chunk.0 >= size {
                    strays += 1;
                    report.add(Problem::NoChunk(block, chunk));
                }
            }
            let index = chunk.0.checked_sub(first).and_then(|index| references.get_mut(index as usize));
            if let Some(count) = index {
                // What the volume counts ends there; only what somebody has made has more.
                *count = count.saturating_add(1);
            }
        })?;
        Ok((damaged, strays))
    }

    pub(crate) fn chunk_is_whole(&mut self, disk: &mut dyn Disk, entry: &Entry) -> bool {
        let length = usize::from(entry.place.length);
        let Ok(mut bytes) = read_unaligned(disk, &self.layout, entry.place.address.0, length) else {
            return false;
        };
        open(&self.sealer, &mut self.decompressor, entry, &mut bytes, &mut self.scratch[..BLOCK])
    }

    /// Names the blocks that lead to damaged chunks, to ones of which nothing is known, or to none.
    fn find_lost(&mut self, disk: &mut dyn Disk, found: &mut Found) -> Result<(), OpenError> {
        let Found { report, damaged, missing, leaves, .. } = found;
        let size = self.table_size;
        // What is wrong with the map itself is in the report already.
        self.walk_map(disk, &mut Report::default(), |_, block, chunk| {
            let unknown = chunk.0 < size && leaves.binary_search(&(chunk.0 / TABLE_ENTRIES)).is_ok();
            if unknown || damaged.binary_search(&chunk).is_ok() {
                report.add(Problem::Lost(block));
            }
            if missing.binary_search(&chunk).is_ok() {
                report.add(Problem::NoChunk(block, chunk));
            }
        })?;
        Ok(())
    }
}
