//! The event log, trace events, the debugger.

use core::{ffi::c_void, slice};

use sluice_shim::storport::{srb::Address, status::StorStatus};

use super::{Arguments, address_at, exports, setup::host, with_port};
use crate::{
    port::Port,
    services::{DISPATCH_LEVEL, LogEvent, TraceEvent},
    types::LogDetails,
};

/// Longest line for the debugger.
const LINE: usize = 512;
/// `STORPORT_ETW_MAX_DESCRIPTION_LENGTH`, `STORPORT_ETW_MAX_PARAM_NAME_LENGTH`: UTF-16 units without the terminator.
const LONGEST_DESCRIPTION: usize = 32;
const LONGEST_NAME: usize = 32;
/// Most named values of one event.
const PARAMETERS: usize = 8;
/// Most bytes that a miniport adds to a log entry: what fits the system's.
const MOST_DATA: u32 = 240;

exports! { "Events";
    /// An entry of the event log.
    fn StorPortLogError(
        hw_device_extension: *mut c_void,
        _srb: *mut c_void,
        path_id: u8,
        target_id: u8,
        lun: u8,
        error_code: u32,
        unique_id: u32,
    ) {
        let address = Some(Address { path: path_id, target: target_id, lun });
        let event = LogEvent { address, error: error_code, unique: unique_id, data: &[] };
        // SAFETY: the caller's contract.
        unsafe { with_port(hw_device_extension, (), |port| port.services().log(&event)) };
    }

    /// Writes the format string as it is, for at most 512 bytes: arguments are not put in.
    fn StorPortDebugPrint(debug_print_level: u32, debug_message: *const u8) {
        let Some(host) = host() else { return };
        if debug_message.is_null() {
            return;
        }
        let mut length = 0;
        // SAFETY: the caller's contract: a terminated string, not read past its end.
        unsafe {
            while length < LINE && debug_message.add(length).read() != 0 {
                length += 1;
            }
            host.debug_print(debug_print_level, slice::from_raw_parts(debug_message, length));
        }
    }
}

/// LogSystemEvent(STOR_LOG_EVENT_DETAILS *details, PULONG most): strings are counted, not written.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn log_system_event(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(details) = arguments.place::<LogDetails>(0) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract: revision and size are there.
    let size = unsafe { (&raw const (*details).size).read() } as usize;
    if size < size_of::<LogDetails>() {
        return StorStatus::INVALID_PARAMETER;
    }
    // SAFETY: `size` covers it.
    let details = unsafe { details.read() };
    if details.dump_size > 0 && details.dump.is_null() {
        return StorStatus::INVALID_PARAMETER;
    }
    if details.dump_size > MOST_DATA {
        if let Some(most) = arguments.place::<u32>(1) {
            // SAFETY: the code's contract.
            unsafe { most.write(MOST_DATA) };
        }
        return StorStatus::INVALID_BUFFER_SIZE;
    }
    let data = if details.dump_size == 0 {
        &[]
    } else {
        // SAFETY: the miniport's data has as many bytes as it says.
        unsafe { slice::from_raw_parts(details.dump, details.dump_size as usize) }
    };
    let address = Address { path: details.path as u8, target: details.target as u8, lun: details.lun as u8 };
    let address = (details.association != 0).then_some(address);
    port.services().log(&LogEvent { address, error: details.error, unique: details.unique, data });
    StorStatus::SUCCESS
}

/// A terminated UTF-16 string of at most `most` units; empty for null, `None` if it is longer.
///
/// # Safety
/// `start` is null or points at a terminated string.
unsafe fn wide<'a>(start: *const u16, most: usize) -> Option<&'a [u16]> {
    if start.is_null() {
        return Some(&[]);
    }
    if !start.is_aligned() {
        return None;
    }
    let mut length = 0;
    // SAFETY: terminated, and not read past its end.
    unsafe {
        while start.add(length).read() != 0 {
            length += 1;
            if length > most {
                return None;
            }
        }
        Some(slice::from_raw_parts(start, length))
    }
}

/// MiniportEtwEvent2, 4 and 8(STOR_ADDRESS *address, ULONG id, PWSTR description, ULONGLONG keywords, level, opcode, SRB,
/// then pairs of PWSTR name and ULONGLONG value).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn trace(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { trace_from(port, arguments, 1) }
}

/// MiniportChannelEtwEvent2, 4 and 8: the same with a channel after the address.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn trace_channel(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { trace_from(port, arguments, 2) }
}

/// # Safety
/// The code's contract; the event's number is at `first`.
unsafe fn trace_from(port: &Port, arguments: &Arguments<'_>, first: usize) -> StorStatus {
    if port.system().irql() > DISPATCH_LEVEL {
        return StorStatus::INVALID_IRQL;
    }
    // SAFETY: the code's contract.
    let description = unsafe { wide(arguments.pointer(first + 1), LONGEST_DESCRIPTION) };
    let Some(description) = description.filter(|text| !text.is_empty()) else {
        return StorStatus::INVALID_PARAMETER;
    };
    let mut parameters = [(&[][..], 0u64); PARAMETERS];
    let pairs = first + 6;
    for (number, parameter) in parameters.iter_mut().enumerate() {
        let at = pairs + 2 * number;
        // SAFETY: as above; those that were not passed are null.
        let Some(name) = (unsafe { wide(arguments.pointer(at), LONGEST_NAME) }) else {
            return StorStatus::INVALID_PARAMETER;
        };
        let value = if name.is_empty() { 0 } else { arguments.word(at + 1) as u64 };
        *parameter = (name, value);
    }
    let there = arguments.0.len().saturating_sub(pairs) / 2;
    let event = TraceEvent {
        // SAFETY: as above.
        address: unsafe { address_at(arguments.pointer(0)) },
        id: arguments.long(first),
        description,
        keywords: arguments.word(first + 2) as u64,
        level: arguments.long(first + 3),
        opcode: arguments.long(first + 4),
        parameters: parameters.get(..there).unwrap_or(&parameters),
    };
    if port.services().trace(&event) { StorStatus::SUCCESS } else { StorStatus::UNSUCCESSFUL }
}
