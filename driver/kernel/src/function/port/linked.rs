//! Drivers whose miniports this driver hosts, from their StorPortInitialize to their DriverUnload.

use alloc::{boxed::Box, vec::Vec};
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    ptr::{self, NonNull},
    sync::atomic::AtomicUsize,
};

use sluice_chain::try_box;
use sluice_port::{registration::Registration, status::NtStatus};
use sluice_shim::platform::LockWord;
use wdk_sys::{
    DRIVER_OBJECT, PDRIVER_OBJECT, UNICODE_STRING,
    ntddk::{KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock},
};

use crate::dispatch;

/// A driver and what it has registered for one kind of bus.
pub(crate) struct Linked {
    next: *const Linked,
    driver: PDRIVER_OBJECT,
    pub(crate) registration: Registration,
    /// The service's registry key, UTF-16.
    pub(crate) path: Vec<u16>,
}

/// A list through [`Linked::next`], behind its own spin lock. Lock order: taken alone.
struct List {
    lock: LockWord,
    first: UnsafeCell<*const Linked>,
}

// SAFETY: `first` is touched with the lock held only.
unsafe impl Sync for List {}

static DRIVERS: List = List { lock: LockWord(AtomicUsize::new(0)), first: UnsafeCell::new(ptr::null()) };

fn locked<R>(body: impl FnOnce(&mut *const Linked) -> R) -> R {
    // SAFETY: a lock word is a KSPIN_LOCK; `first` is touched here only, under the lock.
    unsafe {
        let word = DRIVERS.lock.0.as_ptr().cast();
        let old = KeAcquireSpinLockRaiseToDpc(word);
        let result = body(&mut *DRIVERS.first.get());
        KeReleaseSpinLock(word, old);
        result
    }
}

/// What `driver` has registered first; `None` for this driver itself. It stays until the driver is unloaded, after its last
/// device has gone.
pub(crate) fn of(driver: PDRIVER_OBJECT) -> Option<&'static Linked> {
    first_of(driver, |_| true)
}

impl Linked {
    /// What the same driver has registered for adapters on such a bus (INTERFACE_TYPE), or this if it has not.
    pub(crate) fn on(&'static self, interface: u32) -> &'static Self {
        let is_it = |here: &Self| here.registration.data().adapter_interface_type == interface;
        first_of(self.driver, is_it).unwrap_or(self)
    }
}

/// The first that a driver has registered of those that are what is looked for: the last in the list.
fn first_of(driver: PDRIVER_OBJECT, is_it: impl Fn(&Linked) -> bool) -> Option<&'static Linked> {
    locked(|first| {
        let (mut at, mut found) = (*first, None);
        // SAFETY: entries in the list are alive, and the list is locked.
        while let Some(here) = unsafe { at.as_ref() } {
            if ptr::eq(here.driver, driver) && is_it(here) {
                found = Some(here);
            }
            at = here.next;
        }
        found
    })
}

/// StorPortInitialize has been called: the driver's devices are ours from now on. A driver may call it once for each kind of
/// bus that it has adapters on. PASSIVE_LEVEL.
pub(crate) fn register(driver: *mut c_void, path: *mut c_void, registration: Registration) -> NtStatus {
    let Some(mut object) = NonNull::new(driver.cast::<DRIVER_OBJECT>()) else {
        return NtStatus::INVALID_PARAMETER;
    };
    // SAFETY: the I/O manager's driver object, whose DriverEntry is running.
    if !dispatch::is_installed(unsafe { object.as_ref() }) {
        // A driver whose DriverEntry fails afterwards is never unloaded, and this one may have got the memory of its object.
        forget(object.as_ptr());
    }
    let bus = registration.data().adapter_interface_type;
    let known = of(object.as_ptr()).map(|linked| linked.on(bus));
    if known.is_some_and(|linked| linked.registration.data().adapter_interface_type == bus) {
        return NtStatus::NOT_SUPPORTED;
    }
    // SAFETY: DriverEntry's second argument, which the miniport has passed on.
    let Some(path) = (unsafe { copied(path.cast()) }) else { return NtStatus::INSUFFICIENT_RESOURCES };
    let linked = Linked { next: ptr::null(), driver: object.as_ptr(), registration, path };
    let Some(linked) = try_box(linked) else { return NtStatus::INSUFFICIENT_RESOURCES };
    let linked = Box::into_raw(linked);
    locked(|first| {
        // SAFETY: just made, and not in the list yet.
        unsafe { (*linked).next = *first };
        *first = linked;
    });
    // SAFETY: the I/O manager's driver object, whose DriverEntry is running.
    dispatch::install(unsafe { object.as_mut() }, unload);
    NtStatus::SUCCESS
}

/// # Safety
/// `path` is null or a counted string.
unsafe fn copied(path: *const UNICODE_STRING) -> Option<Vec<u16>> {
    let mut copy = Vec::new();
    // SAFETY: the caller's contract.
    if let Some(path) = unsafe { path.as_ref() }.filter(|path| !path.Buffer.is_null()) {
        let length = usize::from(path.Length) / size_of::<u16>();
        copy.try_reserve_exact(length).ok()?;
        // SAFETY: so many units are there, and room for them.
        copy.extend_from_slice(unsafe { core::slice::from_raw_parts(path.Buffer, length) });
    }
    Some(copy)
}

/// DriverUnload of such a driver: its last adapter has gone. PASSIVE_LEVEL.
unsafe extern "C" fn unload(driver: PDRIVER_OBJECT) {
    forget(driver);
}

/// Drops what a driver has registered, if it has. No device of it is left.
fn forget(driver: PDRIVER_OBJECT) {
    while let Some(linked) = take(driver) {
        // SAFETY: made from a box by `register`, out of the list, and no device of the driver is left.
        drop(unsafe { Box::from_raw(linked.as_ptr()) });
    }
}

/// Takes one of the driver's registrations out of the list.
fn take(driver: PDRIVER_OBJECT) -> Option<NonNull<Linked>> {
    locked(|first| {
        let mut link: *mut *const Linked = first;
        loop {
            // SAFETY: links lead to entries, which are alive; the list is locked.
            unsafe {
                let here = *link;
                let entry = here.as_ref()?;
                if ptr::eq(entry.driver, driver) {
                    *link = entry.next;
                    return NonNull::new(here.cast_mut());
                }
                link = (&raw const (*here).next).cast_mut();
            }
        }
    })
}
