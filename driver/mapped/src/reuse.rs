//! When a segment of chunks that died may be filled again: long before the next checkpoint.
//!
//! The last root record still leads into it, but recovery applies the journal before anybody reads, and then nothing
//! does. What recovery does read is the data of frames that it cannot know to have been durable: that tells it where the
//! crash was. So a segment is filled again when the frame in which its last chunk died is durable, and a later frame that
//! says so is durable too. That takes two flushes, which requests make anyway, or which are made here when segments run
//! short. (A page is read in recovery: pages do wait for the checkpoint.)

use alloc::collections::VecDeque;

use crate::{
    Volume,
    engine::IoKind,
    limits::{AHEAD, FRAMES, WAITING},
    mutants::Mutant,
    units::{Lsn, Segment},
};

/// Dead segments, and the frames in which they died. What finds no room here waits for the checkpoint.
pub(crate) struct Waiting(VecDeque<(Segment, Lsn)>);

impl Waiting {
    /// Nothing waits. `None` when memory has run out.
    pub(crate) fn new() -> Option<Self> {
        let mut all = VecDeque::new();
        all.try_reserve_exact(WAITING).ok()?;
        Some(Self(all))
    }

    pub(crate) fn add(&mut self, segment: Segment, died: Lsn) {
        if self.0.len() < WAITING {
            self.0.push_back((segment, died));
        }
    }

    /// The frame in which the first of them died.
    pub(crate) fn first(&self) -> Option<Lsn> {
        self.0.iter().map(|(_, died)| *died).min()
    }

    /// Only those stay that are still `dead`.
    pub(crate) fn retain(&mut self, dead: impl Fn(Segment) -> bool) {
        self.0.retain(|(segment, _)| dead(*segment));
    }

    /// Takes out one that died up to `known` and is not `busy`.
    pub(crate) fn take(&mut self, known: Lsn, busy: impl Fn(Segment) -> bool) -> Option<Segment> {
        let found = self.0.iter().position(|&(segment, died)| died <= known && !busy(segment))?;
        self.0.remove(found).map(|(segment, _)| segment)
    }
}

/// A frame that says up to which other all were durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    frame: Lsn,
    durable: Lsn,
}

impl Volume {
    /// A frame is being closed.
    pub(crate) fn note_evidence(&mut self) {
        if self.evidence.is_none() && self.durable > self.known {
            self.evidence = Some(Evidence { frame: self.lsn, durable: self.durable });
        }
    }

    /// Frames up to this one are durable.
    pub(crate) fn set_durable(&mut self, lsn: Lsn) {
        self.durable = self.durable.max(lsn);
        if let Some(evidence) = self.evidence.take_if(|evidence| evidence.frame <= self.durable) {
            self.known = self.known.max(evidence.durable);
        }
        self.free_dead();
        self.wake_for_frames();
    }

    /// Makes free what died long enough ago and is not being read; whether there was any.
    pub(crate) fn free_dead(&mut self) -> bool {
        let known = if self.errs(Mutant::ReusedUnproven) { self.written } else { self.known };
        let (ios, layout) = (&self.ios, &self.layout);
        let reads = |segment| {
            ios.iter().flatten().any(|io| matches!(io, IoKind::Run(run) if run.touches(layout, segment)))
        };
        self.space.free_waiting(known, reads)
    }

    /// When segments run short: has what is missing become durable, and be told so; whether anything moved.
    pub(crate) fn step_reuse(&mut self) -> bool {
        if self.failed
            || self.recovering
            || self.flushing
            || self.space.free() >= self.space.reserve() + AHEAD
        {
            return false;
        }
        let Some(died) = self.space.first_waiting() else { return false };
        let frame = match self.evidence {
            _ if died <= self.known => return self.free_dead(),
            _ if died > self.durable => died,
            None => self.lsn,
            Some(evidence) => evidence.frame,
        };
        if frame <= self.written {
            self.flush_device();
            return true;
        }
        // Nobody else may have anything to say any more.
        frame == self.lsn && self.flying.len() < FRAMES && self.close_frame_even_empty().is_ok()
    }
}
