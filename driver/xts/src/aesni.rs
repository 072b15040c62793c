//! AES instructions on XMM registers: keys, and the first tweaks of units. The blocks themselves: `xmm`.

use core::arch::x86_64::*;

use zeroize::Zeroize;

use crate::{BLOCK, Way, unit::Blocks, xmm};

/// Round keys of AES-256: the key itself and one for each of 14 rounds (FIPS 197 5.2).
pub(crate) const ROUND_KEYS: usize = 15;

/// Whether this processor has AES and SSE2. XMM registers need no operating system's leave on x86-64.
pub(crate) fn available() -> bool {
    // Leaf 1, ECX bit 25 (AES-NI). SSE2 is part of x86-64.
    __cpuid(1).ecx & (1 << 25) != 0
}

/// Expanded keys.
#[repr(C, align(16))]
pub(crate) struct Keys {
    pub(crate) encrypt: Schedule,
    pub(crate) decrypt: Schedule,
    pub(crate) tweak: Schedule,
}

/// One key's round keys as bytes.
pub(crate) type Schedule = [[u8; BLOCK]; ROUND_KEYS];

impl Keys {
    pub(crate) const fn zeroed() -> Self {
        let none = [[0; BLOCK]; ROUND_KEYS];
        Self { encrypt: none, decrypt: none, tweak: none }
    }

    /// Expands both keys in place. Only after [`available`].
    pub(crate) fn expand(&mut self, data: &[u8; 32], tweak: &[u8; 32]) {
        // SAFETY: the caller has asked `available`.
        unsafe {
            expand(data, &mut self.encrypt);
            expand(tweak, &mut self.tweak);
            invert(&self.encrypt, &mut self.decrypt);
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.encrypt.as_flattened_mut().zeroize();
        self.decrypt.as_flattened_mut().zeroize();
        self.tweak.as_flattened_mut().zeroize();
    }
}

#[target_feature(enable = "aes,sse2")]
#[inline]
pub(crate) fn load(bytes: &[u8; BLOCK]) -> __m128i {
    // SAFETY: 16 readable bytes; unaligned is allowed.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "aes,sse2")]
#[inline]
pub(crate) fn store(bytes: &mut [u8; BLOCK], value: __m128i) {
    // SAFETY: 16 writable bytes; unaligned is allowed.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) };
}

/// FIPS 197 5.2 for 256-bit keys, two round keys at a time.
#[target_feature(enable = "aes,sse2")]
fn expand(key: &[u8; 32], schedule: &mut Schedule) {
    let (halves, _) = key.as_chunks::<BLOCK>();
    let (mut even, mut odd) = (load(&halves[0]), load(&halves[1]));
    store(&mut schedule[0], even);
    store(&mut schedule[1], odd);
    macro_rules! pair {
        ($at:literal, $rcon:literal) => {
            even = _mm_xor_si128(
                smear(even),
                _mm_shuffle_epi32::<0xff>(_mm_aeskeygenassist_si128::<$rcon>(odd)),
            );
            store(&mut schedule[$at], even);
            odd = _mm_xor_si128(smear(odd), _mm_shuffle_epi32::<0xaa>(_mm_aeskeygenassist_si128::<0>(even)));
            store(&mut schedule[$at + 1], odd);
        };
    }
    pair!(2, 0x01);
    pair!(4, 0x02);
    pair!(6, 0x04);
    pair!(8, 0x08);
    pair!(10, 0x10);
    pair!(12, 0x20);
    // The last pair has no second half.
    even = _mm_xor_si128(smear(even), _mm_shuffle_epi32::<0xff>(_mm_aeskeygenassist_si128::<0x40>(odd)));
    store(&mut schedule[14], even);
}

/// Each word becomes the sum of itself and all words below it.
#[target_feature(enable = "aes,sse2")]
fn smear(key: __m128i) -> __m128i {
    let key = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
    _mm_xor_si128(key, _mm_slli_si128::<8>(key))
}

/// The schedule of the equivalent inverse cipher (FIPS 197 5.3.5).
#[target_feature(enable = "aes,sse2")]
fn invert(encrypt: &Schedule, decrypt: &mut Schedule) {
    for (round, (to, from)) in decrypt.iter_mut().zip(encrypt.iter().rev()).enumerate() {
        let key = load(from);
        store(to, if round == 0 || round == ROUND_KEYS - 1 { key } else { _mm_aesimc_si128(key) });
    }
}

impl Blocks for Keys {
    unsafe fn tweaks(&self, first: u64, tweaks: &mut [[u8; BLOCK]]) {
        // SAFETY: the trait's contract.
        unsafe { encrypt_numbers(&self.tweak, first, tweaks) };
    }

    unsafe fn tweak(&self, tweak: &mut [u8; BLOCK]) {
        // SAFETY: the trait's contract.
        unsafe { encrypt_block(&self.tweak, tweak) };
    }

    unsafe fn blocks(&self, way: Way, tweak: &mut [u8; BLOCK], from: *const u8, to: *mut u8, count: usize) {
        // SAFETY: the trait's contract.
        unsafe {
            match way {
                Way::Encrypt => xmm::run::<true>(&self.encrypt, tweak, from, to, count),
                Way::Decrypt => xmm::run::<false>(&self.decrypt, tweak, from, to, count),
            }
        }
    }
}

/// The numbers `first`, `first + 1`, ... encrypted. The processor overlaps one with the next by itself.
#[target_feature(enable = "aes,sse2")]
fn encrypt_numbers(schedule: &Schedule, first: u64, tweaks: &mut [[u8; BLOCK]]) {
    for (number, tweak) in (0..).zip(tweaks) {
        let block = _mm_set_epi64x(0, first.wrapping_add(number).cast_signed());
        store(tweak, xmm::rounds::<true>(schedule, block));
    }
}

/// One block, where it lies.
#[target_feature(enable = "aes,sse2")]
fn encrypt_block(schedule: &Schedule, block: &mut [u8; BLOCK]) {
    store(block, xmm::rounds::<true>(schedule, load(block)));
}
