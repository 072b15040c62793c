//! Special files: a disk is told that it will hold a page file, a hibernation file or a crash dump.

use wdk_sys::{NTSTATUS, STATUS_NOT_SUPPORTED};

use crate::{
    disk::{Disk, DiskState},
    nt::{irp::Irp, irql::Passive, is_success},
};

/// `DEVICE_USAGE_NOTIFICATION_TYPE`.
const PAGING: i32 = 1;

/// IRP_MN_DEVICE_USAGE_NOTIFICATION.
///
/// Hibernation and dump files are written by a second, bare stack that bypasses every filter: on a Sluice disk
/// they would be plaintext in the middle of the volume. They are refused until Sluice has a dump filter.
pub(crate) fn notification(disk: &'static Disk, irp: Irp, at: Passive<'_>) -> NTSTATUS {
    // SAFETY: the union member of this minor function.
    let usage = unsafe { irp.stack().Parameters.UsageNotification };
    let arrives = usage.InPath != 0;
    if disk.state() != DiskState::Plain && arrives && usage.Type != PAGING {
        return irp.complete(STATUS_NOT_SUPPORTED, 0);
    }
    if usage.Type != PAGING {
        return irp.pass(disk.lower());
    }
    // The pageable flag must be right before the devices below see the change, and is put back if they refuse.
    let before = disk.count_paging(arrives);
    if !arrives && before == 1 {
        disk.set_power_pagable(true);
    }
    let (irp, status) = irp.forward_and_wait(disk.lower(), at);
    if is_success(status) {
        if arrives {
            disk.set_power_pagable(false);
        }
    } else {
        disk.count_paging(!arrives);
        if !arrives && before == 1 {
            disk.set_power_pagable(false);
        }
    }
    irp.complete(status, 0)
}
