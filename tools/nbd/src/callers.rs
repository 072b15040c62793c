//! How nbdkit's threads ask, and wait for answers. A thread that asks always has the same place for its answers, and what
//! requests carry lies in buffers that come back: nothing is allocated for each.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
};

use crossbeam_queue::ArrayQueue;
use sluice_mapped::{io::Error, limits::REQUEST};

use crate::{abort, turns::Turns};

/// Requests that a thread has under way at once.
const WINDOW: usize = 8;
/// Bytes of buffers: a block, many blocks, the longest request; and how many of each are kept.
const SIZES: [(usize, usize); 3] = [(4 << 10, 256), (64 << 10, 64), (REQUEST, 16)];

/// How a request has ended. `None`: the volume is closed.
type Answer = Option<(Result<(), Error>, Option<Vec<u8>>)>;

/// Where a thread finds its answers. It sleeps when there is none: a channel would have it look again and again before, which
/// takes more of a processor than many requests do.
struct Letterbox {
    thread: Thread,
    answers: ArrayQueue<(usize, Answer)>,
    sleeping: AtomicBool,
}

thread_local! {
    static LETTERBOX: Arc<Letterbox> = Arc::new(Letterbox {
        thread: thread::current(),
        answers: ArrayQueue::new(WINDOW),
        sleeping: AtomicBool::new(false),
    });
}

impl Letterbox {
    fn put(&self, place: usize, answer: Answer) {
        let _ = self.answers.push((place, answer)); // there is room for all that are under way
        if self.sleeping.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
    }

    /// By its own thread.
    fn take(&self) -> (usize, Answer) {
        loop {
            if let Some(answer) = self.answers.pop() {
                return answer;
            }
            self.sleeping.store(true, Ordering::SeqCst);
            if self.answers.is_empty() {
                thread::park();
            }
            self.sleeping.store(false, Ordering::SeqCst);
        }
    }
}

/// Owed to a thread that waits. It is answered in any case.
pub(crate) struct Reply {
    place: usize,
    /// Taken by the answer.
    to: Option<Arc<Letterbox>>,
}

impl Reply {
    /// The request has ended; here is its buffer.
    pub(crate) fn send(mut self, result: Result<(), Error>, buffer: Option<Vec<u8>>) {
        if let Some(to) = self.to.take() {
            to.put(self.place, Some((result, buffer)));
        }
    }
}

/// Nobody answers any more: the volume is closed.
impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            to.put(self.place, None);
        }
    }
}

/// Buffers that nobody uses.
pub(crate) struct Buffers([ArrayQueue<Vec<u8>>; SIZES.len()]);

impl Buffers {
    pub(crate) fn new() -> Self {
        Self(SIZES.map(|(_, count)| ArrayQueue::new(count)))
    }

    /// One of `length` bytes, whatever they are.
    pub(crate) fn take(&self, length: usize) -> Vec<u8> {
        let fitting = SIZES.iter().zip(&self.0).find(|((size, _), _)| *size >= length);
        let mut buffer = fitting.map_or_else(Vec::new, |((size, _), free)| {
            free.pop().unwrap_or_else(|| Vec::with_capacity(*size))
        });
        buffer.resize(length, 0);
        buffer
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let size = SIZES.iter().zip(&self.0).rfind(|((size, _), _)| *size <= buffer.capacity());
        if let Some((_, free)) = size {
            let _ = free.push(buffer); // there are enough
        }
    }
}

/// Has each piece of a request asked for by `ask`, and sees to it that all are answered. `done` is told of each piece that
/// ended well, with its buffer.
pub(crate) fn each<P>(
    turns: &Turns,
    buffers: &Buffers,
    pieces: impl Iterator<Item = P>,
    mut ask: impl FnMut(&P, Reply),
    mut done: impl FnMut(P, &[u8]),
) -> io::Result<()> {
    LETTERBOX.with(|letterbox| {
        let mut asked: [Option<P>; WINDOW] = [const { None }; WINDOW];
        let mut pieces = pieces.fuse();
        let (mut under_way, mut result) = (0, Ok(()));
        loop {
            for (place, slot) in asked.iter_mut().enumerate().filter(|(_, slot)| slot.is_none()) {
                // After a failure nothing more is asked for.
                let Some(piece) = (if result.is_ok() { pieces.next() } else { None }) else { break };
                ask(&piece, Reply { place, to: Some(Arc::clone(letterbox)) });
                *slot = Some(piece);
                under_way += 1;
            }
            if under_way == 0 {
                abort::answer_nobody();
                return result;
            }
            if letterbox.answers.is_empty() {
                turns.attend(&|| !letterbox.answers.is_empty());
            }
            let (place, answer) = letterbox.take();
            under_way -= 1;
            let Some((ended, buffer)) = answer else {
                result = Err(closed());
                continue;
            };
            let piece = asked.get_mut(place).and_then(Option::take);
            match (ended, piece) {
                (Ok(()), Some(piece)) => done(piece, buffer.as_deref().unwrap_or_default()),
                (Err(error), _) => result = Err(as_io(error)),
                (Ok(()), None) => {}
            }
            if let Some(buffer) = buffer {
                buffers.give_back(buffer);
            }
        }
    })
}

fn closed() -> io::Error {
    io::Error::other("the volume is closed")
}

fn as_io(error: Error) -> io::Error {
    io::Error::from_raw_os_error(match error {
        Error::NoSpace => libc::ENOSPC,
        Error::Range => libc::EINVAL,
        Error::Medium | Error::Write => libc::EIO,
    })
}
