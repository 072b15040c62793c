//! What each thread and each request may do.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sluice_shim::platform::LockWord;
use sluice_user_host::Watch;

use crate::heap::apart;

/// The IRQL of DPCs, and of whoever holds a spin lock.
pub const DISPATCH_LEVEL: u8 = 2;

thread_local! {
    static LEVEL: Cell<u8> = const { Cell::new(0) };
    /// Locks that this thread holds, in the order in which it has taken them.
    static HELD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    /// How many: also for the heap, which cannot ask a vector.
    static LOCKS: Cell<usize> = const { Cell::new(0) };
}

/// The calling thread's IRQL.
pub(crate) fn level() -> u8 {
    LEVEL.get()
}

/// Does something at DISPATCH_LEVEL.
pub fn at_dispatch<T>(what: impl FnOnce() -> T) -> T {
    let old = LEVEL.replace(DISPATCH_LEVEL);
    let result = what();
    LEVEL.set(old);
    result
}

/// Leaves the calling thread at `level`, as nobody should.
#[doc(hidden)]
pub fn stay_at(level: u8) {
    LEVEL.set(level);
}

pub(crate) fn holds_locks() -> bool {
    LOCKS.get() > 0
}

/// Which lock was taken while which other was held, by anybody since the process began.
static ORDER: LazyLock<Mutex<HashSet<(usize, usize)>>> = LazyLock::new(Mutex::default);

fn open<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rules, and what was done against them.
#[derive(Default)]
pub struct Checker {
    /// Panics at once, where it is done.
    strict: bool,
    /// `pool.lock` is not looked at.
    may_allocate: bool,
    broken: Mutex<Vec<(&'static str, String)>>,
    /// Requests without an answer, and since when.
    asked: Mutex<HashMap<usize, Instant>>,
}

impl Checker {
    /// One that remembers. It lives as long as the process: threads of the host may still tell it something.
    #[must_use]
    pub fn new() -> &'static Self {
        Box::leak(Box::default())
    }

    /// One for the locks of a port and its miniports, which may allocate memory under them, as the host that plays the
    /// kernel does: for them there is no `pool.lock`.
    #[must_use]
    pub fn of_a_port() -> &'static Self {
        Box::leak(Box::new(Self { may_allocate: true, ..Self::default() }))
    }

    /// One that panics at once.
    #[must_use]
    pub fn strict() -> &'static Self {
        Box::leak(Box::new(Self { strict: true, ..Self::default() }))
    }

    /// Notes what was done against `rule`.
    #[allow(clippy::panic, reason = "a test that breaks a rule stops")]
    pub fn breaks(&self, rule: &'static str, how: String) {
        eprintln!("checker: {rule}: {how}");
        if self.strict && !std::thread::panicking() {
            panic!("{rule}: {how}");
        }
        apart(|| open(&self.broken).push((rule, how)));
    }

    /// What was done against the rules, since this was last asked.
    #[must_use]
    pub fn broken(&self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut *open(&self.broken))
    }

    /// Requests that have waited for an answer for longer than `patience` are lost.
    pub fn look_for_lost(&self, patience: Duration) {
        let lost = open(&self.asked).values().filter(|since| since.elapsed() >= patience).count();
        if lost > 0 {
            self.breaks("request.lost", format!("{lost} requests have no answer"));
        }
    }

    fn level_is(&self, rule: &'static str, what: &str, wanted: u8) {
        let level = LEVEL.get();
        if level != wanted {
            self.breaks(rule, format!("{what} at IRQL {level} instead of {wanted}"));
        }
    }
}

impl Watch for Checker {
    fn raise(&self) -> u8 {
        if LEVEL.get() > DISPATCH_LEVEL {
            self.breaks("irql.acquire", format!("at IRQL {}", LEVEL.get()));
        }
        LEVEL.replace(DISPATCH_LEVEL)
    }

    fn lower(&self, old: u8) {
        self.level_is("irql.release", "a lock is given back, or a DPC ends,", DISPATCH_LEVEL);
        if old < DISPATCH_LEVEL && holds_locks() {
            self.breaks("irql.release", format!("to IRQL {old} with another lock held"));
        }
        LEVEL.set(old);
    }

    #[allow(clippy::panic, reason = "the thread would wait for itself")]
    fn acquires(&self, lock: &LockWord) {
        let lock = std::ptr::from_ref(lock).addr();
        let held = apart(|| HELD.with_borrow(Clone::clone));
        if held.contains(&lock) {
            self.breaks("lock.twice", "by the thread that holds it".to_owned());
            panic!("lock.twice");
        }
        let order = |before: usize| {
            let mut order = open(&ORDER);
            order.insert((before, lock));
            order.contains(&(lock, before))
        };
        if apart(|| held.into_iter().any(order)) {
            self.breaks("lock.order", "two locks, in both orders".to_owned());
        }
    }

    fn acquired(&self, lock: &LockWord) {
        let lock = std::ptr::from_ref(lock).addr();
        apart(|| HELD.with_borrow_mut(|held| held.push(lock)));
        LOCKS.set(LOCKS.get() + 1);
    }

    fn releases(&self, lock: &LockWord) {
        let lock = std::ptr::from_ref(lock).addr();
        let last = HELD.with_borrow_mut(|held| {
            let at = held.iter().rposition(|other| *other == lock)?;
            held.remove(at);
            Some(())
        });
        match last {
            Some(()) => {
                LOCKS.set(LOCKS.get() - 1);
                if self.may_allocate {
                    let _ = crate::heap::under_lock();
                }
            }
            None => self.breaks("lock.foreign", "by a thread that does not hold it".to_owned()),
        }
    }

    fn forgets(&self, start: usize, bytes: usize) {
        let gone = |lock: usize| lock.wrapping_sub(start) < bytes;
        apart(|| open(&ORDER).retain(|(one, other)| !gone(*one) && !gone(*other)));
    }

    fn submits(&self, call: usize) {
        if apart(|| open(&self.asked).insert(call, Instant::now())).is_some() {
            self.breaks("request.twice", "submitted before it was answered".to_owned());
        }
    }

    fn finishes(&self, call: usize) {
        if apart(|| open(&self.asked).remove(&call)).is_none() {
            self.breaks("request.unknown", "an answer to no question".to_owned());
        }
    }

    fn crosses(&self) {
        if holds_locks() {
            self.breaks("lock.kept", format!("{} locks held over a call", LOCKS.get()));
        }
        let allocated = crate::heap::under_lock();
        if allocated > 0 {
            self.breaks("pool.lock", format!("{allocated} allocations under a lock"));
        }
    }
}
