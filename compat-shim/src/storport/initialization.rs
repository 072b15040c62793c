//! `HW_INITIALIZATION_DATA`: what a miniport gives to `StorPortInitialize`.

use core::{
    ffi::{c_char, c_void},
    mem::{offset_of, size_of},
    ptr,
};

use super::configuration::PortConfigurationInformation;

/// `HwStorInitialize`. Device IRQL. Nonzero: success.
pub type HwInitialize = unsafe extern "system" fn(device_extension: *mut c_void) -> u8;
/// `HwStorStartIo`. DISPATCH_LEVEL. The SRB is of either kind. Nonzero: accepted.
pub type HwStartIo = unsafe extern "system" fn(device_extension: *mut c_void, srb: *mut c_void) -> u8;
/// `HwStorBuildIo`. At most DISPATCH_LEVEL, unsynchronised. Nonzero: go on to StartIo; zero: it has completed.
pub type HwBuildIo = unsafe extern "system" fn(device_extension: *mut c_void, srb: *mut c_void) -> u8;
/// `HwStorInterrupt`. Device IRQL. Nonzero: it was ours.
pub type HwInterrupt = unsafe extern "system" fn(device_extension: *mut c_void) -> u8;
/// `HwStorFindAdapter` (physical miniports). PASSIVE_LEVEL. See [`super::notification::found`].
pub type HwFindAdapter = unsafe extern "system" fn(
    device_extension: *mut c_void,
    hw_context: *mut c_void,
    bus_information: *mut c_void,
    argument: *mut c_char,
    configuration: *mut PortConfigurationInformation,
    reserved: *mut u8,
) -> u32;
/// `HwStorResetBus`. DISPATCH_LEVEL. Nonzero: done.
pub type HwResetBus = unsafe extern "system" fn(device_extension: *mut c_void, path_id: u32) -> u8;
/// `HwStorAdapterControl`. See [`super::notification::adapter_control`].
pub type HwAdapterControl = unsafe extern "system" fn(
    device_extension: *mut c_void,
    control_type: u32,
    parameters: *mut c_void,
) -> u32;
/// `HwStorUnitControl`. See [`super::notification::unit_control`].
pub type HwUnitControl = unsafe extern "system" fn(
    device_extension: *mut c_void,
    control_type: u32,
    parameters: *mut c_void,
) -> u32;
/// `HwStorFreeAdapterResources` and the tracing clean-up.
pub type HwFree = unsafe extern "system" fn(device_extension: *mut c_void);
/// `HwStorProcessServiceRequest`, `HwStorCompleteServiceIrp` (virtual miniports).
pub type HwServiceIrp = unsafe extern "system" fn(device_extension: *mut c_void, irp: *mut c_void);
/// `HwStorInitializeTracing`.
pub type HwInitializeTracing = unsafe extern "system" fn(first: *mut c_void, second: *mut c_void);
/// `HwStorTracingEnabled`.
pub type HwTracingEnabled = unsafe extern "system" fn(device_extension: *mut c_void, enabled: u8);
/// `HwStorPassiveInitializeRoutine`. PASSIVE_LEVEL. Nonzero: success.
pub type HwPassiveInitialize = unsafe extern "system" fn(device_extension: *mut c_void) -> u8;
/// `HwStorDpcRoutine`. DISPATCH_LEVEL.
pub type HwDpc = unsafe extern "system" fn(
    dpc: *mut c_void,
    device_extension: *mut c_void,
    argument1: *mut c_void,
    argument2: *mut c_void,
);
/// `HwStorTimer`. DISPATCH_LEVEL.
pub type HwTimer = unsafe extern "system" fn(device_extension: *mut c_void);

/// `SRB_TYPE_FLAG_SCSI_REQUEST_BLOCK`: the miniport takes legacy SRBs.
pub const SRB_TYPE_FLAG_SCSI_REQUEST_BLOCK: u32 = 0x1;
/// `SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK`: the miniport takes extended SRBs; feed it those.
pub const SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK: u32 = 0x2;
/// `ADDRESS_TYPE_FLAG_BTL8`.
pub const ADDRESS_TYPE_FLAG_BTL8: u32 = 0x1;
/// `STOR_FEATURE_VIRTUAL_MINIPORT`.
pub const STOR_FEATURE_VIRTUAL_MINIPORT: u32 = 0x1;

/// `STOR_MAP_*`: which data buffers the port maps to system addresses.
pub mod map_buffers {
    /// `STOR_MAP_NO_BUFFERS`.
    pub const NONE: u8 = 0;
    /// `STOR_MAP_ALL_BUFFERS` (obsolete; acts as [`NON_READ_WRITE`]).
    pub const ALL: u8 = 1;
    /// `STOR_MAP_NON_READ_WRITE_BUFFERS`.
    pub const NON_READ_WRITE: u8 = 2;
    /// `STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE`.
    pub const ALL_INCLUDING_READ_WRITE: u8 = 3;
}

/// `HW_INITIALIZATION_DATA`.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct HwInitializationData {
    /// Size of this structure; also its version.
    pub size: u32,
    /// INTERFACE_TYPE.
    pub adapter_interface_type: u32,
    /// Required.
    pub hw_initialize: Option<HwInitialize>,
    /// Required.
    pub hw_start_io: Option<HwStartIo>,
    /// Null in virtual miniports.
    pub hw_interrupt: Option<HwInterrupt>,
    /// Required. A `PVOID` in the WDK, as virtual miniports have another signature.
    pub hw_find_adapter: Option<HwFindAdapter>,
    /// Required.
    pub hw_reset_bus: Option<HwResetBus>,
    /// Null.
    pub hw_dma_started: *mut c_void,
    /// Null.
    pub hw_adapter_state: *mut c_void,
    /// Bytes per adapter, zeroed once.
    pub device_extension_size: u32,
    /// Bytes per unit, zeroed.
    pub specific_lu_extension_size: u32,
    /// Bytes per request.
    pub srb_extension_size: u32,
    /// Number of address ranges (BARs).
    pub number_of_access_ranges: u32,
    /// Null.
    pub reserved: *mut c_void,
    /// See [`map_buffers`].
    pub map_buffers: u8,
    /// 1.
    pub need_physical_addresses: u8,
    /// 1.
    pub tagged_queuing: u8,
    /// 1.
    pub auto_request_sense: u8,
    /// 1.
    pub multiple_request_per_lu: u8,
    /// Ignored.
    pub receive_event: u8,
    /// Ignored.
    pub vendor_id_length: u16,
    /// Ignored.
    pub vendor_id: *mut c_void,
    /// Flags for supported features.
    pub port_version_flags: u16,
    /// Ignored.
    pub device_id_length: u16,
    /// Ignored.
    pub device_id: *mut c_void,
    /// Required.
    pub hw_adapter_control: Option<HwAdapterControl>,
    /// Optional.
    pub hw_build_io: Option<HwBuildIo>,
    /// Virtual miniports.
    pub hw_free_adapter_resources: Option<HwFree>,
    /// Virtual miniports.
    pub hw_process_service_request: Option<HwServiceIrp>,
    /// Virtual miniports.
    pub hw_complete_service_irp: Option<HwServiceIrp>,
    /// Virtual miniports.
    pub hw_initialize_tracing: Option<HwInitializeTracing>,
    /// Virtual miniports.
    pub hw_cleanup_tracing: Option<HwFree>,
    /// Virtual miniports.
    pub hw_tracing_enabled: Option<HwTracingEnabled>,
    /// STOR_FEATURE_*.
    pub feature_support: u32,
    /// SRB_TYPE_FLAG_*.
    pub srb_type_flags: u32,
    /// ADDRESS_TYPE_FLAG_*.
    pub address_type_flags: u32,
    /// Zero.
    pub reserved1: u32,
    /// Optional.
    pub hw_unit_control: Option<HwUnitControl>,
}

impl HwInitializationData {
    /// Empty, with its size set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: size_of::<Self>() as u32,
            adapter_interface_type: 0,
            hw_initialize: None,
            hw_start_io: None,
            hw_interrupt: None,
            hw_find_adapter: None,
            hw_reset_bus: None,
            hw_dma_started: ptr::null_mut(),
            hw_adapter_state: ptr::null_mut(),
            device_extension_size: 0,
            specific_lu_extension_size: 0,
            srb_extension_size: 0,
            number_of_access_ranges: 0,
            reserved: ptr::null_mut(),
            map_buffers: 0,
            need_physical_addresses: 0,
            tagged_queuing: 0,
            auto_request_sense: 0,
            multiple_request_per_lu: 0,
            receive_event: 0,
            vendor_id_length: 0,
            vendor_id: ptr::null_mut(),
            port_version_flags: 0,
            device_id_length: 0,
            device_id: ptr::null_mut(),
            hw_adapter_control: None,
            hw_build_io: None,
            hw_free_adapter_resources: None,
            hw_process_service_request: None,
            hw_complete_service_irp: None,
            hw_initialize_tracing: None,
            hw_cleanup_tracing: None,
            hw_tracing_enabled: None,
            feature_support: 0,
            srb_type_flags: 0,
            address_type_flags: 0,
            reserved1: 0,
            hw_unit_control: None,
        }
    }
}

impl Default for HwInitializationData {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(size_of::<HwInitializationData>() == 208);
const _: () = assert!(offset_of!(HwInitializationData, hw_find_adapter) == 32);
const _: () = assert!(offset_of!(HwInitializationData, device_extension_size) == 64);
const _: () = assert!(offset_of!(HwInitializationData, srb_extension_size) == 72);
const _: () = assert!(offset_of!(HwInitializationData, map_buffers) == 88);
const _: () = assert!(offset_of!(HwInitializationData, hw_adapter_control) == 120);
const _: () = assert!(offset_of!(HwInitializationData, hw_build_io) == 128);
const _: () = assert!(offset_of!(HwInitializationData, feature_support) == 184);
const _: () = assert!(offset_of!(HwInitializationData, srb_type_flags) == 188);
const _: () = assert!(offset_of!(HwInitializationData, hw_unit_control) == 200);
