//! What is to be carried out, and the threads that wait for it.
//!
//! Waking a thread takes longer than a short write does. So one thread is woken for what is short, and does one after the
//! other; for what a device may take long to do, each I/O wakes one.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use sluice_mapped::io::DeviceIo;

/// See above.
#[derive(Default)]
pub(crate) struct Tasks {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<DeviceIo>,
    /// Threads that wait,
    waiting: usize,
    /// and how many of them have been woken already.
    woken: usize,
    /// Threads that do not.
    working: usize,
    ended: bool,
}

impl Tasks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more to be carried out.
    pub(crate) fn put(&self, io: DeviceIo, short: bool) {
        let mut state = self.state();
        state.queue.push_back(io);
        let somebody_comes = state.working + state.woken > 0;
        if state.waiting > state.woken && !(short && somebody_comes) {
            state.woken += 1;
            drop(state);
            self.more.notify_one();
        }
    }

    /// A thread's life: whatever comes, one after the other, until the end.
    pub(crate) fn work_off(&self, mut carry_out: impl FnMut(DeviceIo)) {
        let mut state = self.state();
        loop {
            if let Some(io) = state.queue.pop_front() {
                state.working += 1;
                drop(state);
                carry_out(io);
                state = self.state();
                state.working -= 1;
            } else if state.ended {
                return;
            } else {
                state.waiting += 1;
                state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.waiting -= 1;
                state.woken = state.woken.saturating_sub(1);
            }
        }
    }

    /// The next, if there is one now.
    pub(crate) fn take(&self) -> Option<DeviceIo> {
        self.state().queue.pop_front()
    }

    /// Whether there is none, nor ever will be.
    pub(crate) fn have_ended(&self) -> bool {
        let state = self.state();
        state.ended && state.queue.is_empty()
    }

    /// Whether there is nothing to do for a thread.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state();
        !state.ended && state.queue.is_empty()
    }

    /// Nothing comes any more.
    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.more.notify_all();
    }
}
