//! Locks: short ones of the port's own, and those that a miniport shares with it.
//!
//! A miniport's locks have an order (WDK, StorPortAcquireSpinLock): DpcLock, then StartIoLock, then InterruptLock. Each
//! remembers who has it, so that a miniport that takes one twice, or against the order, is told so by a count and not
//! by a processor that hangs: it then gets a handle that holds nothing.
//!
//! The port's own locks come last: nothing is called while one is held. They are taken up to DISPATCH_LEVEL; whatever
//! a miniport may call from its interrupt routine works without them.

use core::{
    cell::UnsafeCell,
    ffi::c_void,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use sluice_shim::{
    platform::{LockWord, OldIrql},
    storport::notification::spin_lock,
};

use crate::{
    faults::count,
    port::Port,
    services::{DISPATCH_LEVEL, InterruptLock, System},
    types::{LockHandle, StorDpc},
};

/// A value behind a lock of the port's own.
pub(crate) struct Guarded<T> {
    word: LockWord,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through the guard only.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { word: LockWord(AtomicUsize::new(0)), value: UnsafeCell::new(value) }
    }

    /// Up to DISPATCH_LEVEL.
    pub(crate) fn lock<'a>(&'a self, system: &'a dyn System) -> Held<'a, T> {
        let old = system.acquire(&self.word);
        Held { lock: self, system, old }
    }
}

pub(crate) struct Held<'a, T> {
    lock: &'a Guarded<T>,
    system: &'a dyn System,
    old: OldIrql,
}

impl<T> Deref for Held<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard exists only while the lock is held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this guard took the lock and got `old`.
        unsafe { self.system.release(&self.lock.word, self.old) };
    }
}

/// How many messages have a lock whose owner is remembered.
const MESSAGES: usize = 64;
/// Most concurrent channels.
pub(crate) const CHANNELS: usize = 64;

/// The locks that a miniport shares with its port.
pub(crate) struct Locks {
    start_io: LockWord,
    start_io_owner: AtomicUsize,
    interrupt_owner: AtomicUsize,
    message_owners: [AtomicUsize; MESSAGES],
    channels: [LockWord; CHANNELS],
}

impl Locks {
    pub(crate) const fn new() -> Self {
        Self {
            start_io: LockWord(AtomicUsize::new(0)),
            start_io_owner: AtomicUsize::new(0),
            interrupt_owner: AtomicUsize::new(0),
            message_owners: [const { AtomicUsize::new(0) }; MESSAGES],
            channels: [const { LockWord(AtomicUsize::new(0)) }; CHANNELS],
        }
    }

    fn interrupt_owner(&self, lock: InterruptLock) -> Option<&AtomicUsize> {
        match lock {
            InterruptLock::Common => Some(&self.interrupt_owner),
            InterruptLock::Message(id) => self.message_owners.get(id as usize),
        }
    }
}

/// What a callback of the miniport is called under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Under {
    Nothing,
    StartIo,
    Channel(usize),
    Interrupt(InterruptLock),
}

impl Port {
    /// Calls `routine` under the lock that the interface promises it. Not for code that has that lock already.
    pub(crate) fn under<R>(&self, lock: Under, routine: impl FnOnce() -> R) -> R {
        let (locks, me) = (self.locks(), self.system().executor());
        match lock {
            Under::Nothing => routine(),
            Under::StartIo => self.spinning(&locks.start_io, || {
                locks.start_io_owner.store(me, Relaxed);
                let result = routine();
                locks.start_io_owner.store(0, Relaxed);
                result
            }),
            Under::Channel(number) => match locks.channels.get(number) {
                Some(word) => self.spinning(word, routine),
                None => routine(),
            },
            Under::Interrupt(lock) => {
                let old = self.services().acquire_interrupt(lock);
                let result = self.owning(lock, routine);
                // SAFETY: acquired just now.
                unsafe { self.services().release_interrupt(lock, old) };
                result
            }
        }
    }

    /// Calls `routine` under the StartIo lock and those of all channels: while nothing is being started.
    pub(crate) fn under_all<R>(&self, routine: impl FnOnce() -> R) -> R {
        let channels = self.locks().channels.get(..self.channels() as usize).unwrap_or(&[]);
        self.under(Under::StartIo, || {
            // At DISPATCH_LEVEL already, to which each of them goes back.
            let old = channels.iter().fold(None, |_, word| Some(self.system().acquire(word)));
            let result = routine();
            for (word, old) in channels.iter().rev().zip(core::iter::repeat(old).flatten()) {
                // SAFETY: acquired just now.
                unsafe { self.system().release(word, old) };
            }
            result
        })
    }

    /// Calls `routine` on behalf of an interrupt, whose lock the host has taken.
    pub(crate) fn owning<R>(&self, lock: InterruptLock, routine: impl FnOnce() -> R) -> R {
        let owner = self.locks().interrupt_owner(lock);
        if let Some(owner) = owner {
            owner.store(self.system().executor(), Relaxed);
        }
        let result = routine();
        if let Some(owner) = owner {
            owner.store(0, Relaxed);
        }
        result
    }

    fn spinning<R>(&self, word: &LockWord, routine: impl FnOnce() -> R) -> R {
        let old = self.system().acquire(word);
        let result = routine();
        // SAFETY: acquired just now.
        unsafe { self.system().release(word, old) };
        result
    }

    /// Which lock interrupt-level synchronization takes (`StorPortSynchronizeAccess`, half duplex).
    pub(crate) fn common_interrupt(&self) -> Under {
        Under::Interrupt(InterruptLock::Common)
    }

    /// StorPortSynchronizeAccess: calls `routine` under the interrupt lock, or as it is if the caller has that already.
    pub(crate) fn synchronize(&self, routine: impl FnOnce() -> u8) -> u8 {
        if self.has_interrupt() {
            count(&self.faults().lock_order);
            return routine();
        }
        self.under(self.common_interrupt(), routine)
    }

    fn has(&self, owner: &AtomicUsize) -> bool {
        owner.load(Relaxed) == self.system().executor()
    }

    fn has_interrupt(&self) -> bool {
        let locks = self.locks();
        self.has(&locks.interrupt_owner) || locks.message_owners.iter().any(|owner| self.has(owner))
    }

    fn refuse_lock(&self, handle: &mut LockHandle) {
        count(&self.faults().lock_order);
        handle.kind = REFUSED;
    }

    /// StorPortAcquireSpinLock. Answers whether the lock is held now.
    ///
    /// # Safety
    /// `context` is null or points at a STOR_DPC.
    pub(crate) unsafe fn acquire_spin_lock(
        &self,
        kind: u32,
        context: *mut c_void,
        handle: &mut LockHandle,
    ) -> bool {
        let locks = self.locks();
        handle.kind = NOTHING;
        // Threaded DPCs run as others do; and a caller that is at DISPATCH_LEVEL stays there.
        let kind = match kind {
            spin_lock::THREADED_DPC | spin_lock::DPC_LEVEL => spin_lock::DPC,
            other => other,
        };
        let out_of_order = match kind {
            spin_lock::DPC => self.has(&locks.start_io_owner) || self.has_interrupt(),
            spin_lock::START_IO => self.has(&locks.start_io_owner) || self.has_interrupt(),
            spin_lock::INTERRUPT => self.has_interrupt(),
            _ => {
                count(&self.faults().argument);
                return false;
            }
        };
        if out_of_order {
            self.refuse_lock(handle);
            return false;
        }
        if kind != spin_lock::INTERRUPT && self.system().irql() > DISPATCH_LEVEL {
            count(&self.faults().irql);
            handle.kind = REFUSED;
            return false;
        }
        match kind {
            spin_lock::DPC => {
                let dpc = context.cast::<StorDpc>();
                // SAFETY: the caller's contract.
                let known = !dpc.is_null()
                    && dpc.is_aligned()
                    && unsafe { (&raw const (*dpc).magic).read() } == StorDpc::MAGIC;
                if !known {
                    count(&self.faults().argument);
                    handle.kind = REFUSED;
                    return false;
                }
                // SAFETY: as above; the lock is an atomic word of it.
                let word = unsafe { &(*dpc).lock };
                handle.old_irql = self.system().acquire(word).0;
                handle.lock = core::ptr::from_ref(word) as usize;
            }
            spin_lock::START_IO => {
                handle.old_irql = self.system().acquire(&locks.start_io).0;
                locks.start_io_owner.store(self.system().executor(), Relaxed);
                handle.lock = core::ptr::from_ref(&locks.start_io) as usize;
            }
            _ => self.take_interrupt(InterruptLock::Common, handle),
        }
        handle.kind = kind;
        true
    }

    fn take_interrupt(&self, lock: InterruptLock, handle: &mut LockHandle) {
        handle.old_irql = self.services().acquire_interrupt(lock).0;
        if let Some(owner) = self.locks().interrupt_owner(lock) {
            owner.store(self.system().executor(), Relaxed);
        }
        handle.lock = core::ptr::from_ref(self) as usize;
    }

    /// StorPortReleaseSpinLock.
    pub(crate) fn release_spin_lock(&self, handle: &mut LockHandle) {
        let (kind, old) = (handle.kind, OldIrql(handle.old_irql));
        handle.kind = NOTHING;
        let locks = self.locks();
        match kind {
            REFUSED => {}
            spin_lock::DPC if handle.lock != 0 => {
                // SAFETY: `acquire_spin_lock` has put the address of a held lock there, and marked the handle.
                unsafe { self.system().release(&*(handle.lock as *const LockWord), old) };
            }
            spin_lock::START_IO if self.has(&locks.start_io_owner) => {
                locks.start_io_owner.store(0, Relaxed);
                // SAFETY: this executor has it.
                unsafe { self.system().release(&locks.start_io, old) };
            }
            spin_lock::INTERRUPT if self.has(&locks.interrupt_owner) => {
                self.drop_interrupt(InterruptLock::Common, old);
            }
            _ => count(&self.faults().lock_release),
        }
    }

    fn drop_interrupt(&self, lock: InterruptLock, old: OldIrql) {
        if let Some(owner) = self.locks().interrupt_owner(lock) {
            owner.store(0, Relaxed);
        }
        // SAFETY: the callers have seen that this executor has it.
        unsafe { self.services().release_interrupt(lock, old) };
    }

    /// StorPortAcquireMSISpinLock; `None` if it is no message, or held already.
    pub(crate) fn acquire_message_lock(&self, id: u32) -> Option<OldIrql> {
        let owner = self.locks().message_owners.get(id as usize);
        let owner = owner.filter(|_| id < self.messages());
        let Some(owner) = owner else {
            count(&self.faults().argument);
            return None;
        };
        let lock = self.message_lock(id);
        let taken = match lock {
            InterruptLock::Common => self.has(&self.locks().interrupt_owner),
            InterruptLock::Message(_) => self.has(owner),
        };
        if taken {
            count(&self.faults().lock_order);
            return None;
        }
        let old = self.services().acquire_interrupt(lock);
        if let Some(owner) = self.locks().interrupt_owner(lock) {
            owner.store(self.system().executor(), Relaxed);
        }
        Some(old)
    }

    /// StorPortReleaseMSISpinLock.
    pub(crate) fn release_message_lock(&self, id: u32, old: OldIrql) -> bool {
        let lock = self.message_lock(id);
        let owned = self.locks().interrupt_owner(lock).is_some_and(|owner| self.has(owner));
        if owned && id < self.messages() {
            self.drop_interrupt(lock, old);
            return true;
        }
        count(&self.faults().lock_release);
        false
    }
}

/// In a handle: it holds nothing.
const NOTHING: u32 = 0;
/// In a handle: the lock was refused, and its release is to be passed over.
const REFUSED: u32 = u32::MAX;
