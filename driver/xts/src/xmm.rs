//! Whole blocks of a data unit on XMM registers, eight in flight.

use core::arch::{asm, x86_64::*};

use crate::{
    BLOCK,
    aesni::{ROUND_KEYS, Schedule, load, store},
};

/// Blocks in flight: AESENC takes 3-4 cycles and two start in each.
const WIDE: usize = 8;

/// All 14 rounds for eight blocks, a round of all before the next round of any; in between, the eight tweaks after
/// `tweak` are put to `following`, as [`eight_from`] makes them.
///
/// In assembly because a compiler that is free to choose takes block after block, to save registers, and leaves the
/// overlap to the processor; and copies round keys to the stack meanwhile. 13 registers, all XMM.
macro_rules! rounds_and_tweaks {
    ($schedule:expr, $blocks:expr, $tweak:expr, $following:expr, $round:literal, $last:literal) => {{
        let [b0, b1, b2, b3, b4, b5, b6, b7] = $blocks;
        // SAFETY: reads the 15 round keys of the schedule, writes the eight tweaks; changes the named registers.
        unsafe {
            asm!(
                "movdqu {key}, [{schedule}]",
                ".irp block, {b0}, {b1}, {b2}, {b3}, {b4}, {b5}, {b6}, {b7}",
                "pxor \\block, {key}",
                ".endr",
                ".irp at, 16, 32, 48, 64, 80, 96, 112, 128",
                "movdqu {key}, [{schedule} + \\at]",
                "movdqa {carries}, {leaving}",
                "paddd {leaving}, {leaving}",
                concat!($round, " {b0}, {key}"),
                concat!($round, " {b1}, {key}"),
                "psrad {carries}, 31",
                "paddq {tweak}, {tweak}",
                concat!($round, " {b2}, {key}"),
                concat!($round, " {b3}, {key}"),
                "pand {carries}, {poly}",
                concat!($round, " {b4}, {key}"),
                concat!($round, " {b5}, {key}"),
                "pxor {tweak}, {carries}",
                concat!($round, " {b6}, {key}"),
                concat!($round, " {b7}, {key}"),
                "movdqa [{following} + \\at - 16], {tweak}",
                ".endr",
                ".irp at, 144, 160, 176, 192, 208",
                "movdqu {key}, [{schedule} + \\at]",
                ".irp block, {b0}, {b1}, {b2}, {b3}, {b4}, {b5}, {b6}, {b7}",
                concat!($round, " \\block, {key}"),
                ".endr",
                ".endr",
                "movdqu {key}, [{schedule} + 224]",
                ".irp block, {b0}, {b1}, {b2}, {b3}, {b4}, {b5}, {b6}, {b7}",
                concat!($last, " \\block, {key}"),
                ".endr",
                schedule = in(reg) $schedule.as_ptr(),
                following = in(reg) $following.as_mut_ptr(),
                key = out(xmm_reg) _,
                carries = out(xmm_reg) _,
                poly = in(xmm_reg) _mm_set_epi32(0, 1, 0, 0x87),
                leaving = inout(xmm_reg) _mm_shuffle_epi32::<0x13>($tweak) => _,
                tweak = inout(xmm_reg) $tweak => _,
                b0 = inout(xmm_reg) *b0,
                b1 = inout(xmm_reg) *b1,
                b2 = inout(xmm_reg) *b2,
                b3 = inout(xmm_reg) *b3,
                b4 = inout(xmm_reg) *b4,
                b5 = inout(xmm_reg) *b5,
                b6 = inout(xmm_reg) *b6,
                b7 = inout(xmm_reg) *b7,
                options(nostack)
            );
        }
    }};
}

/// Runs `count` blocks; moves `tweak` on by as many.
///
/// # Safety
/// As `Blocks::blocks`.
#[target_feature(enable = "aes,sse2")]
pub(crate) unsafe fn run<const ENCRYPT: bool>(
    schedule: &Schedule,
    tweak: &mut [u8; BLOCK],
    from: *const u8,
    to: *mut u8,
    count: usize,
) {
    let (mut at, end) = (0, count * BLOCK);
    let mut next = load(tweak);
    if end >= WIDE * BLOCK {
        let mut tweaks = eight_from(next);
        let mut following = tweaks;
        let (mut tweaks, mut following) = (&mut tweaks, &mut following);
        while end - at >= WIDE * BLOCK {
            // SAFETY: `at` and the blocks that follow stay below `end`, the length of both ranges.
            unsafe { step::<ENCRYPT>(schedule, tweaks, following, from.add(at), to.add(at)) };
            core::mem::swap(&mut tweaks, &mut following);
            at += WIDE * BLOCK;
        }
        next = tweaks[0];
    }
    while at < end {
        // SAFETY: one block from `at` lies below `end`.
        unsafe {
            let bytes = _mm_loadu_si128(from.add(at).cast());
            let block = rounds::<ENCRYPT>(schedule, _mm_xor_si128(bytes, next));
            _mm_storeu_si128(to.add(at).cast(), _mm_xor_si128(block, next));
        }
        next = doubled(next);
        at += BLOCK;
    }
    store(tweak, next);
}

/// [`WIDE`] blocks with their tweaks; makes the tweaks of the next.
///
/// # Safety
/// `from` and `to` hold so many blocks.
#[target_feature(enable = "aes,sse2")]
#[inline]
unsafe fn step<const ENCRYPT: bool>(
    schedule: &Schedule,
    tweaks: &[__m128i; WIDE],
    following: &mut [__m128i; WIDE],
    from: *const u8,
    to: *mut u8,
) {
    let mut blocks = [_mm_setzero_si128(); WIDE];
    for (index, (block, used)) in blocks.iter_mut().zip(tweaks).enumerate() {
        // SAFETY: block `index` of `from`.
        let bytes = unsafe { _mm_loadu_si128(from.add(index * BLOCK).cast()) };
        *block = _mm_xor_si128(bytes, *used);
    }
    if ENCRYPT {
        rounds_and_tweaks!(schedule, &mut blocks, tweaks[WIDE - 1], following, "aesenc", "aesenclast");
    } else {
        rounds_and_tweaks!(schedule, &mut blocks, tweaks[WIDE - 1], following, "aesdec", "aesdeclast");
    }
    for (index, (block, used)) in blocks.into_iter().zip(tweaks).enumerate() {
        // SAFETY: block `index` of `to`.
        unsafe { _mm_storeu_si128(to.add(index * BLOCK).cast(), _mm_xor_si128(block, *used)) };
    }
}

/// One block through all rounds.
#[target_feature(enable = "aes,sse2")]
#[inline]
pub(crate) fn rounds<const ENCRYPT: bool>(schedule: &Schedule, block: __m128i) -> __m128i {
    let mut block = _mm_xor_si128(block, load(&schedule[0]));
    for key in &schedule[1..ROUND_KEYS - 1] {
        let key = load(key);
        block = if ENCRYPT { _mm_aesenc_si128(block, key) } else { _mm_aesdec_si128(block, key) };
    }
    let key = load(&schedule[ROUND_KEYS - 1]);
    if ENCRYPT { _mm_aesenclast_si128(block, key) } else { _mm_aesdeclast_si128(block, key) }
}

/// `tweak` and the seven after it. What leaves either half in so few doublings are its upper bits, which no reduction
/// reaches: they are known beforehand, and one tweak waits for the one before only for an addition and a sum.
#[target_feature(enable = "aes,sse2")]
#[inline]
fn eight_from(mut tweak: __m128i) -> [__m128i; WIDE] {
    let mut tweaks = [tweak; WIDE];
    let mut leaving = _mm_shuffle_epi32::<0x13>(tweak);
    for next in &mut tweaks[1..] {
        let carries = _mm_and_si128(_mm_srai_epi32::<31>(leaving), _mm_set_epi32(0, 1, 0, 0x87));
        leaving = _mm_add_epi32(leaving, leaving);
        tweak = _mm_xor_si128(_mm_add_epi64(tweak, tweak), carries);
        *next = tweak;
    }
    tweaks
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
