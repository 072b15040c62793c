//! SCSI_PASS_THROUGH: a command from a program, with its data and sense data in the same buffer (`ntddscsi.h`).
//!
//! ```text
//!            64-bit  32-bit
//!   Length        0       0   ScsiStatus 2, PathId 3, TargetId 4, Lun 5, CdbLength 6, SenseInfoLength 7, DataIn 8
//!   DataTransferLength   12      12
//!   TimeOutValue         16      16
//!   DataBufferOffset     24      20
//!   SenseInfoOffset      32      24
//!   Cdb                  36      28
//!   sizeof               56      44
//! ```

use core::ops::Range;

use crate::storport::{ScsiStatus, SrbFlags};

/// Where the fields lie that are not in the same place for programs of both kinds.
struct Layout {
    size: usize,
    data_offset: usize,
    sense_offset: usize,
    cdb: usize,
}

const LAYOUTS: [Layout; 2] = [
    Layout { size: 56, data_offset: 24, sense_offset: 32, cdb: 36 },
    Layout { size: 44, data_offset: 20, sense_offset: 24, cdb: 28 },
];
const SCSI_STATUS: usize = 2;
const CDB_LENGTH: usize = 6;
const SENSE_LENGTH: usize = 7;
const DIRECTION: usize = 8;
const TRANSFER_LENGTH: usize = 12;
const TIMEOUT: usize = 16;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Cut short, or of no kind that is known (STATUS_BUFFER_TOO_SMALL).
    Size,
    /// A field, or a place outside the buffer (STATUS_INVALID_PARAMETER).
    Field,
}

/// A request whose places all lie in its buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassThrough {
    size: usize,
    cdb: [u8; 16],
    cdb_length: usize,
    /// [`SrbFlags::DATA_IN`], [`SrbFlags::DATA_OUT`], both, or neither if there is no data.
    pub direction: SrbFlags,
    /// Where the data lies.
    pub data: Range<usize>,
    /// Where sense data goes.
    pub sense: Range<usize>,
    /// Seconds.
    pub timeout: u32,
}

impl PassThrough {
    /// Understands `input`. `room`: bytes that may be answered. `most`: bytes of the longest transfer. The address in it is
    /// not looked at: the device that is asked knows its own. Total: any bytes may be given.
    ///
    /// # Errors
    /// See [`Wrong`].
    pub fn parse(input: &[u8], room: usize, most: u32) -> Result<Self, Wrong> {
        /// SCSI_IOCTL_DATA_OUT, _IN, _UNSPECIFIED.
        const OUT: u8 = 0;
        const IN: u8 = 1;
        const EITHER: u8 = 2;
        let size =
            input.first_chunk().map(|size| usize::from(u16::from_le_bytes(*size))).ok_or(Wrong::Size)?;
        let layout = LAYOUTS.iter().find(|layout| layout.size == size).ok_or(Wrong::Size)?;
        let head = input.get(..size).ok_or(Wrong::Size)?;
        if room < size {
            return Err(Wrong::Size);
        }
        let cdb: [u8; 16] = *head.get(layout.cdb..).and_then(<[u8]>::first_chunk).ok_or(Wrong::Size)?;
        let cdb_length = usize::from(byte(head, CDB_LENGTH)?);
        if !(1..=cdb.len()).contains(&cdb_length) {
            return Err(Wrong::Field);
        }
        let length = word(head, TRANSFER_LENGTH)?;
        if length > most {
            return Err(Wrong::Field);
        }
        let (direction, end) = match byte(head, DIRECTION)? {
            _ if length == 0 => (SrbFlags(0), 0),
            OUT => (SrbFlags::DATA_OUT, input.len()),
            IN => (SrbFlags::DATA_IN, room),
            EITHER => (SrbFlags(SrbFlags::DATA_IN.0 | SrbFlags::DATA_OUT.0), input.len().min(room)),
            _ => return Err(Wrong::Field),
        };
        // The upper half of the 64-bit offset must be zero; a 32-bit one is followed by another field.
        let high = if layout.size == LAYOUTS[0].size { word(head, layout.data_offset + 4)? } else { 0 };
        let data_offset = word(head, layout.data_offset)?;
        if length > 0 && high != 0 {
            return Err(Wrong::Field);
        }
        let sense_length = u32::from(byte(head, SENSE_LENGTH)?);
        Ok(Self {
            size,
            cdb,
            cdb_length,
            direction,
            data: place(data_offset, length, size, end)?,
            sense: place(word(head, layout.sense_offset)?, sense_length, size, room)?,
            timeout: word(head, TIMEOUT)?,
        })
    }

    /// The command.
    #[must_use]
    pub fn cdb(&self) -> &[u8] {
        self.cdb.get(..self.cdb_length).unwrap_or(&[])
    }

    /// Writes what has come of it into the buffer that it came in, whose data is there already. Answers how many bytes of it
    /// go back.
    pub fn answer(&self, buffer: &mut [u8], status: ScsiStatus, transferred: u32, sense: &[u8]) -> usize {
        let sense = sense.get(..self.sense.len().min(sense.len())).unwrap_or(&[]);
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(place) = buffer.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        put(SCSI_STATUS, &[status.0]);
        put(SENSE_LENGTH, &[sense.len() as u8]);
        put(TRANSFER_LENGTH, &transferred.to_le_bytes());
        put(self.sense.start, sense);
        let reads = self.direction.contains(SrbFlags::DATA_IN);
        let data = if reads { self.data.start + (transferred as usize).min(self.data.len()) } else { 0 };
        let sense = if sense.is_empty() { 0 } else { self.sense.start + sense.len() };
        self.size.max(data).max(sense)
    }
}

/// A place behind the head and before `end`; nowhere if it is empty.
fn place(offset: u32, length: u32, head: usize, end: usize) -> Result<Range<usize>, Wrong> {
    let start = offset as usize;
    let stop = start.checked_add(length as usize).ok_or(Wrong::Field)?;
    match length {
        0 => Ok(0..0),
        _ if start < head || stop > end => Err(Wrong::Field),
        _ => Ok(start..stop),
    }
}

fn byte(bytes: &[u8], at: usize) -> Result<u8, Wrong> {
    bytes.get(at).copied().ok_or(Wrong::Size)
}

fn word(bytes: &[u8], at: usize) -> Result<u32, Wrong> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map(u32::from_le_bytes).ok_or(Wrong::Size)
}
