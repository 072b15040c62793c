//! Configuration space and address ranges.

use core::{ffi::c_void, ptr, slice};

use super::{exports, is_passive, with_port};
use crate::{faults::count, port::Port, services::DISPATCH_LEVEL};

/// `PCIConfiguration` of BUS_DATA_TYPE: the only bus that miniports ask about.
const PCI_CONFIGURATION: u32 = 4;
/// Bytes of a configuration space.
const MOST: u32 = 4096;

fn is_askable(port: &Port, kind: u32, offset: u32, length: u32, buffer: *const c_void) -> bool {
    if port.system().irql() > DISPATCH_LEVEL {
        count(&port.faults().irql);
        return false;
    }
    let fits = offset.checked_add(length).is_some_and(|end| end <= MOST);
    let askable = kind == PCI_CONFIGURATION && fits && !buffer.is_null();
    if !askable {
        count(&port.faults().argument);
    }
    askable
}

exports! { "Bus";
    /// Reads the adapter's PCI configuration space from its start; 0 for other bus data, and above DISPATCH_LEVEL. The adapter's own, whatever bus and slot are given.
    fn StorPortGetBusData(
        device_extension: *mut c_void,
        bus_data_type: u32,
        _system_io_bus_number: u32,
        _slot_number: u32,
        buffer: *mut c_void,
        length: u32,
    ) -> u32 {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(device_extension, 0, |port| {
                if !is_askable(port, bus_data_type, 0, length, buffer) {
                    return 0;
                }
                port.services().read_bus_data(0, slice::from_raw_parts_mut(buffer.cast(), length as usize))
            })
        }
    }

    /// Writes to it.
    fn StorPortSetBusDataByOffset(
        device_extension: *mut c_void,
        bus_data_type: u32,
        _system_io_bus_number: u32,
        _slot_number: u32,
        buffer: *mut c_void,
        offset: u32,
        length: u32,
    ) -> u32 {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(device_extension, 0, |port| {
                if !is_askable(port, bus_data_type, offset, length, buffer) {
                    return 0;
                }
                let data = slice::from_raw_parts(buffer.cast_const().cast(), length as usize);
                port.services().write_bus_data(offset, data)
            })
        }
    }

    /// Maps a part of an address range of the adapter's; null for anything else, and above PASSIVE_LEVEL.
    fn StorPortGetDeviceBase(
        hw_device_extension: *mut c_void,
        _bus_type: u32,
        _system_io_bus_number: u32,
        io_address: u64,
        number_of_bytes: u32,
        in_io_space: u8,
    ) -> *mut c_void {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, ptr::null_mut(), |port| {
                if !is_passive(port) || number_of_bytes == 0 {
                    return ptr::null_mut();
                }
                port.map(io_address, number_of_bytes, in_io_space != 0)
            })
        }
    }

    /// Ends the mapping.
    fn StorPortFreeDeviceBase(hw_device_extension: *mut c_void, mapped_address: *mut c_void) {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, (), |port| {
                if is_passive(port) {
                    port.unmap(mapped_address);
                }
            });
        }
    }

    /// TRUE if the adapter has the range.
    fn StorPortValidateRange(
        hw_device_extension: *mut c_void,
        _bus_type: u32,
        _system_io_bus_number: u32,
        io_address: u64,
        number_of_bytes: u32,
        in_io_space: u8,
    ) -> u8 {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, 0, |port| {
                u8::from(is_passive(port) && port.has_range(io_address, number_of_bytes, in_io_space != 0))
            })
        }
    }
}
