//! Who may start: requests wait here until their unit and their adapter take more.
//!
//! What a miniport says about it (pauses, busy, ready) it may say from its interrupt routine, so a [`Gate`] is words
//! without a lock. The queues change up to DISPATCH_LEVEL only, under the port's flow lock.

use core::{
    mem::offset_of,
    ptr::{self, NonNull},
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        fence,
    },
};

use sluice_shim::storport::{ScsiRequestBlock, SrbKind, SrbStatus, SrbStorage, StorageRequestBlock};

use crate::{
    port::{Phase, Port},
    slots::{Origin, Slot},
    unit::LogicalUnit,
};

/// How long a request waits that its miniport was too busy for, if there is none whose end it could wait for, in
/// microseconds.
pub(crate) const BUSY_WAIT: u64 = 10_000;

/// Why nothing is started.
pub(crate) struct Gate {
    /// Paused until then, in microseconds of the system's clock; 0: not.
    paused_until: AtomicU64,
    /// Busy: so many requests have to end first.
    busy: AtomicU32,
    /// The last request came back for want of room: nothing before then, or before another one ends.
    full_until: AtomicU64,
}

impl Gate {
    pub(crate) const fn new() -> Self {
        Self { paused_until: AtomicU64::new(0), busy: AtomicU32::new(0), full_until: AtomicU64::new(0) }
    }

    pub(crate) fn pause(&self, until: u64) {
        self.paused_until.store(until.max(1), Release);
    }

    /// Whether it was paused.
    pub(crate) fn resume(&self) -> bool {
        self.paused_until.swap(0, AcqRel) != 0
    }

    pub(crate) fn set_busy(&self, requests: u32) {
        self.busy.store(requests, Release);
    }

    pub(crate) fn set_full(&self, until: u64) {
        self.full_until.store(until, Relaxed);
    }

    /// A request has ended; so many are left.
    pub(crate) fn ended(&self, left: u32) {
        if self.full_until.load(Relaxed) != 0 {
            self.full_until.store(0, Relaxed);
        }
        if self.busy.load(Relaxed) != 0 {
            let less = |busy: u32| (left > 0).then(|| busy.saturating_sub(1)).or(Some(0));
            let _ = self.busy.fetch_update(AcqRel, Acquire, less);
        }
    }

    /// Nothing is out, so nothing can end.
    pub(crate) fn nothing_out(&self) {
        if self.busy.load(Relaxed) != 0 {
            self.busy.store(0, Release);
        }
    }

    fn is_open(&self, now: impl Fn() -> u64) -> bool {
        self.busy.load(Acquire) == 0 && passed(&self.paused_until, &now) && passed(&self.full_until, &now)
    }

    /// When it opens by itself, if it is shut for a time.
    pub(crate) fn opens_after(&self, now: u64) -> Option<u64> {
        let latest = self.paused_until.load(Relaxed).max(self.full_until.load(Relaxed));
        (latest > now).then_some(latest)
    }
}

/// Whether a moment is none, or over (and then forgotten).
fn passed(moment: &AtomicU64, now: &impl Fn() -> u64) -> bool {
    let until = moment.load(Acquire);
    if until == 0 {
        return true;
    }
    let over = until <= now();
    if over {
        let _ = moment.compare_exchange(until, 0, AcqRel, Relaxed);
    }
    over
}

/// Requests of one unit that wait, and slots to be started over. Requests are linked by their own SRBs' `NextSrb`,
/// which nobody else uses.
pub(crate) struct Queue {
    first: Option<Origin>,
    last: Option<Origin>,
    again: *mut Slot,
}

// SAFETY: what it links belongs to the port; reached under its flow lock.
unsafe impl Send for Queue {}

/// The field that links.
fn link(origin: Origin, kind: SrbKind) -> *mut usize {
    let offset = match kind {
        SrbKind::Legacy => offset_of!(ScsiRequestBlock, next_srb),
        SrbKind::Extended => offset_of!(StorageRequestBlock, next_srb),
    };
    // SAFETY: inside the SRB's storage.
    unsafe { origin.srb.as_ptr().cast::<u8>().add(offset).cast() }
}

const COMMAND: usize = 1;

impl Queue {
    pub(crate) const fn new() -> Self {
        Self { first: None, last: None, again: ptr::null_mut() }
    }

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.again.is_null()
    }

    fn push(&mut self, origin: Origin, kind: SrbKind) {
        // SAFETY: SRBs that wait stay where they are, and are the port's until they are given back.
        unsafe {
            link(origin, kind).write(0);
            match self.last {
                Some(last) => {
                    let word = origin.srb.as_ptr() as usize | if origin.is_command { COMMAND } else { 0 };
                    link(last, kind).write(word);
                }
                None => self.first = Some(origin),
            }
        }
        self.last = Some(origin);
    }

    fn pop(&mut self, kind: SrbKind) -> Option<Origin> {
        let first = self.first?;
        let field = link(first, kind);
        // SAFETY: as in `push`, which has written the field.
        let word = unsafe { field.replace(0) };
        let next = NonNull::new((word & !COMMAND) as *mut SrbStorage);
        self.first = next.map(|srb| Origin { srb, is_command: word & COMMAND != 0 });
        if self.first.is_none() {
            self.last = None;
        }
        Some(first)
    }
}

/// What the flow lock guards: every unit's queue.
pub(crate) struct Queues(());

impl Queues {
    pub(crate) const fn new() -> Self {
        Self(())
    }

    fn of<'a>(&'a mut self, unit: &'a LogicalUnit) -> &'a mut Queue {
        // SAFETY: queues are reached through the one `Queues` of their port, which is borrowed exclusively.
        unsafe { &mut *unit.queue.get() }
    }
}

/// What is to be started next.
enum Next<'a> {
    Fresh(&'a Slot, Origin),
    Again(&'a Slot),
}

impl Port {
    /// Takes a request for `unit`: it is started now or when its turn comes, and goes back to its origin in any case.
    /// Up to DISPATCH_LEVEL.
    pub(crate) fn submit(&self, unit: &LogicalUnit, origin: Origin) {
        if let Some(status) = self.refusal(unit) {
            return self.refuse(origin, status);
        }
        self.queues().lock(self.system()).of(unit).push(origin, self.kind());
        unit.waiting.fetch_add(1, Relaxed);
        // Whoever has shut the unit meanwhile may have emptied its queue before this one came.
        match self.refusal(unit) {
            Some(status) => self.flush(unit, status),
            None => self.pump(unit),
        }
    }

    /// Why the unit takes nothing, if it does not.
    fn refusal(&self, unit: &LogicalUnit) -> Option<SrbStatus> {
        if self.phase() != Phase::Running {
            Some(SrbStatus::NO_HBA)
        } else if !unit.present.load(SeqCst) {
            Some(SrbStatus::NO_DEVICE)
        } else {
            None
        }
    }

    /// Starts what may be started of a unit. Up to DISPATCH_LEVEL, without locks.
    pub(crate) fn pump(&self, unit: &LogicalUnit) {
        while let Some(next) = self.next_if_any(unit) {
            match next {
                Next::Fresh(slot, origin) => self.issue(slot, unit, origin),
                Next::Again(slot) => self.reissue(slot, unit),
            }
            self.starting().fetch_sub(1, Release);
        }
    }

    /// Waits until nobody starts a request who has not yet seen that none may be started. PASSIVE_LEVEL.
    pub(crate) fn wait_for_starters(&self) {
        // Whoever has looked before this has counted himself.
        drop(self.queues().lock(self.system()));
        while self.starting().load(Acquire) != 0 {
            self.system().stall(50);
        }
    }

    /// Starts what may be started of all units.
    pub(crate) fn pump_all(&self) {
        self.units().for_each(|unit| self.pump(unit));
    }

    fn next_if_any<'a>(&'a self, unit: &'a LogicalUnit) -> Option<Next<'a>> {
        // Between what was changed before (one more waits; or a gate has opened, a request ended) and what is looked at
        // here and in `next_of`: of two who do so at once, one sees the other's change.
        fence(SeqCst);
        if unit.waiting.load(Relaxed) == 0 { None } else { self.next_of(unit) }
    }

    fn next_of<'a>(&'a self, unit: &'a LogicalUnit) -> Option<Next<'a>> {
        let mut queues = self.queues().lock(self.system());
        let queue = queues.of(unit);
        if queue.is_empty() || !self.may_start(unit) {
            return None;
        }
        // SAFETY: slots exist as long as the port.
        if let Some(slot) = unsafe { queue.again.as_ref() } {
            queue.again = slot.next.load(Relaxed);
            unit.again.fetch_sub(1, Relaxed);
            unit.waiting.fetch_sub(1, Relaxed);
            self.starting().fetch_add(1, Relaxed);
            return Some(Next::Again(slot));
        }
        let room = unit.outstanding.load(Relaxed) < unit.depth.load(Relaxed);
        let slot = if room { self.slots()?.take()? } else { return None };
        match queue.pop(self.kind()) {
            Some(origin) => {
                unit.waiting.fetch_sub(1, Relaxed);
                unit.outstanding.fetch_add(1, Relaxed);
                self.outstanding().fetch_add(1, Relaxed);
                self.starting().fetch_add(1, Relaxed);
                Some(Next::Fresh(slot, origin))
            }
            None => {
                self.slots()?.give(slot);
                None
            }
        }
    }

    /// Most requests of a unit at once.
    pub(crate) fn deepest(&self) -> u32 {
        match self.registration().srb_kind() {
            SrbKind::Legacy => 254,
            SrbKind::Extended => 1023,
        }
    }

    fn may_start(&self, unit: &LogicalUnit) -> bool {
        let now = || self.system().now();
        self.refusal(unit).is_none()
            && unit.recovery.load(Acquire) == 0
            && unit.gate.is_open(now)
            && self.gate().is_open(now)
    }

    /// A slot is to be started over: first of its unit's next ones.
    pub(crate) fn again(&self, unit: &LogicalUnit, slot: &Slot) {
        {
            let mut queues = self.queues().lock(self.system());
            let queue = queues.of(unit);
            slot.next.store(queue.again, Relaxed);
            queue.again = ptr::from_ref(slot).cast_mut();
            unit.again.fetch_add(1, Relaxed);
            unit.waiting.fetch_add(1, Relaxed);
        }
        // As in `submit`.
        if let Some(status) = self.refusal(unit) {
            self.flush(unit, status);
        }
    }

    /// Takes everything that waits of a unit, and answers it with `status`. Up to DISPATCH_LEVEL, without locks.
    pub(crate) fn flush(&self, unit: &LogicalUnit, status: SrbStatus) {
        loop {
            let (again, origin) = {
                let mut queues = self.queues().lock(self.system());
                let queue = queues.of(unit);
                let again = queue.again;
                // SAFETY: slots exist as long as the port.
                if let Some(slot) = unsafe { again.as_ref() } {
                    queue.again = slot.next.load(Relaxed);
                    unit.again.fetch_sub(1, Relaxed);
                    unit.waiting.fetch_sub(1, Relaxed);
                }
                let kind = self.kind();
                (again, if again.is_null() { queue.pop(kind) } else { None })
            };
            // SAFETY: as above; taken out of the list, so it is ours.
            if let Some(slot) = unsafe { again.as_ref() } {
                self.set_status(slot, status);
                self.give_back(slot, unit);
            } else if let Some(origin) = origin {
                unit.waiting.fetch_sub(1, Relaxed);
                self.refuse(origin, status);
            } else {
                return;
            }
        }
    }
}
