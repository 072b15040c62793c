//! The driver's heap: non-paged, not executable pool. Usable at up to DISPATCH_LEVEL.

use core::{
    alloc::{GlobalAlloc, Layout},
    ptr::NonNull,
};

use wdk_sys::{PVOID, SIZE_T, ULONG, ntddk::ExFreePoolWithTag};

/// `Slui`, as pool tools show it.
const TAG: ULONG = u32::from_le_bytes(*b"Slui");

/// `POOL_TYPE::NonPagedPoolNx`.
const NON_PAGED_NX: i32 = 512;

/// Alignment that the pool gives by itself on 64-bit systems (`MEMORY_ALLOCATION_ALIGNMENT`).
const POOL_ALIGNMENT: usize = 16;

unsafe extern "C" {
    // wdk-sys leaves this one out as deprecated; its successor ExAllocatePool2 exists only from Windows 10
    // version 2004 on. Zeroing, the successor's point, is done by whoever needs it.
    fn ExAllocatePoolWithTag(pool_type: i32, bytes: SIZE_T, tag: ULONG) -> PVOID;
}

/// The allocator behind `alloc`.
struct NonPaged;

#[global_allocator]
static HEAP: NonPaged = NonPaged;

// SAFETY: blocks come from the pool and go back once. Alignments beyond the pool's own are made by allocating
// more and remembering the pool's address just below the block.
unsafe impl GlobalAlloc for NonPaged {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= POOL_ALIGNMENT {
            // SAFETY: any size above zero may be asked for at up to DISPATCH_LEVEL.
            return unsafe { ExAllocatePoolWithTag(NON_PAGED_NX, layout.size() as SIZE_T, TAG) }.cast();
        }
        let Some(total) = layout.size().checked_add(layout.align()) else { return core::ptr::null_mut() };
        // SAFETY: as above.
        let block: *mut u8 = unsafe { ExAllocatePoolWithTag(NON_PAGED_NX, total as SIZE_T, TAG) }.cast();
        if block.is_null() {
            return block;
        }
        // `block` is aligned to 16, so there are at least 16 bytes between it and the next multiple.
        // SAFETY: inside the `size + align` bytes just allocated.
        unsafe {
            let aligned = block.add(layout.align() - block.addr() % layout.align());
            aligned.cast::<*mut u8>().sub(1).write(block);
            aligned
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` comes from `alloc` with the same layout.
        unsafe {
            let block = if layout.align() <= POOL_ALIGNMENT {
                pointer
            } else {
                pointer.cast::<*mut u8>().sub(1).read()
            };
            ExFreePoolWithTag(block.cast(), TAG);
        }
    }
}

/// A block that its receiver frees (`ExFreePool`): what a PnP request is answered with. PASSIVE_LEVEL. `None` when memory has
/// run out.
pub(crate) fn give_away(bytes: usize) -> Option<NonNull<u8>> {
    const PAGED: i32 = 1;
    // SAFETY: any size above zero.
    NonNull::new(unsafe { ExAllocatePoolWithTag(PAGED, bytes.max(1) as SIZE_T, TAG) }.cast())
}

/// Frees a block that another driver gave away.
///
/// # Safety
/// It comes from the pool and is nobody else's.
pub(crate) unsafe fn free_given(block: NonNull<u8>) {
    // SAFETY: the caller's contract. Tag 0: whatever its allocator's was.
    unsafe { ExFreePoolWithTag(block.as_ptr().cast(), 0) };
}

/// For zstd. What it holds, it takes when a volume is unlocked, and gives back when that is locked.
///
/// # Safety
/// None is needed: any size will do.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> PVOID {
    // SAFETY: any size above zero may be asked for at up to DISPATCH_LEVEL.
    unsafe { ExAllocatePoolWithTag(NON_PAGED_NX, size.max(1) as SIZE_T, TAG) }
}

/// As [`malloc`], zeroed.
///
/// # Safety
/// As [`malloc`].
#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(count: usize, size: usize) -> PVOID {
    let Some(bytes) = count.checked_mul(size) else { return core::ptr::null_mut() };
    // SAFETY: as above; so many bytes are there if the answer is not null.
    unsafe {
        let block = malloc(bytes);
        if !block.is_null() {
            block.cast::<u8>().write_bytes(0, bytes);
        }
        block
    }
}

/// Gives it back.
///
/// # Safety
/// `block` is null, or from [`malloc`] or [`calloc`], and not used again.
#[unsafe(no_mangle)]
unsafe extern "C" fn free(block: PVOID) {
    if !block.is_null() {
        // SAFETY: the caller's contract.
        unsafe { ExFreePoolWithTag(block, TAG) };
    }
}
