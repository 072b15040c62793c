//! An adapter's power. This driver owns the power policy of the adapter's stack.
//!
//! ```text
//!   S-IRP ──► down ── is back ──► PoRequestPowerIrp ──► D-IRP ── done ──► the S-IRP is completed as the D-IRP was
//!   D3 ──► work: units held and drained, the miniport told ──► down
//!   D0 ──► down ── is back ──► work: the miniport told, the units go on ──► completed
//! ```
//!
//! Miniports are told at PASSIVE_LEVEL, and draining waits; power IRPs may come at DISPATCH_LEVEL: so a work item does that.
//! One is enough, as the power manager has one D-IRP under way in a stack. D0 serves while the machine works, and D3 in any
//! other state: nothing here wakes it. (Windows Driver Kit, "Sending a Device Set-Power IRP in Response to a System
//! Set-Power IRP".)

use core::{
    ptr::{self, NonNull},
    sync::atomic::Ordering,
};

use wdk_sys::{
    _DEVICE_POWER_STATE::{PowerDeviceD0, PowerDeviceD3},
    _POWER_STATE_TYPE::{DevicePowerState, SystemPowerState},
    _SYSTEM_POWER_STATE::PowerSystemWorking,
    IRP, IRP_MN_QUERY_POWER, IRP_MN_SET_POWER, NTSTATUS, PDEVICE_OBJECT, PIO_COMPLETION_ROUTINE,
    PIO_STATUS_BLOCK, PIRP, POWER_STATE, PVOID, STATUS_DEVICE_BUSY, STATUS_MORE_PROCESSING_REQUIRED,
    STATUS_PENDING, STATUS_SUCCESS,
    ntddk::PoRequestPowerIrp,
};

use super::fdo::{Fdo, Rest};
use crate::{
    nt::{irp::Irp, irql::Passive, is_success},
    role::Role,
};

/// A device's power, as a SET_POWER sets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Power {
    /// POWER_ACTION, which is STOR_POWER_ACTION: why.
    pub(super) action: u32,
    /// DEVICE_POWER_STATE, which is STOR_DEVICE_POWER_STATE.
    pub(super) state: u32,
}

impl Power {
    /// The device works, for no particular reason.
    pub(super) const ON: Self = Self { action: 0, state: PowerDeviceD0.cast_unsigned() };

    /// What an IRP sets, if it does.
    pub(super) fn set_by(irp: &Irp) -> Option<Self> {
        let stack = irp.stack();
        // SAFETY: the union's member of this major function.
        let asked = unsafe { &stack.Parameters.Power };
        // SAFETY: a device's state, as the type says.
        let state = || unsafe { asked.State.DeviceState };
        let is_set = u32::from(stack.MinorFunction) == IRP_MN_SET_POWER && asked.Type == DevicePowerState;
        is_set.then(|| Self { action: asked.ShutdownType.cast_unsigned(), state: state().cast_unsigned() })
    }

    /// Whether it has any use of it.
    pub(super) fn is_on(self) -> bool {
        self.state == PowerDeviceD0.cast_unsigned()
    }
}

/// IRP_MJ_POWER. Up to DISPATCH_LEVEL.
pub(crate) fn dispatch(fdo: &'static Fdo, irp: Irp) -> NTSTATUS {
    let tag = irp.tag();
    if let Err(status) = fdo.remove_lock.acquire(tag) {
        return irp.complete_power(status);
    }
    let power = Power::set_by(&irp);
    if power.is_some() && fdo.powering.swap(true, Ordering::AcqRel) {
        let status = irp.complete_power(STATUS_DEVICE_BUSY);
        fdo.remove_lock.release(tag);
        return status;
    }
    match power {
        Some(power) if power.is_on() => pass_and_see(fdo, irp, Some(on)),
        Some(_) => {
            let irp = irp.keep();
            // SAFETY: `powering` says that it is not queued; the IRP is kept, with the remove lock.
            unsafe { fdo.work.queue(change, irp.as_ptr().cast()) };
            STATUS_PENDING
        }
        None if asked_of_the_system(&irp).is_some() => pass_and_see(fdo, irp, Some(system_agrees)),
        None => {
            let status = irp.pass_power(fdo.lower());
            fdo.remove_lock.release(tag);
            status
        }
    }
}

/// Passes an IRP that comes back to `routine`, with the remove lock held.
fn pass_and_see(fdo: &'static Fdo, irp: Irp, routine: PIO_COMPLETION_ROUTINE) -> NTSTATUS {
    irp.mark_pending();
    // SAFETY: the device object outlives the lock, which is released when the IRP has been seen to.
    let _ = unsafe { irp.pass_and_see(fdo.lower(), routine, ptr::from_ref(fdo).cast_mut().cast()) };
    STATUS_PENDING
}

/// The minor function and the device's state that goes with the system's, if the IRP asks about that or sets it.
fn asked_of_the_system(irp: &Irp) -> Option<(u8, POWER_STATE)> {
    let stack = irp.stack();
    // SAFETY: the union's member of this major function.
    let asked = unsafe { &stack.Parameters.Power };
    let minor = matches!(u32::from(stack.MinorFunction), IRP_MN_SET_POWER | IRP_MN_QUERY_POWER);
    if !minor || asked.Type != SystemPowerState {
        return None;
    }
    // SAFETY: the system's state, as the type says.
    let works = unsafe { asked.State.SystemState } == PowerSystemWorking;
    Some((
        stack.MinorFunction,
        POWER_STATE { DeviceState: if works { PowerDeviceD0 } else { PowerDeviceD3 } },
    ))
}

/// The drivers below have seen a system's power IRP: now the device's goes through the stack. Up to DISPATCH_LEVEL.
unsafe extern "C" fn system_agrees(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: `dispatch` holds the remove lock for this IRP, so that the adapter is there.
    let fdo = unsafe { &*context.cast::<Fdo>() };
    let Some(found) = NonNull::new(irp) else { return STATUS_SUCCESS };
    // SAFETY: in its completion routine the IRP is this driver's.
    let returned = unsafe { Irp::take(found) };
    let status = returned.status();
    let asked = asked_of_the_system(&returned).filter(|_| is_success(status));
    // Kept before the other is asked for, with which this one may end at once.
    let kept = returned.keep();
    let asked = asked.map(|(minor, state)| {
        let context = kept.as_ptr().cast();
        // SAFETY: the adapter's own device, whose role the routine asks for; the IRP is kept until that has run.
        unsafe {
            PoRequestPowerIrp(
                fdo.device().as_ptr(),
                minor,
                state,
                Some(device_done),
                context,
                ptr::null_mut(),
            )
        }
    });
    match asked {
        Some(STATUS_PENDING) => STATUS_MORE_PROCESSING_REQUIRED,
        outcome => {
            // SAFETY: kept above, and nobody has been given it.
            unsafe { Irp::take(kept) }.set_status(outcome.unwrap_or(status));
            fdo.remove_lock.release(irp.cast());
            // STATUS_CONTINUE_COMPLETION
            STATUS_SUCCESS
        }
    }
}

/// The device's power IRP is done, and with it the system's. Up to DISPATCH_LEVEL.
unsafe extern "C" fn device_done(
    device: PDEVICE_OBJECT,
    _minor: u8,
    _state: POWER_STATE,
    context: PVOID,
    outcome: PIO_STATUS_BLOCK,
) {
    // SAFETY: `system_agrees` gave the adapter's device and its IRP, with the remove lock held for it.
    unsafe {
        let (Role::Adapter(fdo), Some(irp)) = (Role::of(device), NonNull::new(context.cast::<IRP>())) else {
            return;
        };
        Irp::take(irp).complete_power((*outcome).__bindgen_anon_1.Status);
        fdo.remove_lock.release(context);
    }
}

/// The bus has given the device its power. Up to DISPATCH_LEVEL.
unsafe extern "C" fn on(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: `dispatch` holds the remove lock for this IRP, so that the adapter is there.
    let fdo = unsafe { &*context.cast::<Fdo>() };
    // SAFETY: in its completion routine the IRP is this driver's, and stays so if more is to be done.
    if let Some(found) = NonNull::new(irp).map(|irp| unsafe { Irp::take(irp) })
        && is_success(found.status())
    {
        // SAFETY: `powering` says that it is not queued; the IRP is kept, with the remove lock.
        unsafe { fdo.work.queue(change, found.keep().as_ptr().cast()) };
        return STATUS_MORE_PROCESSING_REQUIRED;
    }
    fdo.powering.store(false, Ordering::Release);
    fdo.remove_lock.release(irp.cast());
    // STATUS_CONTINUE_COMPLETION
    STATUS_SUCCESS
}

/// What is done at PASSIVE_LEVEL for a device's power IRP: before it goes down, or when it is back.
unsafe extern "C" fn change(device: PDEVICE_OBJECT, irp: PVOID) {
    // SAFETY: queued by an adapter with its IRP and the remove lock held for that; in a system thread.
    let (role, found, at) = unsafe { (Role::of(device), NonNull::new(irp.cast::<IRP>()), Passive::assume()) };
    let (Role::Adapter(fdo), Some(found)) = (role, found) else { return };
    // SAFETY: kept for this routine.
    let found = unsafe { Irp::take(found) };
    let power = Power::set_by(&found).unwrap_or(Power::ON);
    if power.is_on() {
        // A device that does not come back says so of each request.
        let _ = fdo.wake(Rest::Unpowered(power), &mut fdo.turn(at), at);
        fdo.powering.store(false, Ordering::Release);
        let status = found.status();
        found.complete_power(status);
    } else {
        fdo.rest(Rest::Unpowered(power), &mut fdo.turn(at), at);
        fdo.powering.store(false, Ordering::Release);
        pass_and_see(fdo, found, Some(down));
        return;
    }
    fdo.remove_lock.release(irp);
}

/// The bus has taken the device's power. Up to DISPATCH_LEVEL.
unsafe extern "C" fn down(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: `change` has held the remove lock until here.
    unsafe { (*context.cast::<Fdo>()).remove_lock.release(irp.cast()) };
    // STATUS_CONTINUE_COMPLETION
    STATUS_SUCCESS
}
