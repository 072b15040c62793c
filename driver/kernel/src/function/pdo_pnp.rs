//! Plug and Play for a unit: who it is, and its comings and goings.

use core::{
    mem::size_of,
    ptr::{self, NonNull},
    sync::atomic::Ordering,
};

use sluice_shim::enumeration::identifiers::{self, Text};
use wdk_sys::{
    _DEVICE_RELATION_TYPE::TargetDeviceRelation, _INTERFACE_TYPE::PNPBus, DEVICE_CAPABILITIES,
    DEVICE_RELATIONS, GUID, IRP_MN_CANCEL_REMOVE_DEVICE, IRP_MN_CANCEL_STOP_DEVICE,
    IRP_MN_DEVICE_USAGE_NOTIFICATION, IRP_MN_QUERY_BUS_INFORMATION, IRP_MN_QUERY_CAPABILITIES,
    IRP_MN_QUERY_DEVICE_RELATIONS, IRP_MN_QUERY_DEVICE_TEXT, IRP_MN_QUERY_ID, IRP_MN_QUERY_REMOVE_DEVICE,
    IRP_MN_QUERY_STOP_DEVICE, IRP_MN_REMOVE_DEVICE, IRP_MN_START_DEVICE, IRP_MN_STOP_DEVICE,
    IRP_MN_SURPRISE_REMOVAL, NTSTATUS, PNP_BUS_INFORMATION, STATUS_DEVICE_BUSY, STATUS_DEVICE_DOES_NOT_EXIST,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED, STATUS_SUCCESS,
    ntddk::ObfReferenceObject,
};

use super::{hosted::UnitNews, pdo::Pdo};
use crate::nt::{irp::Irp, irql::Passive, pool};

/// GUID_DEVCLASS_SCSIADAPTER stands for the bus as well: Windows defines no GUID for a SCSI bus.
const BUS: GUID = GUID {
    Data1: 0x4d36_e97b,
    Data2: 0xe325,
    Data3: 0x11ce,
    Data4: [0xbf, 0xc1, 0x08, 0x00, 0x2b, 0xe1, 0x03, 0x18],
};

/// `DEVICE_USAGE_NOTIFICATION_TYPE`.
const PAGING: i32 = 1;

/// IRP_MJ_PNP. The I/O manager calls it at PASSIVE_LEVEL in a system thread.
pub(crate) fn dispatch(pdo: &'static Pdo, irp: Irp, at: Passive<'_>) -> NTSTATUS {
    match u32::from(irp.stack().MinorFunction) {
        IRP_MN_START_DEVICE if pdo.gone.load(Ordering::Acquire) => {
            irp.complete(STATUS_DEVICE_DOES_NOT_EXIST, 0)
        }
        IRP_MN_QUERY_REMOVE_DEVICE if pdo.paging_files.load(Ordering::Acquire) > 0 => {
            irp.complete(STATUS_DEVICE_BUSY, 0)
        }
        IRP_MN_START_DEVICE => {
            pdo.left.store(false, Ordering::Release);
            tell(pdo, UnitNews::Started, at);
            irp.complete(STATUS_SUCCESS, 0)
        }
        // The class driver above holds its requests back while its device is stopped.
        IRP_MN_QUERY_STOP_DEVICE
        | IRP_MN_CANCEL_STOP_DEVICE
        | IRP_MN_STOP_DEVICE
        | IRP_MN_QUERY_REMOVE_DEVICE
        | IRP_MN_CANCEL_REMOVE_DEVICE => irp.complete(STATUS_SUCCESS, 0),
        IRP_MN_SURPRISE_REMOVAL => {
            tell(pdo, UnitNews::Pulled, at);
            pdo.close(at);
            irp.complete(STATUS_SUCCESS, 0)
        }
        IRP_MN_REMOVE_DEVICE => remove(pdo, irp, at),
        IRP_MN_QUERY_ID => identifier(pdo, irp),
        IRP_MN_QUERY_DEVICE_TEXT => text(pdo, irp),
        IRP_MN_QUERY_CAPABILITIES => capabilities(pdo, irp),
        IRP_MN_QUERY_BUS_INFORMATION => bus_information(pdo, irp),
        IRP_MN_QUERY_DEVICE_RELATIONS => relations(pdo, irp),
        IRP_MN_DEVICE_USAGE_NOTIFICATION => usage(pdo, irp),
        // A unit has no resources, no interfaces, no configuration space.
        _ => irp.complete_as_it_is(),
    }
}

/// Tells the miniport of the unit, as long as there is one.
fn tell(pdo: &Pdo, what: UnitNews, at: Passive<'_>) {
    pdo.with_line(|line| line.hosted().tell(pdo.address, what, at));
}

/// The drivers above have gone. A unit that is still on the bus stays, and can be started again: the PnP manager holds on to
/// it (a disabled disk) until it is missing from a report, and then has it removed once more. One that is not there, goes.
fn remove(pdo: &'static Pdo, irp: Irp, at: Passive<'_>) -> NTSTATUS {
    pdo.claimed.store(false, Ordering::Release);
    pdo.paging_files.store(0, Ordering::Release);
    tell(pdo, UnitNews::Removed, at);
    if !pdo.gone.load(Ordering::Acquire) {
        pdo.unlock();
        pdo.left.store(true, Ordering::Release);
        return irp.complete(STATUS_SUCCESS, 0);
    }
    pdo.close(at);
    if let Some(fdo) = pdo.fdo() {
        fdo.units(&mut fdo.turn(at)).retain(|one| !ptr::eq(*one, pdo));
    }
    let status = irp.complete(STATUS_SUCCESS, 0);
    // SAFETY: closed, in no list; the drivers above have seen to their requests, and this was the last.
    unsafe { Pdo::destroy(pdo, at) };
    status
}

/// IRP_MN_QUERY_ID. Below is nobody: what is not known here stays as it is.
fn identifier(pdo: &Pdo, irp: Irp) -> NTSTATUS {
    use wdk_sys::_BUS_QUERY_ID_TYPE as id;
    // SAFETY: the union member of this minor function.
    let wanted = unsafe { irp.stack().Parameters.QueryId.IdType };
    let Some(profile) = pdo.profile() else { return irp.complete_as_it_is() };
    let text = match wanted {
        id::BusQueryDeviceID => identifiers::device(profile),
        id::BusQueryHardwareIDs => identifiers::hardware(profile),
        id::BusQueryCompatibleIDs => identifiers::compatible(profile),
        id::BusQueryInstanceID => identifiers::instance(pdo.address),
        _ => return irp.complete_as_it_is(),
    };
    answer_text(irp, &text)
}

/// IRP_MN_QUERY_DEVICE_TEXT, in the one language there is.
fn text(pdo: &Pdo, irp: Irp) -> NTSTATUS {
    use wdk_sys::_DEVICE_TEXT_TYPE as text;
    // SAFETY: the union member of this minor function.
    let wanted = unsafe { irp.stack().Parameters.QueryDeviceText.DeviceTextType };
    let Some(profile) = pdo.profile() else { return irp.complete_as_it_is() };
    let text = match wanted {
        text::DeviceTextDescription => identifiers::description(profile),
        text::DeviceTextLocationInformation => identifiers::location(pdo.address),
        _ => return irp.complete_as_it_is(),
    };
    answer_text(irp, &text)
}

fn answer_text(irp: Irp, text: &Text) -> NTSTATUS {
    let units = text.as_units();
    match pool::give_away(size_of_val(units)) {
        Some(block) => {
            // SAFETY: so many bytes were just allocated, aligned for anything.
            unsafe { block.cast::<u16>().copy_from_nonoverlapping(NonNull::from(units).cast(), units.len()) };
            irp.complete(STATUS_SUCCESS, block.as_ptr().expose_provenance())
        }
        None => irp.complete(STATUS_INSUFFICIENT_RESOURCES, 0),
    }
}

/// IRP_MN_QUERY_CAPABILITIES: nothing that could be unplugged by itself; an instance identifier that is unique on its
/// adapter only; off whenever the machine is.
fn capabilities(pdo: &Pdo, irp: Irp) -> NTSTATUS {
    use wdk_sys::{_DEVICE_POWER_STATE as device, _SYSTEM_POWER_STATE as system};
    // SAFETY: the union member of this minor function; the structure is the sender's.
    let place = unsafe { irp.stack().Parameters.DeviceCapabilities.Capabilities.as_mut() };
    let Some(found) =
        place.filter(|one| one.Version == 1 && usize::from(one.Size) >= size_of::<DEVICE_CAPABILITIES>())
    else {
        return irp.complete(STATUS_INVALID_PARAMETER, 0);
    };
    // SAFETY: the union member whose bits these are.
    found.set_UniqueID(0);
    found.set_SilentInstall(1);
    found.set_SurpriseRemovalOK(0);
    found.Address = u32::from(pdo.address.lun);
    found.UINumber = u32::from(pdo.address.lun);
    for (state, power) in found.DeviceState.iter_mut().enumerate() {
        *power = match state as i32 {
            system::PowerSystemUnspecified => device::PowerDeviceUnspecified,
            system::PowerSystemWorking => device::PowerDeviceD0,
            _ => device::PowerDeviceD3,
        };
    }
    found.SystemWake = system::PowerSystemUnspecified;
    found.DeviceWake = device::PowerDeviceUnspecified;
    irp.complete(STATUS_SUCCESS, 0)
}

/// IRP_MN_QUERY_BUS_INFORMATION.
fn bus_information(pdo: &Pdo, irp: Irp) -> NTSTATUS {
    let Some(block) = pool::give_away(size_of::<PNP_BUS_INFORMATION>()) else {
        return irp.complete(STATUS_INSUFFICIENT_RESOURCES, 0);
    };
    let bus = PNP_BUS_INFORMATION {
        BusTypeGuid: BUS,
        LegacyBusType: PNPBus,
        BusNumber: u32::from(pdo.address.path),
    };
    // SAFETY: just allocated with this size, aligned for anything.
    unsafe { block.cast().write(bus) };
    irp.complete(STATUS_SUCCESS, block.as_ptr().expose_provenance())
}

/// The target device relation is the device itself.
fn relations(pdo: &Pdo, irp: Irp) -> NTSTATUS {
    // SAFETY: the union member of this minor function.
    if unsafe { irp.stack().Parameters.QueryDeviceRelations.Type } != TargetDeviceRelation {
        return irp.complete_as_it_is();
    }
    let Some(block) = pool::give_away(size_of::<DEVICE_RELATIONS>()) else {
        return irp.complete(STATUS_INSUFFICIENT_RESOURCES, 0);
    };
    // SAFETY: just allocated with this size; a live device object, which the receiver dereferences.
    unsafe {
        ObfReferenceObject(pdo.device.as_ptr().cast());
        block.cast().write(DEVICE_RELATIONS { Count: 1, Objects: [pdo.device.as_ptr()] });
    }
    irp.complete(STATUS_SUCCESS, block.as_ptr().expose_provenance())
}

/// A page file keeps the unit from being removed. Hibernation and dump files are written by a stack of their own, which
/// this port does not have.
fn usage(pdo: &Pdo, irp: Irp) -> NTSTATUS {
    // SAFETY: the union member of this minor function.
    let usage = unsafe { irp.stack().Parameters.UsageNotification };
    let arrives = usage.InPath != 0;
    if usage.Type == PAGING {
        pdo.paging_files.fetch_add(if arrives { 1 } else { -1 }, Ordering::AcqRel);
    } else if arrives {
        return irp.complete(STATUS_NOT_SUPPORTED, 0);
    }
    irp.complete(STATUS_SUCCESS, 0)
}
