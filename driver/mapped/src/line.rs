//! Requests in a line: each stands in it once at most, so the line never needs more room than it was made with.

use alloc::{collections::VecDeque, vec::Vec};

use crate::memory::{list, queue};

/// A line of slots.
pub(crate) struct Line {
    row: VecDeque<u32>,
    /// Whether each slot stands in it.
    stands: Vec<bool>,
}

impl Line {
    /// For slots below `count`. `None` when memory has run out.
    pub(crate) fn new(count: usize) -> Option<Self> {
        let mut stands = list(count)?;
        stands.resize(count, false);
        Some(Self { row: queue(count)?, stands })
    }

    /// Whether nobody stands in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.row.is_empty()
    }

    /// Those who stand in it, from the first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.row.iter().copied()
    }

    /// Goes to its end, unless it stands in it already.
    pub(crate) fn push(&mut self, slot: u32) {
        if let Some(stands) = self.stands.get_mut(slot as usize)
            && !core::mem::replace(stands, true)
        {
            self.row.push_back(slot);
        }
    }

    /// Who stands first leaves it.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        let slot = self.row.pop_front()?;
        if let Some(stands) = self.stands.get_mut(slot as usize) {
            *stands = false;
        }
        Some(slot)
    }

    /// Everybody goes over to the end of `other`.
    pub(crate) fn join(&mut self, other: &mut Self) {
        while let Some(slot) = self.pop() {
            other.push(slot);
        }
    }
}
