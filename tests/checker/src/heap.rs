//! The process' memory: counted, and failing when it is told to.
//!
//! Whoever links this crate has this allocator. Only the thread that asks is concerned. What does not fail is an allocation
//! of no more than the same thread has given back just before: code that cannot take a failure asks that way.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr,
};

use crate::rules::holds_locks;

thread_local! {
    /// Allocations that still go well. `u64::MAX`: all.
    static GRACE: Cell<u64> = const { Cell::new(u64::MAX) };
    /// All after them fail, and not only the next.
    static ALL: Cell<bool> = const { Cell::new(false) };
    /// Bytes of the block that was given back last, if nothing was taken since.
    static GIVEN_BACK: Cell<usize> = const { Cell::new(0) };
    /// The checker's own books are not what is tested.
    static APART: Cell<bool> = const { Cell::new(false) };
    static FAILED: Cell<u64> = const { Cell::new(0) };
    /// Blocks taken less blocks given back, and the same in bytes.
    static LIVE: Cell<(i64, i64)> = const { Cell::new((0, 0)) };
    static UNDER_LOCK: Cell<u64> = const { Cell::new(0) };
}

struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

/// Whether this allocation is to fail.
fn fails(size: usize) -> bool {
    if APART.get() {
        return false;
    }
    if holds_locks() {
        UNDER_LOCK.set(UNDER_LOCK.get() + 1);
    }
    let (grace, is_there) = (GRACE.get(), size <= GIVEN_BACK.replace(0));
    if grace == u64::MAX || is_there && !ALL.get() {
        return false;
    }
    if grace > 0 {
        GRACE.set(grace - 1);
        return false;
    }
    FAILED.set(FAILED.get() + 1);
    if !ALL.get() {
        GRACE.set(u64::MAX);
    }
    true
}

fn count(blocks: i64, bytes: i64) {
    if APART.get() {
        return;
    }
    let (live, size) = LIVE.get();
    LIVE.set((live + blocks, size + bytes));
}

fn taken(block: *mut u8, layout: Layout) -> *mut u8 {
    if !block.is_null() {
        count(1, layout.size() as i64);
    }
    block
}

// SAFETY: the system's allocator does it all; in between only numbers of the thread are changed.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails(layout.size()) {
            return ptr::null_mut();
        }
        // SAFETY: the caller's contract.
        taken(unsafe { System.alloc(layout) }, layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if fails(layout.size()) {
            return ptr::null_mut();
        }
        // SAFETY: as above.
        taken(unsafe { System.alloc_zeroed(layout) }, layout)
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails(size) {
            return ptr::null_mut();
        }
        // SAFETY: as above.
        let block = unsafe { System.realloc(block, layout, size) };
        if !block.is_null() {
            count(0, size as i64 - layout.size() as i64);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-1, -(layout.size() as i64));
        GIVEN_BACK.set(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) };
    }
}

/// What the checker does for itself.
pub(crate) fn apart<T>(what: impl FnOnce() -> T) -> T {
    let before = APART.replace(true);
    let result = what();
    APART.set(before);
    result
}

/// Allocations of this thread under a lock, since this was last asked.
pub(crate) fn under_lock() -> u64 {
    UNDER_LOCK.replace(0)
}

/// All allocations of this thread fail from here on, while `what` is done: it must not need any.
pub fn without<T>(what: impl FnOnce() -> T) -> T {
    starved(0, true, what).0
}

/// `what`, of whose allocations so many go well, and then one fails, or all; and how many failed.
fn starved<T>(grace: u64, all: bool, what: impl FnOnce() -> T) -> (T, u64) {
    FAILED.set(0);
    GIVEN_BACK.set(0);
    ALL.set(all);
    GRACE.set(grace);
    let result = what();
    GRACE.set(u64::MAX);
    (result, FAILED.replace(0))
}

/// Does `what` again and again, and each time another of its allocations fails, the first, the second, until there is none
/// left. What it answers is given to `judge`, with whether memory was lacking: it should be an error then, or as good as
/// ever. It must be dropped there, and nothing kept. Answers how many allocations there are.
///
/// # Panics
/// `pool.leak`, if after a run there is more memory than before, and if no end comes.
#[allow(clippy::panic, reason = "a test that breaks a rule stops")]
pub fn each_in_turn<T>(mut what: impl FnMut() -> T, mut judge: impl FnMut(T, bool)) -> u64 {
    const MOST: u64 = 100_000;
    judge(what(), false); // what is set up once in a process is set up now
    for grace in 0..MOST {
        let before = LIVE.get();
        let (result, failed) = starved(grace, false, &mut what);
        judge(result, failed > 0);
        let after = LIVE.get();
        if after != before && failed > 0 {
            panic!(
                "pool.leak: {before:?} blocks and bytes before allocation {grace} failed, {after:?} after"
            );
        }
        if failed == 0 {
            return grace;
        }
    }
    panic!("still not enough memory after {MOST} allocations");
}
