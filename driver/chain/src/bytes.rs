//! Borrowed memory that somebody else may change at any moment.
//!
//! The buffer of a write belongs to the file cache or to a user program, and the buffer of a read may be
//! mapped by one: neither may be looked at through `&[u8]` or `&mut [u8]`, which promise the compiler that
//! nobody else writes. [`Source`] and [`Target`] carry the address, the length and the lifetime and promise
//! nothing more. Only code that reads each byte through raw pointers may open them.

use core::{marker::PhantomData, ptr, ptr::NonNull};

/// Bytes to be read, which may change while they are read. Never written through.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    address: NonNull<u8>,
    len: usize,
    _life: PhantomData<&'a [u8]>,
}

// SAFETY: a `Source` is an address whose target any thread may read; see `from_raw`.
unsafe impl Send for Source<'_> {}

/// Bytes to be written, which others may read or write at the same time.
#[derive(Debug)]
pub struct Target<'a> {
    address: NonNull<u8>,
    len: usize,
    _life: PhantomData<&'a mut [u8]>,
}

// SAFETY: as for `Source`; the exclusive borrow moves along.
unsafe impl Send for Target<'_> {}

impl<'a> Source<'a> {
    /// Wraps `len` bytes at `address`.
    ///
    /// # Safety
    /// The range must stay readable for `'a`. Its contents may change.
    pub unsafe fn from_raw(address: *const u8, len: usize) -> Self {
        let address = NonNull::new(address.cast_mut()).unwrap_or(NonNull::dangling());
        Self { address, len, _life: PhantomData }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first byte's address. Readable for `len()` bytes.
    pub fn as_ptr(&self) -> *const u8 {
        self.address.as_ptr()
    }

    /// The first `at` bytes and the rest, or `None` past the end.
    pub fn split_at(self, at: usize) -> Option<(Self, Self)> {
        let rest = self.len.checked_sub(at)?;
        // SAFETY: `at <= len`, so the address stays inside (or one past) the range that `self` borrows.
        let tail = unsafe { self.address.add(at) };
        Some((
            Self { address: self.address, len: at, _life: PhantomData },
            Self { address: tail, len: rest, _life: PhantomData },
        ))
    }
}

impl<'a> From<&'a [u8]> for Source<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self { address: NonNull::from(bytes).cast(), len: bytes.len(), _life: PhantomData }
    }
}

impl<'a> Target<'a> {
    /// Wraps `len` bytes at `address`.
    ///
    /// # Safety
    /// The range must stay readable and writable for `'a`, and no Rust reference to it may be in use.
    pub unsafe fn from_raw(address: *mut u8, len: usize) -> Self {
        let address = NonNull::new(address).unwrap_or(NonNull::dangling());
        Self { address, len, _life: PhantomData }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first byte's address. Writable for `len()` bytes.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// The same bytes for a shorter time.
    pub fn reborrow(&mut self) -> Target<'_> {
        Target { address: self.address, len: self.len, _life: PhantomData }
    }

    /// The same bytes, to be read.
    pub fn as_source(&self) -> Source<'_> {
        Source { address: self.address, len: self.len, _life: PhantomData }
    }

    /// The first `at` bytes and the rest, or `None` past the end.
    pub fn split_at(self, at: usize) -> Option<(Self, Self)> {
        let rest = self.len.checked_sub(at)?;
        // SAFETY: `at <= len`, so the address stays inside (or one past) the range that `self` borrows.
        let tail = unsafe { self.address.add(at) };
        Some((
            Self { address: self.address, len: at, _life: PhantomData },
            Self { address: tail, len: rest, _life: PhantomData },
        ))
    }

    /// Copies `source` to the front of these bytes; answers how many were copied, the shorter of the two.
    pub fn copy_from(&mut self, source: Source<'_>) -> usize {
        let count = self.len.min(source.len);
        // SAFETY: both ranges hold `count` bytes by their constructors' contracts. `ptr::copy` allows overlap.
        unsafe { ptr::copy(source.as_ptr(), self.as_mut_ptr(), count) };
        count
    }

    /// Sets every byte to zero.
    pub fn clear(&mut self) {
        // SAFETY: the range is writable for `len` bytes by the constructor's contract.
        unsafe { ptr::write_bytes(self.as_mut_ptr(), 0, self.len) };
    }
}

impl<'a> From<&'a mut [u8]> for Target<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Self { len: bytes.len(), address: NonNull::from(bytes).cast(), _life: PhantomData }
    }
}
