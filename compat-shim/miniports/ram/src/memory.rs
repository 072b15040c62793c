//! The disk's bytes. Any number of threads copy in and out at once.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::{alloc::Layout, ptr::NonNull};

use sluice_chain::bytes::{Source, Target};

/// Alignment of the disk's first byte: a page, as buffers of real I/O have.
const ALIGNMENT: usize = 4096;

#[derive(Debug)]
pub(crate) struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the bytes are reached through `Source` and `Target` only, which expect others to change them.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// `None` if `bytes` is zero or memory has run out.
    pub(crate) fn zeroed(bytes: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes, ALIGNMENT).ok().filter(|layout| layout.size() > 0)?;
        // SAFETY: the layout is not of size zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self { start, layout })
    }

    /// At most `length` bytes from `offset` on.
    fn stretch(&self, offset: u64, length: usize) -> Option<(*mut u8, usize)> {
        let offset = usize::try_from(offset).ok()?;
        let rest = self.layout.size().checked_sub(offset)?;
        // SAFETY: `offset` is inside the allocation or one past it.
        Some((unsafe { self.start.add(offset) }.as_ptr(), rest.min(length)))
    }

    fn target(&self, offset: u64, length: usize) -> Option<Target<'_>> {
        // SAFETY: inside the allocation, which lives as long as `self`, and to which no reference ever exists.
        self.stretch(offset, length).map(|(start, length)| unsafe { Target::from_raw(start, length) })
    }

    /// Copies bytes out; answers how many there were.
    pub(crate) fn read(&self, offset: u64, mut to: Target<'_>) -> usize {
        self.target(offset, to.len()).map_or(0, |from| to.copy_from(from.as_source()))
    }

    /// Copies bytes in; answers for how many there was room.
    pub(crate) fn write(&self, offset: u64, from: Source<'_>) -> usize {
        self.target(offset, from.len()).map_or(0, |mut to| to.copy_from(from))
    }

    /// Sets bytes to zero.
    pub(crate) fn clear(&self, offset: u64, length: usize) {
        if let Some(mut bytes) = self.target(offset, length) {
            bytes.clear();
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and nobody borrows it any more.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
