//! An adapter's power: its miniport stops before the device loses it, and goes on when the device has it again.
//!
//! Only the device's own state is followed. Nobody here asks for it when the machine goes to sleep: an adapter on a real bus
//! is not brought back afterwards as it should be. See `docs/testing.md`.

use core::ptr::{self, NonNull};

use wdk_sys::{
    _DEVICE_POWER_STATE::PowerDeviceD0, _POWER_STATE_TYPE::DevicePowerState, IRP_MN_SET_POWER, NTSTATUS,
    PDEVICE_OBJECT, PIRP, PVOID, STATUS_SUCCESS,
};

use super::fdo::Fdo;
use crate::nt::irp::Irp;

/// IRP_MJ_POWER. Up to DISPATCH_LEVEL.
pub(crate) fn dispatch(fdo: &'static Fdo, irp: Irp) -> NTSTATUS {
    let tag = irp.tag();
    if let Err(status) = fdo.remove_lock.acquire(tag) {
        return irp.complete_power(status);
    }
    let up = set_to(&irp);
    if up == Some(true) {
        // SAFETY: the device object outlives the lock, which the routine releases.
        return unsafe { irp.pass_and_see(fdo.lower(), Some(on), ptr::from_ref(fdo).cast_mut().cast()) };
    }
    if up == Some(false) {
        // Stopping cannot fail.
        let _ = fdo.hosted.with(|hosted| hosted.power(false));
    }
    let status = irp.pass_power(fdo.lower());
    fdo.remove_lock.release(tag);
    status
}

/// Whether the device is to have power, if that is what it is about.
fn set_to(irp: &Irp) -> Option<bool> {
    let stack = irp.stack();
    // SAFETY: the union's member of this major function.
    let asked = unsafe { &stack.Parameters.Power };
    // SAFETY: a device's state, as the type says.
    let state = || unsafe { asked.State.DeviceState };
    let is_set = u32::from(stack.MinorFunction) == IRP_MN_SET_POWER && asked.Type == DevicePowerState;
    is_set.then(|| state() == PowerDeviceD0)
}

/// The bus has given the device its power.
unsafe extern "C" fn on(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: `dispatch` holds the remove lock for this IRP, so that the adapter is there.
    let fdo = unsafe { &*context.cast::<Fdo>() };
    // A device that does not come back answers NOT READY.
    let _ = fdo.hosted.with(|hosted| hosted.power(true));
    if let Some(irp) = NonNull::new(irp) {
        // SAFETY: in its completion routine the IRP is this driver's, and goes on upwards when that returns.
        let _irp = unsafe { Irp::returned(irp) };
    }
    fdo.remove_lock.release(irp.cast());
    STATUS_SUCCESS
}
