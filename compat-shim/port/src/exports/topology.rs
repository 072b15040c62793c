//! Processors, groups and nodes; interrupt messages.

use sluice_shim::{
    platform::OldIrql,
    storport::{extended::StorAddressBtl8, status::StorStatus},
};

use super::{Arguments, address_at};
use crate::{
    port::Port,
    types::{GroupAffinity, MessageInformation, ProcessorNumber},
};

/// Writes `value` to the place that is argument `index`.
///
/// # Safety
/// The argument is null or may be written.
unsafe fn answer<T>(arguments: &Arguments<'_>, index: usize, value: Option<T>) -> StorStatus {
    match (arguments.place::<T>(index), value) {
        (Some(place), Some(value)) => {
            // SAFETY: the caller's contract.
            unsafe { place.write(value) };
            StorStatus::SUCCESS
        }
        _ => StorStatus::INVALID_PARAMETER,
    }
}

/// GetCurrentProcessorNumber(PROCESSOR_NUMBER *number).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn processor_number(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let here = port.system().processor();
    let number = ProcessorNumber { group: here.group, number: here.number, reserved: 0 };
    // SAFETY: the code's contract.
    unsafe { answer(arguments, 0, Some(number)) }
}

/// GetActiveGroupCount(PUSHORT count).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn group_count(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { answer(arguments, 0, Some(port.system().topology().groups)) }
}

/// GetGroupAffinity(USHORT group, KAFFINITY *mask).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn group_affinity(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { answer(arguments, 1, port.system().group_affinity(arguments.short(0))) }
}

/// GetActiveNodeCount(PULONG count).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn node_count(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { answer(arguments, 0, Some(port.system().topology().nodes)) }
}

/// GetNodeAffinity(ULONG node, GROUP_AFFINITY *mask).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn node_affinity(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let affinity = port.system().node_affinity(arguments.long(0));
    let affinity = affinity.map(|(group, mask)| GroupAffinity { mask, group, reserved: [0; 3] });
    // SAFETY: the code's contract.
    unsafe { answer(arguments, 1, affinity) }
}

/// GetHighestNodeNumber(PULONG node).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn highest_node(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { answer(arguments, 0, Some(port.system().topology().nodes.saturating_sub(1))) }
}

/// GetProcessorIndexFromNumber(PROCESSOR_NUMBER *number, PULONG index): groups of 64.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn processor_index(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(number) = arguments.place::<ProcessorNumber>(0) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract.
    let number = unsafe { number.read() };
    let index = u32::from(number.group) * 64 + u32::from(number.number);
    let there = number.number < 64 && index < port.system().topology().processors;
    // SAFETY: as above.
    unsafe { answer(arguments, 1, there.then_some(index)) }
}

/// GetCurrentProcessorIndex(PULONG index).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn current_index(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let here = port.system().processor();
    // SAFETY: the code's contract.
    unsafe { answer(arguments, 0, Some(u32::from(here.group) * 64 + u32::from(here.number))) }
}

/// GetSystemPortNumber(STOR_ADDRESS *address): the number goes into the address, whose type must be known.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn port_number(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let address = arguments.pointer::<StorAddressBtl8>(0);
    // SAFETY: the code's contract.
    if unsafe { address_at(address) }.is_none() {
        return StorStatus::INVALID_PARAMETER;
    }
    // SAFETY: as above, and `address_at` has found it aligned.
    unsafe { (&raw mut (*address).port).write(port.services().port_number() as u16) };
    StorStatus::SUCCESS
}

/// GetMessageInterruptInformation(ULONG id, MESSAGE_INTERRUPT_INFORMATION *information).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn message(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let id = arguments.long(0);
    let found = if id < port.messages() { port.services().message(id) } else { None };
    let information = found.map(|message| MessageInformation {
        id,
        data: message.data,
        address: message.address,
        vector: message.vector,
        level: message.level,
        mode: 1,
    });
    // SAFETY: the code's contract.
    unsafe { answer(arguments, 1, information) }
}

/// GetProcessorCount(PULONG count).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn processor_count(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { answer(arguments, 0, Some(port.system().topology().processors)) }
}

/// GetNodeAffinity2(ULONG node, GROUP_AFFINITY *masks, USHORT count, PUSHORT wanted): a node is in one group.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn node_affinities(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    let told = unsafe { answer(arguments, 3, Some(1u16)) };
    if told != StorStatus::SUCCESS || arguments.short(2) > 0 {
        // SAFETY: as above; the first two arguments are those of a single mask.
        return unsafe { node_affinity(port, arguments) };
    }
    match port.system().node_affinity(arguments.long(0)) {
        Some(_) => StorStatus::BUFFER_TOO_SMALL,
        None => StorStatus::INVALID_PARAMETER,
    }
}

/// GetMessageInterruptIDFromProcessorIndex(ULONG index, PULONG id): the message of the channel of that processor.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn message_of_processor(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let index = arguments.long(0);
    if index >= port.system().topology().processors {
        return StorStatus::INVALID_PARAMETER;
    }
    let channel = index.checked_rem(port.channels()).unwrap_or(index);
    // SAFETY: the code's contract.
    unsafe { answer(arguments, 1, channel.checked_rem(port.messages())) }
}

/// AcquireMSISpinLock(ULONG id, PULONG old_irql).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn acquire_message_lock(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(place) = arguments.place::<u32>(1) else { return StorStatus::INVALID_PARAMETER };
    match port.acquire_message_lock(arguments.long(0)) {
        Some(old) => {
            // SAFETY: the code's contract.
            unsafe { place.write(u32::from(old.0)) };
            StorStatus::SUCCESS
        }
        None => StorStatus::INVALID_PARAMETER,
    }
}

/// ReleaseMSISpinLock(ULONG id, ULONG old_irql).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn release_message_lock(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    if port.release_message_lock(arguments.long(0), OldIrql(arguments.byte(1))) {
        StorStatus::SUCCESS
    } else {
        StorStatus::INVALID_PARAMETER
    }
}
