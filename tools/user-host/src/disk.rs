//! A miniport, a chain and a unit put together, with calls that wait.

use std::{
    any::Any,
    marker::PhantomData,
    mem,
    ptr::NonNull,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use sluice_chain::{Chain, Direction, Flags, Segment};
use sluice_shim::{
    adapter::Adapter,
    miniport::{Hw, Miniport},
    request::{Carry, Incoming, Request},
    spare::Spares,
    unit::{Hold, Unit},
};

use crate::{
    Watch,
    call::{Answer, Call, Callers},
    leaked::Leaked,
    platform::User,
};

/// Who runs the completion DPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// Whoever waits for an answer.
    Inline,
    /// A thread of the disk's own.
    Thread,
}

/// What a disk is given to work with.
#[derive(Clone, Copy)]
pub struct Setup {
    /// Requests that run at once.
    pub requests: usize,
    /// Small private buffers: bytes, how many.
    pub small: (usize, usize),
    /// Large private buffers: bytes, how many. The longest write of a chain that changes payloads.
    pub large: (usize, usize),
    /// Who runs the completion DPC.
    pub executor: Executor,
    /// Who looks on.
    pub watch: Option<&'static dyn Watch>,
}

impl Default for Setup {
    /// For tests and tools: enough in flight, 2 MiB of private memory.
    fn default() -> Self {
        Self {
            requests: 32,
            small: (32 << 10, 32),
            large: (1 << 20, 1),
            executor: Executor::Thread,
            watch: None,
        }
    }
}

/// Something to do, with the memory for it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What to do.
    pub direction: Direction,
    /// How.
    pub flags: Flags,
    /// First sector.
    pub sector: u64,
    /// See [`Incoming::length`].
    pub length: u32,
    /// See [`Incoming::carry`].
    pub carry: Carry,
    /// The payload; at least `length` bytes where there is one, or a sector if that is to be repeated.
    pub buffer: Vec<u8>,
    /// See [`Incoming::same`].
    pub same: bool,
}

impl Operation {
    fn new(direction: Direction, sector: u64, buffer: Vec<u8>) -> Self {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        Self {
            direction,
            flags: Flags::default(),
            sector,
            length,
            carry: Carry::default(),
            buffer,
            same: false,
        }
    }

    /// Reads `length` bytes.
    #[must_use]
    pub fn read(sector: u64, length: u32) -> Self {
        Self::new(Direction::READ, sector, vec![0; length as usize])
    }

    /// Writes `bytes`.
    #[must_use]
    pub fn write(sector: u64, bytes: Vec<u8>) -> Self {
        Self::new(Direction::WRITE, sector, bytes)
    }

    /// Makes all that was acknowledged durable.
    #[must_use]
    pub fn flush() -> Self {
        Self::new(Direction::FLUSH, 0, Vec::new())
    }

    /// Has the device read `length` bytes and keep them.
    #[must_use]
    pub fn verify(sector: u64, length: u32) -> Self {
        Self { length, ..Self::new(Direction::VERIFY, sector, Vec::new()) }
    }

    /// Forgets what an UNMAP parameter list names.
    #[must_use]
    pub fn discard(list: Vec<u8>) -> Self {
        Self::new(Direction::DISCARD, 0, list)
    }

    /// Writes `sector` to all the sectors of `length` bytes; zeros if it is empty.
    #[must_use]
    pub fn write_same(first: u64, sector: Vec<u8>, length: u32) -> Self {
        Self { length, same: true, ..Self::new(Direction::WRITE, first, sector) }
    }

    /// Asks which sectors hold data, from `sector` on; as much of an answer as `length` bytes hold.
    #[must_use]
    pub fn status(sector: u64, length: u32) -> Self {
        Self::new(Direction::STATUS, sector, vec![0; length as usize])
    }

    fn incoming(&mut self) -> Incoming {
        let has_payload = !self.same && !matches!(self.direction, Direction::VERIFY | Direction::FLUSH);
        assert!(
            !has_payload || self.length as usize <= self.buffer.len(),
            "a buffer of less than its length"
        );
        let address = if self.buffer.is_empty() { std::ptr::null_mut() } else { self.buffer.as_mut_ptr() };
        Incoming {
            direction: self.direction,
            flags: self.flags,
            sector: self.sector,
            length: self.length,
            payload: Segment { address, length: self.buffer.len() },
            same: self.same,
            carry: self.carry,
        }
    }
}

/// One unit on one miniport. Fields are dropped in this order, each after its users.
pub struct Disk {
    dpc: Option<Dpc>,
    unit: Leaked<Unit>,
    adapter: Leaked<Adapter>,
    callers: Leaked<Callers>,
    platform: Leaked<User>,
    changing: Mutex<()>,
    _spares: Vec<Vec<u128>>,
    _miniport: Arc<dyn Any + Send + Sync>,
}

impl Disk {
    /// Puts `chain` between callers and `miniport`.
    #[must_use]
    pub fn new<M>(miniport: Arc<M>, sector_size: u32, chain: Chain, setup: &Setup) -> Self
    where
        M: Miniport + Send + Sync + 'static,
    {
        // SAFETY: the miniport stays where it is inside its `Arc`, which the disk keeps.
        unsafe {
            let hw = Hw::of(&*Arc::as_ptr(&miniport));
            Self::over(hw, miniport, sector_size, chain, setup)
        }
    }

    /// As [`Self::new`], over the miniport behind `hw`, which `owner` keeps alive.
    ///
    /// # Safety
    /// The miniport works for as long as `owner` exists.
    #[must_use]
    pub unsafe fn over(
        hw: Hw,
        owner: Arc<dyn Any + Send + Sync>,
        sector_size: u32,
        chain: Chain,
        setup: &Setup,
    ) -> Self {
        let platform = Leaked::new(setup.watch.map_or_else(User::new, User::watched));
        let callers = Leaked::new(Callers::new(setup.watch));
        let (spares, memory) = spares(setup);
        let requests = (0..setup.requests).map(|_| Request::new([0; 4])).collect();
        // SAFETY: all of these are dropped in the order of `Disk`'s fields, after `Drop` has seen to it that no
        // request and no thread uses them any more.
        let (adapter, unit) = unsafe {
            let adapter = Leaked::new(Adapter::new(hw, platform.outlived()));
            let (below, host) = (adapter.outlived(), callers.outlived());
            let unit = Leaked::new(Unit::new(below, host, chain, sector_size, requests, spares));
            (adapter, unit)
        };
        let dpc = (setup.executor == Executor::Thread).then(|| {
            // SAFETY: the thread is joined before anything is dropped.
            unsafe { Dpc::start(platform.outlived(), adapter.outlived()) }
        });
        Self {
            dpc,
            unit,
            adapter,
            callers,
            platform,
            changing: Mutex::new(()),
            _spares: memory,
            _miniport: owner,
        }
    }

    /// The unit, for its statistics and its chain's.
    #[must_use]
    pub fn unit(&self) -> &Unit {
        &self.unit
    }

    /// The adapter, for its faults.
    #[must_use]
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Changes the chain while no operation is under way; those that come meanwhile wait. Waits.
    pub fn change_chain<R>(&self, change: impl FnOnce(&mut Chain) -> R) -> R {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.callers.await_drained(&self.unit, || {
            self.run_until_idle();
            thread::yield_now();
        });
        // SAFETY: held and drained, and one at a time.
        let result = change(unsafe { self.unit.chain_mut() });
        self.unit.go_on(Hold::CHANGING);
        result
    }

    /// Starts an operation. Any number may be under way.
    pub fn start(&self, mut operation: Operation) -> Ticket<'_> {
        let call = Leaked::new(Call::new(operation.incoming()));
        // SAFETY: the ticket keeps call and buffer until the answer has come, or leaks them.
        unsafe { self.callers.submit(&self.unit, &call) };
        Ticket { disk: self, call, buffer: operation.buffer, _of_this_thread: PhantomData }
    }

    /// Starts a transfer from or into memory of the caller's. Any number may be under way.
    ///
    /// # Safety
    /// `memory` stays mapped, and while it is read into nobody's, until the ticket has been answered or dropped.
    pub unsafe fn start_at(&self, direction: Direction, sector: u64, memory: Segment) -> Ticket<'_> {
        let call = Leaked::new(Call::new(incoming(direction, Flags::default(), sector, memory)));
        // SAFETY: the ticket keeps the call until the answer has come, the caller the memory.
        unsafe { self.callers.submit(&self.unit, &call) };
        Ticket { disk: self, call, buffer: Vec::new(), _of_this_thread: PhantomData }
    }

    /// Reads into `buffer` and waits.
    pub fn read(&self, sector: u64, buffer: &mut [u8]) -> Answer {
        self.transfer(Direction::READ, Flags::default(), sector, buffer.as_mut_ptr(), buffer.len())
    }

    /// Writes `bytes` and waits.
    pub fn write(&self, sector: u64, bytes: &[u8], flags: Flags) -> Answer {
        // Never written through: a write's payload is only read.
        self.transfer(Direction::WRITE, flags, sector, bytes.as_ptr().cast_mut(), bytes.len())
    }

    /// Makes all that was acknowledged durable.
    pub fn flush(&self) -> Answer {
        self.start(Operation::flush()).wait().0
    }

    /// Has the device check `length` bytes.
    pub fn verify(&self, sector: u64, length: u32) -> Answer {
        self.start(Operation::verify(sector, length)).wait().0
    }

    /// Forgets what an UNMAP parameter list names.
    pub fn discard(&self, list: Vec<u8>) -> Answer {
        self.start(Operation::discard(list)).wait().0
    }

    fn transfer(
        &self,
        direction: Direction,
        flags: Flags,
        sector: u64,
        at: *mut u8,
        length: usize,
    ) -> Answer {
        let call = Call::new(incoming(direction, flags, sector, Segment { address: at, length }));
        // SAFETY: this function waits for the answer, so that both the call and the caller's bytes stay.
        unsafe { self.callers.submit(&self.unit, &call) };
        self.wait(&call)
    }

    fn wait(&self, call: &Call) -> Answer {
        loop {
            if let Some(answer) = call.answer() {
                return answer;
            }
            self.run_until_idle();
            if call.answer().is_none() {
                self.pause();
            }
        }
    }

    /// Does what is due, if this thread is to do it.
    pub fn run_until_idle(&self) {
        if self.dpc.is_none() {
            self.platform.run_until_idle(&self.adapter);
        }
    }

    fn pause(&self) {
        match self.dpc {
            Some(_) => thread::park(),
            // A stage or a miniport with a thread of its own may make a DPC due, which wakes nobody.
            None => thread::park_timeout(Duration::from_micros(50)),
        }
    }
}

fn incoming(direction: Direction, flags: Flags, sector: u64, payload: Segment) -> Incoming {
    let length = u32::try_from(payload.length).unwrap_or(u32::MAX); // no multiple of a sector: refused
    Incoming { direction, flags, sector, length, payload, same: false, carry: Carry::default() }
}

impl Drop for Disk {
    fn drop(&mut self) {
        while !self.callers.is_idle() || !self.adapter.is_idle() {
            self.run_until_idle();
            thread::yield_now();
        }
        self.dpc = None;
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("callers", &*self.callers).field("stats", self.unit.stats()).finish()
    }
}

/// An operation under way. Waits when dropped.
pub struct Ticket<'d> {
    disk: &'d Disk,
    call: Leaked<Call>,
    buffer: Vec<u8>,
    /// The answer wakes the thread that started it.
    _of_this_thread: PhantomData<*const ()>,
}

impl Ticket<'_> {
    /// The answer and the buffer.
    #[must_use]
    pub fn wait(mut self) -> (Answer, Vec<u8>) {
        let answer = self.disk.wait(&self.call);
        (answer, mem::take(&mut self.buffer))
    }

    /// The answer, if it has come.
    #[must_use]
    pub fn answer(&self) -> Option<Answer> {
        self.call.answer()
    }

    /// Withdraws it if it has not begun. `false`: it goes on.
    pub fn cancel(&self) -> bool {
        self.disk.callers.cancel(&self.disk.unit, &self.call)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.disk.wait(&self.call);
    }
}

/// The thread that runs the DPC.
struct Dpc {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dpc {
    fn start(platform: &'static User, adapter: &'static Adapter) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::spawn(move || platform.serve(adapter, &seen));
        platform.served_by(thread.thread());
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Dpc {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join(); // it does not panic
        }
    }
}

/// Private memory for a unit, zeroed, and what owns it.
fn spares(setup: &Setup) -> (Spares, Vec<Vec<u128>>) {
    let mut spares = Spares::new(setup.small.0, setup.large.0);
    let mut memory = Vec::new();
    for (large, (size, count)) in [(false, setup.small), (true, setup.large)] {
        for _ in 0..count {
            let mut buffer = vec![0_u128; size.div_ceil(size_of::<u128>()).max(1)];
            if let Some(start) = NonNull::new(buffer.as_mut_ptr().cast()) {
                // SAFETY: long enough, aligned, zeroed, and owned by the disk until after its unit has gone.
                unsafe { spares.add(large, start) };
            }
            memory.push(buffer);
        }
    }
    (spares, memory)
}
