//! The `aes` crate: constant-time in software, or with the instructions that it finds on its target.

use aes::{
    Aes256,
    cipher::{BlockDecrypt, BlockEncrypt, KeyInit, generic_array::GenericArray},
};

use alloc::boxed::Box;

use crate::{
    BLOCK, Way, try_box,
    unit::{Blocks, doubled},
    wipe_stack,
};

/// Blocks given to the crate at once: what its software takes together, or a multiple of it.
const AT_ONCE: usize = 8;

/// Expanded keys, wiped by the crate when dropped.
pub(crate) struct Keys {
    data: Box<Aes256>,
    tweak: Box<Aes256>,
}

impl Keys {
    pub(crate) fn new(data: &[u8; 32], tweak: &[u8; 32]) -> Option<Self> {
        let keys = expanded(data).zip(expanded(tweak));
        wipe_stack();
        keys.map(|(data, tweak)| Self { data, tweak })
    }
}

/// Apart, and one at a time: the crate makes its kilobyte on the stack.
#[inline(never)]
fn expanded(key: &[u8; 32]) -> Option<Box<Aes256>> {
    try_box(Aes256::new(key.into()))
}

impl Blocks for Keys {
    unsafe fn tweaks(&self, first: u64, tweaks: &mut [[u8; BLOCK]]) {
        let mut blocks = [GenericArray::default(); AT_ONCE];
        for (at, tweaks) in (0..).step_by(AT_ONCE).zip(tweaks.chunks_mut(AT_ONCE)) {
            for (number, block) in (u128::from(first) + at..).zip(&mut blocks) {
                *block = number.to_le_bytes().into();
            }
            self.tweak.encrypt_blocks(&mut blocks);
            for (tweak, block) in tweaks.iter_mut().zip(blocks) {
                *tweak = block.into();
            }
        }
    }

    unsafe fn tweak(&self, tweak: &mut [u8; BLOCK]) {
        self.tweak.encrypt_block(GenericArray::from_mut_slice(tweak));
    }

    unsafe fn blocks(&self, way: Way, tweak: &mut [u8; BLOCK], from: *const u8, to: *mut u8, count: usize) {
        let mut done = 0;
        while done < count {
            let many = (count - done).min(AT_ONCE);
            let mut tweaks = [[0; BLOCK]; AT_ONCE];
            let mut blocks = [GenericArray::default(); AT_ONCE];
            for (index, (block, used)) in blocks.iter_mut().zip(&mut tweaks).take(many).enumerate() {
                // SAFETY: block `done + index` lies inside `from`.
                let bytes: [u8; BLOCK] =
                    unsafe { from.add((done + index) * BLOCK).cast::<[u8; BLOCK]>().read() };
                *used = *tweak;
                *block = xor(bytes, *tweak).into();
                *tweak = doubled(*tweak);
            }
            match way {
                Way::Encrypt => self.data.encrypt_blocks(&mut blocks[..many]),
                Way::Decrypt => self.data.decrypt_blocks(&mut blocks[..many]),
            }
            for (index, (block, used)) in blocks.into_iter().zip(tweaks).take(many).enumerate() {
                // SAFETY: block `done + index` lies inside `to`.
                unsafe {
                    to.add((done + index) * BLOCK).cast::<[u8; BLOCK]>().write(xor(block.into(), used))
                };
            }
            done += many;
        }
    }
}

fn xor(a: [u8; BLOCK], b: [u8; BLOCK]) -> [u8; BLOCK] {
    (u128::from_ne_bytes(a) ^ u128::from_ne_bytes(b)).to_ne_bytes()
}
