//! Telling the device what is free, when the volume is to: so that an SSD has room to work in, and a thin image shrinks.
//!
//! A segment that is free may be written over at any moment, so nothing needs what is in it. While the device is being told,
//! nobody may fill it: a device may carry out a write and a discard in any order. So only segments are told that are not
//! wanted soon.

use crate::{
    Volume,
    engine::IoKind,
    io::{DeviceError, DeviceOp},
    limits::{AHEAD, DISCARDS},
    mutants::Mutant,
    units::Segment,
};

impl Volume {
    /// Tells the device of free segments, as long as there are enough for everybody else; whether anything moved.
    pub(crate) fn step_discards(&mut self) -> bool {
        if !self.may_discard() || self.recovering || self.failed || self.discards >= DISCARDS {
            return false;
        }
        let Some(segment) = self.space.next_stale() else { return false };
        let mistaken = if self.errs(Mutant::DiscardedDead) { self.space.some_dead() } else { None };
        if self.errs(Mutant::DiscardNotAwaited) {
            self.space.told(segment);
        }
        let offset = self.layout.segment_start(mistaken.unwrap_or(segment)).0;
        let length = self.layout.segment_bytes;
        self.discards += 1;
        self.stats.discarded += length;
        self.issue(IoKind::Discard(segment), DeviceOp::Discard { offset, length });
        true
    }

    /// The device has been told. If it does not take discards, it is not bothered any more.
    pub(crate) fn discarded(&mut self, segment: Segment, result: Result<(), DeviceError>) {
        self.discards -= 1;
        self.options.discard &= result.is_ok();
        self.space.told(segment);
    }

    fn may_discard(&self) -> bool {
        self.options.discard && self.space.free() > self.space.reserve() + AHEAD + DISCARDS
    }

    /// Whether there is something left to tell the device, or it is being told.
    pub(crate) fn is_discarding(&self) -> bool {
        self.discards > 0 || self.may_discard() && self.space.has_stale()
    }
}
