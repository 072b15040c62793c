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
    DEVICE_OBJECT, DO_DIRECT_IO, FILE_DEVICE_MASS_STORAGE, IRP, NTSTATUS, PDRIVER_OBJECT, PVOID,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER,
};

use super::{fdo::Fdo, hosted::Hosted, line::Line, srb};
use crate::{
    completion::{self, Served},
    nt::{
        cancel, device,
        event::{Turn, TurnGuard, pause},
        irp::Irp,
        irql::Passive,
        remove_lock::{NO_TAG, RemoveLock},
        work::WorkItem,
    },
    registry::{self, Member, UNITS},
    requests::{self, Asked},
    role::Role,
};

/// The extension of a unit's device object.
pub(crate) struct Pdo {
    next: AtomicPtr<Pdo>,
    /// Its number among disks and units, in [`UNITS`].
    pub(crate) id: u32,
    /// Held by whoever has found it there.
    remove_lock: RemoveLock,
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
    /// Opening and closing the line, and changing its chain, happen one at a time.
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
    /// A QUIESCE_DEVICE that waits until nothing is under way, kept inside.
    quiescing: AtomicPtr<IRP>,
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
        at: Passive<'_>,
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
            next: AtomicPtr::new(ptr::null_mut()),
            id: registry::next_id(),
            remove_lock: RemoveLock::uninit(),
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
            quiescing: AtomicPtr::new(ptr::null_mut()),
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
            pdo.remove_lock.initialize();
            // In the list first: whoever registers a stage finds the unit there, or is found by it.
            UNITS.remember(pdo);
            let turn = pdo.turn.take(at);
            let line = Line::new(pdo, hosted);
            let opened = line.map(|line| pdo.line.open(line));
            drop(turn);
            if opened.is_none() {
                Self::destroy(pdo, at);
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            }
            (*device.as_ptr()).Flags |= DO_DIRECT_IO;
            device::open(device);
            Ok(pdo)
        }
    }

    /// Deletes the device object.
    ///
    /// # Safety
    /// It is closed, and nobody uses it but who has found it in [`UNITS`].
    pub(crate) unsafe fn destroy(pdo: &'static Self, at: Passive<'_>) {
        let tag = pdo.device.as_ptr().cast();
        if pdo.remove_lock.acquire(tag).is_ok() {
            pdo.remove_lock.release_and_wait(tag, at);
        }
        UNITS.forget(pdo);
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

    /// Answers a QUIESCE_DEVICE when nothing is under way: now, or when the last of it leaves. One at a time; what comes
    /// is held back already. Up to DISPATCH_LEVEL.
    pub(super) fn quiesce(&self, irp: Irp, inside: Inside, line: &Line) {
        inside.forget();
        let kept = irp.keep();
        let before = ptr::null_mut();
        let first =
            self.quiescing.compare_exchange(before, kept.as_ptr(), Ordering::AcqRel, Ordering::Acquire);
        match first {
            Ok(_) => self.quiet(line),
            Err(_) => {
                // SAFETY: kept above, inside, and nobody has been given it.
                let (irp, inside) = unsafe { (Irp::take(kept), Inside::remembered()) };
                match Asked::of(&irp) {
                    Some(mut asked) => requests::refuse(self, irp, &mut asked.view, Refusal::Busy),
                    None => irp.complete(STATUS_INVALID_PARAMETER, 0),
                };
                self.line.leave(inside);
            }
        }
    }

    /// Answers what [`Self::quiesce`] has left, if nothing is under way. Whoever asks has just let go of the unit's lock, so
    /// that the last request to leave finds the IRP, or the IRP's sender finds that it was the last.
    fn quiet(&self, line: &Line) {
        if !line.unit().is_idle() {
            return;
        }
        let waiting = self.quiescing.swap(ptr::null_mut(), Ordering::AcqRel);
        let Some(waiting) = NonNull::new(waiting) else { return };
        // SAFETY: kept by `quiesce`, inside, and taken by whoever has swapped it out.
        let (irp, inside) = unsafe { (Irp::take(waiting), Inside::remembered()) };
        srb::quiet(irp);
        self.line.leave(inside);
    }

    /// Waits for the turn, with which its chain stays as it is.
    pub(crate) fn turn(&self, at: Passive<'_>) -> TurnGuard<'_> {
        self.turn.take(at)
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

impl Member for Pdo {
    fn next(&self) -> &AtomicPtr<Self> {
        &self.next
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn hold(&self) -> bool {
        self.remove_lock.acquire(NO_TAG).is_ok()
    }

    fn let_go(&self) {
        self.remove_lock.release(NO_TAG);
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
        let described = described.map(|(line, asked)| srb::describe(irp, &asked, line));
        inside.forget();
        described.unwrap_or(Err(Refusal::NoDevice))
    }

    fn withdraw(&self, waiting: NonNull<Waiting>, inside: &Inside) {
        self.line(inside).map(|line| line.unit().withdraw(waiting));
    }

    fn leave(&self, inside: Inside) {
        if !self.quiescing.load(Ordering::Acquire).is_null()
            && let Some(line) = self.line(&inside)
        {
            self.quiet(line);
        }
        self.line.leave(inside);
    }

    fn done(&self, _tag: PVOID) {}

    fn moved_by(&self) -> u64 {
        0
    }
}
