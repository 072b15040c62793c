//! The cleaner: empties the segment with the fewest live bytes, so that it can be filled again.

use alloc::boxed::Box;

use sluice_chain::try_box;

use crate::{
    Volume,
    cache::PageKey,
    engine::{IoKind, Stop, Stream},
    extent::{Cursor, Holds, Parsed},
    io::{Buffer, DeviceError, DeviceOp},
    limits::{AHEAD, CLEANED_MOST, CLEANED_SHARE, PAGE_SEGMENTS_PERCENT, RESERVE_SEGMENTS},
    mutants::Mutant,
    record::Record,
    units::{Address, Chunk, Segment},
};

/// Items that are looked at before others have their turn.
const TURN: usize = 64;

/// A segment that is being cleaned.
pub(crate) struct Cleaning {
    segment: Segment,
    /// Its bytes; `None` while they are read.
    bytes: Option<Buffer>,
    unreadable: bool,
    /// Where the next extent begins.
    at: usize,
    /// Of the first extent: others belong to an earlier filling.
    generation: Option<u64>,
    /// The extent being worked on, where it begins, and the next of its items.
    extent: Parsed,
    start: usize,
    next: Cursor,
    pages: bool,
}

impl Cleaning {
    /// The memory for one. `None` when it has run out.
    pub(crate) fn none() -> Option<Box<Self>> {
        try_box(Self {
            segment: Segment(0),
            bytes: None,
            unreadable: false,
            at: 0,
            generation: None,
            extent: Parsed::empty()?,
            start: 0,
            next: Cursor::default(),
            pages: false,
        })
    }

    /// Nothing of `segment` has been looked at.
    fn begin(&mut self, segment: Segment) {
        self.segment = segment;
        (self.bytes, self.unreadable, self.generation, self.pages) = (None, false, None, false);
        (self.at, self.start, self.next) = (0, 0, Cursor::default());
    }
}

impl Volume {
    fn wants_cleaning(&self) -> bool {
        let ahead = (self.layout.segments as usize / CLEANED_SHARE).clamp(AHEAD, CLEANED_MOST);
        self.space.free() + self.space.dead() < self.space.reserve() + ahead
    }

    /// Whether segments with few pages are to become fewer, although there is room.
    fn wants_fewer_pages(&self) -> bool {
        self.space.pages_exceed(PAGE_SEGMENTS_PERCENT)
    }

    /// Goes on with cleaning, or begins; whether anything moved.
    pub(crate) fn step_cleaner(&mut self) -> bool {
        if self.failed || self.recovering {
            return false;
        }
        let Some(mut cleaning) = self.cleaning.take() else {
            let wanted = self.wants_cleaning() || self.compacting > 0 || self.wants_fewer_pages();
            return wanted && self.begin_cleaning();
        };
        if cleaning.bytes.is_none() && !cleaning.unreadable {
            self.cleaning = Some(cleaning);
            return false;
        }
        let before = (cleaning.at, cleaning.next);
        match self.clean(&mut cleaning) {
            Ok(()) => {
                self.end_cleaning(cleaning);
                true
            }
            Err(_) => {
                let moved = before != (cleaning.at, cleaning.next);
                self.cleaning = Some(cleaning);
                moved
            }
        }
    }

    fn begin_cleaning(&mut self) -> bool {
        // What is read from the device must be there: also the pages of a checkpoint.
        let for_pages = !self.wants_cleaning() && self.compacting == 0;
        let busy = |segment| {
            if for_pages && !self.space.holds_pages(segment) {
                return true;
            }
            let checkpoint = self.checkpoint.is_some() && self.space.holds_pages(segment);
            checkpoint || self.is_on_its_way(segment)
        };
        let mistaken = if self.errs(Mutant::CleanedTooSoon) {
            self.space.victim(|segment| !self.is_on_its_way(segment))
        } else {
            None
        };
        let best = self.space.victim(|segment| self.is_on_its_way(segment));
        let short = self.space.free() <= self.space.reserve() - RESERVE_SEGMENTS / 2;
        if short && best.is_some_and(busy) {
            // Better than any other, as soon as the checkpoint is done.
            return false;
        }
        let victim = mistaken.or_else(|| self.space.victim(busy));
        let needed = for_pages || self.wants_cleaning();
        let Some(segment) = victim.filter(|&one| needed || self.space.is_sparse(one)) else {
            return core::mem::take(&mut self.compacting) > 0;
        };
        if self.segment_buffer.is_none() {
            return false;
        }
        let Some(mut cleaning) = self.spare.cleaning.take() else { return false };
        let Some(buffer) = self.segment_buffer.take() else { return false };
        self.space.pinned = Some(segment);
        let offset = self.layout.segment_start(segment).0;
        let read = DeviceOp::Read { offset, length: self.layout.segment_bytes as usize, buffer };
        self.issue(IoKind::Clean, read);
        cleaning.begin(segment);
        self.compacting = self.compacting.saturating_sub(1);
        self.cleaner_stuck = None;
        self.cleaning = Some(cleaning);
        true
    }

    pub(crate) fn segment_came(&mut self, result: Result<(), DeviceError>, buffer: Option<Buffer>) {
        if let Some(cleaning) = &mut self.cleaning {
            cleaning.unreadable = result.is_err() || buffer.is_none();
            cleaning.bytes = buffer;
        }
    }

    fn clean(&mut self, cleaning: &mut Cleaning) -> Result<(), Stop> {
        let Some(bytes) = cleaning.bytes.take() else { return Ok(()) };
        let result = self.clean_bytes(cleaning, &bytes);
        cleaning.bytes = Some(bytes);
        result
    }

    fn clean_bytes(&mut self, cleaning: &mut Cleaning, bytes: &[u8]) -> Result<(), Stop> {
        if cleaning.unreadable {
            return Ok(());
        }
        let mut turn = TURN;
        loop {
            let (mut ahead, start) = (cleaning.next, cleaning.start);
            while let Some(item) = cleaning.extent.next(&mut ahead) {
                if turn == 0 {
                    return Err(Stop::Yield);
                }
                turn -= 1;
                self.cache.begin_step();
                let address =
                    Address(self.layout.segment_start(cleaning.segment).0 + (start + item.at) as u64);
                let moved = match cleaning.extent.holds {
                    Holds::Chunks => {
                        let at = start + item.at;
                        self.move_chunk(Chunk(item.number), address, &bytes[at..at + item.length])
                    }
                    Holds::Pages => match PageKey::from_raw(item.number) {
                        Some(key) => self.move_page(key, address),
                        None => Ok(()),
                    },
                    // The next checkpoint writes another.
                    Holds::List => Ok(()),
                };
                match moved {
                    // What leads there cannot be read: it stays, and so does the segment.
                    Ok(()) | Err(Stop::Failed(crate::io::Error::Medium | crate::io::Error::Range)) => {}
                    Err(stop) => return Err(stop),
                }
                cleaning.next = ahead;
            }
            if !self.next_extent(cleaning, bytes) {
                return Ok(());
            }
        }
    }

    /// Parses the next extent; `false` if there is none.
    fn next_extent(&mut self, cleaning: &mut Cleaning, bytes: &[u8]) -> bool {
        let start = cleaning.at;
        let address = Address(self.layout.segment_start(cleaning.segment).0 + start as u64);
        let rest = bytes.get(start..self.layout.segment_bytes as usize).unwrap_or(&[]);
        let extent = &mut cleaning.extent;
        if extent.read(&self.sealer, address, rest, self.layout.sector as usize).is_none()
            || extent.generation != *cleaning.generation.get_or_insert(extent.generation)
        {
            return false;
        }
        cleaning.pages |= extent.holds != Holds::Chunks;
        cleaning.at = start + extent.total;
        (cleaning.start, cleaning.next) = (start, extent.start());
        true
    }

    fn move_chunk(&mut self, chunk: Chunk, from: Address, bytes: &[u8]) -> Result<(), Stop> {
        if chunk.0 >= self.table_size {
            return Ok(());
        }
        let Some(entry) = self.entry(chunk)? else { return Ok(()) };
        if entry.place.address != from || usize::from(entry.place.length) != bytes.len() {
            return Ok(());
        }
        self.throttle_leaving(0)?;
        self.room_for_chunk(Stream::Cleaned)?;
        let extent = self.gathering.extents[Stream::Cleaned as usize].as_ref().ok_or(Stop::Event)?;
        let record = Record::Move { chunk, address: extent.next() };
        self.reach(&record)?;
        let extent = self.gathering.extents[Stream::Cleaned as usize].as_mut().ok_or(Stop::Event)?;
        // Sealed already: its ciphertext does not depend on the place.
        extent.push(chunk.0, bytes).ok_or(Stop::Event)?;
        self.change(&record)?;
        if !self.errs(Mutant::MoveNotRecorded) {
            record.encode(&mut self.gathering.records);
        }
        self.stats.cleaned += bytes.len() as u64;
        Ok(())
    }

    fn end_cleaning(&mut self, mut cleaning: Box<Cleaning>) {
        let (segment, pages) = (cleaning.segment, cleaning.pages);
        self.space.pinned = None;
        self.segment_buffer = cleaning.bytes.take();
        self.spare.cleaning = Some(cleaning);
        if self.space.live_in(segment) > 0 {
            // Pages leave with the next checkpoint. Chunks that stayed are damaged.
            self.space.set_stuck(segment);
            self.pages_leave |= pages;
        }
        self.stats.segments_cleaned += 1;
    }
}
