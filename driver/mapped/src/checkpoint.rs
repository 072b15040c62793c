//! Checkpoints: changed pages to new places, leaves first, then the root record that refers to them.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use sluice_chain::try_box;

use crate::{
    Volume,
    cache::{FrameId, PageKey, State},
    engine::{IoKind, Stop, Stream},
    extent::{Closed, Filling, Holds},
    io::{DeviceError, DeviceOp, Error},
    layout::Layout,
    leaf::{self, Ref},
    limits::{AHEAD, DIRTY_PERCENT, EXTENT, JOURNAL_PERCENT},
    mutants::Mutant,
    operation::Op,
    pages::parent,
    root::Root,
    seal::Domain,
    units::{Address, BLOCK, Lsn},
    varint,
};

/// Pages that are written before requests have their turn.
const TURN: usize = 16;
/// Most bytes of a segment in the list of those that hold pages: its number, and how much in it is live.
fn list_entry(layout: &Layout) -> usize {
    varint::length(u64::from(layout.segments)) + varint::length(layout.segment_bytes)
}

/// Most bytes of that list: the extent in which it lies must hold it.
pub(crate) fn list_most(layout: &Layout) -> usize {
    (layout.segments as usize + 1).saturating_mul(list_entry(layout)).min(EXTENT)
}

/// Most segments that can hold pages: the list must fit the smaller of an extent and a segment, beside headers.
pub(crate) fn page_segments_most(layout: &Layout) -> usize {
    let room = EXTENT.min(layout.segment_bytes as usize) - 3 * BLOCK;
    room / list_entry(layout) - 1
}

/// How far it has come. Each phase begins when all I/O of the one before has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Pages of this level are sealed and written, from this frame of the cache on.
    Pages(u8, usize),
    /// Which segments hold pages.
    List,
    /// Everything written becomes durable.
    FlushPages,
    /// The root record, twice.
    Root,
    /// The root record becomes durable.
    FlushRoot,
    Done,
}

/// A checkpoint under way.
pub(crate) struct Checkpoint {
    phase: Phase,
    root: Root,
    extent: Option<Filling>,
    /// The frames whose pages are in `extent`.
    frames: Vec<FrameId>,
    /// Leaves written.
    leaves: usize,
    /// I/Os not ended.
    left: u32,
    /// Bytes of the journal that are not needed once it is done.
    journal: u64,
}

impl Checkpoint {
    /// The memory for one. `None` when it has run out.
    pub(crate) fn none() -> Option<Box<Self>> {
        try_box(Self {
            phase: Phase::Done,
            root: Root::default(),
            extent: None,
            frames: Vec::new(),
            leaves: 0,
            left: 0,
            journal: 0,
        })
    }
}

impl Volume {
    /// Waits for a checkpoint that began after the request came.
    pub(crate) fn step_wait_for_checkpoint(&mut self, op: &mut Op) -> Result<(), Stop> {
        let wanted = match op.checkpoint {
            Some(wanted) => wanted,
            None => {
                // One that is under way may have begun before.
                let number = self.root_number + if self.checkpoint.is_some() { 2 } else { 1 };
                op.checkpoint = Some(number);
                number
            }
        };
        if self.root_number >= wanted {
            return Ok(());
        }
        // The one under way may be it: then no other is needed.
        self.checkpoint_wanted |= self.checkpoint.is_none() || wanted > self.root_number + 1;
        Err(Stop::Event)
    }

    fn wants_checkpoint(&self) -> bool {
        // Of what is dead, pages need it. Pages that are to leave wait for each other: those above them, and the list, are
        // written once for all of them.
        let leaving = self.pages_leave && self.cleaning.is_none();
        let starved = self.space.free() < self.space.reserve() + AHEAD
            && (self.space.dead() > 0 || leaving)
            && self.space.first_waiting().is_none();
        self.checkpoint_wanted
            || starved
            || self.ring.percent() > JOURNAL_PERCENT
            || self.cache.dirty() * 100 > self.dirty_most * DIRTY_PERCENT
    }

    /// Goes on with the checkpoint, or begins one; whether anything moved.
    pub(crate) fn step_checkpoint(&mut self) -> bool {
        if self.failed {
            return false;
        }
        let Some(mut checkpoint) = self.checkpoint.take() else {
            return self.wants_checkpoint() && self.begin_checkpoint();
        };
        let before = (checkpoint.phase, checkpoint.left);
        self.cache.begin_step();
        let result = self.advance_checkpoint(&mut checkpoint);
        let moved = (checkpoint.phase, checkpoint.left) != before || result == Err(Stop::Yield);
        if matches!(result, Err(Stop::Failed(_))) {
            // A page that leads to a changed one cannot be read: nothing of it can be written any more.
            self.fail();
            return true;
        }
        self.checkpoint = Some(checkpoint);
        moved
    }

    /// Everything applied so far belongs to it, nothing after.
    fn begin_checkpoint(&mut self) -> bool {
        if self.close_frame_leaving(0).is_err() {
            return false;
        }
        let Some(mut checkpoint) = self.spare.checkpoint.take() else { return false };
        self.checkpoint_wanted = false;
        self.pages_leave = false;
        self.cache.freeze();
        self.space.checkpoint_begins();
        checkpoint.root = Root {
            number: self.root_number + 1,
            lsn: self.lsn,
            ring: self.ring.head,
            epoch: self.epoch,
            table_size: self.table_size,
            cursor: self.cursor,
            chunks: self.chunks,
            mapped: self.mapped,
            blocks: self.layout.blocks,
            segments: u64::from(self.layout.segments),
            ..Root::default()
        };
        checkpoint.phase = Phase::Pages(0, 0);
        (checkpoint.leaves, checkpoint.left, checkpoint.journal) = (0, 0, self.ring.used);
        self.checkpoint = Some(checkpoint);
        true
    }

    fn advance_checkpoint(&mut self, checkpoint: &mut Checkpoint) -> Result<(), Stop> {
        let mut turn = TURN;
        loop {
            match checkpoint.phase {
                Phase::Pages(level, from) => {
                    let deepest = self.trees.iter().map(|tree| tree.depth).max().unwrap_or(0);
                    checkpoint.phase = match self.cache.next_frozen(level, from) {
                        Some(_) if turn == 0 => return Err(Stop::Yield),
                        Some(frame) => {
                            turn -= 1;
                            self.write_page(checkpoint, frame)?;
                            Phase::Pages(level, frame.position())
                        }
                        None if level < deepest => Phase::Pages(level + 1, 0),
                        None => Phase::List,
                    };
                    self.cache.begin_step();
                }
                Phase::List => {
                    self.close_pages(checkpoint);
                    self.write_list(checkpoint)?;
                    checkpoint.phase = Phase::FlushPages;
                }
                Phase::FlushPages => {
                    // The frames before it must be there as well: pages speak of what they hold.
                    let behind = self.written.0 + 1 < checkpoint.root.lsn.0;
                    if self.errs(Mutant::RootBeforePages) {
                        checkpoint.phase = Phase::Root;
                        continue;
                    }
                    if checkpoint.left > 0 || behind {
                        return Err(Stop::Event);
                    }
                    self.checkpoint_io(checkpoint, DeviceOp::Flush);
                    checkpoint.phase = Phase::Root;
                }
                Phase::Root if checkpoint.left == 0 || self.errs(Mutant::RootBeforePages) => {
                    self.set_durable(Lsn(checkpoint.root.lsn.0 - 1));
                    self.write_root(checkpoint)?;
                    checkpoint.phase = Phase::FlushRoot;
                }
                Phase::FlushRoot if self.errs(Mutant::RootNotFlushed) => {
                    checkpoint.phase = Phase::Done;
                    return Err(Stop::Event);
                }
                Phase::FlushRoot if checkpoint.left == 0 => {
                    self.checkpoint_io(checkpoint, DeviceOp::Flush);
                    checkpoint.phase = Phase::Done;
                    return Err(Stop::Event);
                }
                _ => return Err(Stop::Event),
            }
        }
    }

    /// Seals a frozen page into the extent, and tells the page above.
    fn write_page(&mut self, checkpoint: &mut Checkpoint, frame: FrameId) -> Result<(), Stop> {
        let key = self.cache.key(frame);
        let tree = key.tree() as usize;
        let above = if key.level() + 1 < self.trees[tree].depth {
            let (above, entry) = parent(key);
            let above = self.page(above);
            if above == Err(Stop::Event) {
                // Every frame is needed, also for pages that wait in the extent to be written: they go out first.
                self.close_pages(checkpoint);
            }
            Some((above?, entry))
        } else {
            None
        };
        if checkpoint.extent.as_ref().is_some_and(|extent| !extent.has_room(BLOCK)) {
            self.close_pages(checkpoint);
        }
        if checkpoint.extent.is_none() {
            checkpoint.extent = Some(self.open_extent(Stream::Pages, Holds::Pages)?);
        }
        if checkpoint.frames.capacity() == 0 {
            checkpoint.frames = self.spare.pages.pop().ok_or(Stop::Event)?;
        }
        let extent = checkpoint.extent.as_mut().ok_or(Stop::Event)?;
        let address = extent.next();
        let page = self.cache.page(frame);
        let tag = self.sealer.tag(Domain::Page, key.raw(), &[page]);
        let stored = extent.push(key.raw(), page).ok_or(Stop::Event)?;
        self.sealer.seal(&tag, stored);
        checkpoint.frames.push(frame);
        checkpoint.leaves += usize::from(key.level() == 0);

        let new = Ref { address, tag };
        let old = match above {
            Some((above, entry)) => {
                let old = leaf::child(self.cache.page(above), entry);
                leaf::set_child(self.cache.page_mut(above), entry, new);
                // Only a checkpoint changes inner pages: this one, when it comes to their level.
                self.cache.set_state(above, State::Frozen);
                old
            }
            None => core::mem::replace(&mut self.trees[tree].root, new),
        };
        self.replace_pages(old.address, address, BLOCK as u32);
        if self.cache.state(frame) == State::Shadow {
            self.cache.remove(frame);
            checkpoint.frames.pop();
        } else {
            self.cache.set_state(frame, State::Clean);
            self.cache.set_writing(frame, true);
        }
        Ok(())
    }

    /// Metadata lies at `new` instead of at `old` (0: nowhere).
    fn replace_pages(&mut self, old: Address, new: Address, bytes: u32) {
        if let Some(segment) = self.layout.segment_of(new) {
            self.space.add(segment, bytes, true);
        }
        if let Some(segment) = self.layout.segment_of(old) {
            self.space.remove(segment, bytes, None);
        }
    }

    fn close_pages(&mut self, checkpoint: &mut Checkpoint) {
        let Some(extent) = checkpoint.extent.take() else { return };
        let frames = core::mem::take(&mut checkpoint.frames);
        if let Some(Closed { address, length, data }) = self.close_extent(Stream::Pages, extent) {
            checkpoint.left += 1;
            let again = data.clone();
            self.issue(IoKind::Pages(frames), DeviceOp::Write { offset: address.0, length, data });
            self.page_buffers.push(again);
        }
    }

    fn write_list(&mut self, checkpoint: &mut Checkpoint) -> Result<(), Stop> {
        let mut bytes = core::mem::take(&mut self.list_bytes);
        bytes.clear();
        let result = self.write_list_from(checkpoint, &mut bytes);
        self.list_bytes = bytes;
        result
    }

    /// Writes which segments hold pages, and how many live bytes: the space tree speaks of chunks alone. It is put
    /// together in `bytes`.
    fn write_list_from(&mut self, checkpoint: &mut Checkpoint, bytes: &mut Vec<u8>) -> Result<(), Stop> {
        let entries = self.space.page_segments().count() + 1;
        let most = entries * list_entry(&self.layout);
        if most > bytes.capacity() {
            return Err(Stop::Failed(Error::NoSpace));
        }
        let mut extent = self.open_extent(Stream::Pages, Holds::List)?;
        if !extent.has_room(most) {
            // What is left of this segment is too small.
            let (data, list) = extent.abandon();
            self.extent_buffers.push(data);
            self.spare.lists.push(list);
            let tail = &mut self.tails[Stream::Pages as usize];
            if tail.filled == 0 {
                return Err(Stop::Failed(Error::NoSpace));
            }
            if let Some(segment) = tail.segment.take() {
                self.space.close(segment, self.lsn);
            }
            extent = self.open_extent(Stream::Pages, Holds::List)?;
        }
        let address = extent.next();
        // It lists itself.
        let old = self.list.replace((address, most as u32));
        if let Some(segment) = self.layout.segment_of(address) {
            self.space.add(segment, most as u32, true);
        }
        if let Some((old, bytes)) = old
            && let Some(segment) = self.layout.segment_of(old)
        {
            self.space.remove(segment, bytes, None);
        }
        for (segment, live) in self.space.page_segments() {
            varint::put(bytes, u64::from(segment.0));
            varint::put(bytes, u64::from(live));
        }
        bytes.resize(most, 0);
        let tag = self.sealer.tag(Domain::Page, u64::MAX, &[bytes]);
        let stored = extent.push(0, bytes).ok_or(Stop::Failed(Error::NoSpace))?;
        self.sealer.seal(&tag, stored);
        checkpoint.root.list = address;
        checkpoint.root.list_bytes = most as u64;
        checkpoint.root.list_tag = tag;
        checkpoint.extent = Some(extent);
        self.close_pages(checkpoint);
        Ok(())
    }

    fn write_root(&mut self, checkpoint: &mut Checkpoint) -> Result<(), Stop> {
        for (root, tree) in checkpoint.root.trees.iter_mut().zip(&self.trees) {
            *root = tree.root;
        }
        // Its last writes have ended: nobody else has it.
        let page = Arc::get_mut(&mut self.root_page).ok_or(Stop::Event)?;
        checkpoint.root.encode(&self.sealer, page);
        let slot = if self.errs(Mutant::OneRootSlot) { 1 } else { checkpoint.root.number };
        for offset in self.layout.roots(slot) {
            let data = self.root_page.clone();
            self.checkpoint_io(checkpoint, DeviceOp::Write { offset, length: BLOCK, data });
        }
        Ok(())
    }

    /// Leaves that recovery would have to hold, changed, before it can write any: those of the cache, and those of the
    /// checkpoint under way, which will not have been.
    pub(crate) fn unsettled(&self) -> usize {
        self.cache.dirty() + self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.leaves)
    }

    fn checkpoint_io(&mut self, checkpoint: &mut Checkpoint, op: DeviceOp) {
        checkpoint.left += 1;
        self.issue(IoKind::Checkpoint, op);
    }

    pub(crate) fn pages_written(&mut self, mut frames: Vec<FrameId>, result: Result<(), DeviceError>) {
        for frame in frames.drain(..) {
            self.cache.set_writing(frame, false);
        }
        if frames.capacity() > 0 {
            self.spare.pages.push(frames);
        }
        // Buffers whose write has ended have no other owner.
        let mut at = 0;
        while let Some(data) = self.page_buffers.get(at) {
            if Arc::strong_count(data) == 1 {
                self.extent_buffers.push(self.page_buffers.swap_remove(at));
            } else {
                at += 1;
            }
        }
        self.checkpoint_io_done(result);
    }

    pub(crate) fn checkpoint_io_done(&mut self, result: Result<(), DeviceError>) {
        if result.is_err() {
            return self.fail();
        }
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.left -= 1;
            if checkpoint.left == 0
                && checkpoint.phase == Phase::Done
                && let Some(checkpoint) = self.checkpoint.take()
            {
                self.end_checkpoint(&checkpoint);
                self.spare.checkpoint = Some(checkpoint);
            }
        }
    }

    fn end_checkpoint(&mut self, checkpoint: &Checkpoint) {
        self.root_number = checkpoint.root.number;
        self.known = self.known.max(Lsn(checkpoint.root.lsn.0 - 1));
        self.ring.used -= checkpoint.journal;
        self.space.checkpoint_ends();
        self.stats.checkpoints += 1;
    }

    /// Marks a page that lies in a segment to be cleaned: the next checkpoint writes it elsewhere.
    pub(crate) fn move_page(&mut self, key: PageKey, from: Address) -> Result<(), Stop> {
        if key.level() >= self.trees[key.tree() as usize].depth || self.reference(key)?.address != from {
            return Ok(());
        }
        let frame = self.page(key)?;
        if self.cache.state(frame) == State::Clean {
            // A segment can hold more pages than may be changed at once, or than there is room for.
            self.throttle_leaving(0)?;
            self.cache.set_state(frame, State::Dirty);
        }
        Ok(())
    }
}
