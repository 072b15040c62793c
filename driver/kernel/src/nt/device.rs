//! Device objects.

use core::ptr::{self, NonNull};

use wdk_sys::{
    DEVICE_OBJECT, DO_BUFFERED_IO, DO_DEVICE_INITIALIZING, DO_DIRECT_IO, DO_POWER_PAGABLE,
    FILE_DEVICE_SECURE_OPEN, NTSTATUS, PDEVICE_OBJECT, PDRIVER_OBJECT, PUNICODE_STRING,
    ntddk::{IoAttachDeviceToDeviceStackSafe, IoCreateDevice, IoDeleteDevice},
};

use super::is_success;

/// Creates a device object with room for an `E`; the extension is still zeros.
///
/// # Errors
/// What `IoCreateDevice` says.
///
/// # Safety
/// `driver` is this driver; PASSIVE_LEVEL.
pub(crate) unsafe fn create<E>(
    driver: PDRIVER_OBJECT,
    name: Option<&mut wdk_sys::UNICODE_STRING>,
    device_type: u32,
) -> Result<NonNull<DEVICE_OBJECT>, NTSTATUS> {
    let name: PUNICODE_STRING = name.map_or(ptr::null_mut(), ptr::from_mut);
    let mut device: PDEVICE_OBJECT = ptr::null_mut();
    // SAFETY: the caller's contract.
    let status = unsafe {
        let characteristics = FILE_DEVICE_SECURE_OPEN;
        IoCreateDevice(driver, size_of::<E>() as u32, name, device_type, characteristics, 0, &raw mut device)
    };
    if !is_success(status) {
        return Err(status);
    }
    NonNull::new(device).ok_or(wdk_sys::STATUS_UNSUCCESSFUL)
}

/// Puts a device object on top of the stack of `pdo`, and writes the device that was there to `below`, before any
/// request can come down.
///
/// # Errors
/// STATUS_NO_SUCH_DEVICE if the stack is going away.
///
/// # Safety
/// `device` is this driver's, its extension is complete but for `below`, and it is not attached to anything; `pdo` is
/// a live physical device object. PASSIVE_LEVEL.
pub(crate) unsafe fn attach(
    device: NonNull<DEVICE_OBJECT>,
    pdo: NonNull<DEVICE_OBJECT>,
    below: *mut PDEVICE_OBJECT,
) -> Result<(), NTSTATUS> {
    // SAFETY: the caller's contract.
    let status = unsafe { IoAttachDeviceToDeviceStackSafe(device.as_ptr(), pdo.as_ptr(), below) };
    if is_success(status) { Ok(()) } else { Err(status) }
}

/// Takes over from the device below how it wants buffers and power.
///
/// # Safety
/// `device` is this driver's and attached above `lower`.
pub(crate) unsafe fn follow(device: NonNull<DEVICE_OBJECT>, lower: NonNull<DEVICE_OBJECT>) {
    let copied = DO_DIRECT_IO | DO_BUFFERED_IO | DO_POWER_PAGABLE;
    // SAFETY: the caller's contract.
    unsafe { (*device.as_ptr()).Flags |= (*lower.as_ptr()).Flags & copied };
}

/// Opens a device for business. The last thing that happens to a new one.
///
/// # Safety
/// `device` is this driver's and complete.
pub(crate) unsafe fn open(device: NonNull<DEVICE_OBJECT>) {
    // SAFETY: the caller's contract.
    unsafe { (*device.as_ptr()).Flags &= !DO_DEVICE_INITIALIZING };
}

/// Deletes a device object whose extension has been taken care of.
///
/// # Safety
/// It is this driver's, detached, and nobody uses it.
pub(crate) unsafe fn delete(device: NonNull<DEVICE_OBJECT>) {
    // SAFETY: the caller's contract.
    unsafe { IoDeleteDevice(device.as_ptr()) };
}
