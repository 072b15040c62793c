//! A queue's ring, of either kind: buffers out, buffers back.
//!
//! What a ring has given out it keeps account of in memory of its own. The device's words are compared with that account
//! and never used without: the two together are all that a device which lies can reach.

use crate::{
    memory::Part,
    packed::Packed,
    spec::ring::{DESCRIPTOR, INDIRECT, NEXT, WRITE},
    split::Split,
    transport::{Piece, Rings},
};
use core::sync::atomic::Ordering::Relaxed;

/// The device has said what cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lied;

/// A buffer that the device has given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    /// As it was given out.
    pub(crate) id: u16,
    /// Bytes that the device says it wrote.
    pub(crate) length: u32,
}

/// How a ring is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) packed: bool,
    pub(crate) event_index: bool,
    pub(crate) size: u16,
}

/// Both kinds, of which one is in use. Memory for both is there from the start, because a reset may change the kind.
#[derive(Debug)]
pub(crate) struct Ring {
    mode: Mode,
    split: Split,
    packed: Packed,
    areas: [Part; 3],
}

impl Ring {
    /// For up to `size` descriptors in three areas (see [`lengths`]). `None` when memory has run out.
    pub(crate) fn new(size: u16, areas: [Part; 3]) -> Option<Self> {
        let mode = Mode { packed: false, event_index: false, size: 0 };
        Some(Self { mode, split: Split::new(size, areas)?, packed: Packed::new(size, areas)?, areas })
    }

    /// Empty again. The device does not see the memory at this time.
    pub(crate) fn reset(&mut self, mode: Mode) {
        self.mode = mode;
        for area in self.areas {
            area.clear();
        }
        if mode.packed { self.packed.reset(mode) } else { self.split.reset(mode) }
    }

    /// For the transport.
    pub(crate) fn rings(&self) -> Rings {
        let [descriptors, driver, device] = self.areas;
        Rings { size: self.mode.size, packed: self.mode.packed, descriptors, driver, device }
    }

    /// Gives out the buffer `id`: through `table` if there is one. `false`: there is no room.
    pub(crate) fn add(&mut self, id: u16, pieces: &[Piece], table: Option<&Part>) -> bool {
        let whole;
        let (pieces, flag) = match table {
            None => (pieces, 0),
            Some(table) => {
                fill(table, pieces, self.mode.packed);
                let length = (pieces.len() * DESCRIPTOR) as u32;
                whole = [Piece { address: table.device(), length, writable: false }];
                (&whole[..], INDIRECT)
            }
        };
        if self.mode.packed { self.packed.add(id, pieces, flag) } else { self.split.add(id, pieces, flag) }
    }

    /// Whether the device must be told of what has been added since the last time this was asked.
    pub(crate) fn must_notify(&mut self) -> bool {
        if self.mode.packed { self.packed.must_notify() } else { self.split.must_notify() }
    }

    /// The next buffer that the device has given back.
    pub(crate) fn take(&mut self) -> Result<Option<Used>, Lied> {
        if self.mode.packed { self.packed.take() } else { self.split.take() }
    }

    /// Asks for an interrupt at the next buffer given back. `true`: one has been given back meanwhile.
    pub(crate) fn watch(&mut self) -> bool {
        if self.mode.packed { self.packed.watch() } else { self.split.watch() }
    }

    /// Asks for no interrupts, as far as the device listens.
    pub(crate) fn rest(&mut self) {
        if self.mode.packed { self.packed.rest() } else { self.split.rest() }
    }
}

/// Bytes of the three areas of a ring of `size`, for the longer of the two kinds (2.7, 2.8), each aligned to 16.
pub(crate) const fn lengths(size: u16) -> [usize; 3] {
    let size = size as usize;
    [DESCRIPTOR * size, 6 + 2 * size, 6 + 8 * size]
}

/// Whether an event at `event` lies among those after `old`, up to `new` (2.7.10).
pub(crate) fn passed(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

/// An indirect table (2.7.5.3, 2.8.7).
fn fill(table: &Part, pieces: &[Piece], packed: bool) {
    for (index, piece) in pieces.iter().enumerate() {
        let at = index * DESCRIPTOR;
        let more = !packed && index + 1 < pieces.len();
        let flags = if piece.writable { WRITE } else { 0 } | if more { NEXT } else { 0 };
        describe(table, at, piece);
        // Split: flags, next. Packed: id, flags.
        let (flags_at, other, value) = if packed { (14, 12, 0) } else { (12, 14, index as u16 + 1) };
        table.store16(at + flags_at, flags, Relaxed);
        table.store16(at + other, if more || packed { value } else { 0 }, Relaxed);
    }
}

/// Address and length of a descriptor, which lie alike in both kinds.
pub(crate) fn describe(descriptors: &Part, at: usize, piece: &Piece) {
    descriptors.store64(at, piece.address.0, Relaxed);
    descriptors.store32(at + 8, piece.length, Relaxed);
}
