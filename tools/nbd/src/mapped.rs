//! A mapped volume: one thread has the engine; [`Carrier`] carries out what it asks of the image.
//!
//! Everything that happens comes to the engine's thread: requests of clients, by a channel, and I/O that has ended. So
//! nothing of the engine is shared, and nothing is locked while I/O is under way.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use sluice_engine::{keys::VolumeKey, volume};
use sluice_mapped::{
    Options, Volume as Engine,
    io::{Buffer, DeviceError, Done, IoId, Request},
    layout::Layout,
    limits::REQUEST,
    seal::Sealer,
};
use sluice_xts::Backend;

use crate::{
    callers::{Buffers, Reply, each},
    carry::{Carrier, How},
    image::Image,
    ring::Bell,
    volume::Volume,
};

/// Bytes of a block of the volume.
const BLOCK: u64 = 4096;
/// Blocks of which is said at once whether they hold data: 256 MiB.
const STATUS: u64 = 1 << 16;
/// Bytes of memory for metadata pages.
const CACHE: usize = 32 << 20;

/// What comes to the engine's thread.
enum Message {
    Ask(Request, Reply),
    Ended(IoId, Result<(), DeviceError>, Option<Buffer>),
    /// Finish what is under way, and make an end.
    Close,
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
        mapped: &volume::Mapped,
        uuid: &[u8; 16],
        key: &VolumeKey,
        image: Image,
        how: How,
    ) -> io::Result<Self> {
        let problem = |what: String| io::Error::other(what);
        let layout = Layout::of(mapped).map_err(|error| problem(format!("the header: {error:?}")))?;
        let sealer = Sealer::new(key.as_bytes(), uuid, mapped.encrypted, Backend::detect());
        let sealer = sealer.map_err(|error| problem(format!("the key: {error:?}")))?;
        let index = mapped.index_bytes.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let options = Options { discard: mapped.discard, ..Options::new(CACHE, index, mapped.level) };
        let engine = Engine::open(&mut &image, layout, sealer, options)
            .map_err(|error| problem(format!("the volume does not open ({error:?}); see `sluice check`")))?;
        let (inbox, messages) = unbounded();
        let ended = inbox.clone();
        let carrier = Carrier::start(image, how, move |id, result, buffer| {
            ended.send(Message::Ended(id, result, buffer)).is_ok()
        })?;
        let bell = if let Carrier::Ring(ring) = &carrier { Some(ring.bell()) } else { None };
        let host = Host {
            engine,
            carrier,
            asked: Vec::new(),
            free: Vec::new(),
            held: VecDeque::new(),
            left: 0,
            closed: false,
        };
        let thread = thread::Builder::new().name("engine".into()).spawn(move || host.live(&messages))?;
        let (buffers, thread) = (Buffers::new(), Mutex::new(Some(thread)));
        Ok(Self { size: mapped.volume_bytes, inbox, bell, buffers, thread })
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
    carrier: Carrier,
    /// Whom the answer of each request is for; its place is the request's name.
    asked: Vec<Option<Reply>>,
    free: Vec<usize>,
    /// What the engine has not taken yet.
    held: VecDeque<(u64, Request)>,
    /// Device I/Os under way.
    left: usize,
    closed: bool,
}

/// The name of the last request.
const CLOSE: u64 = u64::MAX;

impl Host {
    fn live(mut self, messages: &Receiver<Message>) {
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
            match &mut self.carrier {
                Carrier::Ring(ring) => ring.wait(|| messages.is_empty()),
                Carrier::Threads(_) => match messages.recv() {
                    Ok(message) => self.take(message),
                    Err(_) => return,
                },
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
            Message::Close => self.held.push_back((CLOSE, Request::Close)),
        }
    }

    fn ended(&mut self, id: IoId, result: Result<(), DeviceError>, buffer: Option<Buffer>) {
        self.left -= 1;
        self.engine.complete(id, result, buffer);
    }

    /// Gives the engine what it has room for, in order.
    fn submit(&mut self) {
        while let Some((name, request)) = self.held.pop_front() {
            if let Err(request) = self.engine.submit(name, request) {
                return self.held.push_front((name, request));
            }
        }
    }

    /// Has the engine do what it can; whether it is closed, and nothing is under way.
    fn turn(&mut self) -> bool {
        loop {
            self.submit();
            self.begin();
            let ended = self.reap();
            match self.engine.next_done() {
                Some(done) => self.answer(done),
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

    fn answer(&mut self, Done { user, result, buffer }: Done) {
        if user == CLOSE {
            self.closed = true;
        } else if let Some(reply) = self.asked.get_mut(user as usize).and_then(Option::take) {
            self.free.push(user as usize);
            reply.send(result, buffer);
        }
    }
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

    fn close(&self) {
        self.tell(Message::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}
