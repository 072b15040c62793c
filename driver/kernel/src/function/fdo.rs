//! An adapter: its function device object, its miniport, and the units on it.

use alloc::vec::Vec;
use core::{
    cell::UnsafeCell,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering},
};

use sluice_miniport_virtio_blk::pci::resources::Resources;
use wdk_sys::{
    _DEVICE_RELATION_TYPE::BusRelations,
    DEVICE_OBJECT, FILE_DEVICE_CONTROLLER, NTSTATUS, PDRIVER_OBJECT, STATUS_DEVICE_CONFIGURATION_ERROR,
    STATUS_INSUFFICIENT_RESOURCES,
    ntddk::{IoDetachDevice, IoInvalidateDeviceRelations},
};

use super::{fdo_power::Power, hosted::Hosted, kind::Kind, pdo::Pdo};
use crate::{
    gated::Gated,
    nt::{
        device,
        event::{Turn, TurnGuard},
        identity::Settings,
        irp::Irp,
        irql::Passive,
        remove_lock::RemoveLock,
        work::WorkItem,
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
    /// Scanning, starting, resting and going happen one at a time.
    turn: Turn,
    units: Units,
    /// Why it rests, as [`Rest::bit`] says; and what the miniport has been told of that. Changed with the turn.
    rests: AtomicU32,
    told: AtomicU32,
    /// The PnP manager has asked what is on the bus while it rested.
    unscanned: AtomicBool,
    /// For power IRPs that change the device's state: one at a time.
    pub(super) work: WorkItem,
    pub(super) powering: AtomicBool,
}

/// Why an adapter rests: its units hold back what comes, and its miniport has been told.
#[derive(Clone, Copy, Debug)]
pub(in crate::function) enum Rest {
    /// STOP_DEVICE.
    Stopped,
    /// Its device has no power, or is given it again.
    Unpowered(Power),
}

impl Rest {
    const STOPPED: u32 = 1;
    const UNPOWERED: u32 = 2;

    fn bit(self) -> u32 {
        match self {
            Self::Stopped => Self::STOPPED,
            Self::Unpowered(_) => Self::UNPOWERED,
        }
    }
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
        // SAFETY: just made; the item goes with what is put into its extension.
        let Some(work) = (unsafe { WorkItem::new(device) }) else {
            // SAFETY: nobody knows it, and there is nothing in it.
            unsafe { device::delete(device) };
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        };
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
            rests: AtomicU32::new(0),
            told: AtomicU32::new(0),
            unscanned: AtomicBool::new(false),
            work,
            powering: AtomicBool::new(false),
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

    /// Starts the miniport, or has it go on if it has been started: a device that is started has its power.
    pub(crate) fn start(
        &self,
        resources: Resources,
        turn: &mut TurnGuard<'_>,
        at: Passive<'_>,
    ) -> Result<(), NTSTATUS> {
        match self.hosted.with(|hosted| hosted.has(&resources)) {
            Some(true) => {}
            Some(false) => return Err(STATUS_DEVICE_CONFIGURATION_ERROR), // moved, although that was refused
            None => self.hosted.open(Hosted::start(self.kind, self, resources, at)?),
        }
        self.wake_from(Rest::STOPPED | Rest::UNPOWERED, Rest::Stopped, turn, at)
    }

    /// Holds back what comes, waits for what is under way and tells the miniport, unless that has been done for the other
    /// reason.
    pub(super) fn rest(&self, why: Rest, turn: &mut TurnGuard<'_>, at: Passive<'_>) {
        if self.rests.fetch_or(why.bit(), Ordering::AcqRel) != 0 {
            return;
        }
        self.units(turn).iter().for_each(|unit| unit.suspend(at));
        self.told.store(why.bit(), Ordering::Release);
        self.hosted.with(|hosted| hosted.rest(why, at));
    }

    /// Takes [`Self::rest`] back; if that was the last reason, the miniport goes on, and then the units do.
    ///
    /// # Errors
    /// What the miniport says. The units then say so of each request.
    pub(super) fn wake(&self, why: Rest, turn: &mut TurnGuard<'_>, at: Passive<'_>) -> Result<(), NTSTATUS> {
        self.wake_from(why.bit(), why, turn, at)
    }

    fn wake_from(
        &self,
        reasons: u32,
        why: Rest,
        turn: &mut TurnGuard<'_>,
        at: Passive<'_>,
    ) -> Result<(), NTSTATUS> {
        let before = self.rests.fetch_and(!reasons, Ordering::AcqRel);
        if before == 0 || before & !reasons != 0 {
            return Ok(());
        }
        let unpowered = self.told.load(Ordering::Acquire) == Rest::UNPOWERED;
        let why = match why {
            Rest::Unpowered(power) if unpowered => Rest::Unpowered(power),
            _ if unpowered => Rest::Unpowered(Power::ON),
            _ => Rest::Stopped,
        };
        let woken = self.hosted.with(|hosted| hosted.wake(why, at)).unwrap_or(Ok(()));
        self.units(turn).iter().for_each(|unit| unit.resume());
        if self.unscanned.swap(false, Ordering::AcqRel) {
            self.rescan();
        }
        woken
    }

    /// Whether its units can be asked. If not, the PnP manager is asked to come again when they can.
    pub(super) fn may_scan(&self, _turn: &mut TurnGuard<'_>) -> bool {
        let rests = self.rests.load(Ordering::Acquire) != 0;
        if rests {
            self.unscanned.store(true, Ordering::Release);
        }
        !rests
    }

    /// Has the PnP manager ask what is on the bus, when it comes to it. Up to DISPATCH_LEVEL.
    pub(super) fn rescan(&self) {
        // SAFETY: attached, so the physical device is there.
        unsafe { IoInvalidateDeviceRelations(self.pdo.as_ptr(), BusRelations) };
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
