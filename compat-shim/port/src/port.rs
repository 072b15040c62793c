//! One adapter, from the moment that its device is found until it is gone.
//!
//! ```text
//!   Port::create ── find ── start ── (Running: units, requests, interrupts) ── stop ── drop
//! ```
//!
//! All of these are called by the host at PASSIVE_LEVEL, one after another.

use core::{
    cell::UnsafeCell,
    ffi::{c_char, c_void},
    mem::{self, MaybeUninit},
    ops::Deref,
    ptr::{self, NonNull},
    sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    },
};

use sluice_shim::storport::{
    PortConfigurationInformation, SrbKind, SrbStatus, configuration::AccessRange,
    initialization::HwPassiveInitialize, notification::found, srb::Address,
};

pub use crate::recovery::Timing;
use crate::{
    configuration::{self, Ranges, Settings},
    copies,
    dpcs::Dpcs,
    extension::Extension,
    faults::Faults,
    flow::{Gate, Queues},
    locks::{Guarded, Locks, Under},
    memory::{Block, PieceList, Pieces, TAG},
    registration::{MAX_ACCESS_RANGES, Registration},
    services::{Dma, InterruptLock, Services, System},
    slots::{Sizes, Slots, Stack},
    status::NtStatus,
    timers::Timers,
    unit::LogicalUnit,
    work::{self, Work},
};

/// Where a port is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// Nothing has been asked of the miniport.
    Created,
    /// In HwStorFindAdapter.
    Finding,
    /// It is there, and not initialized.
    Found,
    /// In HwStorInitialize.
    Initializing,
    /// In HwStorPassiveInitializeRoutine.
    PassiveInitializing,
    /// Requests are taken.
    Running,
    /// No more requests are taken.
    Stopped,
}

const PHASES: [Phase; 7] = [
    Phase::Created,
    Phase::Finding,
    Phase::Found,
    Phase::Initializing,
    Phase::PassiveInitializing,
    Phase::Running,
    Phase::Stopped,
];

/// A value that is set once, before others read it.
struct Once<T> {
    set: AtomicBool,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: written once before the flag is up, only read afterwards.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    const fn new() -> Self {
        Self { set: AtomicBool::new(false), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    fn get(&self) -> Option<&T> {
        // SAFETY: written when the flag is up.
        self.set.load(Acquire).then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// For the one who goes through a port's life; a second value is dropped.
    fn set(&self, value: T) {
        if !self.set.load(Relaxed) {
            // SAFETY: nobody reads it before the flag is up, and the host is the only writer.
            unsafe { (*self.value.get()).write(value) };
            self.set.store(true, Release);
        }
    }
}

impl<T> Drop for Once<T> {
    fn drop(&mut self) {
        if *self.set.get_mut() {
            // SAFETY: written, and dropped once.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}

/// See the module.
pub struct Port {
    registration: Registration,
    services: &'static dyn Services,
    system: &'static dyn System,
    timing: Timing,
    extension: Extension,
    phase: AtomicU32,
    settings: Once<Settings>,
    uncached: Once<Dma>,
    slots: Once<Slots>,
    messages: AtomicU32,
    channels: AtomicU32,
    passive_initialize: AtomicPtr<c_void>,
    units: AtomicPtr<LogicalUnit>,
    /// What is sent to the adapter as a whole.
    itself: Once<LogicalUnit>,
    gate: Gate,
    outstanding: AtomicU32,
    /// Threads between seeing that a request may be started and having given it to the miniport.
    starting: AtomicU32,
    reset_until: AtomicU64,
    /// When everything that is out is given up, since the adapter has gone; 0: it is there.
    given_up_at: AtomicU64,
    signals: AtomicU32,
    queues: Guarded<Queues>,
    completed: Stack,
    dpcs: Dpcs,
    timers: Timers,
    work: Work,
    locks: Locks,
    pieces: PieceList,
    /// For the miniport's singly linked lists.
    lists: Guarded<()>,
    faults: Faults,
}

/// [`Port::signals`]: the host's timer has to be set.
const SIGNAL_TIMERS: u32 = 1;
/// Something may be started.
const SIGNAL_FLOW: u32 = 2;

/// A port in memory of the host's; dropped, it is gone: the host has seen to it that nobody is inside of it any more (DPC,
/// timer, work) and that all requests have come back.
pub struct PortBox(NonNull<Port>, &'static dyn System);

// SAFETY: owns the port.
unsafe impl Send for PortBox {}
// SAFETY: as above.
unsafe impl Sync for PortBox {}

impl Deref for PortBox {
    type Target = Port;
    fn deref(&self) -> &Port {
        // SAFETY: made by `create`, alive until dropped.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for PortBox {
    fn drop(&mut self) {
        self.stop();
        self.free_pieces();
        // SAFETY: made by `create`; the host calls nothing of a port any more when it drops it.
        unsafe {
            self.0.as_ptr().drop_in_place();
            self.1.free(self.0.cast(), size_of::<Port>(), TAG);
        }
    }
}

const _: () = assert!(align_of::<Port>() <= 16);

impl Port {
    /// A port for one adapter of a miniport. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn create(
        registration: &Registration,
        services: &'static dyn Services,
        timing: Timing,
    ) -> Result<PortBox, NtStatus> {
        let system = services.system();
        let extension = Extension::new(system, registration.data().device_extension_size)
            .ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
        let place = system.allocate(size_of::<Port>(), TAG).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
        let place = place.cast::<Port>();
        let port = Self {
            registration: registration.clone(),
            services,
            system,
            timing,
            extension,
            phase: AtomicU32::new(Phase::Created as u32),
            settings: Once::new(),
            uncached: Once::new(),
            slots: Once::new(),
            messages: AtomicU32::new(0),
            channels: AtomicU32::new(0),
            passive_initialize: AtomicPtr::new(ptr::null_mut()),
            units: AtomicPtr::new(ptr::null_mut()),
            itself: Once::new(),
            gate: Gate::new(),
            outstanding: AtomicU32::new(0),
            starting: AtomicU32::new(0),
            reset_until: AtomicU64::new(0),
            given_up_at: AtomicU64::new(0),
            signals: AtomicU32::new(0),
            queues: Guarded::new(Queues::new()),
            completed: Stack::new(),
            dpcs: Dpcs::new(),
            timers: Timers::new(),
            work: work::none(),
            locks: Locks::new(),
            pieces: Guarded::new(Pieces::new()),
            lists: Guarded::new(()),
            faults: Faults::new(),
        };
        // SAFETY: room for a port, aligned to 16.
        unsafe { place.write(port) };
        let port = PortBox(place, system);
        port.extension.belongs_to(place);
        Ok(port)
    }

    /// HwStorFindAdapter: is there an adapter, and what is it like? PASSIVE_LEVEL, once.
    ///
    /// # Errors
    /// NO_SUCH_DEVICE, ADAPTER_HARDWARE_ERROR, DEVICE_CONFIGURATION_ERROR for what the miniport answers (or what it
    /// has put into the configuration cannot be); INSUFFICIENT_RESOURCES.
    pub fn find(&self) -> Result<(), NtStatus> {
        if self.phase() != Phase::Created {
            return Err(NtStatus::INVALID_DEVICE_STATE);
        }
        let mut ranges: Ranges = [AccessRange::default(); MAX_ACCESS_RANGES as usize];
        let count = self.services.access_ranges(&mut ranges).min(ranges.len());
        let place = self.services.place();
        let mut proposal = configuration::propose(&self.registration, &place, &mut ranges, count);
        self.set_phase(Phase::Finding);
        let answer = self.call_find_adapter(&mut proposal);
        self.set_phase(Phase::Created);
        match answer {
            found::FOUND => {}
            found::NOT_FOUND => return Err(NtStatus::NO_SUCH_DEVICE),
            found::BAD_CONFIG => return Err(NtStatus::DEVICE_CONFIGURATION_ERROR),
            _ => return Err(NtStatus::ADAPTER_HARDWARE_ERROR),
        }
        let settings = Settings::of(&self.registration, &proposal);
        let mut settings = settings.ok_or(NtStatus::DEVICE_CONFIGURATION_ERROR)?;
        if !self.registration.is_virtual() && !self.services.finds_memory(settings.reaches_all_memory) {
            settings = settings.copied();
        }
        let sizes = Sizes {
            slots: settings.requests as usize,
            extension: settings.srb_extension as usize,
            elements: settings.max_elements as usize,
            reaches_all_memory: settings.reaches_all_memory,
            copy: if settings.copies { copies::MOST as usize } else { 0 },
        };
        let slots = Slots::new(self.services, &sizes).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
        self.itself.set(LogicalUnit::new(self, Address::default(), None, u32::MAX));
        self.slots.set(slots);
        self.settings.set(settings);
        self.set_phase(Phase::Found);
        Ok(())
    }

    fn call_find_adapter(&self, configuration: &mut PortConfigurationInformation) -> u32 {
        /// VIRTUAL_HW_FIND_ADAPTER: the physical device object where others find their context, the functional one for the
        /// bus, and the one below.
        type Virtual = unsafe extern "system" fn(
            *mut c_void,
            *mut c_void,
            *mut c_void,
            *mut c_void,
            *mut c_char,
            *mut PortConfigurationInformation,
            *mut u8,
        ) -> u32;
        let (find, context) = (self.registration.find_adapter(), self.registration.context());
        let (nothing, mut again) = (ptr::null_mut::<c_void>(), 0u8);
        // SAFETY: the miniport's own function, of the one or the other type as it has said; everything that it is given
        // lives until it returns.
        unsafe {
            if self.registration.is_virtual() {
                let find = mem::transmute::<*const (), Virtual>(find as *const ());
                let objects = self.services.device_objects();
                let [bus, context, lower] = objects.unwrap_or([nothing, context, nothing]);
                find(self.extension(), context, bus, lower, ptr::null_mut(), configuration, &mut again)
            } else {
                find(self.extension(), context, nothing, ptr::null_mut(), configuration, &mut again)
            }
        }
    }

    /// HwStorInitialize, and HwStorPassiveInitializeRoutine if the miniport has asked for it: from then on requests are
    /// taken. PASSIVE_LEVEL. Also after [`Self::stop`], for a device that comes back from a stop (the miniport is then
    /// restarted by [`Self::restart`] instead).
    ///
    /// # Errors
    /// What the host's interrupt says; ADAPTER_HARDWARE_ERROR if the miniport answers FALSE.
    pub fn start(&self) -> Result<(), NtStatus> {
        if self.phase() != Phase::Found {
            return Err(NtStatus::INVALID_DEVICE_STATE);
        }
        let settings = self.settings().ok_or(NtStatus::INVALID_DEVICE_STATE)?;
        let messages = self.services.connect_interrupt(self, settings.interrupt)?;
        self.messages.store(messages, Release);
        self.set_phase(Phase::Initializing);
        let done = self.initialize_miniport();
        if !done {
            self.services.disconnect_interrupt(self);
            self.set_phase(Phase::Stopped);
            return Err(NtStatus::ADAPTER_HARDWARE_ERROR);
        }
        self.set_phase(Phase::Running);
        self.start_ticking();
        self.services.request_dpc(self); // what waits since HwStorInitialize
        Ok(())
    }

    fn initialize_miniport(&self) -> bool {
        let Some(initialize) = self.registration.data().hw_initialize else { return false };
        let lock = if self.registration.is_virtual() { Under::Nothing } else { self.common_interrupt() };
        // SAFETY: the miniport's own function and extension.
        if !self.under(lock, || unsafe { initialize(self.extension()) } != 0) {
            return false;
        }
        let passive = self.passive_initialize.load(Acquire);
        if passive.is_null() {
            return true;
        }
        self.set_phase(Phase::PassiveInitializing);
        // SAFETY: `enable_passive_initialization` was given it.
        let passive = unsafe { mem::transmute::<*mut c_void, HwPassiveInitialize>(passive) };
        // SAFETY: the miniport's own function and extension.
        unsafe { passive(self.extension()) != 0 }
    }

    /// StorPortNotification(EnablePassiveInitialization): only from HwStorInitialize.
    pub(crate) fn enable_passive_initialization(&self, routine: *mut c_void) -> bool {
        let fits = self.phase() == Phase::Initializing && !routine.is_null();
        if fits {
            self.passive_initialize.store(routine, Release);
        } else {
            crate::faults::count(&self.faults.wrong_moment);
        }
        fits
    }

    /// Ends everything: what waits is answered, the miniport is stopped (ScsiStopAdapter), what it does not give back is
    /// given up. PASSIVE_LEVEL. May be called at any time, and again.
    pub fn stop(&self) {
        let was = self.phase();
        if was == Phase::Stopped {
            return;
        }
        self.set_phase(Phase::Stopped);
        self.stop_timers();
        self.wait_for_starters();
        for unit in self.all_units() {
            self.flush(unit, SrbStatus::NO_HBA);
        }
        if matches!(was, Phase::Running | Phase::Found) {
            self.stop_miniport(was == Phase::Running);
        }
        if was == Phase::Running {
            self.services.disconnect_interrupt(self);
            while self.finish_completed() {}
            for unit in self.all_units() {
                self.flush(unit, SrbStatus::NO_HBA);
                self.give_up(unit, SrbStatus::NO_HBA);
            }
        }
        self.drop_dpcs();
    }

    /// The line interrupt. The host holds the interrupt lock. Device IRQL. Whether it was this adapter's.
    pub fn interrupt(&self) -> bool {
        let Some(routine) = self.registration.data().hw_interrupt else { return false };
        if !self.is_interruptible() {
            return false;
        }
        // SAFETY: the miniport's own function and extension.
        self.owning(InterruptLock::Common, || unsafe { routine(self.extension()) != 0 })
    }

    /// A message interrupt. The host holds its lock. Device IRQL. Whether it was this adapter's.
    pub fn message_interrupt(&self, id: u32) -> bool {
        let routine = self.settings().and_then(|settings| settings.message_interrupt);
        let Some(routine) = routine.filter(|_| id < self.messages() && self.is_interruptible()) else {
            return false;
        };
        // SAFETY: the miniport's own function and extension.
        self.owning(self.message_lock(id), || unsafe { routine(self.extension(), id) != 0 })
    }

    fn is_interruptible(&self) -> bool {
        !matches!(self.phase(), Phase::Created | Phase::Finding | Phase::Found)
    }

    /// The unit at `address`, made if there is none, and present from now on. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INVALID_PARAMETER if the adapter has no such address; INSUFFICIENT_RESOURCES.
    pub fn add_unit(&self, address: Address) -> Result<&LogicalUnit, NtStatus> {
        let settings = self.settings().ok_or(NtStatus::INVALID_DEVICE_STATE)?;
        let there = address.path < settings.buses
            && address.target < settings.targets
            && address.lun < settings.units;
        if !there {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        if let Some(unit) = self.units().find(|unit| unit.address() == address) {
            unit.present.store(true, Release);
            return Ok(unit);
        }
        let out = NtStatus::INSUFFICIENT_RESOURCES;
        let extension = match settings.unit_extension {
            0 => None,
            bytes => Some(Block::new(self.system, bytes as usize).ok_or(out)?),
        };
        let unit = LogicalUnit::new(self, address, extension, settings.depth);
        let place = self.system.allocate(size_of::<LogicalUnit>(), TAG).ok_or(out)?.cast::<LogicalUnit>();
        // SAFETY: room for it, aligned to 16, which is enough.
        let unit = unsafe {
            place.write(unit);
            &*place.as_ptr()
        };
        let mut first = self.units.load(Acquire);
        loop {
            unit.next.store(first, Relaxed);
            match self.units.compare_exchange_weak(first, place.as_ptr(), AcqRel, Acquire) {
                Ok(_) => return Ok(unit),
                Err(other) => first = other,
            }
        }
    }

    /// The unit's device has gone: what waits is answered with NO_DEVICE, and so is all that comes. What the miniport has
    /// comes back as ever. PASSIVE_LEVEL.
    pub fn remove_unit(&self, unit: &LogicalUnit) {
        unit.present.store(false, SeqCst);
        self.wait_for_starters();
        self.flush(unit, SrbStatus::NO_DEVICE);
    }

    /// The unit at `address`, if it is present. Any IRQL.
    pub fn unit(&self, address: Address) -> Option<&LogicalUnit> {
        self.units().find(|unit| unit.address() == address && unit.present.load(Acquire))
    }

    /// What is sent to the adapter as a whole. There is one once the adapter has been found.
    pub fn adapter_unit(&self) -> Option<&LogicalUnit> {
        self.itself.get()
    }

    /// All units that have ever been added. Any IRQL.
    pub(crate) fn units(&self) -> impl Iterator<Item = &LogicalUnit> {
        let mut at = self.units.load(Acquire);
        core::iter::from_fn(move || {
            // SAFETY: units are freed with the port only.
            let unit = unsafe { at.as_ref() }?;
            at = unit.next.load(Acquire);
            Some(unit)
        })
    }

    /// And the adapter itself.
    pub(crate) fn all_units(&self) -> impl Iterator<Item = &LogicalUnit> {
        self.units().chain(self.itself.get())
    }
}

/// What the parts of the port see of it.
impl Port {
    /// Where the port is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        PHASES.get(self.phase.load(SeqCst) as usize).copied().unwrap_or(Phase::Stopped)
    }

    fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u32, SeqCst);
    }

    pub(crate) fn resume_running(&self) {
        self.set_phase(Phase::Running);
        self.start_ticking();
        self.signal_flow();
    }

    pub(crate) fn is_running(&self) -> bool {
        self.phase() == Phase::Running
    }

    /// What the miniport has registered.
    #[must_use]
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// What the adapter is like; `None` before it has been found.
    #[must_use]
    pub fn settings(&self) -> Option<&Settings> {
        self.settings.get()
    }

    /// What the miniport did wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// HwDeviceExtension.
    #[must_use]
    pub fn extension(&self) -> *mut c_void {
        self.extension.address()
    }

    /// Requests that the miniport has, or will be given again, now.
    #[must_use]
    pub fn outstanding_requests(&self) -> u32 {
        self.outstanding.load(Relaxed)
    }

    /// How many interrupt messages there are.
    #[must_use]
    pub fn messages(&self) -> u32 {
        self.messages.load(Acquire)
    }

    pub(crate) fn message_lock(&self, id: u32) -> InterruptLock {
        use crate::services::InterruptMode::Messages;
        match self.settings().map(|settings| settings.interrupt) {
            Some(Messages { lock_each: true }) => InterruptLock::Message(id),
            _ => InterruptLock::Common,
        }
    }

    /// The kind of the port's SRBs.
    pub(crate) fn kind(&self) -> SrbKind {
        self.registration.srb_kind()
    }

    pub(crate) fn is_half_duplex(&self) -> bool {
        self.settings().is_some_and(|settings| settings.half_duplex)
    }

    pub(crate) fn resets_targets(&self) -> bool {
        self.settings().is_some_and(|settings| settings.resets_targets)
    }

    /// For memory that is asked for before the adapter is known: its registration says no more than that.
    pub(crate) fn reaches_all_memory(&self) -> bool {
        self.settings().map_or_else(|| self.registration.is_virtual(), |settings| settings.reaches_all_memory)
    }

    /// Whether the bus was reset a moment ago.
    pub(crate) fn was_reset(&self) -> bool {
        self.reset_until.load(Relaxed) > self.system.now()
    }

    /// The adapter has gone.
    pub(crate) fn give_up_soon(&self) {
        self.given_up_at.store(self.system.now().saturating_add(self.timing.step), Relaxed);
    }

    pub(crate) fn given_up_at(&self) -> u64 {
        self.given_up_at.load(Relaxed)
    }

    /// StorPortNotification(ResetDetected): nothing is started for a while. Any IRQL up to that of the interrupt.
    pub(crate) fn reset_detected(&self) {
        let until = self.system.now().saturating_add(self.timing.reset_hold);
        self.reset_until.store(until, Relaxed);
        self.gate.pause(until);
        self.signal_flow();
    }

    pub(crate) fn signal_timers(&self) {
        self.signals.fetch_or(SIGNAL_TIMERS, AcqRel);
        self.services.request_dpc(self);
    }

    pub(crate) fn signal_flow(&self) {
        self.signals.fetch_or(SIGNAL_FLOW, AcqRel);
        self.services.request_dpc(self);
    }

    /// The DPC's part: what was said at too high an IRQL to be done there.
    pub(crate) fn heed_signals(&self) -> bool {
        let signals = self.signals.swap(0, AcqRel);
        if signals & SIGNAL_FLOW != 0 {
            self.heed_gates();
        }
        if signals != 0 {
            self.arm();
        }
        signals != 0
    }

    /// Opens what is shut for nothing, and sees to it that what opens by itself is not missed.
    pub(crate) fn heed_gates(&self) {
        if self.outstanding.load(Relaxed) == 0 {
            self.gate.nothing_out();
        }
        let now = self.system.now();
        let mut opens = self.gate.opens_after(now);
        for unit in self.all_units() {
            if unit.outstanding() == 0 {
                unit.gate.nothing_out();
            }
            opens = match (opens, unit.gate.opens_after(now)) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        if let Some(at) = opens {
            self.wake_in(at.saturating_sub(now).max(1));
        }
    }

    pub(crate) fn set_uncached(&self, dma: Dma) {
        self.uncached.set(dma);
    }

    pub(crate) fn uncached(&self) -> Option<&Dma> {
        self.uncached.get()
    }

    pub(crate) fn channels(&self) -> u32 {
        self.channels.load(Relaxed)
    }

    pub(crate) fn set_channels(&self, channels: u32) {
        self.channels.store(channels, Relaxed);
    }
}

/// Accessors of the parts, each named as its field.
macro_rules! parts {
    ($($name:ident: $type:ty,)*) => {
        impl Port { $(pub(crate) fn $name(&self) -> &$type { &self.$name })* }
    };
}

parts! {
    lists: Guarded<()>,
    gate: Gate,
    outstanding: AtomicU32,
    starting: AtomicU32,
    queues: Guarded<Queues>,
    completed: Stack,
    dpcs: Dpcs,
    timers: Timers,
    work: Work,
    locks: Locks,
    pieces: PieceList,
    timing: Timing,
}

impl Port {
    /// The host of this adapter.
    pub fn services(&self) -> &'static dyn Services {
        self.services
    }

    /// The host.
    pub fn system(&self) -> &'static dyn System {
        self.system
    }

    pub(crate) fn slots(&self) -> Option<&Slots> {
        self.slots.get()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if let Some(dma) = self.uncached.get() {
            // SAFETY: allocated by `uncached_extension`; the miniport has stopped.
            unsafe { self.services.free_dma(dma) };
        }
        let mut at = *self.units.get_mut();
        while let Some(unit) = NonNull::new(at) {
            // SAFETY: made by `add_unit`; nobody uses the port's units any more.
            unsafe {
                at = unit.as_ref().next.load(Relaxed);
                unit.as_ptr().drop_in_place();
                self.system.free(unit.cast(), size_of::<LogicalUnit>(), TAG);
            }
        }
    }
}
