//! AES instructions on ZMM registers: four blocks an instruction, 32 in flight.
//!
//! Whoever calls this in kernel mode must have saved the extended processor state
//! (`KeSaveExtendedProcessorState` with the AVX-512 components); the driver is built without this module.

use core::arch::x86_64::*;

use zeroize::Zeroize;

use crate::{
    BLOCK, Way, aesni,
    unit::{BATCH, Blocks},
};

/// Vectors in flight: two AES units, each with four cycles of latency.
const WIDE: usize = 8;
/// Blocks in a vector.
const LANES: usize = 4;

/// Whether the processor has what this module uses, and the operating system saves the registers.
pub(crate) fn available() -> bool {
    // Leaf 1 ECX: OSXSAVE 27. Leaf 7 EBX: AVX512F 16, AVX512BW 30; ECX: VAES 9, VPCLMULQDQ 10.
    if !aesni::available() || __cpuid(1).ecx & (1 << 27) == 0 || __cpuid(0).eax < 7 {
        return false;
    }
    let leaf = __cpuid_count(7, 0);
    let instructions = leaf.ebx & (1 << 16 | 1 << 30) == (1 << 16 | 1 << 30)
        && leaf.ecx & (1 << 9 | 1 << 10) == (1 << 9 | 1 << 10);
    // XCR0: SSE 1, AVX 2, opmask 5, ZMM_Hi256 6, Hi16_ZMM 7.
    const STATE: u64 = 0b1110_0110;
    // SAFETY: OSXSAVE says that XGETBV may be used.
    instructions && unsafe { _xgetbv(0) } & STATE == STATE
}

/// Expanded keys, as for XMM: broadcasting them costs nothing beside the rounds.
pub(crate) struct Keys(aesni::Keys);

impl Keys {
    pub(crate) const fn zeroed() -> Self {
        Self(aesni::Keys::zeroed())
    }

    /// Only after [`available`].
    pub(crate) fn expand(&mut self, data: &[u8; 32], tweak: &[u8; 32]) {
        self.0.expand(data, tweak);
    }
}

impl Blocks for Keys {
    unsafe fn tweaks(&self, first: u64, tweaks: &mut [[u8; BLOCK]; BATCH]) {
        // SAFETY: whoever has VAES has AES-NI.
        unsafe { self.0.tweaks(first, tweaks) };
    }

    unsafe fn tweak(&self, tweak: &mut [u8; BLOCK]) {
        // SAFETY: as above.
        unsafe { self.0.tweak(tweak) };
    }

    unsafe fn blocks(&self, way: Way, tweak: &mut [u8; BLOCK], from: *const u8, to: *mut u8, count: usize) {
        let wide = count / (WIDE * LANES) * (WIDE * LANES);
        // SAFETY: the trait's contract; the rest begins where the wide part ends.
        unsafe {
            if wide > 0 {
                match way {
                    Way::Encrypt => run::<true>(&self.0.encrypt, tweak, from, to, wide),
                    Way::Decrypt => run::<false>(&self.0.decrypt, tweak, from, to, wide),
                }
            }
            self.0.blocks(way, tweak, from.add(wide * BLOCK), to.add(wide * BLOCK), count - wide);
        }
    }
}

/// All lanes multiplied by x^4: shifted left by four bits, with what leaves at the top reduced.
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
#[inline]
fn times_x4(tweaks: __m512i) -> __m512i {
    let low_to_high = _mm512_bslli_epi128::<8>(_mm512_srli_epi64::<60>(tweaks));
    let shifted = _mm512_or_si512(_mm512_slli_epi64::<4>(tweaks), low_to_high);
    let leaving = _mm512_bsrli_epi128::<8>(_mm512_srli_epi64::<60>(tweaks));
    _mm512_xor_si512(shifted, _mm512_clmulepi64_epi128::<0>(leaving, _mm512_set1_epi64(0x87)))
}

/// All lanes multiplied by x^32: the tweak of the same place in the next round of 32 blocks.
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
#[inline]
fn times_x32(tweaks: __m512i) -> __m512i {
    let leaving = _mm512_bsrli_epi128::<12>(tweaks);
    let back = _mm512_clmulepi64_epi128::<0>(leaving, _mm512_set1_epi64(0x87));
    _mm512_xor_si512(_mm512_bslli_epi128::<4>(tweaks), back)
}

/// # Safety
/// As [`Blocks::blocks`], with `count` a multiple of `WIDE * LANES`.
#[target_feature(enable = "avx512f,avx512bw,vaes,vpclmulqdq")]
unsafe fn run<const ENCRYPT: bool>(
    schedule: &aesni::Schedule,
    tweak: &mut [u8; BLOCK],
    from: *const u8,
    to: *mut u8,
    count: usize,
) {
    let mut lanes = [[0; BLOCK]; LANES];
    let mut next = *tweak;
    for lane in &mut lanes {
        *lane = next;
        next = crate::unit::doubled(next);
    }
    let mut tweaks = [_mm512_setzero_si512(); WIDE];
    // SAFETY: 64 readable bytes.
    tweaks[0] = unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) };
    for index in 1..WIDE {
        tweaks[index] = times_x4(tweaks[index - 1]);
    }
    let mut keys = [_mm512_setzero_si512(); aesni::ROUND_KEYS];
    for (key, bytes) in keys.iter_mut().zip(schedule) {
        // SAFETY: 16 readable bytes.
        *key = _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) });
    }
    let (mut at, end) = (0, count * BLOCK);
    while at < end {
        // SAFETY: 512 bytes from `at` lie below `end`, the length of both ranges.
        unsafe { step::<ENCRYPT>(&keys, &tweaks, from.add(at), to.add(at)) };
        for tweak in &mut tweaks {
            *tweak = times_x32(*tweak);
        }
        at += WIDE * LANES * BLOCK;
    }
    // SAFETY: 16 writable bytes.
    unsafe { _mm_storeu_si128(tweak.as_mut_ptr().cast(), _mm512_castsi512_si128(tweaks[0])) };
    lanes.as_flattened_mut().zeroize();
}

/// # Safety
/// `from` and `to` hold `WIDE * LANES` blocks.
#[target_feature(enable = "avx512f,avx512bw,vaes,vpclmulqdq")]
#[inline]
unsafe fn step<const ENCRYPT: bool>(
    keys: &[__m512i; aesni::ROUND_KEYS],
    tweaks: &[__m512i; WIDE],
    from: *const u8,
    to: *mut u8,
) {
    let mut blocks = [_mm512_setzero_si512(); WIDE];
    for (index, (block, tweak)) in blocks.iter_mut().zip(tweaks).enumerate() {
        // SAFETY: vector `index` of `from`.
        let bytes = unsafe { _mm512_loadu_si512(from.add(index * LANES * BLOCK).cast()) };
        *block = _mm512_ternarylogic_epi64::<0x96>(bytes, *tweak, keys[0]);
    }
    for key in &keys[1..aesni::ROUND_KEYS - 1] {
        for block in &mut blocks {
            *block =
                if ENCRYPT { _mm512_aesenc_epi128(*block, *key) } else { _mm512_aesdec_epi128(*block, *key) };
        }
    }
    let key = keys[aesni::ROUND_KEYS - 1];
    for (index, (block, tweak)) in blocks.into_iter().zip(tweaks).enumerate() {
        let block =
            if ENCRYPT { _mm512_aesenclast_epi128(block, key) } else { _mm512_aesdeclast_epi128(block, key) };
        // SAFETY: vector `index` of `to`.
        unsafe { _mm512_storeu_si512(to.add(index * LANES * BLOCK).cast(), _mm512_xor_si512(block, *tweak)) };
    }
}
