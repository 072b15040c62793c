//! Kernel services: made, started and stopped through the service manager.

use std::ptr;

use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RegCloseKey, RegCreateKeyW};
use windows_sys::Win32::System::Services::{
    CloseServiceHandle, ControlService, CreateServiceW, DeleteService, OpenSCManagerW, OpenServiceW,
    SC_HANDLE, SC_MANAGER_ALL_ACCESS, SERVICE_ALL_ACCESS, SERVICE_CONTROL_STOP, SERVICE_DEMAND_START,
    SERVICE_ERROR_NORMAL, SERVICE_KERNEL_DRIVER, SERVICE_STATUS, StartServiceW,
};

use crate::device::{Error, last_error};

fn wide(s: &str) -> Vec<u16> {
    s.encode_utf16().chain([0]).collect()
}

struct Handle(SC_HANDLE);

impl Handle {
    fn new(h: SC_HANDLE) -> Result<Handle, Error> {
        if h.is_null() { Err(last_error()) } else { Ok(Handle(h)) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and is closed once.
        unsafe { CloseServiceHandle(self.0) };
    }
}

fn manager() -> Result<Handle, Error> {
    // SAFETY: null names mean this machine and its active database.
    Handle::new(unsafe { OpenSCManagerW(ptr::null(), ptr::null(), SC_MANAGER_ALL_ACCESS) })
}

fn open(name: &str) -> Result<Handle, Error> {
    let m = manager()?;
    // SAFETY: the name is zero-terminated and outlives the call.
    Handle::new(unsafe { OpenServiceW(m.0, wide(name).as_ptr(), SERVICE_ALL_ACCESS) })
}

/// Registers a driver under `name`; an older registration is replaced.
pub(crate) fn install(name: &str, path: &str) -> Result<(), Error> {
    let m = manager()?;
    if let Ok(old) = open(name) {
        // SAFETY: an open service handle.
        unsafe { DeleteService(old.0) };
    }
    let (name, path) = (wide(name), wide(path));
    // SAFETY: all strings are zero-terminated and outlive the call.
    Handle::new(unsafe {
        CreateServiceW(
            m.0,
            name.as_ptr(),
            name.as_ptr(),
            SERVICE_ALL_ACCESS,
            SERVICE_KERNEL_DRIVER,
            SERVICE_DEMAND_START,
            SERVICE_ERROR_NORMAL,
            path.as_ptr(),
            ptr::null(),
            ptr::null_mut(),
            ptr::null(),
            ptr::null(),
            ptr::null(),
        )
    })?;
    Ok(())
}

/// Makes a registry key below HKEY_LOCAL_MACHINE, as an INF would.
pub(crate) fn make_key(path: &str) -> Result<(), Error> {
    let (path, mut key) = (wide(path), ptr::null_mut());
    // SAFETY: a zero-terminated string, and a handle's place; the handle is closed once.
    let error = unsafe {
        match RegCreateKeyW(HKEY_LOCAL_MACHINE, path.as_ptr(), &mut key) {
            0 => RegCloseKey(key),
            error => error,
        }
    };
    if error == 0 { Ok(()) } else { Err(error) }
}

/// Starts the service.
pub(crate) fn start(name: &str) -> Result<(), Error> {
    let s = open(name)?;
    // SAFETY: an open service handle, no arguments.
    if unsafe { StartServiceW(s.0, 0, ptr::null()) } == 0 { Err(last_error()) } else { Ok(()) }
}

/// Stops the service: the driver's unload routine runs.
pub(crate) fn stop(name: &str) -> Result<(), Error> {
    let s = open(name)?;
    let mut status = SERVICE_STATUS::default();
    // SAFETY: an open service handle; the status outlives the call.
    if unsafe { ControlService(s.0, SERVICE_CONTROL_STOP, &mut status) } == 0 {
        Err(last_error())
    } else {
        Ok(())
    }
}
