//! What C and Rust must agree on, by both names.

use std::mem::{offset_of, size_of};

use sluice_port::{
    exports::{Coverage, EXTENDED, NOTIFICATIONS, all},
    types,
};
use sluice_shim::storport::{
    HwInitializationData, PortConfigurationInformation, QueueAction, ScsiRequestBlock, ScsiStatus, SrbFlags,
    SrbFunction, SrbStatus, StorageRequestBlock, codes,
    configuration::{AccessRange, MemoryRegion},
    extended,
    extended::{
        SrbExDataBidirectional, SrbExDataCdb, SrbExDataIoInfo, SrbExDataPnp, SrbExDataPower, StorAddressBtl8,
        data_type,
    },
    initialization::{self, map_buffers},
    notification::{NotificationType, adapter_control, found, spin_lock, unit_control},
    status::StorStatus,
};

/// A structure as Rust lays it out, by its name in C.
#[derive(Clone, Copy)]
pub(crate) struct Structure {
    pub(crate) name: &'static str,
    pub(crate) size: usize,
    pub(crate) fields: &'static [Field],
}

#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) offset: usize,
    pub(crate) size: usize,
}

const fn size_of_field<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! structures {
    ($($rust:path = $c:ident { $($field:ident = $name:ident,)* })*) => {
        &[$(Structure {
            name: stringify!($c),
            size: size_of::<$rust>(),
            fields: &[$(Field {
                name: stringify!($name),
                offset: offset_of!($rust, $field),
                size: size_of_field(|whole: &$rust| &whole.$field),
            },)*],
        },)*]
    };
}

pub(crate) const STRUCTURES: &[Structure] = structures! {
    HwInitializationData = HW_INITIALIZATION_DATA {
        size = HwInitializationDataSize,
        adapter_interface_type = AdapterInterfaceType,
        hw_initialize = HwInitialize,
        hw_start_io = HwStartIo,
        hw_interrupt = HwInterrupt,
        hw_find_adapter = HwFindAdapter,
        hw_reset_bus = HwResetBus,
        hw_dma_started = HwDmaStarted,
        hw_adapter_state = HwAdapterState,
        device_extension_size = DeviceExtensionSize,
        specific_lu_extension_size = SpecificLuExtensionSize,
        srb_extension_size = SrbExtensionSize,
        number_of_access_ranges = NumberOfAccessRanges,
        reserved = Reserved,
        map_buffers = MapBuffers,
        need_physical_addresses = NeedPhysicalAddresses,
        tagged_queuing = TaggedQueuing,
        auto_request_sense = AutoRequestSense,
        multiple_request_per_lu = MultipleRequestPerLu,
        receive_event = ReceiveEvent,
        vendor_id_length = VendorIdLength,
        vendor_id = VendorId,
        port_version_flags = PortVersionFlags,
        device_id_length = DeviceIdLength,
        device_id = DeviceId,
        hw_adapter_control = HwAdapterControl,
        hw_build_io = HwBuildIo,
        hw_free_adapter_resources = HwFreeAdapterResources,
        hw_process_service_request = HwProcessServiceRequest,
        hw_complete_service_irp = HwCompleteServiceIrp,
        hw_initialize_tracing = HwInitializeTracing,
        hw_cleanup_tracing = HwCleanupTracing,
        hw_tracing_enabled = HwTracingEnabled,
        feature_support = FeatureSupport,
        srb_type_flags = SrbTypeFlags,
        address_type_flags = AddressTypeFlags,
        reserved1 = Reserved1,
        hw_unit_control = HwUnitControl,
    }
    AccessRange = ACCESS_RANGE {
        start = RangeStart,
        length = RangeLength,
        in_memory = RangeInMemory,
    }
    MemoryRegion = MEMORY_REGION {
        virtual_base = VirtualBase,
        physical_base = PhysicalBase,
        length = Length,
    }
    PortConfigurationInformation = PORT_CONFIGURATION_INFORMATION {
        length = Length,
        system_io_bus_number = SystemIoBusNumber,
        adapter_interface_type = AdapterInterfaceType,
        bus_interrupt_level = BusInterruptLevel,
        bus_interrupt_vector = BusInterruptVector,
        interrupt_mode = InterruptMode,
        maximum_transfer_length = MaximumTransferLength,
        number_of_physical_breaks = NumberOfPhysicalBreaks,
        dma_channel = DmaChannel,
        dma_port = DmaPort,
        dma_width = DmaWidth,
        dma_speed = DmaSpeed,
        alignment_mask = AlignmentMask,
        number_of_access_ranges = NumberOfAccessRanges,
        access_ranges = AccessRanges,
        miniport_dump_data = MiniportDumpData,
        number_of_buses = NumberOfBuses,
        initiator_bus_id = InitiatorBusId,
        scatter_gather = ScatterGather,
        master = Master,
        caches_data = CachesData,
        adapter_scans_down = AdapterScansDown,
        atdisk_primary_claimed = AtdiskPrimaryClaimed,
        atdisk_secondary_claimed = AtdiskSecondaryClaimed,
        dma32_bit_addresses = Dma32BitAddresses,
        demand_mode = DemandMode,
        map_buffers = MapBuffers,
        need_physical_addresses = NeedPhysicalAddresses,
        tagged_queuing = TaggedQueuing,
        auto_request_sense = AutoRequestSense,
        multiple_request_per_lu = MultipleRequestPerLu,
        receive_event = ReceiveEvent,
        real_mode_initialized = RealModeInitialized,
        buffer_access_scsi_port_controlled = BufferAccessScsiPortControlled,
        maximum_number_of_targets = MaximumNumberOfTargets,
        srb_type = SrbType,
        address_type = AddressType,
        slot_number = SlotNumber,
        bus_interrupt_level2 = BusInterruptLevel2,
        bus_interrupt_vector2 = BusInterruptVector2,
        interrupt_mode2 = InterruptMode2,
        dma_channel2 = DmaChannel2,
        dma_port2 = DmaPort2,
        dma_width2 = DmaWidth2,
        dma_speed2 = DmaSpeed2,
        device_extension_size = DeviceExtensionSize,
        specific_lu_extension_size = SpecificLuExtensionSize,
        srb_extension_size = SrbExtensionSize,
        dma64_bit_addresses = Dma64BitAddresses,
        reset_target_supported = ResetTargetSupported,
        maximum_number_of_logical_units = MaximumNumberOfLogicalUnits,
        wmi_data_provider = WmiDataProvider,
        synchronization_model = SynchronizationModel,
        hw_ms_interrupt_routine = HwMSInterruptRoutine,
        interrupt_synchronization_mode = InterruptSynchronizationMode,
        dump_region = DumpRegion,
        requested_dump_buffer_size = RequestedDumpBufferSize,
        virtual_device = VirtualDevice,
        dump_mode = DumpMode,
        dma_address_width = DmaAddressWidth,
        extended_flags1 = ExtendedFlags1,
        max_number_of_io = MaxNumberOfIO,
        max_ios_per_lun = MaxIOsPerLun,
        initial_lun_queue_depth = InitialLunQueueDepth,
        bus_reset_hold_time = BusResetHoldTime,
        feature_support = FeatureSupport,
    }
    ScsiRequestBlock = SCSI_REQUEST_BLOCK {
        length = Length,
        function = Function,
        srb_status = SrbStatus,
        scsi_status = ScsiStatus,
        path_id = PathId,
        target_id = TargetId,
        lun = Lun,
        queue_tag = QueueTag,
        queue_action = QueueAction,
        cdb_length = CdbLength,
        sense_info_buffer_length = SenseInfoBufferLength,
        srb_flags = SrbFlags,
        data_transfer_length = DataTransferLength,
        time_out_value = TimeOutValue,
        data_buffer = DataBuffer,
        sense_info_buffer = SenseInfoBuffer,
        next_srb = NextSrb,
        original_request = OriginalRequest,
        srb_extension = SrbExtension,
        internal_status = InternalStatus,
        reserved = Reserved,
        cdb = Cdb,
    }
    StorageRequestBlock = STORAGE_REQUEST_BLOCK {
        length = Length,
        function = Function,
        srb_status = SrbStatus,
        reserved1 = ReservedUlong1,
        signature = Signature,
        version = Version,
        srb_length = SrbLength,
        srb_function = SrbFunction,
        srb_flags = SrbFlags,
        reserved2 = ReservedUlong2,
        request_tag = RequestTag,
        request_priority = RequestPriority,
        request_attribute = RequestAttribute,
        time_out_value = TimeOutValue,
        system_status = SystemStatus,
        zero_guard1 = ZeroGuard1,
        address_offset = AddressOffset,
        num_srb_ex_data = NumSrbExData,
        data_transfer_length = DataTransferLength,
        data_buffer = DataBuffer,
        zero_guard2 = ZeroGuard2,
        original_request = OriginalRequest,
        class_context = ClassContext,
        port_context = PortContext,
        miniport_context = MiniportContext,
        next_srb = NextSrb,
        srb_ex_data_offset = SrbExDataOffset,
    }
    StorAddressBtl8 = STOR_ADDR_BTL8 {
        kind = Type,
        port = Port,
        address_length = AddressLength,
        path = Path,
        target = Target,
        lun = Lun,
        reserved = Reserved,
    }
    SrbExDataCdb<16> = SRBEX_DATA_SCSI_CDB16 {
        kind = Type,
        length = Length,
        scsi_status = ScsiStatus,
        sense_info_buffer_length = SenseInfoBufferLength,
        cdb_length = CdbLength,
        reserved = Reserved,
        reserved1 = Reserved1,
        sense_info_buffer = SenseInfoBuffer,
        cdb = Cdb,
    }
    SrbExDataCdb<32> = SRBEX_DATA_SCSI_CDB32 {
        kind = Type,
        length = Length,
        scsi_status = ScsiStatus,
        sense_info_buffer_length = SenseInfoBufferLength,
        cdb_length = CdbLength,
        reserved = Reserved,
        reserved1 = Reserved1,
        sense_info_buffer = SenseInfoBuffer,
        cdb = Cdb,
    }
    SrbExDataBidirectional = SRBEX_DATA_BIDIRECTIONAL {
        kind = Type,
        length = Length,
        data_in_transfer_length = DataInTransferLength,
        reserved1 = Reserved1,
        data_in_buffer = DataInBuffer,
    }
    SrbExDataIoInfo = SRBEX_DATA_IO_INFO {
        kind = Type,
        length = Length,
        flags = Flags,
        key = Key,
        rw_length = RWLength,
        is_write_request = IsWriteRequest,
        cache_priority = CachePriority,
        reserved = Reserved,
        reserved1 = Reserved1,
    }
    SrbExDataPnp = SRBEX_DATA_PNP {
        kind = Type,
        length = Length,
        pnp_sub_function = PnPSubFunction,
        reserved = Reserved,
        pnp_action = PnPAction,
        pnp_flags = SrbPnPFlags,
        reserved1 = Reserved1,
    }
    SrbExDataPower = SRBEX_DATA_POWER {
        kind = Type,
        length = Length,
        power_flags = SrbPowerFlags,
        reserved = Reserved,
        device_power_state = DevicePowerState,
        power_action = PowerAction,
        reserved1 = Reserved1,
    }
    types::ScatterElement = STOR_SCATTER_GATHER_ELEMENT {
        physical = PhysicalAddress,
        length = Length,
        reserved = Reserved,
    }
    types::ScatterHead = STOR_SCATTER_GATHER_LIST {
        count = NumberOfElements,
        reserved = Reserved,
    }
    types::GroupAffinity = GROUP_AFFINITY {
        mask = Mask,
        group = Group,
        reserved = Reserved,
    }
    types::ProcessorNumber = PROCESSOR_NUMBER {
        group = Group,
        number = Number,
        reserved = Reserved,
    }
    types::PerformanceData = PERF_CONFIGURATION_DATA {
        version = Version,
        size = Size,
        flags = Flags,
        concurrent_channels = ConcurrentChannels,
        first_message = FirstRedirectionMessageNumber,
        last_message = LastRedirectionMessageNumber,
        device_node = DeviceNode,
        reserved = Reserved,
        message_targets = MessageTargets,
    }
    types::StartIoParameters = STARTIO_PERFORMANCE_PARAMETERS {
        version = Version,
        size = Size,
        message_number = MessageNumber,
        channel_number = ChannelNumber,
    }
    types::MessageInformation = MESSAGE_INTERRUPT_INFORMATION {
        id = MessageId,
        data = MessageData,
        address = MessageAddress,
        vector = InterruptVector,
        level = InterruptLevel,
        mode = InterruptMode,
    }
    types::ListEntry = STOR_LIST_ENTRY {
        next = Flink,
        before = Blink,
    }
    types::WatchdogInformation = STOR_DPC_WATCHDOG_INFORMATION {
        time_limit = DpcTimeLimit,
        time_count = DpcTimeCount,
        watchdog_limit = DpcWatchdogLimit,
        watchdog_count = DpcWatchdogCount,
        reserved = Reserved,
    }
    types::RequestInfo = STOR_REQUEST_INFO_V2 {
        version = Version,
        size = Size,
        priority = PriorityHint,
        flags = Flags,
        key = Key,
        length = Length,
        is_write = IsWriteRequest,
        reserved = Reserved,
        file_name = FileName,
        process = ProcessId,
    }
    types::PowerHeader = STOR_POWER_CONTROL_HEADER {
        version = Version,
        size = Size,
        address = Address,
    }
    types::AdapterPower = STOR_ADAPTER_CONTROL_POWER {
        header = Header,
        action = PowerAction,
        state = PowerState,
    }
    types::LogDetails = STOR_LOG_EVENT_DETAILS {
        revision = InterfaceRevision,
        size = Size,
        flags = Flags,
        association = EventAssociation,
        path = PathId,
        target = TargetId,
        lun = LunId,
        storport_specific = StorportSpecificErrorCode,
        error = ErrorCode,
        unique = UniqueId,
        dump_size = DumpDataSize,
        dump = DumpData,
        string_count = StringCount,
        strings = StringList,
    }
};

/// Structures whose insides are the port's own: their size counts, and where their last field lies.
pub(crate) const OPAQUE: &[Structure] = structures! {
    types::StorDpc = STOR_DPC {
        lock = Lock,
    }
    types::SingleHead = STOR_SLIST_HEADER {
        depth = Region,
    }
    types::SingleEntry = STOR_SLIST_ENTRY {
        next = Next,
    }
    types::LockHandle = STOR_LOCK_HANDLE {
        kind = Lock,
    }
};

/// The codes of the two variadic functions, by their names in C.
pub(crate) fn codes() -> impl Iterator<Item = (&'static str, u64)> {
    EXTENDED.iter().chain(NOTIFICATIONS).map(|code| (code.name, u64::from(code.code)))
}

/// Functions that a miniport calls: those that are exported, and those of the header over a code that does something.
pub(crate) fn functions() -> impl Iterator<Item = &'static str> {
    let inline = EXTENDED.iter().chain(NOTIFICATIONS).filter(|code| code.coverage == Coverage::Done);
    all().map(|export| export.name).chain(inline.map(|code| code.function))
}

/// Families of codes, whose names in C are the Rust ones behind a prefix; and single ones.
macro_rules! constants {
    ($($kind:ident $prefix:literal { $($name:ident),* })* $(($c:ident, $rust:expr),)*) => {
        &[
            $($((concat!($prefix, stringify!($name)), $kind::$name.0 as u64),)*)*
            $((stringify!($c), $rust as u64),)*
        ]
    };
}

pub(crate) const CONSTANTS: &[(&str, u64)] = constants! {
    SrbFunction "SRB_FUNCTION_" { EXECUTE_SCSI, CLAIM_DEVICE, IO_CONTROL, RECEIVE_EVENT, RELEASE_QUEUE, ATTACH_DEVICE, RELEASE_DEVICE, SHUTDOWN, FLUSH, PROTOCOL_COMMAND, EXECUTE_NVME, ABORT_COMMAND, RELEASE_RECOVERY, RESET_BUS, RESET_DEVICE, TERMINATE_IO, FLUSH_QUEUE, REMOVE_DEVICE, WMI, LOCK_QUEUE, UNLOCK_QUEUE, QUIESCE_DEVICE, RESET_LOGICAL_UNIT, SET_LINK_TIMEOUT, LINK_TIMEOUT_OCCURRED, LINK_TIMEOUT_COMPLETE, POWER, PNP, DUMP_POINTERS, FREE_DUMP_POINTERS, STORAGE_REQUEST_BLOCK, CRYPTO_OPERATION }
    SrbStatus "SRB_STATUS_" { PENDING, SUCCESS, ABORTED, ABORT_FAILED, ERROR, BUSY, INVALID_REQUEST, INVALID_PATH_ID, NO_DEVICE, TIMEOUT, SELECTION_TIMEOUT, COMMAND_TIMEOUT, MESSAGE_REJECTED, BUS_RESET, PARITY_ERROR, REQUEST_SENSE_FAILED, NO_HBA, DATA_OVERRUN, UNEXPECTED_BUS_FREE, PHASE_SEQUENCE_FAILURE, BAD_SRB_BLOCK_LENGTH, REQUEST_FLUSHED, INVALID_LUN, INVALID_TARGET_ID, BAD_FUNCTION, ERROR_RECOVERY, NOT_POWERED, LINK_DOWN, INTERNAL_ERROR }
    ScsiStatus "SCSISTAT_" { GOOD, CHECK_CONDITION, CONDITION_MET, BUSY, RESERVATION_CONFLICT, TASK_ABORTED }
    SrbFlags "SRB_FLAGS_" { QUEUE_ACTION_ENABLE, DISABLE_DISCONNECT, DISABLE_SYNCH_TRANSFER, BYPASS_FROZEN_QUEUE, DISABLE_AUTOSENSE, DATA_IN, DATA_OUT, NO_QUEUE_FREEZE, ADAPTER_CACHE_ENABLE, FREE_SENSE_BUFFER, D3_PROCESSING, IS_ACTIVE, ALLOCATED_FROM_ZONE, SGLIST_FROM_POOL, BYPASS_LOCKED_QUEUE, NO_KEEP_AWAKE, PORT_DRIVER_ALLOCSENSE, PORT_DRIVER_SENSEHASPORT, DONT_START_NEXT_PACKET }
    StorStatus "STOR_STATUS_" { SUCCESS, UNSUCCESSFUL, NOT_IMPLEMENTED, INSUFFICIENT_RESOURCES, BUFFER_TOO_SMALL, ACCESS_DENIED, INVALID_PARAMETER, INVALID_DEVICE_REQUEST, INVALID_IRQL, INVALID_DEVICE_STATE, INVALID_BUFFER_SIZE, UNSUPPORTED_VERSION, BUSY, THROTTLED_REQUEST, TIMEOUT, INVALID_DATA }
    (RequestComplete, NotificationType::REQUEST_COMPLETE.0),
    (NextRequest, NotificationType::NEXT_REQUEST.0),
    (NextLuRequest, NotificationType::NEXT_LU_REQUEST.0),
    (ResetDetected, NotificationType::RESET_DETECTED.0),
    (RequestTimerCall, NotificationType::REQUEST_TIMER_CALL.0),
    (BusChangeDetected, NotificationType::BUS_CHANGE_DETECTED.0),
    (WMIEvent, NotificationType::WMI_EVENT.0),
    (WMIReregister, NotificationType::WMI_REREGISTER.0),
    (LinkUp, NotificationType::LINK_UP.0),
    (LinkDown, NotificationType::LINK_DOWN.0),
    (QueryTickCount, NotificationType::QUERY_TICK_COUNT.0),
    (BufferOverrunDetected, NotificationType::BUFFER_OVERRUN_DETECTED.0),
    (TraceNotification, NotificationType::TRACE_NOTIFICATION.0),
    (GetExtendedFunctionTable, NotificationType::GET_EXTENDED_FUNCTION_TABLE.0),
    (EnablePassiveInitialization, NotificationType::ENABLE_PASSIVE_INITIALIZATION.0),
    (InitializeDpc, NotificationType::INITIALIZE_DPC.0),
    (IssueDpc, NotificationType::ISSUE_DPC.0),
    (AcquireSpinLock, NotificationType::ACQUIRE_SPIN_LOCK.0),
    (ReleaseSpinLock, NotificationType::RELEASE_SPIN_LOCK.0),
    (StateChangeDetectedCall, NotificationType::STATE_CHANGE_DETECTED_CALL.0),
    (IoTargetRequestServiceTime, NotificationType::IO_TARGET_REQUEST_SERVICE_TIME.0),
    (AsyncNotificationDetected, NotificationType::ASYNC_NOTIFICATION_DETECTED.0),
    (DpcLock, spin_lock::DPC),
    (StartIoLock, spin_lock::START_IO),
    (InterruptLock, spin_lock::INTERRUPT),
    (ThreadedDpcLock, spin_lock::THREADED_DPC),
    (DpcLevelLock, spin_lock::DPC_LEVEL),
    (ScsiQuerySupportedControlTypes, adapter_control::QUERY_SUPPORTED_CONTROL_TYPES),
    (ScsiStopAdapter, adapter_control::STOP_ADAPTER),
    (ScsiRestartAdapter, adapter_control::RESTART_ADAPTER),
    (ScsiSetBootConfig, adapter_control::SET_BOOT_CONFIG),
    (ScsiSetRunningConfig, adapter_control::SET_RUNNING_CONFIG),
    (ScsiPowerSettingNotification, adapter_control::POWER_SETTING_NOTIFICATION),
    (ScsiAdapterPower, adapter_control::ADAPTER_POWER),
    (ScsiAdapterSurpriseRemoval, adapter_control::SURPRISE_REMOVAL),
    (ScsiAdapterControlSuccess, adapter_control::SUCCESS),
    (ScsiAdapterControlUnsuccessful, adapter_control::UNSUCCESSFUL),
    (ScsiQuerySupportedUnitControlTypes, unit_control::QUERY_SUPPORTED_CONTROL_TYPES),
    (ScsiUnitUsage, unit_control::USAGE),
    (ScsiUnitStart, unit_control::START),
    (ScsiUnitPower, unit_control::POWER),
    (ScsiUnitRemove, unit_control::REMOVE),
    (ScsiUnitSurpriseRemoval, unit_control::SURPRISE_REMOVAL),
    (SP_RETURN_NOT_FOUND, found::NOT_FOUND),
    (SP_RETURN_FOUND, found::FOUND),
    (SP_RETURN_ERROR, found::ERROR),
    (SP_RETURN_BAD_CONFIG, found::BAD_CONFIG),
    (SrbExDataTypeBidirectional, data_type::BIDIRECTIONAL),
    (SrbExDataTypeScsiCdb16, data_type::SCSI_CDB16),
    (SrbExDataTypeScsiCdb32, data_type::SCSI_CDB32),
    (SrbExDataTypeScsiCdbVar, data_type::SCSI_CDB_VAR),
    (SrbExDataTypeWmi, data_type::WMI),
    (SrbExDataTypePower, data_type::POWER),
    (SrbExDataTypePnP, data_type::PNP),
    (SrbExDataTypeIoInfo, data_type::IO_INFO),
    (STOR_MAP_NO_BUFFERS, map_buffers::NONE),
    (STOR_MAP_ALL_BUFFERS, map_buffers::ALL),
    (STOR_MAP_NON_READ_WRITE_BUFFERS, map_buffers::NON_READ_WRITE),
    (STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE, map_buffers::ALL_INCLUDING_READ_WRITE),
    (SRB_TYPE_FLAG_SCSI_REQUEST_BLOCK, initialization::SRB_TYPE_FLAG_SCSI_REQUEST_BLOCK),
    (SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK, initialization::SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK),
    (ADDRESS_TYPE_FLAG_BTL8, initialization::ADDRESS_TYPE_FLAG_BTL8),
    (STOR_FEATURE_VIRTUAL_MINIPORT, initialization::STOR_FEATURE_VIRTUAL_MINIPORT),
    (SRB_SIGNATURE, extended::SRB_SIGNATURE),
    (STORAGE_REQUEST_BLOCK_VERSION_1, extended::STORAGE_REQUEST_BLOCK_VERSION_1),
    (STOR_ADDRESS_TYPE_BTL8, extended::STOR_ADDRESS_TYPE_BTL8),
    (STOR_ADDR_BTL8_ADDRESS_LENGTH, extended::STOR_ADDR_BTL8_ADDRESS_LENGTH),
    (SP_UNTAGGED, codes::UNTAGGED),
    (SCSISTAT_QUEUE_FULL, ScsiStatus::TASK_SET_FULL.0),
    (SRB_CLASS_FLAGS_LOW_PRIORITY, SrbFlags::CLASS_LOW_PRIORITY.0),
    (SRB_CLASS_FLAGS_PERSISTANT, SrbFlags::CLASS_PERSISTENT.0),
    (SRB_CLASS_FLAGS_PAGING, SrbFlags::CLASS_PAGING.0),
    (SRB_CLASS_FLAGS_FREE_MDL, SrbFlags::CLASS_FREE_MDL.0),
    (SRB_STATUS_QUEUE_FROZEN, SrbStatus::QUEUE_FROZEN),
    (SRB_STATUS_AUTOSENSE_VALID, SrbStatus::AUTOSENSE_VALID),
    (SRB_SIMPLE_TAG_REQUEST, QueueAction::SIMPLE.0),
    (SRB_HEAD_OF_QUEUE_TAG_REQUEST, QueueAction::HEAD_OF_QUEUE.0),
    (SRB_ORDERED_QUEUE_TAG_REQUEST, QueueAction::ORDERED.0),
};
