//! A unit of an adapter: its physical device object.

use alloc::boxed::Box;
use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering},
};

use sluice_chain::{rundown::Inside, try_box};
use sluice_shim::{
    enumeration::profile::Profile, queue::Waiting, request::Incoming, scsi::sense::Refusal,
    storport::srb::Address, unit::Hold,
};
use wdk_sys::{
    DEVICE_OBJECT, DO_DIRECT_IO, FILE_DEVICE_MASS_STORAGE, NTSTATUS, PDRIVER_OBJECT, PVOID,
    STATUS_INSUFFICIENT_RESOURCES,
};

use super::{fdo::Fdo, hosted::Hosted, line::Line, srb};
use crate::{
    completion::{self, Served},
    nt::{
        cancel, device,
        event::{Turn, pause},
        irp::Irp,
        irql::Passive,
        work::WorkItem,
    },
    requests::Asked,
    role::Role,
};

/// The extension of a unit's device object.
pub(crate) struct Pdo {
    pub(crate) device: NonNull<DEVICE_OBJECT>,
    pub(crate) address: Address,
    /// The adapter's number.
    pub(crate) port: u8,
    /// The adapter; null when that has gone first.
    fdo: AtomicPtr<Fdo>,
    /// What the unit has said of itself. Set once, before anybody else hears of the device.
    profile: AtomicPtr<Profile>,
    /// There until the unit goes.
    line: Gated,
    /// Opening and closing the line happen one at a time.
    turn: Turn,
    /// The PnP manager has been told of it, and will say when it is to go, once it has been left out of a report.
    pub(crate) reported: AtomicBool,
    /// The drivers above have gone, and none has come since: nothing more is heard of it when its adapter goes.
    pub(crate) left: AtomicBool,
    /// It is there no more.
    pub(crate) gone: AtomicBool,
    /// A class driver has claimed it.
    pub(crate) claimed: AtomicBool,
    pub(crate) paging_files: AtomicI32,
    /// For power IRPs that the miniport is told of: one at a time.
    pub(super) work: WorkItem,
    pub(super) powering: AtomicBool,
}

type Gated = crate::gated::Gated<Line>;

// SAFETY: the fields are atomic or synchronised by the kernel; the rest never changes.
unsafe impl Sync for Pdo {}

impl Pdo {
    /// Makes a device object for the unit at `address` and a line to it, so that it can be asked whether it is there.
    ///
    /// # Errors
    /// What the I/O manager says; nothing is left behind.
    ///
    /// # Safety
    /// `driver` is this driver; the unit is closed ([`Self::close`]) before `hosted` goes.
    pub(crate) unsafe fn create(
        driver: PDRIVER_OBJECT,
        fdo: &'static Fdo,
        hosted: &'static Hosted,
        address: Address,
        _at: Passive<'_>,
    ) -> Result<&'static Self, NTSTATUS> {
        // SAFETY: the caller's contract.
        let device = unsafe { device::create_physical::<Role>(driver, FILE_DEVICE_MASS_STORAGE)? };
        // SAFETY: just made; the item goes with what is put into its extension.
        let Some(work) = (unsafe { WorkItem::new(device) }) else {
            // SAFETY: nobody knows it, and there is nothing in it.
            unsafe { device::delete(device) };
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        };
        let pdo = Self {
            device,
            address,
            port: fdo.number,
            fdo: AtomicPtr::new(ptr::from_ref(fdo).cast_mut()),
            profile: AtomicPtr::new(ptr::null_mut()),
            line: Gated::uninit(),
            turn: Turn::uninit(),
            reported: AtomicBool::new(false),
            left: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            claimed: AtomicBool::new(false),
            paging_files: AtomicI32::new(0),
            work,
            powering: AtomicBool::new(false),
        };
        // SAFETY: the device has just been made for a role; the locks are initialized where they stay. The line is the
        // caller's contract.
        unsafe {
            let Role::Unit(pdo) = Role::Unit(pdo).put(device) else {
                return Err(wdk_sys::STATUS_UNSUCCESSFUL);
            };
            pdo.line.initialize();
            pdo.turn.initialize();
            let Some(line) = Line::new(pdo, hosted) else {
                Role::delete(device);
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            };
            pdo.line.open(line);
            (*device.as_ptr()).Flags |= DO_DIRECT_IO;
            device::open(device);
            Ok(pdo)
        }
    }

    /// Deletes the device object.
    ///
    /// # Safety
    /// It is closed, in no list, and nobody uses it.
    pub(crate) unsafe fn destroy(pdo: &'static Self) {
        // SAFETY: the caller's contract.
        unsafe { Role::delete(pdo.device) };
    }

    /// What the unit has said of itself; `None` for one that is still being asked.
    pub(crate) fn profile(&self) -> Option<&Profile> {
        // SAFETY: set once from a box, freed when this is dropped.
        NonNull::new(self.profile.load(Ordering::Acquire)).map(|profile| unsafe { profile.as_ref() })
    }

    /// Takes note of it. Once. `false` when memory has run out.
    pub(crate) fn introduce(&self, profile: Profile) -> bool {
        let Some(profile) = try_box(profile) else { return false };
        self.profile.store(Box::into_raw(profile), Ordering::Release);
        true
    }

    /// The adapter, if it is still there. For PnP requests, which come one at a time.
    pub(crate) fn fdo(&self) -> Option<&'static Fdo> {
        // SAFETY: the adapter takes itself away (`orphan`) before it goes, in a PnP request of its own.
        NonNull::new(self.fdo.load(Ordering::Acquire)).map(|fdo| unsafe { fdo.as_ref() })
    }

    /// The adapter goes first.
    pub(crate) fn orphan(&self) {
        self.fdo.store(ptr::null_mut(), Ordering::Release);
    }

    /// Takes back what a class driver has locked.
    pub(crate) fn unlock(&self) {
        self.with_line(|line| line.unit().go_on(Hold::LOCKED));
    }

    /// The adapter is stopped: what comes waits, and what is under way comes to its end.
    pub(crate) fn suspend(&self, at: Passive<'_>) {
        self.with_line(|line| {
            line.unit().hold(Hold::STOPPED);
            while !line.unit().is_idle() {
                pause(1, at);
            }
        });
    }

    /// The adapter goes on.
    pub(crate) fn resume(&self) {
        self.with_line(|line| line.unit().go_on(Hold::STOPPED));
    }

    /// Goes inside, if the unit is there.
    pub(crate) fn enter(&self) -> Option<Inside> {
        self.line.enter()
    }

    /// The line, for whoever is inside.
    pub(crate) fn line<'a>(&'a self, inside: &'a Inside) -> Option<&'a Line> {
        self.line.value(inside)
    }

    /// Uses the line, if the unit is there.
    pub(crate) fn with_line<R>(&self, what: impl FnOnce(&Line) -> R) -> Option<R> {
        self.line.with(what)
    }

    /// Ends what waits for the unit, with `why`. Up to DISPATCH_LEVEL.
    pub(crate) fn flush(&self, line: &Line, why: Refusal) {
        while let Some(waiting) = line.unit().withdraw_first() {
            let irp = Irp::of_waiting(waiting);
            // SAFETY: pending, out of the queue: ours, unless its cancel routine has it already.
            if unsafe { cancel::disarm(irp) } {
                completion::withdrawn(self, irp, why);
            }
        }
    }

    /// The unit is there no more: what waits is failed, what is under way is waited for, and the line goes. What comes
    /// later is refused.
    pub(crate) fn close(&self, at: Passive<'_>) {
        let _turn = self.turn.take(at);
        self.gone.store(true, Ordering::Release);
        if let Some(inside) = self.enter() {
            self.line.shut();
            if let Some(line) = self.line(&inside) {
                self.flush(line, Refusal::NoDevice);
                line.hosted().unit_gone(self.address);
                // Whoever came in before the gate was shut and queues only now must not wait for ever.
                line.unit().go_on(Hold::LOCKED);
                line.unit().go_on(Hold::STOPPED);
            }
            self.leave(inside);
        }
        if let Some(line) = self.line.close(at) {
            line.settle(at);
        }
    }
}

impl Drop for Pdo {
    fn drop(&mut self) {
        let profile = core::mem::replace(self.profile.get_mut(), ptr::null_mut());
        if !profile.is_null() {
            // SAFETY: from a box, and nobody uses the device any more.
            drop(unsafe { Box::from_raw(profile) });
        }
    }
}

impl Served for Pdo {
    fn describe(&self, irp: &Irp) -> Result<Incoming, Refusal> {
        // SAFETY: the IRP was kept inside, and stays there.
        let inside = unsafe { Inside::remembered() };
        let described = self.line(&inside).zip(Asked::of(irp));
        let described = described.map(|(line, asked)| srb::describe(irp, &asked, line.unit()));
        inside.forget();
        described.unwrap_or(Err(Refusal::NoDevice))
    }

    fn withdraw(&self, waiting: NonNull<Waiting>, inside: &Inside) {
        self.line(inside).map(|line| line.unit().withdraw(waiting));
    }

    fn leave(&self, inside: Inside) {
        self.line.leave(inside);
    }

    fn done(&self, _tag: PVOID) {}

    fn moved_by(&self) -> u64 {
        0
    }
}
