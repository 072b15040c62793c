//! Processors.

use core::ptr;

use wdk_sys::ntddk::{KeGetCurrentProcessorNumberEx, KeQueryActiveProcessorCountEx};

/// `ALL_PROCESSOR_GROUPS`.
const ALL_GROUPS: u16 = 0xffff;

/// The number of the one that this runs on. Any IRQL.
pub(crate) fn current() -> u32 {
    // SAFETY: callable at any IRQL; group and number are not wanted.
    unsafe { KeGetCurrentProcessorNumberEx(ptr::null_mut()) }
}

/// How many there are, at least 1. Any IRQL.
pub(crate) fn count() -> u32 {
    // SAFETY: callable at any IRQL.
    unsafe { KeQueryActiveProcessorCountEx(ALL_GROUPS) }.max(1)
}
