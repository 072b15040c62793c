//! The shim takes its adapter, host and platform by `&'static`, because in the kernel nothing else lives longer.
//! Here they live as long as their [`crate::Disk`].

use std::{ops::Deref, ptr::NonNull};

/// A box whose contents are handed out as `'static`.
#[derive(Debug)]
pub(crate) struct Leaked<T>(NonNull<T>);

// SAFETY: owns its contents like a box.
unsafe impl<T: Send> Send for Leaked<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Leaked<T> {}

impl<T> Leaked<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(value))))
    }

    /// # Safety
    /// Whoever gets the reference has gone before this value is dropped.
    pub(crate) unsafe fn outlived(&self) -> &'static T {
        // SAFETY: made from a box, alive until dropped; the caller sees to the rest.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Deref for Leaked<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: made from a box, alive until dropped.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for Leaked<T> {
    fn drop(&mut self) {
        // SAFETY: made from a box; by `outlived`'s contract nobody uses it any more.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
