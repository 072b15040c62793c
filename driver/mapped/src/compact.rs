//! Compaction: the cleaner's work done to the end, for whoever wants the space back, or the device told, now.
//!
//! Each round cleans as many segments as had less than nine tenths live when it began, and ends with a checkpoint, with
//! which the pages move that were found in them. Pages that move leave others with gaps: after a few rounds what is left is
//! not worth another.

use crate::{Volume, engine::Stop, io::Error, operation::Op};

/// Rounds.
const ROUNDS: u8 = 3;

impl Volume {
    /// Segments that a compaction would clean.
    #[must_use]
    pub fn sparse_segments(&self) -> u64 {
        self.space.sparse()
    }

    pub(crate) fn step_compact(&mut self, op: &mut Op) -> Result<(), Stop> {
        if self.failed {
            return Err(Stop::Failed(Error::Write));
        }
        if !op.fetched {
            op.fetched = true;
            self.compacting = self.space.sparse();
            self.space.forget_told();
        }
        while op.tries < ROUNDS {
            if self.compacting > 0 || self.cleaning.is_some() {
                return Err(Stop::Event);
            }
            self.step_wait_for_checkpoint(op)?;
            op.checkpoint = None;
            op.tries += 1;
            if op.tries < ROUNDS {
                self.compacting = self.space.sparse();
            }
            if self.compacting == 0 {
                break;
            }
        }
        if self.is_discarding() { Err(Stop::Event) } else { Ok(()) }
    }
}
