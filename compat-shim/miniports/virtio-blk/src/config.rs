//! What a device's features and configuration come to: the facts that requests are judged by.
//!
//! [`Facts::of`] is total: any bytes give facts that no arithmetic here can break, or [`Failure::Unfit`].

use crate::{
    spec::{CONFIG, SECTOR, blk::RANGE, feature},
    transport::Failure,
};

/// Most ranges that one request of ours names, whatever the device takes.
pub const RANGES: usize = 32;

/// Least bytes that are contiguous for a device, within a buffer.
const PAGE: u32 = 4096;

/// Features that we know how to use. ORDER_PLATFORM is not among them: memory is ordered as between processors.
pub const KNOWN: u64 = feature::SIZE_MAX
    | feature::SEG_MAX
    | feature::RO
    | feature::BLK_SIZE
    | feature::FLUSH
    | feature::TOPOLOGY
    | feature::MQ
    | feature::DISCARD
    | feature::WRITE_ZEROES
    | feature::INDIRECT_DESC
    | feature::EVENT_IDX
    | feature::VERSION_1
    | feature::ACCESS_PLATFORM
    | feature::RING_PACKED;

/// What DISCARD or WRITE_ZEROES takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// Most blocks of a range.
    pub blocks: u32,
    /// Most ranges of a request, at most [`RANGES`].
    pub count: u32,
    /// DISCARD: blocks that are best discarded together. At least 1.
    pub granularity: u32,
    /// WRITE_ZEROES: it may unmap.
    pub may_unmap: bool,
}

/// A disk, as its device describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Number of blocks. Zero for a device without a medium.
    pub blocks: u64,
    /// Bytes of a block: 512 or 4096.
    pub block_size: u32,
    /// A physical block is `1 << physical_exponent` blocks.
    pub physical_exponent: u8,
    /// First block that begins a physical one.
    pub lowest_aligned: u8,
    /// It refuses writes.
    pub read_only: bool,
    /// What is written is safe only when flushed. Without FLUSH a device writes through (5.2.6.2).
    pub write_back: bool,
    /// Most bytes of a piece.
    pub piece_bytes: u32,
    /// Most pieces of a transfer.
    pub pieces: u32,
    /// Most bytes of a transfer, however it lies in memory.
    pub transfer: u32,
    /// Queues that it serves. At least 1.
    pub queues: u16,
    /// DISCARD, if it takes that.
    pub discard: Option<Ranges>,
    /// WRITE_ZEROES, if it takes that.
    pub zeroes: Option<Ranges>,
}

impl Facts {
    /// From the negotiated `features` and the configuration (5.2.4).
    ///
    /// # Errors
    /// [`Failure::Unfit`].
    pub fn of(features: u64, bytes: &[u8; CONFIG]) -> Result<Self, Failure> {
        let has = |feature: u64| features & feature != 0;
        let block_size = if has(feature::BLK_SIZE) { u32_at(bytes, 20) } else { SECTOR };
        // QEMU's storage daemon offers the field and says 0, by which it means none.
        let size_max = if has(feature::SIZE_MAX) { u32_at(bytes, 8) } else { 0 };
        let size_max = if size_max == 0 { u32::MAX } else { size_max };
        if !matches!(block_size, 512 | 4096) || size_max < SECTOR {
            return Err(Failure::Unfit);
        }
        let per_block = block_size / SECTOR;
        let topology = has(feature::TOPOLOGY);
        let discard = has(feature::DISCARD).then(|| Ranges {
            granularity: (u32_at(bytes, 44) / per_block).max(1),
            ..ranges(bytes, 36, per_block)
        });
        let zeroes = has(feature::WRITE_ZEROES).then(|| Ranges {
            may_unmap: bytes[56] != 0,
            granularity: 1,
            ..ranges(bytes, 48, per_block)
        });
        Ok(Self {
            blocks: u64_at(bytes, 0) / u64::from(per_block),
            block_size,
            physical_exponent: if topology { bytes[24].min(15) } else { 0 },
            lowest_aligned: if topology { bytes[25] } else { 0 },
            read_only: has(feature::RO),
            write_back: has(feature::FLUSH),
            piece_bytes: size_max,
            // Drivers in the field take 0 for 1.
            pieces: if has(feature::SEG_MAX) { u32_at(bytes, 12).max(1) } else { 1 },
            transfer: u32::MAX,
            queues: if has(feature::MQ) { u16_at(bytes, 34).max(1) } else { 1 },
            discard: discard.filter(|ranges| ranges.blocks > 0 && ranges.count > 0),
            zeroes: zeroes.filter(|ranges| ranges.blocks > 0 && ranges.count > 0),
        })
    }

    /// The same, for a host with means for no more than `pieces` and transfers of `copy` bytes where the device does not
    /// reach the payload.
    #[must_use]
    pub fn within(self, pieces: u32, copy: u32) -> Self {
        let pieces = self.pieces.min(pieces).max(1);
        // In pages that lie apart, of which the first and the last may be cut.
        let scattered = (pieces - 1).saturating_mul(self.piece_bytes.min(PAGE));
        let copied = copy.min(pieces.saturating_mul(self.piece_bytes));
        Self { pieces, transfer: scattered.max(copied), ..self }
    }

    /// The longest transfer in blocks.
    #[must_use]
    pub fn transfer_blocks(&self) -> u32 {
        self.transfer.checked_div(self.block_size).unwrap_or(0)
    }
}

/// Two fields: most sectors of a range, most ranges.
fn ranges(bytes: &[u8; CONFIG], at: usize, per_block: u32) -> Ranges {
    const _: () = assert!(RANGES * RANGE <= 512);
    let blocks = u32_at(bytes, at) / per_block;
    Ranges { blocks, count: u32_at(bytes, at + 4).min(RANGES as u32), ..Ranges::default() }
}

fn u16_at(bytes: &[u8; CONFIG], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8; CONFIG], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8; CONFIG], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(fields: &[(usize, &[u8])]) -> [u8; CONFIG] {
        let mut bytes = [0; CONFIG];
        for (at, field) in fields {
            bytes[*at..at + field.len()].copy_from_slice(field);
        }
        bytes
    }

    #[test]
    fn fields_count_only_with_their_features() {
        let all = [0xFF; CONFIG];
        let facts = Facts::of(0, &all).unwrap();
        assert_eq!((facts.blocks, facts.block_size, facts.pieces, facts.queues), (u64::MAX, 512, 1, 1));
        assert_eq!((facts.discard, facts.zeroes, facts.physical_exponent), (None, None, 0));
        assert_eq!(Facts::of(feature::BLK_SIZE, &all), Err(Failure::Unfit));
        let facts = Facts::of(KNOWN & !feature::BLK_SIZE, &all).unwrap();
        assert_eq!((facts.physical_exponent, facts.queues, facts.pieces), (15, u16::MAX, u32::MAX));
        assert_eq!(facts.discard.unwrap().count, RANGES as u32);
    }

    #[test]
    fn limits_count_in_blocks() {
        let capacity = 1_000_005_u64.to_le_bytes();
        let bytes = configuration(&[
            (0, &capacity),
            (20, &4096_u32.to_le_bytes()),
            (24, &[3, 1]),
            (36, &[80, 0, 0, 0, 2, 0, 0, 0, 16, 0, 0, 0]),
            (48, &[7, 0, 0, 0, 1, 0, 0, 0, 1]),
        ]);
        let features =
            feature::BLK_SIZE | feature::TOPOLOGY | feature::DISCARD | feature::WRITE_ZEROES | feature::RO;
        let facts = Facts::of(features, &bytes).unwrap();
        assert_eq!(
            (facts.blocks, facts.block_size, facts.read_only, facts.write_back),
            (125_000, 4096, true, false)
        );
        assert_eq!((facts.physical_exponent, facts.lowest_aligned), (3, 1));
        assert_eq!(facts.discard, Some(Ranges { blocks: 10, count: 2, granularity: 2, may_unmap: false }));
        assert_eq!(facts.zeroes, None, "less than a block is nothing");
    }

    #[test]
    fn a_piece_of_less_than_a_sector_is_no_disk() {
        let bytes = configuration(&[(8, &[0xFF, 1])]);
        assert_eq!(Facts::of(feature::SIZE_MAX, &bytes), Err(Failure::Unfit));
        assert_eq!(Facts::of(feature::SIZE_MAX, &[0; CONFIG]).unwrap().piece_bytes, u32::MAX);
        let facts = Facts::of(feature::SEG_MAX, &[0; CONFIG]).unwrap();
        assert_eq!((facts.pieces, facts.blocks), (1, 0));
    }
}
