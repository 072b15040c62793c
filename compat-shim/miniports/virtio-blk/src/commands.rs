//! What each SRB asks of the device, and how the answer looks in it.

use sluice_chain::bytes::Target;
use sluice_shim::{
    miniport::Srb,
    scsi::{
        answers::{self, Capacity, Identity, Limits},
        cdb::{BlockRange, ByteCheck, Command, Inquiry, Transfer, WriteSame},
        sense::Refusal,
        unmap::{DESCRIPTOR, HEADER, UnmapList},
    },
    storport::{SrbFunction, srb::Address},
};

use crate::{
    config::{Facts, RANGES},
    request::{Asked, List, Outcome, Range, Request},
    spec::blk::ID,
};

/// Longest answer to any command but READ.
const ANSWER: usize = 128;
/// Bytes of data that are looked at together.
const PIECE: usize = 512;

impl Request for Srb {
    fn ask(&mut self, facts: &Facts, list: &mut List) -> Asked {
        ask(self, facts, list).unwrap_or_else(|refusal| Asked::Nothing(Outcome::Refused(refusal)))
    }

    fn data(&mut self) -> Target<'_> {
        Srb::data(self)
    }

    fn end(mut self, outcome: Outcome) {
        let result = match outcome {
            Outcome::Moved(bytes) => Ok(bytes),
            Outcome::Serial(serial) => identify(&mut self, &serial),
            Outcome::Refused(refusal) => Err(refusal),
        };
        match result {
            Ok(bytes) => self.succeed(bytes),
            Err(refusal) => self.refuse(refusal),
        }
    }
}

fn ask(srb: &mut Srb, facts: &Facts, list: &mut List) -> Result<Asked, Refusal> {
    let view = srb.view();
    match view.function() {
        SrbFunction::EXECUTE_SCSI if view.address() != Address::default() => Err(Refusal::NoDevice),
        SrbFunction::EXECUTE_SCSI => {
            let command = Command::parse(view.cdb()).map_err(|_| Refusal::InvalidField)?;
            understand(&command, facts, srb.data(), list)
        }
        SrbFunction::FLUSH | SrbFunction::SHUTDOWN => Ok(Asked::Flush),
        _ => Err(Refusal::InvalidOpcode),
    }
}

/// What a command asks; its ranges go to `list`. Its data may change at any moment.
///
/// # Errors
/// Why it is not for this device.
pub fn understand(
    command: &Command,
    facts: &Facts,
    data: Target<'_>,
    list: &mut List,
) -> Result<Asked, Refusal> {
    match *command {
        Command::Read(transfer) => {
            let (block, bytes) = stretch(&transfer, facts, data.len())?;
            Ok(Asked::Read { block, bytes, deliver: true })
        }
        Command::Verify(transfer, ByteCheck::Medium) => {
            let (block, bytes) = stretch(&transfer, facts, usize::MAX)?;
            Ok(Asked::Read { block, bytes, deliver: false })
        }
        Command::Verify(..) => Err(Refusal::InvalidField),
        Command::Write(_) | Command::Unmap { .. } | Command::WriteSame(_) if facts.read_only => {
            Err(Refusal::WriteProtected)
        }
        Command::Write(transfer) => {
            let (block, bytes) = stretch(&transfer, facts, data.len())?;
            Ok(Asked::Write { block, bytes, durable: transfer.fua })
        }
        Command::SynchronizeCache { range, .. } => {
            on_disk(range, facts)?;
            Ok(Asked::Flush)
        }
        Command::Unmap { anchor: true, .. } => Err(Refusal::InvalidField),
        Command::Unmap { length, .. } => unmap(usize::from(length), facts, data, list),
        Command::WriteSame(same) => write_same(&same, facts, data, list),
        Command::Inquiry(Inquiry {
            page: Some(answers::page::SERIAL | answers::page::IDENTIFICATION),
            ..
        }) => Ok(Asked::Identify),
        _ => control(command, facts, data),
    }
}

/// A transfer's first block and bytes.
fn stretch(transfer: &Transfer, facts: &Facts, room: usize) -> Result<(u64, u32), Refusal> {
    if transfer.protect != 0 {
        return Err(Refusal::InvalidField); // no protection information here
    }
    on_disk(transfer.range, facts)?;
    let bytes = transfer.range.bytes(facts.block_size).ok_or(Refusal::InvalidField)?;
    if bytes as usize > room { Err(Refusal::InvalidField) } else { Ok((transfer.range.lba, bytes)) }
}

fn on_disk(range: BlockRange, facts: &Facts) -> Result<(), Refusal> {
    if range.fits(facts.blocks) { Ok(()) } else { Err(Refusal::OutOfRange) }
}

/// UNMAP is DISCARD: the device may forget the blocks, and says nothing about what they hold then. Not inlined: its list
/// takes stack.
#[inline(never)]
fn unmap(length: usize, facts: &Facts, data: Target<'_>, list: &mut List) -> Result<Asked, Refusal> {
    let limits = facts.discard.ok_or(Refusal::InvalidOpcode)?;
    // Longer ones have more ranges than the limits that we name allow.
    let mut bytes = [0; HEADER + DESCRIPTOR * RANGES];
    let bytes = bytes.get_mut(..length).ok_or(Refusal::ParameterLength)?;
    let (data, _) = data.split_at(length).ok_or(Refusal::ParameterLength)?;
    Target::from(&mut *bytes).copy_from(data.as_source());
    let asked = UnmapList::parse(bytes).map_err(|_| Refusal::ParameterLength)?;
    if asked.len() > limits.count as usize {
        return Err(Refusal::InvalidParameter);
    }
    for range in asked.ranges() {
        on_disk(range, facts)?;
        if range.blocks > limits.blocks || !list.push(Range { block: range.lba, blocks: range.blocks }) {
            return Err(Refusal::InvalidParameter);
        }
    }
    Ok(Asked::Discard)
}

/// WRITE SAME of zeros is WRITE_ZEROES; of anything else it is not for this device.
fn write_same(same: &WriteSame, facts: &Facts, data: Target<'_>, list: &mut List) -> Result<Asked, Refusal> {
    let limits = facts.zeroes.ok_or(Refusal::InvalidOpcode)?;
    let transfer = same.transfer;
    if transfer.protect != 0 || same.patterned || same.anchor {
        return Err(Refusal::InvalidField);
    }
    on_disk(transfer.range, facts)?;
    let blocks = match transfer.range.blocks {
        // All up to the end (SBC-4 5.46).
        0 => u32::try_from(facts.blocks - transfer.range.lba).unwrap_or(u32::MAX),
        blocks => blocks,
    };
    if blocks > limits.blocks || !(same.no_data || zeros(facts.block_size as usize, data)) {
        return Err(Refusal::InvalidField);
    }
    list.push(Range { block: transfer.range.lba, blocks }); // it is the first
    Ok(Asked::Zero { unmap: same.unmap && limits.may_unmap })
}

/// Whether the data is a block of zeros, in copies of a bounded size: it may change meanwhile.
fn zeros(block: usize, data: Target<'_>) -> bool {
    let Some((mut rest, _)) = data.split_at(block) else { return false };
    while !rest.is_empty() {
        let mut piece = [0; PIECE];
        let count = Target::from(&mut piece[..]).copy_from(rest.as_source());
        if piece.iter().any(|byte| *byte != 0) {
            return false;
        }
        match rest.split_at(count) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

/// Everything that is answered here.
fn control(command: &Command, facts: &Facts, mut data: Target<'_>) -> Result<Asked, Refusal> {
    let mut answer = [0; ANSWER];
    let length = match *command {
        Command::TestUnitReady | Command::ReadCapacity10 | Command::ReadCapacity16 { .. }
            if facts.blocks == 0 =>
        {
            return Err(Refusal::NotReady);
        }
        Command::TestUnitReady | Command::StartStopUnit(_) => 0,
        Command::Inquiry(inquiry) => inquire(&inquiry, facts, &[0; ID], &mut answer)?,
        Command::ReadCapacity10 => capacity(facts).write_10(&mut answer),
        Command::ReadCapacity16 { allocation } => capacity(facts).write_16(&mut answer, allocation),
        Command::ModeSense(sense) => {
            answers::mode_sense(&sense, facts.write_back, facts.read_only, &mut answer)
                .ok_or(Refusal::InvalidField)?
        }
        Command::ReportLuns { allocation, .. } => answers::report_luns(1, &mut answer, allocation),
        Command::RequestSense { descriptor, allocation } => {
            answers::request_sense(descriptor, allocation, &mut answer).ok_or(Refusal::InvalidField)?
        }
        _ => return Err(Refusal::InvalidOpcode),
    };
    let moved = data.copy_from(answer.get(..length).unwrap_or(&[]).into());
    Ok(Asked::Nothing(Outcome::Moved(moved as u32)))
}

/// The serial number has come: the page for which it was asked.
fn identify(srb: &mut Srb, serial: &[u8; ID]) -> Result<u32, Refusal> {
    let view = srb.view();
    let Ok(Command::Inquiry(inquiry)) = Command::parse(view.cdb()) else { return Err(Refusal::InvalidField) };
    let mut answer = [0; ANSWER];
    let length = inquire(&inquiry, &Facts::default(), serial, &mut answer)?;
    let moved = srb.data().copy_from(answer.get(..length).unwrap_or(&[]).into());
    Ok(moved as u32)
}

/// INQUIRY data. `serial`: as the device says it (5.2.6: up to 20 bytes, ended by a zero if shorter).
///
/// # Errors
/// [`Refusal::InvalidField`] for pages that we do not have.
pub fn inquire(
    inquiry: &Inquiry,
    facts: &Facts,
    serial: &[u8; ID],
    answer: &mut [u8],
) -> Result<usize, Refusal> {
    let serial = serial.split(|byte| *byte == 0).next().unwrap_or(&[]);
    let identity = Identity {
        vendor: b"VirtIO  ",
        product: b"Block device    ",
        revision: b"0001",
        serial,
        name: name(serial),
    };
    match inquiry.page {
        None if inquiry.stray_page => Err(Refusal::InvalidField),
        None => Ok(answers::inquiry(&identity, answer, inquiry.allocation)),
        // Two devices without a serial number must not pass for two ways to one.
        Some(answers::page::IDENTIFICATION) if serial.is_empty() => Err(Refusal::InvalidField),
        Some(page) => answers::vital(page, &identity, &limits(facts), answer, inquiry.allocation)
            .ok_or(Refusal::InvalidField),
    }
}

/// A locally assigned NAA name (SPC-5 7.7.6.6.4), made of the serial number by FNV-1a.
fn name(serial: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    let hash = serial.iter().fold(0xCBF2_9CE4_8422_2325, fold);
    3 << 60 | hash >> 4
}

fn limits(facts: &Facts) -> Limits {
    let discard = facts.discard.unwrap_or_default();
    Limits {
        max_transfer: facts.transfer_blocks(),
        max_unmap_blocks: discard.blocks, // whoever keeps to that in all keeps to it in each range
        max_unmap_descriptors: discard.count,
        unmap_granularity: discard.granularity,
        max_write_same: 0,
        reads_zeros: false,
    }
}

fn capacity(facts: &Facts) -> Capacity {
    Capacity {
        blocks: facts.blocks,
        block_size: facts.block_size,
        physical_exponent: facts.physical_exponent,
        lowest_aligned: u16::from(facts.lowest_aligned),
        provisioned: facts.discard.is_some(),
        reads_zeros: false,
    }
}
