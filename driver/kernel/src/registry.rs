//! The disks that this driver filters: what the control device lists.

use core::{
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{disk::Disk, nt::spin::Spin, pnp};

/// The first of a list through [`Disk::next`].
struct First(*const Disk);

// SAFETY: disks are shared by all threads.
unsafe impl Send for First {}

/// Lock order: taken alone.
static DISKS: Spin<First> = Spin::new(First(ptr::null()));
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

/// What [`next_after`] has found.
pub(crate) enum Next {
    /// A disk.
    Disk(Held),
    /// The disk of this number, which is being removed, and may still have a volume.
    Going(u32),
}

/// The disk with the lowest number above `number`: to go through all of them without a lock held meanwhile.
pub(crate) fn next_after(number: u32) -> Option<Next> {
    let mut lowest = u32::MAX;
    find(|disk| {
        if disk.id > number {
            lowest = lowest.min(disk.id);
        }
        false
    });
    let found = find(|disk| disk.id == lowest);
    (lowest < u32::MAX).then(|| found.map_or(Next::Going(lowest), Next::Disk))
}

fn locked<R>(body: impl FnOnce(&mut *const Disk) -> R) -> R {
    DISKS.with(|first| body(&mut first.0))
}
