//! SRBs in, answers out: what the engine is asked for each, and what its answer says to the sender.

use alloc::{boxed::Box, vec::Vec};

use sluice_chain::bytes::{Source, Target};
use sluice_mapped::{
    Volume,
    io::{Buffer, Done, Error, Request},
    limits::REQUEST,
};
use sluice_shim::{
    miniport::Srb,
    scsi::{
        cdb::{BlockRange, ByteCheck, Command},
        sense::Refusal,
        unmap::UnmapList,
    },
    storport::{SrbFunction, SrbView},
};

/// An SRB whose requests are in the engine.
struct Carried {
    srb: Srb,
    /// Requests not answered.
    left: u32,
    error: Option<Error>,
    /// What is read goes to the sender (VERIFY only asks whether it can be).
    deliver: bool,
    /// Bytes moved if all goes well.
    bytes: u32,
}

/// All SRBs that the engine has.
pub(crate) struct Front {
    carried: Vec<Option<Carried>>,
    sector: u32,
}

/// What an SRB asks.
enum Asked {
    /// One request.
    One { request: Request, deliver: bool, bytes: u32 },
    /// Ranges to be forgotten: offset and length in bytes. There may be none.
    Discard(Vec<(u64, u64)>),
}

impl Front {
    /// For so many SRBs at once; `sector` is the volume's, in bytes. `None` when memory has run out.
    pub(crate) fn new(requests: usize, sector: u32) -> Option<Self> {
        let mut carried = Vec::new();
        carried.try_reserve_exact(requests).ok()?;
        carried.resize_with(requests, || None);
        Some(Self { carried, sector })
    }

    /// Whether the engine has none.
    pub(crate) fn is_idle(&self) -> bool {
        self.carried.iter().all(Option::is_none)
    }

    /// Gives an SRB to the engine.
    pub(crate) fn give(&mut self, mut srb: Srb, volume: &mut Volume) {
        let Some(slot) = self.carried.iter().position(Option::is_none) else {
            return srb.refuse(Refusal::Busy);
        };
        let asked = ask(&mut srb, self.sector);
        let user = slot as u64;
        match asked {
            Ok(Asked::One { request, deliver, bytes }) => {
                self.carried[slot] = Some(Carried { srb, left: 1, error: None, deliver, bytes });
                volume.submit(user, request);
            }
            Ok(Asked::Discard(ranges)) if ranges.is_empty() => srb.succeed(0),
            Ok(Asked::Discard(ranges)) => {
                let left = ranges.len() as u32;
                self.carried[slot] = Some(Carried { srb, left, error: None, deliver: false, bytes: 0 });
                for (offset, length) in ranges {
                    volume.submit(user, Request::Discard { offset, length });
                }
            }
            Err(refusal) => srb.refuse(refusal),
        }
    }

    /// Takes an answer of the engine to whoever sent the SRB.
    pub(crate) fn take(&mut self, done: Done) {
        let Some(place) = self.carried.get_mut(done.user as usize) else { return };
        let Some(carried) = place else { return };
        carried.left -= 1;
        carried.error = carried.error.or(done.result.err());
        if let (None, true, Some(buffer)) = (carried.error, carried.deliver, &done.buffer) {
            carried.srb.data().copy_from(Source::from(&buffer[..]));
        }
        if carried.left > 0 {
            return;
        }
        if let Some(Carried { srb, error, bytes, .. }) = place.take() {
            match error {
                None => srb.succeed(bytes),
                Some(error) => srb.refuse(refusal(error)),
            }
        }
    }
}

fn ask(srb: &mut Srb, sector: u32) -> Result<Asked, Refusal> {
    let view = srb.view().ok_or(Refusal::InvalidField)?;
    if view.function() != SrbFunction::EXECUTE_SCSI {
        return match view.function() {
            SrbFunction::FLUSH | SrbFunction::SHUTDOWN => Ok(flush()),
            _ => Err(Refusal::InvalidOpcode),
        };
    }
    match Command::parse(view.cdb()).map_err(|_| Refusal::InvalidField)? {
        Command::Read(transfer) if transfer.protect == 0 => {
            let (offset, length) = stretch(transfer.range, sector)?;
            room(&view, length)?;
            read(offset, length, true)
        }
        Command::Write(transfer) if transfer.protect == 0 => {
            let (offset, length) = stretch(transfer.range, sector)?;
            room(&view, length)?;
            write(srb, offset, length, transfer.fua)
        }
        Command::Verify(transfer, ByteCheck::Medium) if transfer.protect == 0 => {
            let (offset, length) = stretch(transfer.range, sector)?;
            read(offset, length, false)
        }
        Command::Read(_) | Command::Write(_) | Command::Verify(..) => Err(Refusal::InvalidField),
        Command::SynchronizeCache { .. } => Ok(flush()),
        Command::Unmap { anchor: false, length } => discard(srb, usize::from(length), sector),
        Command::Unmap { .. } => Err(Refusal::InvalidField),
        _ => Err(Refusal::InvalidOpcode),
    }
}

fn flush() -> Asked {
    Asked::One { request: Request::Flush, deliver: false, bytes: 0 }
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

/// `length` zeros, or what a sender understands who could try with less.
fn memory(length: u32) -> Result<Buffer, Refusal> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length as usize).map_err(|_| Refusal::NoMemory)?;
    bytes.resize(length as usize, 0);
    Ok(bytes.into_boxed_slice())
}

fn read(offset: u64, length: u32, deliver: bool) -> Result<Asked, Refusal> {
    let request = Request::Read { offset, buffer: memory(length)? };
    Ok(Asked::One { request, deliver, bytes: if deliver { length } else { 0 } })
}

/// The sender may change its memory meanwhile: what is written is a copy, of which tag and ciphertext are made.
fn write(srb: &mut Srb, offset: u64, length: u32, fua: bool) -> Result<Asked, Refusal> {
    let mut buffer: Box<[u8]> = memory(length)?;
    let (data, _) = srb.data().split_at(length as usize).ok_or(Refusal::InvalidField)?;
    Target::from(&mut buffer[..]).copy_from(data.as_source());
    Ok(Asked::One { request: Request::Write { offset, buffer, fua }, deliver: false, bytes: length })
}

fn discard(srb: &mut Srb, length: usize, sector: u32) -> Result<Asked, Refusal> {
    let (data, _) = srb.data().split_at(length).ok_or(Refusal::ParameterLength)?;
    // Judged on a copy: the sender may change it meanwhile.
    let mut list = memory(length as u32)?;
    Target::from(&mut list[..]).copy_from(data.as_source());
    let list = UnmapList::parse(&list).map_err(|_| Refusal::ParameterLength)?;
    let mut ranges = Vec::new();
    ranges.try_reserve_exact(list.len()).map_err(|_| Refusal::NoMemory)?;
    for range in list.ranges().filter(|range| range.blocks > 0) {
        let offset = range.lba.checked_mul(u64::from(sector)).ok_or(Refusal::OutOfRange)?;
        ranges.push((offset, u64::from(range.blocks) * u64::from(sector)));
    }
    Ok(Asked::Discard(ranges))
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::Range => Refusal::OutOfRange,
        Error::NoSpace => Refusal::SpaceExhausted,
        Error::Medium => Refusal::Medium,
        Error::Write => Refusal::Hardware,
    }
}
