//! ScsiPortWmi*: the library that answers WMI SRBs from a miniport's tables. Instance names that the miniport makes up
//! itself (ScsiPortWmiSetInstanceName and its companions) are not there.

use core::{ffi::c_void, slice};

use sluice_shim::storport::{SrbStatus, srb::Address};

use super::{exports, with_port};
use crate::{
    faults::count,
    memory::Block,
    services::DISPATCH_LEVEL,
    wmi::{self, Guid, Library, RequestContext},
};

/// Most bytes of an event's data.
const MOST: u32 = 32 << 10;

exports! { "WMI";
    /// Calls the callback that the request is for; TRUE if that has not ended it yet. An unknown GUID: SRB_STATUS_ERROR; a request that is none: SRB_STATUS_INVALID_REQUEST.
    fn ScsiPortWmiDispatchFunction(
        wmi_lib_info: *const Library,
        minor_function: u8,
        device_context: *mut c_void,
        request_context: *mut RequestContext,
        data_path: *const Guid,
        buffer_size: u32,
        buffer: *mut u8,
    ) -> u8 {
        // SAFETY: the caller's contract.
        unsafe {
            let buffer = (buffer_size, buffer);
            wmi::dispatch(wmi_lib_info, minor_function, device_context, request_context, data_path, buffer)
        }
    }

    /// Ends a request: completes its WNODE. What did not fit (SRB_STATUS_DATA_OVERRUN) becomes a WNODE_TOO_SMALL.
    fn ScsiPortWmiPostProcess(request_context: *mut RequestContext, srb_status: u8, buffer_used: u32) {
        // SAFETY: the caller's contract.
        unsafe { wmi::post_process(request_context, SrbStatus(srb_status), buffer_used) };
    }

    /// Sends an event of a unit (path 0xFF: of the adapter) to the host, at most 32 KiB. Up to DISPATCH_LEVEL.
    fn ScsiPortWmiFireLogicalUnitEvent(
        hw_device_extension: *mut c_void,
        path_id: u8,
        target_id: u8,
        lun: u8,
        guid: *const Guid,
        instance_index: u32,
        event_data_size: u32,
        event_data: *const u8,
    ) {
        let address = (path_id != u8::MAX).then_some(Address { path: path_id, target: target_id, lun });
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, (), |port| {
                let missing = guid.is_null() || (event_data.is_null() && event_data_size > 0);
                if missing || event_data_size > MOST {
                    return count(&port.faults().argument);
                }
                if port.system().irql() > DISPATCH_LEVEL {
                    return count(&port.faults().irql);
                }
                let data =
                    if event_data_size == 0 { &[] } else { slice::from_raw_parts(event_data, event_data_size as usize) };
                let whole = wmi::EVENT_HEAD + data.len();
                // An event that there is no memory for is not sent: nobody waits for it.
                let Some(block) = Block::new(port.system(), whole) else { return };
                let node = slice::from_raw_parts_mut(block.start().as_ptr(), whole);
                wmi::event(node, &guid.read_unaligned(), instance_index, data);
                port.services().wmi_event(address, node);
            });
        }
    }
}
