//! Cancellation of IRPs that wait in a queue of this driver.

use core::ptr::NonNull;

use wdk_sys::{IRP, PDRIVER_CANCEL};

/// Lets the IRP be cancelled while it waits. `false`: it has been cancelled already and the routine will not be
/// called; the caller completes it. Up to DISPATCH_LEVEL.
///
/// # Safety
/// The IRP is pending and this driver's.
pub(crate) unsafe fn arm(irp: NonNull<IRP>, routine: PDRIVER_CANCEL) -> bool {
    // SAFETY: the caller's contract.
    unsafe {
        exchange(irp, routine);
        // Cancelled before the routine was there? Then either it is taken back here, or it runs already and
        // will find the IRP in the queue.
        (&raw const (*irp.as_ptr()).Cancel).read_volatile() == 0 || exchange(irp, None).is_none()
    }
}

/// Takes the possibility back. `false`: the cancel routine runs or has run; the IRP is its. Up to DISPATCH_LEVEL.
///
/// # Safety
/// The IRP is pending and this driver's.
pub(crate) unsafe fn disarm(irp: NonNull<IRP>) -> bool {
    // SAFETY: the caller's contract.
    unsafe { exchange(irp, None) }.is_some()
}

/// `IoSetCancelRoutine`.
unsafe fn exchange(irp: NonNull<IRP>, routine: PDRIVER_CANCEL) -> PDRIVER_CANCEL {
    use core::sync::atomic::{AtomicUsize, Ordering};
    const { assert!(size_of::<PDRIVER_CANCEL>() == size_of::<AtomicUsize>()) };
    // SAFETY: the field is a pointer that the I/O manager and drivers exchange atomically; `Option` of a function
    // pointer is null or the pointer.
    unsafe {
        let field = AtomicUsize::from_ptr((&raw mut (*irp.as_ptr()).CancelRoutine).cast());
        let new: usize = core::mem::transmute::<PDRIVER_CANCEL, usize>(routine);
        core::mem::transmute::<usize, PDRIVER_CANCEL>(field.swap(new, Ordering::AcqRel))
    }
}
