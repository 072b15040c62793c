//! A box that may fail: in a kernel, running out of memory is an answer and not the end.

use alloc::{
    alloc::{alloc, alloc_zeroed},
    boxed::Box,
};
use core::{alloc::Layout, ptr::NonNull};

/// Moves `value` to the heap, or answers `None` (and drops it) when memory has run out.
// Never part of its caller, where what is large would lie on the stack a second time.
#[inline(never)]
pub fn try_box<T>(value: T) -> Option<Box<T>> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        return Some(Box::new(value)); // allocates nothing
    }
    // SAFETY: the layout is not of size zero.
    let memory = NonNull::new(unsafe { alloc(layout) })?.cast::<T>();
    // SAFETY: fresh memory of `T`'s layout from the global allocator, which is what a `Box` owns.
    unsafe {
        memory.write(value);
        Some(Box::from_raw(memory.as_ptr()))
    }
}

/// `N` zeros on the heap, or `None` when memory has run out. They never lie on the stack.
pub fn try_zeros<const N: usize>() -> Option<Box<[u8; N]>> {
    let layout = Layout::new::<[u8; N]>();
    if N == 0 {
        return Some(Box::new([0; N])); // allocates nothing
    }
    // SAFETY: the layout is not of size zero.
    let memory = NonNull::new(unsafe { alloc_zeroed(layout) })?.cast::<[u8; N]>();
    // SAFETY: fresh memory of the layout from the global allocator; zeros are valid bytes.
    Some(unsafe { Box::from_raw(memory.as_ptr()) })
}
