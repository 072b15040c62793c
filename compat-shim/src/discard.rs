//! UNMAP as stages see it: an array of extents instead of a parameter list.
//!
//! The caller's list may change while we look at it, so it is first copied to the request's private memory:
//!
//! ```text
//!   | parameter list, as it came, later as the device gets it | extents, as the chain sees them |
//! ```

use core::slice;

use sluice_chain::{
    Segment,
    abi::Extent,
    bytes::{Source, Target},
};

use crate::{
    scsi::{
        cdb::BlockRange,
        unmap::{self, UnmapList},
    },
    spare::Held,
};

/// Private memory that a list of `length` bytes needs: itself, and no more extents than it has descriptors.
pub(crate) fn spare_bytes(length: u32) -> usize {
    2 * list_room(length as usize)
}

fn list_room(length: usize) -> usize {
    length.next_multiple_of(size_of::<Extent>()).max(unmap::HEADER.next_multiple_of(size_of::<Extent>()))
}

/// Turns the caller's list into extents in `held`; `None` if the list is not well-formed.
pub(crate) fn unpack(list: Segment, held: &mut Held) -> Option<Segment> {
    let room = list_room(list.length);
    let (copy, extents) = halves(held, list.length, room);
    let copy = &mut copy[..list.length];
    // SAFETY: the caller's list is mapped for as long as the request lasts.
    let source = unsafe { Source::from_raw(list.address, list.length) };
    Target::from(&mut *copy).copy_from(source);
    let list = UnmapList::parse(copy).ok()?;
    let count = list.len();
    for (extent, range) in extents.iter_mut().zip(list.ranges()) {
        *extent = Extent { sector: range.lba, count: u64::from(range.blocks) };
    }
    Some(Segment { address: extents.as_mut_ptr().cast(), length: count * size_of::<Extent>() })
}

/// Writes the extents back into the list; answers the list, or `None` if a stage has made them unfit for one.
pub(crate) fn pack(extents: Segment, held: &mut Held, length: usize) -> Option<Segment> {
    let (list, all) = halves(held, length, list_room(length));
    let count = extents.length / size_of::<Extent>();
    let mut fits = true;
    let ranges = all.iter().take(count).map(|extent| {
        let blocks = u32::try_from(extent.count);
        fits &= blocks.is_ok();
        BlockRange { lba: extent.sector, blocks: blocks.unwrap_or(0) }
    });
    let written = unmap::write(ranges, list)?;
    fits.then_some(Segment { address: list.as_mut_ptr(), length: usize::from(written) })
}

fn halves(held: &mut Held, length: usize, room: usize) -> (&mut [u8], &mut [Extent]) {
    let base = held.address();
    // SAFETY: `held` is private memory of at least `spare_bytes(length)` bytes, aligned to 8, and whoever has
    // the request has it alone. The two halves do not overlap. Any bytes are a valid `Extent`.
    unsafe {
        let list = slice::from_raw_parts_mut(base.as_ptr(), length.max(unmap::HEADER));
        let extents = base.add(room).cast::<Extent>();
        (list, slice::from_raw_parts_mut(extents.as_ptr(), room / size_of::<Extent>()))
    }
}
