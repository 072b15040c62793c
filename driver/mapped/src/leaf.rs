//! Entries of the three trees' leaves. Little-endian; what does not fill a page stays zero.

use crate::units::{Address, BLOCK, Chunk, Kind, Place, Tag};

/// A metadata page.
pub(crate) type Page = [u8; BLOCK];

/// Entries of a leaf of the map: 5 bytes each.
pub(crate) const MAP_ENTRIES: u64 = 816;
/// Entries of a leaf of the table: 28 bytes each.
pub(crate) const TABLE_ENTRIES: u64 = 146;
/// Entries of a leaf of the space tree: 4 bytes each.
pub(crate) const SPACE_ENTRIES: u64 = 1024;
/// References of an inner page: 24 bytes each.
pub(crate) const FANOUT: u64 = 170;

/// In an entry of the table, beside length and kind. Who does not know it takes it for an unknown kind.
const SUSPECT: u16 = 1 << 15;

const _: () = {
    assert!(MAP_ENTRIES as usize * 5 <= BLOCK && TABLE_ENTRIES as usize * 28 <= BLOCK);
    assert!(SPACE_ENTRIES as usize * 4 <= BLOCK && FANOUT as usize * 24 <= BLOCK);
};

/// Where a page lies and what it must be. A null reference is a page of zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ref {
    /// First byte; 0 if null.
    pub address: Address,
    /// Its tag.
    pub tag: Tag,
}

/// A chunk as the table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of its 4096 bytes.
    pub tag: Tag,
    /// Where it lies.
    pub place: Place,
    /// Blocks of the map that lead to it; never 0 in an `Entry`.
    pub references: u32,
    /// It has been found damaged: no other block is led to it.
    pub suspect: bool,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(&bytes[at..at + N]);
    u64::from_le_bytes(wide)
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + N].copy_from_slice(&value.to_le_bytes()[..N]);
}

/// Which chunk the map names in entry `i`.
pub(crate) fn map(page: &Page, i: u64) -> Option<Chunk> {
    number::<5>(page, i as usize * 5).checked_sub(1).map(Chunk)
}

/// Changes entry `i` of the map.
pub(crate) fn set_map(page: &mut Page, i: u64, chunk: Option<Chunk>) {
    put::<5>(page, i as usize * 5, chunk.map_or(0, |chunk| chunk.0 + 1));
}

/// Entry `i` of the table, unless it is free.
pub(crate) fn table(page: &Page, i: u64) -> Option<Entry> {
    let at = i as usize * 28;
    let references = number::<4>(page, at + 24) as u32;
    if references == 0 {
        return None;
    }
    let mut tag = Tag::default();
    tag.0.copy_from_slice(&page[at..at + 16]);
    let packed = number::<2>(page, at + 22) as u16;
    Some(Entry {
        tag,
        place: unpack(number::<6>(page, at + 16), packed & !SUSPECT),
        references,
        suspect: packed & SUSPECT != 0,
    })
}

/// Changes entry `i` of the table.
pub(crate) fn set_table(page: &mut Page, i: u64, entry: Option<Entry>) {
    let at = i as usize * 28;
    let Some(entry) = entry else {
        page[at..at + 28].fill(0);
        return;
    };
    page[at..at + 16].copy_from_slice(&entry.tag.0);
    put::<6>(page, at + 16, entry.place.address.0);
    let suspect = if entry.suspect { SUSPECT } else { 0 };
    put::<2>(page, at + 22, u64::from(pack(&entry.place) | suspect));
    put::<4>(page, at + 24, u64::from(entry.references));
}

/// Length and kind of a place in 16 bits: length - 1 in the lower twelve, kind above.
pub(crate) fn pack(place: &Place) -> u16 {
    let kind = match place.kind {
        Kind::Plain => 0,
        Kind::Zstd => 1,
    };
    (place.length.wrapping_sub(1) & 0xfff) | kind << 12
}

/// The reverse of [`pack`]. Unknown kinds become [`Kind::Plain`], whose tag will not fit.
pub(crate) fn unpack(address: u64, packed: u16) -> Place {
    let kind = if packed >> 12 == 1 { Kind::Zstd } else { Kind::Plain };
    Place { address: Address(address), length: (packed & 0xfff) + 1, kind }
}

/// Live bytes of the segment in entry `i`.
pub(crate) fn space(page: &Page, i: u64) -> u32 {
    number::<4>(page, i as usize * 4) as u32
}

/// Changes entry `i` of the space tree.
pub(crate) fn set_space(page: &mut Page, i: u64, live: u32) {
    put::<4>(page, i as usize * 4, u64::from(live));
}

/// Reference `i` of an inner page.
pub(crate) fn child(page: &Page, i: u64) -> Ref {
    let at = i as usize * 24;
    let mut tag = Tag::default();
    tag.0.copy_from_slice(&page[at + 8..at + 24]);
    Ref { address: Address(number::<8>(page, at)), tag }
}

/// Changes reference `i` of an inner page.
pub(crate) fn set_child(page: &mut Page, i: u64, to: Ref) {
    let at = i as usize * 24;
    put::<8>(page, at, to.address.0);
    page[at + 8..at + 24].copy_from_slice(&to.tag.0);
}
