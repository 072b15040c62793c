//! Flushes of an image by many threads.
//!
//! The system reports once that something did not get to the medium: to one flush, also if others wait for the same bytes. So
//! there is one flush at a time, those who come meanwhile share the next, and one that failed counts for everybody whose
//! bytes it may have been about.

use std::{
    io,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

#[derive(Default)]
pub(crate) struct Flushes {
    state: Mutex<State>,
    changed: Condvar,
}

/// Flushes are numbered from 1 on.
#[derive(Default)]
struct State {
    begun: u64,
    ended: u64,
    /// The last that failed.
    failed: u64,
}

/// A moment, as far as flushes go.
#[derive(Clone, Copy)]
pub(crate) struct Moment(u64);

impl Flushes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now: before the first byte is written of what is to be durable.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.state().ended)
    }

    /// Has a flush made by `flush`, or shares one that begins after this call. An error if that one or another has failed since.
    /// `failed` is called before anybody hears of it.
    pub(crate) fn flush(
        &self,
        since: Moment,
        flush: impl FnOnce() -> io::Result<()>,
        failed: impl FnOnce(),
    ) -> io::Result<()> {
        let mut state = self.state();
        let wanted = state.begun + 1;
        while state.ended < wanted && state.begun > state.ended {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut result = Ok(());
        if state.ended < wanted {
            state.begun += 1;
            drop(state);
            result = flush();
            state = self.state();
            state.ended += 1;
            if result.is_err() {
                state.failed = state.ended;
                failed();
            }
            self.changed.notify_all();
        }
        if result.is_ok() && state.failed > since.0 {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, thread, time::Duration};

    use super::*;

    #[test]
    fn one_that_fails_counts_for_all_who_wrote_before() {
        let flushes = Flushes::default();
        let (told, bad) = (Cell::new(0), || Err(io::ErrorKind::Other.into()));
        let early = flushes.now();
        assert!(flushes.flush(early, || Ok(()), || told.set(9)).is_ok());
        assert!(flushes.flush(flushes.now(), bad, || told.set(told.get() + 1)).is_err());
        assert_eq!(told.get(), 1);
        assert!(flushes.flush(early, || Ok(()), || told.set(9)).is_err());
        assert!(flushes.flush(flushes.now(), || Ok(()), || told.set(9)).is_ok());
    }

    #[test]
    fn those_who_come_meanwhile_share_the_next() {
        let (flushes, made) = (Flushes::default(), Mutex::new(0));
        let slow = || {
            *made.lock().map_err(|_| io::ErrorKind::Other)? += 1;
            thread::sleep(Duration::from_millis(200));
            Ok(())
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert!(flushes.flush(flushes.now(), slow, || {}).is_ok()));
            }
        });
        assert!(made.into_inner().is_ok_and(|made| made < 8));
    }
}
