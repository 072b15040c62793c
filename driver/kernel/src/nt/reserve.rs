//! Memory kept back for when non-paged pool has run out: what the engine of a mapped volume allocates for each I/O is small
//! and soon given back, and an I/O that is under way must come to its end.
//!
//! Blocks of two sizes, each with a bit that says whether it is taken. No lock, so for any IRQL.

use core::{
    alloc::Layout,
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};

/// What a block of the pool is aligned to if it is a page or longer.
const PAGE: usize = 4096;
const WORDS: usize = 32;

/// Blocks of one size.
struct Class {
    /// Bytes of a block; a power of two.
    block: usize,
    /// How many.
    count: usize,
    /// From the reserve's start, in bytes.
    offset: usize,
    taken: [AtomicU64; WORDS],
}

impl Class {
    const fn new((block, count): (usize, usize), offset: usize) -> Self {
        assert!(count <= WORDS * 64 && count.is_multiple_of(64) && block.is_power_of_two());
        Self { block, count, offset, taken: [const { AtomicU64::new(0) }; WORDS] }
    }

    /// Takes a block; where it begins, from the reserve's start.
    fn take(&self) -> Option<usize> {
        for (i, word) in self.taken.iter().take(self.count / 64).enumerate() {
            loop {
                let bit = (!word.load(Ordering::Relaxed)).trailing_zeros();
                if bit == 64 {
                    break;
                }
                if word.fetch_or(1 << bit, Ordering::Acquire) & 1 << bit == 0 {
                    return Some(self.offset + (i * 64 + bit as usize) * self.block);
                }
            }
        }
        None
    }

    fn give_back(&self, at: usize) {
        let index = (at - self.offset) / self.block;
        if let Some(word) = self.taken.get(index / 64) {
            word.fetch_and(!(1 << (index % 64)), Ordering::Release);
        }
    }
}

/// Bytes of a block and how many: for requests and short lists, as many as there are requests, several times;
const SMALL_BLOCKS: (usize, usize) = (512, 2048);
/// and for contents of blocks and longer lists.
const LARGE_BLOCKS: (usize, usize) = (16 << 10, 256);
const SMALL_END: usize = SMALL_BLOCKS.0 * SMALL_BLOCKS.1;
/// Bytes of all of it: 5 MiB.
pub(super) const BYTES: usize = SMALL_END + LARGE_BLOCKS.0 * LARGE_BLOCKS.1;

static SMALL: Class = Class::new(SMALL_BLOCKS, 0);
static LARGE: Class = Class::new(LARGE_BLOCKS, SMALL_END);

static START: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// Puts memory to use, unless there is some already; answers what is not needed.
///
/// # Safety
/// `memory` is null or [`BYTES`] bytes of non-paged pool, aligned to a page, which stay until [`withdraw`].
pub(super) unsafe fn provide(memory: *mut u8) -> *mut u8 {
    let before = START.compare_exchange(ptr::null_mut(), memory, Ordering::AcqRel, Ordering::Acquire);
    if before.is_ok() { ptr::null_mut() } else { memory }
}

/// Whether there is any.
pub(super) fn is_provided() -> bool {
    !START.load(Ordering::Acquire).is_null()
}

/// Takes the memory out of use. Nothing of it may be taken.
pub(super) fn withdraw() -> *mut u8 {
    START.swap(ptr::null_mut(), Ordering::AcqRel)
}

/// A block for `layout`; null if it is too large, or all are taken.
pub(super) fn take(layout: Layout) -> *mut u8 {
    let start = START.load(Ordering::Acquire);
    if start.is_null() || layout.align() > PAGE.min(SMALL.block) {
        return ptr::null_mut();
    }
    let fitting = [&SMALL, &LARGE].into_iter().filter(|class| layout.size() <= class.block);
    match fitting.filter_map(Class::take).next() {
        Some(at) => start.wrapping_add(at),
        None => ptr::null_mut(),
    }
}

/// Takes a block back; `false` if it is none.
pub(super) fn give_back(block: *mut u8) -> bool {
    let start = START.load(Ordering::Acquire);
    let at = block.addr().wrapping_sub(start.addr());
    if start.is_null() || at >= BYTES {
        return false;
    }
    if at < SMALL_END {
        SMALL.give_back(at)
    } else {
        LARGE.give_back(at)
    }
    true
}
