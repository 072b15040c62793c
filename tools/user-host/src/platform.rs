//! The shim's platform: what spin locks and DPCs are in a process.

use std::{
    hint, mem,
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

use crate::clock;

/// Turns of a busy lock before its waiter gives its processor away: the holder may be a thread without one.
const SPINS: u32 = 64;

static HOST_TABLE: HostTable = HostTable {
    size: mem::size_of::<HostTable>() as u32,
    reserved: 0,
    now: clock::now,
    resume: interception::resume,
};

/// The platform of one adapter.
#[derive(Debug, Default)]
pub struct User {
    /// A DPC is due.
    due: AtomicBool,
    /// The thread that runs it, if there is one.
    thread: OnceLock<Thread>,
}

impl User {
    /// A platform whose DPC runs in [`Self::run_until_idle`].
    #[must_use]
    pub fn new() -> Self {
        clock::start();
        Self::default()
    }

    /// Runs the DPC as long as it is due. Any thread, several at once.
    pub fn run_until_idle(&self, adapter: &Adapter) {
        while self.due.swap(false, Ordering::AcqRel) {
            adapter.complete_all();
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
        if !take(lock) {
            wait(lock);
        }
        OldIrql(0)
    }

    unsafe fn release(&self, lock: &LockWord, _old: OldIrql) {
        lock.0.store(0, Ordering::Release);
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
