//! A mapped volume: one thread has the engine; [`Carrier`] carries out what it asks of the image.
//!
//! Everything that happens comes to the engine's thread: requests of clients, by a channel, and I/O that has ended. So
//! nothing of the engine is shared, and nothing is locked while I/O is under way.
//!
//! When a write to the image fails, the engine takes no more. The next change that comes has the volume opened again; while
//! that fails, changes fail.

use std::{
    collections::VecDeque,
    io, mem,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use sluice_mapped::{
    Volume as Engine,
    io::{Buffer, DeviceError, Done, Error, IoId, Request},
    limits::REQUEST,
};

use crate::{
    callers::{Buffers, Reply, each},
    carry::{Carrier, How},
    losses::Losses,
    opening::Opening,
    ring::Bell,
    stages::{Pace, Stages, Teller, facts},
    volume::Volume,
};

/// Bytes of a block of the volume.
const BLOCK: u64 = 4096;
/// Blocks of which is said at once whether they hold data: 256 MiB.
const STATUS: u64 = 1 << 16;
/// How long the engine may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// What comes to the engine's thread.
enum Message {
    Ask(Request, Reply),
    Ended(IoId, Result<(), DeviceError>, Option<Buffer>),
    /// Say how it is.
    Tell(Sender<sluice_statistics::Mapped>),
    /// Finish what is under way, and make an end.
    Close(Reply),
}

pub(crate) struct Mapped {
    size: u64,
    inbox: Sender<Message>,
    buffers: Buffers,
    bell: Option<Arc<Bell>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Mapped {
    /// Opens it, after a crash or not, and starts its threads.
    pub(crate) fn open(
        opening: Opening,
        how: How,
        losses: Arc<Losses>,
        stages: &Arc<Stages>,
    ) -> io::Result<Self> {
        let engine = opening.open()?;
        let size = opening.mapped.volume_bytes;
        let (inbox, messages) = unbounded();
        let ended = inbox.clone();
        let carrier = Carrier::start(
            Arc::clone(&opening.image),
            how,
            Arc::clone(stages),
            move |id, result, buffer| ended.send(Message::Ended(id, result, buffer)).is_ok(),
        )?;
        let bell = if let Carrier::Ring(ring) = &carrier { Some(ring.bell()) } else { None };
        let host = Host {
            engine,
            opening,
            losses,
            failed: false,
            refused: false,
            carrier,
            under_way: 0,
            asked: Vec::new(),
            free: Vec::new(),
            held: VecDeque::new(),
            left: 0,
            close: None,
            closed: false,
        };
        let pace = Pace::new(Arc::clone(stages));
        let thread =
            thread::Builder::new().name("engine".into()).spawn(move || host.live(&messages, pace))?;
        let (buffers, thread) = (Buffers::new(), Mutex::new(Some(thread)));
        Ok(Self { size, inbox, bell, buffers, thread })
    }

    /// Asks the engine how it is.
    pub(crate) fn teller(&self) -> Teller {
        let (inbox, bell) = (self.inbox.clone(), self.bell.clone());
        Box::new(move || {
            let (told, heard) = bounded(1);
            inbox.send(Message::Tell(told)).ok()?;
            bell.iter().for_each(|bell| bell.ring());
            heard.recv_timeout(PATIENCE).ok()
        })
    }

    /// Hands a request to the engine's thread. If that has ended, the reply says so.
    fn ask(&self, request: Request, reply: Reply) {
        self.tell(Message::Ask(request, reply));
    }

    /// If the engine's thread has ended, nothing comes of it.
    fn tell(&self, message: Message) {
        if self.inbox.send(message).is_ok()
            && let Some(bell) = &self.bell
        {
            bell.ring();
        }
    }

    /// A request of one piece, without a buffer.
    fn once(&self, request: impl Fn() -> Request) -> io::Result<()> {
        each(&self.buffers, std::iter::once(()), |(), reply| self.ask(request(), reply), |(), _| {})
    }
}

/// The engine's thread.
struct Host {
    engine: Box<Engine>,
    opening: Opening,
    losses: Arc<Losses>,
    /// A write has failed: the engine only reads until it is opened again.
    failed: bool,
    /// It has been said that it cannot be.
    refused: bool,
    carrier: Carrier,
    /// Whom the answer of each request is for; its place is the request's name.
    asked: Vec<Option<Reply>>,
    free: Vec<usize>,
    /// What the engine has not taken yet.
    held: VecDeque<(u64, Request)>,
    /// Requests that the engine has.
    under_way: usize,
    /// Device I/Os under way.
    left: usize,
    /// Who wants to know how closing ends.
    close: Option<Reply>,
    closed: bool,
}

/// The name of the last request.
const CLOSE: u64 = u64::MAX;

impl Host {
    fn live(mut self, messages: &Receiver<Message>, mut pace: Pace) {
        if let Carrier::Ring(ring) = &self.carrier {
            ring.enable();
        }
        loop {
            // What has come is taken together, so that it shares frames and flushes.
            while let Ok(message) = messages.try_recv() {
                self.take(message);
            }
            if self.turn() {
                return;
            }
            pace.rest();
            let device = self.left > 0;
            let message = match &mut self.carrier {
                Carrier::Ring(ring) => {
                    ring.wait(|| messages.is_empty());
                    None
                }
                Carrier::Threads(_) => match messages.recv() {
                    Ok(message) => Some(message),
                    Err(_) => return,
                },
            };
            pace.wake(device);
            if let Some(message) = message {
                self.take(message);
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Ask(request, reply) => {
                let place = self.free.pop().unwrap_or_else(|| {
                    self.asked.push(None);
                    self.asked.len() - 1
                });
                self.asked[place] = Some(reply);
                self.held.push_back((place as u64, request));
            }
            Message::Ended(id, result, buffer) => self.ended(id, result, buffer),
            Message::Close(reply) => {
                self.close = Some(reply);
                self.held.push_back((CLOSE, Request::Close));
            }
            // Whoever asked may have gone.
            Message::Tell(told) => {
                drop(told.try_send(facts(&self.engine, self.opening.mapped.segment_bytes)));
            }
        }
    }

    fn ended(&mut self, id: IoId, result: Result<(), DeviceError>, buffer: Option<Buffer>) {
        self.left -= 1;
        self.engine.complete(id, result, buffer);
    }

    /// Gives the engine what it has room for, in order.
    fn submit(&mut self) {
        if self.failed && self.held.iter().any(|(_, request)| is_change(request)) {
            // One engine after the other.
            if self.under_way + self.left > 0 {
                return;
            }
            self.open_again();
        }
        while let Some((name, request)) = self.held.pop_front() {
            if let Err(request) = self.engine.submit(name, request) {
                return self.held.push_front((name, request));
            }
            self.under_way += 1;
        }
    }

    /// The image may work again: a new engine finds there what was durable. If not, the old one goes on reading.
    fn open_again(&mut self) {
        match self.opening.open() {
            Ok(engine) => {
                self.engine = engine;
                self.failed = false;
                self.refused = false;
                eprintln!("sluice: the volume has been opened again after an error of its image");
            }
            Err(error) => {
                if !mem::replace(&mut self.refused, true) {
                    eprintln!("sluice: the volume cannot be opened again yet: {error}");
                }
                let (changes, reads) =
                    mem::take(&mut self.held).into_iter().partition(|(_, request)| is_change(request));
                self.held = reads;
                for (name, _) in changes {
                    self.answer(name, Err(Error::Write), None);
                }
            }
        }
    }

    fn answer(&mut self, name: u64, result: Result<(), Error>, buffer: Option<Vec<u8>>) {
        let asked = if name == CLOSE {
            self.closed = true;
            self.close.take()
        } else {
            self.free.push(name as usize);
            self.asked.get_mut(name as usize).and_then(Option::take)
        };
        if let Some(reply) = asked {
            reply.send(result, buffer);
        }
    }

    /// Has the engine do what it can; whether it is closed, and nothing is under way.
    fn turn(&mut self) -> bool {
        loop {
            self.submit();
            self.begin();
            let ended = self.reap();
            if self.engine.has_failed() && !self.failed {
                self.failed = true;
                self.losses.note();
            }
            match self.engine.next_done() {
                Some(Done { user, result, buffer }) => {
                    self.under_way -= 1;
                    self.answer(user, result, buffer);
                }
                None if ended => {}
                None => return self.closed && self.left == 0,
            }
        }
    }

    /// Begins what the engine asks of the image.
    fn begin(&mut self) {
        let before = self.left;
        while let Some(io) = self.engine.next_io() {
            self.left += 1;
            self.carrier.ask(io);
        }
        if self.left > before {
            self.carrier.begin();
        }
    }

    /// Tells the engine what has ended on the ring; whether anything has. Threads send messages.
    fn reap(&mut self) -> bool {
        let before = self.left;
        while let Carrier::Ring(ring) = &mut self.carrier
            && let Some((id, result, buffer)) = ring.next_ended()
        {
            self.ended(id, result, buffer);
        }
        self.left < before
    }
}

fn is_change(request: &Request) -> bool {
    matches!(request, Request::Write { .. } | Request::Discard { .. } | Request::Flush)
}

impl Volume for Mapped {
    fn size(&self) -> u64 {
        self.size
    }

    fn discards(&self) -> bool {
        true
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let pieces = (offset..).step_by(REQUEST).zip(into.chunks_mut(REQUEST));
        let ask = |(offset, piece): &(u64, &mut [u8]), reply| {
            self.ask(Request::Read { offset: *offset, buffer: self.buffers.take(piece.len()) }, reply);
        };
        each(&self.buffers, pieces, ask, |(_, piece), found| piece.copy_from_slice(found))
    }

    fn write(&self, offset: u64, bytes: &[u8], fua: bool) -> io::Result<()> {
        let pieces = (offset..).step_by(REQUEST).zip(bytes.chunks(REQUEST));
        let ask = |(offset, piece): &(u64, &[u8]), reply| {
            let mut buffer = self.buffers.take(piece.len());
            buffer.copy_from_slice(piece);
            self.ask(Request::Write { offset: *offset, buffer, fua }, reply);
        };
        each(&self.buffers, pieces, ask, |_, _| {})
    }

    fn flush(&self) -> io::Result<()> {
        self.once(|| Request::Flush)
    }

    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        self.once(|| Request::Discard { offset, length })
    }

    fn extents(&self, offset: u64, length: u64) -> io::Result<Option<Vec<(u64, bool)>>> {
        let first = offset / BLOCK;
        let end = (offset + length).min(self.size).div_ceil(BLOCK).min(first + STATUS);
        let mut extents: Vec<(u64, bool)> = Vec::new();
        let ask = |(): &(), reply| {
            let buffer = self.buffers.take((end - first) as usize);
            self.ask(Request::Status { offset: first * BLOCK, buffer }, reply);
        };
        each(&self.buffers, std::iter::once(()), ask, |(), blocks| {
            for run in blocks.chunk_by(|one, other| one == other) {
                extents.push((run.len() as u64 * BLOCK, run.first() == Some(&1)));
            }
        })?;
        // The first begins where it was asked for.
        if let Some((length, _)) = extents.first_mut() {
            *length -= offset - first * BLOCK;
        }
        Ok(Some(extents))
    }

    fn close(&self) -> io::Result<()> {
        let closing = |(): &(), reply| self.tell(Message::Close(reply));
        let result = each(&self.buffers, std::iter::once(()), closing, |(), _| {});
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        result
    }
}
