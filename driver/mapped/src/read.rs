//! Reading: blocks looked up, neighbours on the device read together, everything checked.

use alloc::vec::Vec;

use crate::{
    Volume,
    codec::Decompressor,
    engine::{IoKind, Stop},
    io::{Buffer, DeviceError, DeviceOp, Error},
    layout::Layout,
    leaf::{self, Entry, MAP_ENTRIES},
    limits::{EXTENT, PIECES, RUNS},
    mutants::Mutant,
    operation::{Op, What},
    pages::of_block,
    seal::{Domain, Sealer},
    units::{Address, BLOCK, Block, Kind, Segment},
};

/// Bytes between two chunks that are read along rather than read apart.
const GAP: u64 = 4096;
/// How often a block is looked up again when what lies there is not what it should be: the cleaner may have moved it.
const TRIES: u8 = 3;

/// A block, and the chunk of it that is read.
pub(crate) type Piece = (u64, Entry);

/// A device read for a request, and what is in it.
#[derive(Debug)]
pub(crate) struct Run {
    slot: u32,
    /// First byte read.
    base: u64,
    /// Behind the last byte wanted.
    end: u64,
    pieces: Vec<Piece>,
}

impl Run {
    /// Whether it reads in a segment.
    pub(crate) fn touches(&self, layout: &Layout, segment: Segment) -> bool {
        let start = layout.segment_start(segment).0;
        self.base < start + layout.segment_bytes && start < self.end
    }

    fn push(&mut self, block: u64, entry: Entry) {
        self.end = span(&entry).1;
        self.pieces.push((block, entry));
    }

    fn takes(&self, entry: &Entry) -> bool {
        let (start, end) = span(entry);
        let near = start >= self.end && start - self.end <= GAP && end - self.base <= EXTENT as u64;
        near && self.pieces.len() < PIECES
    }
}

fn span(entry: &Entry) -> (u64, u64) {
    let start = entry.place.address.0;
    (start, start + u64::from(entry.place.length))
}

impl Volume {
    /// The chunk of a block, as the table knows it; `None` if it is a hole.
    pub(crate) fn look_up(&mut self, block: Block) -> Result<Option<Entry>, Stop> {
        match self.mapped_to(block)? {
            None => Ok(None),
            // A map that leads to no chunk is damage.
            Some(chunk) => self.entry(chunk)?.map(Some).ok_or(Stop::Failed(Error::Medium)),
        }
    }

    /// Says which blocks hold data, a leaf of the map at a time.
    pub(crate) fn step_status(&mut self, op: &mut Op) -> Result<(), Stop> {
        while op.at < op.end {
            self.cache.begin_step();
            let (key, entry) = of_block(Block(op.at));
            let last = MAP_ENTRIES.min(entry + op.end - op.at);
            let absent = self.cache.find(key).is_none() && self.reference(key)?.address == Address(0);
            let page = if absent { None } else { Some(self.page(key)?) };
            let What::Status { buffer } = &mut op.what else { return Err(Stop::Failed(Error::Range)) };
            let from = (op.at - op.first) as usize;
            let places = buffer.iter_mut().skip(from).zip(entry..last);
            for (place, entry) in places {
                let data = page.is_some_and(|frame| leaf::map(self.cache.page(frame), entry).is_some());
                *place = u8::from(data);
            }
            op.at += last - entry;
        }
        Ok(())
    }

    pub(crate) fn step_read(&mut self, op: &mut Op, slot: u32) -> Result<(), Stop> {
        loop {
            let mut run = None;
            let stopped = self.look_up_blocks(op, slot, &mut run);
            if let Some(run) = run {
                self.send(op, run)?;
            }
            stopped?;
            if op.outstanding > 0 {
                return Err(Stop::Parked);
            }
            if !op.again {
                return Ok(());
            }
            op.again = false;
            op.tries += 1;
            if op.tries > TRIES {
                return Err(Stop::Failed(Error::Medium));
            }
            op.at = op.first;
        }
    }

    fn look_up_blocks(&mut self, op: &mut Op, slot: u32, run: &mut Option<Run>) -> Result<(), Stop> {
        while op.at < op.end {
            if op.outstanding as usize >= RUNS {
                return Err(Stop::Parked);
            }
            self.cache.begin_step();
            let block = op.at;
            match self.look_up(Block(block))? {
                None => target(op, block).fill(0),
                Some(entry) if self.decode_in_memory(op, block, &entry) => {}
                Some(entry) => {
                    if let Some(full) = run.take_if(|run| !run.takes(&entry)) {
                        self.send(op, full)?;
                    }
                    let begun = match run.take() {
                        Some(run) => run,
                        None => self.begin_run(slot, &entry)?,
                    };
                    run.insert(begun).push(block, entry);
                }
            }
            op.at = block + 1;
        }
        Ok(())
    }

    /// A device read that begins with a chunk, and holds none yet.
    fn begin_run(&mut self, slot: u32, entry: &Entry) -> Result<Run, Stop> {
        let sector = u64::from(self.layout.sector);
        let (start, _) = span(entry);
        let pieces = self.spare.pieces.pop().ok_or(Stop::Event)?;
        Ok(Run { slot, base: start / sector * sector, end: start, pieces })
    }

    fn end_run(&mut self, mut run: Run) {
        run.pieces.clear();
        self.spare.pieces.push(run.pieces);
    }

    /// Issues a read; without memory for it, the request goes back to its first block.
    fn send(&mut self, op: &mut Op, run: Run) -> Result<(), Stop> {
        let length = self.layout.round_up((run.end - run.base) as usize);
        let small = self.small.first().is_some_and(|buffer| buffer.len() >= length);
        let buffer = if small { self.small.pop() } else { self.large.pop() };
        let Some(buffer) = buffer else {
            op.at = run.pieces.first().map_or(op.first, |piece| piece.0);
            self.end_run(run);
            return Err(Stop::Event);
        };
        op.outstanding += 1;
        let read = DeviceOp::Read { offset: run.base, length, buffer };
        self.issue(IoKind::Run(run), read);
        Ok(())
    }

    pub(crate) fn run_came(&mut self, run: Run, result: Result<(), DeviceError>, buffer: Option<Buffer>) {
        let slot = run.slot;
        let Some(mut op) = self.ops[slot as usize].take() else { return self.end_run(run) };
        op.outstanding -= 1;
        op.again |= result.is_err() || buffer.is_none();
        if let Some(mut buffer) = buffer {
            for (block, entry) in &run.pieces {
                let at = (entry.place.address.0 - run.base) as usize;
                let bytes = &mut buffer[at..at + usize::from(entry.place.length)];
                if result.is_err() || !self.decode(&mut op, *block, entry, bytes) {
                    op.again = true;
                    // Whoever writes the same again, because it cannot be read, must not be led here.
                    if op.tries == TRIES {
                        self.found_damaged(Block(*block), entry);
                    }
                }
            }
            if buffer.len() > EXTENT { self.large.push(buffer) } else { self.small.push(buffer) }
        }
        self.ops[slot as usize] = Some(op);
        self.end_run(run);
        self.ready.push(slot);
    }

    fn decode_in_memory(&mut self, op: &mut Op, block: u64, entry: &Entry) -> bool {
        let length = usize::from(entry.place.length);
        let mut copy = core::mem::take(&mut self.copy);
        let good = match self.in_memory(entry.place.address, length) {
            Some(bytes) => {
                copy[..length].copy_from_slice(bytes);
                self.decode(op, block, entry, &mut copy[..length])
            }
            None => false,
        };
        self.copy = copy;
        good
    }

    /// Opens a chunk into the part of the request that wants it; `false` if it is not what it should be.
    fn decode(&mut self, op: &mut Op, block: u64, entry: &Entry, bytes: &mut [u8]) -> bool {
        let (from, to) = if matches!(op.what, What::Read { .. }) { op.part(block) } else { (0, BLOCK) };
        let target = target(op, block);
        if target.len() == BLOCK {
            let good = open(&self.sealer, &mut self.decompressor, entry, bytes, target);
            return good || self.errs(Mutant::ChunkUnchecked);
        }
        let good = open(&self.sealer, &mut self.decompressor, entry, bytes, &mut self.scratch[..BLOCK]);
        if good {
            target.copy_from_slice(&self.scratch[from..to]);
        }
        good
    }

    /// The contents of the block that a write covers in part, into `op.merged`.
    pub(crate) fn fetch(&mut self, op: &mut Op, slot: u32) -> Result<(), Stop> {
        if op.outstanding > 0 {
            return Err(Stop::Parked);
        }
        if core::mem::take(&mut op.again) {
            op.tries += 1;
            if op.tries > TRIES {
                return Err(Stop::Failed(Error::Medium));
            }
        } else if op.fetched {
            op.fetched = false;
            op.merged = op.fetching.take();
            return Ok(());
        }
        let entry = self.look_up(Block(op.at))?;
        if op.fetching.is_none() {
            op.fetching = Some(self.spare.merged.pop().ok_or(Stop::Event)?);
        }
        let Some(entry) = entry else {
            op.merged = op.fetching.take();
            op.merged.iter_mut().for_each(|block| block.fill(0));
            return Ok(());
        };
        let block = op.at;
        if self.decode_in_memory(op, block, &entry) {
            op.merged = op.fetching.take();
            return Ok(());
        }
        let mut run = self.begin_run(slot, &entry)?;
        run.push(block, entry);
        let at = op.at;
        let sent = self.send(op, run);
        op.at = at;
        sent?;
        op.fetched = true;
        Err(Stop::Parked)
    }
}

/// Where a block's bytes go: the read's buffer, or the block a write puts together.
fn target(op: &mut Op, block: u64) -> &mut [u8] {
    let (from, to) = op.part(block);
    let at = op.buffer_at(block);
    match (&mut op.what, &mut op.fetching) {
        (What::Read { buffer }, _) => &mut buffer[at..at + to - from],
        (_, Some(fetching)) => &mut fetching[..],
        _ => &mut [],
    }
}

/// Decrypts, decompresses and checks a chunk. `out` has 4096 bytes; it is not to be used if the answer is `false`.
pub(crate) fn open(
    sealer: &Sealer,
    decompressor: &mut Decompressor,
    entry: &Entry,
    bytes: &mut [u8],
    out: &mut [u8],
) -> bool {
    let Ok(out) = <&mut [u8; BLOCK]>::try_from(out) else { return false };
    sealer.open(&entry.tag, bytes);
    let whole = match entry.place.kind {
        Kind::Plain if bytes.len() == out.len() => {
            out.copy_from_slice(bytes);
            true
        }
        Kind::Plain => false,
        Kind::Zstd => decompressor.decompress(bytes, out).is_ok(),
    };
    let good = whole && sealer.matches(&entry.tag, Domain::Chunk, 0, &[out]);
    if !good {
        // What was not checked is not shown to anybody.
        out.fill(0);
    }
    good
}
