//! Memory that the device reads and writes while we do.
//!
//! Nothing of it is ever a Rust reference. Fields are read and written whole, by atomic accesses whose ordering stands
//! at each call; payloads are copied as bytes that may change. All numbers are little-endian (VIRTIO 1.2, 1.4).
//!
//! Every access is bounded by its [`Part`]: one that does not fit reads zeros and writes nothing. That is a mistake of
//! ours, never of the device, whose words lead to no address; debug builds stop there.

use core::{
    ptr::NonNull,
    sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering},
};

use sluice_chain::bytes::{Source, Target};

/// Where the device finds a byte: a bus address, or whatever its transport has agreed on with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceAddress(pub u64);

/// One block of memory shared with the device, to be carved up.
#[derive(Debug)]
pub struct Shared {
    rest: Part,
}

/// A stretch of shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    start: NonNull<u8>,
    length: usize,
    device: DeviceAddress,
}

// SAFETY: an address whose target is reached by atomic accesses, and by copies that expect others to write.
unsafe impl Send for Part {}
// SAFETY: as above.
unsafe impl Sync for Part {}

impl Shared {
    /// Memory at `start`, which the device finds at `device`. What is in it does not matter.
    ///
    /// # Safety
    /// `length` bytes at `start` are initialized, readable, writable and used by nobody but the device for as long as
    /// anything made of this exists, and contiguous for the device.
    pub unsafe fn from_raw(start: NonNull<u8>, length: usize, device: DeviceAddress) -> Self {
        Self { rest: Part { start, length, device } }
    }

    /// Takes `length` bytes off, aligned to `alignment` (a power of two) here and for the device; `None` if they are not
    /// there.
    pub fn carve(&mut self, length: usize, alignment: usize) -> Option<Part> {
        let skip = self.rest.start.as_ptr().align_offset(alignment);
        let part = self.rest.part(skip, length)?;
        if !part.device.0.is_multiple_of(alignment as u64) {
            return None;
        }
        let after = skip.checked_add(length)?;
        self.rest = self.rest.part(after, self.rest.length.checked_sub(after)?)?;
        Some(part)
    }
}

macro_rules! field {
    ($load:ident, $store:ident, $atomic:ident, $type:ty) => {
        /// The field at `at`.
        pub fn $load(&self, at: usize, order: Ordering) -> $type {
            let Some(place) = self.field(at, size_of::<$type>()) else { return 0 };
            // SAFETY: inside the part and aligned (`field`); valid by the contract of `Shared`.
            let field = unsafe { $atomic::from_ptr(place.cast().as_ptr()) };
            <$type>::from_le(field.load(order))
        }

        /// Sets the field at `at`.
        pub fn $store(&self, at: usize, value: $type, order: Ordering) {
            let Some(place) = self.field(at, size_of::<$type>()) else { return };
            // SAFETY: as above.
            let field = unsafe { $atomic::from_ptr(place.cast().as_ptr()) };
            field.store(value.to_le(), order);
        }
    };
}

impl Part {
    /// Length in bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Where the device finds it.
    pub fn device(&self) -> DeviceAddress {
        self.device
    }

    /// A stretch of it; `None` if it is not inside.
    pub fn part(&self, at: usize, length: usize) -> Option<Self> {
        if at > self.length || length > self.length - at {
            return None;
        }
        // SAFETY: inside the block, or one past it.
        let start = unsafe { self.start.add(at) };
        Some(Self { start, length, device: DeviceAddress(self.device.0.checked_add(at as u64)?) })
    }

    field!(load8, store8, AtomicU8, u8);
    field!(load16, store16, AtomicU16, u16);
    field!(load32, store32, AtomicU32, u32);
    field!(load64, store64, AtomicU64, u64);

    fn field(&self, at: usize, size: usize) -> Option<NonNull<u8>> {
        let place = self.part(at, size).map(|part| part.start).filter(|place| place.addr().get() % size == 0);
        debug_assert!(place.is_some(), "{size} bytes at {at} of {}", self.length);
        place
    }

    /// Copies bytes in from its front on; answers how many there was room for.
    pub fn copy_in(&self, from: Source<'_>) -> usize {
        self.bytes().copy_from(from)
    }

    /// Copies bytes out from its front on; answers how many there were.
    pub fn copy_out(&self, mut to: Target<'_>) -> usize {
        to.copy_from(self.bytes().as_source())
    }

    /// Sets every byte to zero.
    pub fn clear(&self) {
        self.bytes().clear();
    }

    fn bytes(&self) -> Target<'_> {
        // SAFETY: inside the block, to which no reference ever exists.
        unsafe { Target::from_raw(self.start.as_ptr(), self.length) }
    }
}
