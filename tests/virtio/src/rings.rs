//! The device's side of a ring (2.7, 2.8).

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use sluice_miniport_virtio_blk::{memory::Part, transport::Rings};

use crate::memory::Memory;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// A piece of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Its device address.
    pub address: u64,
    /// Its length.
    pub length: u32,
    /// It may be written.
    pub writable: bool,
}

/// A buffer that the driver has made available.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The head's index, or the buffer's identifier.
    pub id: u16,
    /// Descriptors on a packed ring.
    pub count: u16,
    /// Its pieces.
    pub segments: Vec<Segment>,
}

/// A ring that has been set up.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) rings: Rings,
    event_index: bool,
    /// A driver that breaks the rules is a failed test; else the memory may hold anything.
    strict: bool,
    /// Next to be looked at, and its wrap counter.
    available: (u16, bool),
    used: (u16, bool),
    /// Where the driver was last told of something.
    told: (u16, bool),
}

fn descriptor(table: &Part, index: u16) -> Option<(Segment, u16, u16)> {
    let at = table.part(usize::from(index) * 16, 16)?;
    let (first, second) = (at.load16(12, Relaxed), at.load16(14, Relaxed));
    let segment = Segment { address: at.load64(0, Relaxed), length: at.load32(8, Relaxed), writable: false };
    Some((segment, first, second))
}

impl Side {
    pub(crate) fn new(rings: Rings, event_index: bool, strict: bool) -> Self {
        let start = (0, rings.packed);
        Self { rings, event_index, strict, available: start, used: start, told: start }
    }

    /// Takes the next buffer.
    pub(crate) fn pop(&mut self, memory: &Memory) -> Option<Chain> {
        if self.rings.packed { self.pop_packed(memory) } else { self.pop_split(memory) }
    }

    fn pop_split(&mut self, memory: &Memory) -> Option<Chain> {
        let Rings { size, descriptors, driver, .. } = self.rings;
        if driver.load16(2, Acquire) == self.available.0 {
            return None;
        }
        let id = driver.load16(4 + 2 * usize::from(self.available.0 % size), Relaxed);
        self.available.0 = self.available.0.wrapping_add(1);
        let (mut table, mut index, mut limit) = (descriptors, id, size);
        let mut segments = Vec::new();
        let mut tables = 0;
        while let Some((segment, flags, next)) = descriptor(&table, index) {
            if flags & INDIRECT != 0 {
                tables += 1;
                let Some(inner) = self.table(&segment, memory).filter(|_| tables == 1) else {
                    self.wrong("a table in a table, or in no memory (2.7.5.3)");
                    break;
                };
                table = inner;
                (index, limit) = (0, (segment.length / 16) as u16);
                continue;
            }
            segments.push(Segment { writable: flags & WRITE != 0, ..segment });
            if segments.len() > usize::from(limit) {
                self.wrong("a chain in a circle");
                break;
            }
            if flags & NEXT == 0 {
                break;
            }
            index = next;
        }
        Some(Chain { id, count: 1, segments })
    }

    fn pop_packed(&mut self, memory: &Memory) -> Option<Chain> {
        let Rings { size, descriptors, .. } = self.rings;
        let (first, wrap) = self.available;
        let flags = descriptors.load16(usize::from(first) * 16 + 14, Acquire);
        if (flags & AVAIL != 0) != wrap || (flags & USED != 0) == wrap {
            return None;
        }
        let (mut segments, mut count) = (Vec::new(), 0);
        let id = loop {
            let (segment, id, flags) = descriptor(&descriptors, self.available.0)?;
            count += 1;
            self.available = step(self.available, 1, size);
            if flags & INDIRECT != 0 {
                let table = self.table(&segment, memory)?;
                for index in 0..(segment.length / 16) as u16 {
                    let (segment, _, flags) = descriptor(&table, index)?;
                    segments.push(Segment { writable: flags & WRITE != 0, ..segment });
                }
            } else {
                segments.push(Segment { writable: flags & WRITE != 0, ..segment });
            }
            if count > size {
                self.wrong("a chain longer than its ring");
                break id;
            }
            if flags & NEXT == 0 {
                break id;
            }
        };
        Some(Chain { id, count, segments })
    }

    fn table(&self, segment: &Segment, memory: &Memory) -> Option<Part> {
        let table = memory.at(segment.address, segment.length as usize);
        let table = table.filter(|table| table.length() % 16 == 0 && segment.address.is_multiple_of(16));
        if table.is_none() {
            self.wrong("no table where one should be");
        }
        table
    }

    fn wrong(&self, what: &str) {
        assert!(!self.strict, "{what}");
    }

    /// Gives a buffer back.
    pub(crate) fn push(&mut self, id: u32, count: u16, length: u32) {
        let Rings { size, descriptors, device, packed, .. } = self.rings;
        if packed {
            let at = usize::from(self.used.0) * 16;
            let flags = if self.used.1 { AVAIL | USED } else { 0 } | if length > 0 { WRITE } else { 0 };
            descriptors.store32(at + 8, length, Relaxed);
            descriptors.store16(at + 12, id as u16, Relaxed);
            descriptors.store16(at + 14, flags, Release);
            self.used = step(self.used, count, size);
            return;
        }
        let at = 4 + 8 * usize::from(self.used.0 % size);
        device.store32(at, id, Relaxed);
        device.store32(at + 4, length, Relaxed);
        self.used.0 = self.used.0.wrapping_add(1);
        device.store16(2, self.used.0, Release);
    }

    /// Whether the driver wants to be told of what was given back since it was asked last.
    pub(crate) fn wanted(&mut self) -> bool {
        let (old, new) = (std::mem::replace(&mut self.told, self.used), self.used);
        let Rings { size, driver, packed, .. } = self.rings;
        let distance = |from: u16, to: u16| to.wrapping_sub(from);
        if !packed {
            if !self.event_index {
                return old != new && driver.load16(0, Relaxed) & 1 == 0;
            }
            let event = driver.load16(4 + 2 * usize::from(size), Relaxed);
            return distance(old.0, event) < distance(old.0, new.0);
        }
        let wish = driver.load32(0, Relaxed);
        let (event, flags) = (wish as u16, wish >> 16);
        if flags != 2 {
            return old != new && flags == 0;
        }
        // On a line on which each turn of the ring lies behind the one before.
        let line =
            |(index, wrap): (u16, bool)| u32::from(index) + if wrap == old.1 { 0 } else { u32::from(size) };
        let event = line((event & 0x7FFF, event >> 15 == 1));
        (line(old)..line(new)).contains(&event)
    }

    /// Says whether it wants to be told of what becomes available next.
    pub(crate) fn listen(&mut self, wants: bool) {
        let Rings { size, device, packed, .. } = self.rings;
        match (packed, self.event_index) {
            (false, true) if wants => device.store16(4 + 8 * usize::from(size), self.available.0, Relaxed),
            (false, true) => {}
            (false, false) => device.store16(0, u16::from(!wants), Relaxed),
            (true, true) if wants => {
                let event = self.available.0 | u16::from(self.available.1) << 15;
                device.store32(0, 2 << 16 | u32::from(event), Relaxed);
            }
            (true, _) => device.store32(0, u32::from(!wants) << 16, Relaxed),
        }
    }
}

fn step((index, wrap): (u16, bool), count: u16, size: u16) -> (u16, bool) {
    let sum = u32::from(index) + u32::from(count);
    if sum >= u32::from(size) { ((sum - u32::from(size)) as u16, !wrap) } else { (sum as u16, wrap) }
}
