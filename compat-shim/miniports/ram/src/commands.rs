//! What the disk does with each SRB.

use sluice_chain::bytes::{Source, Target};
use sluice_shim::{
    scsi::{
        answers::{self, Capacity, Identity, Limits},
        cdb::{BlockRange, ByteCheck, Command, Inquiry, Transfer},
        sense::Refusal,
        unmap::{DESCRIPTOR, HEADER, UnmapList},
    },
    storport::{ScsiStatus, SrbFunction, SrbStatus, SrbView},
};

use crate::Ram;

/// Most descriptors in one UNMAP: what a parameter list on the stack has room for.
const MAX_UNMAP_DESCRIPTORS: usize = 64;
/// Longest answer to any command but READ.
const MAX_ANSWER: usize = 128;

/// Who the disk with this number says it is. `serial` takes its serial number.
fn identity(number: u8, serial: &mut [u8; 15]) -> Identity<'_> {
    const NAME: u64 = 0x3000_0000_5375_6963; // NAA 3: locally assigned
    *serial = *b"SLUICE-RAM-0001";
    if let Some(digit) = serial.last_mut() {
        *digit += number.min(8);
    }
    Identity {
        vendor: b"Sluice  ",
        product: b"RAM disk        ",
        revision: b"0001",
        serial,
        name: NAME | u64::from(number) << 32,
    }
}

/// The data that an SRB carries. Others may see and change it at any moment.
///
/// # Safety
/// The SRB's data buffer is mapped for its data length while the data is used.
unsafe fn data_of<'a>(srb: &SrbView) -> Target<'a> {
    let (start, length) = (srb.data_buffer().cast::<u8>(), srb.data_transfer_length() as usize);
    let length = if start.is_null() { 0 } else { length };
    // SAFETY: the caller's contract.
    unsafe { Target::from_raw(start, length) }
}

/// # Safety
/// The buffers that the SRB names (data, sense) are mapped for the lengths that it names.
pub(crate) unsafe fn execute(ram: &Ram, srb: &mut SrbView) {
    // SAFETY: the caller's contract.
    let data = unsafe { data_of(srb) };
    let (given, answer) = (srb.data_transfer_length() as usize, perform(ram, srb, data));
    match answer {
        Ok(moved) => {
            srb.set_data_transfer_length(moved as u32);
            // The port's word for "not as many bytes as the SRB names", which is an error to nobody.
            let whole = moved == given;
            srb.set_srb_status(if whole { SrbStatus::SUCCESS } else { SrbStatus::DATA_OVERRUN });
            srb.set_scsi_status(ScsiStatus::GOOD);
        }
        Err(refusal) => {
            // SAFETY: the caller's contract.
            unsafe { refusal.write(srb) };
        }
    }
}

/// Answers how many bytes were moved.
fn perform(ram: &Ram, srb: &SrbView, data: Target<'_>) -> Result<usize, Refusal> {
    match srb.function() {
        SrbFunction::EXECUTE_SCSI if srb.address() != ram.address() => Err(Refusal::NoDevice),
        SrbFunction::EXECUTE_SCSI => {
            let command = Command::parse(srb.cdb()).map_err(|_| Refusal::InvalidField)?;
            match command {
                Command::Read(transfer) => read(ram, &transfer, data),
                Command::Write(transfer) => write(ram, &transfer, data),
                other => control(ram, &other, data),
            }
        }
        // There is no cache behind the memory, and nothing that a reset could abort.
        SrbFunction::FLUSH
        | SrbFunction::SHUTDOWN
        | SrbFunction::RESET_BUS
        | SrbFunction::RESET_DEVICE
        | SrbFunction::RESET_LOGICAL_UNIT => Ok(0),
        _ => Err(Refusal::InvalidOpcode),
    }
}

fn read(ram: &Ram, transfer: &Transfer, data: Target<'_>) -> Result<usize, Refusal> {
    let (offset, length) = stretch(ram, transfer)?;
    match data.split_at(length) {
        Some((bytes, _)) => Ok(ram.memory.read(offset, bytes)),
        None => Err(Refusal::InvalidField), // less room than blocks
    }
}

fn write(ram: &Ram, transfer: &Transfer, data: Target<'_>) -> Result<usize, Refusal> {
    let (offset, length) = stretch(ram, transfer)?;
    match data.as_source().split_at(length) {
        Some((bytes, _)) => Ok(ram.memory.write(offset, bytes)),
        None => Err(Refusal::InvalidField),
    }
}

/// Where a transfer's blocks lie in memory: offset and length in bytes.
fn stretch(ram: &Ram, transfer: &Transfer) -> Result<(u64, usize), Refusal> {
    if transfer.protect != 0 {
        return Err(Refusal::InvalidField); // no protection information here
    }
    on_disk(ram, transfer.range)?;
    let length = transfer.range.bytes(ram.sector_size).ok_or(Refusal::InvalidField)?;
    Ok((transfer.range.lba * u64::from(ram.sector_size), length as usize))
}

fn on_disk(ram: &Ram, range: BlockRange) -> Result<(), Refusal> {
    if range.fits(ram.sectors) { Ok(()) } else { Err(Refusal::OutOfRange) }
}

/// Everything that moves no blocks.
fn control(ram: &Ram, command: &Command, mut data: Target<'_>) -> Result<usize, Refusal> {
    let mut answer = [0; MAX_ANSWER];
    let length = match *command {
        Command::Verify(transfer, ByteCheck::Medium) if transfer.protect == 0 => {
            on_disk(ram, transfer.range)?;
            0
        }
        Command::Verify(..) => return Err(Refusal::InvalidField),
        Command::SynchronizeCache { range, .. } => {
            on_disk(ram, range)?;
            0
        }
        Command::Unmap { anchor: true, .. } => return Err(Refusal::InvalidField),
        Command::Unmap { length, .. } => return unmap(ram, usize::from(length), data.as_source()),
        Command::TestUnitReady | Command::StartStopUnit(_) => 0,
        Command::Inquiry(inquiry) => inquire(&inquiry, ram, &mut answer)?,
        Command::ReadCapacity10 => capacity(ram).write_10(&mut answer),
        Command::ReadCapacity16 { allocation } => capacity(ram).write_16(&mut answer, allocation),
        Command::ModeSense(sense) => {
            answers::mode_sense(&sense, false, false, &mut answer).ok_or(Refusal::InvalidField)?
        }
        Command::ReportLuns { allocation, .. } => answers::report_luns(ram.units(), &mut answer, allocation),
        Command::RequestSense { descriptor, allocation } => {
            answers::request_sense(descriptor, allocation, &mut answer).ok_or(Refusal::InvalidField)?
        }
        _ => return Err(Refusal::InvalidOpcode),
    };
    Ok(data.copy_from(answer.get(..length).unwrap_or(&[]).into()))
}

fn inquire(inquiry: &Inquiry, ram: &Ram, answer: &mut [u8]) -> Result<usize, Refusal> {
    let limits = Limits {
        max_transfer: 0,
        max_unmap_blocks: u32::MAX,
        max_unmap_descriptors: MAX_UNMAP_DESCRIPTORS as u32,
        unmap_granularity: 1,
        max_write_same: 0,
        reads_zeros: capacity(ram).reads_zeros,
    };
    let mut serial = [0; 15];
    let identity = identity(ram.number, &mut serial);
    match inquiry.page {
        None if inquiry.stray_page => Err(Refusal::InvalidField),
        None => Ok(answers::inquiry(&identity, answer, inquiry.allocation)),
        Some(page) => {
            answers::vital(page, &identity, &limits, answer, inquiry.allocation).ok_or(Refusal::InvalidField)
        }
    }
}

fn capacity(ram: &Ram) -> Capacity {
    Capacity {
        blocks: ram.sectors,
        block_size: ram.sector_size,
        physical_exponent: 0,
        lowest_aligned: 0,
        provisioned: true,
        reads_zeros: true,
    }
}

/// Sets the ranges to zero, all or (if one is not on the disk) none. Not inlined: its list takes 1 KiB of stack.
#[inline(never)]
fn unmap(ram: &Ram, length: usize, data: Source<'_>) -> Result<usize, Refusal> {
    if length > data.len() {
        return Err(Refusal::ParameterLength);
    }
    // The sender's list may change while it is looked at.
    let mut list = [0; HEADER + DESCRIPTOR * MAX_UNMAP_DESCRIPTORS];
    let list = list.get_mut(..length).ok_or(Refusal::ParameterLength)?;
    Target::from(&mut *list).copy_from(data);
    let list = UnmapList::parse(list).map_err(|_| Refusal::ParameterLength)?;
    for range in list.ranges() {
        on_disk(ram, range)?;
    }
    for range in list.ranges() {
        let size = u64::from(ram.sector_size);
        // On the disk, so that neither product exceeds its size.
        ram.memory.clear(range.lba * size, (u64::from(range.blocks) * size) as usize);
    }
    Ok(length)
}
