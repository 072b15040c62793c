//! The I/O manager's way in: one function for every major code, and AddDevice.

use core::ptr::NonNull;

use wdk_sys::{
    IRP_MJ_DEVICE_CONTROL, IRP_MJ_PNP, IRP_MJ_POWER, IRP_MJ_SCSI, NTSTATUS, PDEVICE_OBJECT, PDRIVER_OBJECT,
    PIRP, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED, STATUS_SUCCESS,
};

use crate::{
    control,
    disk::Disk,
    function::{self, fdo::Fdo, kind::Purpose},
    ioctl,
    nt::{irp::Irp, irql::Passive},
    pnp, power, requests,
    role::Role,
};

/// Puts this driver's functions into a driver object: its own, or that of a miniport that is linked to it.
pub(crate) fn install(driver: &mut wdk_sys::DRIVER_OBJECT, unload: unsafe extern "C" fn(PDRIVER_OBJECT)) {
    driver.MajorFunction.fill(Some(dispatch));
    driver.DriverUnload = Some(unload);
    // SAFETY: the I/O manager gives every driver object its extension.
    if let Some(extension) = unsafe { driver.DriverExtension.as_mut() } {
        extension.AddDevice = Some(add_device);
    }
}

/// Whether [`install`] has been there.
pub(crate) fn is_installed(driver: &wdk_sys::DRIVER_OBJECT) -> bool {
    // SAFETY: the I/O manager gives every driver object its extension.
    let found = unsafe { driver.DriverExtension.as_ref() }.and_then(|extension| extension.AddDevice);
    let ours: unsafe extern "C" fn(PDRIVER_OBJECT, PDEVICE_OBJECT) -> NTSTATUS = add_device;
    found.is_some_and(|found| core::ptr::fn_addr_eq(found, ours))
}

/// AddDevice: a disk has been found, or an adapter. PASSIVE_LEVEL.
unsafe extern "C" fn add_device(driver: PDRIVER_OBJECT, pdo: PDEVICE_OBJECT) -> NTSTATUS {
    let Some(pdo) = NonNull::new(pdo) else { return STATUS_INVALID_PARAMETER };
    // SAFETY: the PnP manager calls AddDevice at PASSIVE_LEVEL with this driver and a live PDO.
    let added = unsafe {
        let at = Passive::assume();
        match Purpose::of(driver, pdo, at) {
            Purpose::Filter => Disk::attach(driver, pdo, at),
            Purpose::Adapter(kind) => Fdo::attach(driver, pdo, kind, at),
            Purpose::Unknown => Err(STATUS_NOT_SUPPORTED),
        }
    };
    added.err().unwrap_or(STATUS_SUCCESS)
}

/// Every IRP of this driver's devices.
unsafe extern "C" fn dispatch(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let Some(irp) = NonNull::new(irp) else { return STATUS_INVALID_PARAMETER };
    // SAFETY: the I/O manager hands over a request for one of this driver's device objects, of which all but the
    // control device have a role. PNP requests, and all for the control device, come at PASSIVE_LEVEL.
    unsafe {
        let irp = Irp::take(irp);
        if control::is_control(device) {
            return control::dispatch(irp, Passive::assume());
        }
        let disk = match Role::of(device) {
            Role::Filter(disk) => disk,
            Role::Adapter(adapter) => return function::dispatch_adapter(adapter, irp),
            Role::Unit(unit) => return function::dispatch_unit(unit, irp),
        };
        match u32::from(irp.stack().MajorFunction) {
            IRP_MJ_SCSI => requests::dispatch(disk, irp),
            IRP_MJ_DEVICE_CONTROL => ioctl::dispatch(disk, irp),
            IRP_MJ_PNP => pnp::dispatch(disk, irp, Passive::assume()),
            IRP_MJ_POWER => power::dispatch(disk, irp),
            _ => pass(disk, irp),
        }
    }
}

/// Passes an IRP to the device below, holding the remove lock meanwhile.
pub(crate) fn pass(disk: &'static Disk, irp: Irp) -> NTSTATUS {
    let tag = irp.tag();
    if let Err(status) = disk.remove_lock.acquire(tag) {
        return irp.complete(status, 0);
    }
    let status = irp.pass(disk.lower());
    disk.remove_lock.release(tag);
    status
}
