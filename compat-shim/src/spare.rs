//! Private memory for writes that a stage changes: set up with the unit, never allocated per I/O.

use core::{
    ptr::{self, NonNull},
    slice,
};

use crate::retired::retire;

/// Size classes of private memory.
const CLASSES: usize = 2;

/// Buffers in two sizes. Most writes fit the small ones; the large ones take any transfer that the unit
/// allows, and since there is at least one, every write makes progress in the end.
#[derive(Debug)]
pub struct Spares {
    classes: [Class; CLASSES],
}

#[derive(Debug)]
struct Class {
    size: usize,
    /// Free buffers, each holding the address of the next in its first bytes.
    free: *mut u8,
}

/// A buffer that a request holds.
#[derive(Debug)]
pub struct Held {
    class: usize,
    size: usize,
    address: NonNull<u8>,
}

// SAFETY: the buffers belong to whoever holds the `Spares`.
unsafe impl Send for Spares {}

impl Spares {
    /// No buffers: for a unit whose chain changes no payload.
    pub const fn none() -> Self {
        Self { classes: [const { Class { size: 0, free: ptr::null_mut() } }; CLASSES] }
    }

    /// Buffers of `small` and `large` bytes, none of them yet.
    pub const fn new(small: usize, large: usize) -> Self {
        Self {
            classes: [
                Class { size: small, free: ptr::null_mut() },
                Class { size: large, free: ptr::null_mut() },
            ],
        }
    }

    /// Adds a small (`false`) or a large buffer.
    ///
    /// # Safety
    /// `address` points at as many bytes as its class has (at least a pointer's), initialized, aligned to 8, used
    /// by nobody else for as long as these spares exist.
    pub unsafe fn add(&mut self, large: bool, address: NonNull<u8>) {
        let class = usize::from(large);
        let mut held = Held { class, size: self.classes[class].size, address };
        retire(held.rest());
        self.give(held);
    }

    /// The largest transfer that fits a buffer, in bytes, while all are free.
    pub(crate) fn largest(&self) -> usize {
        let there = self.classes.iter().filter(|class| !class.free.is_null());
        there.map(|class| class.size).max().unwrap_or(0)
    }

    /// A buffer of at least `bytes`; a large one if the small ones are out.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<Held> {
        for (number, class) in self.classes.iter_mut().enumerate() {
            if class.size < bytes {
                continue;
            }
            if let Some(address) = NonNull::new(class.free) {
                // SAFETY: a free buffer's first bytes hold the next one's address (`give`).
                class.free = unsafe { address.cast::<*mut u8>().read() };
                return Some(Held { class: number, size: class.size, address });
            }
        }
        None
    }

    pub(crate) fn give(&mut self, held: Held) {
        let class = &mut self.classes[held.class];
        // SAFETY: the buffer is free now, and large and aligned enough for a pointer (`add`).
        unsafe { held.address.cast::<*mut u8>().write(class.free) };
        class.free = held.address.as_ptr();
    }
}

impl Held {
    /// First byte.
    pub(crate) fn address(&self) -> NonNull<u8> {
        self.address
    }

    /// All but the first bytes, in which a free buffer holds the next one's address.
    pub(crate) fn rest(&mut self) -> &mut [u8] {
        let link = size_of::<*mut u8>();
        // SAFETY: `Spares::add`'s contract: so many bytes, initialized, and whoever has this has them alone.
        unsafe { slice::from_raw_parts_mut(self.address.add(link).as_ptr(), self.size.saturating_sub(link)) }
    }

    /// Length in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }
}
