//! Repairing: what can be derived from what is whole is made to say that, and nothing else is touched.
//!
//! | wrong | what is right is known because | and so |
//! |---|---|---|
//! | space tree, list of page segments, live bytes | table and trees say what lives where | done by [`Volume::open_rebuilding`] |
//! | a chunk's references | the map says who refers to it | the table says what was counted |
//! | totals | they were counted | they become that |
//! | a block leads to a number that no chunk has | it is not in the table | no new chunk may get the number: it is taken |
//! | a block leads behind the end of the table | there is no chunk | it is marked as lost ([`crate::stray`]) |
//! | a chunk, of which the table has another with the same tag that is whole | equal tags, equal blocks | its blocks share the other |
//!
//! The map is what says which block holds what; the counts in the table only save asking all of it. That holds as long as all
//! of it can be read. A leaf that is damaged may have held any reference, so then a count is a lower bound: references are
//! raised to it, since too few would free a chunk that somebody needs, and never lowered, and no chunk is freed. Too many
//! only keep a chunk that nobody needs.
//!
//! What is repaired goes to the disk in checkpoints like any other change: until a root record leads to it, the old one
//! leads to what it always did. Counts have no records in the journal. So the space of a chunk that is freed for want of
//! references may not be filled before a checkpoint has said so, and neither cleaner nor reuse run meanwhile.
//!
//! What cannot be repaired stays and is reported: chunks of which there is no other, pages of map and table, and blocks whose
//! chunk does not exist.

use alloc::vec::Vec;

use crate::{
    Volume,
    cache::{PageKey, Tree},
    check::{PASS, Problem, Report},
    disk::Disk,
    engine::Stop,
    leaf::{self, Entry, TABLE_ENTRIES},
    memory::list,
    pages::{of_chunk, of_segment},
    record::Record,
    recover::OpenError,
    units::{Block, Chunk, Kind, Place, Segment, Tag},
};

/// Blocks that are led to other chunks after one pass over the map: 24 MiB of memory.
const BATCH: usize = 1 << 20;
/// Records between two looks at whether frames and checkpoints are due: fewer than fill the smallest frame.
const TURN: usize = 128;

/// A damaged chunk and the whole one with the same tag.
struct Twin {
    tag: [u8; 16],
    damaged: Chunk,
    whole: Option<Chunk>,
}

/// What has been counted in the table so far.
#[derive(Default)]
struct Counts {
    /// Chunks that were there, that were freed, and numbers that were taken.
    exist: u64,
    freed: u64,
    kept: u64,
    /// Every page of the map, of the table, could be read.
    whole: bool,
    all_read: bool,
    /// Where the numbers that were taken count as live.
    segment: Option<Segment>,
}

impl Volume {
    /// Repairs what can be, and verifies everything that is stored. Only for a volume from [`Self::open_rebuilding`],
    /// whose report `repaired` is: more is added to it. No request may be under way. `progress` is told how many chunks of
    /// how many have been read. Answers what is still wrong.
    ///
    /// # Errors
    /// Memory or space have run out, or the device cannot write. What was repaired before is.
    pub fn repair(
        &mut self,
        disk: &mut dyn Disk,
        repaired: &mut Report,
        progress: impl FnMut(u64, u64),
    ) -> Result<Report, OpenError> {
        // No cleaner, and nothing filled again without a checkpoint: a freed chunk has no record that says so.
        self.recovering = true;
        let counted = self.repair_counts(disk, repaired);
        self.recovering = false;
        counted?;
        let (report, damaged) = self.examine(disk, None, progress)?;
        let marked = self.mark_damaged(disk, &damaged)?;
        let twins = self.find_twins(disk, &damaged)?;
        if twins.is_empty() {
            if marked {
                self.checkpoint_now(disk)?;
            }
            return Ok(report);
        }
        self.lead_to_twins(disk, &twins, repaired)?;
        self.examine(disk, Some(&damaged), |_, _| {}).map(|(report, _)| report)
    }

    fn repair_counts(&mut self, disk: &mut dyn Disk, repaired: &mut Report) -> Result<(), OpenError> {
        let mut counts = Counts { all_read: true, ..Counts::default() };
        let (before, said_to_exist) = (repaired.problems, self.chunks);
        let (mut first, mut strays) = (0, 0);
        loop {
            let count = PASS.min(self.table_size - first);
            let mut references = list(count as usize).ok_or(OpenError::NoMemory)?;
            references.resize(count as usize, 0u32);
            let mut seen = Report::default();
            let (lost, beyond) = self.count_references(disk, first, &mut references, &mut seen)?;
            counts.whole = lost == 0;
            if first == 0 {
                strays = beyond;
                self.repair_mapped(seen.blocks, counts.whole, repaired);
            }
            for (chunk, counted) in (first..).map(Chunk).zip(references) {
                self.repair_chunk(disk, chunk, counted, &mut counts, repaired)?;
            }
            first += count;
            if first >= self.table_size {
                break;
            }
        }
        if counts.all_read {
            if said_to_exist != counts.exist {
                repaired.add(Problem::Chunks(said_to_exist, counts.exist));
            }
            self.chunks = counts.exist + counts.kept - counts.freed;
        }
        if strays > 0 {
            self.repair_strays(disk, repaired)?;
        }
        if repaired.problems > before { self.checkpoint_now(disk) } else { Ok(()) }
    }

    fn repair_chunk(
        &mut self,
        disk: &mut dyn Disk,
        chunk: Chunk,
        counted: u32,
        counts: &mut Counts,
        repaired: &mut Report,
    ) -> Result<(), OpenError> {
        if self.page_or_none(disk, of_chunk(chunk).0)?.is_none() {
            counts.all_read = false;
            return Ok(());
        }
        self.make_room(disk)?;
        let Some(entry) = self.pump(disk, |volume| volume.entry(chunk))? else {
            if counted > 0
                && let Some(segment) = self.segment_for_one_more(counts)
            {
                self.pump(disk, |volume| volume.keep_number(chunk, counted, segment))?;
                counts.kept += 1;
                repaired.add(Problem::Kept(chunk));
            }
            return Ok(());
        };
        counts.exist += 1;
        let said = entry.references;
        if said == counted || (said > counted && !counts.whole) {
            return Ok(());
        }
        self.pump(disk, |volume| volume.set_references(chunk, counted))?;
        counts.freed += u64::from(counted == 0);
        repaired.add(Problem::References(chunk, said, counted));
        Ok(())
    }

    /// Has room for two more changed pages.
    pub(crate) fn make_room(&mut self, disk: &mut dyn Disk) -> Result<(), OpenError> {
        if self.cache.dirty() + 2 > self.dirty_most { self.checkpoint_now(disk) } else { Ok(()) }
    }

    /// A segment in which a byte more can be live: the fullest, which the cleaner wants last.
    fn segment_for_one_more(&self, counts: &mut Counts) -> Option<Segment> {
        let has_room = |segment: &Segment| {
            let live = self.space.live_in(*segment);
            !self.space.holds_pages(*segment) && live > 0 && u64::from(live) < self.layout.segment_bytes
        };
        if !counts.segment.as_ref().is_some_and(has_room) {
            let all = (0..self.layout.segments).map(Segment);
            counts.segment = all.filter(has_room).max_by_key(|segment| self.space.live_in(*segment));
        }
        counts.segment
    }

    /// Blocks lead to a number that no chunk has. Whoever got it next would be read in their place, and lose a reference
    /// with each of them that is written: so it is taken, by a chunk that nobody can read, since no such length is stored
    /// plain. Its blocks stay lost, but can be written and discarded, and the number is free again when the last one was.
    fn keep_number(&mut self, chunk: Chunk, references: u32, segment: Segment) -> Result<(), Stop> {
        let (key, at) = of_segment(segment);
        self.page(key)?;
        let place = Place { address: self.layout.segment_start(segment), length: 1, kind: Kind::Plain };
        self.set_entry(chunk, Some(Entry { tag: Tag::default(), place, references, suspect: true }))?;
        let frame = self.page_to_change(key)?;
        self.space.add(segment, 1, false);
        leaf::set_space(self.cache.page_mut(frame), at, self.space.live_in(segment));
        self.chunks = self.chunks.saturating_add(1);
        Ok(())
    }

    /// How many blocks are mapped: what was counted, or at least that.
    fn repair_mapped(&mut self, counted: u64, whole: bool, repaired: &mut Report) {
        if self.mapped < counted || (whole && self.mapped > counted) {
            repaired.add(Problem::Mapped(self.mapped, counted));
            self.mapped = counted;
        }
    }

    /// Has the table say how many references a chunk has; without any, it is freed with the next checkpoint.
    fn set_references(&mut self, chunk: Chunk, references: u32) -> Result<(), Stop> {
        let Some(entry) = self.entry(chunk)? else { return Ok(()) };
        if references > 0 {
            return self.set_entry(chunk, Some(Entry { references, ..entry }));
        }
        // A place outside of all segments was never counted as live.
        let segment = self.layout.segment_of(entry.place.address);
        if let Some(segment) = segment {
            self.page(of_segment(segment).0)?;
        }
        self.set_entry(chunk, None)?;
        self.index.remove(&entry.tag, chunk);
        self.chunks = self.chunks.saturating_sub(1);
        let Some(segment) = segment else { return Ok(()) };
        let (key, at) = of_segment(segment);
        let frame = self.page_to_change(key)?;
        self.space.remove(segment, u32::from(entry.place.length), None);
        leaf::set_space(self.cache.page_mut(frame), at, self.space.live_in(segment));
        Ok(())
    }

    /// Those of the damaged chunks of which the table has another that is whole: in the order of their numbers.
    fn find_twins(&mut self, disk: &mut dyn Disk, damaged: &[Chunk]) -> Result<Vec<Twin>, OpenError> {
        let mut twins: Vec<Twin> = list(damaged.len()).ok_or(OpenError::NoMemory)?;
        for &damaged in damaged {
            if let Some(entry) = self.pump(disk, |volume| volume.entry(damaged))? {
                twins.push(Twin { tag: entry.tag.0, damaged, whole: None });
            }
        }
        if twins.is_empty() {
            return Ok(twins);
        }
        twins.sort_unstable_by_key(|twin| twin.tag);
        for leaf in 0..self.table_size.div_ceil(TABLE_ENTRIES) {
            let first = leaf * TABLE_ENTRIES;
            for chunk in (first..self.table_size.min(first + TABLE_ENTRIES)).map(Chunk) {
                if self.page_or_none(disk, PageKey::new(Tree::Table, 0, leaf))?.is_none() {
                    break;
                }
                let Some(entry) = self.pump(disk, |volume| volume.entry(chunk))? else { continue };
                let from = twins.partition_point(|twin| twin.tag < entry.tag.0);
                let wants =
                    twins.get(from).is_some_and(|twin| twin.tag == entry.tag.0 && twin.whole.is_none());
                if wants && damaged.binary_search(&chunk).is_err() && self.chunk_is_whole(disk, &entry) {
                    let same = twins.iter_mut().skip(from).take_while(|twin| twin.tag == entry.tag.0);
                    same.for_each(|twin| twin.whole = Some(chunk));
                }
            }
        }
        twins.retain(|twin| twin.whole.is_some());
        twins.sort_unstable_by_key(|twin| twin.damaged);
        Ok(twins)
    }

    /// Leads the blocks of damaged chunks to their twins, as if the index had known those when the blocks were written. That
    /// takes no room for data, so a full volume can be repaired too; the damaged chunks go when nobody refers to them.
    fn lead_to_twins(
        &mut self,
        disk: &mut dyn Disk,
        twins: &[Twin],
        repaired: &mut Report,
    ) -> Result<(), OpenError> {
        let mut batch = list(BATCH).ok_or(OpenError::NoMemory)?;
        loop {
            batch.clear();
            self.walk_map(disk, &mut Report::default(), |_, block, chunk| {
                if batch.len() < BATCH
                    && let Ok(at) = twins.binary_search_by_key(&chunk, |twin| twin.damaged)
                    && let Some(whole) = twins.get(at).and_then(|twin| twin.whole)
                {
                    batch.push((block, whole));
                }
            })?;
            let mut led = 0;
            for turn in batch.chunks(TURN) {
                for &(block, chunk) in turn {
                    led += usize::from(self.share(disk, block, chunk)?);
                }
                self.settle_changes(disk)?;
            }
            if batch.len() < BATCH || led == 0 {
                break;
            }
        }
        self.checkpoint_now(disk)?;
        for twin in twins {
            let gone = self.pump(disk, |volume| volume.entry(twin.damaged))?.is_none();
            if let Some(whole) = twin.whole.filter(|_| gone) {
                repaired.add(Problem::Twin(twin.damaged, whole));
            }
        }
        Ok(())
    }

    /// Leads a block to another chunk; `false` if that cannot be recorded.
    fn share(&mut self, disk: &mut dyn Disk, block: Block, chunk: Chunk) -> Result<bool, OpenError> {
        if self.unsettled() + 4 > self.dirty_most {
            self.checkpoint_now(disk)?;
        }
        match self.pump(disk, |volume| volume.log(&Record::Share { block, chunk })) {
            Ok(_) => Ok(true),
            // It has all the references that can be counted, say. The block stays as it is.
            Err(OpenError::Page) if !self.failed => Ok(false),
            Err(OpenError::Page) => Err(OpenError::Device),
            Err(error) => Err(error),
        }
    }

    /// Sends the records gathered so far, and makes whatever checkpoint is due.
    fn settle_changes(&mut self, disk: &mut dyn Disk) -> Result<(), OpenError> {
        self.drive(disk);
        if self.failed { Err(OpenError::Device) } else { Ok(()) }
    }
}
