//! The kernel, as far as miniports need no adapter for it.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::{alloc::Layout, ffi::c_void, ptr::NonNull};

use sluice_port::{
    exports,
    registration::Registration,
    services::{Processor, System, Topology},
    status::NtStatus,
};
use sluice_shim::platform::{LockWord, OldIrql};
use wdk_sys::{
    GROUP_AFFINITY, LARGE_INTEGER, PROCESSOR_NUMBER, PVOID,
    ntddk::{
        DbgPrint, KeAcquireSpinLockRaiseToDpc, KeGetCurrentProcessorNumberEx, KeQueryActiveGroupCount,
        KeQueryActiveProcessorCountEx, KeQueryGroupAffinity, KeQueryHighestNodeNumber,
        KeQueryNodeActiveAffinity, KeQueryPerformanceCounter, KeReleaseSpinLock,
    },
};

use super::linked;
use crate::{
    nt::{dma, irql},
    platform::now,
};

unsafe extern "C" {
    // In the WDK these are inline code; the kernel exports them as well.
    fn PsGetCurrentThread() -> PVOID;
    fn KeQuerySystemTimePrecise(time: *mut LARGE_INTEGER);
}

/// `ALL_PROCESSOR_GROUPS`.
const ALL_GROUPS: u16 = 0xffff;
/// Alignment of a block of a page and more.
const PAGE: usize = 4096;

/// The one there is.
pub(crate) struct Kernel;

static KERNEL: &dyn System = &Kernel;

/// Lets miniports find it. Before the first of them is loaded, that is: from DriverEntry, or from DllInitialize when a
/// miniport's import has loaded this image.
pub(crate) fn install() {
    exports::install(&KERNEL);
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.max(1), if bytes < PAGE { 16 } else { PAGE }).ok()
}

// SAFETY: KSPIN_LOCK excludes all other processors; memory is the pool's.
unsafe impl System for Kernel {
    fn registered(&self, driver: *mut c_void, path: *mut c_void, registration: Registration) -> NtStatus {
        linked::register(driver, path, registration)
    }

    fn allocate(&self, bytes: usize, _tag: u32) -> Option<NonNull<u8>> {
        // SAFETY: not of size zero.
        NonNull::new(unsafe { alloc_zeroed(layout(bytes)?) })
    }

    unsafe fn free(&self, memory: NonNull<u8>, bytes: usize, _tag: u32) {
        if let Some(layout) = layout(bytes) {
            // SAFETY: the caller's contract: allocated with this layout.
            unsafe { dealloc(memory.as_ptr(), layout) };
        }
    }

    fn page_of(&self, address: *const c_void) -> Option<usize> {
        Some(dma::physical(address.addr())? as usize / PAGE)
    }

    fn acquire(&self, lock: &LockWord) -> OldIrql {
        // SAFETY: a lock word is a KSPIN_LOCK: pointer-sized, zero when free, at a fixed address.
        OldIrql(unsafe { KeAcquireSpinLockRaiseToDpc(lock.0.as_ptr().cast()) })
    }

    unsafe fn release(&self, lock: &LockWord, old: OldIrql) {
        // SAFETY: held by the caller, with the IRQL from its acquisition.
        unsafe { KeReleaseSpinLock(lock.0.as_ptr().cast(), old.0) };
    }

    fn irql(&self) -> u8 {
        irql::current()
    }

    fn executor(&self) -> usize {
        // SAFETY: callable at any IRQL.
        unsafe { PsGetCurrentThread() }.addr()
    }

    fn processor(&self) -> Processor {
        let mut number = PROCESSOR_NUMBER::default();
        // SAFETY: callable at any IRQL.
        unsafe { KeGetCurrentProcessorNumberEx(&raw mut number) };
        Processor { group: number.Group, number: number.Number }
    }

    fn topology(&self) -> Topology {
        // SAFETY: callable at any IRQL.
        unsafe {
            Topology {
                groups: KeQueryActiveGroupCount(),
                nodes: u32::from(KeQueryHighestNodeNumber()) + 1,
                processors: KeQueryActiveProcessorCountEx(ALL_GROUPS),
            }
        }
    }

    fn group_affinity(&self, group: u16) -> Option<usize> {
        // SAFETY: callable at any IRQL.
        let mask = unsafe { KeQueryGroupAffinity(group) } as usize;
        (mask != 0).then_some(mask)
    }

    fn node_affinity(&self, node: u32) -> Option<(u16, usize)> {
        let node = u16::try_from(node).ok()?;
        let mut affinity = GROUP_AFFINITY::default();
        // SAFETY: callable at any IRQL; the count is not wanted.
        unsafe { KeQueryNodeActiveAffinity(node, &raw mut affinity, core::ptr::null_mut()) };
        (affinity.Mask != 0).then_some((affinity.Group, affinity.Mask as usize))
    }

    fn system_time(&self) -> i64 {
        let mut time = LARGE_INTEGER::default();
        // SAFETY: callable at any IRQL; a LARGE_INTEGER holds one number.
        unsafe {
            KeQuerySystemTimePrecise(&raw mut time);
            time.QuadPart
        }
    }

    fn performance_counter(&self) -> (i64, i64) {
        let mut frequency = LARGE_INTEGER::default();
        // SAFETY: as above.
        unsafe { (KeQueryPerformanceCounter(&raw mut frequency).QuadPart, frequency.QuadPart) }
    }

    fn now(&self) -> u64 {
        // SAFETY: callable at any IRQL. Never zero: that means "no moment" to the port.
        1 + unsafe { now() } / 1000
    }

    fn stall(&self, microseconds: u32) {
        let until = self.now().saturating_add(u64::from(microseconds));
        while self.now() < until {
            core::hint::spin_loop();
        }
    }

    fn debug_print(&self, _level: u32, line: &[u8]) {
        let mut text = [0u8; 128];
        let length = line.len().min(text.len() - 1);
        for (to, from) in text.iter_mut().zip(line).take(length) {
            *to = *from;
        }
        // SAFETY: both are terminated; callable at any IRQL that a miniport has.
        unsafe { DbgPrint(c"%s".as_ptr(), text.as_ptr()) };
    }
}
