//! The shim's platform in the kernel: spin locks, DPCs, the clock.

use core::{cell::UnsafeCell, mem::MaybeUninit, ptr};

use sluice_chain::abi::HostTable;
use sluice_shim::{
    adapter::Adapter,
    interception,
    platform::{LockWord, OldIrql, Platform},
};
use wdk_sys::{
    KDPC, LARGE_INTEGER, PKSPIN_LOCK, PVOID,
    ntddk::{
        KeAcquireSpinLockRaiseToDpc, KeFlushQueuedDpcs, KeInitializeDpc, KeInsertQueueDpc,
        KeQueryPerformanceCounter, KeReleaseSpinLock,
    },
};

use crate::nt::irql::Passive;

/// The platform of one adapter: its completion DPC.
pub(crate) struct Kernel {
    dpc: UnsafeCell<MaybeUninit<KDPC>>,
}

// SAFETY: the kernel synchronises access to a DPC object.
unsafe impl Sync for Kernel {}
// SAFETY: as above; it is moved before it is initialized only.
unsafe impl Send for Kernel {}

static HOST_TABLE: HostTable =
    HostTable { size: size_of::<HostTable>() as u32, reserved: 0, now, resume: interception::resume };

impl Kernel {
    /// Not usable before [`Self::initialize`].
    pub(crate) const fn uninit() -> Self {
        Self { dpc: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Binds the DPC to `adapter`.
    ///
    /// # Safety
    /// Once, at the address where both stay; the adapter lives until [`Self::settle`] has returned after its
    /// last request.
    pub(crate) unsafe fn initialize(&self, adapter: &Adapter) {
        // SAFETY: the storage is ours and unused.
        unsafe {
            KeInitializeDpc(
                self.dpc.get().cast(),
                Some(complete_some),
                ptr::from_ref(adapter).cast_mut().cast(),
            );
        }
    }

    /// Waits until no DPC of this driver runs any more.
    pub(crate) fn settle(&self, _: Passive<'_>) {
        // SAFETY: PASSIVE_LEVEL by the token.
        unsafe { KeFlushQueuedDpcs() };
    }
}

// SAFETY: KSPIN_LOCK excludes all other processors, and the raised IRQL excludes DPCs on this one.
unsafe impl Platform for Kernel {
    fn acquire(&self, lock: &LockWord) -> OldIrql {
        // SAFETY: a lock word is a KSPIN_LOCK: pointer-sized, zero when free, at a fixed address.
        OldIrql(unsafe { KeAcquireSpinLockRaiseToDpc(spin_lock(lock)) })
    }

    unsafe fn release(&self, lock: &LockWord, old: OldIrql) {
        // SAFETY: held by the caller, with the IRQL from its acquisition.
        unsafe { KeReleaseSpinLock(spin_lock(lock), old.0) };
    }

    fn schedule(&self, _adapter: &Adapter) {
        // SAFETY: initialized before the first request. Queued already: the same run serves both.
        unsafe { KeInsertQueueDpc(self.dpc.get().cast(), ptr::null_mut(), ptr::null_mut()) };
    }

    fn host_table(&self) -> &'static HostTable {
        &HOST_TABLE
    }
}

fn spin_lock(lock: &LockWord) -> PKSPIN_LOCK {
    lock.0.as_ptr().cast()
}

/// What one run of the DPC may cost, in [`Adapter::complete_some`]'s bytes. Microsoft asks for runs of about 100 us
/// ("Guidelines for Writing DPC Routines"), which at 2 GB/s, a fair figure for AES-NI, is 200 KB. The run ends with a
/// whole request, the longest of which is 1 MiB: some 0.6 ms then, or 13 ms at the 100 MB/s of portable AES; twice
/// that if each completion starts a write that has waited and is encrypted here. Without a budget, 64 such requests
/// take 64 times 0.5 or 10 ms in one run, and what completes meanwhile is added.
///
/// The watchdog limits a single routine and also a series of DPCs back to back
/// (`KeQueryDpcWatchdogInformation`). Turns keep the first limit and let other drivers' DPCs in between; the second is
/// kept by the requests, which are 64, and wait for the device in between.
const DPC_BUDGET: u64 = 256 << 10;

/// The completion DPC. What is over budget comes in its next turn, behind the DPCs that wait already.
unsafe extern "C" fn complete_some(dpc: *mut KDPC, adapter: PVOID, _a: PVOID, _b: PVOID) {
    // SAFETY: `initialize` bound the adapter, which outlives the DPC: `settle` waits for this run, and for the one
    // that is asked for here, which is on the same processor's queue before this one ends.
    unsafe {
        if (*adapter.cast::<Adapter>()).complete_some(DPC_BUDGET) {
            KeInsertQueueDpc(dpc, ptr::null_mut(), ptr::null_mut());
        }
    }
}

/// Nanoseconds since the machine started.
pub(crate) unsafe extern "C" fn now() -> u64 {
    let mut frequency = LARGE_INTEGER::default();
    // SAFETY: callable at any IRQL.
    let (count, per_second) = unsafe {
        let count = KeQueryPerformanceCounter(&raw mut frequency);
        (count.QuadPart as u64, (frequency.QuadPart as u64).max(1))
    };
    // Whole seconds and the rest apart, or the product would overflow after some years of a fast counter.
    count / per_second * 1_000_000_000 + count % per_second * 1_000_000_000 / per_second
}
