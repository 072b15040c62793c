//! A gate that many may pass until it is closed, and that tells when the last has left.
//!
//! Protects what I/O uses (a volume, its chain, its keys) while it is taken away: close the gate, wait until
//! the last one has left, free.

use core::sync::atomic::{AtomicUsize, Ordering};

const CLOSED: usize = 1;
const ONE: usize = 2;

/// The gate. Bit 0 says closed, the rest counts those inside.
#[derive(Debug)]
pub struct Rundown(AtomicUsize);

/// Proof that its holder is inside; must be given back with [`Rundown::leave`].
#[must_use]
#[derive(Debug)]
pub struct Inside(());

impl Inside {
    /// Turns the proof into nothing while it is stored outside Rust's sight (in an IRP).
    pub fn forget(self) {}

    /// Takes up the proof that was forgotten.
    ///
    /// # Safety
    /// Exactly once for each [`Self::forget`].
    pub unsafe fn remembered() -> Self {
        Self(())
    }
}

impl Rundown {
    /// A closed gate.
    pub const fn closed() -> Self {
        Self(AtomicUsize::new(CLOSED))
    }

    /// Lets others in from now on. Only for a gate that is closed and empty; answers whether it was.
    pub fn open(&self) -> bool {
        self.0.compare_exchange(CLOSED, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Goes in, unless closed.
    #[inline]
    pub fn enter(&self) -> Option<Inside> {
        let mut now = self.0.load(Ordering::Relaxed);
        // Not an add that is taken back when closed: the last to leave could then miss that it was the last.
        while now & CLOSED == 0 {
            match self.0.compare_exchange_weak(now, now + ONE, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(Inside(())),
                Err(changed) => now = changed,
            }
        }
        None
    }

    /// Goes out. `true`: the gate is closed and this was the last; whoever waits must be told.
    #[inline]
    #[must_use]
    pub fn leave(&self, inside: Inside) -> bool {
        let Inside(()) = inside;
        self.0.fetch_sub(ONE, Ordering::AcqRel) == ONE | CLOSED
    }

    /// Closes the gate. `true`: nobody is inside.
    #[must_use]
    pub fn close(&self) -> bool {
        self.0.fetch_or(CLOSED, Ordering::AcqRel) >> 1 == 0
    }
}
