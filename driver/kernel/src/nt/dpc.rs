//! What is called at DISPATCH_LEVEL: after an interrupt, and every so often.

use core::{cell::UnsafeCell, mem::MaybeUninit, ptr};

use wdk_sys::{
    KDPC, KTIMER, LARGE_INTEGER, PVOID,
    ntddk::{
        KeCancelTimer, KeFlushQueuedDpcs, KeInitializeDpc, KeInitializeTimer, KeInsertQueueDpc, KeSetTimerEx,
    },
};

use super::irql::Passive;

/// What a DPC calls, with the number that it was queued with.
pub(crate) trait Deferred: Sync {
    /// DISPATCH_LEVEL.
    fn run(&self, number: u32);
}

/// A DPC. Does not move.
pub(crate) struct Dpc(UnsafeCell<MaybeUninit<KDPC>>);

// SAFETY: the kernel synchronises access to a DPC.
unsafe impl Sync for Dpc {}
// SAFETY: as above; it is moved before it is initialized only.
unsafe impl Send for Dpc {}

impl Dpc {
    /// Storage; [`Self::initialize`] makes it usable.
    pub(crate) const fn uninit() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Binds it.
    ///
    /// # Safety
    /// Once, at the address where both stay, before any other use. They stay until the DPC is queued no more, and
    /// [`settle`] has returned.
    pub(crate) unsafe fn initialize<D: Deferred>(&self, deferred: &D) {
        // SAFETY: the storage is ours and unused.
        unsafe {
            KeInitializeDpc(self.0.get().cast(), Some(run::<D>), ptr::from_ref(deferred).cast_mut().cast())
        };
    }

    /// Has it called with `number`. Queued already: the same run serves both. Any IRQL.
    pub(crate) fn queue(&self, number: u32) {
        // SAFETY: initialized by contract.
        unsafe {
            KeInsertQueueDpc(
                self.0.get().cast(),
                ptr::without_provenance_mut(number as usize),
                ptr::null_mut(),
            )
        };
    }
}

unsafe extern "C" fn run<D: Deferred>(_dpc: *mut KDPC, context: PVOID, number: PVOID, _: PVOID) {
    // SAFETY: initialized with a `D`.
    unsafe { (*context.cast::<D>()).run(number.addr() as u32) };
}

/// Waits for DPCs that run or are queued.
pub(crate) fn settle(_: Passive<'_>) {
    // SAFETY: PASSIVE_LEVEL by the token.
    unsafe { KeFlushQueuedDpcs() };
}

/// What a clock calls.
pub(crate) trait Ticking: Sync {
    /// DISPATCH_LEVEL.
    fn tick(&self);
}

/// A periodic timer. Does not move.
pub(crate) struct Clock {
    timer: UnsafeCell<MaybeUninit<KTIMER>>,
    dpc: UnsafeCell<MaybeUninit<KDPC>>,
}

// SAFETY: as for a DPC.
unsafe impl Sync for Clock {}
// SAFETY: as for a DPC.
unsafe impl Send for Clock {}

impl Clock {
    /// Storage; [`Self::initialize`] makes it usable.
    pub(crate) const fn uninit() -> Self {
        Self { timer: UnsafeCell::new(MaybeUninit::uninit()), dpc: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// # Safety
    /// Once, at the address where both stay, before any other use. They stay until [`Self::stop`] has returned.
    pub(crate) unsafe fn initialize<T: Ticking>(&self, ticking: &T) {
        // SAFETY: the storage is ours and unused.
        unsafe {
            KeInitializeTimer(self.timer.get().cast());
            KeInitializeDpc(self.dpc.get().cast(), Some(tick::<T>), ptr::from_ref(ticking).cast_mut().cast());
        }
    }

    /// Ticks from now on.
    pub(crate) fn start(&self, milliseconds: u32) {
        let due = LARGE_INTEGER { QuadPart: -10_000 * i64::from(milliseconds) };
        // SAFETY: initialized by contract.
        unsafe {
            KeSetTimerEx(self.timer.get().cast(), due, milliseconds as i32, self.dpc.get().cast());
        }
    }

    /// Does not tick any more; a tick that is under way is waited for.
    pub(crate) fn stop(&self, at: Passive<'_>) {
        // SAFETY: initialized by contract.
        unsafe { KeCancelTimer(self.timer.get().cast()) };
        settle(at);
    }
}

// A timer's DPC gets no words of ours.
unsafe extern "C" fn tick<T: Ticking>(_dpc: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: initialized with a `T`.
    unsafe { (*context.cast::<T>()).tick() };
}
