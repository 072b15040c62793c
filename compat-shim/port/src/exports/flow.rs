//! Flow control.

use core::{ffi::c_void, sync::atomic::Ordering::Relaxed};

use sluice_shim::storport::srb::Address;

use super::{exports, with_port};
use crate::{faults::count, port::Port, unit::LogicalUnit};

/// Most seconds of a pause: an hour, so that nothing overflows.
const LONGEST: u32 = 3600;

/// Calls `then` with the unit; FALSE if there is none.
///
/// # Safety
/// See [`crate::extension::port_of`].
unsafe fn with_unit(
    extension: *mut c_void,
    address: Address,
    then: impl FnOnce(&Port, &LogicalUnit) -> bool,
) -> u8 {
    // SAFETY: the caller's contract.
    unsafe {
        with_port(extension, 0, |port| match port.unit(address) {
            Some(unit) => {
                let done = then(port, unit);
                port.signal_flow();
                u8::from(done)
            }
            None => {
                count(&port.faults().argument);
                0
            }
        })
    }
}

fn until(port: &Port, seconds: u32) -> u64 {
    port.system().now().saturating_add(u64::from(seconds.min(LONGEST)) * 1_000_000)
}

exports! { "Flow control";
    /// Nothing is started for so many seconds, or until StorPortResume.
    fn StorPortPause(hw_device_extension: *mut c_void, time_out: u32) -> u8 {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, 0, |port| {
                port.gate().pause(until(port, time_out));
                port.signal_flow();
                1
            })
        }
    }

    /// Ends it; FALSE if there was none.
    fn StorPortResume(hw_device_extension: *mut c_void) -> u8 {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, 0, |port| {
                let was = port.gate().resume();
                port.signal_flow();
                u8::from(was)
            })
        }
    }

    /// The same for one unit.
    fn StorPortPauseDevice(
        hw_device_extension: *mut c_void,
        path_id: u8,
        target_id: u8,
        lun: u8,
        time_out: u32,
    ) -> u8 {
        let address = Address { path: path_id, target: target_id, lun };
        // SAFETY: the caller's contract.
        unsafe {
            with_unit(hw_device_extension, address, |port, unit| {
                unit.gate.pause(until(port, time_out));
                true
            })
        }
    }

    /// Ends it; FALSE if there was none.
    fn StorPortResumeDevice(hw_device_extension: *mut c_void, path_id: u8, target_id: u8, lun: u8) -> u8 {
        let address = Address { path: path_id, target: target_id, lun };
        // SAFETY: the caller's contract.
        unsafe { with_unit(hw_device_extension, address, |_, unit| unit.gate.resume()) }
    }

    /// Nothing is started before so many requests of the adapter have ended (all, if there are fewer).
    fn StorPortBusy(hw_device_extension: *mut c_void, requests_to_complete: u32) -> u8 {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, 0, |port| {
                port.gate().set_busy(requests_to_complete);
                port.signal_flow();
                1
            })
        }
    }

    /// Ends it.
    fn StorPortReady(hw_device_extension: *mut c_void) -> u8 {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, 0, |port| {
                port.gate().set_busy(0);
                port.signal_flow();
                1
            })
        }
    }

    /// The same for one unit.
    fn StorPortDeviceBusy(
        hw_device_extension: *mut c_void,
        path_id: u8,
        target_id: u8,
        lun: u8,
        requests_to_complete: u32,
    ) -> u8 {
        let address = Address { path: path_id, target: target_id, lun };
        // SAFETY: the caller's contract.
        unsafe {
            with_unit(hw_device_extension, address, |_, unit| {
                unit.gate.set_busy(requests_to_complete);
                true
            })
        }
    }

    /// Ends it.
    fn StorPortDeviceReady(hw_device_extension: *mut c_void, path_id: u8, target_id: u8, lun: u8) -> u8 {
        let address = Address { path: path_id, target: target_id, lun };
        // SAFETY: the caller's contract.
        unsafe {
            with_unit(hw_device_extension, address, |_, unit| {
                unit.gate.set_busy(0);
                true
            })
        }
    }

    /// Most requests of a unit at once: 1 to 254, with extended SRBs 1023. FALSE for any other.
    fn StorPortSetDeviceQueueDepth(
        hw_device_extension: *mut c_void,
        path_id: u8,
        target_id: u8,
        lun: u8,
        depth: u32,
    ) -> u8 {
        let address = Address { path: path_id, target: target_id, lun };
        // SAFETY: the caller's contract.
        unsafe {
            with_unit(hw_device_extension, address, |port, unit| {
                let fits = depth >= 1 && depth <= port.deepest();
                if fits {
                    unit.depth.store(depth, Relaxed);
                } else {
                    count(&port.faults().argument);
                }
                fits
            })
        }
    }
}
