//! The parameter list of UNMAP (SBC-4 5.35.2).
//!
//! ```text
//!   0   u16  bytes that follow this field: 6 + 16 per descriptor
//!   2   u16  bytes of descriptors
//!   4   u32  reserved
//!   8        descriptors of 16 bytes: u64 first block, u32 number of blocks, u32 reserved
//! ```

use super::cdb::BlockRange;

/// Bytes before the first descriptor.
pub const HEADER: usize = 8;
/// Bytes of a descriptor.
pub const DESCRIPTOR: usize = 16;
/// Most descriptors that the 16-bit lengths can count.
pub const MAX_DESCRIPTORS: usize = (u16::MAX as usize - 6) / DESCRIPTOR;

/// Why a parameter list is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmapError {
    /// Shorter than its header (a length of zero is no error: nothing to do).
    Short,
    /// Its lengths say more than there is, or do not agree.
    Length,
}

/// A parameter list whose lengths have been checked.
#[derive(Clone, Copy, Debug)]
pub struct UnmapList<'a> {
    descriptors: &'a [[u8; DESCRIPTOR]],
}

impl<'a> UnmapList<'a> {
    /// Checks a parameter list. Lists that end in the middle of a descriptor lose it, as the standard says.
    ///
    /// # Errors
    /// See [`UnmapError`].
    pub fn parse(list: &'a [u8]) -> Result<Self, UnmapError> {
        if list.is_empty() {
            return Ok(Self { descriptors: &[] });
        }
        let (&[data0, data1, block0, block1, ..], body) =
            list.split_first_chunk::<HEADER>().ok_or(UnmapError::Short)?;
        let data = usize::from(u16::from_be_bytes([data0, data1]));
        let blocks = usize::from(u16::from_be_bytes([block0, block1]));
        if data + 2 > list.len() || data < blocks + HEADER - 2 {
            return Err(UnmapError::Length);
        }
        let body = body.get(..blocks).ok_or(UnmapError::Length)?;
        Ok(Self { descriptors: body.as_chunks().0 })
    }

    /// The ranges, in the list's order. They may be empty, overlap, or lie outside the medium.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = BlockRange> + 'a {
        self.descriptors.iter().map(|&[a, b, c, d, e, f, g, h, i, j, k, l, ..]| BlockRange {
            lba: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            blocks: u32::from_be_bytes([i, j, k, l]),
        })
    }

    /// How many ranges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.descriptors.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.descriptors.is_empty()
    }
}

/// Bytes that [`write()`] needs for `ranges` ranges, if a list can hold so many.
#[must_use]
pub fn length(ranges: usize) -> Option<u16> {
    (ranges <= MAX_DESCRIPTORS).then(|| (HEADER + DESCRIPTOR * ranges) as u16)
}

/// Writes a parameter list for `ranges` to the front of `list` and returns its length; `None`, with `list` in
/// pieces, if there is not room for all.
pub fn write(ranges: impl IntoIterator<Item = BlockRange>, list: &mut [u8]) -> Option<u16> {
    let (header, body) = list.split_first_chunk_mut::<HEADER>()?;
    let mut places = body.as_chunks_mut::<DESCRIPTOR>().0.iter_mut();
    let mut count = 0;
    for range in ranges {
        let place = places.next()?;
        *place = [0; DESCRIPTOR];
        place[..8].copy_from_slice(&range.lba.to_be_bytes());
        place[8..12].copy_from_slice(&range.blocks.to_be_bytes());
        count += 1;
    }
    let total = length(count)?;
    *header = [0; HEADER];
    header[..2].copy_from_slice(&(total - 2).to_be_bytes());
    header[2..4].copy_from_slice(&(total - HEADER as u16).to_be_bytes());
    Some(total)
}
