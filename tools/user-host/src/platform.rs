//! The shim's platform: what spin locks and DPCs are in a process.

use std::{
    fmt, hint, mem,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
};

use sluice_chain::abi::HostTable;
use sluice_shim::{
    adapter::Adapter,
    interception,
    platform::{LockWord, OldIrql, Platform},
};

use crate::{Watch, clock};

/// Turns of a busy lock before its waiter gives its processor away: the holder may be a thread without one.
const SPINS: u32 = 64;

static HOST_TABLE: HostTable = HostTable {
    size: mem::size_of::<HostTable>() as u32,
    reserved: 0,
    now: clock::now,
    resume: interception::resume,
};

/// The platform of one adapter.
#[derive(Default)]
pub struct User {
    /// A DPC is due.
    due: AtomicBool,
    /// The thread that runs it, if there is one.
    thread: OnceLock<Thread>,
    watch: Option<&'static dyn Watch>,
}

impl User {
    /// A platform whose DPC runs in [`Self::run_until_idle`].
    #[must_use]
    pub fn new() -> Self {
        clock::start();
        Self::default()
    }

    /// The same, looked on by `watch`.
    #[must_use]
    pub fn watched(watch: &'static dyn Watch) -> Self {
        Self { watch: Some(watch), ..Self::new() }
    }

    /// Runs the DPC as long as it is due. Any thread, several at once.
    pub fn run_until_idle(&self, adapter: &Adapter) {
        while self.due.swap(false, Ordering::AcqRel) {
            let Some(watch) = self.watch else {
                adapter.complete_all();
                continue;
            };
            let old = watch.raise();
            adapter.complete_all();
            watch.crosses();
            watch.lower(old);
        }
    }

    /// Names the thread that runs the DPC. Before the first request, and once.
    pub(crate) fn served_by(&self, thread: &Thread) {
        let _ = self.thread.set(thread.clone());
    }

    /// Runs the DPC on this thread until `stop`, which is looked at whenever the thread is woken.
    pub(crate) fn serve(&self, adapter: &Adapter, stop: &AtomicBool) {
        loop {
            self.run_until_idle(adapter);
            if stop.load(Ordering::Acquire) {
                return;
            }
            thread::park();
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("due", &self.due).finish_non_exhaustive()
    }
}

#[inline]
fn take(lock: &LockWord) -> bool {
    lock.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

#[cold]
fn wait(lock: &LockWord) {
    let mut turns: u32 = 1;
    while lock.0.load(Ordering::Relaxed) != 0 || !take(lock) {
        if turns.is_multiple_of(SPINS) {
            thread::yield_now()
        } else {
            hint::spin_loop()
        }
        turns = turns.wrapping_add(1);
    }
}

// SAFETY: one thread at a time leaves `acquire`, and no thread runs the DPC while it has a lock: it runs in
// `run_until_idle` only, which nobody calls under a lock.
unsafe impl Platform for User {
    fn acquire(&self, lock: &LockWord) -> OldIrql {
        let old = self.watch.map_or(0, |watch| {
            watch.acquires(lock);
            watch.raise()
        });
        if !take(lock) {
            wait(lock);
        }
        if let Some(watch) = self.watch {
            watch.acquired(lock);
        }
        OldIrql(old)
    }

    unsafe fn release(&self, lock: &LockWord, old: OldIrql) {
        if let Some(watch) = self.watch {
            watch.releases(lock);
        }
        lock.0.store(0, Ordering::Release);
        if let Some(watch) = self.watch {
            watch.lower(old.0);
        }
    }

    fn schedule(&self, _adapter: &Adapter) {
        self.due.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn host_table(&self) -> &'static HostTable {
        &HOST_TABLE
    }
}
