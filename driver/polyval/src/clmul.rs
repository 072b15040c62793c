//! Carry-less multiplication on XMM registers.
//!
//! The field is GF(2)\[x\] modulo g = x^128 + x^64 q + 1 with q = x^63 + x^62 + x^57, and its product is
//! a b x^-128 (RFC 8452 section 3). From g follows x^-64 = x^64 + q, so that dividing by x^64 costs one multiplication by
//! q. Let H = H1 x^64 + H0 be the key and D = H x^-64 = swap(H) + H0 q. Then a block M = M1 x^64 + M0 gives
//!
//! ```text
//! M H x^-128 = (M0 D + M1 H) x^-64 = (R x^64 + F) x^-64 = R + swap(F) + F0 q
//!     R = M0 D1 + M1 H1      F = M0 D0 + M1 H0
//! ```
//!
//! R and F are sums: eight blocks, each with the power of H due to it, are added up before they are divided.

use core::arch::x86_64::*;

use zeroize::Zeroize;

use crate::BLOCK;

/// Blocks that share a reduction.
const WIDE: usize = 8;

const Q: i64 = 0xc200_0000_0000_0000_u64.cast_signed();

/// Whether this processor multiplies without carry.
pub(crate) fn available() -> bool {
    // Leaf 1, ECX bit 1 (PCLMULQDQ). SSE2 is part of x86-64.
    __cpuid(1).ecx & (1 << 1) != 0
}

/// H^8 down to H^1, each beside the same divided by x^64.
#[repr(C, align(16))]
pub(crate) struct Powers([[[u8; BLOCK]; 2]; WIDE]);

impl Drop for Powers {
    fn drop(&mut self) {
        self.0.as_flattened_mut().as_flattened_mut().zeroize();
    }
}

impl Powers {
    pub(crate) const fn zeroed() -> Self {
        Self([[[0; BLOCK]; 2]; WIDE])
    }

    /// Only after [`available`].
    pub(crate) fn expand(&mut self, key: &[u8; BLOCK]) {
        // SAFETY: the caller has asked `available`.
        unsafe { expand(key, &mut self.0) };
    }

    /// Only of an expanded key.
    pub(crate) fn absorb(&self, state: &mut [u8; BLOCK], blocks: &[[u8; BLOCK]]) {
        // SAFETY: whoever expanded the key has asked `available`.
        unsafe { absorb(&self.0, state, blocks) };
    }
}

#[target_feature(enable = "pclmulqdq,sse2")]
#[inline]
pub(crate) fn load(bytes: &[u8; BLOCK]) -> __m128i {
    // SAFETY: 16 readable bytes; unaligned is allowed.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "pclmulqdq,sse2")]
#[inline]
pub(crate) fn store(bytes: &mut [u8; BLOCK], value: __m128i) {
    // SAFETY: 16 writable bytes; unaligned is allowed.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) };
}

/// Divided by x^64: halves swapped, and the low one times q.
#[target_feature(enable = "pclmulqdq,sse2")]
#[inline]
pub(crate) fn divided(value: __m128i) -> __m128i {
    let low_times_q = _mm_clmulepi64_si128::<0x00>(value, _mm_set_epi64x(0, Q));
    _mm_xor_si128(_mm_shuffle_epi32::<0x4e>(value), low_times_q)
}

/// R and F of one block and one power.
#[target_feature(enable = "pclmulqdq,sse2")]
#[inline]
pub(crate) fn products(block: __m128i, [power, less]: &[[u8; BLOCK]; 2]) -> (__m128i, __m128i) {
    let (power, less) = (load(power), load(less));
    let (low_high, high_high) =
        (_mm_clmulepi64_si128::<0x10>(block, less), _mm_clmulepi64_si128::<0x11>(block, power));
    let (low_low, high_low) =
        (_mm_clmulepi64_si128::<0x00>(block, less), _mm_clmulepi64_si128::<0x01>(block, power));
    (_mm_xor_si128(low_high, high_high), _mm_xor_si128(low_low, high_low))
}

#[target_feature(enable = "pclmulqdq,sse2")]
fn expand(key: &[u8; BLOCK], powers: &mut [[[u8; BLOCK]; 2]; WIDE]) {
    let mut value = load(key);
    for index in (0..WIDE).rev() {
        if let Some(before) = powers.get(index + 1) {
            let (r, f) = products(load(key), before);
            value = _mm_xor_si128(r, divided(f));
        }
        store(&mut powers[index][0], value);
        store(&mut powers[index][1], divided(value));
    }
}

#[target_feature(enable = "pclmulqdq,sse2")]
fn absorb(powers: &[[[u8; BLOCK]; 2]; WIDE], state: &mut [u8; BLOCK], blocks: &[[u8; BLOCK]]) {
    let mut sum = load(state);
    let (groups, rest) = blocks.as_chunks::<WIDE>();
    for group in groups {
        sum = together(powers, sum, group);
    }
    if !rest.is_empty() {
        sum = together(&powers[WIDE - rest.len()..], sum, rest);
    }
    store(state, sum);
}

/// Up to eight blocks, with as many powers, the last of them the first.
#[target_feature(enable = "pclmulqdq,sse2")]
#[inline]
fn together(powers: &[[[u8; BLOCK]; 2]], state: __m128i, blocks: &[[u8; BLOCK]]) -> __m128i {
    let (mut r, mut f, mut before) = (_mm_setzero_si128(), _mm_setzero_si128(), state);
    for (block, power) in blocks.iter().zip(powers) {
        let (more_r, more_f) = products(_mm_xor_si128(load(block), before), power);
        (r, f) = (_mm_xor_si128(r, more_r), _mm_xor_si128(f, more_f));
        before = _mm_setzero_si128();
    }
    _mm_xor_si128(r, divided(f))
}
