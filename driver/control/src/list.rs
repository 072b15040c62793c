//! The list of disks.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::VERSION;

/// What a disk is to the driver.
#[allow(missing_docs, reason = "as in the driver: see its `DiskState`")]
pub mod state {
    pub const PLAIN: u32 = 0;
    pub const LOCKED: u32 = 1;
    pub const UNLOCKED: u32 = 2;
    pub const DAMAGED: u32 = 3;
    pub const UNREADABLE: u32 = 4;
    pub const REMOVED: u32 = 5;
}

/// Comes before the entries.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ListHeader {
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of an entry.
    pub entry_size: u32,
    /// Entries that follow.
    pub count: u32,
    /// Entries that there are; ask again with more room if it is more than `count`.
    pub total: u32,
}

/// One disk.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct DiskEntry {
    /// Its number, given by the driver and not used again while it is loaded.
    pub id: u32,
    /// See [`state`].
    pub state: u32,
    /// The volume's UUID, or zeros.
    pub uuid: [u8; 16],
    /// Bytes of the volume, or 0.
    pub volume_bytes: u64,
    /// Bytes of the disk, or 0 if it did not say.
    pub disk_bytes: u64,
    /// Bytes of a sector.
    pub sector_size: u32,
    /// Bit *n*: key slot *n* is in use.
    pub slots: u32,
    /// NTSTATUS of the last thing that went wrong with it, or 0.
    pub last_error: u32,
    /// UTF-16 units of `name` that are used.
    pub name_length: u32,
    /// The device's name.
    pub name: [u16; 64],
}

const _: () = assert!(size_of::<ListHeader>() == 16);
// 2*4 + 16 + 2*8 + 4*4 + 2*64
const _: () = assert!(size_of::<DiskEntry>() == 184);

/// Writes a list into a caller's buffer, as many entries as fit.
#[derive(Debug)]
pub struct ListWriter<'a> {
    buffer: &'a mut [u8],
    count: u32,
    total: u32,
}

impl<'a> ListWriter<'a> {
    /// An empty list; `None` if not even the header fits.
    pub fn new(buffer: &'a mut [u8]) -> Option<Self> {
        (buffer.len() >= size_of::<ListHeader>()).then_some(Self { buffer, count: 0, total: 0 })
    }

    /// Adds a disk, or counts it if there is no room.
    pub fn push(&mut self, entry: &DiskEntry) {
        self.total = self.total.saturating_add(1);
        let at = size_of::<ListHeader>() + self.count as usize * size_of::<DiskEntry>();
        let place = self.buffer.get_mut(at..).and_then(|rest| rest.get_mut(..size_of::<DiskEntry>()));
        if let Some(place) = place {
            place.copy_from_slice(entry.as_bytes());
            self.count += 1;
        }
    }

    /// Writes the header; answers the bytes of the list.
    pub fn finish(self) -> usize {
        let header = ListHeader {
            version: VERSION,
            entry_size: size_of::<DiskEntry>() as u32,
            count: self.count,
            total: self.total,
        };
        if let Some(place) = self.buffer.first_chunk_mut::<16>() {
            place.copy_from_slice(header.as_bytes());
        }
        size_of::<ListHeader>() + self.count as usize * size_of::<DiskEntry>()
    }
}

/// Reads a list: how many disks there are, and the entries that came. `None` if it is none of this version.
pub fn entries(list: &[u8]) -> Option<(u32, impl Iterator<Item = DiskEntry>)> {
    let (header, rest) = ListHeader::read_from_prefix(list).ok()?;
    if header.version != VERSION || header.entry_size as usize != size_of::<DiskEntry>() {
        return None;
    }
    let entries = rest.chunks_exact(size_of::<DiskEntry>()).take(header.count as usize);
    Some((header.total, entries.filter_map(|entry| DiskEntry::read_from_bytes(entry).ok())))
}
