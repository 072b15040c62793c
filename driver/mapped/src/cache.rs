//! Metadata pages in memory: a fixed number of frames, found by key, given up in the order of a clock.

use alloc::vec::Vec;

use crate::{leaf::Page, units::BLOCK};

/// Which page: its tree, its level (0 is a leaf) and its number on that level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PageKey(u64);

/// The trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// Block to chunk.
    Map = 0,
    /// Chunk to place.
    Table = 1,
    /// Segment to live bytes.
    Space = 2,
}

impl PageKey {
    /// Page `index` on `level` of `tree`. `index` has at most 56 bits, `level` 6.
    pub(crate) fn new(tree: Tree, level: u8, index: u64) -> Self {
        Self((tree as u64) << 62 | u64::from(level) << 56 | index)
    }

    /// As it is on the disk; `None` if there is no such tree.
    pub(crate) fn from_raw(raw: u64) -> Option<Self> {
        (raw >> 62 < 3).then_some(Self(raw))
    }

    /// For the disk.
    pub(crate) fn raw(self) -> u64 {
        self.0
    }

    /// Its tree.
    pub(crate) fn tree(self) -> Tree {
        match self.0 >> 62 {
            0 => Tree::Map,
            1 => Tree::Table,
            _ => Tree::Space,
        }
    }

    /// Its level.
    pub(crate) fn level(self) -> u8 {
        (self.0 >> 56 & 63) as u8
    }

    /// Its number on the level.
    pub(crate) fn index(self) -> u64 {
        self.0 & ((1 << 56) - 1)
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing.
    Free,
    /// A page that is being read.
    Loading,
    /// A page as it is on the disk.
    Clean,
    /// A page that the disk does not have yet.
    Dirty,
    /// A dirty page that belongs to the checkpoint under way: to be changed, it is copied first.
    Frozen,
    /// The copy left behind for the checkpoint; no longer found by its key.
    Shadow,
}

struct Frame {
    key: PageKey,
    state: State,
    /// Used since the clock last came by.
    used: bool,
    /// The step in which it was last asked for: what a step has asked for stays until the step ends.
    step: u64,
    /// Its bytes are on their way to the disk: reading them back would come too early.
    writing: bool,
}

/// A frame's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameId(u32);

const NONE: u32 = u32::MAX;

/// The frames.
pub(crate) struct Cache {
    frames: Vec<Frame>,
    pages: Vec<Page>,
    /// Open addressing by the key's hash; `NONE` is empty.
    slots: Vec<u32>,
    hand: usize,
    step: u64,
    free: Vec<u32>,
    dirty: usize,
}

impl Cache {
    /// A cache of `count` pages. `None` when memory has run out.
    pub(crate) fn new(count: usize) -> Option<Self> {
        let mut frames = Vec::new();
        let mut pages = Vec::new();
        let mut slots = Vec::new();
        let mut free = Vec::new();
        let slot_count = (count * 2).next_power_of_two();
        frames.try_reserve_exact(count).ok()?;
        pages.try_reserve_exact(count).ok()?;
        slots.try_reserve_exact(slot_count).ok()?;
        free.try_reserve_exact(count).ok()?;
        for i in 0..count {
            frames.push(Frame { key: PageKey(0), state: State::Free, used: false, step: 0, writing: false });
            pages.push([0; BLOCK]);
            free.push(i as u32);
        }
        slots.resize(slot_count, NONE);
        Some(Self { frames, pages, slots, hand: 0, step: 1, free, dirty: 0 })
    }

    /// A new step begins: pages asked for earlier may be given up.
    pub(crate) fn begin_step(&mut self) {
        self.step += 1;
    }

    /// Frames that hold what the disk does not have.
    pub(crate) fn dirty(&self) -> usize {
        self.dirty
    }

    fn slot(&self, key: PageKey) -> usize {
        let mixed = (key.0 ^ key.0 >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 20) as usize & (self.slots.len() - 1)
    }

    /// The frame of a page, if the cache has it in whatever state.
    pub(crate) fn find(&mut self, key: PageKey) -> Option<FrameId> {
        let mut slot = self.slot(key);
        loop {
            let frame = self.slots[slot];
            if frame == NONE {
                return None;
            }
            if self.frames[frame as usize].key == key {
                let step = self.step;
                let frame_mut = &mut self.frames[frame as usize];
                (frame_mut.used, frame_mut.step) = (true, step);
                return Some(FrameId(frame));
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    fn link(&mut self, frame: u32) {
        let mut slot = self.slot(self.frames[frame as usize].key);
        while self.slots[slot] != NONE {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = frame;
    }

    /// Takes a frame out of the slots and closes the gap behind it.
    fn unlink(&mut self, frame: u32) {
        let mask = self.slots.len() - 1;
        let mut hole = self.slot(self.frames[frame as usize].key);
        while self.slots[hole] != frame {
            hole = (hole + 1) & mask;
        }
        let mut next = (hole + 1) & mask;
        while self.slots[next] != NONE {
            let home = self.slot(self.frames[self.slots[next] as usize].key);
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.slots[hole] = NONE;
    }

    fn take_frame(&mut self) -> Option<u32> {
        if let Some(frame) = self.free.pop() {
            return Some(frame);
        }
        for _ in 0..self.frames.len() * 2 {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.frames.len();
            let step = self.step;
            let frame = &mut self.frames[at];
            if frame.state != State::Clean || frame.writing || frame.step == step {
                continue;
            }
            if frame.used {
                frame.used = false;
                continue;
            }
            self.unlink(at as u32);
            return Some(at as u32);
        }
        None
    }

    /// A frame for a page that is not in the cache, in `state`, with what was in it before. `None` when every
    /// frame is needed.
    pub(crate) fn insert(&mut self, key: PageKey, state: State) -> Option<FrameId> {
        let frame = self.take_frame()?;
        self.frames[frame as usize] = Frame { key, state, used: true, step: self.step, writing: false };
        self.dirty += usize::from(is_dirty(state));
        self.link(frame);
        Some(FrameId(frame))
    }

    /// Gives a frame up.
    pub(crate) fn remove(&mut self, id: FrameId) {
        let state = self.state(id);
        if state != State::Shadow {
            self.unlink(id.0);
        }
        self.dirty -= usize::from(is_dirty(state));
        self.frames[id.0 as usize].state = State::Free;
        self.free.push(id.0);
    }

    /// What it holds.
    pub(crate) fn state(&self, id: FrameId) -> State {
        self.frames[id.0 as usize].state
    }

    /// Changes what it counts as.
    pub(crate) fn set_state(&mut self, id: FrameId, state: State) {
        let frame = &mut self.frames[id.0 as usize];
        self.dirty -= usize::from(is_dirty(frame.state));
        self.dirty += usize::from(is_dirty(state));
        frame.state = state;
    }

    /// Marks its bytes as on their way to the disk, or as arrived.
    pub(crate) fn set_writing(&mut self, id: FrameId, writing: bool) {
        self.frames[id.0 as usize].writing = writing;
    }

    /// Which page it holds.
    pub(crate) fn key(&self, id: FrameId) -> PageKey {
        self.frames[id.0 as usize].key
    }

    /// Its bytes.
    pub(crate) fn page(&self, id: FrameId) -> &Page {
        &self.pages[id.0 as usize]
    }

    /// Its bytes, to be changed or filled. Of a `Clean` page, after [`Self::make_dirty`].
    pub(crate) fn page_mut(&mut self, id: FrameId) -> &mut Page {
        &mut self.pages[id.0 as usize]
    }

    /// Makes a page changeable: the frame to change from now on. `None` when a copy is needed and every frame
    /// is in use.
    pub(crate) fn make_dirty(&mut self, id: FrameId) -> Option<FrameId> {
        match self.state(id) {
            State::Frozen => {
                let key = self.key(id);
                // The copy takes over the key before the frozen one leaves it.
                let copy = self.take_frame()?;
                self.unlink(id.0);
                self.set_state(id, State::Shadow);
                self.frames[copy as usize] =
                    Frame { key, state: State::Dirty, used: true, step: self.step, writing: false };
                self.dirty += 1;
                self.link(copy);
                let (from, to) = (id.0 as usize, copy as usize);
                self.pages.copy_within(from..=from, to);
                Some(FrameId(copy))
            }
            State::Clean => {
                self.set_state(id, State::Dirty);
                Some(id)
            }
            _ => Some(id),
        }
    }

    /// Freezes every dirty page for a checkpoint.
    pub(crate) fn freeze(&mut self) {
        for frame in &mut self.frames {
            if frame.state == State::Dirty {
                frame.state = State::Frozen;
            }
        }
    }

    /// Any frozen page (or the copy left of one) on `level`, from frame `from` on.
    pub(crate) fn next_frozen(&self, level: u8, from: usize) -> Option<FrameId> {
        let wanted = |frame: &Frame| {
            matches!(frame.state, State::Frozen | State::Shadow) && frame.key.level() == level
        };
        let found = self.frames.iter().skip(from).position(wanted)?;
        Some(FrameId((from + found) as u32))
    }
}

impl FrameId {
    /// Its place among the frames.
    pub(crate) fn position(self) -> usize {
        self.0 as usize
    }
}

fn is_dirty(state: State) -> bool {
    matches!(state, State::Dirty | State::Frozen | State::Shadow)
}
