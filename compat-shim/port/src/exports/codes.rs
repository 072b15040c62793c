//! The codes of the two variadic functions. Numbers and names are those of `STORPORT_FUNCTION_CODE` and
//! `SCSI_NOTIFICATION_TYPE`; a row that says NOT_IMPLEMENTED answers STOR_STATUS_NOT_IMPLEMENTED, as StorPort itself
//! does for what its version does not have, so that miniports are prepared for it.

use super::{
    Code, Coverage, buffers, events, lists, memory, notification, performance, power, registry, time,
    topology, work,
};

/// One row.
macro_rules! code {
    ($code:literal $name:ident $function:literal NOT_IMPLEMENTED) => {
        Code {
            code: $code,
            name: stringify!($name),
            function: $function,
            arguments: 0,
            coverage: Coverage::Answers("STOR_STATUS_NOT_IMPLEMENTED"),
            handler: work::not_implemented,
        }
    };
    ($code:literal $name:ident $function:literal $arguments:literal ($answer:ident) $handler:path) => {
        Code {
            code: $code,
            name: stringify!($name),
            function: $function,
            arguments: $arguments,
            coverage: Coverage::Answers(concat!("STOR_STATUS_", stringify!($answer))),
            handler: $handler,
        }
    };
    ($code:literal $name:ident $function:literal $arguments:literal $coverage:ident $handler:path) => {
        Code {
            code: $code,
            name: stringify!($name),
            function: $function,
            arguments: $arguments,
            coverage: Coverage::$coverage,
            handler: $handler,
        }
    };
}

/// `STORPORT_FUNCTION_CODE`, in the order of its numbers, none left out.
pub static EXTENDED: &[Code] = &[
    code!(0 ExtFunctionAllocatePool "StorPortAllocatePool" 3 Done memory::allocate_pool),
    code!(1 ExtFunctionFreePool "StorPortFreePool" 1 Done memory::free_pool),
    code!(2 ExtFunctionAllocateMdl "StorPortAllocateMdl" 3 Done buffers::allocate_mdl),
    code!(3 ExtFunctionFreeMdl "StorPortFreeMdl" 1 Done buffers::free_mdl),
    code!(4 ExtFunctionBuildMdlForNonPagedPool "StorPortBuildMdlForNonPagedPool" 1 Done buffers::build_mdl),
    code!(5 ExtFunctionGetSystemAddress "StorPortGetSystemAddress" 2 Done memory::system_address),
    code!(6 ExtFunctionGetOriginalMdl "StorPortGetOriginalMdl" 2 Done buffers::original_mdl),
    code!(7 ExtFunctionCompleteServiceIrp "StorPortCompleteServiceIrp" 1 Done work::complete_service_irp),
    code!(8 ExtFunctionGetDeviceObjects "StorPortGetDeviceObjects" 3 Done work::device_objects),
    code!(9 ExtFunctionBuildScatterGatherList "StorPortBuildScatterGatherList" NOT_IMPLEMENTED),
    code!(10 ExtFunctionPutScatterGatherList "StorPortPutScatterGatherList" NOT_IMPLEMENTED),
    code!(11 ExtFunctionAcquireMSISpinLock "StorPortAcquireMSISpinLock" 2 Done topology::acquire_message_lock),
    code!(12 ExtFunctionReleaseMSISpinLock "StorPortReleaseMSISpinLock" 2 Done topology::release_message_lock),
    code!(13 ExtFunctionGetMessageInterruptInformation "StorPortGetMSIInfo" 2 Done topology::message),
    code!(14 ExtFunctionInitializePerformanceOptimizations "StorPortInitializePerfOpts" 2 Done performance::initialize),
    code!(15 ExtFunctionGetStartIoPerformanceParameters "StorPortGetStartIoPerfParams" 2 Done performance::start_io_parameters),
    code!(16 ExtFunctionLogSystemEvent "StorPortLogSystemEvent" 2 Done events::log_system_event),
    code!(17 ExtFunctionGetCurrentProcessorNumber "StorPortGetCurrentProcessorNumber" 1 Done topology::processor_number),
    code!(18 ExtFunctionGetActiveGroupCount "StorPortGetActiveGroupCount" 1 Done topology::group_count),
    code!(19 ExtFunctionGetGroupAffinity "StorPortGetGroupAffinity" 2 Done topology::group_affinity),
    code!(20 ExtFunctionGetActiveNodeCount "StorPortGetActiveNodeCount" 1 Done topology::node_count),
    code!(21 ExtFunctionGetNodeAffinity "StorPortGetNodeAffinity" 2 Done topology::node_affinity),
    code!(22 ExtFunctionGetHighestNodeNumber "StorPortGetHighestNodeNumber" 1 Done topology::highest_node),
    code!(23 ExtFunctionGetLogicalProcessorRelationship "StorPortGetLogicalProcessorRelationship" NOT_IMPLEMENTED),
    code!(24 ExtFunctionAllocateContiguousMemorySpecifyCacheNode "StorPortAllocateContiguousMemorySpecifyCacheNode" 7 Done memory::allocate_contiguous),
    code!(25 ExtFunctionFreeContiguousMemorySpecifyCache "StorPortFreeContiguousMemorySpecifyCache" 3 Done memory::free_contiguous),
    code!(26 ExtFunctionSetPowerSettingNotificationGuids "StorPortSetPowerSettingNotificationGuids" NOT_IMPLEMENTED),
    code!(27 ExtFunctionInvokeAcpiMethod "StorPortInvokeAcpiMethod" NOT_IMPLEMENTED),
    code!(28 ExtFunctionGetRequestInfo "StorPortGetRequestInfo" 2 Done buffers::request_info),
    code!(29 ExtFunctionInitializeWorker "StorPortInitializeWorker" 1 Done work::initialize_worker),
    code!(30 ExtFunctionQueueWorkItem "StorPortQueueWorkItem" 3 Done work::queue_work_item),
    code!(31 ExtFunctionFreeWorker "StorPortFreeWorker" 1 Done work::free_worker),
    code!(32 ExtFunctionInitializeTimer "StorPortInitializeTimer" 1 Done work::initialize_timer),
    code!(33 ExtFunctionRequestTimer "StorPortRequestTimer" 5 Done work::request_timer),
    code!(34 ExtFunctionFreeTimer "StorPortFreeTimer" 1 Done work::free_timer),
    code!(35 ExtFunctionInitializeSListHead "StorPortInitializeSListHead" 1 Done lists::initialize),
    code!(36 ExtFunctionInterlockedFlushSList "StorPortInterlockedFlushSList" 2 Done lists::flush),
    code!(37 ExtFunctionInterlockedPopEntrySList "StorPortInterlockedPopEntrySList" 2 Done lists::pop),
    code!(38 ExtFunctionInterlockedPushEntrySList "StorPortInterlockedPushEntrySList" 3 Done lists::push),
    code!(39 ExtFunctionQueryDepthSList "StorPortQueryDepthSList" 2 Done lists::depth),
    code!(40 ExtFunctionGetActivityId "StorPortGetActivityIdSrb" 2 (UNSUCCESSFUL) buffers::activity),
    code!(41 ExtFunctionGetSystemPortNumber "StorPortGetSystemPortNumber" 1 Done topology::port_number),
    code!(42 ExtFunctionGetDataInBufferMdl "StorPortGetDataInBufferMdl" 0 (INVALID_PARAMETER) buffers::no_data_in),
    code!(43 ExtFunctionGetDataInBufferSystemAddress "StorPortGetDataInBufferSystemAddress" 0 (INVALID_PARAMETER) buffers::no_data_in),
    code!(44 ExtFunctionGetDataInBufferScatterGatherList "StorPortGetDataInBufferScatterGatherList" 0 (INVALID_PARAMETER) buffers::no_data_in),
    code!(45 ExtFunctionMarkDumpMemory "StorPortMarkDumpMemory" 3 Accepted work::accept),
    code!(46 ExtFunctionSetUnitAttributes "StorPortSetUnitAttributes" 2 Done work::set_unit_attributes),
    code!(47 ExtFunctionQueryPerformanceCounter "StorPortQueryPerformanceCounter" 2 Done time::performance_counter),
    code!(48 ExtFunctionInitializePoFxPower "StorPortInitializePoFxPower" 3 (UNSUCCESSFUL) power::initialize),
    code!(49 ExtFunctionPoFxActivateComponent "StorPortPoFxActivateComponent" 1 (INVALID_DEVICE_REQUEST) power::registered),
    code!(50 ExtFunctionPoFxIdleComponent "StorPortPoFxIdleComponent" 1 (INVALID_DEVICE_REQUEST) power::registered),
    code!(51 ExtFunctionPoFxSetComponentLatency "StorPortPoFxSetComponentLatency" 1 (INVALID_DEVICE_REQUEST) power::registered),
    code!(52 ExtFunctionPoFxSetComponentResidency "StorPortPoFxSetComponentResidency" 1 (INVALID_DEVICE_REQUEST) power::registered),
    code!(53 ExtFunctionPoFxPowerControl "StorPortPoFxPowerControl" 1 (INVALID_DEVICE_REQUEST) power::registered),
    code!(54 ExtFunctionFlushDataBufferMdl "StorPortFlushDataBufferMdl" 0 Accepted work::accept),
    code!(55 ExtFunctionDeviceOperationAllowed "StorPortIsDeviceOperationAllowed" NOT_IMPLEMENTED),
    code!(56 ExtFunctionGetProcessorIndexFromNumber "StorPortGetProcessorIndexFromNumber" 2 Done topology::processor_index),
    code!(57 ExtFunctionPoFxSetIdleTimeout "StorPortPoFxSetIdleTimeout" 1 (INVALID_DEVICE_REQUEST) power::registered),
    code!(58 ExtFunctionMiniportEtwEvent2 "StorPortEtwEvent2" 11 Done events::trace),
    code!(59 ExtFunctionMiniportEtwEvent4 "StorPortEtwEvent4" 15 Done events::trace),
    code!(60 ExtFunctionMiniportEtwEvent8 "StorPortEtwEvent8" 23 Done events::trace),
    code!(61 ExtFunctionCurrentOsInstallationUpgrade "StorPortCurrentOsInstallationUpgrade" NOT_IMPLEMENTED),
    code!(62 ExtFunctionRegistryReadAdapterKey "StorPortRegistryReadAdapterKey" 5 Done registry::read_adapter_key),
    code!(63 ExtFunctionRegistryWriteAdapterKey "StorPortRegistryWriteAdapterKey" 5 Done registry::write_adapter_key),
    code!(64 ExtFunctionSetAdapterBusType "StorPortSetAdapterBusType" 1 Accepted work::accept),
    code!(65 ExtFunctionPoFxRegisterPerfStates "StorPortPoFxRegisterPerfStates" NOT_IMPLEMENTED),
    code!(66 ExtFunctionPoFxSetPerfState "StorPortPoFxSetPerfState" 1 (INVALID_DEVICE_REQUEST) power::registered),
    code!(67 ExtFunctionGetD3ColdSupport "StorPortGetD3ColdSupport" NOT_IMPLEMENTED),
    code!(68 ExtFunctionInitializeRpmb "StorPortInitializeRpmb" NOT_IMPLEMENTED),
    code!(69 ExtFunctionAllocateHmb "StorPortAllocateHostMemoryBuffer" 9 Done buffers::allocate_host_buffer),
    code!(70 ExtFunctionFreeHmb "StorPortFreeHostMemoryBuffer" 2 Done buffers::free_host_buffer),
    code!(71 ExtFunctionPropagateIrpExtension "StorPortPropagateIrpExtension" NOT_IMPLEMENTED),
    code!(72 ExtFunctionInterlockedInsertHeadList "StorPortInterlockedInsertHeadList" 4 Done lists::insert_head),
    code!(73 ExtFunctionInterlockedInsertTailList "StorPortInterlockedInsertTailList" 4 Done lists::insert_tail),
    code!(74 ExtFunctionInterlockedRemoveHeadList "StorPortInterlockedRemoveHeadList" 3 Done lists::remove_head),
    code!(75 ExtFunctionInitializeSpinlock "StorPortInitializeSpinlock" 1 Done lists::initialize_lock),
    code!(76 ExtFunctionGetPfns "StorPortGetPfns" 5 Done buffers::frames),
    code!(77 ExtFunctionInitializeCryptoEngine "StorPortInitializeCryptoEngine" NOT_IMPLEMENTED),
    code!(78 ExtFunctionGetRequestCryptoInfo "StorPortGetRequestCryptoInfo" NOT_IMPLEMENTED),
    code!(79 ExtFunctionMiniportTelemetry "StorPortLogTelemetry" 0 Accepted work::accept),
    code!(80 ExtFunctionUpdateAdapterMaxIO "StorPortUpdateAdapterMaxIO" NOT_IMPLEMENTED),
    code!(81 ExtFunctionDelayExecution "StorPortDelayExecution" 1 Done time::delay),
    code!(82 ExtFunctionAllocateDmaMemory "StorPortAllocateDmaMemory" 8 Done memory::allocate_dma_memory),
    code!(83 ExtFunctionFreeDmaMemory "StorPortFreeDmaMemory" 4 Done memory::free_dma_memory),
    code!(84 ExtFunctionUpdateAdapterMaxIOInfo "StorPortUpdatePortConfigMaxIOInfo" NOT_IMPLEMENTED),
    code!(85 ExtFunctionMiniportChannelEtwEvent2 "StorPortEtwChannelEvent2" 12 Done events::trace_channel),
    code!(86 ExtFunctionMiniportChannelEtwEvent4 "StorPortEtwChannelEvent4" 16 Done events::trace_channel),
    code!(87 ExtFunctionMiniportChannelEtwEvent8 "StorPortEtwChannelEvent8" 24 Done events::trace_channel),
    code!(88 ExtFunctionInitializeHighResolutionTimer "StorPortInitializeHighResolutionTimer" NOT_IMPLEMENTED),
    code!(89 ExtFunctionRequestHighResolutionTimer "StorPortRequestHighResolutionTimer" NOT_IMPLEMENTED),
    code!(90 ExtFunctionCancelHighResolutionTimer "StorPortCancelHighResolutionTimer" NOT_IMPLEMENTED),
    code!(91 ExtFunctionFreeHighResolutionTimer "StorPortFreeHighResolutionTimer" NOT_IMPLEMENTED),
    code!(92 ExtFunctionGetCurrentProcessorIndex "StorPortGetCurrentProcessorIndex" 1 Done topology::current_index),
    code!(93 ExtFunctionAcquireSpinLock "StorPortAcquireSpinLockEx" 3 Done work::acquire_spin_lock),
    code!(94 ExtFunctionGetProcessorCount "StorPortGetProcessorCount" 1 Done topology::processor_count),
    code!(95 ExtFunctionCancelDpc "StorPortCancelDpc" 2 Done work::cancel_dpc),
    code!(96 ExtFunctionMiniportTelemetryEx "StorPortLogTelemetryEx" 0 Accepted work::accept),
    code!(97 ExtFunctionQueryConfiguration "StorPortQueryConfiguration" NOT_IMPLEMENTED),
    code!(98 ExtFunctionLogHardwareError "StorPortLogHardwareError" NOT_IMPLEMENTED),
    code!(99 ExtFunctionInitializeEvent "StorPortInitializeEvent" NOT_IMPLEMENTED),
    code!(100 ExtFunctionWaitForEvent "StorPortWaitForSingleObject" NOT_IMPLEMENTED),
    code!(101 ExtFunctionSetEvent "StorPortSetEvent" NOT_IMPLEMENTED),
    code!(102 ExtFunctionDeviceReset "StorPortHardwareReset" NOT_IMPLEMENTED),
    code!(103 ExtFunctionSetFeatureList "StorPortSetFeatureList" 2 Accepted work::accept),
    code!(104 ExtFunctionCaptureLiveDump "StorPortCaptureLiveDump" NOT_IMPLEMENTED),
    code!(105 ExtFunctionMiniportLogByteStream "StorPortEtwLogByteStream" 9 Done buffers::byte_stream),
    code!(106 ExtFunctionQueryDpcWatchdogInformation "StorPortQueryDpcWatchdogInformation" 1 Done time::watchdog),
    code!(107 ExtFunctionQueryTimerMinInterval "StorPortQueryTimerMinInterval" 1 Done time::shortest_timer),
    code!(108 ExtFunctionMaskPciMsixEntry "StorPortMaskMsixInterrupt" NOT_IMPLEMENTED),
    code!(109 ExtFunctionGetCurrentIrql "StorPortGetCurrentIrql" 1 Done time::current_irql),
    code!(110 ExtFunctionCreateSystemThread "StorPortCreateSystemThread" NOT_IMPLEMENTED),
    code!(111 ExtFunctionSetPriorityThread "StorPortSetPriorityThread" NOT_IMPLEMENTED),
    code!(112 ExtFunctionSetSystemGroupAffinityThread "StorPortSetSystemGroupAffinityThread" NOT_IMPLEMENTED),
    code!(113 ExtFunctionRevertToUserGroupAffinityThread "StorPortRevertToUserGroupAffinityThread" NOT_IMPLEMENTED),
    code!(114 ExtFunctionDeviceResetEx "StorPortDeviceResetEx" NOT_IMPLEMENTED),
    code!(115 ExtFunctionMiniportReportInternalData "StorPortMiniportReportInternalData" NOT_IMPLEMENTED),
    code!(116 ExtFunctionGetMessageInterruptIDFromProcessorIndex "StorPortGetMessageInterruptIDFromProcessorIndex" 2 Done topology::message_of_processor),
    code!(117 ExtFunctionGetNodeAffinity2 "StorPortGetNodeAffinity2" 4 Done topology::node_affinities),
    code!(118 ExtFunctionEnableRegistryKeyNotification "StorPortEnableRegistryKeyNotification" NOT_IMPLEMENTED),
    code!(119 ExtFunctionPoFxRegisterPerfStatesEx "StorPortPoFxRegisterPerfStatesEx" NOT_IMPLEMENTED),
    code!(120 ExtFunctionReadRegistryKey "StorPortReadRegistryKey" NOT_IMPLEMENTED),
    code!(121 ExtFunctionGetDeviceBase2 "StorPortGetDeviceBase2" 7 Done buffers::device_base),
    code!(122 ExtFunctionIsDriverHotSwapEnabled "StorPortIsDriverHotSwapEnabled" NOT_IMPLEMENTED),
    code!(123 ExtFunctionRegisterDriverProxy "StorPortRegisterDriverProxy" NOT_IMPLEMENTED),
    code!(124 ExtFunctionRegisterDriverProxyEndpoints "StorPortRegisterDriverProxyEndpoints" NOT_IMPLEMENTED),
    code!(125 ExtFunctionGetDriverProxyEndpointWrapper "StorPortGetDriverProxyEndpointWrapper" NOT_IMPLEMENTED),
    code!(126 ExtFunctionNvmeIceIoStart "StorPortNvmeIceIoStart" NOT_IMPLEMENTED),
    code!(127 ExtFunctionNvmeIceIoComplete "StorPortNvmeIceIoComplete" NOT_IMPLEMENTED),
    code!(128 ExtFunctionNvmeMiniportEvent "StorPortNvmeMiniportEvent" NOT_IMPLEMENTED),
    code!(129 ExtFunctionNvmeMiniportTelemetry "StorPortNvmeMiniportTelemetry" NOT_IMPLEMENTED),
    code!(130 ExtFunctionGetDriverProxyEndpointWrapperFromEndpoint "StorPortGetDriverProxyEndpointWrapperFromEndpoint" NOT_IMPLEMENTED),
    code!(131 ExtFunctionSwapDriverProxyEndpoints "StorPortSwapDriverProxyEndpoints" NOT_IMPLEMENTED),
    code!(132 ExtFunctionStorMQAddController "StorPortStorMQAddController" NOT_IMPLEMENTED),
    code!(133 ExtFunctionStorMQRemoveController "StorPortStorMQRemoveController" NOT_IMPLEMENTED),
    code!(134 ExtFunctionNvmeIceIoStartEx "StorPortNvmeIceIoStartEx" NOT_IMPLEMENTED),
    code!(135 ExtFunctionQueryNvmeIceSupport "StorPortQueryNvmeIceSupport" NOT_IMPLEMENTED),
    code!(136 ExtFunctionQueueWorkItemToNode "StorPortQueueWorkItemToNode" 4 Done work::queue_work_item_to),
];

/// `SCSI_NOTIFICATION_TYPE`.
pub static NOTIFICATIONS: &[Code] = &[
    code!(0x0000 RequestComplete "StorPortNotification" 1 Done notification::request_complete),
    code!(0x0001 NextRequest "StorPortNotification" 0 Accepted work::accept),
    code!(0x0002 NextLuRequest "StorPortNotification" 0 Accepted work::accept),
    code!(0x0003 ResetDetected "StorPortNotification" 0 Done notification::reset_detected),
    code!(0x0006 RequestTimerCall "StorPortNotification" 2 Done notification::request_timer_call),
    code!(0x0007 BusChangeDetected "StorPortNotification" 1 Done notification::bus_change_detected),
    code!(0x0008 WMIEvent "ScsiPortWmiFireLogicalUnitEvent" 4 Done notification::wmi_event),
    code!(0x0009 WMIReregister "StorPortNotification" 0 Accepted work::accept),
    code!(0x000A LinkUp "StorPortNotification" 0 Done notification::link_up),
    code!(0x000B LinkDown "StorPortNotification" 0 Done notification::link_down),
    code!(0x000C QueryTickCount "StorPortNotification" 1 Done notification::query_tick_count),
    code!(0x000D BufferOverrunDetected "StorPortNotification" 0 Done notification::buffer_overrun),
    code!(0x000E TraceNotification "StorPortNotification" 0 Accepted work::accept),
    code!(0x000F GetExtendedFunctionTable "StorPortNotification" NOT_IMPLEMENTED),
    code!(0x1000 EnablePassiveInitialization "StorPortEnablePassiveInitialization" 2 Done notification::enable_passive),
    code!(0x1001 InitializeDpc "StorPortInitializeDpc" 2 Done notification::initialize_dpc),
    code!(0x1002 IssueDpc "StorPortIssueDpc" 4 Done notification::issue_dpc),
    code!(0x1003 AcquireSpinLock "StorPortAcquireSpinLock" 3 Done notification::acquire_spin_lock),
    code!(0x1004 ReleaseSpinLock "StorPortReleaseSpinLock" 1 Done notification::release_spin_lock),
    code!(0x1005 StateChangeDetectedCall "StorPortStateChangeDetected" 6 Done notification::state_change_detected),
    code!(0x1006 IoTargetRequestServiceTime "StorPortNotification" 2 Accepted work::accept),
    code!(0x1007 AsyncNotificationDetected "StorPortAsyncNotificationDetected" 3 Done notification::async_notification),
    code!(0x1008 RequestDirectComplete "StorPortNotification" 1 Done notification::request_complete),
    code!(0x1009 InitializeDpcWithContext "StorPortNotification" NOT_IMPLEMENTED),
    code!(0x100A InitializeThreadedDpc "StorPortInitializeThreadedDpc" 2 Done notification::initialize_dpc),
    code!(0x100B SetTargetProcessorDpc "StorPortSetTargetProcessorDpc" NOT_IMPLEMENTED),
    code!(0x100C MarkDeviceFailed "StorPortMarkDeviceFailed" 3 Done notification::mark_device_failed),
    code!(0x100D MarkDeviceFailedEx "StorPortMarkDeviceFailedEx" 8 Done notification::mark_device_failed),
    code!(0x100E TerminateSystemThread "StorPortTerminateSystemThread" NOT_IMPLEMENTED),
    code!(0x100F NvmeofNotification "StorPortNvmeofNotification" NOT_IMPLEMENTED),
    code!(0x1010 StorMQControllerStartInitialization "StorPortNotification" NOT_IMPLEMENTED),
];

/// The row of an extended function's code.
pub(super) fn extended(code: u32) -> Option<&'static Code> {
    EXTENDED.get(code as usize)
}

/// The row of a notification.
pub(super) fn notification(code: u32) -> Option<&'static Code> {
    NOTIFICATIONS.iter().find(|row| row.code == code)
}

/// A code's row is found by its number.
const fn is_in_order(rows: &[Code]) -> bool {
    let mut index = 0;
    while index < rows.len() {
        if rows[index].code as usize != index {
            return false;
        }
        index += 1;
    }
    true
}

const _: () = assert!(is_in_order(EXTENDED));
