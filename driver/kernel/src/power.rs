//! Power: a filter that keeps nothing in memory has nothing to save; requests pass.

use wdk_sys::NTSTATUS;

use crate::{disk::Disk, nt::irp::Irp};

/// IRP_MJ_POWER. Up to DISPATCH_LEVEL. What an in-place volume has acknowledged lies below it already, and the
/// class driver sends SYNCHRONIZE CACHE before it powers the disk down.
pub(crate) fn dispatch(disk: &'static Disk, irp: Irp) -> NTSTATUS {
    let tag = irp.tag();
    if let Err(status) = disk.remove_lock.acquire(tag) {
        return irp.complete(status, 0);
    }
    let status = irp.pass_power(disk.lower());
    disk.remove_lock.release(tag);
    status
}
