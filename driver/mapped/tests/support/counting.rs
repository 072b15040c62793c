//! Counts what a thread allocates while it is watched: by Rust, and by the C library that compresses. The first is shown
//! with how it came about.

use std::{
    backtrace::Backtrace,
    cell::Cell,
    ffi::{c_int, c_void},
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

static COUNTED: AtomicU64 = AtomicU64::new(0);

/// Does something under watch.
pub(crate) fn watched<T>(what: impl FnOnce() -> T) -> T {
    WATCHED.set(true);
    let result = what();
    WATCHED.set(false);
    result
}

/// Allocations under watch since this was last asked.
pub(crate) fn counted() -> u64 {
    COUNTED.swap(0, Ordering::Relaxed)
}

fn note() {
    if WATCHED.get() && COUNTED.fetch_add(1, Ordering::Relaxed) == 0 {
        WATCHED.set(false);
        eprintln!("allocated:\n{}", Backtrace::force_capture());
        WATCHED.set(true);
    }
}

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(alignment: usize, size: usize) -> *mut c_void;
}

// All memory of a program is from these four: Rust's own allocator calls them as well. What they return is given back with
// the C library's `free`.

/// Counts, and has the C library allocate.
///
/// # Safety
/// That of the C library's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    note();
    // SAFETY: the caller's contract is passed on.
    unsafe { __libc_malloc(size) }
}

/// As [`malloc`].
///
/// # Safety
/// That of the C library's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    note();
    // SAFETY: as above.
    unsafe { __libc_calloc(count, size) }
}

/// As [`malloc`].
///
/// # Safety
/// That of the C library's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    note();
    // SAFETY: as above.
    unsafe { __libc_realloc(block, size) }
}

/// As [`malloc`].
///
/// # Safety
/// That of the C library's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn posix_memalign(to: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    const ENOMEM: c_int = 12;
    note();
    // SAFETY: as above; `to` is the caller's to write.
    unsafe {
        let block = __libc_memalign(alignment, size);
        ptr::write(to, block);
        if block.is_null() { ENOMEM } else { 0 }
    }
}
