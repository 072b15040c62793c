//! What was acknowledged, but could not be made durable.
//!
//! When a write or flush of the image fails, what any client wrote since the last flush may be gone, although it was told that
//! it is written. It is owed an error: its next flush fails once, on every connection there is, and on the next one that
//! comes if there was none. So no client takes for durable what is not, also if the image works again by then.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

/// Of one volume.
#[derive(Default)]
pub(crate) struct Losses {
    count: AtomicU64,
    /// The last that somebody has been told of.
    told: AtomicU64,
}

/// What one connection knows of them.
pub(crate) struct Known(AtomicU64);

impl Losses {
    /// Something may have been lost.
    pub(crate) fn note(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// For a new connection.
    pub(crate) fn known(&self) -> Known {
        Known(AtomicU64::new(self.told.load(Ordering::SeqCst)))
    }

    /// How many there are, for [`Self::tell`].
    pub(crate) fn now(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// An error if something has been lost of which the connection has not been told. `before` is of before its flush began:
    /// what came meanwhile may be of later writes as well, and is told again.
    pub(crate) fn tell(&self, known: &Known, before: u64) -> io::Result<()> {
        if known.0.swap(before, Ordering::SeqCst) == self.now() {
            return Ok(());
        }
        self.told.fetch_max(before, Ordering::SeqCst);
        Err(io::Error::from_raw_os_error(libc::EIO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(losses: &Losses, known: &Known) -> io::Result<()> {
        losses.tell(known, losses.now())
    }

    #[test]
    fn what_comes_while_a_flush_is_under_way_is_told_again() {
        let losses = Losses::default();
        let known = losses.known();
        let before = losses.now();
        losses.note();
        assert!(losses.tell(&known, before).is_err());
        assert!(tell(&losses, &known).is_err());
        assert!(tell(&losses, &known).is_ok());
    }

    #[test]
    fn everybody_is_told_once() {
        let losses = Losses::default();
        let (one, two) = (losses.known(), losses.known());
        assert!(tell(&losses, &one).is_ok());
        losses.note();
        let three = losses.known();
        for known in [&one, &two, &three] {
            assert!(tell(&losses, known).is_err());
            assert!(tell(&losses, known).is_ok());
        }
        // Who comes when others know of it has lost nothing.
        assert!(tell(&losses, &losses.known()).is_ok());
    }
}
