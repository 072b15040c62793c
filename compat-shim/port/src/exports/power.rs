//! Power at run time (PoFx): there is none. A miniport is told so as StorPort tells it where the power framework does not
//! take a device: it may not be registered, and keeps its components active.

use sluice_shim::storport::{srb::Address, status::StorStatus};

use super::{Arguments, address_at};
use crate::{
    faults::count,
    port::Port,
    services::{DISPATCH_LEVEL, PASSIVE_LEVEL},
};

/// What STOR_POFX_DEVICE begins with: version, size, number of components.
type Head = [u32; 3];

/// Which device the first argument names: the adapter (null) or a unit that is there.
///
/// # Safety
/// The argument is null or points at a STOR_ADDRESS.
unsafe fn device(port: &Port, arguments: &Arguments<'_>) -> Result<Option<Address>, StorStatus> {
    if arguments.word(0) == 0 {
        return Ok(None);
    }
    // SAFETY: the caller's contract.
    let address = unsafe { address_at(arguments.pointer(0)) };
    match address.filter(|address| port.unit(*address).is_some()) {
        Some(address) => Ok(Some(address)),
        None => Err(StorStatus::INVALID_PARAMETER),
    }
}

/// InitializePoFxPower(STOR_ADDRESS *address, STOR_POFX_DEVICE *device, PBOOLEAN d3_cold).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn initialize(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    if port.system().irql() > PASSIVE_LEVEL {
        count(&port.faults().irql);
        return StorStatus::INVALID_IRQL;
    }
    let (head, cold) = (arguments.place::<Head>(1), arguments.place::<u8>(2));
    let (Some(head), Some(cold)) = (head, cold) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract.
    let ([version, size, components], known) = unsafe { (head.read(), device(port, arguments)) };
    if let Err(status) = known {
        return status;
    }
    if !(1..=3).contains(&version) || size < 16 || components == 0 {
        return StorStatus::INVALID_PARAMETER;
    }
    // SAFETY: as above.
    unsafe { cold.write(0) };
    StorStatus::UNSUCCESSFUL
}

/// Everything that needs a device that has been registered; the first argument is its address.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn registered(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    if port.system().irql() > DISPATCH_LEVEL {
        count(&port.faults().irql);
        return StorStatus::INVALID_IRQL;
    }
    // SAFETY: the code's contract.
    match unsafe { device(port, arguments) } {
        Ok(_) => StorStatus::INVALID_DEVICE_REQUEST,
        Err(status) => status,
    }
}
