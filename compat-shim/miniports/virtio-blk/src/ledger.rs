//! What was acknowledged and is not yet durable, over all queues of a device and all its lives.

use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// The account that all queues of a device share.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Counts what was acknowledged and may not be durable.
    written: AtomicU64,
    /// How far that count is covered by a flush.
    flushed: AtomicU64,
    /// The device has gone with something that was not flushed: the next flush must say so.
    lost: AtomicBool,
    /// Requests that went well.
    served: AtomicU64,
}

impl Ledger {
    /// A request went well.
    pub(crate) fn served(&self) {
        self.served.fetch_add(1, Relaxed);
    }

    /// Whether any did since this was asked last.
    pub(crate) fn has_served(&self) -> bool {
        self.served.swap(0, AcqRel) > 0
    }

    /// Something was acknowledged that is not durable yet.
    pub(crate) fn written(&self) {
        self.written.fetch_add(1, AcqRel);
    }

    /// What a flush that is started now covers.
    pub(crate) fn covered(&self) -> u64 {
        self.written.load(Acquire)
    }

    /// A flush that covers so much is done.
    pub(crate) fn flushed(&self, covered: u64) {
        self.flushed.fetch_max(covered, AcqRel);
    }

    /// Whether something was lost of which nobody has been told; now somebody is.
    pub(crate) fn tell_loss(&self) -> bool {
        self.lost.swap(false, AcqRel)
    }

    /// Another device takes the place of the one that had acknowledged all this.
    pub(crate) fn broken(&self) {
        let written = self.written.load(Acquire);
        if self.flushed.swap(written, AcqRel) < written {
            self.lost.store(true, Release);
        }
    }
}
