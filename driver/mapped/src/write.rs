//! Writing: block by block, each found to be zeros, to exist, or stored.

use crate::{
    Volume,
    engine::{Stop, Stream},
    io::Error,
    leaf::{self, Entry, TABLE_ENTRIES},
    limits::{CHANGED, PAGE_SEGMENTS_FULL_PERCENT},
    mutants::Mutant,
    operation::{BlockState, Op, What},
    pages::{most_chunks, of_block, of_chunk},
    record::Record,
    recover::checkpoint_segments,
    seal::Domain,
    units::{Address, BLOCK, Block, Chunk, Kind, Lsn, Place, Tag},
};

/// Blocks that a request may write before others have their turn.
const TURN: usize = 64;
/// Entries of the index that are looked at for one block.
const CANDIDATES: usize = 4;

impl Volume {
    pub(crate) fn step_write(&mut self, op: &mut Op, slot: u32) -> Result<(), Stop> {
        let mut turn = TURN;
        while op.at < op.end {
            if turn == 0 {
                return Err(Stop::Yield);
            }
            turn -= 1;
            self.cache.begin_step();
            if let Some(lsn) = self.write_block(op, slot)? {
                op.lsn = Some(lsn);
            }
            self.stats.user_written += BLOCK as u64;
            op.at += 1;
            op.block = BlockState::default();
            self.spare.merged.extend(op.merged.take());
        }
        self.arrived(op, slot)
    }

    /// Changes wait while too much of the cache waits for a checkpoint, or as much as there are free segments for.
    pub(crate) fn throttle(&mut self) -> Result<(), Stop> {
        self.throttle_leaving(2)
    }

    /// The same, with so many segments more: none for the cleaner.
    pub(crate) fn throttle_leaving(&mut self, more: usize) -> Result<(), Stop> {
        let unsettled = self.unsettled();
        // With the reserve there is room for a checkpoint of all that may change, and for more than `more`: only below it is
        // there anything to compute.
        let ample = self.space.free() >= self.space.reserve() && unsettled + CHANGED <= self.dirty_most;
        let room = ample
            || more == 0 && unsettled == 0
            || self.space.free() >= checkpoint_segments(&self.layout, unsettled + CHANGED) + more;
        if unsettled >= self.dirty_most || !room {
            // One that is under way may be enough.
            self.checkpoint_wanted |= self.checkpoint.is_none() && unsettled > 0;
            return Err(Stop::Event);
        }
        Ok(())
    }

    /// Whether new data would leave the cleaner too little.
    fn is_full(&self) -> bool {
        let crowded = self.space.pages_exceed(PAGE_SEGMENTS_FULL_PERCENT);
        crowded || self.space.charged() + BLOCK as u64 > self.space.capacity()
    }

    fn write_block(&mut self, op: &mut Op, slot: u32) -> Result<Option<Lsn>, Stop> {
        self.throttle()?;
        let block = Block(op.at);
        let (from, to) = op.part(op.at);
        let at = op.buffer_at(op.at);
        let part = to - from < BLOCK;
        if part && !op.block.merged {
            self.merge(op, slot)?;
        }
        let What::Write { buffer, .. } = &op.what else { return Err(Stop::Failed(Error::Range)) };
        let data = match &op.merged {
            Some(merged) if part => &merged[..],
            _ => &buffer[at..at + BLOCK],
        };
        if is_zero(data) {
            return match self.mapped_to(block)? {
                Some(_) => self.log(&Record::Hole { block }).map(Some),
                None => Ok(None),
            };
        }
        let tag = *op.block.tag.get_or_insert_with(|| self.sealer.tag(Domain::Chunk, 0, &[data]));
        if let Some(chunk) = self.find(&tag)? {
            if self.mapped_to(block)? == Some(chunk) {
                return Ok(None);
            }
            if self.is_full() && self.mapped_to(block)?.is_none() {
                // The map would grow.
                return Err(Stop::Failed(Error::NoSpace));
            }
            self.stats.shared += 1;
            return self.log(&Record::Share { block, chunk }).map(Some);
        }
        self.store(block, tag, data).map(Some)
    }

    /// Puts a block together that is written in part.
    fn merge(&mut self, op: &mut Op, slot: u32) -> Result<(), Stop> {
        if op.merged.is_none() {
            self.fetch(op, slot)?;
        }
        let (from, to) = op.part(op.at);
        let at = op.buffer_at(op.at);
        let What::Write { buffer, .. } = &op.what else { return Err(Stop::Failed(Error::Range)) };
        if let Some(merged) = &mut op.merged {
            if self.errs(Mutant::MergeForgotten) {
                merged.fill(0);
            }
            merged[from..to].copy_from_slice(&buffer[at..at + to - from]);
            op.block.merged = true;
        }
        Ok(())
    }

    /// A chunk with these contents, if the index knows one and the table agrees.
    fn find(&mut self, tag: &Tag) -> Result<Option<Chunk>, Stop> {
        if self.options.index_bytes == 0 {
            return Ok(None);
        }
        let mut found = self.look_for(tag)?;
        if found.is_none() && self.more_is_known()? {
            found = self.look_for(tag)?;
        }
        if let Some(chunk) = found {
            self.found_beside(chunk);
        }
        Ok(found)
    }

    fn look_for(&mut self, tag: &Tag) -> Result<Option<Chunk>, Stop> {
        let mut candidates = [None; CANDIDATES];
        for (slot, chunk) in candidates.iter_mut().zip(self.index.candidates(tag)) {
            *slot = Some(chunk);
        }
        let size = self.table_size;
        for chunk in candidates.into_iter().flatten().filter(|chunk| chunk.0 < size) {
            let entry = match self.entry(chunk) {
                Ok(entry) => entry,
                Err(Stop::Failed(_)) => continue,
                Err(stop) => return Err(stop),
            };
            let believed = self.errs(Mutant::IndexBelieved) && entry.is_some();
            let good =
                |entry: &Entry| entry.tag == *tag && entry.references < u32::MAX && !self.is_suspect(entry);
            if entry.as_ref().is_some_and(good) || believed {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    fn store(&mut self, block: Block, tag: Tag, data: &[u8]) -> Result<Lsn, Stop> {
        // What it replaces counts until it is replaced.
        if self.is_full() {
            return Err(Stop::Failed(Error::NoSpace));
        }
        self.room_for_chunk(Stream::Data)?;
        let chunk = self.free_chunk()?;
        let extent = self.gathering.extents[Stream::Data as usize].as_ref().ok_or(Stop::Event)?;
        let mut place = Place { address: extent.next(), length: BLOCK as u16, kind: Kind::Plain };
        // Everything that might have to wait, before anything is done that costs.
        self.reach(&Record::Store { block, chunk, place, tag })?;
        let whole = <&[u8; BLOCK]>::try_from(data).map_err(|_| Stop::Failed(Error::Range))?;
        let packed =
            self.compressor.as_mut().and_then(|compressor| compressor.compress(whole, &mut self.scratch));
        let bytes = match packed {
            Some(length) => {
                (place.length, place.kind) = (length as u16, Kind::Zstd);
                &self.scratch[..length]
            }
            None => data,
        };
        let extent = self.gathering.extents[Stream::Data as usize].as_mut().ok_or(Stop::Event)?;
        let stored = extent.push(chunk.0, bytes).ok_or(Stop::Event)?;
        self.sealer.seal(&tag, stored);
        self.stats.data_written += u64::from(place.length);
        let record = Record::Store { block, chunk, place, tag };
        self.change(&record)?;
        record.encode(&mut self.gathering.records);
        Ok(self.lsn)
    }

    /// A number for a new chunk: the next free one of the table, which grows when little of it is free.
    fn free_chunk(&mut self) -> Result<Chunk, Stop> {
        loop {
            if self.cursor >= self.table_size {
                let sparse = self.chunks * 4 < self.table_size * 3;
                if sparse || self.table_size >= most_chunks(&self.layout) {
                    if !sparse {
                        return Err(Stop::Failed(Error::NoSpace));
                    }
                    self.cursor = 0;
                } else {
                    return Ok(Chunk(self.table_size));
                }
            }
            let (key, entry) = of_chunk(Chunk(self.cursor));
            let frame = self.page(key)?;
            let page = self.cache.page(frame);
            let first = self.cursor - entry;
            let free = (entry..TABLE_ENTRIES).find(|&entry| leaf::table(page, entry).is_none());
            match free.map(|entry| first + entry) {
                Some(found) if found < self.table_size => return Ok(Chunk(found)),
                Some(_) => self.cursor = self.table_size,
                None => self.cursor = first + TABLE_ENTRIES,
            }
            self.cache.begin_step();
        }
    }

    /// Forgets blocks.
    pub(crate) fn step_discard(&mut self, op: &mut Op, slot: u32) -> Result<(), Stop> {
        let mut turn = TURN;
        while op.at < op.end {
            if turn == 0 {
                return Err(Stop::Yield);
            }
            turn -= 1;
            self.throttle()?;
            self.cache.begin_step();
            let (key, entry) = of_block(Block(op.at));
            let first = op.at - entry;
            if self.cache.find(key).is_none() && self.reference(key)?.address == Address(0) {
                op.at = first + leaf::MAP_ENTRIES;
                continue;
            }
            let frame = self.page(key)?;
            let page = self.cache.page(frame);
            let last = leaf::MAP_ENTRIES.min(op.end - first);
            let Some(found) = (entry..last).find(|&entry| leaf::map(page, entry).is_some()) else {
                op.at = first + leaf::MAP_ENTRIES;
                continue;
            };
            op.at = first + found;
            if !(op.at + 1 == op.end && self.errs(Mutant::DiscardShort)) {
                op.lsn = Some(self.log(&Record::Hole { block: Block(op.at) })?);
            }
            op.at += 1;
        }
        self.arrived(op, slot)
    }
}

fn is_zero(data: &[u8]) -> bool {
    let (words, rest) = data.as_chunks::<16>();
    words.iter().all(|word| *word == [0; 16]) && rest.iter().all(|&byte| byte == 0)
}
