//! Threads of the driver's own.

use core::{mem::size_of, ptr};

use wdk_sys::{
    HANDLE, NTSTATUS, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, PVOID, STATUS_SUCCESS, SYNCHRONIZE,
    ntddk::{
        KeWaitForSingleObject, ObReferenceObjectByHandle, ObfDereferenceObject, PsCreateSystemThread,
        PsTerminateSystemThread, ZwClose,
    },
};

use super::{irql::Passive, is_success};

/// `THREAD_ALL_ACCESS`.
const ALL_ACCESS: u32 = 0x001f_ffff;

/// A system thread. Dropping it leaves it running: [`Self::join`].
pub(crate) struct Thread(PVOID);

// SAFETY: a reference to a kernel object, which any thread may wait for.
unsafe impl Send for Thread {}

impl Thread {
    /// Starts one, at PASSIVE_LEVEL, with a stack of its own.
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Safety
    /// `routine` may be called with `context` once, from another thread. It must end by returning [`end`].
    pub(crate) unsafe fn start(
        routine: unsafe extern "C" fn(PVOID),
        context: PVOID,
        at: Passive<'_>,
    ) -> Result<Self, NTSTATUS> {
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
            // Or the handle would be in the table of whatever process asks for the volume.
            Attributes: OBJ_KERNEL_HANDLE,
            ..OBJECT_ATTRIBUTES::default()
        };
        let (mut handle, mut object): (HANDLE, PVOID) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: PASSIVE_LEVEL by the token; the out parameters are ours, and the caller vouches for the routine.
        unsafe {
            let status = PsCreateSystemThread(
                &raw mut handle,
                ALL_ACCESS,
                &raw mut attributes,
                ptr::null_mut(),
                ptr::null_mut(),
                Some(routine),
                context,
            );
            if !is_success(status) {
                return Err(status);
            }
            // Kernel mode: of no particular type, and every access is granted.
            let status = ObReferenceObjectByHandle(
                handle,
                SYNCHRONIZE,
                ptr::null_mut(),
                0,
                &raw mut object,
                ptr::null_mut(),
            );
            // Without a reference nobody could wait until it is gone; but a handle that is valid gives one.
            debug_assert!(is_success(status));
            let _ = ZwClose(handle);
        }
        let _ = at;
        Ok(Self(object))
    }

    /// Waits until it has ended.
    pub(crate) fn join(self, _: Passive<'_>) {
        // SAFETY: referenced by `start`; PASSIVE_LEVEL by the token.
        unsafe {
            let _ = KeWaitForSingleObject(self.0, 0, 0, 0, ptr::null_mut());
            ObfDereferenceObject(self.0);
        }
    }
}

/// The last thing that a thread's routine does.
pub(crate) fn end(_: Passive<'_>) {
    // SAFETY: called by a system thread, at PASSIVE_LEVEL by the token.
    let _ = unsafe { PsTerminateSystemThread(STATUS_SUCCESS) };
}
