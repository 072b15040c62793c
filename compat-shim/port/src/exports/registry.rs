//! Parameters in the registry.

use core::{ffi::c_void, ptr, slice};

use sluice_shim::storport::status::StorStatus;

use super::{Arguments, exports, is_passive, with_port};
use crate::{
    faults::count,
    memory::{Kind, TAG},
    port::Port,
    services::{RegistryError, RegistryKey},
};

/// Longest name of a key or value, in bytes.
const LONGEST_NAME: usize = 255;
/// Most bytes of a value.
const MOST: u32 = 64 << 10;

/// A terminated ASCII string; `None` if it is null, empty, too long or not ASCII.
///
/// # Safety
/// `start` is null or points at a terminated string.
unsafe fn text<'a>(start: *const u8) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    let mut length = 0;
    // SAFETY: terminated, and not read past its end.
    while unsafe { start.add(length).read() } != 0 {
        length += 1;
        if length > LONGEST_NAME {
            return None;
        }
    }
    // SAFETY: as above.
    let text = unsafe { slice::from_raw_parts(start, length) };
    (length > 0 && text.is_ascii()).then_some(text)
}

fn key_of<'a>(global: u32) -> RegistryKey<'a> {
    if global != 0 { RegistryKey::AllAdapters } else { RegistryKey::Adapter }
}

exports! { "Registry";
    /// A buffer of at most 64 KiB for StorPortRegistryRead, zeroed; `Length` is what it has. PASSIVE_LEVEL.
    fn StorPortAllocateRegistryBuffer(hw_device_extension: *mut c_void, length: *mut u32) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, ptr::null_mut(), |port| {
                if length.is_null() || !is_passive(port) {
                    return ptr::null_mut();
                }
                let bytes = length.read();
                if bytes == 0 || bytes > MOST {
                    count(&port.faults().argument);
                    return ptr::null_mut();
                }
                match port.allocate_piece(Kind::Registry, bytes as usize, TAG) {
                    Some(buffer) => buffer.as_ptr(),
                    None => {
                        length.write(0);
                        ptr::null_mut()
                    }
                }
            })
        }
    }

    /// Frees it.
    fn StorPortFreeRegistryBuffer(hw_device_extension: *mut c_void, buffer: *mut u8) {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, (), |port| {
                port.free_piece(Kind::Registry, buffer.cast());
            });
        }
    }

    /// Reads a value of the driver's `Parameters\Device` key (Global) or of the adapter's. If the buffer is too small: FALSE, and the length is what is needed. PASSIVE_LEVEL.
    fn StorPortRegistryRead(
        hw_device_extension: *mut c_void,
        value_name: *const u8,
        global: u32,
        kind: u32,
        buffer: *mut u8,
        buffer_length: *mut u32,
    ) -> u8 {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, 0, |port| {
                let name = text(value_name);
                let (Some(name), false, false, true) =
                    (name, buffer.is_null(), buffer_length.is_null(), is_passive(port))
                else {
                    count(&port.faults().argument);
                    return 0;
                };
                let room = buffer_length.read().min(MOST) as usize;
                let data = slice::from_raw_parts_mut(buffer, room);
                let read = port.services().read_registry(key_of(global), name, kind, data);
                let (length, done) = match read {
                    Ok(length) => (length, 1),
                    Err(RegistryError::TooSmall(length)) => (length, 0),
                    Err(_) => (0, 0),
                };
                buffer_length.write(length);
                done
            })
        }
    }

    /// Writes one. PASSIVE_LEVEL.
    fn StorPortRegistryWrite(
        hw_device_extension: *mut c_void,
        value_name: *const u8,
        global: u32,
        kind: u32,
        buffer: *const u8,
        buffer_length: u32,
    ) -> u8 {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, 0, |port| {
                let name = text(value_name);
                let (Some(name), false, true, true) =
                    (name, buffer.is_null(), buffer_length <= MOST, is_passive(port))
                else {
                    count(&port.faults().argument);
                    return 0;
                };
                let data = slice::from_raw_parts(buffer, buffer_length as usize);
                u8::from(port.services().write_registry(key_of(global), name, kind, data).is_ok())
            })
        }
    }
}

/// RegistryReadAdapterKey(PUCHAR subkey, PUCHAR name, ULONG type, PVOID *data, PULONG length): into `*data`, which the
/// miniport has made with StorPortAllocateRegistryBuffer.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn read_adapter_key(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let (data, length) = (arguments.place::<*mut u8>(3), arguments.place::<u32>(4));
    // SAFETY: the code's contract.
    let names = unsafe { (text(arguments.pointer(0)), text(arguments.pointer(1))) };
    let ((subkey, Some(name)), Some(data), Some(length)) = (names, data, length) else {
        return StorStatus::INVALID_PARAMETER;
    };
    if !is_passive(port) {
        return StorStatus::INVALID_IRQL;
    }
    // SAFETY: as above.
    let (buffer, room) = unsafe { (data.read(), length.read().min(MOST)) };
    if buffer.is_null() {
        return StorStatus::INVALID_PARAMETER;
    }
    let key = RegistryKey::Hardware(subkey.unwrap_or(b""));
    // SAFETY: the miniport's buffer has as many bytes as it says.
    let buffer = unsafe { slice::from_raw_parts_mut(buffer, room as usize) };
    let (status, bytes) = match port.services().read_registry(key, name, arguments.long(2), buffer) {
        Ok(bytes) => (StorStatus::SUCCESS, bytes),
        Err(RegistryError::TooSmall(bytes)) => (StorStatus::BUFFER_TOO_SMALL, bytes),
        Err(RegistryError::NotFound | RegistryError::Failed) => (StorStatus::UNSUCCESSFUL, 0),
    };
    // SAFETY: as above.
    unsafe { length.write(bytes) };
    status
}

/// RegistryWriteAdapterKey(PUCHAR subkey, PUCHAR name, ULONG type, PVOID data, ULONG length).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn write_adapter_key(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    let names = unsafe { (text(arguments.pointer(0)), text(arguments.pointer(1))) };
    let (data, length) = (arguments.pointer::<u8>(3), arguments.long(4));
    let (subkey, Some(name)) = names else { return StorStatus::INVALID_PARAMETER };
    if data.is_null() || length > MOST {
        return StorStatus::INVALID_PARAMETER;
    }
    if !is_passive(port) {
        return StorStatus::INVALID_IRQL;
    }
    let key = RegistryKey::Hardware(subkey.unwrap_or(b""));
    // SAFETY: the miniport's data has as many bytes as it says.
    let data = unsafe { slice::from_raw_parts(data, length as usize) };
    match port.services().write_registry(key, name, arguments.long(2), data) {
        Ok(()) => StorStatus::SUCCESS,
        Err(_) => StorStatus::UNSUCCESSFUL,
    }
}
