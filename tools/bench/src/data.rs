//! What is written: made data, the same in every run.

use sluice_mapped::units::BLOCK;

/// A block.
pub(crate) type Page = [u8; BLOCK];

/// Chance, the same for the same seed.
pub(crate) struct Random(pub(crate) fastrand::Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// A page like no other, which does not compress.
    pub(crate) fn noise(&mut self) -> Page {
        core::array::from_fn(|_| self.0.u8(..))
    }

    /// Noise in pieces, more than half of them copied from earlier and half of the others letters: zstd halves it.
    pub(crate) fn half(&mut self) -> Page {
        let mut page = self.noise();
        let mut at = 64;
        while at < BLOCK {
            let end = (at + self.0.usize(16..48)).min(BLOCK);
            match self.0.usize(..20) {
                0..10 => {
                    let back = 1 + self.0.usize(..at);
                    (at..end).for_each(|i| page[i] = page[i - back]);
                }
                10..14 => page[at..end].iter_mut().for_each(|byte| *byte = b'a' + *byte % 26),
                _ => {}
            }
            at = end;
        }
        page
    }
}
