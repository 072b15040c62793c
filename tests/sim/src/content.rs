//! What is written: blocks that repeat, that compress, that are zero, and that are like no other.

use sluice_mapped::units::{BLOCK, SECTOR};

use crate::prng::Prng;

/// The fingerprint of a sector's bytes.
pub type Print = u64;

/// Fingerprints of the sectors of a block.
pub type Prints = [Print; BLOCK / SECTOR];

/// The fingerprint of a sector of zeros.
pub const ZERO: Print = 0;

/// The fingerprint of `sector`.
pub fn print(sector: &[u8]) -> Print {
    // Most of what is read back is zeros: 64 bytes at a time.
    let is_zero = |part: &[u8]| part.iter().fold(0, |all, byte| all | byte) == 0;
    if sector.chunks(64).all(is_zero) {
        return ZERO;
    }
    xxhash_rust::xxh3::xxh3_64(sector).max(1)
}

/// How contents are chosen, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Blocks taken from a pool.
    pub duplicate: u8,
    /// Blocks in the pool.
    pub pool: u16,
    /// Blocks that compress.
    pub compressible: u8,
    /// Blocks of zeros.
    pub zero: u8,
}

impl Mix {
    /// A mix.
    pub fn new(rng: &mut Prng) -> Self {
        Self {
            duplicate: *rng.pick(&[0, 10, 50, 90]),
            pool: rng.scale(1, 256) as u16,
            compressible: *rng.pick(&[0, 30, 60, 90]),
            zero: *rng.pick(&[0, 0, 5, 30]),
        }
    }

    /// Fills `buffer` with what a write to `offset` holds; `content` decides everything.
    pub fn fill(&self, content: u64, offset: u64, buffer: &mut [u8]) {
        let mut choice = Prng::new(content, 2);
        let mut done = 0;
        while done < buffer.len() {
            let within = (offset as usize + done) % BLOCK;
            let take = (BLOCK - within).min(buffer.len() - done);
            let piece = &mut buffer[done..done + take];
            if within == 0 && take == BLOCK {
                self.block(&mut choice, piece);
            } else {
                let mut whole = [0; BLOCK];
                self.block(&mut choice, &mut whole);
                piece.copy_from_slice(&whole[within..within + take]);
            }
            done += take;
        }
    }

    /// One block.
    fn block(&self, choice: &mut Prng, block: &mut [u8]) {
        let own = choice.any();
        if choice.chance(self.zero.into(), 100) {
            block.fill(0);
            return;
        }
        let seed = if choice.chance(self.duplicate.into(), 100) { own % u64::from(self.pool) } else { own };
        let mut bytes = Prng::new(seed, 3);
        if bytes.chance(self.compressible.into(), 100) {
            // The sectors differ, but for their first bytes they are one run each.
            let random = bytes.between(8, 400) as usize;
            for sector in block.chunks_mut(SECTOR) {
                let end = random.min(sector.len());
                bytes.fill(&mut sector[..end]);
                sector[end..].fill(bytes.any() as u8);
            }
        } else {
            bytes.fill(block);
        }
    }
}
