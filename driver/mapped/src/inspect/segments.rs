//! Segments as they lie on the disk: what is recorded of them, and what is in them.

use core::ops::ControlFlow;

use super::{Health, Inspector, Loss, PageName};
use crate::{
    cache::PageKey,
    extent::{HEADER, Holds, Item, Parsed},
    units::{Address, BLOCK, Chunk, Segment},
};

/// A segment: what is recorded, and what its extents say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLine {
    /// Which.
    pub segment: Segment,
    /// Its first byte.
    pub address: Address,
    /// Live bytes of chunks: the space tree's word.
    pub chunk_bytes: Result<u32, Loss>,
    /// Live bytes of pages, from the list of segments that hold any; `None` if that is not good.
    pub page_bytes: Option<u32>,
    /// What its first extent holds, if there is one: the segment may have been free since.
    pub holds: Option<Holds>,
    /// The generation of that extent,
    pub generation: Option<u64>,
    /// how many of the same follow one another from the segment's beginning,
    pub extents: u32,
    /// and their bytes.
    pub filled: u64,
}

/// An extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtentLine {
    /// Its first byte.
    pub address: Address,
    /// Its length.
    pub bytes: u64,
    /// What it holds.
    pub holds: Holds,
    /// Of the segment's filling that it belongs to.
    pub generation: u64,
    /// How many items it says it has.
    pub items: u64,
}

/// What an item of an extent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A chunk.
    Chunk(Chunk),
    /// A page.
    Page(PageName),
    /// The list of segments that hold pages.
    List,
    /// A number that no page has.
    Unknown(u64),
}

/// An item of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemLine {
    /// What it is.
    pub item: Stored,
    /// Its first byte.
    pub address: Address,
    /// Its length.
    pub bytes: u64,
    /// If something in the trees leads here, how it was found; `None`: nothing does, any more or yet. An error: that cannot
    /// be said.
    pub live: Result<Option<Health>, Loss>,
}

/// What lies in a segment, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An extent; its items follow.
    Extent(ExtentLine),
    /// An item of the extent before.
    Item(ItemLine),
    /// Sectors with which no extent begins: never filled, left over, or damaged.
    Gap {
        /// The first byte.
        address: Address,
        /// How many.
        bytes: u64,
        /// Whether the device could not read them.
        unreadable: bool,
    },
}

impl Inspector<'_> {
    /// Every segment. Of extents only headers and lists are read.
    pub fn segments<B>(&mut self, mut see: impl FnMut(SegmentLine) -> ControlFlow<B>) -> ControlFlow<B> {
        for segment in (0..self.layout.segments).map(Segment) {
            let line = self.segment_line(segment);
            see(line)?;
        }
        ControlFlow::Continue(())
    }

    fn segment_line(&mut self, segment: Segment) -> SegmentLine {
        let address = self.layout.segment_start(segment);
        let mut line = SegmentLine {
            segment,
            address,
            chunk_bytes: self.live(segment),
            page_bytes: self.page_bytes(segment),
            holds: None,
            generation: None,
            extents: 0,
            filled: 0,
        };
        let whole = self.layout.segment_bytes;
        while let Ok(Some(parsed)) = self.extent_at(Address(address.0 + line.filled), whole - line.filled) {
            if parsed.generation != *line.generation.get_or_insert(parsed.generation) {
                break;
            }
            line.holds.get_or_insert(parsed.holds);
            line.extents += 1;
            line.filled += parsed.total as u64;
        }
        line
    }

    fn page_bytes(&self, segment: Segment) -> Option<u32> {
        let list = self.trees.as_ref().ok()?.page_segments.as_ref().ok()?;
        let found = list.binary_search_by_key(&segment.0, |(segment, _)| *segment);
        Some(found.ok().and_then(|at| list.get(at)).map_or(0, |(_, live)| *live))
    }

    /// Everything in a segment: extents that follow one another, and any found behind what is none. Live items are read and
    /// compared with their tags. Nothing if there is no such segment.
    pub fn segment<B>(
        &mut self,
        segment: Segment,
        mut see: impl FnMut(Part) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if segment.0 >= self.layout.segments {
            return ControlFlow::Continue(());
        }
        let start = self.layout.segment_start(segment);
        let end = start.0 + self.layout.segment_bytes;
        let sector = u64::from(self.layout.sector);
        let mut at = start.0;
        let mut gap: Option<(u64, bool)> = None;
        while at < end {
            let found = self.extent_at(Address(at), end - at);
            let unreadable = found.is_err();
            let ended = gap.filter(|(_, was)| matches!(found, Ok(Some(_))) || *was != unreadable);
            if let Some((from, unreadable)) = ended {
                see(Part::Gap { address: Address(from), bytes: at - from, unreadable })?;
                gap = None;
            }
            let Ok(Some(parsed)) = found else {
                gap.get_or_insert((at, unreadable));
                at += sector;
                continue;
            };
            self.extent(Address(at), &parsed, &mut see)?;
            at += parsed.total as u64;
        }
        match gap {
            Some((from, unreadable)) => {
                see(Part::Gap { address: Address(from), bytes: end - from, unreadable })
            }
            None => ControlFlow::Continue(()),
        }
    }

    fn extent<B>(
        &mut self,
        address: Address,
        parsed: &Parsed,
        see: &mut impl FnMut(Part) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        see(Part::Extent(ExtentLine {
            address,
            bytes: parsed.total as u64,
            holds: parsed.holds,
            generation: parsed.generation,
            items: parsed.count() as u64,
        }))?;
        let mut cursor = parsed.start();
        while let Some(item) = parsed.next(&mut cursor) {
            let line = self.item(address, parsed.holds, &item);
            see(Part::Item(line))?;
        }
        ControlFlow::Continue(())
    }

    fn item(&mut self, extent: Address, holds: Holds, item: &Item) -> ItemLine {
        let address = Address(extent.0 + item.at as u64);
        let (stored, live) = match holds {
            Holds::Chunks => {
                let chunk = Chunk(item.number);
                let live = self.entry(chunk).map(|entry| {
                    let leads = |entry: &crate::leaf::Entry| {
                        entry.place.address == address && usize::from(entry.place.length) == item.length
                    };
                    entry.filter(leads).map(|entry| self.chunk_health(&entry))
                });
                (Stored::Chunk(chunk), live)
            }
            Holds::Pages => match PageKey::from_raw(item.number) {
                Some(key) => {
                    let page = PageName { tree: key.tree(), level: key.level(), index: key.index() };
                    let line = self.page(page);
                    let live = line.map(|line| {
                        let leads = item.length == BLOCK;
                        line.filter(|line| line.at.address == address && leads).map(|line| line.health)
                    });
                    (Stored::Page(page), live)
                }
                None => (Stored::Unknown(item.number), Ok(None)),
            },
            Holds::List => {
                let root = self.trees.as_ref().map(|trees| trees.root.list).map_err(|_| Loss::NoRoot);
                (Stored::List, root.map(|list| (list == address).then(|| self.list())))
            }
        };
        ItemLine { item: stored, address, bytes: item.length as u64, live }
    }

    /// The extent that begins at a place with `room` bytes behind it, if one does. Reads its header and its list, not what
    /// it holds. An error if the device cannot read them.
    fn extent_at(&mut self, address: Address, room: u64) -> Result<Option<Parsed>, ()> {
        let Self { disk, layout, sealer, extent, .. } = self;
        let sector = layout.sector as usize;
        let length = extent.len().min(room as usize);
        let bytes = &mut extent[..length];
        let Some(first) = bytes.get_mut(..sector) else { return Ok(None) };
        disk.read(address.0, first).map_err(|_| ())?;
        let word = |bytes: &[u8], at: usize| {
            bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes) as usize
        };
        let (at, list) = (word(bytes, 28), word(bytes, 32));
        let Some(end) = at.checked_add(list).filter(|&end| at >= HEADER && end <= length) else {
            return Ok(None);
        };
        // Whole sectors; the first is there.
        let (from, to) = ((at / sector * sector).max(sector), end.next_multiple_of(sector));
        if let Some(rest) = bytes.get_mut(from..to).filter(|rest| !rest.is_empty()) {
            disk.read(address.0 + from as u64, rest).map_err(|_| ())?;
        }
        let mut parsed = Parsed::empty();
        let found = parsed.as_mut().and_then(|parsed| parsed.read(sealer, address, bytes, sector));
        Ok(found.and(parsed))
    }
}
