//! AES instructions on XMM registers, eight blocks in flight.

use core::arch::x86_64::*;

use zeroize::Zeroize;

use crate::{
    BLOCK, Way,
    unit::{BATCH, Blocks},
};

/// Round keys of AES-256: the key itself and one for each of 14 rounds (FIPS 197 5.2).
pub(crate) const ROUND_KEYS: usize = 15;

/// Blocks in flight: AESENC takes 3-4 cycles and two start in each.
const WIDE: usize = 8;

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
fn load(bytes: &[u8; BLOCK]) -> __m128i {
    // SAFETY: 16 readable bytes; unaligned is allowed.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "aes,sse2")]
fn store(bytes: &mut [u8; BLOCK], value: __m128i) {
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
    unsafe fn tweaks(&self, first: u64, tweaks: &mut [[u8; BLOCK]; BATCH]) {
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
                Way::Encrypt => run::<true>(&self.encrypt, tweak, from, to, count),
                Way::Decrypt => run::<false>(&self.decrypt, tweak, from, to, count),
            }
        }
    }
}

/// The tweaks of [`BATCH`] units.
#[target_feature(enable = "aes,sse2")]
pub(crate) fn encrypt_numbers(schedule: &Schedule, first: u64, tweaks: &mut [[u8; BLOCK]; BATCH]) {
    let mut blocks = [_mm_setzero_si128(); BATCH];
    for (index, block) in blocks.iter_mut().enumerate() {
        *block = _mm_set_epi64x(0, first.wrapping_add(index as u64).cast_signed());
    }
    rounds::<true, BATCH>(schedule, &mut blocks);
    for (tweak, block) in tweaks.iter_mut().zip(blocks) {
        store(tweak, block);
    }
}

/// One block, where it lies.
#[target_feature(enable = "aes,sse2")]
fn encrypt_block(schedule: &Schedule, block: &mut [u8; BLOCK]) {
    let mut blocks = [load(block)];
    rounds::<true, 1>(schedule, &mut blocks);
    store(block, blocks[0]);
}

/// `N` blocks through all rounds, side by side.
#[target_feature(enable = "aes,sse2")]
#[inline]
fn rounds<const ENCRYPT: bool, const N: usize>(schedule: &Schedule, blocks: &mut [__m128i; N]) {
    let key = load(&schedule[0]);
    for block in blocks.iter_mut() {
        *block = _mm_xor_si128(*block, key);
    }
    for key in &schedule[1..ROUND_KEYS - 1] {
        let key = load(key);
        for block in blocks.iter_mut() {
            *block = if ENCRYPT { _mm_aesenc_si128(*block, key) } else { _mm_aesdec_si128(*block, key) };
        }
    }
    let key = load(&schedule[ROUND_KEYS - 1]);
    for block in blocks.iter_mut() {
        *block = if ENCRYPT { _mm_aesenclast_si128(*block, key) } else { _mm_aesdeclast_si128(*block, key) };
    }
}

/// The next tweak: both halves doubled; the bit that leaves the low half enters the high one, the bit that
/// leaves the high half comes back as 0x87.
#[target_feature(enable = "aes,sse2")]
#[inline]
fn doubled(tweak: __m128i) -> __m128i {
    let signs = _mm_shuffle_epi32::<0x13>(_mm_srai_epi32::<31>(tweak));
    let carries = _mm_and_si128(signs, _mm_set_epi32(0, 1, 0, 0x87));
    _mm_xor_si128(_mm_add_epi64(tweak, tweak), carries)
}

/// # Safety
/// As [`Blocks::blocks`].
#[target_feature(enable = "aes,sse2")]
unsafe fn run<const ENCRYPT: bool>(
    schedule: &Schedule,
    tweak: &mut [u8; BLOCK],
    from: *const u8,
    to: *mut u8,
    count: usize,
) {
    let mut next = load(tweak);
    let (mut at, end) = (0, count * BLOCK);
    // SAFETY: `at` and the blocks that follow stay below `end`, the length of both ranges.
    unsafe {
        while end - at >= WIDE * BLOCK {
            next = step::<ENCRYPT, WIDE>(schedule, next, from.add(at), to.add(at));
            at += WIDE * BLOCK;
        }
        while at < end {
            next = step::<ENCRYPT, 1>(schedule, next, from.add(at), to.add(at));
            at += BLOCK;
        }
    }
    store(tweak, next);
}

/// `N` blocks; answers the tweak after them.
///
/// # Safety
/// `from` and `to` hold `N` blocks.
#[target_feature(enable = "aes,sse2")]
#[inline]
unsafe fn step<const ENCRYPT: bool, const N: usize>(
    schedule: &Schedule,
    mut tweak: __m128i,
    from: *const u8,
    to: *mut u8,
) -> __m128i {
    let mut tweaks = [_mm_setzero_si128(); N];
    let mut blocks = [_mm_setzero_si128(); N];
    for (index, (block, used)) in blocks.iter_mut().zip(&mut tweaks).enumerate() {
        *used = tweak;
        // SAFETY: block `index` of `from`.
        let bytes = unsafe { _mm_loadu_si128(from.add(index * BLOCK).cast()) };
        *block = _mm_xor_si128(bytes, tweak);
        tweak = doubled(tweak);
    }
    rounds::<ENCRYPT, N>(schedule, &mut blocks);
    for (index, (block, used)) in blocks.into_iter().zip(tweaks).enumerate() {
        // SAFETY: block `index` of `to`.
        unsafe { _mm_storeu_si128(to.add(index * BLOCK).cast(), _mm_xor_si128(block, used)) };
    }
    tweak
}
