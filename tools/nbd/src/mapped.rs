//! A mapped volume: one thread has the engine, a few others carry out what it asks of the image.
//!
//! Everything that happens comes to the engine's thread by one channel: requests of clients, and I/O that has ended. So
//! nothing of the engine is shared, and nothing is locked while I/O is under way.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use sluice_engine::{keys::VolumeKey, volume};
use sluice_mapped::{
    Options, Volume as Engine,
    io::{Buffer, DeviceError, DeviceIo, DeviceOp, Done, IoId, Request},
    layout::Layout,
    limits::REQUEST,
    seal::Sealer,
};
use sluice_xts::Backend;

use crate::{
    callers::{Buffers, Reply, each},
    image::Image,
    volume::Volume,
};

/// Threads that do I/O on the image, and so I/Os at once.
const WORKERS: usize = 8;
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
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Mapped {
    /// Opens it, after a crash or not, and starts its threads.
    pub(crate) fn open(
        mapped: &volume::Mapped,
        uuid: &[u8; 16],
        key: &VolumeKey,
        image: Image,
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
        let (work, tasks) = bounded(sluice_mapped::limits::IOS);
        let image = Arc::new(image);
        for number in 0..WORKERS {
            let (image, tasks, inbox) = (Arc::clone(&image), tasks.clone(), inbox.clone());
            thread::Builder::new()
                .name(format!("image {number}"))
                .spawn(move || carry(&image, &tasks, &inbox))?;
        }
        let host = Host {
            engine,
            work,
            asked: Vec::new(),
            free: Vec::new(),
            held: VecDeque::new(),
            left: 0,
            closed: false,
        };
        let thread = thread::Builder::new().name("engine".into()).spawn(move || host.live(&messages))?;
        let (buffers, thread) = (Buffers::new(), Mutex::new(Some(thread)));
        Ok(Self { size: mapped.volume_bytes, inbox, buffers, thread })
    }

    /// Hands a request to the engine's thread. If that has ended, the reply says so.
    fn ask(&self, request: Request, reply: Reply) {
        let _ = self.inbox.send(Message::Ask(request, reply));
    }

    /// A request of one piece, without a buffer.
    fn once(&self, request: impl Fn() -> Request) -> io::Result<()> {
        each(&self.buffers, std::iter::once(()), |(), reply| self.ask(request(), reply), |(), _| {})
    }
}

/// An image thread's life: until the engine's has ended.
fn carry(image: &Image, tasks: &Receiver<DeviceIo>, inbox: &Sender<Message>) {
    for DeviceIo { id, op } in tasks {
        let (result, buffer) = match op {
            DeviceOp::Read { offset, length, mut buffer } => {
                (image.read(offset, &mut buffer[..length]), Some(buffer))
            }
            DeviceOp::Write { offset, length, data } => (image.write(offset, &data[..length]), None),
            DeviceOp::Flush => (image.flush(), None),
            DeviceOp::Discard { offset, length } => (image.discard(offset, length), None),
        };
        if inbox.send(Message::Ended(id, result.map_err(|_| DeviceError), buffer)).is_err() {
            return;
        }
    }
}

/// The engine's thread.
struct Host {
    engine: Box<Engine>,
    work: Sender<DeviceIo>,
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
        while let Ok(first) = messages.recv() {
            // What has come is taken together, so that it shares frames and flushes.
            self.take(first);
            while let Ok(next) = messages.try_recv() {
                self.take(next);
            }
            if self.turn() {
                return;
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
            Message::Ended(id, result, buffer) => {
                self.left -= 1;
                self.engine.complete(id, result, buffer);
            }
            Message::Close => self.held.push_back((CLOSE, Request::Close)),
        }
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
            while let Some(io) = self.engine.next_io() {
                self.left += 1;
                if self.work.send(io).is_err() {
                    return true;
                }
            }
            let Some(Done { user, result, buffer }) = self.engine.next_done() else { break };
            if user == CLOSE {
                self.closed = true;
            } else if let Some(reply) = self.asked.get_mut(user as usize).and_then(Option::take) {
                self.free.push(user as usize);
                reply.send(result, buffer);
            }
        }
        self.closed && self.left == 0
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
        let _ = self.inbox.send(Message::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}
