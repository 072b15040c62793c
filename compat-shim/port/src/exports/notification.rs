//! StorPortNotification.

use core::ffi::c_void;

use sluice_shim::storport::status::StorStatus;

use super::{Arguments, address_at, codes, exports, routine, time, with_port};
use crate::{faults::count, port::Port, services::Event, types::LockHandle};

/// How long requests wait for a link, in microseconds: as long as the class driver's patience with one.
const LINK_WAIT: u64 = 30_000_000;
/// Most bytes of a WMI event.
const MOST_WMI: u32 = 64 << 10;

exports! { "Notification";
    /// Dispatches by the type of notification, which see.
    fn StorPortNotification(
        notification_type: u32,
        hw_device_extension: *mut c_void,
        a0: usize, a1: usize, a2: usize, a3: usize,
        a4: usize, a5: usize, a6: usize, a7: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, (), |port| {
                let Some(row) = codes::notification(notification_type) else {
                    return count(&port.faults().argument);
                };
                let words = [a0, a1, a2, a3, a4, a5, a6, a7];
                let words = words.get(..row.arguments).unwrap_or(&words);
                (row.handler)(port, &Arguments(words));
            });
        }
    }
}

/// Writes a result to an optional place.
///
/// # Safety
/// The argument is null or may be written.
unsafe fn put<T>(arguments: &Arguments<'_>, index: usize, value: T) {
    if let Some(place) = arguments.place::<T>(index) {
        // SAFETY: the caller's contract.
        unsafe { place.write(value) };
    }
}

/// RequestComplete(SRB).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn request_complete(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    port.request_complete(arguments.pointer(0));
    StorStatus::SUCCESS
}

/// ResetDetected().
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn reset_detected(port: &Port, _arguments: &Arguments<'_>) -> StorStatus {
    port.reset_detected();
    StorStatus::SUCCESS
}

/// RequestTimerCall(HwStorTimer routine, ULONG microseconds).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn request_timer_call(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    port.request_timer_call(arguments.pointer(0), arguments.long(1));
    StorStatus::SUCCESS
}

/// BusChangeDetected(UCHAR path).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn bus_change_detected(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    port.services().event(Event::BusChanged(Some(arguments.byte(0))));
    StorStatus::SUCCESS
}

/// WMIEvent(PVOID event, UCHAR path, UCHAR target, UCHAR lun): a WNODE, whose first field is its length.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn wmi_event(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(event) = arguments.place::<u32>(0) else {
        count(&port.faults().argument);
        return StorStatus::INVALID_PARAMETER;
    };
    // SAFETY: the code's contract.
    let length = unsafe { event.read() };
    if !(4..=MOST_WMI).contains(&length) {
        count(&port.faults().argument);
        return StorStatus::INVALID_PARAMETER;
    }
    let (path, target, lun) = (arguments.byte(1), arguments.byte(2), arguments.byte(3));
    let address = (path != u8::MAX).then_some(sluice_shim::storport::srb::Address { path, target, lun });
    // SAFETY: as above: it is as long as it says.
    let event = unsafe { core::slice::from_raw_parts(event.cast::<u8>(), length as usize) };
    port.services().wmi_event(address, event);
    StorStatus::SUCCESS
}

/// LinkUp(): requests go on.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn link_up(port: &Port, _arguments: &Arguments<'_>) -> StorStatus {
    port.gate().resume();
    port.signal_flow();
    port.services().event(Event::Link(true));
    StorStatus::SUCCESS
}

/// LinkDown(): nothing is started until the link is up, or [`LINK_WAIT`] is over: the miniport then answers what it can.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn link_down(port: &Port, _arguments: &Arguments<'_>) -> StorStatus {
    port.gate().pause(port.system().now().saturating_add(LINK_WAIT));
    port.signal_flow();
    port.services().event(Event::Link(false));
    StorStatus::SUCCESS
}

/// QueryTickCount(LARGE_INTEGER *ticks).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn query_tick_count(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { put(arguments, 0, time::ticks(port)) };
    StorStatus::SUCCESS
}

/// EnablePassiveInitialization(routine, PBOOLEAN done).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn enable_passive(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let done = port.enable_passive_initialization(arguments.pointer(0));
    // SAFETY: the code's contract.
    unsafe { put(arguments, 1, u8::from(done)) };
    StorStatus::SUCCESS
}

/// InitializeDpc(STOR_DPC *dpc, routine).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn initialize_dpc(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { port.initialize_dpc(arguments.pointer(0), routine(arguments.pointer(1))) };
    StorStatus::SUCCESS
}

/// IssueDpc(STOR_DPC *dpc, PVOID argument1, PVOID argument2, PBOOLEAN queued).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn issue_dpc(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe {
        let queued = port.issue_dpc(arguments.pointer(0), [arguments.pointer(1), arguments.pointer(2)]);
        put(arguments, 3, u8::from(queued));
    }
    StorStatus::SUCCESS
}

/// AcquireSpinLock(STOR_SPINLOCK kind, PVOID context, STOR_LOCK_HANDLE *handle).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn acquire_spin_lock(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(handle) = arguments.place::<LockHandle>(2) else {
        count(&port.faults().argument);
        return StorStatus::INVALID_PARAMETER;
    };
    // SAFETY: the code's contract: the handle is the caller's, and it need not be initialized.
    unsafe {
        handle.write_bytes(0, 1);
        port.acquire_spin_lock(arguments.long(0), arguments.pointer(1), &mut *handle);
    }
    StorStatus::SUCCESS
}

/// ReleaseSpinLock(STOR_LOCK_HANDLE *handle).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn release_spin_lock(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    match arguments.place::<LockHandle>(0) {
        // SAFETY: the code's contract: integers, for which any bytes are valid.
        Some(handle) => port.release_spin_lock(unsafe { &mut *handle }),
        None => count(&port.faults().argument),
    }
    StorStatus::SUCCESS
}

/// `HW_STATE_CHANGE`.
type HwStateChange = unsafe extern "system" fn(
    device_extension: *mut c_void,
    context: *mut c_void,
    address_type: u32,
    address: *mut c_void,
    status: u32,
);

/// StateChangeDetectedCall(ULONG entity, STOR_ADDRESS *address, ULONG attributes, HW_STATE_CHANGE callback, PVOID context,
/// PULONG status): the host is told, and the callback is called at once, since nothing is waited for.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn state_change_detected(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    let address = unsafe { address_at(arguments.pointer(1)) };
    let status = match address {
        Some(address) => {
            port.services().event(Event::UnitChanged(address, arguments.long(2)));
            StorStatus::SUCCESS
        }
        None => StorStatus::INVALID_PARAMETER,
    };
    let callback: Option<HwStateChange> = routine(arguments.pointer(3));
    // SAFETY: as above.
    unsafe {
        put(arguments, 5, status.0);
        if let (Some(callback), StorStatus::SUCCESS) = (callback, status) {
            let (context, address) = (arguments.pointer(4), arguments.pointer(1));
            callback(port.extension(), context, arguments.long(0), address, status.0);
        }
    }
    status
}

/// AsyncNotificationDetected(STOR_ADDRESS *address, ULONGLONG flags, PULONG status).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn async_notification(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    let address = unsafe { address_at(arguments.pointer(0)) };
    port.services().event(Event::Notification(address, arguments.word(1) as u64));
    // SAFETY: as above.
    unsafe { put(arguments, 2, StorStatus::SUCCESS.0) };
    StorStatus::SUCCESS
}

/// MarkDeviceFailed(STOR_ADDRESS *address, ULONG flags, PWSTR reason), and Ex with more of the kind.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn mark_device_failed(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    let address = unsafe { address_at(arguments.pointer(0)) };
    port.services().event(Event::MarkedFailed(address));
    StorStatus::SUCCESS
}

/// BufferOverrunDetected(): a miniport that has written where it should not have is no longer to be trusted.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn buffer_overrun(port: &Port, _arguments: &Arguments<'_>) -> StorStatus {
    port.services().event(Event::MarkedFailed(None));
    StorStatus::SUCCESS
}
