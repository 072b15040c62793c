//! The split ring (VIRTIO 1.2, 2.7): a table of descriptors, a ring of chains that are available, a ring of those used.

use alloc::vec::Vec;
use core::sync::atomic::{
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

use crate::{
    memory::Part,
    ring::{Lied, Mode, Used, describe, passed},
    spec::ring::{DESCRIPTOR, NEXT, NO_INTERRUPT, NO_NOTIFY, WRITE},
    transport::Piece,
};

/// No descriptor; no buffer.
const NONE: u16 = u16::MAX;

/// What the two rings begin with: flags, index.
const FLAGS: usize = 0;
const INDEX: usize = 2;
const ENTRIES: usize = 4;

#[derive(Debug)]
pub(crate) struct Split {
    mode: Mode,
    descriptors: Part,
    available: Part,
    used: Part,
    /// By descriptor: the next of its chain, or the next free one.
    next: Vec<u16>,
    /// By descriptor: the buffer whose chain it heads.
    owner: Vec<u16>,
    free: u16,
    free_count: u16,
    /// Chains with the device.
    outstanding: u16,
    available_index: u16,
    notified_index: u16,
    used_index: u16,
}

impl Split {
    pub(crate) fn new(size: u16, [descriptors, available, used]: [Part; 3]) -> Option<Self> {
        let mut next = Vec::new();
        next.try_reserve_exact(usize::from(size)).ok()?;
        next.resize(usize::from(size), NONE);
        let mut owner = Vec::new();
        owner.try_reserve_exact(usize::from(size)).ok()?;
        owner.resize(usize::from(size), NONE);
        let mode = Mode { packed: false, event_index: false, size: 0 };
        Some(Self {
            mode,
            descriptors,
            available,
            used,
            next,
            owner,
            free: NONE,
            free_count: 0,
            outstanding: 0,
            available_index: 0,
            notified_index: 0,
            used_index: 0,
        })
    }

    pub(crate) fn reset(&mut self, mode: Mode) {
        self.mode = mode;
        self.owner.fill(NONE);
        for index in 0..mode.size {
            self.next[usize::from(index)] = if index + 1 < mode.size { index + 1 } else { NONE };
        }
        (self.free, self.free_count, self.outstanding) = (0, mode.size, 0);
        (self.available_index, self.notified_index, self.used_index) = (0, 0, 0);
    }

    /// 2.7.13.
    pub(crate) fn add(&mut self, id: u16, pieces: &[Piece], flag: u16) -> bool {
        if pieces.is_empty() || pieces.len() > usize::from(self.free_count) {
            return false;
        }
        let head = self.free;
        let mut place = head;
        for (index, piece) in pieces.iter().enumerate() {
            let next = self.next[usize::from(place)];
            let more = index + 1 < pieces.len();
            let at = usize::from(place) * DESCRIPTOR;
            let flags = flag | if piece.writable { WRITE } else { 0 } | if more { NEXT } else { 0 };
            describe(&self.descriptors, at, piece);
            self.descriptors.store16(at + 12, flags, Relaxed);
            self.descriptors.store16(at + 14, if more { next } else { 0 }, Relaxed);
            if more {
                place = next;
            } else {
                self.free = next;
                self.next[usize::from(place)] = NONE;
            }
        }
        self.free_count -= pieces.len() as u16;
        self.outstanding += 1;
        self.owner[usize::from(head)] = id;
        let entry = usize::from(self.available_index % self.mode.size);
        self.available.store16(ENTRIES + 2 * entry, head, Relaxed);
        self.available_index = self.available_index.wrapping_add(1);
        // The device sees the index no sooner than what it counts (2.7.13.3.1).
        self.available.store16(INDEX, self.available_index, Release);
        true
    }

    /// 2.7.13.4, 2.7.10.
    pub(crate) fn must_notify(&mut self) -> bool {
        let (new, old) = (self.available_index, self.notified_index);
        self.notified_index = new;
        if new == old {
            return false;
        }
        // The index is out before the device's wish is read; the device does it the other way round.
        fence(SeqCst);
        if self.mode.event_index {
            let event = self.used.load16(ENTRIES + 8 * usize::from(self.mode.size), Relaxed);
            passed(event, new, old)
        } else {
            self.used.load16(FLAGS, Relaxed) & NO_NOTIFY == 0
        }
    }

    fn has_used(&self) -> Result<bool, Lied> {
        let count = self.used.load16(INDEX, Acquire).wrapping_sub(self.used_index);
        if count > self.outstanding { Err(Lied) } else { Ok(count > 0) }
    }

    /// 2.7.14.
    pub(crate) fn take(&mut self) -> Result<Option<Used>, Lied> {
        if !self.has_used()? {
            return Ok(None);
        }
        let at = ENTRIES + 8 * usize::from(self.used_index % self.mode.size);
        let head = self.used.load32(at, Relaxed);
        let length = self.used.load32(at + 4, Relaxed);
        let head = u16::try_from(head).ok().filter(|head| *head < self.mode.size).ok_or(Lied)?;
        let id = core::mem::replace(&mut self.owner[usize::from(head)], NONE);
        if id == NONE {
            return Err(Lied);
        }
        self.used_index = self.used_index.wrapping_add(1);
        self.outstanding -= 1;
        self.give_back(head);
        Ok(Some(Used { id, length }))
    }

    /// The chain is our own account's, not the table's, which the device may have written to.
    fn give_back(&mut self, head: u16) {
        let (mut last, mut count) = (head, 1);
        while self.next[usize::from(last)] != NONE {
            last = self.next[usize::from(last)];
            count += 1;
        }
        self.next[usize::from(last)] = self.free;
        self.free = head;
        self.free_count += count;
    }

    /// 2.7.7, 2.7.10. A lie counts as something to look at.
    pub(crate) fn watch(&mut self) -> bool {
        if self.mode.event_index {
            let at = ENTRIES + 2 * usize::from(self.mode.size);
            self.available.store16(at, self.used_index, Relaxed);
        } else {
            self.available.store16(FLAGS, 0, Relaxed);
        }
        fence(SeqCst);
        self.has_used().unwrap_or(true)
    }

    pub(crate) fn rest(&mut self) {
        // With event indexes the device looks at them alone, and at none before it has passed the one that was written.
        if !self.mode.event_index {
            self.available.store16(FLAGS, NO_INTERRUPT, Relaxed);
        }
    }
}
