//! Plug and Play for an adapter: it starts, is asked what is on its bus, stops, goes.

use core::{
    mem::{offset_of, size_of},
    ptr::NonNull,
    sync::atomic::Ordering,
};

use sluice_miniport_virtio_blk::pci::resources::Resources;
use wdk_sys::{
    _DEVICE_RELATION_TYPE::BusRelations, DEVICE_RELATIONS, IRP_MN_CANCEL_REMOVE_DEVICE,
    IRP_MN_CANCEL_STOP_DEVICE, IRP_MN_QUERY_DEVICE_RELATIONS, IRP_MN_QUERY_REMOVE_DEVICE,
    IRP_MN_QUERY_STOP_DEVICE, IRP_MN_REMOVE_DEVICE, IRP_MN_START_DEVICE, IRP_MN_STOP_DEVICE,
    IRP_MN_SURPRISE_REMOVAL, NTSTATUS, PDEVICE_OBJECT, STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL, ntddk::ObfReferenceObject,
};

use super::{
    fdo::{Fdo, Rest},
    pdo::Pdo,
    scan,
};
use crate::nt::{irp::Irp, irql::Passive, is_success, pool};

/// IRP_MJ_PNP. The I/O manager calls it at PASSIVE_LEVEL in a system thread.
pub(crate) fn dispatch(fdo: &'static Fdo, irp: Irp, at: Passive<'_>) -> NTSTATUS {
    match u32::from(irp.stack().MinorFunction) {
        IRP_MN_START_DEVICE => fdo.with_lock(irp, |irp| start(fdo, irp, at)),
        IRP_MN_QUERY_DEVICE_RELATIONS => fdo.with_lock(irp, |irp| relations(fdo, irp, at)),
        IRP_MN_STOP_DEVICE => fdo.with_lock(irp, |irp| {
            fdo.rest(Rest::Stopped, &mut fdo.turn(at), at);
            pass(fdo, irp)
        }),
        IRP_MN_SURPRISE_REMOVAL => fdo.with_lock(irp, |irp| {
            fdo.hosted.with(|hosted| hosted.surprise_remove());
            fdo.units(&mut fdo.turn(at)).iter().for_each(|unit| unit.close(at));
            pass(fdo, irp)
        }),
        IRP_MN_QUERY_STOP_DEVICE if fdo.hosted.with(|hosted| hosted.can_stop()) == Some(false) => {
            irp.complete(STATUS_UNSUCCESSFUL, 0)
        }
        IRP_MN_QUERY_STOP_DEVICE
        | IRP_MN_CANCEL_STOP_DEVICE
        | IRP_MN_QUERY_REMOVE_DEVICE
        | IRP_MN_CANCEL_REMOVE_DEVICE => fdo.with_lock(irp, |irp| pass(fdo, irp)),
        IRP_MN_REMOVE_DEVICE => remove(fdo, irp, at),
        _ => fdo.with_lock(irp, |irp| irp.pass(fdo.lower())),
    }
}

/// Passes on what this driver agrees to.
fn pass(fdo: &Fdo, mut irp: Irp) -> NTSTATUS {
    irp.set_status(STATUS_SUCCESS);
    irp.pass(fdo.lower())
}

/// The device below starts first; then the miniport, or what had been stopped goes on.
fn start(fdo: &'static Fdo, irp: Irp, at: Passive<'_>) -> NTSTATUS {
    let (irp, mut status) = irp.forward_and_wait(fdo.lower(), at);
    let [raw, translated] = irp.resources();
    let resources = Resources::of(raw, translated);
    if is_success(status)
        && let Err(failed) = fdo.start(resources, &mut fdo.turn(at), at)
    {
        status = failed;
    }
    irp.complete(status, 0)
}

/// What is on the bus. The list goes down with the request: a driver below may know of more.
fn relations(fdo: &'static Fdo, mut irp: Irp, at: Passive<'_>) -> NTSTATUS {
    // SAFETY: the union member of this minor function.
    if unsafe { irp.stack().Parameters.QueryDeviceRelations.Type } != BusRelations {
        return irp.pass(fdo.lower());
    }
    let mut turn = fdo.turn(at);
    if fdo.may_scan(&mut turn) {
        scan::scan(fdo, &mut turn, at);
    }
    let units = fdo.units(&mut turn);
    // SAFETY: by convention this is such a list, from a driver above, or null.
    let Some(list) = (unsafe { with_units(irp.information() as *mut DEVICE_RELATIONS, units) }) else {
        drop(turn);
        return irp.complete(STATUS_INSUFFICIENT_RESOURCES, 0);
    };
    drop(turn);
    irp.set_information(list.as_ptr().expose_provenance());
    pass(fdo, irp)
}

/// `before` and the units that are there, each with a reference for the PnP manager, in a list of its own; `before` is freed.
/// `None` when memory has run out; then nothing has happened.
///
/// # Safety
/// `before` is null or a list from the pool that is nobody else's.
unsafe fn with_units(
    before: *mut DEVICE_RELATIONS,
    units: &[&'static Pdo],
) -> Option<NonNull<DEVICE_RELATIONS>> {
    const HEAD: usize = offset_of!(DEVICE_RELATIONS, Objects);
    let there = || units.iter().filter(|unit| !unit.gone.load(Ordering::Acquire));
    let before = NonNull::new(before);
    // SAFETY: the caller's contract: so many pointers follow the head.
    unsafe {
        let known = before.map_or(0, |list| list.as_ref().Count as usize);
        let count = known + there().count();
        let list =
            pool::give_away((HEAD + count * size_of::<PDEVICE_OBJECT>()).max(size_of::<DEVICE_RELATIONS>()))?;
        let list = list.cast::<DEVICE_RELATIONS>();
        (&raw mut (*list.as_ptr()).Count).write(count as u32);
        let objects = list.byte_add(HEAD).cast::<PDEVICE_OBJECT>();
        if let Some(before) = before {
            objects.copy_from_nonoverlapping(before.byte_add(HEAD).cast(), known);
            pool::free_given(before.cast());
        }
        for (index, unit) in there().enumerate() {
            let device = unit.device.as_ptr();
            ObfReferenceObject(device.cast());
            objects.add(known + index).write(device);
            unit.reported.store(true, Ordering::Release);
        }
        Some(list)
    }
}

/// The adapter goes. Units that the PnP manager still has to remove stay as device objects without an adapter (after a
/// surprise removal somebody may still have one open), all others go with it; then the miniport.
fn remove(fdo: &'static Fdo, mut irp: Irp, at: Passive<'_>) -> NTSTATUS {
    let tag = irp.tag();
    if let Err(status) = fdo.remove_lock.acquire(tag) {
        return irp.complete(status, 0);
    }
    let mut turn = fdo.turn(at);
    for unit in fdo.units(&mut turn).drain(..) {
        unit.close(at);
        unit.orphan();
        if !unit.reported.load(Ordering::Acquire) || unit.left.load(Ordering::Acquire) {
            // SAFETY: closed, out of the list, and the PnP manager does not know it, or has no more to say to it.
            unsafe { Pdo::destroy(unit, at) };
        }
    }
    drop(turn);
    fdo.remove_lock.release_and_wait(tag, at);
    if let Some(mut hosted) = fdo.hosted.close(at) {
        hosted.stop(at);
    }
    let lower = fdo.lower();
    irp.set_status(STATUS_SUCCESS);
    let status = irp.pass(lower);
    // SAFETY: the remove lock is drained, units and miniport are closed: no other reference is left.
    unsafe { Fdo::destroy(fdo) };
    status
}
