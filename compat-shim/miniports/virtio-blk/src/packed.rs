//! The packed ring (VIRTIO 1.2, 2.8): one ring of descriptors that both sides write, and two event structures.

use alloc::vec::Vec;
use core::sync::atomic::{
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

use crate::{
    memory::Part,
    ring::{Lied, Mode, Used, describe, passed},
    spec::ring::{AVAIL, DESCRIPTOR, EVENTS_DESC, EVENTS_DISABLE, EVENTS_ENABLE, NEXT, USED, WRITE},
    transport::Piece,
};

/// Fields of a descriptor (2.8.13).
const LENGTH: usize = 8;
const ID: usize = 12;
const FLAGS: usize = 14;

/// A place in the ring, and the wrap counter there.
#[derive(Clone, Copy, Debug)]
struct Place {
    index: u16,
    wrap: bool,
}

impl Place {
    const START: Self = Self { index: 0, wrap: true };

    /// `count` (at most `size`) further on.
    fn after(self, count: u16, size: u16) -> Self {
        let sum = self.index + count; // both at most 2^15
        if sum >= size { Self { index: sum - size, wrap: !self.wrap } } else { Self { index: sum, ..self } }
    }

    fn at(self) -> usize {
        usize::from(self.index) * DESCRIPTOR
    }
}

#[derive(Debug)]
pub(crate) struct Packed {
    mode: Mode,
    descriptors: Part,
    driver_event: Part,
    device_event: Part,
    /// By buffer: its descriptors, while the device has it.
    count: Vec<u16>,
    free: u16,
    available: Place,
    used: Place,
    /// Descriptors made available since the device was last told, or not.
    added: u16,
}

impl Packed {
    pub(crate) fn new(size: u16, [descriptors, driver_event, device_event]: [Part; 3]) -> Option<Self> {
        let mut count = Vec::new();
        count.try_reserve_exact(usize::from(size)).ok()?;
        count.resize(usize::from(size), 0);
        let mode = Mode { packed: true, event_index: false, size: 0 };
        let (available, used) = (Place::START, Place::START);
        Some(Self {
            mode,
            descriptors,
            driver_event,
            device_event,
            count,
            free: 0,
            available,
            used,
            added: 0,
        })
    }

    pub(crate) fn reset(&mut self, mode: Mode) {
        self.mode = mode;
        self.count.fill(0);
        (self.free, self.added) = (mode.size, 0);
        (self.available, self.used) = (Place::START, Place::START);
    }

    /// 2.8.21.1.
    pub(crate) fn add(&mut self, id: u16, pieces: &[Piece], flag: u16) -> bool {
        let count = pieces.len() as u16;
        let known = self.count.get(usize::from(id)) == Some(&0);
        if pieces.is_empty() || pieces.len() > usize::from(self.free) || !known {
            return false;
        }
        let head = self.available;
        let mut first = 0;
        let mut place = head;
        for (index, piece) in pieces.iter().enumerate() {
            let more = index + 1 < pieces.len();
            let flags = flag
                | if piece.writable { WRITE } else { 0 }
                | if more { NEXT } else { 0 }
                | if place.wrap { AVAIL } else { USED };
            describe(&self.descriptors, place.at(), piece);
            self.descriptors.store16(place.at() + ID, id, Relaxed);
            if index == 0 {
                first = flags;
            } else {
                self.descriptors.store16(place.at() + FLAGS, flags, Relaxed);
            }
            place = place.after(1, self.mode.size);
        }
        // The chain is available with its first descriptor, which comes last (2.8.21.1.1).
        self.descriptors.store16(head.at() + FLAGS, first, Release);
        self.available = place;
        self.free -= count;
        self.added = self.added.saturating_add(count);
        self.count[usize::from(id)] = count;
        true
    }

    /// 2.8.21.3, 2.8.10.
    pub(crate) fn must_notify(&mut self) -> bool {
        let added = core::mem::take(&mut self.added);
        if added == 0 {
            return false;
        }
        fence(SeqCst);
        let wish = self.device_event.load32(0, Relaxed);
        let (event, flags) = (wish as u16, (wish >> 16) as u16);
        if flags & 3 != EVENTS_DESC {
            return flags & 3 != EVENTS_DISABLE;
        }
        let mut index = event & 0x7FFF;
        if (event >> 15 == 1) != self.available.wrap {
            index = index.wrapping_sub(self.mode.size);
        }
        let new = self.available.index;
        passed(index, new, new.wrapping_sub(added))
    }

    fn has_used(&self) -> bool {
        if self.free == self.mode.size {
            return false; // nothing is out: whatever stands there is not a buffer of ours
        }
        let flags = self.descriptors.load16(self.used.at() + FLAGS, Acquire);
        let (available, used) = (flags & AVAIL != 0, flags & USED != 0);
        available == used && used == self.used.wrap
    }

    /// 2.8.22.
    pub(crate) fn take(&mut self) -> Result<Option<Used>, Lied> {
        if !self.has_used() {
            return Ok(None);
        }
        let id = self.descriptors.load16(self.used.at() + ID, Relaxed);
        let length = self.descriptors.load32(self.used.at() + LENGTH, Relaxed);
        let count = match self.count.get_mut(usize::from(id)) {
            Some(count) if *count > 0 => core::mem::take(count),
            _ => return Err(Lied),
        };
        self.free += count;
        self.used = self.used.after(count, self.mode.size);
        Ok(Some(Used { id, length }))
    }

    pub(crate) fn watch(&mut self) -> bool {
        let event = self.used.index | u16::from(self.used.wrap) << 15;
        let flags = if self.mode.event_index { EVENTS_DESC } else { EVENTS_ENABLE };
        self.driver_event.store32(0, u32::from(flags) << 16 | u32::from(event), Relaxed);
        fence(SeqCst);
        self.has_used()
    }

    pub(crate) fn rest(&mut self) {
        self.driver_event.store32(0, u32::from(EVENTS_DISABLE) << 16, Relaxed);
    }
}
