//! Extents: what a segment is filled with. Header, items, and the list of what the items are.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 16 | tag of the rest of the header and the list; the context is the extent's address |
//! | 16 | 8 | generation of the segment |
//! | 24 | 4 | bytes of the extent, whole sectors |
//! | 28 | 4 | where the list begins |
//! | 32 | 4 | bytes of the list |
//! | 36 | 4 | items |
//! | 40 | 4 | 1 chunks, 2 pages, 3 the list of page segments |
//! | 44 | 4 | zero |
//!
//! Chunks follow the header; pages begin on the next sector. The list, sealed like everything else, holds for each
//! item the difference of its number to the one before, and its length.

use alloc::{sync::Arc, vec::Vec};

use crate::{
    limits::LIST,
    memory::list,
    seal::{Domain, Sealer},
    units::{Address, Tag},
    varint,
};

/// Bytes of an extent's header.
pub(crate) const HEADER: usize = 48;
/// What the list can need for one more item, and its padding.
const LIST_ITEM: usize = 2 * varint::MOST + 16;

/// What an extent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Chunks, packed to the byte.
    Chunks = 1,
    /// Metadata pages.
    Pages = 2,
    /// One item: the list of page segments, which the root record refers to.
    List = 3,
}

/// An extent that is being filled.
pub(crate) struct Filling {
    pub(crate) address: Address,
    pub(crate) holds: Holds,
    /// Unique until finished.
    data: Arc<[u8]>,
    capacity: usize,
    used: usize,
    list: Vec<u8>,
    count: u32,
    last: u64,
}

impl Filling {
    /// An empty extent at `address`, of at most `capacity` bytes, in `data`.
    pub(crate) fn new(
        address: Address,
        holds: Holds,
        data: Arc<[u8]>,
        capacity: usize,
        sector: usize,
        list: Vec<u8>,
    ) -> Self {
        let used = if holds == Holds::Pages { sector } else { HEADER };
        let capacity = capacity.min(data.len());
        Self { address, holds, data, capacity, used, list, count: 0, last: 0 }
    }

    /// Whether another item of `bytes` fits, and the list has room to say so.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let list = self.list.len() + LIST_ITEM;
        self.used + bytes + list <= self.capacity && list <= self.list.capacity()
    }

    /// Whether anything is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where the next item will lie.
    pub(crate) fn next(&self) -> Address {
        Address(self.address.0 + self.used as u64)
    }

    /// Adds an item, to be sealed where it lies now. `None` if it does not fit.
    pub(crate) fn push(&mut self, number: u64, bytes: &[u8]) -> Option<&mut [u8]> {
        if !self.has_room(bytes.len()) {
            return None;
        }
        let at = self.used;
        self.used += bytes.len();
        self.count += 1;
        varint::put(&mut self.list, varint::zigzag(number.wrapping_sub(self.last) as i64));
        varint::put(&mut self.list, bytes.len() as u64);
        self.last = number;
        let item = &mut Arc::get_mut(&mut self.data)?[at..at + bytes.len()];
        item.copy_from_slice(bytes);
        Some(item)
    }

    /// What lies at `address`, if it is in here.
    pub(crate) fn get(&self, address: Address, length: usize) -> Option<&[u8]> {
        slice(&self.data[..self.used], self.address, address, length)
    }

    /// Gives the memory back of an extent in which nothing is.
    pub(crate) fn abandon(self) -> (Arc<[u8]>, Vec<u8>) {
        (self.data, self.list)
    }

    /// Writes header and list. Answers the data, its length, and the list's memory for the next.
    pub(crate) fn finish(
        mut self,
        sealer: &Sealer,
        generation: u64,
        sector: usize,
    ) -> Option<(Arc<[u8]>, usize, Vec<u8>)> {
        while self.list.len() < 16 {
            self.list.push(0);
        }
        let (at, length) = (self.used, self.list.len());
        let total = (at + length).next_multiple_of(sector);
        let data = Arc::get_mut(&mut self.data)?;
        data[16..24].copy_from_slice(&generation.to_le_bytes());
        for (i, value) in
            [total as u32, at as u32, length as u32, self.count, self.holds as u32, 0].into_iter().enumerate()
        {
            data[24 + 4 * i..28 + 4 * i].copy_from_slice(&value.to_le_bytes());
        }
        if self.holds == Holds::Pages {
            data[HEADER..sector].fill(0);
        }
        let tag = sealer.tag(Domain::Extent, self.address.0, &[&data[16..HEADER], &self.list]);
        data[..16].copy_from_slice(&tag.0);
        sealer.seal(&tag, &mut self.list);
        data[at..at + length].copy_from_slice(&self.list);
        data[at + length..total].fill(0);
        self.list.clear();
        Some((self.data, total, self.list))
    }
}

/// A finished extent.
pub(crate) struct Closed {
    pub(crate) address: Address,
    pub(crate) length: usize,
    pub(crate) data: Arc<[u8]>,
}

impl Closed {
    /// What lies at `address`, if it is in here.
    pub(crate) fn get(&self, address: Address, length: usize) -> Option<&[u8]> {
        slice(&self.data[..self.length], self.address, address, length)
    }
}

/// `length` bytes at `address` out of bytes that begin at `start`.
fn slice(bytes: &[u8], start: Address, address: Address, length: usize) -> Option<&[u8]> {
    let at = usize::try_from(address.0.checked_sub(start.0)?).ok()?;
    bytes.get(at..at.checked_add(length)?)
}

/// An extent read back: its items' list, opened. Its memory serves for one after the other.
pub(crate) struct Parsed {
    pub(crate) holds: Holds,
    pub(crate) generation: u64,
    /// Bytes of the whole extent.
    pub(crate) total: usize,
    list: Vec<u8>,
    count: u32,
    first: usize,
}

/// One item: its number, where it begins in the extent, its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) number: u64,
    pub(crate) at: usize,
    pub(crate) length: usize,
}

/// How far in an extent's items one is: the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Items left, as far as the header knows.
    left: u32,
    /// Where in the list it stands.
    list: usize,
    /// The number of the item before, and where in the extent it ended.
    number: u64,
    at: usize,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

impl Parsed {
    /// None yet. `None` when memory has run out.
    pub(crate) fn empty() -> Option<Self> {
        Some(Self { holds: Holds::Chunks, generation: 0, total: 0, list: list(LIST)?, count: 0, first: 0 })
    }

    /// Reads what `bytes`, from `address` on, begin with. `None` if that is no extent.
    pub(crate) fn read(
        &mut self,
        sealer: &Sealer,
        address: Address,
        bytes: &[u8],
        sector: usize,
    ) -> Option<()> {
        let header = bytes.get(..HEADER)?;
        let mut tag = Tag::default();
        tag.0.copy_from_slice(&header[..16]);
        let generation = u64::from_le_bytes(header[16..24].try_into().ok()?);
        let [total, at, length] =
            [word(header, 24)?, word(header, 28)?, word(header, 32)?].map(|x| x as usize);
        let holds = match word(header, 40)? {
            1 => Holds::Chunks,
            2 => Holds::Pages,
            3 => Holds::List,
            _ => return None,
        };
        let end = at.checked_add(length)?;
        if total > bytes.len() || !total.is_multiple_of(sector) || end > total {
            return None;
        }
        if !(16..=LIST).contains(&length) {
            return None;
        }
        self.list.clear();
        self.list.extend_from_slice(&bytes[at..end]);
        sealer.open(&tag, &mut self.list);
        if !sealer.matches(&tag, Domain::Extent, address.0, &[&header[16..], &self.list]) {
            return None;
        }
        (self.holds, self.generation, self.total) = (holds, generation, total);
        self.count = word(header, 36)?;
        self.first = if holds == Holds::Pages { sector } else { HEADER };
        Some(())
    }

    /// How many items it can have at most: each takes two bytes of the list.
    pub(crate) fn count(&self) -> usize {
        (self.count as usize).min(self.list.len() / 2)
    }

    /// In front of its first item.
    pub(crate) fn start(&self) -> Cursor {
        Cursor { left: self.count, list: 0, number: 0, at: self.first }
    }

    /// The item that `cursor` is in front of, and moves behind. `None`: there is no more, or the list is too short.
    pub(crate) fn next(&self, cursor: &mut Cursor) -> Option<Item> {
        cursor.left = cursor.left.checked_sub(1)?;
        let mut rest = self.list.get(cursor.list..)?;
        cursor.number = cursor.number.wrapping_add(varint::unzigzag(varint::take(&mut rest)?) as u64);
        let length = usize::try_from(varint::take(&mut rest)?).ok().filter(|&length| length <= self.total)?;
        let item = Item { number: cursor.number, at: cursor.at, length };
        cursor.list = self.list.len() - rest.len();
        cursor.at += length;
        (cursor.at <= self.total).then_some(item)
    }
}
