//! A logical unit: a chain, a fixed number of requests, and the callers that wait for one.

use alloc::vec::Vec;
use core::{
    cell::UnsafeCell,
    mem::ManuallyDrop,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering},
};

use sluice_chain::{
    Chain, Direction, Status,
    abi::{HostTable, Needs},
    stats::PointStats,
};

use crate::{
    adapter::Adapter,
    platform::{Guard, SpinLock},
    queue::{Fifo, Waiting},
    request::{DeviceResult, Incoming, Owned, Request},
    spare::Spares,
    storport::{SrbFlags, SrbView, srb::Address},
};

/// Who submits requests to a unit and gets the results.
///
/// # Safety
/// A [`Waiting`] stays valid at its address from `submit` until `finish`, or until `withdraw` took it out.
pub unsafe trait Host: Sync {
    /// The request has to wait. Called under the unit's lock: arrange for cancellation and return at once.
    /// `false`: it is cancelled already, do not queue it; the host finishes it itself.
    fn queued(&self, waiting: NonNull<Waiting>) -> bool;

    /// What is this waiting request? Called under the unit's lock, maybe several times.
    fn describe(&self, waiting: NonNull<Waiting>) -> Incoming;

    /// The waiting request's turn has come. Called under the unit's lock. `false`: it has been cancelled
    /// meanwhile, and the host finishes it itself.
    fn claim(&self, waiting: NonNull<Waiting>) -> bool;

    /// The SRB of a request that was described as [`Incoming::COMMAND`]: what the miniport is to get. Called outside the
    /// unit's lock, up to DISPATCH_LEVEL. `None` fails the request. Only for hosts that submit such requests.
    fn asked(&self, waiting: NonNull<Waiting>) -> Option<SrbView> {
        let _ = waiting;
        None
    }

    /// The request is done. Called once for each accepted submission, at DISPATCH_LEVEL or below.
    fn finish(&self, waiting: NonNull<Waiting>, result: &Finished<'_>);

    /// The unit has let go of a request after [`Self::finish`], and does not touch anything of it any more: the
    /// host may take the unit away once this has been called as often as it submitted.
    fn left(&self);

    /// No request is under way any more, as [`Hold::CHANGING`] wanted. Called under the unit's lock: wake whoever waits for
    /// it, and return at once. For hosts that never hold a unit there is nothing to do.
    fn drained(&self) {}

    /// Frees what the host keeps in a request's words. Called for each when the unit is dropped.
    fn release(&self, request: &Request);
}

/// Why a unit holds back what comes. Each reason holds by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold(u32);

impl Hold {
    /// A class driver has locked the queue (SRB_FUNCTION_LOCK_QUEUE): what carries
    /// [`SrbFlags::BYPASS_LOCKED_QUEUE`] passes, before all that waits.
    pub const LOCKED: Self = Self(1);
    /// The adapter is stopped: nothing passes.
    pub const STOPPED: Self = Self(2);
    /// The chain is to be changed: nothing passes, and [`Host::drained`] is called when nothing is under way any more, if
    /// something was. By one caller at a time.
    pub const CHANGING: Self = Self(4);
}

/// A request that the unit has found possible.
#[derive(Clone, Copy, Debug)]
pub struct Checked {
    incoming: Incoming,
    spare: usize,
}

/// How a request went.
#[derive(Debug)]
pub struct Finished<'a> {
    /// `OK` and `DEVICE`: the device's own result stands. Anything else was decided above the device.
    pub status: Status,
    /// Payload bytes moved.
    pub transferred: u32,
    /// What the device said, if the request got that far.
    pub device: Option<DeviceResult<'a>>,
}

/// What passed the two interception points of a unit.
#[derive(Debug, Default)]
pub struct UnitStats {
    /// ① on the way down: requests and bytes.
    pub dispatched: PointStats,
    /// ② on the way up: requests, bytes, errors, and the time between the two points.
    pub completed: PointStats,
}

/// One logical unit on an adapter.
pub struct Unit {
    adapter: &'static Adapter,
    host: &'static dyn Host,
    /// Changed only while no request is under way; see [`Self::chain_mut`].
    chain: UnsafeCell<Chain>,
    address: Address,
    /// In bytes; 0 while it is not known.
    sector_size: AtomicU32,
    services: &'static HostTable,
    /// Whether the chain needs private memory for a write.
    spare_on_write: bool,
    /// The longest that private memory can be, in bytes.
    largest_spare: usize,
    requests: Slab,
    pool: SpinLock<Pool>,
    stats: UnitStats,
}

/// The requests, where they stay: a vector that is only reached through pointers.
#[derive(Clone, Copy)]
struct Slab {
    first: *mut Request,
    length: usize,
    capacity: usize,
}

struct Pool {
    free: *mut Request,
    /// Requests that are not free.
    busy: u32,
    /// Reasons of [`Hold`].
    held: u32,
    waiting: Fifo,
    spares: Spares,
}

// SAFETY: the pool's pointers lead to requests of this unit and to callers' nodes, both shared by design.
unsafe impl Send for Pool {}
// SAFETY: everything that changes lies behind the pool's lock, in atomics, or in requests with one holder; but for the
// chain, which changes while there is no request that could look at it.
unsafe impl Sync for Unit {}
// SAFETY: as above.
unsafe impl Send for Unit {}

impl Unit {
    /// A unit that runs `requests.len()` requests at once and takes private memory from `spares`.
    pub fn new(
        adapter: &'static Adapter,
        host: &'static dyn Host,
        chain: Chain,
        sector_size: u32,
        requests: Vec<Request>,
        spares: Spares,
    ) -> Self {
        // Not a boxed slice: cutting the vector to its length may allocate, and that may fail.
        let mut requests = ManuallyDrop::new(requests);
        let (length, capacity) = (requests.len(), requests.capacity());
        let requests = Slab { first: requests.as_mut_ptr(), length, capacity };
        let mut free = ptr::null_mut();
        for request in requests.iter().rev() {
            // SAFETY: nobody else knows it yet.
            unsafe { (*request.as_ptr()).next = free };
            free = request.as_ptr();
        }
        let spare_on_write = chain.needs(Needs::SPARE_ON_WRITE);
        Self {
            adapter,
            host,
            chain: UnsafeCell::new(chain),
            address: Address::default(),
            sector_size: AtomicU32::new(sector_size),
            services: adapter.platform().host_table(),
            spare_on_write,
            largest_spare: spares.largest(),
            requests,
            pool: SpinLock::new(Pool { free, busy: 0, held: 0, waiting: Fifo::new(), spares }),
            stats: UnitStats::default(),
        }
    }

    /// The same unit at another address of its adapter than bus 0, target 0, unit 0.
    #[must_use]
    pub fn at(mut self, address: Address) -> Self {
        self.address = address;
        self
    }

    /// Sends a request through the chain to the miniport, now or when its turn comes. Requests start in the
    /// order of submission. Up to DISPATCH_LEVEL.
    ///
    /// # Errors
    /// A request that can never run is refused, and so is one that [`Host::queued`] found cancelled; the host
    /// is then not called for it again.
    pub fn submit(&self, waiting: NonNull<Waiting>, incoming: &Incoming) -> Result<(), Status> {
        let spare = self.possible(incoming).ok_or(Status::INVALID)?;
        self.send(waiting, incoming, spare)
    }

    /// As [`Self::submit`], for a host that must know before it gives up the caller's request whether the unit
    /// will take it.
    ///
    /// # Errors
    /// [`Status::CANCELLED`] only, as there.
    pub fn submit_checked(&self, waiting: NonNull<Waiting>, checked: &Checked) -> Result<(), Status> {
        self.send(waiting, &checked.incoming, checked.spare)
    }

    fn send(&self, waiting: NonNull<Waiting>, incoming: &Incoming, spare: usize) -> Result<(), Status> {
        let request = {
            let mut pool = self.lock();
            let clear = pool.held == 0 && pool.waiting.first().is_none();
            let taken = if clear || pool.overtakes(incoming) { pool.take(spare) } else { None };
            match taken {
                Some(request) => request,
                None if self.host.queued(waiting) => {
                    let first = pool.overtakes(incoming);
                    // SAFETY: `Host`'s contract.
                    unsafe {
                        if first { pool.waiting.push_front(waiting) } else { pool.waiting.push(waiting) }
                    };
                    return Ok(());
                }
                None => return Err(Status::CANCELLED),
            }
        };
        self.start(request, waiting, incoming);
        Ok(())
    }

    /// Takes a waiting request out of the queue, for cancellation; `false` if it is not there (any more).
    pub fn withdraw(&self, waiting: NonNull<Waiting>) -> bool {
        let mut pool = self.lock();
        let found = pool.waiting.remove(waiting);
        if found {
            self.start_waiting(pool); // those behind it may need less than it did
        }
        found
    }

    /// The oldest waiting request, taken out of the queue; for a host that gives up all of them.
    pub fn withdraw_first(&self) -> Option<NonNull<Waiting>> {
        self.lock().waiting.pop()
    }

    /// Holds back what comes from now on; what is under way goes on. Answers whether nothing is. Up to DISPATCH_LEVEL.
    pub fn hold(&self, why: Hold) -> bool {
        let mut pool = self.lock();
        pool.held |= why.0;
        pool.busy == 0
    }

    /// Takes [`Self::hold`] back, and starts what has waited if that was the last reason. Up to DISPATCH_LEVEL.
    pub fn go_on(&self, why: Hold) {
        let mut pool = self.lock();
        pool.held &= !why.0;
        self.start_waiting(pool);
    }

    /// Whether nothing is under way; more may wait. Lasts only while the unit holds back what comes.
    pub fn is_idle(&self) -> bool {
        self.lock().busy == 0
    }

    /// The requests, for the host to set up its own words before the first submission.
    pub fn requests(&self) -> impl Iterator<Item = NonNull<Request>> {
        self.requests.iter()
    }

    /// The chain, to be changed. What it needs of the host ([`Needs`]) must stay: it was looked at once.
    ///
    /// # Safety
    /// The unit is held and no request is under way; nobody else looks at the chain meanwhile.
    #[expect(clippy::mut_from_ref, reason = "the caller holds the unit, which is what gives exclusion")]
    pub unsafe fn chain_mut(&self) -> &mut Chain {
        // SAFETY: the caller's contract.
        unsafe { &mut *self.chain.get() }
    }

    /// The chain. Whoever is no request of this unit sees to it that nobody changes it meanwhile.
    pub fn chain(&self) -> &Chain {
        // SAFETY: `chain_mut`'s contract: it does not change while a request is under way or somebody looks.
        unsafe { &*self.chain.get() }
    }

    /// What passed the two points.
    pub fn stats(&self) -> &UnitStats {
        &self.stats
    }

    /// Size of a sector in bytes; 0 if it is not known, so that no I/O about blocks is possible.
    pub fn sector_size(&self) -> u32 {
        self.sector_size.load(Ordering::Relaxed)
    }

    /// Sets it, for a unit whose medium was asked only after it was made. Not while an I/O about blocks is under way.
    pub fn set_sector_size(&self, bytes: u32) {
        self.sector_size.store(bytes, Ordering::Relaxed);
    }

    /// Bus, target and unit on the adapter.
    pub fn address(&self) -> Address {
        self.address
    }

    pub(crate) fn asked(&self, waiting: *mut Waiting) -> Option<SrbView> {
        self.host.asked(NonNull::new(waiting)?)
    }

    pub(crate) fn adapter(&self) -> &'static Adapter {
        self.adapter
    }

    pub(crate) fn now(&self) -> u64 {
        // SAFETY: callable at any time.
        unsafe { (self.services.now)() }
    }

    /// The services for stages.
    pub(crate) fn services(&self) -> &'static HostTable {
        self.services
    }

    fn lock(&self) -> Guard<'_, Pool> {
        self.pool.lock(self.adapter.platform())
    }

    pub(crate) fn dispatched(&self, bytes: u64) {
        self.stats.dispatched.count(bytes);
    }

    pub(crate) fn completed(&self, bytes: u64, failed: bool, nanoseconds: u64) {
        self.stats.completed.record(bytes, failed, nanoseconds);
    }

    /// Tells the host, then gives the request to whoever waits.
    #[inline]
    pub(crate) fn finish(&self, mut request: Owned) {
        let host = self.host;
        if let Some(waiting) = NonNull::new(request.waiting) {
            host.finish(waiting, &request.finished());
        }
        request.end();
        let mut pool = self.lock();
        pool.give(request);
        if pool.held & Hold::CHANGING.0 != 0 && pool.busy == 0 {
            self.host.drained();
        }
        self.start_waiting(pool);
        host.left();
    }

    /// Starts waiting requests while there is room. Does not recurse: what ends at once ends in the DPC.
    #[inline]
    fn start_waiting<'a>(&'a self, pool: Guard<'a, Pool>) {
        if pool.waiting.first().is_some() {
            self.start_some(pool);
        }
    }

    fn start_some<'a>(&'a self, mut pool: Guard<'a, Pool>) {
        while let Some(waiting) = pool.waiting.first() {
            let incoming = self.host.describe(waiting);
            if pool.held != 0 && !pool.overtakes(&incoming) {
                return;
            }
            let Some(request) = pool.take(self.spare_bytes(&incoming)) else { return };
            pool.waiting.pop();
            if !self.host.claim(waiting) {
                pool.give(request);
                continue;
            }
            drop(pool);
            self.start(request, waiting, &incoming);
            pool = self.lock();
        }
    }

    #[inline]
    fn start(&self, mut request: Owned, waiting: NonNull<Waiting>, incoming: &Incoming) {
        request.prepare(incoming, waiting.as_ptr(), self);
        crate::interception::dispatch(self, request);
    }

    /// Whether a request can run at all.
    ///
    /// # Errors
    /// [`Status::INVALID`].
    pub fn check(&self, incoming: &Incoming) -> Result<Checked, Status> {
        let spare = self.possible(incoming).ok_or(Status::INVALID)?;
        Ok(Checked { incoming: *incoming, spare })
    }

    /// How much private memory a request takes, in bytes; `None` if it can never run.
    #[inline]
    fn possible(&self, incoming: &Incoming) -> Option<usize> {
        let sector_size = self.sector_size();
        let aligned = sector_size != 0 && incoming.length.is_multiple_of(sector_size);
        let mapped = incoming.length == 0 || !incoming.payload.address.is_null();
        let whole = match incoming.direction {
            Direction::WRITE if incoming.same => {
                let sector = incoming.payload.length;
                aligned && (sector == 0 || mapped && sector >= sector_size as usize)
            }
            Direction::READ | Direction::WRITE => aligned && mapped,
            Direction::STATUS => mapped,
            Direction::VERIFY => aligned,
            Direction::DISCARD | Incoming::COMMAND => mapped,
            Direction::FLUSH => true,
            _ => false,
        };
        let spare = self.spare_bytes(incoming);
        (whole && spare <= self.largest_spare).then_some(spare)
    }

    fn spare_bytes(&self, incoming: &Incoming) -> usize {
        match incoming.direction {
            Direction::WRITE if self.spare_on_write || incoming.same => incoming.length as usize,
            Direction::DISCARD => crate::discard::spare_bytes(incoming.length),
            _ => 0,
        }
    }
}

impl Pool {
    /// A free request, holding private memory of at least `spare` bytes.
    fn take(&mut self, spare: usize) -> Option<Owned> {
        let request = NonNull::new(self.free)?;
        let held = if spare == 0 { None } else { Some(self.spares.take(spare)?) };
        // SAFETY: requests on the free list are owned by the pool, which gives this one up.
        let mut request = unsafe {
            self.free = request.as_ref().next;
            Owned::taken(request)
        };
        request.held = held;
        self.busy += 1;
        Some(request)
    }

    /// Whether it passes a locked queue.
    fn overtakes(&self, incoming: &Incoming) -> bool {
        self.held == Hold::LOCKED.0 && incoming.carry.flags.contains(SrbFlags::BYPASS_LOCKED_QUEUE)
    }

    fn give(&mut self, mut request: Owned) {
        if let Some(held) = request.held.take() {
            self.spares.give(held);
        }
        self.busy -= 1;
        request.next = self.free;
        self.free = request.forget_into().as_ptr();
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        for request in self.requests() {
            // SAFETY: whoever drops the unit has drained it: every request is idle.
            self.host.release(unsafe { request.as_ref() });
        }
        let Slab { first, length, capacity } = self.requests;
        // SAFETY: `new` took a vector apart into these.
        drop(unsafe { Vec::from_raw_parts(first, length, capacity) });
    }
}

impl Slab {
    fn iter(&self) -> impl DoubleEndedIterator<Item = NonNull<Request>> + use<> {
        let first = self.first;
        // SAFETY: inside the vector, whose pointer is never null.
        (0..self.length).map(move |index| unsafe { NonNull::new_unchecked(first.add(index)) })
    }
}
