//! `PORT_CONFIGURATION_INFORMATION`: what the port proposes to HwStorFindAdapter, and what it makes of the answer.

use core::mem::size_of;

use sluice_shim::storport::{
    PortConfigurationInformation, SrbKind,
    configuration::{AccessRange, HwMessageInterrupt, UNINITIALIZED},
};

use crate::{
    copies,
    registration::{MAX_ACCESS_RANGES, Registration},
    services::{BusPlace, InterruptMode},
};

/// Longest transfer that the port sends, in bytes: a scatter list is made for it with each slot.
pub const MAX_TRANSFER: u32 = 1 << 20;
/// Bytes of a page.
pub(crate) const PAGE: u32 = 4096;
/// Requests at once, if the miniport does not say.
const DEFAULT_REQUESTS: u32 = 250;
/// Requests at once for a unit, if the miniport does not say: StorPort's.
const DEFAULT_DEPTH: u32 = 20;
/// `StorSynchronizeFullDuplex`.
const FULL_DUPLEX: u32 = 1;
/// `InterruptSynchronizePerMessage`.
const PER_MESSAGE: u32 = 1;
/// `Dma64BitAddresses`: SCSI_DMA64_MINIPORT_SUPPORTED and its variants.
const DMA64: u8 = 0x01;

/// Address ranges of one adapter.
pub(crate) type Ranges = [AccessRange; MAX_ACCESS_RANGES as usize];

/// What one adapter has turned out to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Longest transfer in bytes.
    pub max_transfer: u32,
    /// Most elements of a scatter list.
    pub max_elements: u32,
    /// Bits of an address that must be zero in a data buffer.
    pub alignment_mask: u32,
    /// Buses, targets of a bus, units of a target.
    pub buses: u8,
    /// See above.
    pub targets: u8,
    /// See above.
    pub units: u8,
    /// The adapter caches: it wants FLUSH and SHUTDOWN.
    pub caches_data: bool,
    /// RESET_DEVICE may be sent.
    pub resets_targets: bool,
    /// Whether it answers WMI.
    pub has_wmi: bool,
    /// STOR_MAP_*. The port's buffers have system addresses in any case.
    pub map_buffers: u8,
    /// HwStorStartIo and the interrupt routine exclude each other.
    pub half_duplex: bool,
    /// Requests at once.
    pub requests: u32,
    /// Requests at once for one unit, at first.
    pub depth: u32,
    /// Bytes for each request.
    pub srb_extension: u32,
    /// Bytes for each unit.
    pub unit_extension: u32,
    /// Devices reach addresses above 4 GiB.
    pub reaches_all_memory: bool,
    /// Data is copied to where the device finds it.
    pub copies: bool,
    /// HwMSInterruptRoutine.
    pub(crate) message_interrupt: Option<HwMessageInterrupt>,
    /// How it is interrupted.
    pub interrupt: InterruptMode,
}

/// What the miniport is shown. `ranges` stays where it is as long as the result is used.
pub(crate) fn propose(
    registration: &Registration,
    place: &BusPlace,
    ranges: &mut Ranges,
    count: usize,
) -> PortConfigurationInformation {
    let data = registration.data();
    let mut it = PortConfigurationInformation::new();
    it.length = size_of::<PortConfigurationInformation>() as u32;
    it.system_io_bus_number = place.bus;
    it.slot_number = place.slot;
    it.adapter_interface_type = place.interface;
    it.bus_interrupt_level = place.interrupt_level;
    it.bus_interrupt_vector = place.interrupt_vector;
    it.maximum_transfer_length = UNINITIALIZED;
    it.number_of_physical_breaks = MAX_TRANSFER / PAGE + 1;
    it.number_of_access_ranges = if count == 0 { data.number_of_access_ranges } else { count as u32 };
    it.access_ranges = ranges.as_mut_ptr();
    it.map_buffers = data.map_buffers;
    it.need_physical_addresses = data.need_physical_addresses;
    it.tagged_queuing = data.tagged_queuing;
    it.auto_request_sense = data.auto_request_sense;
    it.multiple_request_per_lu = data.multiple_request_per_lu;
    it.receive_event = data.receive_event;
    it.number_of_buses = 1;
    it.maximum_number_of_targets = 8;
    it.maximum_number_of_logical_units = 8;
    it.srb_type = u8::from(registration.srb_kind() == SrbKind::Extended);
    it.device_extension_size = data.device_extension_size;
    it.specific_lu_extension_size = data.specific_lu_extension_size;
    it.srb_extension_size = data.srb_extension_size;
    it.dma64_bit_addresses = 0x80; // SCSI_DMA64_SYSTEM_SUPPORTED
    it.virtual_device = u8::from(registration.is_virtual());
    it
}

impl Settings {
    /// What the miniport has made of it. `None` if it cannot be worked with.
    pub(crate) fn of(registration: &Registration, it: &PortConfigurationInformation) -> Option<Self> {
        let sane = it.srb_extension_size <= 1 << 20
            && it.specific_lu_extension_size <= 1 << 20
            && it.maximum_transfer_length >= 512
            && it.number_of_physical_breaks >= 1
            && it.number_of_buses >= 1
            && it.maximum_number_of_targets >= 1
            && it.maximum_number_of_logical_units >= 1
            && (it.alignment_mask & it.alignment_mask.wrapping_add(1)) == 0
            && it.alignment_mask < PAGE;
        if !sane {
            return None;
        }
        // A list of n elements holds any buffer of n-1 pages, wherever it begins.
        let max_elements = it.number_of_physical_breaks.min(MAX_TRANSFER / PAGE + 1);
        let by_elements = max_elements.saturating_sub(1).max(1) * PAGE;
        let legacy = registration.srb_kind() == SrbKind::Legacy;
        let most_depth = if legacy { 254 } else { 1023 };
        let or = |value: u32, default: u32| if value == 0 { default } else { value };
        Some(Self {
            max_transfer: it.maximum_transfer_length.min(by_elements).min(MAX_TRANSFER),
            max_elements,
            alignment_mask: it.alignment_mask,
            buses: it.number_of_buses,
            targets: it.maximum_number_of_targets,
            units: it.maximum_number_of_logical_units,
            caches_data: it.caches_data != 0,
            resets_targets: it.reset_target_supported != 0,
            has_wmi: it.wmi_data_provider != 0,
            map_buffers: it.map_buffers,
            half_duplex: it.synchronization_model != FULL_DUPLEX && !registration.is_virtual(),
            requests: or(it.max_number_of_io, DEFAULT_REQUESTS).min(1023),
            depth: or(it.initial_lun_queue_depth, or(it.max_ios_per_lun.min(most_depth), DEFAULT_DEPTH))
                .min(most_depth),
            srb_extension: it.srb_extension_size,
            unit_extension: it.specific_lu_extension_size,
            copies: false,
            reaches_all_memory: it.dma64_bit_addresses & DMA64 != 0 || registration.is_virtual(),
            message_interrupt: it.hw_ms_interrupt_routine,
            interrupt: interrupt_mode(registration, it),
        })
    }
}

impl Settings {
    /// With data that is copied: less at once, in shorter pieces.
    pub(crate) fn copied(self) -> Self {
        let (requests, max_transfer) =
            (self.requests.min(copies::REQUESTS), self.max_transfer.min(copies::MOST));
        Self { copies: true, requests, max_transfer, ..self }
    }
}

fn interrupt_mode(registration: &Registration, it: &PortConfigurationInformation) -> InterruptMode {
    if registration.is_virtual() {
        InterruptMode::None
    } else if it.hw_ms_interrupt_routine.is_some() {
        InterruptMode::Messages { lock_each: it.interrupt_synchronization_mode == PER_MESSAGE }
    } else if registration.data().hw_interrupt.is_some() {
        InterruptMode::Line
    } else {
        InterruptMode::None
    }
}
