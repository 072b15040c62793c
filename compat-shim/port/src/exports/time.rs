//! Clocks.

use sluice_shim::storport::status::StorStatus;

use super::{Arguments, exports, setup::host};
use crate::{faults::count, port::Port, services::DISPATCH_LEVEL, types::WatchdogInformation};

/// Longest stall, in microseconds: beyond it the caller is mistaken.
const LONGEST_STALL: u32 = 1_000_000;

exports! { "Time";
    /// Waits so many microseconds without giving up the processor, at most a second.
    fn StorPortStallExecution(delay: u32) {
        if let Some(host) = host() {
            host.stall(delay.min(LONGEST_STALL));
        }
    }

    /// The time of day in 100 ns since 1601.
    fn StorPortQuerySystemTime(current_time: *mut i64) {
        if let (Some(host), false) = (host(), current_time.is_null()) {
            // SAFETY: the caller's contract.
            unsafe { current_time.write(host.system_time()) };
        }
    }
}

/// QueryPerformanceCounter(LARGE_INTEGER *frequency, LARGE_INTEGER *counter): the first may be null.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn performance_counter(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(place) = arguments.place::<i64>(1) else { return StorStatus::INVALID_PARAMETER };
    let (counter, frequency) = port.system().performance_counter();
    // SAFETY: the code's contract.
    unsafe {
        place.write(counter);
        if let Some(place) = arguments.place::<i64>(0) {
            place.write(frequency);
        }
    }
    StorStatus::SUCCESS
}

/// DelayExecution(ULONG microseconds): PASSIVE_LEVEL may wait; here it stalls, which is shorter than no wait.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn delay(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    if port.system().irql() > crate::services::PASSIVE_LEVEL {
        return StorStatus::INVALID_IRQL;
    }
    port.system().stall(arguments.long(0).min(LONGEST_STALL));
    StorStatus::SUCCESS
}

/// What QueryTickCount counts, in 100 ns.
pub(super) fn ticks(port: &Port) -> i64 {
    i64::try_from(port.system().now().saturating_mul(10)).unwrap_or(i64::MAX)
}

/// GetCurrentIrql(PUCHAR irql).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn current_irql(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(place) = arguments.place::<u8>(0) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract.
    unsafe { place.write(port.system().irql()) };
    StorStatus::SUCCESS
}

/// 100 ns between two ticks of Windows' clock, when nobody has asked for more.
const TICK: u32 = 156_250;

/// QueryTimerMinInterval(PULONG interval): a timer may be as late as a tick of the clock.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn shortest_timer(_port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(place) = arguments.place::<u32>(0) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract.
    unsafe { place.write(TICK) };
    StorStatus::SUCCESS
}

/// QueryDpcWatchdogInformation(STOR_DPC_WATCHDOG_INFORMATION *information): in a DPC.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn watchdog(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(place) = arguments.place::<WatchdogInformation>(0) else { return StorStatus::INVALID_PARAMETER };
    if port.system().irql() != DISPATCH_LEVEL {
        count(&port.faults().irql);
        return StorStatus::INVALID_IRQL;
    }
    match port.system().watchdog() {
        Some(information) => {
            // SAFETY: the code's contract.
            unsafe { place.write(information) };
            StorStatus::SUCCESS
        }
        None => StorStatus::UNSUCCESSFUL,
    }
}
