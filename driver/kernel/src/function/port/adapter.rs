//! An adapter of a linked miniport: its port, and the DPC, timer and thread that run it.

use alloc::boxed::Box;
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicPtr, Ordering},
};

use sluice_chain::try_box;
use sluice_miniport_virtio_blk::pci::resources::Resources;
use sluice_port::{
    port::{Port, PortBox, Timing},
    status::NtStatus,
};
use sluice_shim::{
    enumeration::descriptors::{self, bus},
    miniport::Hw,
    storport::{notification::unit_control, srb::Address},
};
use wdk_sys::{
    _DEVICE_RELATION_TYPE::BusRelations,
    DEVICE_OBJECT, KDPC, KTIMER, LARGE_INTEGER, NTSTATUS, PVOID, STATUS_INSUFFICIENT_RESOURCES,
    ntddk::{
        IoInvalidateDeviceRelations, KeCancelTimer, KeFlushQueuedDpcs, KeInitializeDpc, KeInitializeTimer,
        KeInsertQueueDpc, KeSetTimer,
    },
};

use super::{hardware::Hardware, linked::Linked};
use crate::{
    function::{
        fdo::{Fdo, Rest},
        hosted::UnitNews,
    },
    nt::{
        event::Event,
        interrupt::Serviced,
        irql::Passive,
        thread::{self, Thread},
    },
};

/// The adapter. Its units go before it does.
pub(crate) struct Hosted {
    // Dropped first: it calls the rest.
    port: Option<PortBox>,
    host: Box<Host>,
    thread: Option<Thread>,
}

/// What the port turns to. It does not move.
pub(crate) struct Host {
    pub(super) linked: &'static Linked,
    pub(super) number: u8,
    /// Adapter, physical and attached device objects.
    pub(super) devices: [NonNull<DEVICE_OBJECT>; 3],
    port: AtomicPtr<Port>,
    dpc: UnsafeCell<MaybeUninit<KDPC>>,
    timer: UnsafeCell<MaybeUninit<KTIMER>>,
    timer_dpc: UnsafeCell<MaybeUninit<KDPC>>,
    /// Wakes the thread.
    bell: Event,
    has_work: AtomicBool,
    ends: AtomicBool,
    /// The miniport has said that units may have come or gone.
    bus_changed: AtomicBool,
    pub(super) hardware: Hardware,
}

// SAFETY: kernel objects are synchronised by the kernel; the rest is atomic or never changes.
unsafe impl Sync for Host {}
// SAFETY: as above.
unsafe impl Send for Host {}

impl Host {
    fn new(linked: &'static Linked, fdo: &Fdo, hardware: Hardware) -> Self {
        Self {
            linked,
            number: fdo.number,
            devices: [fdo.device(), fdo.pdo, fdo.lower()],
            port: AtomicPtr::new(ptr::null_mut()),
            dpc: UnsafeCell::new(MaybeUninit::uninit()),
            timer: UnsafeCell::new(MaybeUninit::uninit()),
            timer_dpc: UnsafeCell::new(MaybeUninit::uninit()),
            bell: Event::uninit(),
            has_work: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            bus_changed: AtomicBool::new(false),
            hardware,
        }
    }

    /// # Safety
    /// Once, at the address where it stays, before any other use.
    unsafe fn initialize(&self) {
        let context: PVOID = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the storage is ours and unused.
        unsafe {
            KeInitializeDpc(self.dpc.get().cast(), Some(run_dpcs), context);
            KeInitializeDpc(self.timer_dpc.get().cast(), Some(run_timers), context);
            KeInitializeTimer(self.timer.get().cast());
            self.bell.initialize();
        }
    }

    fn port(&self) -> Option<&Port> {
        // SAFETY: set while the port exists; DPC, timer and thread have ended before it goes.
        unsafe { self.port.load(Ordering::Acquire).as_ref() }
    }

    /// Has the DPC run. Any IRQL.
    pub(super) fn request_dpc(&self) {
        if self.ends.load(Ordering::Acquire) {
            return;
        }
        // SAFETY: initialized. Queued already: the same run serves both.
        unsafe { KeInsertQueueDpc(self.dpc.get().cast(), ptr::null_mut(), ptr::null_mut()) };
    }

    /// Has the thread run. Up to DISPATCH_LEVEL.
    pub(super) fn request_work(&self) {
        self.has_work.store(true, Ordering::Release);
        self.bell.set();
    }

    /// Has the timer's DPC run after so long. Up to DISPATCH_LEVEL.
    pub(super) fn arm_timer(&self, microseconds: u64) {
        if self.ends.load(Ordering::Acquire) {
            return;
        }
        // In units of 100 ns; negative: from now on.
        let due = i64::try_from(microseconds.saturating_mul(10)).unwrap_or(i64::MAX);
        // SAFETY: initialized; a timer that is set is set anew.
        unsafe {
            KeSetTimer(self.timer.get().cast(), LARGE_INTEGER { QuadPart: -due }, self.timer_dpc.get().cast())
        };
    }

    /// Units may have come or gone: the PnP manager is told by the DPC, however often it is said meanwhile. Any IRQL.
    pub(super) fn bus_changed(&self) {
        self.bus_changed.store(true, Ordering::Release);
        self.request_dpc();
    }

    fn run_dpcs(&self) {
        self.port().map(Port::run_dpcs);
        if self.bus_changed.swap(false, Ordering::AcqRel) {
            let [_, physical, _] = self.devices;
            // SAFETY: attached, so the physical device is there.
            unsafe { IoInvalidateDeviceRelations(physical.as_ptr(), BusRelations) };
        }
    }

    /// What the thread does.
    fn work(&self, at: Passive<'_>) {
        while !self.ends.load(Ordering::Acquire) {
            self.bell.wait(at);
            self.bell.clear();
            if self.has_work.swap(false, Ordering::AcqRel)
                && let Some(port) = self.port()
            {
                port.run_work();
            }
        }
    }
}

impl Serviced for Host {
    fn message(&self, number: u32) {
        let Some(port) = self.port() else { return };
        if self.hardware.interrupts.message(number).is_some() {
            self.hardware.interrupts.serviced(Some(number), || port.message_interrupt(number));
        } else {
            self.hardware.interrupts.serviced(None, || port.interrupt());
        }
    }

    fn line(&self) -> bool {
        self.port().is_some_and(|port| self.hardware.interrupts.serviced(None, || port.interrupt()))
    }
}

unsafe extern "C" fn run_dpcs(_dpc: *mut KDPC, host: PVOID, _a: PVOID, _b: PVOID) {
    // SAFETY: bound by `initialize`; the host outlives the DPC.
    unsafe { (*host.cast::<Host>()).run_dpcs() };
}

unsafe extern "C" fn run_timers(_dpc: *mut KDPC, host: PVOID, _a: PVOID, _b: PVOID) {
    // SAFETY: as above.
    let host = unsafe { &*host.cast::<Host>() };
    host.port().map(Port::run_timers);
}

unsafe extern "C" fn run_thread(host: PVOID) {
    // SAFETY: a system thread begins at PASSIVE_LEVEL; `Hosted` waits for its end before the host goes.
    let (host, at) = unsafe { (&*host.cast::<Host>(), Passive::assume()) };
    host.work(at);
    thread::end(at);
}

fn nt(status: NtStatus) -> NTSTATUS {
    status.0.cast_signed()
}

impl Hosted {
    /// Has the miniport find and start its adapter.
    ///
    /// # Errors
    /// What it, or the port, says; nothing is left behind.
    #[inline(never)]
    pub(crate) fn start(
        linked: &'static Linked,
        fdo: &Fdo,
        resources: Resources,
        at: Passive<'_>,
    ) -> Result<Self, NTSTATUS> {
        let hardware = Hardware::of(fdo, resources, at)?;
        let host = try_box(Host::new(linked, fdo, hardware)).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        // SAFETY: boxed, so it stays where it is; dropped after port, DPC, timer and thread, which alone use it.
        let borrowed: &'static Host = unsafe { NonNull::from(&*host).as_ref() };
        // SAFETY: once, at its final address.
        unsafe { borrowed.initialize() };
        let mut hosted = Self { port: None, host, thread: None };
        let started = hosted.begin(borrowed, at);
        if let Err(status) = started {
            hosted.stop(at);
            return Err(status);
        }
        Ok(hosted)
    }

    fn begin(&mut self, host: &'static Host, at: Passive<'_>) -> Result<(), NTSTATUS> {
        let port = Port::create(&host.linked.registration, host, Timing::default()).map_err(nt)?;
        host.port.store(ptr::from_ref::<Port>(&port).cast_mut(), Ordering::Release);
        let port = self.port.insert(port);
        // SAFETY: the host outlives the thread: `stop` waits for its end.
        let thread = unsafe { Thread::start(run_thread, ptr::from_ref(host).cast_mut().cast(), at)? };
        self.thread = Some(thread);
        port.find().map_err(nt)?;
        port.start().map_err(nt)
    }

    fn port(&self) -> Option<&Port> {
        self.port.as_deref()
    }

    /// A way to the unit at `address`. `None` if the adapter cannot have one there.
    ///
    /// # Safety
    /// Requests come back before this goes.
    pub(crate) unsafe fn unit(&self, address: Address) -> Option<Hw> {
        let unit = self.port()?.add_unit(address).ok()?;
        // SAFETY: the caller's contract.
        Some(unsafe { unit.hw() })
    }

    /// The unit is there no more.
    pub(crate) fn unit_gone(&self, address: Address) {
        if let Some(port) = self.port()
            && let Some(unit) = port.unit(address)
        {
            port.remove_unit(unit);
        }
    }

    /// What the adapter says of itself.
    pub(crate) fn descriptor(&self) -> Option<descriptors::Adapter> {
        let (port, settings) = (self.port()?, self.port()?.settings()?);
        Some(descriptors::Adapter {
            max_transfer: settings.max_transfer,
            max_pages: settings.max_elements,
            alignment_mask: settings.alignment_mask,
            bus: if port.registration().is_virtual() { bus::VIRTUAL } else { bus::SCSI },
            srb_kind: port.registration().srb_kind(),
        })
    }

    /// How many buses and targets there may be.
    pub(crate) fn extent(&self) -> (u8, u8) {
        self.port().and_then(Port::settings).map_or((0, 0), |settings| (settings.buses, settings.targets))
    }

    /// Whether the miniport can be stopped, to be started again elsewhere: not one with resources, since a miniport finds its
    /// adapter once, where it is then.
    pub(crate) fn can_rest(&self) -> bool {
        !self.host.hardware.is_there() && self.port().is_some_and(Port::can_rest)
    }

    /// Tells the miniport that its adapter is about to lose its power or its place. One that takes neither goes on unknowing.
    pub(in crate::function) fn rest(&self, why: Rest, _at: Passive<'_>) {
        let _ = self.port().map(|port| match why {
            Rest::Stopped => port.suspend(),
            Rest::Unpowered(power) => port.power_down(power.action, power.state),
        });
    }

    /// It has it again. A miniport that does not go on is as good as gone.
    pub(in crate::function) fn wake(&self, why: Rest, _at: Passive<'_>) -> Result<(), NTSTATUS> {
        let Some(port) = self.port() else { return Ok(()) };
        let woken = match why {
            Rest::Stopped => port.restart(),
            Rest::Unpowered(power) => port.power_up(power.action, power.state),
        };
        match woken {
            Ok(()) | Err(NtStatus::NOT_SUPPORTED) => Ok(()),
            Err(status) => {
                port.surprise_remove();
                Err(nt(status))
            }
        }
    }

    /// Tells the miniport of a unit, if it takes that.
    pub(in crate::function) fn tell(&self, address: Address, what: UnitNews, _at: Passive<'_>) {
        let Some(port) = self.port() else { return };
        let Some(unit) = port.unit(address) else { return };
        // Nobody asks how it went.
        let _ = match what {
            UnitNews::Started => port.unit_control(unit, unit_control::START),
            UnitNews::Pulled => port.unit_control(unit, unit_control::SURPRISE_REMOVAL),
            UnitNews::Removed => port.unit_control(unit, unit_control::REMOVE),
            UnitNews::Power(power) => port.unit_power(unit, power.action, power.state),
        };
    }

    /// Whether it has these resources.
    pub(crate) fn has(&self, resources: &Resources) -> bool {
        self.host.hardware.resources == *resources
    }

    /// The adapter has been pulled out: nothing that the miniport has is waited for.
    pub(crate) fn surprise_remove(&self) {
        self.port().map(Port::surprise_remove);
    }

    /// Ends the port and all that runs it. Its units have gone. Once, before it is dropped.
    pub(crate) fn stop(&mut self, at: Passive<'_>) {
        self.port().map(Port::stop);
        // Nothing is asked for any more from here on: what runs is waited for, in the order in which it starts the other.
        self.host.ends.store(true, Ordering::Release);
        self.host.bell.set();
        if let Some(thread) = self.thread.take() {
            thread.join(at);
        }
        // SAFETY: initialized; PASSIVE_LEVEL by the token. Whoever was just about to set the timer, or to queue the DPC, has
        // done so when the first flush returns; the second waits for what came of it.
        unsafe {
            KeFlushQueuedDpcs();
            KeCancelTimer(self.host.timer.get().cast());
            KeFlushQueuedDpcs();
        }
        self.host.port.store(ptr::null_mut(), Ordering::Release);
        self.port = None;
    }
}
