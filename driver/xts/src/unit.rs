//! Data units over any backend that can do runs of blocks.

use crate::{BLOCK, Way};

/// How many tweaks are encrypted at once.
const BATCH: usize = 8;

/// What a backend does.
pub(crate) trait Blocks {
    /// Encrypts the numbers `first`, `first + 1`, ... with the tweak key: the first tweak of each unit.
    ///
    /// # Safety
    /// The machine has the backend's instructions.
    unsafe fn tweaks(&self, first: u64, tweaks: &mut [[u8; BLOCK]]);

    /// Encrypts one tweak that is no number with the tweak key.
    ///
    /// # Safety
    /// As above.
    unsafe fn tweak(&self, tweak: &mut [u8; BLOCK]);

    /// Runs `count` whole blocks through the data key and the tweaks that follow from `tweak`, which is moved on
    /// by as many.
    ///
    /// # Safety
    /// As above; `from` and `to` hold `count` blocks, equal or apart. Bytes at `from` may change meanwhile.
    unsafe fn blocks(&self, way: Way, tweak: &mut [u8; BLOCK], from: *const u8, to: *mut u8, count: usize);
}

/// Runs `units` data units of `unit` bytes.
///
/// # Safety
/// The machine has the backend's instructions; `from` and `to` hold `units * unit` bytes, equal or apart, and
/// `unit` is at least a block.
pub(crate) unsafe fn run<B: Blocks>(
    keys: &B,
    way: Way,
    first: u64,
    unit: usize,
    units: usize,
    from: *const u8,
    to: *mut u8,
) {
    let mut tweaks = [[0; BLOCK]; BATCH];
    for index in 0..units {
        // SAFETY: unit `index` lies inside both ranges.
        unsafe {
            if index % BATCH == 0 {
                keys.tweaks(first + index as u64, &mut tweaks[..BATCH.min(units - index)]);
            }
            let (from, to) = (from.add(index * unit), to.add(index * unit));
            one(keys, way, &mut tweaks[index % BATCH], unit, from, to);
        }
    }
}

/// Runs one data unit of `unit` bytes, where it lies, under `tweak`.
///
/// # Safety
/// As [`run`], for one unit.
pub(crate) unsafe fn tweaked<B: Blocks>(
    keys: &B,
    way: Way,
    tweak: &[u8; BLOCK],
    unit: usize,
    bytes: *mut u8,
) {
    let mut tweak = *tweak;
    // SAFETY: the caller's.
    unsafe {
        keys.tweak(&mut tweak);
        one(keys, way, &mut tweak, unit, bytes, bytes);
    }
}

/// One data unit. With a partial block at the end, the last whole block is handled with the following tweak
/// (decrypting) or again (encrypting), and lends the partial one the bytes it lacks (IEEE 1619-2018 5.3.2, 5.4.2).
///
/// # Safety
/// As [`run`], for one unit.
unsafe fn one<B: Blocks>(
    keys: &B,
    way: Way,
    tweak: &mut [u8; BLOCK],
    unit: usize,
    from: *const u8,
    to: *mut u8,
) {
    let (blocks, rest) = (unit / BLOCK, unit % BLOCK);
    // SAFETY: all offsets are below `unit`.
    unsafe {
        if rest == 0 {
            return keys.blocks(way, tweak, from, to, blocks);
        }
        let plain = blocks - 1;
        keys.blocks(way, tweak, from, to, plain);
        let (from, to) = (from.add(plain * BLOCK), to.add(plain * BLOCK));
        let mut last = [0; BLOCK];
        let mut partial = [0; BLOCK];
        from.copy_to_nonoverlapping(last.as_mut_ptr(), BLOCK);
        from.add(BLOCK).copy_to_nonoverlapping(partial.as_mut_ptr(), rest);
        let mut following = doubled(*tweak);
        let (early, late) = match way {
            Way::Encrypt => (&mut *tweak, &mut following),
            Way::Decrypt => (&mut following, &mut *tweak),
        };
        let block = last.as_mut_ptr();
        keys.blocks(way, early, block, block, 1);
        partial[rest..].copy_from_slice(&last[rest..]);
        to.add(BLOCK).copy_from_nonoverlapping(last.as_ptr(), rest);
        let block = partial.as_mut_ptr();
        keys.blocks(way, late, block, block, 1);
        to.copy_from_nonoverlapping(partial.as_ptr(), BLOCK);
    }
}

/// The next tweak: multiplied by x in GF(2^128) (IEEE 1619-2018 5.2).
pub(crate) fn doubled(tweak: [u8; BLOCK]) -> [u8; BLOCK] {
    let value = u128::from_le_bytes(tweak);
    let carry = (value >> 127).wrapping_neg() & 0x87;
    (value << 1 ^ carry).to_le_bytes()
}
