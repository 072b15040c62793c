//! The control device `\\.\SluiceControl`: how the `sluice` command lists, unlocks, locks and watches disks.

use core::{
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicPtr, Ordering},
};

use sluice_chain::stats::PointStats;
use sluice_control::{DiskEntry, ListWriter, PointCounters, Refusal, Request, Statistics, VERSION, state};
use wdk_sys::{
    DEVICE_OBJECT, DO_DEVICE_INITIALIZING, FILE_DEVICE_UNKNOWN, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE,
    IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL, NTSTATUS, PDEVICE_OBJECT, PDRIVER_OBJECT,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS,
    ntddk::{IoCreateSymbolicLink, IoDeleteSymbolicLink, IoGetDeviceProperty},
};
use zerocopy::{FromBytes, FromZeros};

use crate::{
    disk::{Disk, DiskState},
    identity,
    nt::{device, event::CriticalRegion, irp::Irp, irql::Passive, is_success, security, string::utf16},
    registry::{DISKS, Next},
    stages,
};

static DEVICE: AtomicPtr<DEVICE_OBJECT> = AtomicPtr::new(ptr::null_mut());

/// Whether `device` is the control device.
pub(crate) fn is_control(device: PDEVICE_OBJECT) -> bool {
    ptr::eq(device, DEVICE.load(Ordering::Acquire))
}

/// Creates the control device, for SYSTEM and administrators only, and its name for programs.
///
/// # Errors
/// What the kernel says; nothing is left behind.
///
/// # Safety
/// From DriverEntry, once: until it returns, nobody can open the device.
pub(crate) unsafe fn create(driver: PDRIVER_OBJECT, at: Passive<'_>) -> Result<(), NTSTATUS> {
    let (mut name, mut link) = (utf16!("\\Device\\SluiceControl"), utf16!("\\DosDevices\\SluiceControl"));
    // SAFETY: this driver; PASSIVE_LEVEL. The device needs no extension.
    let device = unsafe { device::create::<()>(driver, Some(&mut name), FILE_DEVICE_UNKNOWN)? };
    // SAFETY: just made, and nobody else knows it yet.
    let made = security::restrict(unsafe { &mut *device.as_ptr() }, at).and_then(|()| {
        // SAFETY: both names are valid strings.
        let status = unsafe { IoCreateSymbolicLink(&raw mut link, &raw mut name) };
        if is_success(status) { Ok(()) } else { Err(status) }
    });
    // SAFETY: as above.
    unsafe {
        if let Err(status) = made {
            device::delete(device);
            return Err(status);
        }
        (*device.as_ptr()).Flags &= !DO_DEVICE_INITIALIZING;
    }
    DEVICE.store(device.as_ptr(), Ordering::Release);
    Ok(())
}

/// Deletes the control device and its name.
///
/// # Safety
/// From DriverUnload: nobody has the device open. PASSIVE_LEVEL.
pub(crate) unsafe fn delete() {
    let mut link = utf16!("\\DosDevices\\SluiceControl");
    if let Some(device) = NonNull::new(DEVICE.swap(ptr::null_mut(), Ordering::AcqRel)) {
        // SAFETY: made by `create`.
        unsafe {
            let _ = IoDeleteSymbolicLink(&raw mut link);
            device::delete(device);
        }
    }
}

/// IRPs for the control device. PASSIVE_LEVEL, in the caller's thread.
pub(crate) fn dispatch(irp: Irp, at: Passive<'_>) -> NTSTATUS {
    match u32::from(irp.stack().MajorFunction) {
        IRP_MJ_CREATE | IRP_MJ_CLEANUP | IRP_MJ_CLOSE => irp.complete(STATUS_SUCCESS, 0),
        // Kernel callers only: the I/O manager makes no such request for a program.
        IRP_MJ_INTERNAL_DEVICE_CONTROL => stages::interface(irp),
        IRP_MJ_DEVICE_CONTROL => match serve_in_region(&irp, at) {
            Ok(written) => irp.complete(STATUS_SUCCESS, written),
            Err(refusal) => irp.complete(refusal.nt_status(), 0),
        },
        _ => irp.complete(STATUS_INVALID_DEVICE_REQUEST, 0),
    }
}

/// A thread that is suspended in here would keep PnP waiting for the disk it has hold of.
fn serve_in_region(irp: &Irp, at: Passive<'_>) -> Result<usize, Refusal> {
    let _region = CriticalRegion::enter(at);
    serve(irp, at)
}

/// Understands a request and carries it out; answers the bytes written.
fn serve(irp: &Irp, at: Passive<'_>) -> Result<usize, Refusal> {
    // SAFETY: the union member of this major function.
    let control = unsafe { irp.stack().Parameters.DeviceIoControl };
    if control.IoControlCode & 3 != 0 {
        return Err(Refusal::Code); // other methods' buffers are others
    }
    let (input, output) = (control.InputBufferLength as usize, control.OutputBufferLength as usize);
    // SAFETY: METHOD_BUFFERED: one system buffer as long as the longer of the two, input at its front.
    let buffer = match NonNull::new(irp.system_buffer()) {
        Some(buffer) => unsafe { slice::from_raw_parts_mut(buffer.as_ptr(), input.max(output)) },
        None => &mut [],
    };
    let request = Request::parse(control.IoControlCode, buffer.get(..input).ok_or(Refusal::Length)?);
    let request = request.inspect_err(|_| buffer.fill(0))?; // there may be a key in it
    let answer = buffer.get_mut(..output).ok_or(Refusal::Length)?;
    let found = |number| DISKS.find(|disk| disk.id == number).ok_or(Refusal::NoSuchDisk);
    match request {
        Request::List => list(answer, at),
        Request::ReadHeader(number) => identity::copy_header(found(number)?.member(), answer, at),
        Request::Unlock(mut unlock) => {
            // The key is in the request now, which wipes itself; the I/O manager's copy is wiped here.
            buffer.fill(0);
            let disk = found(unlock.disk)?;
            disk.member().unlock(Some((unlock.slot, &mut unlock.key)), at).map(|()| 0)
        }
        Request::UnlockOpen(number) => found(number)?.member().unlock(None, at).map(|()| 0),
        Request::Lock(number) => found(number)?.lock(at).map(|()| 0),
        Request::Statistics(number) => statistics(found(number)?.member(), answer, at),
    }
}

fn list(answer: &mut [u8], at: Passive<'_>) -> Result<usize, Refusal> {
    let mut list = ListWriter::new(answer).ok_or(Refusal::NoRoom)?;
    // One at a time from the oldest: the list is not locked while a disk describes itself.
    let mut after = 0;
    while let Some(next) = DISKS.next_after(after) {
        after = match next {
            Next::Here(disk) => {
                list.push(&describe(&disk, at));
                disk.id
            }
            Next::Going(number) => number,
        };
    }
    Ok(list.finish())
}

fn describe(disk: &Disk, at: Passive<'_>) -> DiskEntry {
    let mut turn = disk.turn.take(at);
    disk.identify_again(&mut turn, at);
    let identity = disk.identity.with(&mut turn);
    let mut entry = DiskEntry::new_zeroed();
    entry.id = disk.id;
    entry.state = match disk.state() {
        DiskState::Plain => state::PLAIN,
        DiskState::Locked => state::LOCKED,
        DiskState::Unlocked => state::UNLOCKED,
        DiskState::Damaged => state::DAMAGED,
        DiskState::Unreadable => state::UNREADABLE,
        DiskState::Removed => state::REMOVED,
    };
    entry.disk_bytes = identity.capacity.bytes();
    entry.sector_size = identity.capacity.sector_size;
    entry.last_error = identity.last_error.cast_unsigned();
    if let Some(header) = identity.header() {
        entry.uuid = header.uuid();
        entry.volume_bytes = header.volume_bytes();
        entry.slots = header.slots().fold(0, |slots, slot| slots | 1 << slot.index);
    }
    name(disk, &mut entry);
    entry
}

/// `DevicePropertyPhysicalDeviceObjectName`, without its terminating zero.
fn name(disk: &Disk, entry: &mut DiskEntry) {
    const PHYSICAL_DEVICE_OBJECT_NAME: i32 =
        wdk_sys::DEVICE_REGISTRY_PROPERTY::DevicePropertyPhysicalDeviceObjectName;
    let mut bytes = 0;
    // SAFETY: a live PDO, PASSIVE_LEVEL (the control device's dispatch), a buffer of the length given.
    let status = unsafe {
        let room = size_of_val(&entry.name) as u32;
        let buffer = entry.name.as_mut_ptr().cast();
        IoGetDeviceProperty(disk.pdo.as_ptr(), PHYSICAL_DEVICE_OBJECT_NAME, room, buffer, &raw mut bytes)
    };
    if is_success(status) {
        entry.name_length = (bytes / 2).saturating_sub(1).min(entry.name.len() as u32);
    }
}

fn statistics(disk: &Disk, answer: &mut [u8], at: Passive<'_>) -> Result<usize, Refusal> {
    let _turn = disk.turn.take(at); // the chain does not change meanwhile
    // Filled in where it goes: it is too large for a kernel stack.
    let place = answer.get_mut(..size_of::<Statistics>()).ok_or(Refusal::NoRoom)?;
    place.fill(0);
    let out = Statistics::mut_from_bytes(place).map_err(|_| Refusal::NoRoom)?;
    (out.version, out.disk) = (VERSION, disk.id);
    // A disk that is not unlocked has no counters: zeros, and no stages.
    let Some(inside) = disk.enter_volume() else { return Ok(size_of::<Statistics>()) };
    if let Some(volume) = disk.volume_while(&inside) {
        let unit = volume.unit();
        out.faults = volume.faults();
        copy(&unit.stats().dispatched, &mut out.dispatched);
        copy(&unit.stats().completed, &mut out.completed);
        for (slot, stage) in unit.chain().slots().zip(&mut out.stages) {
            stage.name = *slot.name();
            if let Some(ticket) = slot.ticket() {
                (stage.kind, stage.altitude) = (ticket.kind.0, ticket.altitude);
            }
            copy(&slot.stats().request, &mut stage.request);
            copy(&slot.stats().completion, &mut stage.completion);
            out.stage_count += 1;
        }
    }
    disk.leave_volume(inside);
    Ok(size_of::<Statistics>())
}

fn copy(from: &PointStats, to: &mut PointCounters) {
    to.requests = from.requests.load(Ordering::Relaxed);
    to.bytes = from.bytes.load(Ordering::Relaxed);
    to.errors = from.errors.load(Ordering::Relaxed);
    for (to, from) in to.latency.iter_mut().zip(&from.latency) {
        *to = from.load(Ordering::Relaxed);
    }
}
