//! The disks that this driver filters: what the control device lists.

use core::{
    cell::UnsafeCell,
    ptr,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
};

use sluice_shim::platform::LockWord;
use wdk_sys::ntddk::{KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock};

use crate::{disk::Disk, pnp};

/// A list through [`Disk::next`], behind its own spin lock. Lock order: taken alone.
struct Registry {
    lock: LockWord,
    first: UnsafeCell<*const Disk>,
}

// SAFETY: `first` is touched with the lock held only.
unsafe impl Sync for Registry {}

static DISKS: Registry =
    Registry { lock: LockWord(AtomicUsize::new(0)), first: UnsafeCell::new(ptr::null()) };
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

/// A number for a new disk, never used again while the driver is loaded.
pub(crate) fn next_id() -> u32 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// Adds `disk`.
pub(crate) fn remember(disk: &'static Disk) {
    locked(|first| {
        disk.next.store((*first).cast_mut(), Ordering::Relaxed);
        *first = disk;
    });
}

/// Takes `disk` out: nobody finds it from now on.
pub(crate) fn forget(disk: &'static Disk) {
    locked(|first| {
        if ptr::eq(*first, disk) {
            *first = disk.next.load(Ordering::Relaxed);
            return;
        }
        let mut at = *first;
        while !at.is_null() {
            // SAFETY: disks in the list are alive, and the list is locked.
            let here = unsafe { &*at };
            let next = here.next.load(Ordering::Relaxed);
            if ptr::eq(next, disk) {
                here.next.store(disk.next.load(Ordering::Relaxed), Ordering::Relaxed);
                return;
            }
            at = next;
        }
    });
}

/// Whether no disk is left.
pub(crate) fn is_empty() -> bool {
    locked(|first| first.is_null())
}

/// A disk that cannot go while this value exists.
pub(crate) struct Held(&'static Disk);

impl core::ops::Deref for Held {
    type Target = Disk;
    fn deref(&self) -> &Disk {
        self.0
    }
}

impl Held {
    /// The disk, for work that ends before this value does.
    pub(crate) fn disk(&self) -> &'static Disk {
        self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        pnp::leave(self.0);
    }
}

/// The first disk for which `wanted` says yes, with its remove lock held. Newest first.
pub(crate) fn find(mut wanted: impl FnMut(&Disk) -> bool) -> Option<Held> {
    locked(|first| {
        let mut at = *first;
        while !at.is_null() {
            // SAFETY: disks in the list are alive, and the list is locked.
            let disk: &'static Disk = unsafe { &*at };
            if wanted(disk) && pnp::enter(disk) {
                return Some(Held(disk));
            }
            at = disk.next.load(Ordering::Relaxed);
        }
        None
    })
}

fn locked<R>(body: impl FnOnce(&mut *const Disk) -> R) -> R {
    // SAFETY: a lock word is a KSPIN_LOCK; `first` is touched here only, under the lock.
    unsafe {
        let word = DISKS.lock.0.as_ptr().cast();
        let old = KeAcquireSpinLockRaiseToDpc(word);
        let result = body(&mut *DISKS.first.get());
        KeReleaseSpinLock(word, old);
        result
    }
}
