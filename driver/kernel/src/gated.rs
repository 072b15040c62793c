//! What I/O uses and may be taken away while there is I/O: a volume, a unit.

use alloc::boxed::Box;
use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};

use sluice_chain::rundown::{Inside, Rundown};

use crate::nt::{event::Event, irql::Passive};

/// A value behind a gate: whoever is inside may use it, and it goes when all have left. Lives in a device extension
/// and does not move.
pub(crate) struct Gated<T> {
    gate: Rundown,
    drained: Event,
    value: AtomicPtr<T>,
}

// SAFETY: the value is shared with whoever is inside, and dropped by whoever closes the gate.
unsafe impl<T: Send + Sync> Sync for Gated<T> {}

impl<T> Gated<T> {
    /// Nothing in it, and closed. Not usable before [`Self::initialize`].
    pub(crate) const fn uninit() -> Self {
        Self { gate: Rundown::closed(), drained: Event::uninit(), value: AtomicPtr::new(ptr::null_mut()) }
    }

    /// # Safety
    /// Once, at the address where it stays, before any other use.
    pub(crate) unsafe fn initialize(&self) {
        // SAFETY: the caller's contract.
        unsafe { self.drained.initialize() };
    }

    /// Goes in, if there is something; it stays until [`Self::leave`]. Up to DISPATCH_LEVEL.
    pub(crate) fn enter(&self) -> Option<Inside> {
        self.gate.enter()
    }

    /// The value, for whoever is inside.
    pub(crate) fn value<'a>(&'a self, _inside: &'a Inside) -> Option<&'a T> {
        // SAFETY: set before the gate was opened, freed after it was closed and empty; the caller is inside.
        NonNull::new(self.value.load(Ordering::Acquire)).map(|value| unsafe { value.as_ref() })
    }

    /// Goes out. Up to DISPATCH_LEVEL.
    pub(crate) fn leave(&self, inside: Inside) {
        if self.gate.leave(inside) {
            self.drained.set();
        }
    }

    /// Uses the value, if there is one.
    pub(crate) fn with<R>(&self, what: impl FnOnce(&T) -> R) -> Option<R> {
        let inside = self.enter()?;
        let result = self.value(&inside).map(what);
        self.leave(inside);
        result
    }

    /// Puts `value` to use. Only when there is none, and one at a time with [`Self::close`].
    pub(crate) fn open(&self, value: Box<T>) {
        self.drained.clear();
        self.value.store(Box::into_raw(value), Ordering::Release);
        self.gate.open();
    }

    /// Lets nobody in any more. What is inside is still to come out: [`Self::close`] waits for it.
    pub(crate) fn shut(&self) -> bool {
        self.gate.close()
    }

    /// Takes the value out of use, if there is one: waits for all that are inside. One at a time.
    pub(crate) fn close(&self, at: Passive<'_>) -> Option<Box<T>> {
        let value = self.value.load(Ordering::Acquire);
        if value.is_null() {
            return None;
        }
        if !self.shut() {
            self.drained.wait(at);
        }
        self.value.store(ptr::null_mut(), Ordering::Release);
        // SAFETY: `open` made it from a box; the gate is closed and empty.
        Some(unsafe { Box::from_raw(value) })
    }
}
