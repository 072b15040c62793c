//! What ciphers leave on the stack while they expand a key.

use core::hint::black_box;
use zeroize::Zeroize;

/// Overwrites almost a page of stack below the caller's frame, where the functions that it has just called had theirs:
/// expanded keys are made there before they move to the heap or are done with, and a move leaves the bytes behind.
#[inline(never)]
pub fn wipe_stack() {
    let mut below = [0_u8; 3968];
    below.zeroize();
    black_box(&below);
}
