//! A box that may fail: in a kernel, running out of memory is an answer and not the end.

use alloc::{alloc::alloc, boxed::Box};
use core::{alloc::Layout, ptr::NonNull};

/// Moves `value` to the heap, or answers `None` (and drops it) when memory has run out.
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
