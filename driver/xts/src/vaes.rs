//! AES instructions on ZMM registers: four blocks an instruction, 32 in flight.
//!
//! Whoever calls this in kernel mode must have saved the extended processor state
//! (`KeSaveExtendedProcessorState` with the AVX-512 components); the driver is built without this module.

use core::arch::x86_64::*;

use crate::{BLOCK, Way, aesni, unit::Blocks};

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
    unsafe fn tweaks(&self, first: u64, tweaks: &mut [[u8; BLOCK]]) {
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

/// The tweaks of the first 32 blocks of a unit, from that of its first.
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
#[inline]
fn first_tweaks(tweak: __m128i) -> [__m512i; WIDE] {
    let same = _mm512_broadcast_i32x4(tweak);
    // Lane n times x^n: what a shift of the halves by n bits leaves behind is found by shifting the other way.
    let left = _mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0);
    let leaving = _mm512_srlv_epi64(same, _mm512_sub_epi64(_mm512_set1_epi64(64), left));
    let lanes = reduced(_mm512_sllv_epi64(same, left), leaving);
    // Each from the first, so that none waits for another.
    [
        lanes,
        times::<4, 60>(lanes),
        times::<8, 56>(lanes),
        times::<12, 52>(lanes),
        times::<16, 48>(lanes),
        times::<20, 44>(lanes),
        times::<24, 40>(lanes),
        times::<28, 36>(lanes),
    ]
}

/// All lanes multiplied by x^`LEFT`; `RIGHT` is 64 - `LEFT`.
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
#[inline]
fn times<const LEFT: u32, const RIGHT: u32>(tweaks: __m512i) -> __m512i {
    reduced(_mm512_slli_epi64::<LEFT>(tweaks), _mm512_srli_epi64::<RIGHT>(tweaks))
}

/// Joins halves that have been shifted with the bits that left them: those of the low half enter the high one, those
/// of the high half come back multiplied by 0x87.
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
#[inline]
fn reduced(shifted: __m512i, leaving: __m512i) -> __m512i {
    let back = _mm512_clmulepi64_epi128::<1>(leaving, _mm512_set1_epi64(0x87));
    _mm512_ternarylogic_epi64::<0x96>(shifted, _mm512_bslli_epi128::<8>(leaving), back)
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
    let mut tweaks = first_tweaks(aesni::load(tweak));
    let mut keys = [_mm512_setzero_si512(); aesni::ROUND_KEYS];
    for (key, bytes) in keys.iter_mut().zip(schedule) {
        *key = _mm512_broadcast_i32x4(aesni::load(bytes));
    }
    let (mut at, end) = (0, count * BLOCK);
    while at < end {
        // SAFETY: 512 bytes from `at` lie below `end`, the length of both ranges.
        unsafe { step::<ENCRYPT>(&keys, &mut tweaks, from.add(at), to.add(at)) };
        at += WIDE * LANES * BLOCK;
    }
    aesni::store(tweak, _mm512_castsi512_si128(tweaks[0]));
}

/// 32 blocks; moves the tweaks on by as many.
///
/// # Safety
/// `from` and `to` hold so many.
#[target_feature(enable = "avx512f,avx512bw,vaes,vpclmulqdq")]
#[inline]
unsafe fn step<const ENCRYPT: bool>(
    keys: &[__m512i; aesni::ROUND_KEYS],
    tweaks: &mut [__m512i; WIDE],
    from: *const u8,
    to: *mut u8,
) {
    let mut blocks = [_mm512_setzero_si512(); WIDE];
    for (index, (block, tweak)) in blocks.iter_mut().zip(&*tweaks).enumerate() {
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
    for (index, (block, tweak)) in blocks.into_iter().zip(&*tweaks).enumerate() {
        let block =
            if ENCRYPT { _mm512_aesenclast_epi128(block, key) } else { _mm512_aesdeclast_epi128(block, key) };
        // SAFETY: vector `index` of `to`.
        unsafe { _mm512_storeu_si512(to.add(index * LANES * BLOCK).cast(), _mm512_xor_si512(block, *tweak)) };
    }
    // Spelled out: as a loop it would not be unrolled, and the tweaks would go through memory.
    let [t0, t1, t2, t3, t4, t5, t6, t7] = *tweaks;
    *tweaks = [
        times_x32(t0),
        times_x32(t1),
        times_x32(t2),
        times_x32(t3),
        times_x32(t4),
        times_x32(t5),
        times_x32(t6),
        times_x32(t7),
    ];
}
