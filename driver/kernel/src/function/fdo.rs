//! An adapter: its function device object, its miniport, and the units on it.

use alloc::vec::Vec;
use core::{
    cell::UnsafeCell,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicU32, Ordering},
};

use sluice_miniport_virtio_blk::pci::resources::Resources;
use wdk_sys::{
    DEVICE_OBJECT, FILE_DEVICE_CONTROLLER, NTSTATUS, PDRIVER_OBJECT, STATUS_DEVICE_CONFIGURATION_ERROR,
    ntddk::IoDetachDevice,
};

use super::{hosted::Hosted, kind::Kind, pdo::Pdo};
use crate::{
    gated::Gated,
    nt::{
        device,
        event::{Turn, TurnGuard},
        identity::Settings,
        irp::Irp,
        irql::Passive,
        remove_lock::RemoveLock,
    },
    role::Role,
};

/// The extension of an adapter's device object.
pub(crate) struct Fdo {
    device: NonNull<DEVICE_OBJECT>,
    /// The device below. Null until attached; see [`Self::lower`].
    lower: AtomicPtr<DEVICE_OBJECT>,
    pub(crate) pdo: NonNull<DEVICE_OBJECT>,
    kind: Kind,
    /// Which of this driver's adapters it is: what a unit's SCSI_ADDRESS calls its port.
    pub(crate) number: u8,
    pub(crate) remove_lock: RemoveLock,
    /// The miniport, while the adapter is started. Its units go before it does.
    pub(crate) hosted: Gated<Hosted>,
    /// Scanning, starting and going happen one at a time.
    turn: Turn,
    units: Units,
}

/// The units, behind the adapter's turn.
struct Units(UnsafeCell<Vec<&'static Pdo>>);

// SAFETY: the fields are atomic, synchronised by the kernel, behind the turn, or never change.
unsafe impl Sync for Fdo {}

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);

impl Fdo {
    /// AddDevice: creates a function device object and attaches it above `pdo`'s stack.
    ///
    /// # Errors
    /// What the I/O manager says; nothing is left behind.
    ///
    /// # Safety
    /// `driver` is this driver, `pdo` a live physical device object.
    pub(crate) unsafe fn attach(
        driver: PDRIVER_OBJECT,
        pdo: NonNull<DEVICE_OBJECT>,
        kind: Kind,
        _at: Passive<'_>,
    ) -> Result<(), NTSTATUS> {
        // SAFETY: the caller's contract.
        let device = unsafe { device::create::<Role>(driver, None, FILE_DEVICE_CONTROLLER)? };
        let fdo = Self {
            device,
            lower: AtomicPtr::new(ptr::null_mut()),
            pdo,
            kind,
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed) as u8,
            remove_lock: RemoveLock::uninit(),
            hosted: Gated::uninit(),
            turn: Turn::uninit(),
            units: Units(UnsafeCell::new(Vec::new())),
        };
        // SAFETY: the device has just been made for a role; the locks are initialized where they stay; complete, so
        // that it may be attached, and attached to nothing yet.
        unsafe {
            let Role::Adapter(fdo) = Role::Adapter(fdo).put(device) else {
                return Err(wdk_sys::STATUS_UNSUCCESSFUL);
            };
            fdo.remove_lock.initialize();
            fdo.hosted.initialize();
            fdo.turn.initialize();
            if let Err(status) = device::attach(device, pdo, fdo.lower.as_ptr()) {
                Role::delete(device);
                return Err(status);
            }
            device::follow(device, fdo.lower());
            device::open(device);
        }
        Ok(())
    }

    /// Detaches and deletes the device object.
    ///
    /// # Safety
    /// Its remove lock has been drained, its miniport and its units are closed.
    pub(crate) unsafe fn destroy(fdo: &'static Self) {
        let (device, lower) = (fdo.device, fdo.lower());
        // SAFETY: the caller's contract: this is the last use.
        unsafe {
            IoDetachDevice(lower.as_ptr());
            Role::delete(device);
        }
    }

    /// The device below. Attaching sets it before the first request can come.
    pub(crate) fn lower(&self) -> NonNull<DEVICE_OBJECT> {
        NonNull::new(self.lower.load(Ordering::Acquire)).unwrap_or(self.pdo)
    }

    /// Its device object.
    pub(crate) fn device(&self) -> NonNull<DEVICE_OBJECT> {
        self.device
    }

    /// The driver that its units belong to as well.
    pub(crate) fn driver(&self) -> PDRIVER_OBJECT {
        // SAFETY: its own device object.
        unsafe { (*self.device.as_ptr()).DriverObject }
    }

    /// What its INF and its administrator have set.
    pub(crate) fn settings(&self, at: Passive<'_>) -> Settings {
        // SAFETY: attached, so the physical device is there.
        unsafe { Settings::of(self.pdo, at) }
    }

    /// Starts the miniport, or has it go on if it has been started.
    pub(crate) fn start(
        &self,
        resources: Resources,
        turn: &mut TurnGuard<'_>,
        at: Passive<'_>,
    ) -> Result<(), NTSTATUS> {
        let go_on = |hosted: &Hosted| match hosted.has(&resources) {
            true => hosted.power(true),
            false => Err(STATUS_DEVICE_CONFIGURATION_ERROR), // moved, although that was refused
        };
        match self.hosted.with(go_on) {
            Some(gone_on) => gone_on?,
            None => self.hosted.open(Hosted::start(self.kind, self, resources, at)?),
        }
        self.units(turn).iter().for_each(|unit| unit.resume());
        Ok(())
    }

    /// Holds back what comes, and waits for what is under way, until [`Self::start`]. Only a miniport that has
    /// resources hears of it.
    pub(crate) fn stop(&self, turn: &mut TurnGuard<'_>, at: Passive<'_>) {
        self.units(turn).iter().for_each(|unit| unit.suspend(at));
        // Stopping cannot fail.
        let _ = self.hosted.with(|hosted| hosted.power(false));
    }

    /// Waits for the adapter's turn.
    pub(crate) fn turn(&self, at: Passive<'_>) -> TurnGuard<'_> {
        self.turn.take(at)
    }

    /// The units, for whoever has the turn.
    #[expect(clippy::mut_from_ref, reason = "the guard is what is borrowed: one exists at a time")]
    pub(crate) fn units<'a>(&'a self, _turn: &'a mut TurnGuard<'_>) -> &'a mut Vec<&'static Pdo> {
        // SAFETY: the guard proves the turn, and is borrowed exclusively for as long as the result lives.
        unsafe { &mut *self.units.0.get() }
    }

    /// Does something that consumes an IRP, holding the remove lock meanwhile.
    pub(crate) fn with_lock(&self, irp: Irp, what: impl FnOnce(Irp) -> NTSTATUS) -> NTSTATUS {
        let tag = irp.tag();
        if let Err(status) = self.remove_lock.acquire(tag) {
            return irp.complete(status, 0);
        }
        let status = what(irp);
        self.remove_lock.release(tag);
        status
    }
}
