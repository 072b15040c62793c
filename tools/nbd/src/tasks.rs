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
    /// And whether it is short.
    queue: VecDeque<(DeviceIo, bool)>,
    /// Threads that wait,
    waiting: usize,
    /// and how many of them have been woken already.
    woken: usize,
    /// Threads that do something short.
    brisk: usize,
    ended: bool,
}

impl Tasks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more to be carried out.
    pub(crate) fn put(&self, io: DeviceIo, short: bool) {
        let mut state = self.state();
        state.queue.push_back((io, short));
        let somebody_comes = state.brisk + state.woken > 0;
        if !(short && somebody_comes) {
            self.wake_one(state);
        }
    }

    fn wake_one(&self, mut state: MutexGuard<'_, State>) {
        if state.waiting > state.woken {
            state.woken += 1;
            drop(state);
            self.more.notify_one();
        }
    }

    /// A thread's life: whatever comes, one after the other, until the end.
    pub(crate) fn work_off(&self, mut carry_out: impl FnMut(DeviceIo)) {
        let mut state = self.state();
        loop {
            if let Some((io, short)) = state.queue.pop_front() {
                state.brisk += usize::from(short);
                if short || state.queue.is_empty() {
                    drop(state);
                } else {
                    // What is short may have counted on this thread.
                    self.wake_one(state);
                }
                carry_out(io);
                state = self.state();
                state.brisk -= usize::from(short);
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
        self.state().queue.pop_front().map(|(io, _)| io)
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

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::channel, thread, time::Duration};

    use sluice_mapped::io::{DeviceOp, IoId};

    use super::*;

    #[test]
    fn what_is_short_does_not_wait_for_what_is_long() {
        const LONG: u32 = 9;
        let (tasks, patience) = (Tasks::default(), Duration::from_secs(20));
        let (begun, told) = channel();
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        thread::scope(|scope| {
            for _ in 0..3 {
                let (tasks, begun, released) = (&tasks, begun.clone(), &released);
                scope.spawn(move || {
                    tasks.work_off(|io| {
                        let _ = begun.send(io.id.0);
                        if io.id.0 == LONG {
                            let waits = released.lock().unwrap_or_else(PoisonError::into_inner);
                            let _ = waits.recv_timeout(patience * 2);
                        }
                    });
                });
            }
            let ask = |id, short| tasks.put(DeviceIo { id: IoId(id), op: DeviceOp::Flush }, short);
            // Both at once, and one when the long one is known to be under way.
            ask(LONG, false);
            ask(1, true);
            let mut first = [told.recv_timeout(patience), told.recv_timeout(patience)];
            first.sort_by_key(|id| id.ok());
            ask(2, true);
            let then = told.recv_timeout(patience);
            let _ = release.send(());
            tasks.end();
            assert_eq!((first, then), ([Ok(1), Ok(LONG)], Ok(2)));
        });
    }
}
