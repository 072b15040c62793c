//! Windows NT, typed: the only place where the driver touches kernel structures by pointer.
//!
//! An [`irp::Irp`] is an IRP that this driver owns: every way to be rid of one (complete, pass, keep) consumes
//! it. [`irql::Passive`] proves PASSIVE_LEVEL to whatever waits.

pub(crate) mod bus;
pub(crate) mod cancel;
pub(crate) mod device;
pub(crate) mod dma;
pub(crate) mod dpc;
pub(crate) mod event;
pub(crate) mod identity;
pub(crate) mod interrupt;
pub(crate) mod irp;
pub(crate) mod irql;
pub(crate) mod mdl;
pub(crate) mod pool;
pub(crate) mod processor;
pub(crate) mod registers;
pub(crate) mod remove_lock;
pub(crate) mod security;
pub(crate) mod spin;
pub(crate) mod string;
pub(crate) mod thread;
pub(crate) mod work;

/// Whether `status` is a success or informational code.
pub(crate) const fn is_success(status: wdk_sys::NTSTATUS) -> bool {
    status >= 0
}
