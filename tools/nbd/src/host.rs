//! The engine of a mapped volume, what it is asked, and whom its answers are for.
//!
//! When a write to the image fails, the engine takes no more. The next change that comes has the volume opened again; while
//! that fails, changes fail.

use std::{collections::VecDeque, io, mem, sync::Arc, time::Instant};

use arrayvec::ArrayVec;
use crossbeam_channel::Sender;
use crossbeam_queue::ArrayQueue;
use sluice_mapped::{
    Volume as Engine,
    io::{Buffer, DeviceError, DeviceIo, DeviceOp, Done, Error, IoId, Request},
};

use crate::{
    callers::Reply,
    carry::Carrier,
    losses::Losses,
    opening::Opening,
    stages::{Stages, facts},
};

/// What comes to the engine.
pub(crate) enum Message {
    Ask(Request, Reply),
    Ended(IoId, Result<(), DeviceError>, Option<Buffer>),
    /// A read that has to be waited for.
    Carry(DeviceIo),
    /// What is held back is to be written.
    WriteOut,
    /// Say how it is.
    Tell(Sender<sluice_statistics::Mapped>),
    /// Finish what is under way, and make an end.
    Close(Reply),
}

/// Reads that whoever has a turn makes himself, if they do not take long.
pub(crate) type Reads = ArrayVec<DeviceIo, 32>;

/// See above.
pub(crate) struct Host {
    engine: Box<Engine>,
    opening: Opening,
    losses: Arc<Losses>,
    stages: Arc<Stages>,
    /// A write has failed: the engine only reads until it is opened again.
    failed: bool,
    /// It has been said that it cannot be.
    refused: bool,
    /// It has been asked that what is held back be written soon.
    winding: bool,
    /// Until it is closed.
    carrier: Option<Carrier>,
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
    /// Opens the volume. [`Self::employ`] follows.
    pub(crate) fn open(opening: Opening, losses: Arc<Losses>, stages: Arc<Stages>) -> io::Result<Self> {
        Ok(Self {
            engine: opening.open()?,
            opening,
            losses,
            stages,
            failed: false,
            refused: false,
            winding: false,
            carrier: None,
            under_way: 0,
            asked: Vec::new(),
            free: Vec::new(),
            held: VecDeque::new(),
            left: 0,
            close: None,
            closed: false,
        })
    }

    /// Has what must be waited for carried out by these.
    pub(crate) fn employ(&mut self, carrier: Carrier) {
        self.carrier = Some(carrier);
    }

    /// Takes everything that has come, together, so that it shares frames and flushes.
    pub(crate) fn take_all(&mut self, inbox: &ArrayQueue<Message>) {
        while let Some(message) = inbox.pop() {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            // Nobody answers any more.
            Message::Ask(..) | Message::Close(_) if self.closed => {}
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
            Message::Carry(io) => self.carry(io),
            Message::Close(reply) => {
                self.close = Some(reply);
                self.held.push_back((CLOSE, Request::Close));
            }
            Message::WriteOut => {
                self.winding = false;
                self.engine.write_out();
            }
            // Whoever asked may have gone.
            Message::Tell(told) => {
                drop(told.try_send(facts(&self.engine, self.opening.mapped.segment_bytes)));
            }
        }
    }

    /// Has the engine do what it can. What it wants to read is for whoever has the turn, as much as there is room for. Whether
    /// one request and one such read is all that is under way.
    pub(crate) fn turn(&mut self, inbox: &ArrayQueue<Message>, reads: &mut Reads) -> bool {
        let begun = Instant::now();
        loop {
            self.take_all(inbox);
            self.submit();
            self.begin(reads);
            if self.engine.has_failed() && !self.failed {
                self.failed = true;
                self.losses.note();
            }
            let Some(Done { user, result, buffer }) = self.engine.next_done() else { break };
            self.under_way -= 1;
            self.answer(user, result, buffer);
        }
        if self.closed && self.left == 0 {
            self.carrier = None;
        }
        if let Some(carrier) = &self.carrier
            && self.engine.holds_back()
            && !mem::replace(&mut self.winding, true)
        {
            carrier.write_out_soon();
        }
        self.stages.engine_busy.add(0, begun.elapsed());
        self.under_way == 1 && self.left == 1 && reads.len() == 1
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

    /// Begins what the engine asks of the image.
    fn begin(&mut self, reads: &mut Reads) {
        while let Some(io) = self.engine.next_io() {
            self.left += 1;
            if matches!(io.op, DeviceOp::Read { .. }) && !reads.is_full() {
                reads.push(io);
            } else {
                self.carry(io);
            }
        }
    }

    fn carry(&mut self, io: DeviceIo) {
        match &self.carrier {
            Some(carrier) => carrier.ask(io),
            // It is closed, and nothing of it under way.
            None => {
                self.left -= 1;
                self.engine.complete(io.id, Err(DeviceError), None);
            }
        }
    }
}

fn is_change(request: &Request) -> bool {
    matches!(request, Request::Write { .. } | Request::Discard { .. } | Request::Flush)
}
