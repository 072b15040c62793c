//! One queue: a ring, the requests that the device has, and those that wait for room.

use alloc::{collections::VecDeque, vec::Vec};
use core::sync::atomic::Ordering::{Acquire, Relaxed};

use sluice_chain::bytes::Target;
use sluice_shim::scsi::sense::Refusal;

use crate::{
    config::{Facts, RANGES},
    ledger::Ledger,
    memory::{Part, Shared},
    pieces::Pieces,
    request::{Asked, Ended, List, Outcome, Request},
    ring::{Lied, Mode, Ring, Used, lengths},
    spec::{
        SECTOR,
        blk::{self, ID, RANGE},
        ring::DESCRIPTOR,
    },
    transport::{Piece, Transport},
};

/// What the device is doing for a request.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Read { deliver: bool, copied: bool },
    Write { durable: bool },
    Flush { covers: u64 },
    Ranges,
    Identify,
}

/// A request that the device has.
#[derive(Debug)]
struct Held<R> {
    request: R,
    doing: Doing,
    bytes: u32,
    /// Bytes that the device may have written.
    writable: u32,
    /// Ticks since it was given to the device.
    age: u32,
}

/// Memory for one request: header, status, ranges or serial number; descriptors; a copy of the payload.
#[derive(Debug)]
struct Slot<R> {
    held: Option<Held<R>>,
    small: Part,
    table: Part,
    copy: Part,
}

/// What of [`Slot::small`] lies where.
const HEADER: usize = 0;
const HEADER_BYTES: usize = 16;
const STATUS: usize = 16;
const EXTRA: usize = 32;
const SMALL: usize = EXTRA + RANGES * RANGE;
/// What the status is before the device has written it.
const NO_STATUS: u8 = 0xFF;

/// What a queue has memory for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) size: u16,
    pub(crate) requests: u16,
    pub(crate) pieces: u16,
    pub(crate) copy: u32,
}

impl Room {
    /// Bytes of shared memory that a queue takes, with what its parts' alignment may cost.
    pub(crate) fn bytes(&self) -> usize {
        let part = |length: usize| length.next_multiple_of(16);
        let slot = part(SMALL) + part(table_bytes(self.pieces)) + part(self.copy as usize);
        let rings: usize = lengths(self.size).into_iter().map(part).sum();
        rings + usize::from(self.requests.min(self.size)) * slot
    }
}

/// Bytes of the table of a payload's descriptors, with header and status.
fn table_bytes(pieces: u16) -> usize {
    DESCRIPTOR * (usize::from(pieces) + 2)
}

/// What is left to do after [`Queue::collect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing before the next interrupt.
    Nothing,
    /// More.
    More,
    /// The device is to be reset.
    Reset,
}

pub(crate) struct Queue<R> {
    ring: Ring,
    slots: Vec<Slot<R>>,
    /// Slots that are free.
    free: Vec<u16>,
    waiting: VecDeque<R>,
    most_waiting: usize,
    pieces: Vec<Piece>,
    /// Of a payload: what the slots' tables have room for.
    most_pieces: u32,
    list: List,
    facts: Facts,
    indirect: bool,
    /// Why it takes no requests, if it does not.
    closed: Option<Refusal>,
}

impl<R: Request> Queue<R> {
    /// Takes its memory out of `shared`; `None` if there is not enough, there or elsewhere. For `waiting` requests beyond
    /// those that the device has.
    pub(crate) fn new(room: &Room, waiting: usize, shared: &mut Shared) -> Option<Self> {
        let [descriptors, driver, device] = lengths(room.size);
        let areas = [shared.carve(descriptors, 16)?, shared.carve(driver, 16)?, shared.carve(device, 16)?];
        let ring = Ring::new(room.size, areas)?;
        let count = usize::from(room.requests.min(room.size));
        let mut slots = reserved(count)?;
        for _ in 0..count {
            slots.push(Slot {
                held: None,
                small: shared.carve(SMALL, 16)?,
                table: shared.carve(table_bytes(room.pieces), 16)?,
                copy: shared.carve(room.copy as usize, 16)?,
            });
        }
        let mut queue = VecDeque::new();
        queue.try_reserve_exact(waiting).ok()?;
        Some(Self {
            ring,
            slots,
            free: reserved(count)?,
            waiting: queue,
            most_waiting: waiting,
            pieces: reserved(usize::from(room.pieces) + 2)?,
            most_pieces: u32::from(room.pieces),
            list: List::default(),
            facts: Facts::default(),
            indirect: false,
            closed: Some(Refusal::NotReady),
        })
    }

    /// The most pieces of a transfer that it has memory for.
    pub(crate) fn room_for_pieces(&self) -> u32 {
        self.most_pieces
    }

    /// Sets the ring up anew. The device does not see the memory at this time, and has no request.
    pub(crate) fn prepare(&mut self, mode: Mode, indirect: bool) {
        self.ring.reset(mode);
        self.indirect = indirect;
        self.free.clear();
        let most = self.slots.len().min(usize::from(mode.size)) as u16;
        self.free.extend((0..most).rev());
    }

    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Takes requests from now on.
    pub(crate) fn open(&mut self) {
        self.closed = None;
        self.ring.watch();
    }

    /// Takes none from now on.
    pub(crate) fn close(&mut self, refusal: Refusal) {
        self.closed = Some(refusal);
    }

    /// Judges requests by these from now on.
    pub(crate) fn set_facts(&mut self, facts: Facts) {
        self.facts = facts;
    }

    pub(crate) fn facts(&self) -> Facts {
        self.facts
    }

    /// Starts a request, or has it wait. What ends at once is put into `ended`, which has room.
    pub(crate) fn start<T: Transport>(
        &mut self,
        request: R,
        ledger: &Ledger,
        transport: &T,
        ended: &mut Ended<R>,
    ) {
        if let Some(refusal) = self.closed {
            return ended.push(request, Outcome::Refused(refusal));
        }
        let request = if self.waiting.is_empty() {
            match self.give(request, ledger, transport, ended) {
                Some(back) => back,
                None => return,
            }
        } else {
            request
        };
        if self.waiting.len() < self.most_waiting {
            self.waiting.push_back(request);
        } else {
            ended.push(request, Outcome::Refused(Refusal::Busy));
        }
    }

    /// Whether the device must be told of what was started.
    pub(crate) fn must_notify(&mut self) -> bool {
        self.ring.must_notify()
    }

    /// Takes what the device has given back, and starts what waited.
    pub(crate) fn collect<T: Transport>(
        &mut self,
        ledger: &Ledger,
        transport: &T,
        ended: &mut Ended<R>,
    ) -> Left {
        if self.closed.is_some() {
            return Left::Nothing;
        }
        self.ring.rest();
        while !ended.is_full() {
            match self.ring.take() {
                Ok(Some(used)) => {
                    if self.took(used, ledger, ended).is_err() {
                        return Left::Reset;
                    }
                }
                Ok(None) => {
                    self.start_waiting(ledger, transport, ended);
                    return if ended.is_full() || self.ring.watch() { Left::More } else { Left::Nothing };
                }
                Err(Lied) => return Left::Reset,
            }
        }
        Left::More
    }

    fn start_waiting<T: Transport>(&mut self, ledger: &Ledger, transport: &T, ended: &mut Ended<R>) {
        while !ended.is_full() && !self.free.is_empty() {
            let Some(request) = self.waiting.pop_front() else { return };
            if let Some(back) = self.give(request, ledger, transport, ended) {
                self.waiting.push_front(back);
                return;
            }
        }
    }

    /// Gives a request to the device or ends it; gives it back if there is no room.
    fn give<T: Transport>(
        &mut self,
        mut request: R,
        ledger: &Ledger,
        transport: &T,
        ended: &mut Ended<R>,
    ) -> Option<R> {
        let Some(&number) = self.free.last() else { return Some(request) };
        let end = |request, outcome, ended: &mut Ended<R>| {
            ended.push(request, outcome);
            None
        };
        self.list.clear();
        let asked = request.ask(&self.facts, &mut self.list);
        let (doing, bytes) = match self.write_slot(number, &asked, &mut request, ledger, transport) {
            Ok(doing) => doing,
            Err(outcome) => return end(request, outcome, ended),
        };
        if !self.send(number) {
            // A request that does not fit an empty ring never will.
            let never = self.slots.len().min(usize::from(self.ring.rings().size)) == self.free.len();
            let refused = Outcome::Refused(Refusal::InvalidField);
            return if never { end(request, refused, ended) } else { Some(request) };
        }
        self.free.pop();
        let writable = self.pieces.iter().filter(|piece| piece.writable);
        let writable = writable.fold(0_u32, |sum, piece| sum.saturating_add(piece.length));
        self.slots[usize::from(number)].held = Some(Held { request, doing, bytes, writable, age: 0 });
        None
    }

    /// Puts the slot's pieces on the ring.
    fn send(&mut self, number: u16) -> bool {
        let table = self.slots[usize::from(number)].table;
        self.ring.add(number, &self.pieces, self.indirect.then_some(&table))
    }

    /// Writes header and payload of what is asked, and lists its pieces; or says that it ends here.
    fn write_slot<T: Transport>(
        &mut self,
        number: u16,
        asked: &Asked,
        request: &mut R,
        ledger: &Ledger,
        transport: &T,
    ) -> Result<(Doing, u32), Outcome> {
        let refused = |refusal| Err(Outcome::Refused(refusal));
        match *asked {
            Asked::Nothing(outcome) => Err(outcome),
            Asked::Read { bytes: 0, .. } | Asked::Write { bytes: 0, .. } => Err(Outcome::Moved(0)),
            Asked::Read { block, bytes, deliver } => {
                self.head(number, blk::IN, self.sector(block));
                let copied = self.transfer(number, bytes, deliver.then(|| request.data()), true, transport);
                match copied {
                    Some(copied) => Ok((Doing::Read { deliver, copied }, bytes)),
                    None => refused(Refusal::InvalidField),
                }
            }
            Asked::Write { block, bytes, durable } => {
                self.head(number, blk::OUT, self.sector(block));
                let durable = durable && self.facts.write_back;
                match self.transfer(number, bytes, Some(request.data()), false, transport) {
                    Some(_) => Ok((Doing::Write { durable }, bytes)),
                    None => refused(Refusal::InvalidField),
                }
            }
            Asked::Flush if ledger.tell_loss() => refused(Refusal::Hardware),
            Asked::Flush if !self.facts.write_back => Err(Outcome::Moved(0)),
            Asked::Flush => Ok((self.flush(number, ledger), 0)),
            Asked::Discard | Asked::Zero { .. } => {
                let bytes = request.data().len() as u32;
                let (kind, flags) = match *asked {
                    Asked::Zero { unmap } => (blk::WRITE_ZEROES, if unmap { blk::UNMAP } else { 0 }),
                    _ => (blk::DISCARD, 0),
                };
                self.head(number, kind, 0);
                if self.ranges(number, flags) {
                    Ok((Doing::Ranges, bytes))
                } else {
                    Err(Outcome::Moved(bytes))
                }
            }
            Asked::Identify => {
                self.head(number, blk::GET_ID, 0);
                self.extra(number, ID, true);
                Ok((Doing::Identify, 0))
            }
        }
    }

    fn sector(&self, block: u64) -> u64 {
        // On the disk, whose sectors 64 bits count.
        block.saturating_mul(u64::from(self.facts.block_size / SECTOR))
    }

    /// The header (5.2.6), and the pieces begun with it.
    fn head(&mut self, number: u16, kind: u32, sector: u64) {
        let small = self.slots[usize::from(number)].small;
        small.store32(HEADER, kind, Relaxed);
        small.store32(HEADER + 4, 0, Relaxed);
        small.store64(HEADER + 8, sector, Relaxed);
        small.store8(STATUS, NO_STATUS, Relaxed);
        self.pieces.clear();
        self.piece(&small, HEADER, HEADER_BYTES, false);
    }

    fn tail(&mut self, number: u16) {
        let small = self.slots[usize::from(number)].small;
        self.piece(&small, STATUS, 1, true);
    }

    fn piece(&mut self, part: &Part, at: usize, length: usize, writable: bool) {
        if let Some(part) = part.part(at, length) {
            self.pieces.push(Piece { address: part.device(), length: length as u32, writable });
        }
    }

    fn flush(&mut self, number: u16, ledger: &Ledger) -> Doing {
        let covers = ledger.covered();
        self.head(number, blk::FLUSH, 0);
        self.tail(number);
        Doing::Flush { covers }
    }

    fn extra(&mut self, number: u16, length: usize, writable: bool) {
        let small = self.slots[usize::from(number)].small;
        self.piece(&small, EXTRA, length, writable);
        self.tail(number);
    }

    /// Writes the listed ranges (5.2.6); `false` if all are empty.
    fn ranges(&mut self, number: u16, flags: u32) -> bool {
        let small = self.slots[usize::from(number)].small;
        let mut count = 0;
        for range in self.list.ranges().iter().filter(|range| range.blocks > 0) {
            let at = EXTRA + count * RANGE;
            small.store64(at, self.sector(range.block), Relaxed);
            small.store32(at + 8, range.blocks.saturating_mul(self.facts.block_size / SECTOR), Relaxed);
            small.store32(at + 12, flags, Relaxed);
            count += 1;
        }
        self.extra(number, count * RANGE, false);
        count > 0
    }

    /// Lists the pieces of a payload: the caller's memory where the device reaches it, else the slot's copy. Answers which
    /// it was; `None` if neither will do.
    fn transfer<T: Transport>(
        &mut self,
        number: u16,
        bytes: u32,
        data: Option<Target<'_>>,
        read: bool,
        transport: &T,
    ) -> Option<bool> {
        let begun = self.pieces.len();
        let most = begun + self.facts.pieces.min(self.room_for_pieces()) as usize;
        let data = match data {
            Some(data) => Some(data.split_at(bytes as usize)?.0),
            None => None,
        };
        let list = &mut self.pieces;
        let mut pieces = Pieces { list, most, longest: self.facts.piece_bytes, writable: read };
        let reached = data.as_ref().is_some_and(|data| {
            transport.reach(data.as_source().as_ptr(), bytes as usize, &mut pieces)
                && pieces.covers(begun, bytes)
        });
        if !reached {
            pieces.list.truncate(begun);
            let copy = self.slots[usize::from(number)].copy.part(0, bytes as usize)?;
            if !pieces.add(copy.device().0, u64::from(bytes)) {
                return None;
            }
            if let (false, Some(data)) = (read, &data) {
                copy.copy_in(data.as_source());
            }
        }
        self.tail(number);
        Some(!reached)
    }

    /// The device has given a slot back.
    fn took(&mut self, used: Used, ledger: &Ledger, ended: &mut Ended<R>) -> Result<(), Lied> {
        let slot = self.slots.get_mut(usize::from(used.id)).ok_or(Lied)?;
        let held = slot.held.as_ref().ok_or(Lied)?;
        if used.length > held.writable {
            return Err(Lied); // it has written where it may not, or says so
        }
        let Some(mut held) = slot.held.take() else { return Err(Lied) };
        let outcome = outcome(slot, &mut held, used.length);
        if matches!(outcome, Outcome::Refused(_)) {
            return self.finish(used.id, held, outcome, ended);
        }
        ledger.served();
        match held.doing {
            Doing::Flush { covers } => {
                ledger.flushed(covers);
            }
            Doing::Write { durable: false } | Doing::Ranges if self.facts.write_back => {
                ledger.written();
            }
            Doing::Write { durable: true } => {
                // 5.2.6.2: what a flush covers is what was complete before it was made available.
                ledger.written();
                held.doing = self.flush(used.id, ledger);
                (held.writable, held.age) = (1, 0);
                self.slots[usize::from(used.id)].held = Some(held);
                // There is room: what it took for the write is free again, and that was no less.
                return if self.send(used.id) { Ok(()) } else { Err(Lied) };
            }
            _ => {}
        }
        self.finish(used.id, held, outcome, ended)
    }

    fn finish(
        &mut self,
        number: u16,
        held: Held<R>,
        outcome: Outcome,
        ended: &mut Ended<R>,
    ) -> Result<(), Lied> {
        self.free.push(number);
        ended.push(held.request, outcome);
        Ok(())
    }

    /// A second or so has gone by. Whether a request has been with the device for more than `patience` of them.
    pub(crate) fn tick(&mut self, patience: u32) -> bool {
        let mut overdue = false;
        for held in self.slots.iter_mut().filter_map(|slot| slot.held.as_mut()) {
            held.age = held.age.saturating_add(1);
            overdue |= held.age > patience;
        }
        overdue
    }

    /// Takes requests back from a device that has been reset, as many as `ended` takes; `false` if there was none.
    pub(crate) fn abort(&mut self, ended: &mut Ended<R>) -> bool {
        let mut any = false;
        while !ended.is_full() {
            let held = self.slots.iter_mut().find_map(|slot| slot.held.take()).map(|held| held.request);
            let Some(request) = held.or_else(|| self.waiting.pop_front()) else { return any };
            ended.push(request, Outcome::Refused(Refusal::Aborted));
            any = true;
        }
        any
    }
}

/// What a slot's status says, and its data, delivered.
fn outcome<R: Request>(slot: &Slot<R>, held: &mut Held<R>, length: u32) -> Outcome {
    match slot.small.load8(STATUS, Acquire) {
        blk::OK => {}
        blk::UNSUPP => return Outcome::Refused(Refusal::InvalidOpcode),
        blk::IOERR if matches!(held.doing, Doing::Read { .. }) => {
            return Outcome::Refused(Refusal::Medium);
        }
        _ => return Outcome::Refused(Refusal::Hardware),
    }
    match held.doing {
        // Less than was asked, and yet well: what it did not write must not pass for its data.
        Doing::Read { .. } if length <= held.bytes => Outcome::Refused(Refusal::Hardware),
        Doing::Read { deliver, copied } => {
            if let (true, true, Some(copy)) = (deliver, copied, slot.copy.part(0, held.bytes as usize)) {
                copy.copy_out(held.request.data());
            }
            Outcome::Moved(if deliver { held.bytes } else { 0 })
        }
        Doing::Identify => {
            let mut serial = [0; ID];
            if let Some(part) = slot.small.part(EXTRA, ID) {
                part.copy_out(Target::from(&mut serial[..]));
            }
            Outcome::Serial(serial)
        }
        Doing::Write { .. } | Doing::Flush { .. } | Doing::Ranges => Outcome::Moved(held.bytes),
    }
}

/// An empty vector that takes `count` without allocating.
fn reserved<V>(count: usize) -> Option<Vec<V>> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(count).ok()?;
    Some(vector)
}
