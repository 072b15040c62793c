//! Whoever asks something of the device: what may be asked, and how it ends.

use sluice_chain::bytes::Target;
use sluice_shim::scsi::sense::Refusal;

use crate::{
    config::{Facts, RANGES},
    spec::blk::ID,
};

/// Requests that end together, without the lock being taken for each.
pub(crate) const BATCH: usize = 16;

/// Whoever asks something of the device. Dropping one without [`Self::end`] is a request that hangs.
pub trait Request: Send {
    /// What is asked, judged by `facts`, with its ranges in `list`, which is empty; or the end of it, if that needs no
    /// device. May be asked again when there was no room. Called under the queue's lock, up to DISPATCH_LEVEL.
    fn ask(&mut self, facts: &Facts, list: &mut List) -> Asked;

    /// Its payload. May change at any moment.
    fn data(&mut self) -> Target<'_>;

    /// It is done. Called once, without a lock.
    fn end(self, outcome: Outcome);
}

/// Some blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub block: u64,
    /// How many.
    pub blocks: u32,
}

/// The ranges of a request.
#[derive(Debug, Default)]
pub struct List {
    ranges: [Range; RANGES],
    count: usize,
}

impl List {
    /// Adds one; `false` if there is no room.
    pub fn push(&mut self, range: Range) -> bool {
        let place = self.ranges.get_mut(self.count);
        let fits = place.map(|place| *place = range).is_some();
        self.count += usize::from(fits);
        fits
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    pub(crate) fn ranges(&self) -> &[Range] {
        self.ranges.get(..self.count).unwrap_or(&[])
    }
}

/// What a request asks. Its ranges lie on the disk and keep to the device's limits.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// The first `bytes` of its data are to be read from there.
    Read {
        /// First block.
        block: u64,
        /// Whole blocks.
        bytes: u32,
        /// They go to the caller; else they are only to be read.
        deliver: bool,
    },
    /// The first `bytes` of its data are to be written there.
    Write {
        /// First block.
        block: u64,
        /// Whole blocks.
        bytes: u32,
        /// It is done when they would survive a power failure.
        durable: bool,
    },
    /// All that was acknowledged is to survive a power failure.
    Flush,
    /// The contents of the listed ranges are not needed any more.
    Discard,
    /// The listed ranges are to read as zeros.
    Zero {
        /// They may be unmapped.
        unmap: bool,
    },
    /// The device's serial number.
    Identify,
    /// Nothing: it ends so.
    Nothing(Outcome),
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well: so many bytes of its data were moved.
    Moved(u32),
    /// The serial number.
    Serial([u8; ID]),
    /// Not.
    Refused(Refusal),
}

/// Requests that have ended, to be told so without the lock.
pub(crate) struct Ended<R>([Option<(R, Outcome)>; BATCH]);

impl<R: Request> Ended<R> {
    pub(crate) fn new() -> Self {
        Self([const { None }; BATCH])
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.last().is_none_or(Option::is_some)
    }

    pub(crate) fn push(&mut self, request: R, outcome: Outcome) {
        // Filled from the front; nobody pushes to a full one.
        if let Some(place) = self.0.iter_mut().find(|place| place.is_none()) {
            *place = Some((request, outcome));
        }
    }

    /// Tells them.
    pub(crate) fn end(self) {
        for (request, outcome) in self.0.into_iter().flatten() {
            request.end(outcome);
        }
    }
}
