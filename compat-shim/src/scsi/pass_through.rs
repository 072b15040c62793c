//! SCSI_PASS_THROUGH and its kin: a command from a program, with its sense data in the same buffer, and its data there as well or
//! (the direct forms) in memory of the program (`ntddscsi.h`).
//!
//! ```text
//!                        64-bit  32-bit                            64-bit  32-bit
//!   Length                    0       0    EX: Version 0, Length        4       4
//!   ScsiStatus                2       2    CdbLength                    8       8
//!   CdbLength                 6       6    ScsiStatus                  16      16
//!   SenseInfoLength           7       7    SenseInfoLength             17      17
//!   DataIn                    8       8    DataDirection               18      18
//!   DataTransferLength       12      12    TimeOutValue                20      20
//!   TimeOutValue             16      16    SenseInfoOffset             28      28
//!   DataBuffer(Offset)       24      20    Data(Out, In)TransferLength 32,36   32,36
//!   SenseInfoOffset          32      24    Data(Out, In)Buffer(Offset) 40,48   40,44
//!   Cdb                      36      28    Cdb                         56      48
//!   sizeof                   56      44    sizeof                      64      52
//! ```

use core::ops::Range;

use super::ioctl::code;
use crate::storport::{ScsiStatus, SrbFlags};

/// Where the fields of a structure lie. Those for data come twice: as it goes out, and as it comes in.
struct Layout {
    size: usize,
    /// It names its version first, and its lengths have four bytes.
    extended: bool,
    status: usize,
    direction: usize,
    lengths: [usize; 2],
    timeout: usize,
    data: [usize; 2],
    /// Bytes of an address or an offset.
    pointer: usize,
    sense: usize,
    sense_length: usize,
    cdb: usize,
}

const PLAIN: Layout = Layout {
    size: 56,
    extended: false,
    status: 2,
    direction: 8,
    lengths: [12, 12],
    timeout: 16,
    data: [24, 24],
    pointer: 8,
    sense: 32,
    sense_length: 7,
    cdb: 36,
};
const EXTENDED: Layout = Layout {
    size: 64,
    extended: true,
    status: 16,
    direction: 18,
    lengths: [32, 36],
    timeout: 20,
    data: [40, 48],
    pointer: 8,
    sense: 28,
    sense_length: 17,
    cdb: 56,
};
const LAYOUTS: [Layout; 4] = [
    PLAIN,
    Layout { size: 44, data: [20, 20], pointer: 4, sense: 24, cdb: 28, ..PLAIN },
    EXTENDED,
    Layout { size: 52, data: [40, 44], pointer: 4, cdb: 48, ..EXTENDED },
];
const LONGEST_CDB: usize = 32;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Cut short, or of no kind that is known (STATUS_BUFFER_TOO_SMALL).
    Size,
    /// A field, or a place outside the buffer (STATUS_INVALID_PARAMETER).
    Field,
}

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// In the same buffer; nowhere if there is none.
    Buffer(Range<usize>),
    /// In memory of the program, which may or may not be there: address and length, which is not zero.
    Program(u64, u32),
}

impl Data {
    /// Bytes of it.
    #[must_use]
    pub fn length(&self) -> u32 {
        match self {
            Self::Buffer(place) => place.len() as u32,
            Self::Program(_, length) => *length,
        }
    }
}

/// A request whose places all lie in its buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassThrough {
    size: usize,
    status_at: usize,
    length_at: usize,
    sense_length_at: usize,
    cdb: [u8; LONGEST_CDB],
    cdb_length: usize,
    /// [`SrbFlags::DATA_IN`], [`SrbFlags::DATA_OUT`], both, or neither if there is no data.
    pub direction: SrbFlags,
    /// Where the data lies.
    pub data: Data,
    /// Where sense data goes.
    pub sense: Range<usize>,
    /// Seconds.
    pub timeout: u32,
}

impl PassThrough {
    /// Understands `input`, of the IOCTL `code`. `room`: bytes that may be answered. `most`: bytes of the longest transfer. The
    /// address of the device in it is not looked at: the device that is asked knows its own. Total: any bytes may be given.
    ///
    /// # Errors
    /// See [`Wrong`].
    pub fn parse(code: u32, input: &[u8], room: usize, most: u32) -> Result<Self, Wrong> {
        let (extended, direct) = match code {
            code::SCSI_PASS_THROUGH => (false, false),
            code::SCSI_PASS_THROUGH_DIRECT => (false, true),
            code::SCSI_PASS_THROUGH_EX => (true, false),
            code::SCSI_PASS_THROUGH_DIRECT_EX => (true, true),
            _ => return Err(Wrong::Size),
        };
        let layout = Layout::of(input, extended)?;
        if input.len() < layout.size || room < layout.size {
            return Err(Wrong::Size);
        }
        let wanted = if extended { word(input, 8)? as usize } else { usize::from(byte(input, 6)?) };
        let longest = if extended { LONGEST_CDB } else { 16 };
        if !(1..=longest).contains(&wanted) {
            return Err(Wrong::Field);
        }
        let mut cdb = [0; LONGEST_CDB];
        let from = input.get(layout.cdb..layout.cdb + wanted).ok_or(Wrong::Size)?;
        cdb.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        let head = layout.size.max(layout.cdb + wanted);
        let (direction, way) = layout.direction(input)?;
        let length = if direction == SrbFlags(0) { 0 } else { word(input, layout.lengths[way])? };
        if length > most {
            return Err(Wrong::Field);
        }
        let data = match direction {
            SrbFlags(0) => Data::Buffer(0..0),
            _ if direct => Data::Program(layout.pointer(input, way)?, length),
            _ => {
                let outgoing = if direction.contains(SrbFlags::DATA_OUT) { input.len() } else { usize::MAX };
                let incoming = if direction.contains(SrbFlags::DATA_IN) { room } else { usize::MAX };
                Data::Buffer(place(layout.pointer(input, way)?, length, head, outgoing.min(incoming))?)
            }
        };
        let sense_length = u32::from(byte(input, layout.sense_length)?);
        Ok(Self {
            size: layout.size,
            status_at: layout.status,
            length_at: layout.lengths[way],
            sense_length_at: layout.sense_length,
            cdb,
            cdb_length: wanted,
            direction,
            data,
            sense: place(word(input, layout.sense)?.into(), sense_length, head, room)?,
            timeout: word(input, layout.timeout)?,
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
        put(self.status_at, &[status.0]);
        put(self.sense_length_at, &[sense.len() as u8]);
        put(self.length_at, &transferred.to_le_bytes());
        put(self.sense.start, sense);
        let data = match &self.data {
            Data::Buffer(place) if self.direction.contains(SrbFlags::DATA_IN) => {
                place.start + (transferred as usize).min(place.len())
            }
            _ => 0,
        };
        let sense = if sense.is_empty() { 0 } else { self.sense.start + sense.len() };
        self.size.max(data).max(sense)
    }
}

impl Layout {
    fn of(input: &[u8], extended: bool) -> Result<&'static Self, Wrong> {
        let size = if extended {
            let version = word(input, 0)?;
            word(input, 4).map(|size| if version == 0 { size as usize } else { 0 })?
        } else {
            usize::from(byte(input, 0)?) | usize::from(byte(input, 1)?) << 8
        };
        let fits = |layout: &&Self| layout.extended == extended && layout.size == size;
        LAYOUTS.iter().find(fits).ok_or(Wrong::Size)
    }

    /// Which way the data goes, if there is any, and which of its fields say how much and where.
    fn direction(&self, input: &[u8]) -> Result<(SrbFlags, usize), Wrong> {
        /// SCSI_IOCTL_DATA_OUT, _IN, _UNSPECIFIED. Nothing here moves data in both ways.
        const OUT: u8 = 0;
        const IN: u8 = 1;
        const EITHER: u8 = 2;
        let both = SrbFlags(SrbFlags::DATA_IN.0 | SrbFlags::DATA_OUT.0);
        let [out, comes] = [word(input, self.lengths[0])? > 0, word(input, self.lengths[1])? > 0];
        match byte(input, self.direction)? {
            OUT | IN | EITHER if !out && !comes => Ok((SrbFlags(0), 0)),
            OUT => Ok((if out { SrbFlags::DATA_OUT } else { SrbFlags(0) }, 0)),
            IN => Ok((if comes { SrbFlags::DATA_IN } else { SrbFlags(0) }, 1)),
            EITHER if !self.extended => Ok((both, 0)),
            EITHER if out != comes => Ok((both, usize::from(comes))),
            _ if !out && !comes => Ok((SrbFlags(0), 0)),
            _ => Err(Wrong::Field),
        }
    }

    fn pointer(&self, input: &[u8], way: usize) -> Result<u64, Wrong> {
        let at = self.data[way];
        let high = if self.pointer == 8 { word(input, at + 4)? } else { 0 };
        Ok(u64::from(high) << 32 | u64::from(word(input, at)?))
    }
}

/// A place behind the head and before `end`; nowhere if it is empty.
fn place(offset: u64, length: u32, head: usize, end: usize) -> Result<Range<usize>, Wrong> {
    if length == 0 {
        return Ok(0..0);
    }
    let start = usize::try_from(offset).map_err(|_| Wrong::Field)?;
    let stop = start.checked_add(length as usize).ok_or(Wrong::Field)?;
    if start < head || stop > end { Err(Wrong::Field) } else { Ok(start..stop) }
}

fn byte(bytes: &[u8], at: usize) -> Result<u8, Wrong> {
    bytes.get(at).copied().ok_or(Wrong::Size)
}

fn word(bytes: &[u8], at: usize) -> Result<u32, Wrong> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map(u32::from_le_bytes).ok_or(Wrong::Size)
}
