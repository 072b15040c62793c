//! The loop that takes an I/O down through the stages and up again.

use alloc::boxed::Box;
use core::{cmp::Reverse, ffi::c_void};

use crate::{
    abi::{ABI_VERSION, Direction, Io, MAX_STAGES, Needs, StageTable, Status, Verdict},
    handshake,
    registration::{Kind, Outside, Place},
    stage::Stage,
    stats::StageStats,
    thunk, try_box,
};

/// Stages in order, first the one that sees a request first. Built, and changed, while no I/O is inside.
#[derive(Debug, Default)]
pub struct Chain {
    // On the heap: a slot's counters take 600 bytes, and a chain is passed by value on kernel stacks.
    slots: [Option<Box<Slot>>; MAX_STAGES],
    count: usize,
}

/// A stage in its place in a chain.
#[derive(Debug)]
pub struct Slot {
    table: StageTable,
    context: *const c_void,
    rank: Rank,
    /// Whose it is, if another driver has registered it.
    outside: Option<Ticket>,
    stats: StageStats,
}

/// Which stages stand above which. The volume's own stand in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u8, Reverse<u32>);

impl Rank {
    const OWN: Self = Self(1, Reverse(0));

    fn of(outside: &Outside) -> Self {
        Self(if outside.place == Place::ABOVE { 0 } else { 2 }, Reverse(outside.altitude))
    }
}

/// What is known of a stage that another driver has registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Which registration.
    pub handle: u64,
    /// Whether it may change data.
    pub kind: Kind,
    /// Which side of the volume's own stages it is on.
    pub place: Place,
    /// Its place among others there.
    pub altitude: u32,
}

// SAFETY: a stage's functions may be called on any thread, several at once (`StageTable`'s contract), and the
// counters are atomic.
unsafe impl Send for Slot {}
// SAFETY: as above.
unsafe impl Sync for Slot {}

/// Why a stage cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainFull {
    /// [`MAX_STAGES`] are in already.
    Full,
    /// The table's version or size is not ours.
    Version,
    /// Memory has run out.
    NoMemory,
}

/// Where an I/O stands after a call into the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Through all stages: call the miniport (down), or finish (up).
    Through,
    /// A stage ended it on the way down: send it up with [`Chain::completion`].
    Ended,
    /// A stage keeps it, and the `Io` may not be touched any more: it may be gone.
    Pending,
}

const DOWN: u32 = 0;
const UP: u32 = 1;

impl Chain {
    /// An empty chain.
    pub const fn new() -> Self {
        Self { slots: [const { None }; MAX_STAGES], count: 0 }
    }

    /// Adds a stage below those already there.
    ///
    /// # Safety
    /// `context` must be what the table's functions expect, and outlive the chain.
    ///
    /// # Errors
    /// When the chain is full, the table is of another version, or memory has run out.
    pub unsafe fn push(&mut self, table: StageTable, context: *const c_void) -> Result<(), ChainFull> {
        if table.version >> 16 != ABI_VERSION >> 16 || (table.size as usize) < size_of::<StageTable>() {
            return Err(ChainFull::Version);
        }
        if self.count == MAX_STAGES {
            return Err(ChainFull::Full);
        }
        let slot = Slot { table, context, rank: Rank::OWN, outside: None, stats: StageStats::new() };
        self.insert(try_box(slot).ok_or(ChainFull::NoMemory)?)
    }

    /// Adds a stage where its rank says. Takes no memory.
    ///
    /// # Errors
    /// [`ChainFull::Full`].
    pub fn insert(&mut self, slot: Box<Slot>) -> Result<(), ChainFull> {
        let at = self.slots().take_while(|other| other.rank <= slot.rank).count();
        let moved = self.slots.get_mut(at..=self.count).ok_or(ChainFull::Full)?;
        moved.rotate_right(1);
        if let Some(place) = moved.first_mut() {
            *place = Some(slot);
        }
        self.count += 1;
        Ok(())
    }

    /// Takes out the stage of registration `handle`.
    pub fn remove(&mut self, handle: u64) -> Option<Box<Slot>> {
        let at =
            self.slots().position(|slot| slot.outside.is_some_and(|outside| outside.handle == handle))?;
        let moved = self.slots.get_mut(at..self.count)?;
        moved.rotate_left(1);
        self.count -= 1;
        moved.last_mut()?.take()
    }

    /// What is known of the stage of registration `handle`, if it is in here.
    pub fn holds(&self, handle: u64) -> Option<&Ticket> {
        self.slots().filter_map(|slot| slot.outside.as_ref()).find(|outside| outside.handle == handle)
    }

    /// Adds a stage below those already there, and owns it from now on.
    ///
    /// # Errors
    /// When the chain is full; the stage is dropped.
    pub fn push_owned<S: Stage + Send + 'static>(&mut self, stage: Box<S>) -> Result<(), ChainFull> {
        let context = Box::into_raw(stage);
        // SAFETY: the table is of the stage's own type, and the stage lives until `detach` drops it.
        let pushed = unsafe { self.push(thunk::owning_table::<S>(), context.cast()) };
        if pushed.is_err() {
            // SAFETY: not taken: still ours.
            drop(unsafe { Box::from_raw(context) });
        }
        pushed
    }

    /// The stages, top to bottom.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten().map(|slot| &**slot)
    }

    /// Whether a stage asked for `need`.
    pub fn needs(&self, need: Needs) -> bool {
        self.slots().any(|slot| slot.table.needs.0 & need.0 != 0)
    }

    /// Sends a fresh I/O down.
    #[inline]
    pub fn request(&self, io: &mut Io) -> Outcome {
        io.position = 0;
        io.phase = DOWN;
        if self.count == 0 {
            return Outcome::Through;
        }
        for state in &mut io.state[..self.count] {
            *state = Default::default();
        }
        self.down(io)
    }

    /// Sends an I/O up: one that the device has completed, or one that a stage ended on the way down.
    #[inline]
    pub fn completion(&self, io: &mut Io) -> Outcome {
        io.phase = UP;
        if self.count == 0 {
            return Outcome::Through;
        }
        self.up(io)
    }

    /// Goes on with an I/O that a stage kept, given the stage's answer. After [`Chain::take_back`] has said so.
    pub fn resume(&self, io: &mut Io, verdict: Verdict) -> Outcome {
        let going_down = io.phase == DOWN;
        if let Some(outcome) = self.step(io, verdict) {
            return outcome;
        }
        if going_down { self.down(io) } else { self.up(io) }
    }

    /// A stage gives back an I/O that it kept. `true`: it is the caller's now, who goes on with [`Chain::resume`].
    /// `false`: the stage's function has not returned yet, and whoever called it goes on when it does; or it was given
    /// back already, and this does nothing.
    ///
    /// # Safety
    /// `io` points to an I/O whose stage answers, or has answered, [`Verdict::PENDING`].
    pub unsafe fn take_back(io: *mut Io, verdict: Verdict) -> bool {
        // SAFETY: the caller's contract. No reference to the whole: a frame of `down` or `up` may have one.
        handshake::take_back(unsafe { &(*io).handshake }, verdict)
    }

    /// Whether the I/O is on the way down.
    pub fn is_going_down(io: &Io) -> bool {
        io.phase == DOWN
    }

    // Not inlined: an empty chain has no need of its registers.
    #[inline(never)]
    fn down(&self, io: &mut Io) -> Outcome {
        while let Some(slot) = self.slots.get(io.position as usize).and_then(Option::as_deref) {
            io.entered = slot.enter(io);
            handshake::begin(io);
            // SAFETY: table and context belong together (`push`); the `Io` is ours until the call.
            let verdict = unsafe { (slot.table.request)(slot.context, io) };
            let Some(verdict) = handshake::settle(io, verdict) else { return Outcome::Pending };
            if let Some(outcome) = self.step(io, verdict) {
                return outcome;
            }
        }
        Outcome::Through
    }

    #[inline(never)]
    fn up(&self, io: &mut Io) -> Outcome {
        while io.position > 0 {
            io.position -= 1;
            let Some(slot) = self.slots.get(io.position as usize).and_then(Option::as_deref) else {
                continue;
            };
            io.entered = slot.enter(io);
            handshake::begin(io);
            // SAFETY: as in `down`.
            let verdict = unsafe { (slot.table.completion)(slot.context, io) };
            let Some(verdict) = handshake::settle(io, verdict) else { return Outcome::Pending };
            self.step(io, verdict);
        }
        Outcome::Through
    }

    /// Takes the answer of the stage that has the I/O; `Some` ends the way down.
    fn step(&self, io: &mut Io, verdict: Verdict) -> Option<Outcome> {
        let slot = self.slots.get(io.position as usize).and_then(Option::as_deref);
        if io.phase == UP {
            if !matches!(verdict, Verdict::CONTINUE | Verdict::DONE) {
                io.status = Status::INTERNAL;
            }
        } else if verdict == Verdict::DONE && io.status == Status::OK && slot.is_some_and(Slot::observes) {
            io.status = Status::INTERNAL; // it says that it has moved the data, which is not for it to do
        }
        if let Some(slot) = slot {
            slot.leave(io);
        }
        if io.phase == UP {
            return None;
        }
        match verdict {
            Verdict::CONTINUE => {
                io.position += 1;
                None
            }
            Verdict::DONE => Some(Outcome::Ended),
            _ => {
                io.status = Status::INTERNAL;
                Some(Outcome::Ended)
            }
        }
    }
}

impl Slot {
    /// A stage of another driver, for a chain. `None` when memory has run out.
    ///
    /// # Safety
    /// As for [`Chain::push`].
    pub unsafe fn outside(handle: u64, outside: &Outside) -> Option<Box<Self>> {
        let Outside { kind, place, altitude, table, context, .. } = *outside;
        try_box(Self {
            table,
            context,
            rank: Rank::of(outside),
            outside: Some(Ticket { handle, kind, place, altitude }),
            stats: StageStats::new(),
        })
    }

    /// What is known of it if another driver has registered it.
    pub fn ticket(&self) -> Option<&Ticket> {
        self.outside.as_ref()
    }

    fn observes(&self) -> bool {
        self.outside.is_some_and(|outside| outside.kind == Kind::OBSERVER)
    }

    /// The stage's name.
    pub fn name(&self) -> &[u8; 16] {
        &self.table.name
    }

    /// What passed through it.
    pub fn stats(&self) -> &StageStats {
        &self.stats
    }

    fn enter(&self, io: &Io) -> u64 {
        // SAFETY: the host's table is valid for as long as its I/O lasts.
        unsafe { ((*io.host).now)() }
    }

    fn leave(&self, io: &Io) {
        let point = if io.phase == DOWN { &self.stats.request } else { &self.stats.completion };
        let bytes = match io.direction {
            Direction::READ if io.phase == UP => u64::from(io.transferred),
            Direction::READ | Direction::WRITE => u64::from(io.length),
            _ => 0,
        };
        point.record(bytes, io.status != Status::OK, self.enter(io).saturating_sub(io.entered));
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // A stage of another driver may be in other chains: its last call is made when it is unregistered.
        for slot in self.slots.iter().flatten().filter(|slot| slot.outside.is_none()) {
            // SAFETY: whoever drops the chain has drained it; this is the last use of the context.
            unsafe { (slot.table.detach)(slot.context) };
        }
    }
}
