//! Numbers in as few bytes as they need: seven bits a byte, lowest first, the top bit set on all but the last.

use alloc::vec::Vec;

/// Most bytes of one number.
pub(crate) const MOST: usize = 10;

/// Appends a number.
pub(crate) fn put(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Bytes of a number.
pub(crate) fn length(value: u64) -> usize {
    value.max(1).ilog2() as usize / 7 + 1
}

/// Takes a number off the front. `None` if there is none.
pub(crate) fn take(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..MOST as u32).map(|i| i * 7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Small for numbers near zero of either sign.
pub(crate) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// The reverse of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
