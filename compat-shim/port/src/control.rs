//! HwStorAdapterControl and HwStorUnitControl: stop, restart, power, removal. And a virtual miniport's requests.

use core::{
    ffi::c_void,
    ptr::{self, NonNull},
    sync::atomic::Ordering::SeqCst,
};

use sluice_shim::storport::{
    SrbStatus,
    notification::{adapter_control, unit_control},
};

use crate::{
    port::{Phase, Port},
    services::Event,
    status::NtStatus,
    types::{AdapterPower, PowerHeader, SupportedTypes},
    unit::LogicalUnit,
};

/// How many control types there may be: more than are known of either.
const TYPES: usize = 32;

use sluice_shim::storport::extended::{
    STOR_ADDR_BTL8_ADDRESS_LENGTH, STOR_ADDRESS_TYPE_BTL8, StorAddressBtl8,
};

/// `STOR_UC_POWER`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct UnitPower {
    address: *const StorAddressBtl8,
    action: u32,
    state: u32,
}

impl Port {
    /// Whether the miniport has said that it knows this control type. PASSIVE_LEVEL.
    fn supports(&self, unit: bool, kind: u32) -> bool {
        if kind == 0 {
            return true;
        }
        let mut list = SupportedTypes::<TYPES> { most: TYPES as u32, supported: [0; TYPES] };
        let parameters = (&raw mut list).cast();
        let answer = if unit { self.unit_call(0, parameters) } else { self.adapter_call(0, parameters) };
        answer == Some(adapter_control::SUCCESS)
            && list.supported.get(kind as usize).is_some_and(|supported| *supported != 0)
    }

    fn adapter_call(&self, kind: u32, parameters: *mut c_void) -> Option<u32> {
        let control = self.registration().data().hw_adapter_control?;
        // SAFETY: the miniport's own function, with its extension and what goes with the type.
        Some(unsafe { control(self.extension(), kind, parameters) })
    }

    fn unit_call(&self, kind: u32, parameters: *mut c_void) -> Option<u32> {
        let control = self.registration().data().hw_unit_control?;
        // SAFETY: as above.
        Some(unsafe { control(self.extension(), kind, parameters) })
    }

    /// HwStorAdapterControl, if the miniport knows the type. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// NOT_SUPPORTED if it does not, UNSUCCESSFUL if it says so.
    fn adapter_control(&self, kind: u32, parameters: *mut c_void) -> Result<(), NtStatus> {
        if !self.supports(false, kind) {
            return Err(NtStatus::NOT_SUPPORTED);
        }
        match self.adapter_call(kind, parameters) {
            Some(adapter_control::SUCCESS) => Ok(()),
            Some(_) => Err(NtStatus::UNSUCCESSFUL),
            None => Err(NtStatus::NOT_SUPPORTED),
        }
    }

    /// The end of a miniport: ScsiStopAdapter, and for a virtual one HwStorFreeAdapterResources.
    pub(crate) fn stop_miniport(&self, was_running: bool) {
        if was_running {
            let _ = self.adapter_control(adapter_control::STOP_ADAPTER, ptr::null_mut());
        }
        if let (true, Some(free)) =
            (self.registration().is_virtual(), self.registration().data().hw_free_adapter_resources)
        {
            // SAFETY: the miniport's own function and extension.
            unsafe { free(self.extension()) };
        }
    }

    /// Whether the miniport can be stopped and started again: it takes ScsiStopAdapter and ScsiRestartAdapter. PASSIVE_LEVEL.
    #[must_use]
    pub fn can_rest(&self) -> bool {
        self.supports(false, adapter_control::STOP_ADAPTER)
            && self.supports(false, adapter_control::RESTART_ADAPTER)
    }

    /// The adapter is stopped: requests wait until [`Self::restart`]. The host has seen to it that none is out, or waits
    /// for them. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INVALID_DEVICE_STATE; NOT_SUPPORTED of a miniport that could not be started again; what it says. Nothing is stopped.
    pub fn suspend(&self) -> Result<(), NtStatus> {
        self.rest(|| match self.can_rest() {
            true => self.adapter_control(adapter_control::STOP_ADAPTER, ptr::null_mut()),
            false => Err(NtStatus::NOT_SUPPORTED),
        })
    }

    /// And started again (ScsiRestartAdapter). PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What the miniport says: the adapter is then of no use.
    pub fn restart(&self) -> Result<(), NtStatus> {
        self.wake(|| self.adapter_control(adapter_control::RESTART_ADAPTER, ptr::null_mut()))
    }

    /// The adapter is about to lose its power: `action` and `state` as in [`Self::adapter_power`]. A miniport that takes that
    /// is told so and not stopped; any other as by [`Self::suspend`] (SCSI_ADAPTER_CONTROL_TYPE). PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As [`Self::suspend`].
    pub fn power_down(&self, action: u32, state: u32) -> Result<(), NtStatus> {
        if !self.supports(false, adapter_control::ADAPTER_POWER) {
            return self.suspend();
        }
        self.rest(|| self.adapter_power(action, state))
    }

    /// It has its power again. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As [`Self::restart`].
    pub fn power_up(&self, action: u32, state: u32) -> Result<(), NtStatus> {
        if !self.supports(false, adapter_control::ADAPTER_POWER) {
            return self.restart();
        }
        self.wake(|| self.adapter_power(action, state))
    }

    fn rest(&self, tell: impl FnOnce() -> Result<(), NtStatus>) -> Result<(), NtStatus> {
        if self.phase() != Phase::Running {
            return Err(NtStatus::INVALID_DEVICE_STATE);
        }
        self.gate().pause(u64::MAX);
        self.wait_for_starters();
        let told = tell();
        if told.is_err() {
            self.gate().resume();
            self.signal_flow();
        }
        told
    }

    fn wake(&self, tell: impl FnOnce() -> Result<(), NtStatus>) -> Result<(), NtStatus> {
        if self.phase() != Phase::Running {
            return Err(NtStatus::INVALID_DEVICE_STATE);
        }
        tell()?;
        self.gate().resume();
        self.resume_running();
        Ok(())
    }

    /// Tells the miniport its adapter's power state (ScsiAdapterPower): STOR_POWER_ACTION, STOR_DEVICE_POWER_STATE.
    /// PASSIVE_LEVEL.
    ///
    /// # Errors
    /// NOT_SUPPORTED if it does not want to know.
    pub fn adapter_power(&self, action: u32, state: u32) -> Result<(), NtStatus> {
        let size = size_of::<AdapterPower>() as u32;
        let header = PowerHeader { version: AdapterPower::VERSION, size, address: ptr::null() };
        let mut power = AdapterPower { header, action, state };
        self.adapter_control(adapter_control::ADAPTER_POWER, (&raw mut power).cast())
    }

    /// The adapter has been pulled out: nothing more is started, the miniport is told (ScsiAdapterSurpriseRemoval), and what
    /// waits is answered with NO_HBA. What is out stays the miniport's, which may be at work on its memory at this moment; if
    /// it has not completed it after [`crate::port::Timing::step`], or when [`Self::stop`] comes, it is given up.
    /// PASSIVE_LEVEL.
    pub fn surprise_remove(&self) {
        if self.phase() != Phase::Running {
            return;
        }
        for unit in self.all_units() {
            unit.present.store(false, SeqCst);
        }
        self.wait_for_starters();
        let _ = self.adapter_control(adapter_control::SURPRISE_REMOVAL, ptr::null_mut());
        self.give_up_soon();
        for unit in self.all_units() {
            self.flush(unit, SrbStatus::NO_HBA);
        }
        self.services().event(Event::AdapterFailed);
    }

    /// HwStorUnitControl for `unit` (see [`unit_control`]), if the miniport knows the type. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// NOT_SUPPORTED if it does not, UNSUCCESSFUL if it says so.
    pub fn unit_control(&self, unit: &LogicalUnit, kind: u32) -> Result<(), NtStatus> {
        let mut address = address_of(unit);
        self.unit_control_with(kind, (&raw mut address).cast())
    }

    /// Tells the miniport a unit's power state (ScsiUnitPower). PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As [`Self::unit_control`].
    pub fn unit_power(&self, unit: &LogicalUnit, action: u32, state: u32) -> Result<(), NtStatus> {
        let address = address_of(unit);
        let mut power = UnitPower { address: &raw const address, action, state };
        self.unit_control_with(unit_control::POWER, (&raw mut power).cast())
    }

    fn unit_control_with(&self, kind: u32, parameters: *mut c_void) -> Result<(), NtStatus> {
        if !self.is_running() {
            return Err(NtStatus::INVALID_DEVICE_STATE);
        }
        if !self.supports(true, kind) {
            return Err(NtStatus::NOT_SUPPORTED);
        }
        match self.unit_call(kind, parameters) {
            Some(adapter_control::SUCCESS) => Ok(()),
            Some(_) => Err(NtStatus::UNSUCCESSFUL),
            None => Err(NtStatus::NOT_SUPPORTED),
        }
    }

    /// HwStorProcessServiceRequest: an IRP for a virtual miniport itself (IOCTL_MINIPORT_PROCESS_SERVICE_IRP), which it
    /// completes through StorPortCompleteServiceIrp. Up to DISPATCH_LEVEL.
    ///
    /// # Errors
    /// NOT_SUPPORTED: it takes none.
    pub fn process_service_request(&self, irp: NonNull<c_void>) -> Result<(), NtStatus> {
        let routine = self.registration().data().hw_process_service_request;
        let routine = routine.filter(|_| self.is_running()).ok_or(NtStatus::NOT_SUPPORTED)?;
        // SAFETY: the miniport's own function and extension.
        unsafe { routine(self.extension(), irp.as_ptr()) };
        Ok(())
    }
}

fn address_of(unit: &LogicalUnit) -> StorAddressBtl8 {
    let address = unit.address();
    StorAddressBtl8 {
        kind: STOR_ADDRESS_TYPE_BTL8,
        port: 0,
        address_length: STOR_ADDR_BTL8_ADDRESS_LENGTH,
        path: address.path,
        target: address.target,
        lun: address.lun,
        reserved: 0,
    }
}
