//! What is written: made data, the same in every run.

use sluice_mapped::units::BLOCK;

/// A block.
pub(crate) type Page = [u8; BLOCK];

/// splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A page like no other, which does not compress.
    pub(crate) fn noise(&mut self) -> Page {
        core::array::from_fn(|_| self.next() as u8)
    }

    /// Noise in pieces, more than half of them copied from earlier and half of the others letters: zstd halves it.
    pub(crate) fn half(&mut self) -> Page {
        let mut page = self.noise();
        let mut at = 64;
        while at < BLOCK {
            let end = (at + 16 + (self.next() % 32) as usize).min(BLOCK);
            match self.next() % 20 {
                0..10 => {
                    let back = 1 + (self.next() % at as u64) as usize;
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
