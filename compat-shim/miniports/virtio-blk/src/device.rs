//! A device from its reset on: negotiation, queues, interrupts, and what is done when it goes wrong (3.1).
//!
//! ```text
//!             reset answered, features taken, queues set up
//!   RESETTING ─────────────────────────────────────────────► RUNNING
//!       ▲   │ anything else                                     │ RESET_*, overdue, NEEDS_RESET, a lie, the device gone
//!       │   └───────────────────────────────► FAILED            │
//!       └─────────────────────────────────────── ▲ ◄────────────┘
//! ```
//!
//! On the way into RESETTING every request that the device had ends as aborted, after the transport has seen to it that
//! the device touches no memory any more. One thread at a time goes that way; others go on without waiting.

use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use sluice_shim::{
    platform::{Guard, Platform, SpinLock},
    scsi::sense::Refusal,
};

use crate::{
    config::{Facts, KNOWN},
    ledger::Ledger,
    memory::Shared,
    queue::{Left, Queue, Room},
    request::{Ended, Outcome, Request},
    ring::Mode,
    spec::{CONFIG, feature, ring::MAX_SIZE, status},
    transport::{Continuity, Failure, Transport},
};

/// Resets in a row without a request served between, after which a device is given up.
const HOPELESS: u32 = 8;
/// Readings of a configuration that keeps changing (2.5.1).
const READINGS: usize = 16;
/// Least descriptors of a queue: header, data, status.
const LEAST_SIZE: u16 = 4;

/// What a device is given to work with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most queues.
    pub queues: u16,
    /// Most descriptors of a queue.
    pub descriptors: u16,
    /// Most requests that the device has of one queue at once.
    pub requests: u16,
    /// Requests of one queue that wait beyond those. What comes then is told that the disk is busy.
    pub waiting: usize,
    /// Most pieces of a transfer.
    pub pieces: u16,
    /// Longest transfer that is copied, in bytes. Longer ones must be reached by the device. Also the longest VERIFY.
    pub copy: u32,
    /// Ticks until a request that the device keeps is given up, with the device.
    pub patience: u32,
    /// Features that are not used although we know them.
    pub without: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queues: 4,
            descriptors: 256,
            requests: 64,
            waiting: 256,
            pieces: 34,
            copy: 128 << 10,
            patience: 30,
            without: 0,
        }
    }
}

impl Settings {
    fn room(&self) -> Room {
        let size = self.descriptors.clamp(LEAST_SIZE, MAX_SIZE);
        Room {
            size: if size.is_power_of_two() { size } else { size.next_power_of_two() / 2 },
            requests: self.requests.max(1),
            pieces: self.pieces.max(1),
            copy: self.copy,
        }
    }

    /// Bytes of shared memory, aligned to 16, that a device takes which is made with these settings.
    #[must_use]
    pub fn bytes(&self) -> usize {
        usize::from(self.queues.max(1)) * self.room().bytes()
    }
}

/// Where it is in its life.
mod life {
    pub(super) const FAILED: u8 = 0;
    pub(super) const RESETTING: u8 = 1;
    pub(super) const RUNNING: u8 = 2;
}

/// A virtio block device behind `transport`, asked by requests of one kind.
pub struct Device<T, R> {
    transport: T,
    platform: &'static dyn Platform,
    settings: Settings,
    queues: Vec<SpinLock<Queue<R>>>,
    /// Queues in use.
    active: AtomicU16,
    /// Negotiated.
    features: AtomicU64,
    /// Bytes of a block since the first start; 0 before.
    block_size: AtomicU32,
    life: AtomicU8,
    /// A reset was asked for while one was under way.
    again: AtomicBool,
    /// Resets since a request was served.
    fruitless: AtomicU32,
    ledger: Ledger,
}

impl<T: Transport, R: Request> Device<T, R> {
    /// A device that is still to be started. Takes its memory out of `shared`; `None` if there is not enough, there or
    /// elsewhere. Nothing is allocated later. PASSIVE_LEVEL (as the allocator allows).
    pub fn new(
        transport: T,
        platform: &'static dyn Platform,
        shared: &mut Shared,
        settings: Settings,
    ) -> Option<Self> {
        let room = settings.room();
        let mut queues = Vec::new();
        queues.try_reserve_exact(usize::from(settings.queues.max(1))).ok()?;
        for _ in 0..settings.queues.max(1) {
            queues.push(SpinLock::new(Queue::new(&room, settings.waiting, shared)?));
        }
        Some(Self {
            transport,
            platform,
            settings: Settings { descriptors: room.size, ..settings },
            queues,
            active: AtomicU16::new(0),
            features: AtomicU64::new(0),
            block_size: AtomicU32::new(0),
            life: AtomicU8::new(life::FAILED),
            again: AtomicBool::new(false),
            fruitless: AtomicU32::new(0),
            ledger: Ledger::default(),
        })
    }

    /// The transport.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// What the disk is like now.
    pub fn facts(&self) -> Facts {
        self.queues.first().map_or_else(Facts::default, |queue| self.lock(queue).facts())
    }

    /// The features that were negotiated.
    pub fn features(&self) -> u64 {
        self.features.load(Acquire)
    }

    /// Queues in use.
    pub fn queues(&self) -> u16 {
        self.active.load(Acquire)
    }

    /// Whether it takes requests.
    pub fn is_running(&self) -> bool {
        self.life.load(Acquire) == life::RUNNING
    }

    fn lock<'a>(&'a self, queue: &'a SpinLock<Queue<R>>) -> Guard<'a, Queue<R>> {
        queue.lock(self.platform)
    }

    /// Starts a request. Up to DISPATCH_LEVEL.
    pub fn start(&self, request: R) {
        let active = usize::from(self.active.load(Acquire)).max(1);
        let number = self.transport.processor() % active;
        let Some(queue) = self.queues.get(number) else {
            return request.end(Outcome::Refused(Refusal::Hardware)); // there are as many as are active, and one
        };
        let mut ended = Ended::new();
        let notify = {
            let mut queue = self.lock(queue);
            queue.start(request, &self.ledger, &self.transport, &mut ended);
            queue.must_notify()
        };
        if notify {
            self.transport.notify(number as u16);
        }
        ended.end();
    }

    /// The device has something on a queue, or may have. Up to DISPATCH_LEVEL.
    pub fn interrupt(&self, number: u16) {
        let Some(queue) = self.queues.get(usize::from(number)) else { return };
        loop {
            let mut ended = Ended::new();
            let (left, notify) = {
                let mut queue = self.lock(queue);
                (queue.collect(&self.ledger, &self.transport, &mut ended), queue.must_notify())
            };
            if notify {
                self.transport.notify(number);
            }
            ended.end();
            match left {
                Left::More => {}
                Left::Nothing => return,
                Left::Reset => return self.misbehaved(),
            }
        }
    }

    /// The device has changed its configuration, or asks for a reset (2.1.2). Up to DISPATCH_LEVEL.
    pub fn configuration_changed(&self) {
        if !self.is_running() {
            return;
        }
        let asks = self.transport.status() & status::NEEDS_RESET != 0;
        let facts = if asks { Err(Failure::Reset) } else { self.facts_now(self.features()) };
        match facts.and_then(|facts| self.judge(facts)) {
            Ok(facts) => self.tell(facts),
            Err(_) => self.misbehaved(),
        }
    }

    /// To be called about once a second: a device that keeps a request for too long is reset. Up to DISPATCH_LEVEL.
    pub fn tick(&self) {
        let overdue = self.queues.iter().any(|queue| self.lock(queue).tick(self.settings.patience));
        if overdue && self.is_running() {
            self.misbehaved();
        }
    }

    /// Resets the device, or starts it for the first time. Requests that it had end as aborted. Up to DISPATCH_LEVEL, as
    /// far as the transport can.
    ///
    /// # Errors
    /// Why it cannot be used. It may be tried again.
    pub fn reset(&self) -> Result<(), Failure> {
        self.fruitless.store(0, Relaxed);
        self.turn(Ok(()))
    }

    /// Stops the device. Requests that it had end as aborted. When this returns, it touches no memory any more, if its host
    /// has seen to it that nobody else is just resetting it.
    pub fn stop(&self) {
        let _ = self.turn(Err(Failure::Gone)); // that is what it answers
    }

    /// The device has broken the rules, or keeps a request: it is reset, or given up if that has not helped before.
    fn misbehaved(&self) {
        if self.ledger.has_served() {
            self.fruitless.store(0, Relaxed);
        }
        let hopeless = self.fruitless.fetch_add(1, Relaxed) >= HOPELESS;
        let wanted = if hopeless { Err(Failure::Hopeless) } else { Ok(()) };
        let _ = self.turn(wanted); // how it ended shows in its life
    }

    /// Resets the device and, if `wanted` says so, starts it.
    fn turn(&self, wanted: Result<(), Failure>) -> Result<(), Failure> {
        if self.life.swap(life::RESETTING, AcqRel) == life::RESETTING {
            self.again.store(true, Release);
            return Ok(()); // whoever is at it goes round again
        }
        loop {
            self.again.store(false, Release);
            let result = self.restart(wanted);
            if result.is_err() {
                self.close(Refusal::NotReady);
                self.transport.set_status(status::FAILED);
            }
            let next = if result.is_ok() { life::RUNNING } else { life::FAILED };
            self.life.store(next, Release);
            if !self.again.load(Acquire) || self.life.swap(life::RESETTING, AcqRel) == life::RESETTING {
                return result;
            }
        }
    }

    fn close(&self, refusal: Refusal) {
        for queue in &self.queues {
            self.lock(queue).close(refusal);
        }
    }

    /// Ends what the device had. It has been reset.
    fn abort(&self) {
        for queue in &self.queues {
            loop {
                let mut ended = Ended::new();
                let any = self.lock(queue).abort(&mut ended);
                ended.end();
                if !any {
                    break;
                }
            }
        }
    }

    fn restart(&self, wanted: Result<(), Failure>) -> Result<(), Failure> {
        self.close(Refusal::Busy);
        let reset = self.transport.reset();
        self.abort();
        // A device that does not answer is as good as another one.
        if reset != Ok(Continuity::Kept) {
            self.ledger.broken();
        }
        reset.and(wanted)?;
        let features = self.negotiate()?;
        let facts = self.facts_now(features)?;
        let active = self.set_queues(features, facts.queues)?;
        self.active.store(active, Release); // they are closed still
        let facts = self.judge(facts)?;
        self.transport
            .set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK);
        self.block_size.store(facts.block_size, Release);
        self.features.store(features, Release);
        self.tell(facts);
        for queue in self.queues.iter().take(usize::from(active)) {
            self.lock(queue).open();
        }
        Ok(())
    }

    /// 3.1.1, steps 2 to 6.
    fn negotiate(&self) -> Result<u64, Failure> {
        self.transport.set_status(status::ACKNOWLEDGE);
        self.transport.set_status(status::ACKNOWLEDGE | status::DRIVER);
        let offered = self.transport.features()?;
        let features = offered & KNOWN & !self.settings.without;
        if features & feature::VERSION_1 == 0 {
            return Err(Failure::Legacy);
        }
        self.transport.accept(features)?;
        let wanted = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK;
        self.transport.set_status(wanted);
        if self.transport.status() & status::FEATURES_OK == 0 {
            return Err(Failure::Features);
        }
        Ok(features)
    }

    /// A configuration read between two changes (2.5.1).
    fn facts_now(&self, features: u64) -> Result<Facts, Failure> {
        for _ in 0..READINGS {
            let mut bytes = [0; CONFIG];
            let before = self.transport.generation();
            self.transport.configuration(&mut bytes)?;
            if self.transport.generation() == before {
                return Facts::of(features, &bytes);
            }
        }
        Err(Failure::Unfit)
    }

    /// Facts as our own means limit them.
    fn judge(&self, facts: Facts) -> Result<Facts, Failure> {
        let known = self.block_size.load(Acquire);
        if known != 0 && facts.block_size != known {
            return Err(Failure::Unfit); // whoever uses the disk counts in the old ones
        }
        // A chain is no longer than its queue (2.7.5.3.1), and one without a table takes that many descriptors.
        let size = self.queues.iter().take(usize::from(self.active.load(Acquire)).max(1));
        let size = size.map(|queue| self.lock(queue).ring().rings().size).min().unwrap_or(LEAST_SIZE);
        let room = self.queues.first().map_or(1, |queue| self.lock(queue).room_for_pieces());
        Ok(facts.within(room.min(u32::from(size.saturating_sub(2))), self.settings.copy))
    }

    fn tell(&self, facts: Facts) {
        for queue in &self.queues {
            self.lock(queue).set_facts(facts);
        }
    }

    /// 4.1.5.1.3, and its like on other transports. Answers how many are in use.
    fn set_queues(&self, features: u64, wanted: u16) -> Result<u16, Failure> {
        let mut active = 0;
        for (queue, number) in self.queues.iter().zip(0..wanted) {
            let packed = features & feature::RING_PACKED != 0;
            let size = self.transport.queue_size(number).min(self.settings.descriptors);
            // Split rings have powers of two; a device that says otherwise gets the next smaller.
            let size = if packed || size.is_power_of_two() { size } else { size.next_power_of_two() / 2 };
            if size < LEAST_SIZE {
                break;
            }
            let mode = Mode { packed, event_index: features & feature::EVENT_IDX != 0, size };
            let rings = {
                let mut queue = self.lock(queue);
                queue.prepare(mode, features & feature::INDIRECT_DESC != 0);
                queue.ring().rings()
            };
            self.transport.enable(number, &rings)?;
            active = number + 1;
        }
        if active == 0 { Err(Failure::Queues) } else { Ok(active) }
    }
}
