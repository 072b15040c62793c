//! The plaintext scan: every 16-byte block of the plain image that has
//! something in it, looked for in the raw image at every offset, as one would
//! search a memory dump.

use std::collections::HashSet;

/// Blocks shorter on variety than this many different bytes are no evidence:
/// runs of zeros, fill patterns.
const VARIETY: usize = 6;
const BITS: u32 = 27;

/// The blocks of a plain image.
pub(crate) struct Plaintext {
    blocks: HashSet<[u8; 16]>,
    /// One bit for each hash value that occurs, so that most offsets of a scan cost one look.
    sieve: Vec<u64>,
}

/// What a scan found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) count: u64,
    /// Where the first was.
    pub(crate) first: Option<u64>,
}

fn word(b: &[u8]) -> u64 {
    b.iter().take(8).fold(0, |v, x| v << 8 | u64::from(*x))
}

fn hash(block: &[u8]) -> usize {
    let mixed = (word(block) ^ word(&block[8..]).rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (64 - BITS)) as usize
}

fn varied(block: &[u8]) -> bool {
    let mut seen = [0u64; 4];
    for b in block {
        seen[usize::from(*b >> 6)] |= 1 << (b & 63);
    }
    seen.iter().map(|s| s.count_ones() as usize).sum::<usize>() >= VARIETY
}

impl Plaintext {
    /// Takes the 16-byte-aligned blocks of a plain image.
    pub(crate) fn of(image: &[u8]) -> Plaintext {
        let mut p = Plaintext { blocks: HashSet::new(), sieve: vec![0; 1 << (BITS - 6)] };
        for block in image.chunks_exact(16).filter(|b| varied(b)) {
            let h = hash(block);
            p.sieve[h / 64] |= 1 << (h % 64);
            let mut owned = [0; 16];
            owned.copy_from_slice(block);
            p.blocks.insert(owned);
        }
        p
    }

    /// Different blocks that count as evidence.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Looks for them in `raw` at every offset.
    pub(crate) fn search(&self, raw: &[u8]) -> Found {
        let mut found = Found::default();
        for (at, window) in raw.windows(16).enumerate() {
            let h = hash(window);
            if self.sieve[h / 64] >> (h % 64) & 1 == 1 && self.blocks.contains(window) {
                found.count += 1;
                found.first.get_or_insert(at as u64);
            }
        }
        found
    }
}

/// Shannon entropy in bits a byte: 8 for noise, little for text and zeros.
pub(crate) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0usize; 256];
    for b in bytes {
        counts[usize::from(*b)] += 1;
    }
    let n = bytes.len() as f64;
    counts.iter().filter(|c| **c > 0).map(|c| *c as f64 / n).map(|p| -p * p.log2()).sum::<f64>() + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_block_at_any_offset_and_nothing_else() {
        let plain = [&[0u8; 32][..], b"sixteen letters!", &[7u8; 16]].concat();
        let p = Plaintext::of(&plain);
        assert_eq!(p.len(), 1);
        let mut raw = vec![0u8; 4096];
        assert_eq!(p.search(&raw), Found::default());
        raw[1001..1017].copy_from_slice(b"sixteen letters!");
        assert_eq!(p.search(&raw), Found { count: 1, first: Some(1001) });
        raw[1001] ^= 1;
        assert_eq!(p.search(&raw), Found::default());
    }

    #[test]
    fn entropy_of_zeros_and_of_every_byte() {
        assert!(entropy(&[0; 512]).abs() < 1e-9);
        let all: Vec<u8> = (0..=255).collect();
        assert!((entropy(&all) - 8.0).abs() < 1e-9);
    }
}
