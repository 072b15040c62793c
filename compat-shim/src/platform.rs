//! What the shim asks of whoever hosts it: the kernel driver, the user-mode host, a test.

use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
    sync::atomic::AtomicUsize,
};

use sluice_chain::abi::HostTable;

use crate::adapter::Adapter;

/// The host's kernel services.
///
/// # Safety
/// `acquire` must give mutual exclusion and keep completions of this processor out (on Windows: DISPATCH_LEVEL)
/// until `release`.
pub unsafe trait Platform: Sync {
    /// Takes the lock. Any IRQL up to DISPATCH_LEVEL; DISPATCH_LEVEL until released.
    fn acquire(&self, lock: &LockWord) -> OldIrql;

    /// Releases the lock and goes back to the IRQL from before.
    ///
    /// # Safety
    /// The caller holds `lock`, and `old` comes from its `acquire`.
    unsafe fn release(&self, lock: &LockWord, old: OldIrql);

    /// Has [`Adapter::complete_some`] (or `complete_all`) called soon at DISPATCH_LEVEL (a DPC), outside any lock. Calls before it
    /// has begun may be answered by one run. Any IRQL up to DISPATCH_LEVEL.
    fn schedule(&self, adapter: &Adapter);

    /// The services for stages.
    fn host_table(&self) -> &'static HostTable;
}

/// The IRQL from before a lock was taken (always 0 where there is no such thing).
#[derive(Clone, Copy, Debug)]
pub struct OldIrql(pub u8);

/// What a lock is for its platform: one pointer-sized word, zero when free (`KSPIN_LOCK` on Windows).
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct LockWord(pub AtomicUsize);

/// A value behind a spin lock of the platform. Held for a few dozen instructions, never across a call out of
/// the shim. Lock order: an adapter has no lock; a unit's lock is the only one the shim takes.
#[derive(Debug)]
pub struct SpinLock<T> {
    word: LockWord,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through the guard only, and the platform's lock gives mutual exclusion.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self { word: LockWord(AtomicUsize::new(0)), value: UnsafeCell::new(value) }
    }

    /// Takes the lock until the guard is dropped.
    pub fn lock<'a>(&'a self, platform: &'a dyn Platform) -> Guard<'a, T> {
        let old = platform.acquire(&self.word);
        Guard { lock: self, platform, old }
    }
}

/// A lock that is held.
pub struct Guard<'a, T> {
    lock: &'a SpinLock<T>,
    platform: &'a dyn Platform,
    old: OldIrql,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard exists only while the lock is held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this guard took the lock and got `old`.
        unsafe { self.platform.release(&self.lock.word, self.old) };
    }
}
