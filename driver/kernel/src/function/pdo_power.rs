//! A unit's power. The class driver above has flushed it, stopped it and locked its queue, or will start it and unlock the
//! queue; what the adapter's power holds back waits in the unit. So there is nothing to do but to tell a miniport that wants
//! to know, at PASSIVE_LEVEL.

use core::{ptr::NonNull, sync::atomic::Ordering};

use sluice_chain::rundown::Inside;
use wdk_sys::{
    IRP, IRP_MN_QUERY_POWER, IRP_MN_SET_POWER, NTSTATUS, PDEVICE_OBJECT, PVOID, STATUS_PENDING,
    STATUS_SUCCESS,
};

use super::{fdo_power::Power, hosted::UnitNews, pdo::Pdo};
use crate::{
    completion::Served,
    nt::{irp::Irp, irql::Passive},
    role::Role,
};

/// IRP_MJ_POWER. Up to DISPATCH_LEVEL.
pub(crate) fn dispatch(pdo: &'static Pdo, irp: Irp) -> NTSTATUS {
    if !matches!(u32::from(irp.stack().MinorFunction), IRP_MN_SET_POWER | IRP_MN_QUERY_POWER) {
        let status = irp.status();
        return irp.complete_power(status);
    }
    if Power::set_by(&irp).is_some()
        && let Some(inside) = pdo.enter()
    {
        let hears = pdo.line(&inside).is_some_and(|line| line.hosted().hears_of_units());
        if hears && !pdo.powering.swap(true, Ordering::AcqRel) {
            inside.forget();
            // SAFETY: `powering` says that it is not queued; the IRP is kept, inside the unit.
            unsafe { pdo.work.queue(tell, irp.keep().as_ptr().cast()) };
            return STATUS_PENDING;
        }
        pdo.leave(inside);
    }
    irp.complete_power(STATUS_SUCCESS)
}

/// Tells the miniport, and answers.
unsafe extern "C" fn tell(device: PDEVICE_OBJECT, irp: PVOID) {
    // SAFETY: queued by a unit with its IRP, inside; in a system thread.
    let (role, found, inside, at) = unsafe {
        (Role::of(device), NonNull::new(irp.cast::<IRP>()), Inside::remembered(), Passive::assume())
    };
    if let (Role::Unit(pdo), Some(found)) = (role, found) {
        // SAFETY: kept for this routine.
        let irp = unsafe { Irp::take(found) };
        if let (Some(line), Some(power)) = (pdo.line(&inside), Power::set_by(&irp)) {
            line.hosted().tell(pdo.address, UnitNews::Power(power), at);
        }
        pdo.powering.store(false, Ordering::Release);
        irp.complete_power(STATUS_SUCCESS);
        pdo.leave(inside);
    }
}
