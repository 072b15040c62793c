//! An adapter's interrupt: its line or its messages, and the locks that a miniport shares with its routines.
//!
//! The locks are this driver's own. Whoever is interrupted has the device's IRQL already and takes the lock of the line, of
//! all messages, or of one; everybody else raises to that IRQL first. So they may be taken before the interrupt is
//! connected and after it has been disconnected, when the kernel's own are not there.

use alloc::vec::Vec;
use core::{
    cell::UnsafeCell,
    ptr::NonNull,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use sluice_port::services::{DISPATCH_LEVEL, InterruptLock, InterruptMode, Message};
use sluice_shim::platform::{LockWord, OldIrql};
use wdk_sys::{
    DEVICE_OBJECT, NTSTATUS, STATUS_INSUFFICIENT_RESOURCES,
    ntddk::{KeAcquireSpinLockAtDpcLevel, KeReleaseSpinLockFromDpcLevel},
};

use crate::nt::{
    interrupt::{Interrupt, Serviced},
    irql::{self, Passive},
};

/// Most messages that a miniport is told of: as many as the port has locks for.
const MOST: usize = 64;

/// One message.
struct Entry {
    lock: LockWord,
    address: AtomicU64,
    data: AtomicU32,
    vector: AtomicU32,
}

/// The interrupt of one adapter.
pub(super) struct Interrupts {
    /// The device's IRQL, which is one for all of its messages; without an interrupt that of DPCs.
    level: AtomicU8,
    /// Of the line, or of all messages.
    common: LockWord,
    /// Each message has its own lock.
    lock_each: AtomicBool,
    entries: Vec<Entry>,
    count: AtomicU32,
    connection: UnsafeCell<Option<Interrupt>>,
}

// SAFETY: the connection is touched by `connect` and `disconnect` only, which the port calls one after another; the rest is
// atomic or does not change.
unsafe impl Sync for Interrupts {}
// SAFETY: as above.
unsafe impl Send for Interrupts {}

impl Interrupts {
    /// For an adapter whose line comes at `level`, or whose messages come at an IRQL yet to be told. `None`: it has no
    /// interrupt.
    ///
    /// # Errors
    /// STATUS_INSUFFICIENT_RESOURCES.
    pub(super) fn new(level: Option<u8>) -> Result<Self, NTSTATUS> {
        let mut entries = Vec::new();
        if level.is_some() {
            entries.try_reserve_exact(MOST).map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
            entries.resize_with(MOST, || Entry {
                lock: LockWord(AtomicUsize::new(0)),
                address: AtomicU64::new(0),
                data: AtomicU32::new(0),
                vector: AtomicU32::new(0),
            });
        }
        Ok(Self {
            level: AtomicU8::new(level.unwrap_or(DISPATCH_LEVEL).max(DISPATCH_LEVEL)),
            common: LockWord(AtomicUsize::new(0)),
            lock_each: AtomicBool::new(false),
            entries,
            count: AtomicU32::new(0),
            connection: UnsafeCell::new(None),
        })
    }

    /// See [`sluice_port::services::Services::connect_interrupt`].
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Safety
    /// As for [`Interrupt::connect`]; not while it or [`Self::disconnect`] runs.
    pub(super) unsafe fn connect<S: Serviced>(
        &self,
        pdo: NonNull<DEVICE_OBJECT>,
        service: &S,
        mode: InterruptMode,
        at: Passive<'_>,
    ) -> Result<u32, NTSTATUS> {
        if mode == InterruptMode::None || self.entries.is_empty() {
            return Ok(0);
        }
        let lock_each = mode == InterruptMode::Messages { lock_each: true };
        self.lock_each.store(lock_each, Ordering::Release);
        // SAFETY: the caller's contract.
        let interrupt = unsafe { Interrupt::connect(pdo, service, at)? };
        if let Some(level) = interrupt.irql() {
            self.level.store(level.max(DISPATCH_LEVEL), Ordering::Release);
        }
        for (number, entry) in self.entries.iter().enumerate() {
            if let Some(message) = interrupt.message(number as u32) {
                // SAFETY: an address holds one number.
                let address = unsafe { message.MessageAddress.QuadPart } as u64;
                entry.address.store(address, Ordering::Relaxed);
                entry.data.store(message.MessageData, Ordering::Relaxed);
                entry.vector.store(message.Vector, Ordering::Relaxed);
            }
        }
        // A miniport that asks for a line only is called as for a line, whatever calls.
        let messages = if mode == InterruptMode::Line { 0 } else { interrupt.messages().min(MOST as u32) };
        self.count.store(messages, Ordering::Release);
        // SAFETY: the caller's contract.
        unsafe { *self.connection.get() = Some(interrupt) };
        Ok(messages)
    }

    /// Disconnects it, and waits for routines that run.
    ///
    /// # Safety
    /// Not while it or [`Self::connect`] runs.
    pub(super) unsafe fn disconnect(&self, at: Passive<'_>) {
        // SAFETY: the caller's contract.
        if let Some(interrupt) = unsafe { (*self.connection.get()).take() } {
            interrupt.disconnect(at);
        }
    }

    /// A message's particulars. Any IRQL.
    pub(super) fn message(&self, number: u32) -> Option<Message> {
        let there = number < self.count.load(Ordering::Acquire);
        let entry = self.entries.get(number as usize).filter(|_| there)?;
        Some(Message {
            address: entry.address.load(Ordering::Relaxed),
            data: entry.data.load(Ordering::Relaxed),
            vector: entry.vector.load(Ordering::Relaxed),
            level: u32::from(self.level.load(Ordering::Relaxed)),
        })
    }

    /// Does something under the lock of the line, or of a message; for whoever has the device's IRQL.
    pub(super) fn serviced<R>(&self, message: Option<u32>, what: impl FnOnce() -> R) -> R {
        let word = self.word(match message {
            Some(number) if self.lock_each.load(Ordering::Acquire) => InterruptLock::Message(number),
            _ => InterruptLock::Common,
        });
        // SAFETY: a lock word is a KSPIN_LOCK. At the device's IRQL, at which everybody takes it.
        unsafe {
            KeAcquireSpinLockAtDpcLevel(word.0.as_ptr().cast());
            let result = what();
            KeReleaseSpinLockFromDpcLevel(word.0.as_ptr().cast());
            result
        }
    }

    /// Takes a lock. Up to the device's IRQL, which the processor then has.
    pub(super) fn acquire(&self, lock: InterruptLock) -> OldIrql {
        let old = irql::raise(self.level.load(Ordering::Acquire));
        // SAFETY: a lock word is a KSPIN_LOCK; at DISPATCH_LEVEL at least.
        unsafe { KeAcquireSpinLockAtDpcLevel(self.word(lock).0.as_ptr().cast()) };
        OldIrql(old)
    }

    /// Releases it.
    ///
    /// # Safety
    /// The caller holds it, and `old` comes from its [`Self::acquire`].
    pub(super) unsafe fn release(&self, lock: InterruptLock, old: OldIrql) {
        // SAFETY: the caller's contract.
        unsafe {
            KeReleaseSpinLockFromDpcLevel(self.word(lock).0.as_ptr().cast());
            irql::lower(old.0);
        }
    }

    fn word(&self, lock: InterruptLock) -> &LockWord {
        match lock {
            InterruptLock::Common => &self.common,
            InterruptLock::Message(number) => {
                self.entries.get(number as usize).map_or(&self.common, |entry| &entry.lock)
            }
        }
    }
}
