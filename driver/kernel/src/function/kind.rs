//! What AddDevice is called for: a disk to filter, or an adapter to drive.
//!
//! One driver object serves both, and both come through the same AddDevice with a physical device object of somebody
//! else's. What tells them apart is the device's setup class, which the PnP manager knows before it calls: the INF that
//! names us as a function driver is of class SCSIAdapter, the ones that put us below disks are of class DiskDrive. Not
//! the service's own registry, which is one for both; and not what lies below, since a disk that happens to be one of
//! ours is filtered like any other. Whatever has another class, or none that can be read, is filtered: a filter passes
//! what it does not know, so that is the mistake that does no harm.
//!
//! Which miniport drives an adapter, its hardware identifiers say, as the INF's sections do. A device of a driver that is
//! linked to us is always its miniport's.

use core::ptr::NonNull;

use wdk_sys::{DEVICE_OBJECT, DEVICE_REGISTRY_PROPERTY as registered, PDRIVER_OBJECT};

use super::port::linked::{self, Linked};
use crate::nt::{
    identity::{self, Text},
    irql::Passive,
};

/// GUID_DEVCLASS_SCSIADAPTER.
const ADAPTERS: &str = "{4d36e97b-e325-11ce-bfc1-08002be10318}";

/// Which miniport drives an adapter.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Disks in memory.
    Ram,
    /// A virtio block device.
    Virtio,
    /// That of a driver that is linked to this one.
    Linked(&'static Linked),
}

/// What a device is to be.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// To be filtered.
    Filter,
    /// An adapter for one of our miniports.
    Adapter(Kind),
    /// An adapter that none of them drives.
    Unknown,
}

impl Purpose {
    /// Asks the PnP manager.
    ///
    /// # Safety
    /// `pdo` is a live physical device object.
    pub(crate) unsafe fn of(driver: PDRIVER_OBJECT, pdo: NonNull<DEVICE_OBJECT>, at: Passive<'_>) -> Self {
        if let Some(linked) = linked::of(driver) {
            return Self::Adapter(Kind::Linked(linked));
        }
        // SAFETY: the caller's contract.
        let class = unsafe { identity::property(pdo, registered::DevicePropertyClassGuid, at) };
        if !class.is_some_and(|class| class.has(ADAPTERS)) {
            return Self::Filter;
        }
        // SAFETY: as above.
        let names = unsafe { identity::property(pdo, registered::DevicePropertyHardwareID, at) };
        names.as_ref().and_then(Kind::named).map_or(Self::Unknown, Self::Adapter)
    }
}

impl Kind {
    fn named(names: &Text) -> Option<Self> {
        let known = [
            ("Root\\SluiceRam", Self::Ram),
            ("PCI\\VEN_1AF4&DEV_1001", Self::Virtio),
            ("PCI\\VEN_1AF4&DEV_1042", Self::Virtio),
        ];
        known.into_iter().find_map(|(name, kind)| names.has(name).then_some(kind))
    }
}
