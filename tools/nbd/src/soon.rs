//! What a mapped volume's engine holds back in memory is written after a short while, if nobody has asked for it before.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// So long something may be held back: many requests share a write then, and whoever kills the server takes little with it.
pub(crate) const WHILE: Duration = Duration::from_millis(2);

/// A clock that runs only if it is wound up.
#[derive(Default)]
pub(crate) struct Soon {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wound: bool,
    ended: bool,
}

impl Soon {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is held back.
    pub(crate) fn wind(&self) {
        self.state().wound = true;
        self.changed.notify_one();
    }

    /// Nothing is any more.
    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_one();
    }

    /// A thread's life.
    pub(crate) fn run(&self, write_out: impl Fn()) {
        let mut state = self.state();
        while !state.ended {
            if !state.wound {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.changed.wait_timeout_while(state, WHILE, |state| !state.ended);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.wound = false;
            drop(state);
            write_out();
            state = self.state();
        }
    }
}
