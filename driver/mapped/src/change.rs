//! Applying a record: the only place where map, table and space change.

use crate::{
    Volume,
    cache::PageKey,
    engine::Stop,
    io::Error,
    leaf::{self, Entry},
    mutants::Mutant,
    pages::{most_chunks, of_block, of_chunk, of_segment},
    record::Record,
    units::{Address, Block, Chunk, Segment},
};

/// Every page that a record changes: at most the map's, two of the table, two of space.
type Pages = [Option<PageKey>; 5];

impl Volume {
    /// The chunk a block's map entry names.
    pub(crate) fn mapped_to(&mut self, block: Block) -> Result<Option<Chunk>, Stop> {
        let (key, entry) = of_block(block);
        let frame = self.page(key)?;
        Ok(leaf::map(self.cache.page(frame), entry))
    }

    /// What the table says about a chunk.
    pub(crate) fn entry(&mut self, chunk: Chunk) -> Result<Option<Entry>, Stop> {
        if chunk.0 >= self.table_size {
            return Ok(None);
        }
        let (key, entry) = of_chunk(chunk);
        let frame = self.page(key)?;
        Ok(leaf::table(self.cache.page(frame), entry))
    }

    fn segment_at(&self, address: Address) -> Result<Segment, Stop> {
        self.layout.segment_of(address).ok_or(Stop::Failed(Error::Medium))
    }

    /// Applies a record, all of it or nothing: it may have to wait for pages first.
    pub(crate) fn change(&mut self, record: &Record) -> Result<(), Stop> {
        self.reach(record)?;
        match *record {
            Record::Hole { block } => self.remap(block, None),
            Record::Share { block, chunk } => {
                self.refer(chunk)?;
                self.remap(block, Some(chunk))
            }
            Record::Store { block, chunk, place, tag } => {
                self.set_entry(chunk, Some(Entry { tag, place, references: 1, suspect: false }))?;
                self.table_size = self.table_size.max(chunk.0 + 1);
                self.cursor = chunk.0 + 1;
                self.chunks = self.chunks.saturating_add(1);
                self.live(self.segment_at(place.address)?, i64::from(place.length))?;
                self.index.insert(&tag, chunk);
                self.remap(block, Some(chunk))
            }
            Record::Move { chunk, address } => {
                let mut entry = self.entry(chunk)?.ok_or(Stop::Failed(Error::Medium))?;
                let length = i64::from(entry.place.length);
                self.live(self.segment_at(entry.place.address)?, -length)?;
                entry.place.address = address;
                self.live(self.segment_at(address)?, length)?;
                self.set_entry(chunk, Some(entry))
            }
        }
    }

    /// Has every page of a record in memory, changeable: what follows in the same step cannot stop.
    pub(crate) fn reach(&mut self, record: &Record) -> Result<(), Stop> {
        let pages = self.pages_of(record)?;
        for key in pages.iter().flatten() {
            self.page(*key)?;
        }
        for key in pages.iter().flatten() {
            self.page_to_change(*key)?;
        }
        Ok(())
    }

    fn pages_of(&mut self, record: &Record) -> Result<Pages, Stop> {
        let mut pages = [None; 5];
        let (block, new) = match *record {
            Record::Hole { block } => (Some(block), None),
            Record::Share { block, chunk } => {
                self.entry(chunk)?.ok_or(Stop::Failed(Error::Medium))?;
                (Some(block), Some(chunk))
            }
            Record::Store { block, chunk, place, .. } => {
                // The table grows by one at a time, and a number in it is free.
                if chunk.0 > self.table_size
                    || chunk.0 >= most_chunks(&self.layout)
                    || self.entry(chunk)?.is_some()
                {
                    return Err(Stop::Failed(Error::Medium));
                }
                pages[4] = Some(of_segment(self.segment_at(place.address)?).0);
                (Some(block), Some(chunk))
            }
            Record::Move { chunk, address } => {
                pages[4] = Some(of_segment(self.segment_at(address)?).0);
                let entry = self.entry(chunk)?.ok_or(Stop::Failed(Error::Medium))?;
                pages[3] = Some(of_segment(self.segment_at(entry.place.address)?).0);
                (None, Some(chunk))
            }
        };
        pages[1] = new.map(|chunk| of_chunk(chunk).0);
        if let Some(block) = block {
            if block.0 >= self.layout.blocks {
                return Err(Stop::Failed(Error::Range));
            }
            pages[0] = Some(of_block(block).0);
            if let Some(old) = self.mapped_to(block)?.filter(|old| *old != Chunk::LOST) {
                pages[2] = Some(of_chunk(old).0);
                let entry = self.entry(old)?.ok_or(Stop::Failed(Error::Medium))?;
                pages[3] = Some(of_segment(self.segment_at(entry.place.address)?).0);
            }
        }
        Ok(pages)
    }

    fn remap(&mut self, block: Block, to: Option<Chunk>) -> Result<(), Stop> {
        let (key, entry) = of_block(block);
        let frame = self.page_to_change(key)?;
        let page = self.cache.page_mut(frame);
        let old = leaf::map(page, entry);
        leaf::set_map(page, entry, to);
        let more = self.mapped.saturating_add(u64::from(to.is_some()));
        self.mapped = more.saturating_sub(u64::from(old.is_some()));
        match old {
            Some(old) => self.release(old),
            None => Ok(()),
        }
    }

    fn refer(&mut self, chunk: Chunk) -> Result<(), Stop> {
        let mut entry = self.entry(chunk)?.ok_or(Stop::Failed(Error::Medium))?;
        if !self.errs(Mutant::ReferenceForgotten) {
            entry.references = entry.references.checked_add(1).ok_or(Stop::Failed(Error::Medium))?;
        }
        self.set_entry(chunk, Some(entry))
    }

    /// A chunk is gone, however many references it is said to have.
    pub(crate) fn drop_chunk(&mut self, chunk: Chunk) -> Result<(), Stop> {
        let Some(entry) = self.entry(chunk)? else { return Ok(()) };
        self.page(of_segment(self.segment_at(entry.place.address)?).0)?;
        self.set_entry(chunk, Some(Entry { references: 1, ..entry }))?;
        self.release(chunk)
    }

    /// One block less leads to a chunk.
    fn release(&mut self, chunk: Chunk) -> Result<(), Stop> {
        if chunk == Chunk::LOST {
            return Ok(());
        }
        let mut entry = self.entry(chunk)?.ok_or(Stop::Failed(Error::Medium))?;
        if !self.errs(Mutant::ReferenceKept) {
            entry.references -= 1;
        }
        if entry.references > 0 {
            return self.set_entry(chunk, Some(entry));
        }
        self.chunks = self.chunks.saturating_sub(1);
        if !self.errs(Mutant::IndexBelieved) {
            self.index.remove(&entry.tag, chunk);
        }
        self.live(self.segment_at(entry.place.address)?, -i64::from(entry.place.length))?;
        self.set_entry(chunk, None)
    }

    pub(crate) fn set_entry(&mut self, chunk: Chunk, to: Option<Entry>) -> Result<(), Stop> {
        let (key, entry) = of_chunk(chunk);
        let frame = self.page_to_change(key)?;
        leaf::set_table(self.cache.page_mut(frame), entry, to);
        Ok(())
    }

    /// So many bytes more, or less, are live in a segment of chunks: in memory and in the tree.
    fn live(&mut self, segment: Segment, bytes: i64) -> Result<(), Stop> {
        // More than it holds, or less than nothing: somebody has made the count, or the place.
        let after = i64::from(self.space.live_in(segment)) + bytes;
        if !(0..=self.layout.segment_bytes as i64).contains(&after) {
            return Err(Stop::Failed(Error::Medium));
        }
        let (key, entry) = of_segment(segment);
        let frame = self.page_to_change(key)?;
        match u32::try_from(bytes) {
            Ok(more) => self.space.add(segment, more, false),
            Err(_) => {
                self.space.remove(segment, bytes.unsigned_abs() as u32, Some(self.lsn));
                if self.errs(Mutant::SegmentFreedEarly) {
                    self.space.checkpoint_begins();
                    self.space.checkpoint_ends();
                }
            }
        }
        leaf::set_space(self.cache.page_mut(frame), entry, self.space.live_in(segment));
        Ok(())
    }
}
