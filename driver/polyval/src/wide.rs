//! The same on ZMM registers: four blocks a multiplication, 32 that share a reduction.
//!
//! Whoever calls this in kernel mode must have saved the extended processor state; the driver is built without this module.

use core::arch::x86_64::*;

use zeroize::Zeroize;

use crate::{
    BLOCK,
    clmul::{self, divided, load, products, store},
};

/// Blocks in a register.
const LANES: usize = 4;
/// Registers whose products share a reduction.
const WIDE: usize = 8;

/// Four powers, the highest first.
type Four = [[u8; BLOCK]; LANES];

/// H^32 down to H^1, four at a time, each four beside the same divided by x^64; and what is for fewer blocks.
#[repr(C, align(64))]
pub(crate) struct Powers {
    many: [[Four; 2]; WIDE],
    few: clmul::Powers,
}

impl Drop for Powers {
    fn drop(&mut self) {
        self.many.as_flattened_mut().as_flattened_mut().as_flattened_mut().zeroize();
    }
}

impl Powers {
    pub(crate) const fn zeroed() -> Self {
        Self { many: [[[[0; BLOCK]; LANES]; 2]; WIDE], few: clmul::Powers::zeroed() }
    }

    /// Only on a processor for which `sluice_xts::Backend::detect` answers `Vaes`.
    pub(crate) fn expand(&mut self, key: &[u8; BLOCK]) {
        self.few.expand(key);
        // SAFETY: whoever has VPCLMULQDQ, which the caller has asked for, has PCLMULQDQ.
        unsafe { expand(key, &mut self.many) };
    }

    /// Only of an expanded key.
    pub(crate) fn absorb(&self, state: &mut [u8; BLOCK], blocks: &[[u8; BLOCK]]) {
        let (groups, rest) = blocks.as_chunks::<{ LANES * WIDE }>();
        if !groups.is_empty() {
            // SAFETY: whoever expanded the key has asked for VPCLMULQDQ.
            unsafe { absorb(&self.many, state, groups) };
        }
        self.few.absorb(state, rest);
    }
}

#[target_feature(enable = "pclmulqdq,sse2")]
fn expand(key: &[u8; BLOCK], powers: &mut [[Four; 2]; WIDE]) {
    let first = load(key);
    let mut by = [[0; BLOCK]; 2];
    store(&mut by[0], first);
    store(&mut by[1], divided(first));
    let mut value = first;
    for index in (0..LANES * WIDE).rev() {
        let [power, less] = &mut powers[index / LANES];
        store(&mut power[index % LANES], value);
        store(&mut less[index % LANES], divided(value));
        let (r, f) = products(value, &by);
        value = _mm_xor_si128(r, divided(f));
    }
    by.as_flattened_mut().zeroize();
}

#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq,pclmulqdq,sse2")]
fn absorb(powers: &[[Four; 2]; WIDE], state: &mut [u8; BLOCK], groups: &[[[u8; BLOCK]; LANES * WIDE]]) {
    let mut sum = load(state);
    for group in groups {
        let (fours, _) = group.as_chunks::<LANES>();
        let (mut r, mut f) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        let mut before = _mm512_zextsi128_si512(sum);
        for (four, [power, less]) in fours.iter().zip(powers) {
            let block = _mm512_xor_si512(load_four(four), before);
            let (power, less) = (load_four(power), load_four(less));
            let more_r = _mm512_clmulepi64_epi128::<0x10>(block, less);
            r = xor_three(r, more_r, _mm512_clmulepi64_epi128::<0x11>(block, power));
            let more_f = _mm512_clmulepi64_epi128::<0x00>(block, less);
            f = xor_three(f, more_f, _mm512_clmulepi64_epi128::<0x01>(block, power));
            before = _mm512_setzero_si512();
        }
        sum = _mm_xor_si128(added(r), divided(added(f)));
    }
    store(state, sum);
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_four(bytes: &Four) -> __m512i {
    // SAFETY: 64 readable bytes; unaligned is allowed.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn xor_three(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0x96>(a, b, c)
}

/// All lanes added.
#[target_feature(enable = "avx512f,sse2")]
#[inline]
fn added(lanes: __m512i) -> __m128i {
    let [a, b] = [_mm512_extracti32x4_epi32::<0>(lanes), _mm512_extracti32x4_epi32::<1>(lanes)];
    let [c, d] = [_mm512_extracti32x4_epi32::<2>(lanes), _mm512_extracti32x4_epi32::<3>(lanes)];
    _mm_xor_si128(_mm_xor_si128(a, b), _mm_xor_si128(c, d))
}
