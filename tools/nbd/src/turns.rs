//! Whose turn it is with the engine of a mapped volume.
//!
//! Whatever happens is put into the inbox: what clients ask, and I/O that has ended. Then whoever put it there has a turn,
//! unless somebody else is having one, who will find it. So a request takes no change of threads as long as the others let it,
//! and when many come at once, one thread takes them together. Nobody has the engine while a device is waited for.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{Ordering, fence},
    },
    time::Instant,
};

use crossbeam_queue::ArrayQueue;
use sluice_mapped::{
    io::{DeviceError, DeviceIo, DeviceOp},
    limits::{IOS, REQUESTS},
};

use crate::{
    host::{Host, Message, Reads},
    image::Image,
    stages::Stages,
};

/// See above.
pub(crate) struct Turns {
    inbox: ArrayQueue<Message>,
    host: Mutex<Host>,
    image: Arc<Image>,
    stages: Arc<Stages>,
}

impl Turns {
    pub(crate) fn new(host: Host, image: Arc<Image>, stages: Arc<Stages>) -> Self {
        Self { inbox: ArrayQueue::new(IOS + REQUESTS), host: Mutex::new(host), image, stages }
    }

    pub(crate) fn image(&self) -> &Arc<Image> {
        &self.image
    }

    pub(crate) fn stages(&self) -> &Arc<Stages> {
        &self.stages
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Host> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something into the inbox; [`Self::attend`] follows.
    pub(crate) fn put(&self, mut message: Message) {
        // It is seldom full: then somebody has to wait.
        while let Err(back) = self.inbox.push(message) {
            message = back;
            self.lock().take_all(&self.inbox);
        }
    }

    /// Has the engine take what is in the inbox and do what it can, and reads what can be read at once, until nothing is left
    /// or somebody else does that. A read that has to be waited for is made here only if nothing else is under way, and
    /// this thread has nothing better to do, which is so until it is `answered`. (Threads that carry out I/O always have.)
    pub(crate) fn attend(&self, answered: &dyn Fn() -> bool) {
        let mut reads = Reads::new();
        loop {
            // In the inbox first, and then is seen whether the lock is free; who has had it looks the other way round.
            fence(Ordering::SeqCst);
            let mut host = match self.host.try_lock() {
                Ok(host) => host,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let alone = host.turn(&self.inbox, &mut reads);
            drop(host);
            fence(Ordering::SeqCst);
            if reads.is_empty() && self.inbox.is_empty() {
                return;
            }
            for io in reads.drain(..) {
                self.put(self.read(io, alone && !answered()));
            }
        }
    }

    /// Reads, if need be, or if it does not take long.
    fn read(&self, io: DeviceIo, wait: bool) -> Message {
        let (id, (offset, length, mut buffer)) = match io {
            DeviceIo { id, op: DeviceOp::Read { offset, length, buffer } } => (id, (offset, length, buffer)),
            other => return Message::Carry(other),
        };
        let into = &mut buffer[..length];
        let begun = Instant::now();
        let result =
            if wait { Some(self.image.read(offset, into)) } else { self.image.read_now(offset, into) };
        let Some(result) = result else {
            return Message::Carry(DeviceIo { id, op: DeviceOp::Read { offset, length, buffer } });
        };
        self.stages.device_read.add(length, begun.elapsed());
        Message::Ended(id, result.map_err(|_| DeviceError), Some(buffer))
    }
}
