//! Requests and units.

use core::{ffi::c_void, ptr};

use sluice_shim::storport::{SrbStatus, srb::Address};

use super::{exports, with_port};
use crate::faults::count;

/// `PSTOR_SYNCHRONIZED_ACCESS`.
type SynchronizedAccess =
    unsafe extern "system" fn(device_extension: *mut c_void, context: *mut c_void) -> u8;

exports! { "Requests and units";
    /// Completes all that the miniport has of the units that match (0xFF: all) with a status.
    fn StorPortCompleteRequest(
        hw_device_extension: *mut c_void,
        path_id: u8,
        target_id: u8,
        lun: u8,
        srb_status: u8,
    ) {
        let address = Address { path: path_id, target: target_id, lun };
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, (), |port| {
                port.complete_all_of(address, SrbStatus(srb_status));
            });
        }
    }

    /// The list of an SRB that the miniport has, made when it is asked for; null without data.
    fn StorPortGetScatterGatherList(device_extension: *mut c_void, srb: *mut c_void) -> *mut c_void {
        // SAFETY: the caller's contract.
        unsafe { with_port(device_extension, ptr::null_mut(), |port| port.scatter_list(srb)) }
    }

    /// The unit's SpecificLuExtensionSize bytes; null if there is no such unit.
    fn StorPortGetLogicalUnit(
        hw_device_extension: *mut c_void,
        path_id: u8,
        target_id: u8,
        lun: u8,
    ) -> *mut c_void {
        let address = Address { path: path_id, target: target_id, lun };
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, ptr::null_mut(), |port| {
                port.unit(address).map_or(ptr::null_mut(), |unit| unit.extension())
            })
        }
    }

    /// The SRB with this tag (0 to 254; of a legacy SRB its QueueTag), if the miniport has it; null if not.
    fn StorPortGetSrb(
        device_extension: *mut c_void,
        path_id: u8,
        target_id: u8,
        lun: u8,
        queue_tag: i32,
    ) -> *mut c_void {
        let address = Address { path: path_id, target: target_id, lun };
        // SAFETY: the caller's contract.
        unsafe {
            with_port(device_extension, ptr::null_mut(), |port| port.srb_with_tag(address, queue_tag))
        }
    }

    /// Calls a routine under the interrupt lock.
    fn StorPortSynchronizeAccess(
        hw_device_extension: *mut c_void,
        synchronized_access_routine: Option<SynchronizedAccess>,
        context: *mut c_void,
    ) -> u8 {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, 0, |port| match synchronized_access_routine {
                Some(routine) => port.synchronize(|| routine(hw_device_extension, context)),
                None => {
                    count(&port.faults().argument);
                    0
                }
            })
        }
    }
}
