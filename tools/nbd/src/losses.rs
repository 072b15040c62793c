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

    /// An error if something has been lost of which the connection has not been told.
    pub(crate) fn tell(&self, known: &Known) -> io::Result<()> {
        let count = self.count.load(Ordering::SeqCst);
        if known.0.swap(count, Ordering::SeqCst) == count {
            return Ok(());
        }
        self.told.fetch_max(count, Ordering::SeqCst);
        Err(io::Error::from_raw_os_error(libc::EIO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_told_once() {
        let losses = Losses::default();
        let (one, two) = (losses.known(), losses.known());
        assert!(losses.tell(&one).is_ok());
        losses.note();
        let three = losses.known();
        for known in [&one, &two, &three] {
            assert!(losses.tell(known).is_err());
            assert!(losses.tell(known).is_ok());
        }
        // Who comes when others know of it has lost nothing.
        assert!(losses.tell(&losses.known()).is_ok());
    }
}
