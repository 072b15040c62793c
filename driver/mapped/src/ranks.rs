//! Segments that are worth cleaning, ranked by how much in them is live: the one with the least is found without looking at all
//! of them, of which a volume may have millions.

use alloc::vec::Vec;

use crate::{
    memory::{list, several},
    units::Segment,
};

/// Ranks: of a segment of 4 MiB, some 16 KiB lie between one and the next, so that few of the changes in a segment change its rank.
const RANKS: u64 = 256;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Link {
    /// `NONE` if it has no rank.
    rank: u32,
    before: u32,
    after: u32,
}

/// A list of segments for each rank.
pub(crate) struct Ranks {
    first: Vec<u32>,
    links: Vec<Link>,
    segment_bytes: u64,
}

impl Ranks {
    /// None has a rank. `None` when memory has run out.
    pub(crate) fn new(segments: usize, segment_bytes: u64) -> Option<Self> {
        let mut links = list(segments)?;
        links.resize(segments, Link { rank: NONE, before: NONE, after: NONE });
        Some(Self { first: several(RANKS as usize, || Some(NONE))?, links, segment_bytes })
    }

    /// A segment has so many live bytes, or is not worth cleaning.
    pub(crate) fn set(&mut self, segment: Segment, live: Option<u32>) {
        let last = RANKS - 1;
        let rank = live.map_or(NONE, |live| (u64::from(live) * RANKS / self.segment_bytes).min(last) as u32);
        let Link { rank: old, before, after } = self.links[segment.0 as usize];
        if rank == old {
            return;
        }
        if old != NONE {
            match before {
                NONE => self.first[old as usize] = after,
                before => self.links[before as usize].after = after,
            }
            if after != NONE {
                self.links[after as usize].before = before;
            }
        }
        let mut next = NONE;
        if rank != NONE {
            next = core::mem::replace(&mut self.first[rank as usize], segment.0);
            if next != NONE {
                self.links[next as usize].before = segment.0;
            }
        }
        self.links[segment.0 as usize] = Link { rank, before: NONE, after: next };
    }

    /// The segments of each rank, in no order, the least first.
    pub(crate) fn each(&self) -> impl Iterator<Item = impl Iterator<Item = Segment> + '_> + '_ {
        let link = |at: u32| (at != NONE).then_some(at);
        self.first.iter().filter_map(move |first| link(*first)).map(move |first| {
            core::iter::successors(Some(first), move |at| link(self.links[*at as usize].after)).map(Segment)
        })
    }
}
