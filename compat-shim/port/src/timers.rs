//! Timers: HwStorTimer, the miniport's own (StorPortRequestTimer), and the port's tick, over the host's single one.

use core::{
    ffi::c_void,
    mem, ptr,
    sync::atomic::{
        AtomicPtr, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use sluice_shim::storport::{initialization::HwTimer, status::StorStatus};

use crate::{
    faults::count,
    locks::{Guarded, Under},
    memory::{Kind, TAG},
    port::Port,
    services::DISPATCH_LEVEL,
};

/// `HW_TIMER_EX`. DISPATCH_LEVEL, without locks.
pub(crate) type HwTimerEx = unsafe extern "system" fn(device_extension: *mut c_void, context: *mut c_void);

/// Never.
const NEVER: u64 = u64::MAX;

/// What a timer's handle points at.
struct Timer {
    next: *mut Timer,
    due: u64,
    callback: Option<HwTimerEx>,
    context: *mut c_void,
}

/// The timers that exist.
pub(crate) struct Timers {
    list: Guarded<List>,
    /// HwStorTimer: what to call, and when. Set at any IRQL.
    routine: AtomicPtr<c_void>,
    routine_due: AtomicU64,
    /// The next look at time-outs.
    tick_due: AtomicU64,
    /// Something else waits for this moment.
    wake: AtomicU64,
}

struct List(*mut Timer);

// SAFETY: reached under its lock.
unsafe impl Send for List {}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self {
            list: Guarded::new(List(ptr::null_mut())),
            routine: AtomicPtr::new(ptr::null_mut()),
            routine_due: AtomicU64::new(NEVER),
            tick_due: AtomicU64::new(NEVER),
            wake: AtomicU64::new(NEVER),
        }
    }
}

impl Port {
    fn may_time(&self) -> Result<(), StorStatus> {
        if self.system().irql() > DISPATCH_LEVEL {
            count(&self.faults().irql);
            return Err(StorStatus::INVALID_IRQL);
        }
        Ok(())
    }

    /// StorPortInitializeTimer.
    pub(crate) fn initialize_timer(&self) -> Result<*mut c_void, StorStatus> {
        self.may_time()?;
        let place = self.allocate_piece(Kind::Timer, mem::size_of::<Timer>(), TAG);
        let timer = place.ok_or(StorStatus::INSUFFICIENT_RESOURCES)?.cast::<Timer>().as_ptr();
        let mut list = self.timers().list.lock(self.system());
        // SAFETY: fresh memory, linked under the lock.
        unsafe { timer.write(Timer { next: list.0, due: NEVER, callback: None, context: ptr::null_mut() }) };
        list.0 = timer;
        Ok(timer.cast())
    }

    /// StorPortRequestTimer: once, after so many microseconds; 0 stops it.
    pub(crate) fn request_timer(
        &self,
        handle: *mut c_void,
        callback: Option<HwTimerEx>,
        context: *mut c_void,
        microseconds: u64,
    ) -> Result<(), StorStatus> {
        self.may_time()?;
        if callback.is_none() && microseconds != 0 {
            return Err(StorStatus::INVALID_PARAMETER);
        }
        {
            let list = self.timers().list.lock(self.system());
            let timer = find(&list, handle).ok_or(StorStatus::INVALID_PARAMETER)?;
            let due = self.system().now().saturating_add(microseconds);
            // SAFETY: in the list, and the lock is held.
            unsafe {
                (*timer).due = if microseconds == 0 { NEVER } else { due };
                (*timer).callback = callback;
                (*timer).context = context;
            }
        }
        self.arm();
        Ok(())
    }

    /// StorPortFreeTimer. Its callback may still be running; it is not called again.
    pub(crate) fn free_timer(&self, handle: *mut c_void) -> StorStatus {
        if let Err(status) = self.may_time() {
            return status;
        }
        {
            let mut list = self.timers().list.lock(self.system());
            let Some(timer) = find(&list, handle) else {
                count(&self.faults().freed_wrongly);
                return StorStatus::INVALID_PARAMETER;
            };
            unlink(&mut list, timer);
        }
        self.free(Kind::Timer, handle)
    }

    /// StorPortNotification(RequestTimerCall): HwStorTimer, once, after so many microseconds; 0 stops it. Any IRQL up to
    /// that of the interrupt.
    pub(crate) fn request_timer_call(&self, routine: *mut c_void, microseconds: u32) {
        let timers = self.timers();
        if microseconds == 0 || routine.is_null() {
            return timers.routine_due.store(NEVER, Release);
        }
        timers.routine.store(routine, Relaxed);
        let due = self.system().now().saturating_add(u64::from(microseconds));
        timers.routine_due.store(due, Release);
        self.signal_timers();
    }

    /// Has waiting requests looked at again after so many microseconds. Up to DISPATCH_LEVEL.
    pub(crate) fn wake_in(&self, microseconds: u64) {
        self.timers().wake.fetch_min(self.system().now().saturating_add(microseconds), AcqRel);
        self.arm();
    }

    /// Begins to look for time-outs.
    pub(crate) fn start_ticking(&self) {
        self.timers().tick_due.store(self.system().now().saturating_add(self.timing().tick), Release);
        self.arm();
    }

    /// Ends it, and forgets what was set.
    pub(crate) fn stop_timers(&self) {
        let timers = self.timers();
        for due in [&timers.tick_due, &timers.routine_due, &timers.wake] {
            due.store(NEVER, Release);
        }
        let list = timers.list.lock(self.system());
        let mut at = list.0;
        // SAFETY: in the list, whose lock is held.
        while let Some(timer) = unsafe { at.as_mut() } {
            timer.due = NEVER;
            at = timer.next;
        }
    }

    /// Sets the host's timer to the next thing that is due. Up to DISPATCH_LEVEL.
    pub(crate) fn arm(&self) {
        let timers = self.timers();
        let mut next = timers
            .routine_due
            .load(Acquire)
            .min(timers.tick_due.load(Acquire))
            .min(timers.wake.load(Acquire));
        {
            let list = timers.list.lock(self.system());
            let mut at = list.0;
            // SAFETY: in the list, whose lock is held.
            while let Some(timer) = unsafe { at.as_ref() } {
                next = next.min(timer.due);
                at = timer.next;
            }
        }
        if next != NEVER {
            self.services().arm_timer(self, next.saturating_sub(self.system().now()).max(1));
        }
    }

    /// The port's timer, as [`crate::services::Services::arm_timer`] asks for it. DISPATCH_LEVEL, without locks.
    pub fn run_timers(&self) {
        let (timers, now) = (self.timers(), self.system().now());
        let is_due = |moment: &AtomicU64| {
            let due = moment.load(Acquire);
            due <= now && moment.compare_exchange(due, NEVER, AcqRel, Relaxed).is_ok()
        };
        if is_due(&timers.routine_due) {
            self.call_hw_timer(timers.routine.load(Relaxed));
        }
        while let Some((callback, context)) = self.next_due(now) {
            // SAFETY: the miniport's own function, extension and context.
            unsafe { callback(self.extension(), context) };
        }
        if is_due(&timers.tick_due) {
            self.look_for_timeouts(now);
            let next = self.system().now().saturating_add(self.timing().tick);
            // Unless the port has stopped meanwhile.
            if self.is_running() {
                timers.tick_due.store(next, Release);
            }
            self.pump_all();
        }
        if is_due(&timers.wake) {
            self.heed_gates();
            self.pump_all();
        }
        self.arm();
    }

    /// A timer of the miniport's that is due, no longer set.
    fn next_due(&self, now: u64) -> Option<(HwTimerEx, *mut c_void)> {
        let list = self.timers().list.lock(self.system());
        let mut at = list.0;
        // SAFETY: in the list, whose lock is held.
        while let Some(timer) = unsafe { at.as_mut() } {
            if timer.due <= now {
                timer.due = NEVER;
                if let Some(callback) = timer.callback {
                    return Some((callback, timer.context));
                }
            }
            at = timer.next;
        }
        None
    }

    fn call_hw_timer(&self, routine: *mut c_void) {
        if routine.is_null() {
            return;
        }
        // SAFETY: `request_timer_call` was given it as a HwStorTimer.
        let routine = unsafe { mem::transmute::<*mut c_void, HwTimer>(routine) };
        let lock = if self.is_half_duplex() { self.common_interrupt() } else { Under::StartIo };
        // SAFETY: the miniport's own function and extension.
        self.under(lock, || unsafe { routine(self.extension()) });
    }
}

fn find(list: &List, handle: *mut c_void) -> Option<*mut Timer> {
    let mut at = list.0;
    // SAFETY: in the list, whose lock the caller holds.
    while let Some(timer) = unsafe { at.as_ref() } {
        if at.cast() == handle {
            return Some(at);
        }
        at = timer.next;
    }
    None
}

fn unlink(list: &mut List, timer: *mut Timer) {
    let mut place = &raw mut list.0;
    // SAFETY: places inside the list, whose lock the caller holds.
    unsafe {
        while !(*place).is_null() {
            if *place == timer {
                *place = (*timer).next;
                return;
            }
            place = &raw mut (**place).next;
        }
    }
}
