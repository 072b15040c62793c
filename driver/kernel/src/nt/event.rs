//! Events: how a thread waits.

use core::{cell::UnsafeCell, marker::PhantomData, mem::MaybeUninit, ptr};

use wdk_sys::{
    _EVENT_TYPE, KEVENT, LARGE_INTEGER,
    ntddk::{
        KeClearEvent, KeEnterCriticalRegion, KeInitializeEvent, KeLeaveCriticalRegion, KeSetEvent,
        KeWaitForSingleObject,
    },
};

use super::irql::Passive;

/// A notification event (stays set until cleared). Must not move once initialized.
pub(crate) struct Event(UnsafeCell<MaybeUninit<KEVENT>>);

// SAFETY: the kernel synchronises every access to an event.
unsafe impl Sync for Event {}
// SAFETY: as above.
unsafe impl Send for Event {}

impl Event {
    /// Storage for an event; [`Self::initialize`] makes it one.
    pub(crate) const fn uninit() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Makes it an event, not set.
    ///
    /// # Safety
    /// Once, at the address where it stays, before any other use.
    pub(crate) unsafe fn initialize(&self) {
        // SAFETY: the storage is ours; the caller promises that nobody uses it yet.
        unsafe { KeInitializeEvent(self.get(), _EVENT_TYPE::NotificationEvent, 0) };
    }

    /// Wakes whoever waits. Up to DISPATCH_LEVEL.
    pub(crate) fn set(&self) {
        // SAFETY: initialized by contract. No priority boost, no wait to follow.
        unsafe { KeSetEvent(self.get(), 0, 0) };
    }

    /// Takes the signal back.
    pub(crate) fn clear(&self) {
        // SAFETY: initialized by contract.
        unsafe { KeClearEvent(self.get()) };
    }

    /// Waits until it is set, however long.
    pub(crate) fn wait(&self, _: Passive<'_>) {
        // SAFETY: initialized by contract; PASSIVE_LEVEL by the token. Executive wait, kernel mode, not alertable.
        let _ = unsafe { KeWaitForSingleObject(self.get().cast(), 0, 0, 0, ptr::null_mut()) };
    }

    /// Waits until it is set, or so long.
    pub(crate) fn wait_at_most(&self, milliseconds: u32, _: Passive<'_>) {
        let mut timeout = relative(milliseconds);
        // SAFETY: as in `wait`.
        let _ = unsafe { KeWaitForSingleObject(self.get().cast(), 0, 0, 0, &raw mut timeout) };
    }

    /// For kernel services that signal it.
    pub(crate) fn as_ptr(&self) -> *mut KEVENT {
        self.get()
    }

    fn get(&self) -> *mut KEVENT {
        self.0.get().cast()
    }
}

/// From now on, in units of 100 ns.
fn relative(milliseconds: u32) -> LARGE_INTEGER {
    LARGE_INTEGER { QuadPart: -10_000 * i64::from(milliseconds) }
}

/// Lets time pass.
pub(crate) fn pause(milliseconds: u32, _: Passive<'_>) {
    let never = Event::uninit();
    let mut timeout = relative(milliseconds);
    // SAFETY: the event stays here and is not set by anybody; PASSIVE_LEVEL by the token.
    unsafe {
        never.initialize();
        let _ = KeWaitForSingleObject(never.get().cast(), 0, 0, 0, &raw mut timeout);
    }
}

/// While it is there, the thread is not suspended and takes no normal APC: it holds what others wait for.
pub(crate) struct CriticalRegion(PhantomData<*mut ()>);

impl CriticalRegion {
    /// Enters it. PASSIVE_LEVEL.
    pub(crate) fn enter(_: Passive<'_>) -> Self {
        // SAFETY: left once, when it is dropped, by the same thread: it is not `Send`.
        unsafe { KeEnterCriticalRegion() };
        Self(PhantomData)
    }
}

impl Drop for CriticalRegion {
    fn drop(&mut self) {
        // SAFETY: entered by `enter`.
        unsafe { KeLeaveCriticalRegion() };
    }
}

/// A lock that a thread holds across waits: one holder at a time, PASSIVE_LEVEL.
pub(crate) struct Turn(UnsafeCell<MaybeUninit<KEVENT>>);

// SAFETY: as for `Event`.
unsafe impl Sync for Turn {}
// SAFETY: as for `Event`.
unsafe impl Send for Turn {}

impl Turn {
    /// Storage for it; [`Self::initialize`] makes it usable.
    pub(crate) const fn uninit() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Makes it free.
    ///
    /// # Safety
    /// Once, at the address where it stays, before any other use.
    pub(crate) unsafe fn initialize(&self) {
        // SAFETY: as for `Event`. Synchronization type: a wait that succeeds takes the signal back. Set = free.
        unsafe { KeInitializeEvent(self.0.get().cast(), _EVENT_TYPE::SynchronizationEvent, 1) };
    }

    /// Waits for the turn; it ends when the guard is dropped.
    pub(crate) fn take(&self, _: Passive<'_>) -> TurnGuard<'_> {
        // SAFETY: initialized by contract; PASSIVE_LEVEL by the token.
        let _ = unsafe { KeWaitForSingleObject(self.0.get().cast(), 0, 0, 0, ptr::null_mut()) };
        TurnGuard(self)
    }
}

/// A turn that is held.
pub(crate) struct TurnGuard<'a>(&'a Turn);

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: initialized, and held by this guard.
        unsafe { KeSetEvent(self.0.0.get().cast(), 0, 0) };
    }
}
