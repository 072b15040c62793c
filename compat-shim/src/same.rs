//! WRITE SAME as stages see it: a write like any other, of private memory.

use sluice_chain::{
    Segment,
    bytes::{Source, Target},
};

use crate::spare::Held;

/// Fills `held` with copies of the caller's sector, or with zeros if there is none. Of `length` bytes, which `held` has.
pub(crate) fn expand(sector: Segment, sector_size: u32, length: u32, held: &mut Held) -> Segment {
    let (size, length) = (sector_size as usize, (length as usize).min(held.size()));
    let address = held.address().as_ptr();
    // SAFETY: `held` is private memory, and whoever has the request has it alone. The caller's sector is mapped for as
    // long as the request lasts, and read once: it may change meanwhile.
    let (mut whole, source) = unsafe {
        let source = Source::from_raw(sector.address, sector.length.min(size));
        (Target::from_raw(address, length), source)
    };
    if source.len() < size || length < size {
        whole.clear();
        return Segment { address, length };
    }
    let Some((mut first, mut rest)) = whole.split_at(size) else { return Segment { address, length } };
    first.copy_from(source);
    while !rest.is_empty() {
        let count = rest.len().min(size);
        let Some((mut next, others)) = rest.split_at(count) else { break };
        next.copy_from(first.as_source());
        rest = others;
    }
    Segment { address, length }
}
