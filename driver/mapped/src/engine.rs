//! The volume: its state, and the loop in which everything happens.
//!
//! Requests and completions come in, [`Volume::run`] steps every request and every background task that can go on, and
//! device I/O and answers come out. A step that lacks something (a page, a buffer, a segment) changes nothing, says
//! what it waits for, and is made again from the start when that has come.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec::Vec};

use crate::{
    cache::{Cache, FrameId, PageKey, State},
    checkpoint::Checkpoint,
    clean::Cleaning,
    codec::{Compressor, Decompressor},
    extent::{Closed, Filling},
    index::Index,
    io::{Buffer, DeviceError, DeviceIo, DeviceOp, Done, Error, IoId, Request},
    journal::Ring,
    kept::Learning,
    layout::Layout,
    leaf::Entry,
    limits,
    line::Line,
    mutants::Mutant,
    neighbours::Neighbours,
    operation::{Op, What},
    pages::TreeRoot,
    read::Run,
    reuse::Evidence,
    seal::{Domain, Sealer},
    space::Space,
    spare::Spare,
    units::{Address, BLOCK, Block, Lsn, Segment, Tag},
};

/// Why a step cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A page is being read.
    Page(PageKey),
    /// Something else must happen first: a completion, a checkpoint, the cleaner.
    Event,
    /// Its own device reads are under way, or it only waits for frames.
    Parked,
    /// It has done its share for now and goes on later.
    Yield,
    /// It failed.
    Failed(Error),
}

/// What a device I/O is for.
#[derive(Debug)]
pub(crate) enum IoKind {
    /// A metadata page into a frame of the cache.
    Page { frame: FrameId, tag: Tag },
    /// Part of a journal frame or of the extents it speaks of.
    Frame(Lsn),
    /// Chunks for a request.
    Run(Run),
    /// A flush for waiting requests, covering frames up to this one.
    Flush(Lsn),
    /// An extent of pages; the frames of the cache that they are in.
    Pages(Vec<FrameId>),
    /// Any other write or flush of a checkpoint.
    Checkpoint,
    /// A segment for the cleaner.
    Clean,
    /// The device is told that a segment is free.
    Discard(Segment),
    /// A piece of the index that was kept.
    KeptPiece(u64),
    /// A piece that is being kept for a request.
    Keep(u32, Arc<[u8]>),
}

/// The streams: new data, what the cleaner moves, metadata pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Data = 0,
    Cleaned = 1,
    Pages = 2,
}

/// Where a stream writes next.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tail {
    pub(crate) segment: Option<Segment>,
    /// Bytes of the segment that are filled.
    pub(crate) filled: u64,
    pub(crate) generation: u64,
}

/// The journal frame that is being gathered.
pub(crate) struct Gathering {
    pub(crate) records: Vec<u8>,
    /// Of the streams of data and of cleaned data.
    pub(crate) extents: [Option<Filling>; 2],
}

/// A journal frame on its way to the disk.
pub(crate) struct Flying {
    pub(crate) lsn: Lsn,
    /// Writes not completed.
    pub(crate) left: u8,
    /// Its extents: reads find their chunks here until they are on the disk.
    pub(crate) extents: [Option<Closed>; 2],
    pub(crate) frame: Arc<[u8]>,
}

/// What a volume is opened with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of memory for metadata pages.
    pub cache_bytes: usize,
    /// Bytes of memory for the index of de-duplication; 0 switches it off.
    pub index_bytes: usize,
    /// zstd level, or `None` for no compression.
    pub level: Option<i32>,
    /// Whether the device is told what is free.
    pub discard: bool,
    /// Whether a change is answered once it is in memory, as by a disk with a volatile cache; if not, once it has been written.
    /// Either way it is durable after the next flush, or at once with FUA. A host that wants this calls [`Volume::write_out`] some
    /// time after [`Volume::holds_back`].
    pub write_back: bool,
    /// The mistake to make.
    #[cfg(feature = "mutants")]
    pub mutant: Option<crate::mutants::Mutant>,
}

impl Options {
    /// Without mistakes, without telling the device what is free, and with changes written when they are answered.
    pub const fn new(cache_bytes: usize, index_bytes: usize, level: Option<i32>) -> Self {
        Self {
            cache_bytes,
            index_bytes,
            level,
            discard: false,
            write_back: false,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }
}

/// What a volume has counted since it was opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Bytes of chunks written for requests.
    pub data_written: u64,
    /// Bytes of chunks moved by the cleaner.
    pub cleaned: u64,
    /// Bytes of everything written to the device.
    pub device_written: u64,
    /// Bytes written by requests.
    pub user_written: u64,
    /// Blocks that were found to exist already.
    pub shared: u64,
    /// Metadata pages read.
    pub page_reads: u64,
    /// Checkpoints completed.
    pub checkpoints: u64,
    /// Segments cleaned.
    pub segments_cleaned: u64,
    /// Device flushes.
    pub flushes: u64,
    /// Bytes of which the device has been told that they are free.
    pub discarded: u64,
}

/// What a volume holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Blocks that are not holes.
    pub mapped_blocks: u64,
    /// Chunks stored.
    pub chunks: u64,
    /// Bytes of those chunks as they are stored.
    pub data_bytes: u64,
    /// Live bytes: chunks and metadata pages.
    pub live_bytes: u64,
    /// Most live bytes with which new data is taken.
    pub capacity_bytes: u64,
    /// Segments that may be filled at once.
    pub free_segments: u64,
    /// All segments.
    pub segments: u64,
}

/// An open mapped volume.
pub struct Volume {
    pub(crate) layout: Layout,
    pub(crate) sealer: Sealer,
    pub(crate) options: Options,
    pub(crate) compressor: Option<Compressor>,
    pub(crate) decompressor: Decompressor,
    pub(crate) cache: Cache,
    pub(crate) trees: [TreeRoot; 3],
    pub(crate) space: Space,
    pub(crate) index: Index,
    pub(crate) neighbours: Neighbours,
    pub(crate) tails: [Tail; 3],

    pub(crate) ring: Ring,
    /// The number of the frame being gathered.
    pub(crate) lsn: Lsn,
    pub(crate) epoch: u64,
    pub(crate) generations: u64,
    pub(crate) gathering: Gathering,
    pub(crate) flying: VecDeque<Flying>,
    /// Frames up to here are on the device,
    pub(crate) written: Lsn,
    /// and up to here flushed.
    pub(crate) durable: Lsn,
    /// and up to here recovery would know that they were;
    pub(crate) known: Lsn,
    /// which this frame will carry further once it is durable.
    pub(crate) evidence: Option<Evidence>,
    pub(crate) flushing: bool,

    pub(crate) table_size: u64,
    pub(crate) cursor: u64,
    pub(crate) chunks: u64,
    pub(crate) mapped: u64,
    pub(crate) root_number: u64,
    pub(crate) list: Option<(Address, u32)>,

    pub(crate) ops: Vec<Option<Box<Op>>>,
    /// Requests in the order they came, for those that overlap.
    pub(crate) order: VecDeque<u32>,
    pub(crate) ready: Line,
    pub(crate) stalled: Line,
    /// The page that each waits for.
    pub(crate) for_page: Vec<Option<PageKey>>,
    pub(crate) for_frames: Line,
    /// Requests beyond [`limits::OPS`].
    pub(crate) waiting: VecDeque<(u64, Request)>,
    /// The last that were read and found damaged.
    pub(crate) bad_pages: VecDeque<PageKey>,
    /// Blocks whose chunk was found damaged, and what the table said of it: to be marked there.
    pub(crate) suspects: VecDeque<(Block, Entry)>,
    pub(crate) spare: Spare,

    pub(crate) ios: Vec<Option<IoKind>>,
    pub(crate) free_ios: Vec<u32>,
    pub(crate) out: VecDeque<DeviceIo>,
    pub(crate) done: VecDeque<Done>,
    pub(crate) small: Vec<Buffer>,
    pub(crate) large: Vec<Buffer>,
    pub(crate) extent_buffers: Vec<Arc<[u8]>>,
    pub(crate) frame_buffers: Vec<Arc<[u8]>>,
    /// Extents of pages on their way; a buffer is free again when nobody else holds it.
    pub(crate) page_buffers: Vec<Arc<[u8]>>,
    pub(crate) segment_buffer: Option<Buffer>,
    /// The list of page segments, and the root record, while they are written.
    pub(crate) list_bytes: Vec<u8>,
    pub(crate) root_page: Arc<[u8]>,
    /// A block that is being compressed or opened, and one as it is stored.
    pub(crate) scratch: Box<[u8]>,
    pub(crate) copy: Box<[u8]>,

    pub(crate) checkpoint: Option<Box<Checkpoint>>,
    pub(crate) checkpoint_wanted: bool,
    /// The cleaner has marked pages: the next checkpoint empties their segments.
    pub(crate) pages_leave: bool,
    pub(crate) cleaning: Option<Box<Cleaning>>,
    /// With so many free segments, it found none that it may fill.
    pub(crate) cleaner_stuck: Option<usize>,
    /// Segments that the cleaner is to clean although there is no need.
    pub(crate) compacting: u64,
    /// Discards on their way.
    pub(crate) discards: usize,
    pub(crate) learning: Learning,
    /// It is being opened: nothing is cleaned, nothing learned.
    pub(crate) recovering: bool,
    /// Bytes of the journal that a checkpoint in the middle of recovery has made superfluous.
    pub(crate) replayed: u64,
    /// Pages that may wait for a checkpoint.
    pub(crate) dirty_most: usize,
    /// What is gathered is to be written although nobody waits for it.
    pub(crate) write_out: bool,
    /// A write failed: nothing more is written until the volume is opened again.
    pub(crate) failed: bool,
    pub(crate) stats: Stats,
}

impl Volume {
    /// Takes a request. Its answer comes from [`Self::next_done`], with `user` in it.
    ///
    /// # Errors
    /// [`limits::REQUESTS`] are in the volume: it is given back, to be tried again when an answer has been taken.
    pub fn submit(&mut self, user: u64, request: Request) -> Result<(), Request> {
        if self.order.len() + self.waiting.len() + self.done.len() >= limits::REQUESTS {
            return Err(request);
        }
        self.bad_pages.clear();
        if self.order.len() >= limits::OPS || !self.waiting.is_empty() {
            self.waiting.push_back((user, request));
        } else {
            self.start(user, request);
        }
        Ok(())
    }

    fn start(&mut self, user: u64, request: Request) {
        let op = match Op::new(user, request, &self.layout) {
            Ok(op) => op,
            Err(done) => return self.done.push_back(done),
        };
        // Both are there: no more than OPS are under way.
        let free = self.ops.iter_mut().zip(0..).find(|(place, _)| place.is_none());
        let (Some((place, slot)), Some(mut memory)) = (free, self.spare.ops.pop()) else { return };
        *memory = op;
        *place = Some(memory);
        self.order.push_back(slot);
        self.ready.push(slot);
    }

    /// The next device I/O to be made, if anything can go on.
    pub fn next_io(&mut self) -> Option<DeviceIo> {
        if self.out.is_empty() {
            self.run();
        }
        self.out.pop_front()
    }

    /// The next request that has ended.
    pub fn next_done(&mut self) -> Option<Done> {
        if self.done.is_empty() {
            self.run();
        }
        self.done.pop_front()
    }

    /// Tells that a device I/O has ended. `buffer`: that of a read.
    pub fn complete(&mut self, id: IoId, result: Result<(), DeviceError>, buffer: Option<Buffer>) {
        let Some(kind) = self.ios.get_mut(id.0 as usize).and_then(Option::take) else { return };
        self.free_ios.push(id.0);
        match kind {
            IoKind::Page { frame, tag } => self.page_came(frame, tag, result, buffer),
            IoKind::Frame(lsn) => self.frame_written(lsn, result),
            IoKind::Run(run) => self.run_came(run, result, buffer),
            IoKind::Flush(lsn) => self.flushed(lsn, result),
            IoKind::Pages(frames) => self.pages_written(frames, result),
            IoKind::Checkpoint => self.checkpoint_io_done(result),
            IoKind::Clean => self.segment_came(result, buffer),
            IoKind::Discard(segment) => self.discarded(segment, result),
            IoKind::KeptPiece(piece) => self.piece_came(piece, result, buffer),
            IoKind::Keep(slot, data) => self.piece_kept(slot, data),
        }
        // Whoever waited for some event looks again.
        self.stalled.join(&mut self.ready);
    }

    /// What it has counted.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How large it is, in blocks of 4096 bytes.
    pub fn blocks(&self) -> u64 {
        self.layout.blocks
    }

    /// What it holds.
    pub fn usage(&self) -> Usage {
        Usage {
            mapped_blocks: self.mapped,
            chunks: self.chunks,
            data_bytes: self
                .space
                .live()
                .saturating_sub(self.space.page_segments().map(|(_, live)| u64::from(live)).sum()),
            live_bytes: self.space.live(),
            capacity_bytes: self.space.capacity(),
            free_segments: self.space.free() as u64,
            segments: u64::from(self.layout.segments),
        }
    }

    /// Whether a write to the device has failed: the volume then takes no more.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    pub(crate) fn issue(&mut self, kind: IoKind, op: DeviceOp) {
        // There is one: `IOS` is the sum of all that can be under way.
        let Some(id) = self.free_ios.pop() else { return self.fail() };
        if let DeviceOp::Write { length, .. } = &op {
            self.stats.device_written += *length as u64;
        }
        self.ios[id as usize] = Some(kind);
        self.out.push_back(DeviceIo { id: IoId(id), op });
    }

    /// Steps everything that can go on until nothing can.
    pub fn run(&mut self) {
        loop {
            while let Some(op) = self.ready.pop() {
                self.step(op);
            }
            let mut moved = self.step_suspects();
            moved |= self.step_cleaner();
            moved |= self.step_learning();
            moved |= self.close_if_idle();
            moved |= self.flush_if_wanted();
            moved |= self.step_reuse();
            moved |= self.step_discards();
            // The last: any of these may want it.
            moved |= self.step_checkpoint();
            if moved {
                self.stalled.join(&mut self.ready);
            }
            if self.ready.is_empty() && !moved && !self.give_up_waiting() {
                return;
            }
        }
    }

    /// When no I/O is under way and nothing goes on, what waits would wait for ever: there is no room for what would make
    /// room. It is told so; whether there was any.
    fn give_up_waiting(&mut self) -> bool {
        let quiet = self.out.is_empty() && self.free_ios.len() == self.ios.len() && !self.recovering;
        if !quiet || self.stalled.is_empty() && self.for_frames.is_empty() {
            return false;
        }
        for slot in self.stalled.iter().chain(self.for_frames.iter()) {
            if let Some(op) = &mut self.ops[slot as usize] {
                op.error.get_or_insert(Error::NoSpace);
            }
        }
        self.stalled.join(&mut self.ready);
        self.for_frames.join(&mut self.ready);
        true
    }

    fn step(&mut self, slot: u32) {
        let Some(mut op) = self.ops[slot as usize].take() else { return };
        self.cache.begin_step();
        let stop = match self.advance(&mut op, slot) {
            Ok(()) => return self.finish(slot, op),
            Err(stop) => stop,
        };
        match stop {
            Stop::Failed(error) => {
                op.error = Some(error);
                if op.outstanding == 0 {
                    return self.finish(slot, op);
                }
            }
            Stop::Page(key) => self.for_page[slot as usize] = Some(key),
            Stop::Event => self.stalled.push(slot),
            Stop::Yield => self.ready.push(slot),
            Stop::Parked => {}
        }
        self.ops[slot as usize] = Some(op);
    }

    /// One step of a request.
    fn advance(&mut self, op: &mut Op, slot: u32) -> Result<(), Stop> {
        if let Some(error) = op.error {
            return Err(Stop::Failed(error));
        }
        if !op.started {
            if self.overlaps_earlier(op, slot) && !self.errs(Mutant::OverlapsUnordered) {
                return Err(Stop::Event);
            }
            op.started = true;
        }
        if self.failed && !matches!(op.what, What::Read { .. } | What::Status { .. }) {
            return Err(Stop::Failed(Error::Write));
        }
        match op.what {
            What::Read { .. } => self.step_read(op, slot),
            What::Status { .. } => self.step_status(op),
            What::Write { .. } => self.step_write(op, slot),
            What::Discard => self.step_discard(op, slot),
            What::Flush => self.step_flush(op, slot),
            What::Checkpoint => self.step_wait_for_checkpoint(op),
            What::Close => self.step_close(op, slot),
            What::Compact => self.step_compact(op),
        }
    }

    /// Whether a request that came before touches the same blocks and one of the two changes them.
    fn overlaps_earlier(&self, op: &Op, slot: u32) -> bool {
        let earlier = self.order.iter().take_while(|&&other| other != slot);
        earlier
            .filter_map(|&other| self.ops[other as usize].as_ref())
            .any(|other| op.first < other.end && other.first < op.end && (op.changes() || other.changes()))
    }

    fn finish(&mut self, slot: u32, mut op: Box<Op>) {
        self.order.retain(|&other| other != slot);
        self.done.push_back(op.take_done());
        self.spare.merged.extend(op.merged.take().into_iter().chain(op.fetching.take()));
        self.spare.ops.push(op);
        self.stalled.join(&mut self.ready);
        // One that is refused at once leaves its turn to the next.
        while self.order.len() < limits::OPS
            && let Some((user, request)) = self.waiting.pop_front()
        {
            self.start(user, request);
        }
    }

    fn page_came(
        &mut self,
        frame: FrameId,
        tag: Tag,
        result: Result<(), DeviceError>,
        buffer: Option<Buffer>,
    ) {
        let key = self.cache.key(frame);
        let mut good = false;
        if let Some(mut buffer) = buffer {
            if result.is_ok() {
                let bytes = &mut buffer[..BLOCK];
                self.sealer.open(&tag, bytes);
                good = self.sealer.matches(&tag, Domain::Page, key.raw(), &[bytes])
                    || self.errs(Mutant::PageUnchecked);
                self.cache.page_mut(frame).copy_from_slice(bytes);
            }
            self.small.push(buffer);
        }
        if good {
            self.cache.set_state(frame, State::Clean);
        } else {
            self.cache.remove(frame);
            if self.bad_pages.len() == limits::BAD_PAGES {
                self.bad_pages.pop_front();
            }
            self.bad_pages.push_back(key);
        }
        for (wanted, slot) in self.for_page.iter_mut().zip(0..) {
            if wanted.take_if(|wanted| *wanted == key).is_some() {
                self.ready.push(slot);
            }
        }
    }

    /// A write failed: what was acknowledged and flushed is safe, and nothing is added to it.
    pub(crate) fn fail(&mut self) {
        self.failed = true;
        self.for_frames.join(&mut self.ready);
    }
}
