//! A mapped volume. Whoever asks something of it has the engine for a moment, and does what does not take long himself; what
//! has to be waited for is carried out by others.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::bounded;
use sluice_mapped::{io::Request, limits::REQUEST};

use crate::{
    callers::{Buffers, Reply, each},
    carry::{self, How},
    host::{Host, Message},
    losses::Losses,
    opening::Opening,
    stages::{Stages, Teller},
    turns::Turns,
    volume::Volume,
};

/// Bytes of a block of the volume.
const BLOCK: u64 = 4096;
/// Blocks of which is said at once whether they hold data: 256 MiB.
const STATUS: u64 = 1 << 16;
/// How long the engine may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Mapped {
    size: u64,
    turns: Arc<Turns>,
    buffers: Buffers,
    /// Those who carry out what has to be waited for.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Mapped {
    /// Opens it, after a crash or not, and starts its threads.
    pub(crate) fn open(
        opening: Opening,
        how: How,
        losses: Arc<Losses>,
        stages: &Arc<Stages>,
    ) -> io::Result<Self> {
        let (size, image) = (opening.mapped.volume_bytes, Arc::clone(&opening.image));
        let host = Host::open(opening, losses, Arc::clone(stages))?;
        let turns = Arc::new(Turns::new(host, image, Arc::clone(stages)));
        let threads = carry::start(&turns, how)?;
        Ok(Self { size, turns, buffers: Buffers::new(), threads: Mutex::new(threads) })
    }

    /// Asks the engine how it is.
    pub(crate) fn teller(&self) -> Teller {
        let turns = Arc::clone(&self.turns);
        Box::new(move || {
            let (told, heard) = bounded(1);
            turns.put(Message::Tell(told));
            turns.attend(&|| !heard.is_empty());
            heard.recv_timeout(PATIENCE).ok()
        })
    }

    fn ask(&self, request: Request, reply: Reply) {
        self.turns.put(Message::Ask(request, reply));
    }

    /// A request of one piece, without a buffer.
    fn once(&self, request: impl Fn() -> Request) -> io::Result<()> {
        let ask = |(): &(), reply| self.ask(request(), reply);
        each(&self.turns, &self.buffers, std::iter::once(()), ask, |(), _| {})
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
        each(&self.turns, &self.buffers, pieces, ask, |(_, piece), found| piece.copy_from_slice(found))
    }

    fn write(&self, offset: u64, bytes: &[u8], fua: bool) -> io::Result<()> {
        let pieces = (offset..).step_by(REQUEST).zip(bytes.chunks(REQUEST));
        let ask = |(offset, piece): &(u64, &[u8]), reply| {
            let mut buffer = self.buffers.take(piece.len());
            buffer.copy_from_slice(piece);
            self.ask(Request::Write { offset: *offset, buffer, fua }, reply);
        };
        each(&self.turns, &self.buffers, pieces, ask, |_, _| {})
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
        each(&self.turns, &self.buffers, std::iter::once(()), ask, |(), blocks| {
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
        let closing = |(): &(), reply| self.turns.put(Message::Close(reply));
        let result = each(&self.turns, &self.buffers, std::iter::once(()), closing, |(), _| {});
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = thread.join();
        }
        result
    }
}
