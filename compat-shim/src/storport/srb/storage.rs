//! Room for one SRB of our own.

use core::{ffi::c_void, mem::size_of};

use super::{SrbError, SrbView};
use crate::storport::{
    extended::{SrbExDataCdb, StorAddressBtl8, StorageRequestBlock},
    legacy::ScsiRequestBlock,
};

/// An extended SRB with all that we ever put behind its head.
#[repr(C)]
pub(super) struct ExtendedSrb {
    pub(super) head: StorageRequestBlock,
    pub(super) address: StorAddressBtl8,
    pub(super) command: SrbExDataCdb<32>,
}

// 128 of head, 16 of address, 56 of command; each at a multiple of 8.
const _: () = assert!(size_of::<ExtendedSrb>() == 200);

/// Memory for one SRB of either kind with a CDB of up to 32 bytes. The SRB's address is the storage's.
#[repr(C, align(16))]
#[derive(Clone, Debug)]
pub struct SrbStorage {
    words: [u64; 26],
}

const _: () = assert!(size_of::<SrbStorage>() == 26 * size_of::<u64>());
const _: () = assert!(size_of::<SrbStorage>() >= size_of::<ExtendedSrb>());
const _: () = assert!(size_of::<SrbStorage>() >= size_of::<ScsiRequestBlock>());

impl SrbStorage {
    /// Zeros: not an SRB yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: [0; 26] }
    }

    /// The SRB's address.
    pub fn as_mut_ptr(&mut self) -> *mut c_void {
        (&raw mut self.words).cast()
    }

    /// All of it, whatever it holds.
    pub(crate) fn bytes(&self) -> &[u8; size_of::<Self>()] {
        // SAFETY: plain numbers, without padding (asserted above), of this size.
        unsafe { &*(&raw const self.words).cast() }
    }

    /// The same, to be written.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; size_of::<Self>()] {
        // SAFETY: as above; any bytes are numbers.
        unsafe { &mut *(&raw mut self.words).cast() }
    }

    pub(super) fn as_ptr(&self) -> *const c_void {
        (&raw const self.words).cast()
    }

    /// A view of the SRB inside, of which nothing outside this storage is trusted.
    ///
    /// # Errors
    /// As [`SrbView::parse`].
    pub fn view(&mut self) -> Result<SrbView, SrbError> {
        // SAFETY: the storage is all ours and `size_of` bytes long. The view must not be used after the storage
        // has gone; its methods that follow pointers are unsafe themselves.
        unsafe { SrbView::parse_bounded(self.as_mut_ptr(), size_of::<Self>()) }
    }

    /// The storage as a zeroed legacy SRB.
    pub(super) fn as_legacy(&mut self) -> &mut ScsiRequestBlock {
        self.words[..size_of::<ScsiRequestBlock>() / 8].fill(0);
        // SAFETY: large enough and aligned (asserted above); zeros are a valid ScsiRequestBlock.
        unsafe { &mut *self.as_mut_ptr().cast() }
    }

    /// The storage as a zeroed extended SRB.
    pub(super) fn as_extended(&mut self) -> &mut ExtendedSrb {
        self.words.fill(0);
        // SAFETY: large enough and aligned (asserted above); zeros are a valid ExtendedSrb.
        unsafe { &mut *self.as_mut_ptr().cast() }
    }
}

impl Default for SrbStorage {
    fn default() -> Self {
        Self::new()
    }
}
