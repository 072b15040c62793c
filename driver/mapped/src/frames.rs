//! Journal frames: gathered, closed, written with their extents, and waited for.

use alloc::sync::Arc;

use crate::{
    Volume,
    engine::{Flying, IoKind, Stop, Stream},
    extent::{self, Closed, Filling, Holds},
    io::{DeviceError, DeviceOp, Error},
    journal::{self, EXTENTS, Head, Mention},
    layout::JOURNAL_START,
    limits::{CHANGED, FRAMES},
    mutants::Mutant,
    operation::{Op, What},
    record::{self, Record},
    recover::checkpoint_segments,
    seal::Domain,
    units::{Address, BLOCK, Lsn, Segment},
};

impl Volume {
    /// Applies a record and adds it to the frame being gathered; answers that frame's number.
    pub(crate) fn log(&mut self, record: &Record) -> Result<Lsn, Stop> {
        self.room_for_record()?;
        self.change(record)?;
        record.encode(&mut self.gathering.records);
        Ok(self.lsn)
    }

    fn room_for_record(&mut self) -> Result<(), Stop> {
        // What is not records fits in a block, and so does what is lost to the sector.
        let most = self.layout.frame_bytes() - BLOCK;
        if self.gathering.records.len() + record::MOST > most { self.close_frame() } else { Ok(()) }
    }

    /// Has room for a chunk of any length, and for its record, in the frame being gathered.
    pub(crate) fn room_for_chunk(&mut self, stream: Stream) -> Result<(), Stop> {
        self.room_for_record()?;
        if let Some(extent) = &self.gathering.extents[stream as usize] {
            if extent.has_room(BLOCK) {
                return Ok(());
            }
            self.close_frame()?;
        }
        let extent = self.open_extent(stream, Holds::Chunks)?;
        self.gathering.extents[stream as usize] = Some(extent);
        Ok(())
    }

    /// An empty extent where a stream goes on.
    pub(crate) fn open_extent(&mut self, stream: Stream, holds: Holds) -> Result<Filling, Stop> {
        let sector = self.layout.sector as usize;
        let least = (2 * sector + BLOCK + 128) as u64;
        let tail = &mut self.tails[stream as usize];
        if let Some(full) = tail.segment.filter(|_| self.layout.segment_bytes - tail.filled < least) {
            tail.segment = None;
            self.space.close(full, self.lsn);
        }
        if self.tails[stream as usize].segment.is_none() {
            self.take_segment(stream)?;
        }
        let tail = self.tails[stream as usize];
        let segment = tail.segment.ok_or(Stop::Event)?;
        if self.spare.lists.is_empty() {
            return Err(Stop::Event);
        }
        let data = self.extent_buffers.pop().ok_or(Stop::Event)?;
        let list = self.spare.lists.pop().ok_or(Stop::Event)?;
        let address = Address(self.layout.segment_start(segment).0 + tail.filled);
        let capacity = (self.layout.segment_bytes - tail.filled) as usize;
        Ok(Filling::new(address, holds, data, capacity, sector, list))
    }

    fn take_segment(&mut self, stream: Stream) -> Result<(), Stop> {
        let kept = match stream {
            Stream::Data => self.space.reserve(),
            // What a checkpoint could take now, and if a little more were changed: not more, or the cleaner could wait for
            // room that only it can make.
            Stream::Cleaned => checkpoint_segments(&self.layout, self.unsettled() + CHANGED),
            Stream::Pages => 0,
        };
        if self.space.free() <= kept {
            if stream == Stream::Cleaned {
                // What is dead because pages have moved becomes free, and nothing has to be kept for those that had changed.
                self.checkpoint_wanted |= self.checkpoint.is_none() && self.cache.dirty() > 0;
                self.cleaner_stuck = Some(self.space.free());
            }
            return Err(if self.is_hopeless() { Stop::Failed(Error::NoSpace) } else { Stop::Event });
        }
        let segment = self.space.take(stream == Stream::Pages).ok_or(Stop::Event)?;
        self.generations += 1;
        let tail = &mut self.tails[stream as usize];
        tail.segment = Some(segment);
        tail.filled = 0;
        tail.generation = self.generations;
        Ok(())
    }

    /// Whether nothing that goes on by itself will ever make room.
    fn is_hopeless(&self) -> bool {
        let cleaner = match &self.cleaning {
            Some(_) => {
                self.cache.dirty() > 0 || self.cleaner_stuck.is_none_or(|free| free < self.space.free())
            }
            None => self.space.victim(|_| false).is_some(),
        };
        !cleaner && self.checkpoint.is_none() && self.discards == 0 && self.space.dead() == 0
    }

    /// Finishes an extent: what is to be written, and its length. The stream goes on behind it.
    pub(crate) fn close_extent(&mut self, stream: Stream, extent: Filling) -> Option<Closed> {
        let address = extent.address;
        let tail = &mut self.tails[stream as usize];
        let sector = self.layout.sector as usize;
        let (data, length, list) = extent.finish(&self.sealer, tail.generation, sector)?;
        tail.filled += length as u64;
        self.spare.lists.push(list);
        Some(Closed { address, length, data })
    }

    /// Sends the frame being gathered on its way, if anything is in it. Leaves room in the journal for the one that a
    /// checkpoint closes when it begins.
    pub(crate) fn close_frame(&mut self) -> Result<(), Stop> {
        self.close_frame_leaving(2 * self.layout.frame_bytes() as u64)
    }

    pub(crate) fn close_frame_leaving(&mut self, spare: u64) -> Result<(), Stop> {
        if self.gathering.records.is_empty() { Ok(()) } else { self.send_frame(spare) }
    }

    /// Sends it even if nothing is in it, for what its head says.
    pub(crate) fn close_frame_even_empty(&mut self) -> Result<(), Stop> {
        self.send_frame(2 * self.layout.frame_bytes() as u64)
    }

    fn send_frame(&mut self, spare: u64) -> Result<(), Stop> {
        if self.failed {
            return Err(Stop::Failed(Error::Write));
        }
        if self.flying.len() >= FRAMES {
            return Err(Stop::Event);
        }
        let sector = self.layout.sector as usize;
        let most = journal::HEADER + 1 + EXTENTS * extent::HEADER + self.gathering.records.len();
        let most = most.next_multiple_of(sector) as u64;
        let mut ring = self.ring;
        if ring.take(most).is_none() || ring.used + spare > ring.bytes {
            self.checkpoint_wanted = true;
            return Err(Stop::Event);
        }
        let mut buffer = self.frame_buffers.pop().ok_or(Stop::Event)?;
        let mut extents = [None, None];
        let mut mentions = [Mention::default(); EXTENTS];
        let mut count = 0;
        for (i, stream) in [Stream::Data, Stream::Cleaned].into_iter().enumerate() {
            let Some(extent) = self.gathering.extents[i].take() else { continue };
            if extent.is_empty() {
                let (data, list) = extent.abandon();
                self.extent_buffers.push(data);
                self.spare.lists.push(list);
                continue;
            }
            let closed = self.close_extent(stream, extent).ok_or(Stop::Failed(Error::Write))?;
            let tag = self.sealer.tag(Domain::Data, closed.address.0, &[&closed.data[..closed.length]]);
            mentions[count] = Mention { address: closed.address, bytes: closed.length as u32, tag };
            count += 1;
            extents[i] = Some(closed);
        }
        let head = Head { lsn: self.lsn, epoch: self.epoch, durable: self.durable };
        let frame = Arc::get_mut(&mut buffer).ok_or(Stop::Failed(Error::Write))?;
        let length =
            journal::encode(&self.sealer, &head, &mentions[..count], &self.gathering.records, sector, frame)
                .ok_or(Stop::Failed(Error::Write))?;
        let at = self.ring.take(length as u64).ok_or(Stop::Event)?;
        self.note_evidence();
        self.gathering.records.clear();
        self.fly(extents, buffer, length, JOURNAL_START + at);
        self.lsn = Lsn(self.lsn.0 + 1);
        Ok(())
    }

    fn fly(&mut self, extents: [Option<Closed>; 2], frame: Arc<[u8]>, length: usize, at: u64) {
        let lsn = self.lsn;
        let mut left = 1;
        for Closed { address, length, data } in extents.iter().flatten() {
            left += 1;
            let write = DeviceOp::Write { offset: address.0, length: *length, data: data.clone() };
            self.issue(IoKind::Frame(lsn), write);
        }
        let write = DeviceOp::Write { offset: at, length, data: frame.clone() };
        self.issue(IoKind::Frame(lsn), write);
        self.flying.push_back(Flying { lsn, left, extents, frame });
    }

    pub(crate) fn frame_written(&mut self, lsn: Lsn, result: Result<(), DeviceError>) {
        if result.is_err() {
            return self.fail();
        }
        if let Some(frame) = self.flying.iter_mut().find(|frame| frame.lsn == lsn) {
            frame.left -= 1;
        }
        if self.errs(Mutant::FramesOutOfOrder)
            && self.flying.iter().any(|frame| frame.lsn == lsn && frame.left == 0)
        {
            self.written = self.written.max(lsn);
            self.wake_for_frames();
        }
        // In order: a frame counts when all before it do.
        while self.flying.front().is_some_and(|frame| frame.left == 0) {
            let Some(frame) = self.flying.pop_front() else { break };
            self.written = self.written.max(frame.lsn);
            self.frame_buffers.push(frame.frame);
            for closed in frame.extents.into_iter().flatten() {
                self.extent_buffers.push(closed.data);
            }
            self.wake_for_frames();
        }
    }

    pub(crate) fn wake_for_frames(&mut self) {
        self.for_frames.join(&mut self.ready);
    }

    /// Closes the frame if no other is on its way: whoever comes while it is shares the next. If changes are answered before
    /// they are written, it gathers until it is full, or somebody needs it on the device.
    pub(crate) fn close_if_idle(&mut self) -> bool {
        let needed = !self.options.write_back
            || self.write_out
            || !self.for_frames.is_empty()
            || !self.stalled.is_empty()
            || self.cleaning.is_some();
        let closed = self.flying.is_empty()
            && needed
            && !self.gathering.records.is_empty()
            && self.close_frame().is_ok();
        self.write_out &= !closed && !self.gathering.records.is_empty();
        closed
    }

    /// Whether a change has been answered that is only in memory, and goes to the device when more come or somebody says so.
    pub fn holds_back(&self) -> bool {
        self.options.write_back && !self.gathering.records.is_empty() && !self.failed
    }

    /// What is held back is written now. It is not durable before a flush.
    pub fn write_out(&mut self) {
        self.write_out = true;
    }

    /// Waits until the frames that speak of a request are written, if it is to wait for that; durable, if it asked for it.
    pub(crate) fn arrived(&mut self, op: &mut Op, slot: u32) -> Result<(), Stop> {
        let durable = matches!(op.what, What::Flush | What::Write { fua: true, .. });
        if durable && op.lsn.is_none() {
            // It changed nothing itself, but what came before it is to be durable.
            op.lsn = Some(self.newest());
        }
        let durable = durable && !(matches!(op.what, What::Write { .. }) && self.errs(Mutant::FuaIgnored));
        let reached = if durable { self.durable } else { self.written };
        let early =
            self.options.write_back && !matches!(op.what, What::Flush | What::Write { fua: true, .. });
        if early || op.lsn.is_none_or(|lsn| lsn <= reached) {
            return Ok(());
        }
        if self.failed {
            return Err(Stop::Failed(Error::Write));
        }
        op.waits = durable;
        self.for_frames.push(slot);
        Err(Stop::Parked)
    }

    pub(crate) fn step_flush(&mut self, op: &mut Op, slot: u32) -> Result<(), Stop> {
        self.arrived(op, slot)
    }

    /// The newest frame that speaks of anything.
    pub(crate) fn newest(&self) -> Lsn {
        if self.gathering.records.is_empty() { Lsn(self.lsn.0 - 1) } else { self.lsn }
    }

    /// Flushes the device if a request waits for that and its frames are written.
    pub(crate) fn flush_if_wanted(&mut self) -> bool {
        if self.flushing || self.failed {
            return false;
        }
        let reached = self.durable..=self.written;
        let wanted = self
            .for_frames
            .iter()
            .filter_map(|slot| self.ops[slot as usize].as_ref())
            .any(|op| op.waits && op.lsn.is_some_and(|lsn| reached.contains(&lsn) && lsn > self.durable));
        if wanted && self.errs(Mutant::FlushLeftOut) {
            self.durable = self.written;
            self.wake_for_frames();
            return true;
        }
        if wanted {
            self.flush_device();
        }
        wanted
    }

    pub(crate) fn flush_device(&mut self) {
        self.flushing = true;
        self.stats.flushes += 1;
        self.issue(IoKind::Flush(self.written), DeviceOp::Flush);
    }

    pub(crate) fn flushed(&mut self, lsn: Lsn, result: Result<(), DeviceError>) {
        self.flushing = false;
        if result.is_err() {
            return self.fail();
        }
        self.set_durable(lsn);
    }

    /// Whether something in a segment is not on the device yet.
    pub(crate) fn is_on_its_way(&self, segment: Segment) -> bool {
        let gathered = self.gathering.extents.iter().flatten().map(|extent| extent.address);
        let flying = self.flying.iter().flat_map(|frame| frame.extents.iter().flatten());
        gathered
            .chain(flying.map(|closed| closed.address))
            .any(|at| self.layout.segment_of(at) == Some(segment))
    }

    /// A chunk's bytes, while the frame that speaks of them is not on the device.
    pub(crate) fn in_memory(&self, address: Address, length: usize) -> Option<&[u8]> {
        let gathered = self.gathering.extents.iter().flatten().find_map(|extent| extent.get(address, length));
        gathered.or_else(|| {
            let flying = self.flying.iter().flat_map(|frame| frame.extents.iter().flatten());
            flying.into_iter().find_map(|closed| closed.get(address, length))
        })
    }
}
