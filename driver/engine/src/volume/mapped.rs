//! Mapped volumes: what their header records. The volume itself is the crate `sluice-mapped`.

use crate::format::{DATA_OFFSET, MAX_VOLUME_BYTES, RawHeader};

/// What a mapped volume was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Bytes that the disk writes whole: 512 or 4096.
    pub sector_size: u32,
    /// Bytes of the volume as its user sees it, a multiple of 4096. They may be more than the disk has.
    pub volume_bytes: u64,
    /// Where copy B of the header lies, in bytes: segments end before it.
    pub copy_b_offset: u64,
    /// Bytes of the journal, a multiple of 4096.
    pub journal_bytes: u64,
    /// Bytes of a segment, a power of two.
    pub segment_bytes: u64,
    /// Bytes of memory for the index of de-duplication; `None` if nothing is de-duplicated.
    pub index_bytes: Option<u64>,
    /// Bytes behind the journal in which that index is kept while the volume is closed, a multiple of 4096. 0 if it is not.
    pub index_area: u64,
    /// Whether the disk is told which segments are free. Who sees the disk then sees how much is stored.
    pub discard: bool,
    /// zstd's level; `None` if nothing is compressed.
    pub level: Option<i32>,
    /// Whether it is encrypted. If not, its key stands in the header.
    pub encrypted: bool,
}

const BLOCK: u64 = 4096;

impl Mapped {
    /// As recorded, whether it makes sense or not.
    pub(crate) fn of(raw: &RawHeader) -> Self {
        let has = |stage| raw.stages.contains(&stage);
        Self {
            sector_size: raw.sector_size.get(),
            volume_bytes: raw.volume_bytes.get(),
            copy_b_offset: raw.copy_b_offset.get(),
            journal_bytes: raw.journal_bytes.get(),
            segment_bytes: raw.segment_bytes.get(),
            index_bytes: has(DE_DUPLICATE).then_some(raw.index_bytes.get()),
            index_area: raw.index_area.get(),
            discard: raw.discard.get() == 1,
            level: has(COMPRESS).then_some(raw.level.get()),
            encrypted: has(ENCRYPT),
        }
    }

    /// Records it.
    pub(crate) fn record(&self, raw: &mut RawHeader) {
        raw.kind.set(crate::format::MAPPED);
        raw.cipher.set(u32::from(self.encrypted));
        raw.sector_size.set(self.sector_size);
        raw.data_offset.set(DATA_OFFSET);
        raw.volume_bytes.set(self.volume_bytes);
        raw.copy_b_offset.set(self.copy_b_offset);
        raw.journal_bytes.set(self.journal_bytes);
        raw.segment_bytes.set(self.segment_bytes);
        raw.index_bytes.set(self.index_bytes.unwrap_or(0));
        raw.index_area.set(self.index_area);
        raw.discard.set(u32::from(self.discard));
        raw.level.set(self.level.unwrap_or(0));
        raw.stages = self.stages();
    }

    /// Whether its numbers and those recorded beside them make sense together.
    pub(crate) fn is_consistent(&self, raw: &RawHeader) -> bool {
        let areas = [self.journal_bytes, self.index_area, self.segment_bytes];
        let ends = areas.into_iter().try_fold(DATA_OFFSET, u64::checked_add);
        raw.stages == self.stages()
            && raw.cipher.get() == u32::from(self.encrypted)
            && raw.data_offset.get() == DATA_OFFSET
            && (1..=MAX_VOLUME_BYTES).contains(&self.volume_bytes)
            && self.volume_bytes.is_multiple_of(BLOCK)
            && self.copy_b_offset.is_multiple_of(BLOCK)
            && self.journal_bytes.is_multiple_of(BLOCK)
            && self.index_area.is_multiple_of(BLOCK)
            && self.segment_bytes.is_power_of_two()
            && ends.is_some_and(|end| end <= self.copy_b_offset)
    }

    fn stages(&self) -> [u8; 8] {
        let stages = [
            self.index_bytes.map(|_| DE_DUPLICATE),
            self.level.map(|_| COMPRESS),
            self.encrypted.then_some(ENCRYPT),
            Some(PLACE),
        ];
        let mut list = [0; 8];
        list.iter_mut().zip(stages.into_iter().flatten()).for_each(|(place, stage)| *place = stage);
        list
    }
}

/// Stages by the numbers under which headers record them.
pub(crate) const ENCRYPT: u8 = 1;
pub(crate) const PLACE: u8 = 2;
const DE_DUPLICATE: u8 = 3;
const COMPRESS: u8 = 4;
