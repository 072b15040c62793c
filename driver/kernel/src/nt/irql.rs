//! Where code runs, as a type.

use core::marker::PhantomData;

/// Proof that the processor is at PASSIVE_LEVEL in a thread that may wait. Not `Send`: it is about here.
#[derive(Clone, Copy)]
pub(crate) struct Passive<'a>(PhantomData<(&'a (), *const ())>);

impl Passive<'_> {
    /// # Safety
    /// The caller runs at PASSIVE_LEVEL and may wait: a dispatch routine that the I/O manager calls only so
    /// (PNP, CREATE, DEVICE_CONTROL of a control device), `AddDevice`, `DriverEntry`, `DriverUnload`.
    pub(crate) const unsafe fn assume() -> Self {
        Self(PhantomData)
    }
}

/// The processor's IRQL. Any IRQL.
#[cfg(target_arch = "x86_64")]
pub(crate) fn current() -> u8 {
    let level: u64;
    // SAFETY: reads the task priority register, in which 64-bit Windows keeps the IRQL, as KeGetCurrentIrql does.
    unsafe { core::arch::asm!("mov {}, cr8", out(reg) level, options(nomem, nostack, preserves_flags)) };
    level as u8
}

/// The processor's IRQL. Any IRQL.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn current() -> u8 {
    // SAFETY: callable at any IRQL.
    unsafe { wdk_sys::ntddk::KeGetCurrentIrql() }
}
