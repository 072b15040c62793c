//! StorPortInitializePerfOpts and what goes with it: concurrent channels, messages for them.

use sluice_shim::storport::status::StorStatus;

use crate::{
    faults::count,
    locks::CHANNELS,
    port::{Phase, Port},
    types::{PerformanceData, StartIoParameters},
};

/// STOR_PERF_* flags.
mod flag {
    pub(super) const DPC_REDIRECTION: u32 = 0x01;
    pub(super) const CONCURRENT_CHANNELS: u32 = 0x02;
    pub(super) const INTERRUPT_MESSAGE_RANGES: u32 = 0x04;
    pub(super) const OPTIMIZE_FOR_COMPLETION_DURING_STARTIO: u32 = 0x10;
    pub(super) const DPC_REDIRECTION_CURRENT_CPU: u32 = 0x20;
    pub(super) const NO_SGL: u32 = 0x40;
}

/// What is granted. DPCs run where the host's DPC runs, which is allowed to be any processor, so asking for redirection
/// costs nothing; scatter lists are only made when they are asked for. Locality by groups and masks is not.
const GRANTED: u32 = flag::DPC_REDIRECTION
    | flag::CONCURRENT_CHANNELS
    | flag::INTERRUPT_MESSAGE_RANGES
    | flag::OPTIMIZE_FOR_COMPLETION_DURING_STARTIO
    | flag::DPC_REDIRECTION_CURRENT_CPU
    | flag::NO_SGL;

/// Bytes up to `LastRedirectionMessageNumber`: version 1 and 2.
const SHORTEST: u32 = 24;

impl Port {
    /// StorPortInitializePerfOpts.
    ///
    /// # Safety
    /// `data` is null or points at as many bytes as its second field says.
    pub(crate) unsafe fn initialize_performance(
        &self,
        query: bool,
        data: *mut PerformanceData,
    ) -> StorStatus {
        if data.is_null() || !data.is_aligned() {
            return StorStatus::INVALID_PARAMETER;
        }
        // SAFETY: the caller's contract: at least the first fields are there.
        let (version, size) = unsafe { ((*data).version, (*data).size) };
        if version == 0 || size < SHORTEST {
            return StorStatus::INVALID_PARAMETER;
        }
        // SAFETY: `size` covers the fields up to the last message number.
        let wanted = unsafe { (*data).flags };
        if query {
            // SAFETY: as above.
            unsafe { (*data).flags = GRANTED };
            return StorStatus::SUCCESS;
        }
        if !matches!(self.phase(), Phase::Initializing | Phase::PassiveInitializing) {
            count(&self.faults().wrong_moment);
            return StorStatus::UNSUCCESSFUL;
        }
        if wanted & !GRANTED != 0 {
            return StorStatus::UNSUCCESSFUL;
        }
        // SAFETY: as above.
        let (channels, first, last) =
            unsafe { ((*data).concurrent_channels, (*data).first_message, (*data).last_message) };
        if wanted & flag::INTERRUPT_MESSAGE_RANGES != 0 && (first > last || last >= self.messages()) {
            return StorStatus::UNSUCCESSFUL;
        }
        if wanted & flag::CONCURRENT_CHANNELS != 0 {
            if channels == 0 {
                return StorStatus::INVALID_PARAMETER;
            }
            self.set_channels(channels.min(CHANNELS as u32));
        }
        StorStatus::SUCCESS
    }

    /// StorPortGetStartIoPerfParams: the channel that this processor's requests go to, and the message for it.
    ///
    /// # Safety
    /// `parameters` is null or points at as many bytes as its second field says.
    pub(crate) unsafe fn start_io_parameters(
        &self,
        srb: *const core::ffi::c_void,
        parameters: *mut StartIoParameters,
    ) -> StorStatus {
        if parameters.is_null() || !parameters.is_aligned() || !self.is_with_miniport(srb) {
            return StorStatus::INVALID_PARAMETER;
        }
        // SAFETY: the caller's contract: at least the first fields are there.
        let size = unsafe { (*parameters).size } as usize;
        if size < size_of::<StartIoParameters>() {
            return StorStatus::INVALID_PARAMETER;
        }
        let channel = match self.channels() {
            0 => 0,
            channels => self.channel_of(channels) as u32,
        };
        let message = channel.checked_rem(self.messages()).unwrap_or(0);
        // SAFETY: `size` covers the structure.
        unsafe {
            (*parameters).channel_number = channel;
            (*parameters).message_number = message;
        }
        StorStatus::SUCCESS
    }
}
