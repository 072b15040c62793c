//! What lies where on the device.

use sluice_engine::{
    format::{DATA_OFFSET, copy_b_offset},
    volume::Mapped,
};

use crate::{
    limits::SEGMENT,
    units::{Address, BLOCK, SECTOR, Segment},
};

/// Where the journal begins: behind the header and the root records, and room for what comes later.
pub const JOURNAL_START: u64 = DATA_OFFSET;

/// Bytes of the smallest journal: eight frames of two blocks.
pub const JOURNAL_LEAST: u64 = 64 * 1024;

/// Sizes and places of one volume. Everything in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What the device writes whole: 512 or 4096.
    pub sector: u32,
    /// Size of the volume as its user sees it, in blocks.
    pub blocks: u64,
    /// Size of the journal.
    pub journal_bytes: u64,
    /// Size of the room behind the journal in which the index is kept while the volume is closed.
    pub index_area: u64,
    /// Size of a segment.
    pub segment_bytes: u64,
    /// Segments.
    pub segments: u32,
    /// Where the second header lies.
    pub copy_b: u64,
}

/// Why a device cannot hold a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// Fewer segments would fit than the volume needs to work.
    TooSmall,
    /// A number is not one of those allowed.
    Invalid,
}

/// Fewest segments of a volume: three streams, the reserve, and something to fill.
pub const SEGMENTS_LEAST: u32 = 24;

impl Layout {
    /// A volume of `blocks` blocks on a device of `device` bytes.
    ///
    /// # Errors
    /// See [`LayoutError`].
    pub fn new(
        device: u64,
        sector: u32,
        blocks: u64,
        journal: u64,
        segment: u64,
    ) -> Result<Self, LayoutError> {
        let copy_b = copy_b_offset(device).ok_or(LayoutError::TooSmall)?;
        Self::before(copy_b, sector, blocks, [journal, 0], segment)
    }

    /// The same volume with room for keeping an index of so many bytes: see [`crate::kept`].
    ///
    /// # Errors
    /// See [`LayoutError`].
    pub fn keeping(&self, index_bytes: u64) -> Result<Self, LayoutError> {
        let areas = [self.journal_bytes, crate::kept::area(index_bytes)];
        Self::before(self.copy_b, self.sector, self.blocks, areas, self.segment_bytes)
    }

    /// The layout that a header records.
    ///
    /// # Errors
    /// [`LayoutError`]: no program of ours made it.
    pub fn of(volume: &Mapped) -> Result<Self, LayoutError> {
        let blocks = volume.volume_bytes / BLOCK as u64;
        Self::before(
            volume.copy_b_offset,
            volume.sector_size,
            blocks,
            [volume.journal_bytes, volume.index_area],
            volume.segment_bytes,
        )
    }

    /// Bytes of the journal and of a segment for a new volume on a device of `device` bytes: large enough to stream, small
    /// enough that cleaning a segment is short work and a small device has many.
    pub fn usual(device: u64) -> (u64, u64) {
        let power = |bytes: u64| 1 << bytes.max(1).ilog2();
        (power(device / 128).clamp(JOURNAL_LEAST, 64 << 20), power(device / 512).clamp(64 << 10, 4 << 20))
    }

    /// Bytes of a volume that fits although nothing is shared and nothing compresses: 85 % of the segments beyond the
    /// fewest, the rest being for the cleaner, pages and headers. Of small segments headers take more.
    pub fn without_savings(&self) -> u64 {
        let of_segment = (self.segment_bytes * 85).min(self.fillable() as u64 * 90) / 100;
        let bytes = u64::from(self.segments - SEGMENTS_LEAST + 1) * of_segment;
        bytes / BLOCK as u64 * BLOCK as u64
    }

    /// Everything in front of the second header.
    fn before(
        copy_b: u64,
        sector: u32,
        blocks: u64,
        [journal, index_area]: [u64; 2],
        segment: u64,
    ) -> Result<Self, LayoutError> {
        let sector_fits = sector as usize == SECTOR || sector as usize == BLOCK;
        let aligned = journal.is_multiple_of(BLOCK as u64)
            && journal >= JOURNAL_LEAST
            && index_area.is_multiple_of(BLOCK as u64);
        if !sector_fits
            || !aligned
            || !segment.is_power_of_two()
            || !SEGMENT.contains(&segment)
            || blocks == 0
            || blocks > 1 << 36
        {
            return Err(LayoutError::Invalid);
        }
        let areas = [journal, index_area].into_iter().try_fold(JOURNAL_START, u64::checked_add);
        let room = areas.and_then(|areas| copy_b.checked_sub(areas)).ok_or(LayoutError::TooSmall)?;
        let segments = u32::try_from(room / segment).map_err(|_| LayoutError::Invalid)?;
        if segments < SEGMENTS_LEAST {
            return Err(LayoutError::TooSmall);
        }
        Ok(Self {
            sector,
            blocks,
            journal_bytes: journal,
            index_area,
            segment_bytes: segment,
            segments,
            copy_b,
        })
    }

    /// Both places of root record `number`.
    pub fn roots(&self, number: u64) -> [u64; 2] {
        let slot = BLOCK as u64 * (1 + number % 2);
        [slot, self.copy_b + slot]
    }

    /// Where the index is kept.
    pub fn index_start(&self) -> u64 {
        JOURNAL_START + self.journal_bytes
    }

    fn segments_start(&self) -> u64 {
        self.index_start() + self.index_area
    }

    /// First byte of a segment.
    pub fn segment_start(&self, segment: Segment) -> Address {
        Address(self.segments_start() + u64::from(segment.0) * self.segment_bytes)
    }

    /// The segment in which a byte lies.
    pub fn segment_of(&self, address: Address) -> Option<Segment> {
        let offset = address.0.checked_sub(self.segments_start())?;
        let segment = u32::try_from(offset / self.segment_bytes).ok()?;
        (segment < self.segments).then_some(Segment(segment))
    }

    /// Bytes of a segment that can be live, whatever they are: the rest goes to headers and lists, which take whole
    /// sectors, and to the end, where the next might not fit.
    pub fn fillable(&self) -> usize {
        let lost = 3 * self.sector as usize + BLOCK + SECTOR;
        self.segment_bytes as usize - lost.max(2 * BLOCK)
    }

    /// Bytes of the largest journal frame: an eighth of the journal at most, so that a checkpoint can always begin.
    pub fn frame_bytes(&self) -> usize {
        let eighth = self.journal_bytes as usize / 8 / BLOCK * BLOCK;
        eighth.min(crate::limits::FRAME)
    }

    /// `bytes` rounded up to whole sectors.
    pub fn round_up(&self, bytes: usize) -> usize {
        bytes.next_multiple_of(self.sector as usize)
    }
}
