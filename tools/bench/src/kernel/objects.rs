//! Drivers, devices and IRPs, and how an IRP travels: the I/O manager's part ("IRP stack locations", "IoCallDriver" and
//! "IoCompleteRequest" in the WDK's documentation).

use std::{ffi::c_void, ptr};

use windows_sys::Wdk::Foundation::{DEVICE_OBJECT, DRIVER_EXTENSION, DRIVER_OBJECT, IO_STACK_LOCATION, IRP};

use super::nt;

/// Sizes that the driver has been built with.
const _: () = assert!(size_of::<IRP>() == 208 && size_of::<IO_STACK_LOCATION>() == 72);

pub(super) const SUCCESS: i32 = 0;
pub(super) const MORE_PROCESSING_REQUIRED: i32 = 0xc000_0016_u32.cast_signed();

/// `SL_PENDING_RETURNED`, and the conditions on which a completion routine is called.
const PENDING_RETURNED: u8 = 0x01;
const ON_SUCCESS: u8 = 0x40;
const ON_ERROR: u8 = 0x80;

/// A dispatch function. The functions of windows-sys' structures have this system's convention.
pub(super) type Dispatch = unsafe extern "win64" fn(*mut DEVICE_OBJECT, *mut IRP) -> i32;
/// A completion routine.
pub(super) type Routine = unsafe extern "win64" fn(*mut DEVICE_OBJECT, *mut IRP, *mut c_void) -> i32;

/// A function in a structure of windows-sys, in which all have this system's calling convention, as one of the driver's.
///
/// # Safety
/// `place` is what [`set_callback`] or the driver has written there.
pub(super) unsafe fn callback<T, F>(place: *const T) -> Option<F> {
    const { assert!(size_of::<T>() == size_of::<*const ()>() && size_of::<Option<F>>() == size_of::<T>()) };
    // SAFETY: a pointer to a function, or null, in both.
    unsafe { place.cast::<Option<F>>().read() }
}

/// Puts one there.
///
/// # Safety
/// `place` is there, and whoever calls the function knows what it is.
pub(super) unsafe fn set_callback<T, F>(place: *mut T, function: Option<F>) {
    const { assert!(size_of::<T>() == size_of::<*const ()>() && size_of::<Option<F>>() == size_of::<T>()) };
    // SAFETY: as above.
    unsafe { place.cast::<Option<F>>().write(function) };
}

/// A driver object that lives as long as the process, all of whose requests go to `dispatch`.
pub(super) fn driver(dispatch: Option<Dispatch>) -> *mut DRIVER_OBJECT {
    let driver: &mut DRIVER_OBJECT = Box::leak(Box::default());
    driver.DriverExtension = Box::leak(Box::<DRIVER_EXTENSION>::default());
    for function in &mut driver.MajorFunction {
        // SAFETY: only `call` calls it, as what it is.
        unsafe { set_callback(function, dispatch) };
    }
    driver
}

/// A device object of `driver`, with so many bytes of extension.
pub(super) fn device(driver: *mut DRIVER_OBJECT, extension: usize) -> *mut DEVICE_OBJECT {
    let device: &mut DEVICE_OBJECT = Box::leak(Box::default());
    device.DriverObject = driver;
    device.StackSize = 1;
    device.DeviceExtension = nt::zeroed(extension.max(1));
    device
}

/// An IRP with so many stack locations. They lie behind it.
pub(super) fn irp(locations: i8) -> *mut IRP {
    let room = size_of::<IRP>() + locations as usize * size_of::<IO_STACK_LOCATION>();
    let irp = nt::zeroed(room).cast();
    // SAFETY: fresh memory of that size.
    unsafe { reset(irp, locations) };
    irp
}

/// As just made.
///
/// # Safety
/// An IRP of [`irp`] with so many locations, that nobody uses.
pub(super) unsafe fn reset(irp: *mut IRP, locations: i8) {
    // SAFETY: the caller's contract.
    unsafe {
        (*irp).Size = (size_of::<IRP>() + locations as usize * size_of::<IO_STACK_LOCATION>()) as u16;
        (*irp).StackCount = locations;
        (*irp).CurrentLocation = locations + 1;
        (*irp).PendingReturned = false;
        (*irp).Cancel = false;
        (*irp).CancelRoutine = None;
        let behind: *mut IO_STACK_LOCATION = irp.add(1).cast();
        *current(irp) = behind.add(locations as usize);
    }
}

/// Where an IRP says what its current location is.
unsafe fn current<'a>(irp: *mut IRP) -> &'a mut *mut IO_STACK_LOCATION {
    // SAFETY: the caller has the IRP.
    unsafe { &mut (*irp).Tail.Overlay.Anonymous2.Anonymous.CurrentStackLocation }
}

/// The location of the driver that has the IRP.
///
/// # Safety
/// The caller has the IRP.
pub(super) unsafe fn location(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: the caller's contract.
    unsafe { *current(irp) }
}

/// The location of the next driver below.
///
/// # Safety
/// The caller has the IRP, and there is one.
pub(super) unsafe fn next(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: the caller's contract.
    unsafe { location(irp).sub(1) }
}

/// Has `routine` called when the driver below is done.
///
/// # Safety
/// As for [`next`].
pub(super) unsafe fn on_completion(irp: *mut IRP, routine: Routine, context: *mut c_void) {
    // SAFETY: the caller's contract.
    unsafe {
        let below = next(irp);
        set_callback(&raw mut (*below).CompletionRoutine, Some(routine));
        (*below).Context = context;
        (*below).Control = ON_SUCCESS | ON_ERROR;
    }
}

/// `IofCallDriver`.
pub(super) unsafe extern "win64" fn call(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> i32 {
    // SAFETY: the caller has filled in the next location.
    unsafe {
        (*irp).CurrentLocation -= 1;
        let location = next(irp);
        *current(irp) = location;
        (*location).DeviceObject = device;
        let functions = &(*(*device).DriverObject).MajorFunction;
        match callback::<_, Dispatch>(&raw const functions[usize::from((*location).MajorFunction)]) {
            Some(function) => function(device, irp),
            None => nt::give_up("a driver without a dispatch function"),
        }
    }
}

/// `IofCompleteRequest`.
pub(super) unsafe extern "win64" fn complete(irp: *mut IRP, _boost: i8) {
    // SAFETY: the caller has the IRP and gives it up. Routines have been put there by drivers on its way.
    unsafe {
        while (*irp).CurrentLocation <= (*irp).StackCount {
            let below = location(irp);
            let control = (*below).Control;
            (*irp).PendingReturned = control & PENDING_RETURNED != 0;
            (*irp).CurrentLocation += 1;
            *current(irp) = below.add(1);
            let wanted = if (*irp).IoStatus.Anonymous.Status >= 0 { ON_SUCCESS } else { ON_ERROR };
            let owned = (*irp).CurrentLocation <= (*irp).StackCount;
            if control & wanted != 0
                && let Some(routine) = callback::<_, Routine>(&raw const (*below).CompletionRoutine)
            {
                let device = if owned { (*location(irp)).DeviceObject } else { ptr::null_mut() };
                if routine(device, irp, (*below).Context) == MORE_PROCESSING_REQUIRED {
                    return;
                }
            } else if (*irp).PendingReturned && owned {
                (*location(irp)).Control |= PENDING_RETURNED;
            }
        }
    }
}

/// The device on top of the stack of `device`.
///
/// # Safety
/// A device of [`device`].
pub(super) unsafe fn top(device: *mut DEVICE_OBJECT) -> *mut DEVICE_OBJECT {
    let mut top = device;
    // SAFETY: the caller's contract.
    while let Some(above) = unsafe { (*top).AttachedDevice.as_mut() } {
        top = above;
    }
    top
}

/// Sends a request that `fill` writes into its location, and waits; answers status and information.
///
/// # Safety
/// What `fill` writes is what the device's driver expects.
pub(super) unsafe fn ask(
    device: *mut DEVICE_OBJECT,
    fill: impl FnOnce(&mut IO_STACK_LOCATION),
) -> (i32, usize) {
    unsafe extern "win64" fn ended(_: *mut DEVICE_OBJECT, _: *mut IRP, done: *mut c_void) -> i32 {
        // SAFETY: below.
        unsafe { done.cast::<bool>().write(true) };
        MORE_PROCESSING_REQUIRED
    }
    let mut done = false;
    // SAFETY: the flag is there until the routine has run: everything runs when DPCs do.
    unsafe {
        let top = top(device);
        let irp = irp((*top).StackSize);
        (*irp).IoStatus.Anonymous.Status = 0xc000_00bb_u32.cast_signed(); // as the PnP manager sets it
        fill(&mut *next(irp));
        on_completion(irp, ended, (&raw mut done).cast());
        call(top, irp);
        nt::run_dpcs();
        if !(&raw const done).read_volatile() {
            nt::give_up("a request did not come back");
        }
        ((*irp).IoStatus.Anonymous.Status, (*irp).IoStatus.Information)
    }
}
