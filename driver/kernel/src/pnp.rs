//! Plug and Play: a disk arrives, starts, goes.

use core::sync::atomic::AtomicPtr;

use wdk_sys::{
    IRP_MN_DEVICE_USAGE_NOTIFICATION, IRP_MN_REMOVE_DEVICE, IRP_MN_START_DEVICE, IRP_MN_SURPRISE_REMOVAL,
    NTSTATUS,
};

use crate::{
    disk::Disk,
    nt::{irp::Irp, irql::Passive, is_success, remove_lock},
    registry::{DISKS, Member},
    usage,
};

/// IRP_MJ_PNP. The I/O manager calls it at PASSIVE_LEVEL in a system thread.
pub(crate) fn dispatch(disk: &'static Disk, irp: Irp, at: Passive<'_>) -> NTSTATUS {
    let tag = irp.tag();
    if let Err(status) = disk.remove_lock.acquire(tag) {
        return irp.complete(status, 0);
    }
    let status = match u32::from(irp.stack().MinorFunction) {
        IRP_MN_START_DEVICE => start(disk, irp, at),
        IRP_MN_SURPRISE_REMOVAL => surprise_removal(disk, irp),
        IRP_MN_REMOVE_DEVICE => return remove(disk, irp, at),
        IRP_MN_DEVICE_USAGE_NOTIFICATION => usage::notification(disk, irp, at),
        _ => irp.pass(disk.lower()),
    };
    disk.remove_lock.release(tag);
    status
}

/// The disk below starts first; then its header is read, so that the first request from above already finds
/// the disk locked if it is one of ours.
fn start(disk: &'static Disk, irp: Irp, at: Passive<'_>) -> NTSTATUS {
    let (irp, status) = irp.forward_and_wait(disk.lower(), at);
    if is_success(status) {
        disk.follow_lower();
        disk.identify(at);
    }
    irp.complete(status, 0)
}

/// The device has gone without notice. What waits is failed; what is under way fails below.
fn surprise_removal(disk: &'static Disk, mut irp: Irp) -> NTSTATUS {
    disk.gone();
    irp.set_status(wdk_sys::STATUS_SUCCESS);
    irp.pass(disk.lower())
}

/// The device object goes. From here on nobody gets hold of the disk, and its key is wiped.
fn remove(disk: &'static Disk, mut irp: Irp, at: Passive<'_>) -> NTSTATUS {
    let tag = irp.tag();
    disk.gone();
    let lower = disk.lower();
    // Requests under way end below, whose device has gone; an administrator may just be unlocking. All hold the
    // remove lock. Only then the volume, which an unlocking may have opened until now.
    disk.remove_lock.release_and_wait(tag, at);
    disk.close_volume(at);
    // Not before: who takes a stage out of every chain waits for disks that are going.
    DISKS.forget(disk);
    irp.set_status(wdk_sys::STATUS_SUCCESS);
    let status = irp.pass(lower);
    // SAFETY: removed from the registry and the remove lock drained: no other reference is left.
    unsafe { Disk::destroy(disk) };
    status
}

impl Member for Disk {
    fn next(&self) -> &AtomicPtr<Self> {
        &self.next
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn hold(&self) -> bool {
        self.remove_lock.acquire(remove_lock::NO_TAG).is_ok()
    }

    fn let_go(&self) {
        self.remove_lock.release(remove_lock::NO_TAG);
    }
}
