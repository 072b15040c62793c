//! StorPortInitialize, and whom it tells.

use core::{
    ffi::c_void,
    ptr,
    sync::atomic::{
        AtomicPtr,
        Ordering::{Acquire, Release},
    },
};

use super::exports;
use crate::{registration::Registration, services::System, status::NtStatus};

/// The host, once it has said that it is there.
static HOST: AtomicPtr<&'static dyn System> = AtomicPtr::new(ptr::null_mut());

/// Names the host that StorPortInitialize, and the few functions without a device extension, turn to. Before the first
/// miniport is loaded; the last one named counts.
pub fn install(host: &'static &'static dyn System) {
    HOST.store(ptr::from_ref(host).cast_mut(), Release);
}

pub(crate) fn host() -> Option<&'static dyn System> {
    // SAFETY: `install` was given it for good.
    unsafe { HOST.load(Acquire).as_ref() }.copied()
}

exports! { "Set-up";
    /// Checks and copies HW_INITIALIZATION_DATA and hands it to the host, which makes adapters of it. A missing callback: STATUS_INVALID_PARAMETER; an unknown size: STATUS_REVISION_MISMATCH.
    fn StorPortInitialize(
        argument1: *mut c_void,
        argument2: *mut c_void,
        hw_initialization_data: *const c_void,
        hw_context: *mut c_void,
    ) -> u32 {
        let Some(host) = host() else { return NtStatus::DEVICE_NOT_READY.0 };
        // SAFETY: the caller's contract.
        match unsafe { Registration::capture(hw_initialization_data, hw_context) } {
            Ok(registration) => host.registered(argument1, argument2, registration).0,
            Err(status) => status.0,
        }
    }
}
