//! Timers, work items, spin locks and lists by extended function codes.

use core::{ffi::c_void, ptr, ptr::NonNull};

use sluice_shim::storport::status::StorStatus;

use super::{Arguments, address_at, routine};
use crate::{port::Port, types::LockHandle};

/// A handle for the miniport, or why there is none.
///
/// # Safety
/// The first argument is null or may be written.
unsafe fn handle(
    arguments: &Arguments<'_>,
    make: impl FnOnce() -> Result<*mut c_void, StorStatus>,
) -> StorStatus {
    let Some(place) = arguments.place::<*mut c_void>(0) else { return StorStatus::INVALID_PARAMETER };
    let made = make();
    // SAFETY: the caller's contract.
    unsafe { place.write(made.unwrap_or(ptr::null_mut())) };
    status(made.map(|_| ()))
}

fn status(result: Result<(), StorStatus>) -> StorStatus {
    result.err().unwrap_or(StorStatus::SUCCESS)
}

/// InitializeTimer(PVOID *handle).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn initialize_timer(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { handle(arguments, || port.initialize_timer()) }
}

/// RequestTimer(PVOID handle, HW_TIMER_EX callback, PVOID context, ULONGLONG microseconds, ULONGLONG tolerance).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn request_timer(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let (callback, context) = (routine(arguments.pointer(1)), arguments.pointer(2));
    status(port.request_timer(arguments.pointer(0), callback, context, arguments.word(3) as u64))
}

/// FreeTimer(PVOID handle).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn free_timer(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    port.free_timer(arguments.pointer(0))
}

/// InitializeWorker(PVOID *handle).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn initialize_worker(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { handle(arguments, || port.initialize_worker()) }
}

/// QueueWorkItem(HW_WORKITEM callback, PVOID handle, PVOID context).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn queue_work_item(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let callback = routine(arguments.pointer(0));
    status(port.queue_work_item(callback, arguments.pointer(1), arguments.pointer(2)))
}

/// FreeWorker(PVOID handle).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn free_worker(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    port.free_worker(arguments.pointer(0))
}

/// QueueWorkItemToNode(HW_WORKITEM callback, PVOID handle, PVOID context, ULONG node): on any processor.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn queue_work_item_to(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    if arguments.long(3) >= port.system().topology().nodes {
        return StorStatus::INVALID_PARAMETER;
    }
    // SAFETY: the code's contract.
    unsafe { queue_work_item(port, arguments) }
}

/// CancelDpc(STOR_DPC *dpc, BOOLEAN *waited).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn cancel_dpc(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(place) = arguments.place::<u8>(1) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract.
    unsafe {
        match port.cancel_dpc(arguments.pointer(0)) {
            Some(waited) => {
                place.write(u8::from(waited));
                StorStatus::SUCCESS
            }
            None => StorStatus::INVALID_PARAMETER,
        }
    }
}

/// AcquireSpinLock(STOR_SPINLOCK kind, PVOID context, STOR_LOCK_HANDLE *handle): as the notification, with an answer.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn acquire_spin_lock(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(handle) = arguments.place::<LockHandle>(2) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract: the handle is the caller's, and it need not be initialized.
    let held = unsafe {
        handle.write_bytes(0, 1);
        port.acquire_spin_lock(arguments.long(0), arguments.pointer(1), &mut *handle)
    };
    if held { StorStatus::SUCCESS } else { StorStatus::INVALID_PARAMETER }
}

/// CompleteServiceIrp(PVOID irp).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn complete_service_irp(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    match NonNull::new(arguments.pointer::<c_void>(0)) {
        Some(irp) => {
            // SAFETY: the code's contract: the host gave it the IRP.
            unsafe { port.services().complete_service_irp(irp) };
            StorStatus::SUCCESS
        }
        None => StorStatus::INVALID_PARAMETER,
    }
}

/// GetDeviceObjects(PVOID *adapter, PVOID *physical, PVOID *lower).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn device_objects(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(objects) = port.services().device_objects() else { return StorStatus::NOT_IMPLEMENTED };
    let places: [_; 3] = core::array::from_fn(|index| arguments.place::<*mut c_void>(index));
    let [Some(one), Some(two), Some(three)] = places else { return StorStatus::INVALID_PARAMETER };
    for (place, object) in [one, two, three].into_iter().zip(objects) {
        // SAFETY: the code's contract.
        unsafe { place.write(object) };
    }
    StorStatus::SUCCESS
}

/// SetUnitAttributes(STOR_ADDRESS *address, STOR_UNIT_ATTRIBUTES attributes).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn set_unit_attributes(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    let address = unsafe { address_at(arguments.pointer(0)) };
    match address.and_then(|address| port.unit(address)) {
        Some(unit) => {
            unit.attributes.store(arguments.long(1), core::sync::atomic::Ordering::Relaxed);
            StorStatus::SUCCESS
        }
        None => StorStatus::INVALID_PARAMETER,
    }
}

/// For what may be accepted and left: MarkDumpMemory (there are no dumps through this port) and the like.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn accept(_port: &Port, _arguments: &Arguments<'_>) -> StorStatus {
    StorStatus::SUCCESS
}

/// For everything else.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn not_implemented(_port: &Port, _arguments: &Arguments<'_>) -> StorStatus {
    StorStatus::NOT_IMPLEMENTED
}
