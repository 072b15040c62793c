//! A value behind a spin lock of its own, for what lives as long as the driver.

use core::{cell::UnsafeCell, sync::atomic::AtomicUsize};

use sluice_shim::platform::LockWord;
use wdk_sys::ntddk::{KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock};

/// The lock and the value. Held for a few instructions, never across a call out.
pub(crate) struct Spin<T> {
    word: LockWord,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached with the lock held only.
unsafe impl<T: Send> Sync for Spin<T> {}

impl<T> Spin<T> {
    /// Wraps `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self { word: LockWord(AtomicUsize::new(0)), value: UnsafeCell::new(value) }
    }

    /// Does something with the value, at DISPATCH_LEVEL. Up to DISPATCH_LEVEL.
    pub(crate) fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: a lock word is a KSPIN_LOCK; the value is touched here only, under the lock.
        unsafe {
            let word = self.word.0.as_ptr().cast();
            let old = KeAcquireSpinLockRaiseToDpc(word);
            let result = body(&mut *self.value.get());
            KeReleaseSpinLock(word, old);
            result
        }
    }
}
