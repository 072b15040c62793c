//! Memory that both processes see.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    ptr::{self, NonNull},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::{
    fs::{MemfdFlags, ftruncate, memfd_create},
    mm::{MapFlags, ProtFlags, mmap, munmap},
};
use sluice_miniport_virtio_blk::memory::{DeviceAddress, Shared};

/// Where the device finds its first byte: nowhere near where we do, so that mistaking one for the other shows.
const DEVICE: u64 = 0x51_0000_0000;
const PAGE: usize = 4096;

/// A file in memory, mapped.
#[derive(Debug)]
pub struct Region {
    file: OwnedFd,
    start: NonNull<u8>,
    length: usize,
    /// What is not given out begins here.
    next: Mutex<usize>,
}

// SAFETY: an address, and memory that is given out once.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// So many bytes, zeros.
    ///
    /// # Errors
    /// The system's.
    pub fn new(length: usize) -> io::Result<Arc<Self>> {
        let file = memfd_create("virtio", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, length as u64)?;
        let (access, kind) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping, wherever there is room.
        let start = unsafe { mmap(ptr::null_mut(), length, access, kind, &file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Arc::new(Self { file, start, length, next: Mutex::new(0) }))
    }

    fn take(&self, length: usize) -> Option<usize> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let length = length.checked_next_multiple_of(PAGE)?;
        let end = next.checked_add(length).filter(|end| *end <= self.length)?;
        *next = end;
        Some(end - length)
    }

    /// Takes `length` bytes for a device's queues; they are gone for others.
    ///
    /// # Safety
    /// The region outlives whatever is made of this.
    pub unsafe fn shared(&self, length: usize) -> Option<Shared> {
        let at = self.take(length)?;
        // SAFETY: inside the mapping, taken once, and the caller keeps the region.
        unsafe { Some(Shared::from_raw(self.start.add(at), length, DeviceAddress(DEVICE + at as u64))) }
    }

    /// Takes a buffer that the device reaches.
    #[must_use]
    pub fn buffer(self: &Arc<Self>, length: usize) -> Option<Buffer> {
        let at = self.take(length)?;
        // SAFETY: inside the mapping.
        let start = unsafe { self.start.add(at) };
        Some(Buffer { start, length, _region: Arc::clone(self) })
    }

    /// Its address, length and file, for another driver that is to share it.
    #[must_use]
    pub fn mapping(&self) -> (usize, usize, RawFd) {
        (self.start.as_ptr() as usize, self.length, self.file.as_raw_fd())
    }

    /// Where the device finds `length` bytes at `address`, if they are in here.
    pub(crate) fn device(&self, address: usize, length: usize) -> Option<u64> {
        let at = address.checked_sub(self.start.as_ptr() as usize)?;
        (length <= self.length && at <= self.length - length).then_some(DEVICE + at as u64)
    }

    /// Where we find what the device finds at `device`.
    pub(crate) fn ours(&self, device: DeviceAddress) -> u64 {
        device.0.wrapping_sub(DEVICE).wrapping_add(self.start.as_ptr() as u64)
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn length(&self) -> u64 {
        self.length as u64
    }

    pub(crate) const DEVICE: u64 = DEVICE;
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: mapped so, and nobody uses it any more: `shared` says so, and buffers keep the region.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Bytes in a region, of one owner. They are not given back before the region goes.
#[derive(Debug)]
pub struct Buffer {
    start: NonNull<u8>,
    length: usize,
    _region: Arc<Region>,
}

// SAFETY: owns its bytes.
unsafe impl Send for Buffer {}

impl Buffer {
    /// The bytes.
    #[must_use]
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: taken once, initialized, alive with the region, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}
