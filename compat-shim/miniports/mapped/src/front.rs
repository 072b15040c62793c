//! SRBs in, answers out: what the engine is asked for each, and what its answer says to the sender.
//!
//! An SRB that finds no buffer waits in front of all that came after it. Ranges to be forgotten go to the engine some at a
//! time, so that a list of thousands takes no more of it than another SRB.

use alloc::vec::Vec;

use sluice_chain::bytes::{Source, Target};
use sluice_mapped::{
    Volume,
    io::{Done, Error, Request},
    limits::{OPS, REQUEST, REQUESTS},
    units::BLOCK,
};
use sluice_shim::{
    miniport::Srb,
    scsi::{
        cdb::{BlockRange, ByteCheck, Command},
        lba_status,
        sense::Refusal,
        unmap::UnmapList,
    },
    storport::{SrbFunction, SrbView},
};

use crate::buffers::Buffers;

/// Ranges of one SRB that are in the engine at once.
const RANGES: usize = 64;
/// Blocks that one answer about holes tells of: 16 MiB of the volume.
const TOLD: u64 = 4096;
/// Most bytes of such an answer: 32 stretches. It is made on the stack.
const STATUS_ROOM: usize = lba_status::HEADER + 32 * lba_status::DESCRIPTOR;
/// Ranges that are: with the SRBs themselves, and what the engine's host asks, fewer than the engine takes.
const ALL_RANGES: usize = OPS;

/// An SRB whose requests are in the engine.
struct Carried {
    srb: Srb,
    /// Requests not answered.
    left: usize,
    error: Option<Error>,
    deliver: Deliver,
    /// Bytes moved if all goes well.
    bytes: u32,
    /// Its list of ranges, and the next of them.
    list: Option<(Vec<u8>, usize)>,
}

/// What the sender gets of what the engine has found.
#[derive(Clone, Copy)]
enum Deliver {
    /// Nothing (VERIFY only asks whether it can be read).
    Nothing,
    /// All of it.
    Data,
    /// From this sector on, which blocks hold data (GET LBA STATUS).
    Status(u64),
}

/// All SRBs that the engine has.
pub(crate) struct Front {
    carried: Vec<Option<Carried>>,
    /// The one that has come last and found no buffer.
    held: Option<Srb>,
    buffers: Buffers,
    /// Ranges in the engine.
    ranges: usize,
    sector: u32,
}

/// What an SRB asks.
enum Asked {
    /// One request.
    One { request: Request, deliver: Deliver, bytes: u32 },
    /// The ranges of a list to be forgotten. There may be none.
    Discard(Vec<u8>),
}

/// Why an SRB is not begun.
enum Not {
    /// Never: it is refused.
    Ever(Refusal),
    /// There is no buffer.
    Yet,
}

impl From<Refusal> for Not {
    fn from(refusal: Refusal) -> Self {
        Self::Ever(refusal)
    }
}

impl Front {
    /// For so many SRBs at once; `sector` is the volume's, in bytes. `None` when memory has run out, or for more than the
    /// engine takes.
    pub(crate) fn new(requests: usize, sector: u32) -> Option<Self> {
        if requests + ALL_RANGES >= REQUESTS {
            return None;
        }
        let mut carried = Vec::new();
        carried.try_reserve_exact(requests).ok()?;
        carried.resize_with(requests, || None);
        Some(Self { carried, held: None, buffers: Buffers::new(requests)?, ranges: 0, sector })
    }

    /// Whether it has none, and the engine has none.
    pub(crate) fn is_idle(&self) -> bool {
        self.held.is_none() && self.carried.iter().all(Option::is_none)
    }

    /// Whether an SRB waits for a buffer: no other is given before it has gone on.
    pub(crate) fn is_full(&self) -> bool {
        self.held.is_some()
    }

    /// Goes on with what has waited; whether anything moved.
    pub(crate) fn go_on(&mut self, volume: &mut Volume) -> bool {
        let before = self.ranges;
        for slot in 0..self.carried.len() {
            self.send_ranges(slot, volume);
        }
        let Some(srb) = self.held.take() else { return self.ranges > before };
        self.give(srb, volume);
        self.held.is_none() || self.ranges > before
    }

    /// Gives an SRB to the engine, or keeps it until there is a buffer for it.
    pub(crate) fn give(&mut self, mut srb: Srb, volume: &mut Volume) {
        let Some(slot) = self.carried.iter().position(Option::is_none) else {
            return srb.refuse(Refusal::Busy);
        };
        let carried =
            |srb| Carried { srb, left: 0, error: None, deliver: Deliver::Nothing, bytes: 0, list: None };
        match self.ask(&mut srb, volume.blocks()) {
            Ok(Asked::One { request, deliver, bytes }) => {
                self.carried[slot] = Some(Carried { left: 1, deliver, bytes, ..carried(srb) });
                // It has room: `new` has counted what there can be.
                let _ = volume.submit(slot as u64, request);
            }
            Ok(Asked::Discard(list)) => {
                self.carried[slot] = Some(Carried { list: Some((list, 0)), ..carried(srb) });
                self.send_ranges(slot, volume);
            }
            Err(Not::Ever(refusal)) => srb.refuse(refusal),
            Err(Not::Yet) => self.held = Some(srb),
        }
    }

    /// Gives the engine more of an SRB's ranges; completes the SRB if there are no more.
    fn send_ranges(&mut self, slot: usize, volume: &mut Volume) {
        let Some(Carried { left, error, list: Some((list, next)), .. }) = &mut self.carried[slot] else {
            return;
        };
        // Both were judged when the list came: that it is one, and the products.
        let Ok(parsed) = UnmapList::parse(list) else { return };
        for range in parsed.ranges().skip(*next).take_while(|_| error.is_none()) {
            if *left >= RANGES || self.ranges >= ALL_RANGES {
                return;
            }
            *next += 1;
            if range.blocks == 0 {
                continue;
            }
            let [offset, length] = [range.lba, u64::from(range.blocks)].map(|n| n * u64::from(self.sector));
            if volume.submit(slot as u64, Request::Discard { offset, length }).is_ok() {
                *left += 1;
                self.ranges += 1;
            }
        }
        if *left == 0 {
            self.end(slot);
        }
    }

    /// Takes an answer of the engine to whoever sent the SRB.
    pub(crate) fn take(&mut self, done: Done, volume: &mut Volume) {
        let slot = done.user as usize;
        let Some(Some(carried)) = self.carried.get_mut(slot) else { return };
        carried.left -= 1;
        carried.error = carried.error.or(done.result.err());
        match (carried.error, carried.deliver, &done.buffer) {
            (None, Deliver::Data, Some(buffer)) => {
                carried.srb.data().copy_from(Source::from(&buffer[..]));
            }
            (None, Deliver::Status(first), Some(holds)) => {
                carried.bytes = tell_status(first, self.sector, holds, &mut carried.srb);
            }
            _ => {}
        }
        if carried.list.is_some() {
            self.ranges -= 1;
            return self.send_ranges(slot, volume);
        }
        if let Some(buffer) = done.buffer {
            self.buffers.give_back(buffer);
        }
        self.end(slot);
    }

    /// Completes an SRB of which nothing is in the engine.
    fn end(&mut self, slot: usize) {
        let Some(Carried { srb, error, bytes, list, .. }) = self.carried[slot].take() else { return };
        if let Some((list, _)) = list {
            self.buffers.give_back(list);
        }
        match error {
            None => srb.succeed(bytes),
            Some(error) => srb.refuse(refusal(error)),
        }
    }

    fn ask(&mut self, srb: &mut Srb, blocks: u64) -> Result<Asked, Not> {
        let view = srb.view();
        if view.function() != SrbFunction::EXECUTE_SCSI {
            return match view.function() {
                SrbFunction::FLUSH | SrbFunction::SHUTDOWN => Ok(flush()),
                _ => Err(Refusal::InvalidOpcode.into()),
            };
        }
        match Command::parse(view.cdb()).map_err(|_| Refusal::InvalidField)? {
            Command::Read(transfer) if transfer.protect == 0 => {
                let (offset, length) = stretch(transfer.range, self.sector)?;
                room(&view, length)?;
                self.read(offset, length, Deliver::Data)
            }
            Command::Write(transfer) if transfer.protect == 0 => {
                let (offset, length) = stretch(transfer.range, self.sector)?;
                room(&view, length)?;
                self.write(srb, offset, length, transfer.fua)
            }
            Command::Verify(transfer, ByteCheck::Medium) if transfer.protect == 0 => {
                let (offset, length) = stretch(transfer.range, self.sector)?;
                self.read(offset, length, Deliver::Nothing)
            }
            Command::Read(_) | Command::Write(_) | Command::Verify(..) => Err(Refusal::InvalidField.into()),
            Command::SynchronizeCache { .. } => Ok(flush()),
            Command::GetLbaStatus { lba, .. } => self.status(lba, blocks),
            Command::Unmap { anchor: false, length } => self.discard(srb, usize::from(length)),
            Command::Unmap { .. } => Err(Refusal::InvalidField.into()),
            _ => Err(Refusal::InvalidOpcode.into()),
        }
    }

    fn memory(&mut self, length: usize) -> Result<Vec<u8>, Not> {
        self.buffers.take(length).ok_or(Not::Yet)
    }

    fn read(&mut self, offset: u64, length: u32, deliver: Deliver) -> Result<Asked, Not> {
        let request = Request::Read { offset, buffer: self.memory(length as usize)? };
        Ok(Asked::One { request, deliver, bytes: if matches!(deliver, Deliver::Data) { length } else { 0 } })
    }

    /// `blocks`: of the volume. An answer tells of so many at once; who wants more asks again.
    fn status(&mut self, lba: u64, blocks: u64) -> Result<Asked, Not> {
        let first = lba / u64::from(BLOCK as u32 / self.sector);
        let left = blocks.checked_sub(first).filter(|left| *left > 0).ok_or(Refusal::OutOfRange)?;
        let buffer = self.memory(left.min(TOLD) as usize)?;
        let request = Request::Status { offset: first * BLOCK as u64, buffer };
        Ok(Asked::One { request, deliver: Deliver::Status(lba), bytes: 0 })
    }

    /// The sender may change its memory meanwhile: what is written is a copy, of which tag and ciphertext are made.
    fn write(&mut self, srb: &mut Srb, offset: u64, length: u32, fua: bool) -> Result<Asked, Not> {
        let (data, _) = srb.data().split_at(length as usize).ok_or(Refusal::InvalidField)?;
        let mut buffer = self.memory(length as usize)?;
        Target::from(&mut buffer[..]).copy_from(data.as_source());
        Ok(Asked::One {
            request: Request::Write { offset, buffer, fua },
            deliver: Deliver::Nothing,
            bytes: length,
        })
    }

    fn discard(&mut self, srb: &mut Srb, length: usize) -> Result<Asked, Not> {
        let (data, _) = srb.data().split_at(length).ok_or(Refusal::ParameterLength)?;
        // Judged on a copy: the sender may change it meanwhile.
        let mut list = self.memory(length)?;
        Target::from(&mut list[..]).copy_from(data.as_source());
        match judge(&list, self.sector) {
            Ok(()) => Ok(Asked::Discard(list)),
            Err(refusal) => {
                self.buffers.give_back(list);
                Err(refusal.into())
            }
        }
    }
}

/// Writes which blocks hold data into the sender's memory; answers how many bytes that took.
fn tell_status(first: u64, sector: u32, holds: &[u8], srb: &mut Srb) -> u32 {
    let mut answer = [0; STATUS_ROOM];
    let room = srb.data().len().min(STATUS_ROOM);
    let holds = holds.iter().map(|held| *held != 0);
    let written = lba_status::write(first, BLOCK as u32 / sector, holds, &mut answer[..room]);
    srb.data().copy_from(Source::from(&answer[..written]));
    written as u32
}

/// Whether a list of ranges is one, and all can be told in bytes.
fn judge(list: &[u8], sector: u32) -> Result<(), Refusal> {
    let list = UnmapList::parse(list).map_err(|_| Refusal::ParameterLength)?;
    let told = |range: BlockRange| range.lba.checked_mul(u64::from(sector)).is_some();
    if list.ranges().filter(|range| range.blocks > 0).all(told) { Ok(()) } else { Err(Refusal::OutOfRange) }
}

fn flush() -> Asked {
    Asked::One { request: Request::Flush, deliver: Deliver::Nothing, bytes: 0 }
}

/// Offset and length in bytes. Whether that lies on the volume, the engine says.
fn stretch(range: BlockRange, sector: u32) -> Result<(u64, u32), Refusal> {
    let length = range.bytes(sector).filter(|&length| length as usize <= REQUEST);
    let offset = range.lba.checked_mul(u64::from(sector)).ok_or(Refusal::OutOfRange)?;
    Ok((offset, length.ok_or(Refusal::InvalidField)?))
}

/// An SRB that names more blocks than it has memory for is refused.
fn room(view: &SrbView, length: u32) -> Result<(), Refusal> {
    if view.data_transfer_length() < length { Err(Refusal::InvalidField) } else { Ok(()) }
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::Range => Refusal::OutOfRange,
        Error::NoSpace => Refusal::SpaceExhausted,
        Error::Medium => Refusal::Medium,
        Error::Write => Refusal::Hardware,
    }
}
