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
pub(crate) fn current() -> u8 {
    // SAFETY: callable at any IRQL.
    unsafe { wdk_sys::ntddk::KeGetCurrentIrql() }
}

/// Raises the processor's IRQL to `level`, if it is lower; answers what it was. Any IRQL.
pub(crate) fn raise(level: u8) -> u8 {
    // SAFETY: never to a lower one.
    unsafe { wdk_sys::ntddk::KfRaiseIrql(level.max(current())) }
}

/// Lowers it to what it was.
///
/// # Safety
/// `old` comes from the caller's [`raise`], since which all locks taken have been released.
pub(crate) unsafe fn lower(old: u8) {
    // SAFETY: the caller's contract.
    unsafe { wdk_sys::ntddk::KeLowerIrql(old) };
}
