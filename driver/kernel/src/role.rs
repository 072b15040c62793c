//! What a device object of this driver is. Its extension says so, and holds what belongs to it.

use core::{
    mem::size_of,
    ptr::{self, NonNull},
};

use wdk_sys::DEVICE_OBJECT;

use crate::{
    completion::Served,
    disk::Disk,
    function::{fdo::Fdo, pdo::Pdo},
    nt::device,
};

/// The extension of every device object but the control device's.
pub(crate) enum Role {
    /// Above somebody else's disk.
    Filter(Disk),
    /// The function device of an adapter.
    Adapter(Fdo),
    /// A unit that the adapter has.
    Unit(Pdo),
}

impl Role {
    /// Makes it a new device's.
    ///
    /// # Safety
    /// `device` was made by `device::create::<Role>`, and nobody knows it yet.
    pub(crate) unsafe fn put(self, device: NonNull<DEVICE_OBJECT>) -> &'static Self {
        const { assert!(size_of::<Self>() <= 0x1000) };
        // SAFETY: the extension has room for one and is nobody's yet; it stays until `delete`.
        unsafe {
            let place = (*device.as_ptr()).DeviceExtension.cast::<Self>();
            place.write(self);
            &*place
        }
    }

    /// What `device` is.
    ///
    /// # Safety
    /// It was given a role by [`Self::put`] and has not been deleted.
    pub(crate) unsafe fn of(device: *mut DEVICE_OBJECT) -> &'static Self {
        // SAFETY: the caller's contract.
        unsafe { &*(*device).DeviceExtension.cast::<Self>() }
    }

    /// Deletes a device with all that belongs to it.
    ///
    /// # Safety
    /// As for [`Self::of`]; it is detached, and this is the last use.
    pub(crate) unsafe fn delete(device: NonNull<DEVICE_OBJECT>) {
        // SAFETY: the caller's contract.
        unsafe {
            ptr::drop_in_place((*device.as_ptr()).DeviceExtension.cast::<Self>());
            device::delete(device);
        }
    }

    /// Whose callers' requests wait in a unit.
    pub(crate) fn served(&'static self) -> Option<&'static dyn Served> {
        match self {
            Self::Filter(disk) => Some(disk),
            Self::Adapter(_) => None,
            Self::Unit(unit) => Some(unit),
        }
    }
}
