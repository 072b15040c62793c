//! The remove lock of a device: nobody inside when the device goes.

use core::{cell::UnsafeCell, mem::MaybeUninit, ptr};

use wdk_sys::{
    IO_REMOVE_LOCK, NTSTATUS, PVOID,
    ntddk::{
        IoAcquireRemoveLockEx, IoInitializeRemoveLockEx, IoReleaseRemoveLockAndWaitEx, IoReleaseRemoveLockEx,
    },
};

use super::{irql::Passive, is_success};

const TAG: u32 = u32::from_le_bytes(*b"SluR");
const SIZE: u32 = size_of::<IO_REMOVE_LOCK>() as u32;

/// `IO_REMOVE_LOCK`. Lives in a device extension and does not move.
pub(crate) struct RemoveLock(UnsafeCell<MaybeUninit<IO_REMOVE_LOCK>>);

// SAFETY: the kernel synchronises every access.
unsafe impl Sync for RemoveLock {}

impl RemoveLock {
    /// Storage for it.
    pub(crate) const fn uninit() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// # Safety
    /// Once, at the address where it stays, before any other use.
    pub(crate) unsafe fn initialize(&self) {
        // SAFETY: the storage is ours and unused. No time limit, no high watermark.
        unsafe { IoInitializeRemoveLockEx(self.get(), TAG, 0, 0, SIZE) };
    }

    /// Goes in for `tag` (an IRP's address, say), unless the device is going. Up to DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_DELETE_PENDING`.
    pub(crate) fn acquire(&self, tag: PVOID) -> Result<(), NTSTATUS> {
        // SAFETY: initialized by contract. File and line are for checked builds.
        let status = unsafe { IoAcquireRemoveLockEx(self.get(), tag, c"".as_ptr(), 1, SIZE) };
        if is_success(status) { Ok(()) } else { Err(status) }
    }

    /// Goes out, once for each success of [`Self::acquire`] with this tag. Up to DISPATCH_LEVEL.
    pub(crate) fn release(&self, tag: PVOID) {
        // SAFETY: initialized by contract.
        unsafe { IoReleaseRemoveLockEx(self.get(), tag, SIZE) };
    }

    /// Goes out for the last time: lets nobody in any more, and waits until all others are out.
    pub(crate) fn release_and_wait(&self, tag: PVOID, _: Passive<'_>) {
        // SAFETY: initialized by contract; PASSIVE_LEVEL by the token.
        unsafe { IoReleaseRemoveLockAndWaitEx(self.get(), tag, SIZE) };
    }

    fn get(&self) -> *mut IO_REMOVE_LOCK {
        self.0.get().cast()
    }
}

/// A tag for uses without an IRP.
pub(crate) const NO_TAG: PVOID = ptr::null_mut();
