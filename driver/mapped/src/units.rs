//! Numbers that may not be taken for one another.

/// Bytes of a logical block, of a chunk before compression, and of a metadata page.
pub const BLOCK: usize = 4096;
/// Bytes of the smallest piece a device writes whole.
pub const SECTOR: usize = 512;

/// A block of the volume as its user sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block(pub u64);

/// A stored chunk: its number in the table. Below 2^40 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chunk(pub u64);

impl Chunk {
    /// In the map, what no chunk can have: what the block held is lost, and its block can be written and discarded.
    pub const LOST: Self = Self((1 << 40) - 2);
}

/// A segment of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment(pub u32);

/// The number of a journal frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// A byte of the device. Below 2^48.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub u64);

/// What identifies, checks and tweaks something stored: see [`crate::seal`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tag(pub [u8; 16]);

/// How a chunk's bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All 4096 of them as they are.
    Plain,
    /// A zstd frame without its magic number.
    Zstd,
}

/// Where a chunk lies: `length` bytes from `address`, in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First byte.
    pub address: Address,
    /// Bytes stored, 1 to 4096.
    pub length: u16,
    /// How.
    pub kind: Kind,
}
