//! POLYVAL, the universal hash of RFC 8452 section 3, at the speed that hashing every block written asks for.
//!
//! The `polyval` crate reduces after each block (0.6), or uses VEX-encoded instructions (0.7), which clear the
//! upper halves of YMM registers: a kernel that has not saved them may not. Here eight blocks share a reduction and
//! every instruction is one of SSE; in user mode, with the feature `wide`, 32 blocks, in ZMM registers. On other processors the work falls back on the crate.
//!
//! Nothing branches on, or indexes by, key or data. Expanded keys lie on the heap and are wiped when dropped.
#![no_std]

extern crate alloc;

#[cfg(target_arch = "x86_64")]
mod clmul;
#[cfg(all(target_arch = "x86_64", feature = "wide"))]
mod wide;

use alloc::boxed::Box;

use polyval::{
    Polyval,
    universal_hash::{KeyInit, UniversalHash},
};
use sluice_chain::try_box;
use zeroize::Zeroize;

/// Bytes of a block, a key and a result.
pub const BLOCK: usize = 16;

/// A hash key.
pub struct Key(Expanded);

enum Expanded {
    #[cfg(target_arch = "x86_64")]
    Clmul(Box<clmul::Powers>),
    #[cfg(all(target_arch = "x86_64", feature = "wide"))]
    Wide(Box<wide::Powers>),
    Portable(Box<Bytes>),
}

struct Bytes([u8; BLOCK]);

impl Drop for Bytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Key {
    /// Expands a key, for the widest registers that this machine has. User mode. `None` when memory has run out.
    #[cfg(feature = "wide")]
    #[must_use]
    pub fn wide(key: &[u8; BLOCK]) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if sluice_xts::Backend::detect() == sluice_xts::Backend::Vaes {
            let mut powers = try_box(wide::Powers::zeroed())?;
            powers.expand(key);
            return Some(Self(Expanded::Wide(powers)));
        }
        Self::new(key)
    }

    /// Expands a key, for XMM registers. `None` when memory has run out.
    #[must_use]
    pub fn new(key: &[u8; BLOCK]) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if clmul::available() {
            let mut powers = try_box(clmul::Powers::zeroed())?;
            powers.expand(key);
            return Some(Self(Expanded::Clmul(powers)));
        }
        Self::portable(key)
    }

    /// Likewise, on any processor: what [`Self::new`] falls back on.
    #[must_use]
    pub fn portable(key: &[u8; BLOCK]) -> Option<Self> {
        let mut bytes = try_box(Bytes([0; BLOCK]))?;
        bytes.0.copy_from_slice(key);
        Some(Self(Expanded::Portable(bytes)))
    }

    /// Takes `blocks` into `state`: from zeros, all blocks of a message leave POLYVAL of it. They may come in
    /// several calls.
    pub fn absorb(&self, state: &mut [u8; BLOCK], blocks: &[[u8; BLOCK]]) {
        match &self.0 {
            #[cfg(target_arch = "x86_64")]
            Expanded::Clmul(powers) => powers.absorb(state, blocks),
            #[cfg(all(target_arch = "x86_64", feature = "wide"))]
            Expanded::Wide(powers) => powers.absorb(state, blocks),
            Expanded::Portable(key) => absorb_portable(key, state, blocks),
        }
    }
}

fn absorb_portable(key: &Bytes, state: &mut [u8; BLOCK], blocks: &[[u8; BLOCK]]) {
    // A state before the first block is one added to it.
    let Some((first, rest)) = blocks.split_first() else { return };
    let mut first = *first;
    first.iter_mut().zip(*state).for_each(|(byte, old)| *byte ^= old);
    let mut hash = Polyval::new((&key.0).into());
    hash.update(&[first.into()]);
    for block in rest {
        hash.update(core::slice::from_ref(block.into()));
    }
    *state = hash.finalize().into();
}
