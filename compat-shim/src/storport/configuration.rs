//! `PORT_CONFIGURATION_INFORMATION`: what the port and `HwFindAdapter` agree on about one adapter.

use core::{
    ffi::c_void,
    mem::{offset_of, size_of},
    ptr,
};

/// `HwMSInterruptRoutine`. Device IRQL. Nonzero: it was ours.
pub type HwMessageInterrupt = unsafe extern "system" fn(device_extension: *mut c_void, message_id: u32) -> u8;

/// `SP_UNINITIALIZED_VALUE`.
pub const UNINITIALIZED: u32 = u32::MAX;

/// `ACCESS_RANGE`: one BAR.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessRange {
    /// Bus address.
    pub start: u64,
    /// Bytes.
    pub length: u32,
    /// Memory (1) or ports (0).
    pub in_memory: u8,
}

const _: () = assert!(size_of::<AccessRange>() == 16);

/// `MEMORY_REGION`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MemoryRegion {
    /// System address.
    pub virtual_base: *mut u8,
    /// Physical address.
    pub physical_base: u64,
    /// Bytes.
    pub length: u32,
}

const _: () = assert!(size_of::<MemoryRegion>() == 24);

/// `PORT_CONFIGURATION_INFORMATION`.
#[repr(C)]
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is the WDK's field of the same name; those we use say what they mean")]
pub struct PortConfigurationInformation {
    /// Size of this structure; also its version.
    pub length: u32,
    pub system_io_bus_number: u32,
    /// INTERFACE_TYPE.
    pub adapter_interface_type: u32,
    pub bus_interrupt_level: u32,
    pub bus_interrupt_vector: u32,
    pub interrupt_mode: u32,
    /// Bytes; [`UNINITIALIZED`] for no limit.
    pub maximum_transfer_length: u32,
    /// Most pages in one transfer.
    pub number_of_physical_breaks: u32,
    pub dma_channel: u32,
    pub dma_port: u32,
    pub dma_width: u32,
    pub dma_speed: u32,
    /// Mask of address bits that must be zero in a data buffer.
    pub alignment_mask: u32,
    pub number_of_access_ranges: u32,
    pub access_ranges: *mut AccessRange,
    pub miniport_dump_data: *mut c_void,
    pub number_of_buses: u8,
    pub initiator_bus_id: [u8; 8],
    pub scatter_gather: u8,
    pub master: u8,
    /// The adapter caches: send FLUSH and SHUTDOWN.
    pub caches_data: u8,
    pub adapter_scans_down: u8,
    pub atdisk_primary_claimed: u8,
    pub atdisk_secondary_claimed: u8,
    pub dma32_bit_addresses: u8,
    pub demand_mode: u8,
    /// See [`super::initialization::map_buffers`].
    pub map_buffers: u8,
    pub need_physical_addresses: u8,
    pub tagged_queuing: u8,
    pub auto_request_sense: u8,
    pub multiple_request_per_lu: u8,
    pub receive_event: u8,
    pub real_mode_initialized: u8,
    pub buffer_access_scsi_port_controlled: u8,
    pub maximum_number_of_targets: u8,
    /// SRB_TYPE_*: 0 legacy, 1 extended.
    pub srb_type: u8,
    /// ADDRESS_TYPE_*.
    pub address_type: u8,
    pub slot_number: u32,
    pub bus_interrupt_level2: u32,
    pub bus_interrupt_vector2: u32,
    pub interrupt_mode2: u32,
    pub dma_channel2: u32,
    pub dma_port2: u32,
    pub dma_width2: u32,
    pub dma_speed2: u32,
    pub device_extension_size: u32,
    pub specific_lu_extension_size: u32,
    pub srb_extension_size: u32,
    pub dma64_bit_addresses: u8,
    pub reset_target_supported: u8,
    pub maximum_number_of_logical_units: u8,
    pub wmi_data_provider: u8,
    /// STOR_SYNCHRONIZATION_MODEL: 0 half duplex, 1 full.
    pub synchronization_model: u32,
    pub hw_ms_interrupt_routine: Option<HwMessageInterrupt>,
    pub interrupt_synchronization_mode: u32,
    pub dump_region: MemoryRegion,
    pub requested_dump_buffer_size: u32,
    pub virtual_device: u8,
    pub dump_mode: u8,
    pub dma_address_width: u8,
    pub extended_flags1: u32,
    /// Most requests in flight for the adapter.
    pub max_number_of_io: u32,
    /// Most requests in flight for a unit.
    pub max_ios_per_lun: u32,
    pub initial_lun_queue_depth: u32,
    /// Microseconds to hold I/O after a reset.
    pub bus_reset_hold_time: u32,
    /// STOR_FEATURE_*, as granted.
    pub feature_support: u32,
}

impl PortConfigurationInformation {
    /// As StorPort hands it to `HwFindAdapter` where the documentation states a default, else zero.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            length: size_of::<Self>() as u32,
            system_io_bus_number: 0,
            adapter_interface_type: 0,
            bus_interrupt_level: 0,
            bus_interrupt_vector: 0,
            interrupt_mode: 0,
            maximum_transfer_length: UNINITIALIZED,
            number_of_physical_breaks: 0x11,
            dma_channel: UNINITIALIZED,
            dma_port: UNINITIALIZED,
            dma_width: 0,
            dma_speed: 0,
            alignment_mask: 0,
            number_of_access_ranges: 0,
            access_ranges: ptr::null_mut(),
            miniport_dump_data: ptr::null_mut(),
            number_of_buses: 0,
            initiator_bus_id: [0xFF; 8],
            scatter_gather: 1,
            master: 1,
            caches_data: 0,
            adapter_scans_down: 0,
            atdisk_primary_claimed: 0,
            atdisk_secondary_claimed: 0,
            dma32_bit_addresses: 1,
            demand_mode: 0,
            map_buffers: 0,
            need_physical_addresses: 1,
            tagged_queuing: 1,
            auto_request_sense: 1,
            multiple_request_per_lu: 1,
            receive_event: 0,
            real_mode_initialized: 0,
            buffer_access_scsi_port_controlled: 0,
            maximum_number_of_targets: 0,
            srb_type: 0,
            address_type: 0,
            slot_number: 0,
            bus_interrupt_level2: 0,
            bus_interrupt_vector2: 0,
            interrupt_mode2: 0,
            dma_channel2: 0,
            dma_port2: 0,
            dma_width2: 0,
            dma_speed2: 0,
            device_extension_size: 0,
            specific_lu_extension_size: 0,
            srb_extension_size: 0,
            dma64_bit_addresses: 0,
            reset_target_supported: 0,
            maximum_number_of_logical_units: 0,
            wmi_data_provider: 0,
            synchronization_model: 0,
            hw_ms_interrupt_routine: None,
            interrupt_synchronization_mode: 0,
            dump_region: MemoryRegion { virtual_base: ptr::null_mut(), physical_base: 0, length: 0 },
            requested_dump_buffer_size: 0,
            virtual_device: 0,
            dump_mode: 0,
            dma_address_width: 0,
            extended_flags1: 0,
            max_number_of_io: 0,
            max_ios_per_lun: 0,
            initial_lun_queue_depth: 0,
            bus_reset_hold_time: 0,
            feature_support: 0,
        }
    }
}

impl Default for PortConfigurationInformation {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(size_of::<PortConfigurationInformation>() == 224);
const _: () = assert!(offset_of!(PortConfigurationInformation, access_ranges) == 56);
const _: () = assert!(offset_of!(PortConfigurationInformation, map_buffers) == 89);
const _: () = assert!(offset_of!(PortConfigurationInformation, dma64_bit_addresses) == 144);
const _: () = assert!(offset_of!(PortConfigurationInformation, hw_ms_interrupt_routine) == 152);
