//! The disks that this driver filters, which the control device lists; and the units of adapters that it drives.

use core::{
    ptr,
    sync::atomic::{AtomicPtr, AtomicU32, Ordering},
};

use crate::{disk::Disk, function::pdo::Pdo, nt::spin::Spin};

/// What is in a list.
pub(crate) trait Member: Sized + 'static {
    /// The next of the list, which alone uses it.
    fn next(&self) -> &AtomicPtr<Self>;

    /// A number of its own: [`next_id`].
    fn id(&self) -> u32;

    /// Keeps it from going; `false` if it is going already. Up to DISPATCH_LEVEL.
    fn hold(&self) -> bool;

    /// Ends what [`Self::hold`] began.
    fn let_go(&self);
}

/// The first of a list through [`Member::next`].
struct First<T>(*const T);

// SAFETY: members are shared by all threads.
unsafe impl<T: Sync> Send for First<T> {}

/// A list. Lock order: taken alone.
pub(crate) struct List<T>(Spin<First<T>>);

/// The disks.
pub(crate) static DISKS: List<Disk> = List::new();
/// The units.
pub(crate) static UNITS: List<Pdo> = List::new();
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

/// A number for a new disk or unit, never used again while the driver is loaded.
pub(crate) fn next_id() -> u32 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// A member that cannot go while this value exists.
pub(crate) struct Held<T: Member>(&'static T);

impl<T: Member> core::ops::Deref for Held<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0
    }
}

impl<T: Member> Held<T> {
    /// The member, for work that ends before this value does.
    pub(crate) fn member(&self) -> &'static T {
        self.0
    }
}

impl<T: Member> Drop for Held<T> {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

/// What [`List::next_after`] has found.
pub(crate) enum Next<T: Member> {
    /// A member.
    Here(Held<T>),
    /// The member of this number, which is being removed, and may still have a chain.
    Going(u32),
}

impl<T: Member + Sync> List<T> {
    const fn new() -> Self {
        Self(Spin::new(First(ptr::null())))
    }

    /// Adds `member`.
    pub(crate) fn remember(&self, member: &'static T) {
        self.locked(|first| {
            member.next().store((*first).cast_mut(), Ordering::Relaxed);
            *first = member;
        });
    }

    /// Takes `member` out: nobody finds it from now on.
    pub(crate) fn forget(&self, member: &'static T) {
        self.locked(|first| {
            if ptr::eq(*first, member) {
                *first = member.next().load(Ordering::Relaxed);
                return;
            }
            let mut at = *first;
            while !at.is_null() {
                // SAFETY: members of the list are alive, and the list is locked.
                let here = unsafe { &*at };
                let next = here.next().load(Ordering::Relaxed);
                if ptr::eq(next, member) {
                    here.next().store(member.next().load(Ordering::Relaxed), Ordering::Relaxed);
                    return;
                }
                at = next;
            }
        });
    }

    /// Whether none is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.locked(|first| first.is_null())
    }

    /// The first for which `wanted` says yes, kept from going. Newest first.
    pub(crate) fn find(&self, mut wanted: impl FnMut(&T) -> bool) -> Option<Held<T>> {
        self.locked(|first| {
            let mut at = *first;
            while !at.is_null() {
                // SAFETY: members of the list are alive, and the list is locked.
                let member: &'static T = unsafe { &*at };
                if wanted(member) && member.hold() {
                    return Some(Held(member));
                }
                at = member.next().load(Ordering::Relaxed);
            }
            None
        })
    }

    /// The one with the lowest number above `number`: to go through all of them without a lock held meanwhile.
    pub(crate) fn next_after(&self, number: u32) -> Option<Next<T>> {
        let mut lowest = u32::MAX;
        self.find(|member| {
            if member.id() > number {
                lowest = lowest.min(member.id());
            }
            false
        });
        let found = self.find(|member| member.id() == lowest);
        (lowest < u32::MAX).then(|| found.map_or(Next::Going(lowest), Next::Here))
    }

    fn locked<R>(&self, body: impl FnOnce(&mut *const T) -> R) -> R {
        self.0.with(|first| body(&mut first.0))
    }
}
