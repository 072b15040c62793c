/*
 * Lists, locks, DPCs and processors: functions that are inline around StorPortExtendedFunction and StorPortNotification.
 * Written from the storport.h pages of Microsoft's driver documentation. Included by storport.h.
 */
#ifndef SLUICE_STORPORT_OBJECTS_H
#define SLUICE_STORPORT_OBJECTS_H

/* Singly linked lists. What a head is made of is the port's. */
typedef struct DECLSPEC_ALIGN(16) _STOR_SLIST_ENTRY {
    struct _STOR_SLIST_ENTRY *Next;
} STOR_SLIST_ENTRY, *PSTOR_SLIST_ENTRY;

typedef struct DECLSPEC_ALIGN(16) _STOR_SLIST_HEADER {
    ULONGLONG Alignment;
    ULONGLONG Region;
} STOR_SLIST_HEADER, *PSTOR_SLIST_HEADER;

/* Doubly linked ones, with a lock that the caller keeps beside them. */
typedef struct _STOR_LIST_ENTRY {
    struct _STOR_LIST_ENTRY *Flink;
    struct _STOR_LIST_ENTRY *Blink;
} STOR_LIST_ENTRY, *PSTOR_LIST_ENTRY;

typedef ULONG_PTR STOR_KSPIN_LOCK, *PSTOR_KSPIN_LOCK;

SLUICE_SIZE(STOR_SLIST_ENTRY, 16);
SLUICE_SIZE(STOR_SLIST_HEADER, 16);
SLUICE_SIZE(STOR_LIST_ENTRY, 16);

FORCEINLINE ULONG StorPortInitializeSListHead(PVOID HwDeviceExtension, PSTOR_SLIST_HEADER SListHead)
{
    return StorPortExtendedFunction(ExtFunctionInitializeSListHead, HwDeviceExtension, SListHead);
}

FORCEINLINE ULONG StorPortInterlockedFlushSList(
    PVOID HwDeviceExtension, PSTOR_SLIST_HEADER SListHead, PSTOR_SLIST_ENTRY *Result)
{
    return StorPortExtendedFunction(ExtFunctionInterlockedFlushSList, HwDeviceExtension, SListHead, Result);
}

FORCEINLINE ULONG StorPortInterlockedPopEntrySList(
    PVOID HwDeviceExtension, PSTOR_SLIST_HEADER SListHead, PSTOR_SLIST_ENTRY *Result)
{
    return StorPortExtendedFunction(ExtFunctionInterlockedPopEntrySList, HwDeviceExtension, SListHead, Result);
}

FORCEINLINE ULONG StorPortInterlockedPushEntrySList(
    PVOID HwDeviceExtension, PSTOR_SLIST_HEADER SListHead, PSTOR_SLIST_ENTRY SListEntry, PSTOR_SLIST_ENTRY *Result)
{
    return StorPortExtendedFunction(
        ExtFunctionInterlockedPushEntrySList, HwDeviceExtension, SListHead, SListEntry, Result);
}

FORCEINLINE ULONG StorPortQueryDepthSList(PVOID HwDeviceExtension, PSTOR_SLIST_HEADER SListHead, PSHORT Result)
{
    return StorPortExtendedFunction(ExtFunctionQueryDepthSList, HwDeviceExtension, SListHead, Result);
}

FORCEINLINE VOID StorPortInitializeListHead(PVOID HwDeviceExtension, PSTOR_LIST_ENTRY ListHead)
{
    UNREFERENCED_PARAMETER(HwDeviceExtension);
    ListHead->Flink = ListHead->Blink = ListHead;
}

FORCEINLINE ULONG StorPortInterlockedInsertHeadList(PVOID HwDeviceExtension, PSTOR_LIST_ENTRY ListHead,
    PSTOR_LIST_ENTRY ListEntry, PSTOR_LIST_ENTRY *Result, PSTOR_KSPIN_LOCK Lock)
{
    return StorPortExtendedFunction(
        ExtFunctionInterlockedInsertHeadList, HwDeviceExtension, ListHead, ListEntry, Result, Lock);
}

FORCEINLINE ULONG StorPortInterlockedInsertTailList(PVOID HwDeviceExtension, PSTOR_LIST_ENTRY ListHead,
    PSTOR_LIST_ENTRY ListEntry, PSTOR_LIST_ENTRY *Result, PSTOR_KSPIN_LOCK Lock)
{
    return StorPortExtendedFunction(
        ExtFunctionInterlockedInsertTailList, HwDeviceExtension, ListHead, ListEntry, Result, Lock);
}

FORCEINLINE ULONG StorPortInterlockedRemoveHeadList(
    PVOID HwDeviceExtension, PSTOR_LIST_ENTRY ListHead, PSTOR_LIST_ENTRY *Result, PSTOR_KSPIN_LOCK Lock)
{
    return StorPortExtendedFunction(ExtFunctionInterlockedRemoveHeadList, HwDeviceExtension, ListHead, Result, Lock);
}

FORCEINLINE ULONG StorPortInitializeSpinlock(PVOID HwDeviceExtension, PSTOR_KSPIN_LOCK Lock)
{
    return StorPortExtendedFunction(ExtFunctionInitializeSpinlock, HwDeviceExtension, Lock);
}

FORCEINLINE ULONG StorPortAcquireSpinLockEx(
    PVOID HwDeviceExtension, STOR_SPINLOCK SpinLock, PVOID LockContext, PSTOR_LOCK_HANDLE LockHandle)
{
    return StorPortExtendedFunction(
        ExtFunctionAcquireSpinLock, HwDeviceExtension, SpinLock, LockContext, LockHandle);
}

/* DPCs. A threaded one may run at DISPATCH_LEVEL, too, and here always does. */
FORCEINLINE VOID StorPortInitializeThreadedDpc(PVOID DeviceExtension, PSTOR_DPC Dpc, PHW_DPC_ROUTINE HwDpcRoutine)
{
    StorPortNotification(InitializeThreadedDpc, DeviceExtension, Dpc, HwDpcRoutine);
}

FORCEINLINE ULONG StorPortCancelDpc(PVOID HwDeviceExtension, PSTOR_DPC Dpc, BOOLEAN *ReturnValue)
{
    return StorPortExtendedFunction(ExtFunctionCancelDpc, HwDeviceExtension, Dpc, ReturnValue);
}

typedef struct _STOR_DPC_WATCHDOG_INFORMATION {
    ULONG DpcTimeLimit;
    ULONG DpcTimeCount;
    ULONG DpcWatchdogLimit;
    ULONG DpcWatchdogCount;
    ULONG Reserved;
} STOR_DPC_WATCHDOG_INFORMATION, *PSTOR_DPC_WATCHDOG_INFORMATION;

FORCEINLINE ULONG StorPortQueryDpcWatchdogInformation(
    PVOID HwDeviceExtension, PSTOR_DPC_WATCHDOG_INFORMATION DpcWatchdogInformation)
{
    return StorPortExtendedFunction(ExtFunctionQueryDpcWatchdogInformation, HwDeviceExtension, DpcWatchdogInformation);
}

FORCEINLINE ULONG StorPortQueryTimerMinInterval(PVOID HwDeviceExtension, PULONG TimerMinInterval)
{
    return StorPortExtendedFunction(ExtFunctionQueryTimerMinInterval, HwDeviceExtension, TimerMinInterval);
}

FORCEINLINE ULONG StorPortQueueWorkItemToNode(
    PVOID HwDeviceExtension, PHW_WORKITEM WorkItemCallback, PVOID Worker, PVOID Context, ULONG Node)
{
    return StorPortExtendedFunction(
        ExtFunctionQueueWorkItemToNode, HwDeviceExtension, WorkItemCallback, Worker, Context, Node);
}

/* Processors. */
FORCEINLINE ULONG StorPortGetProcessorCount(PVOID HwDeviceExtension, PULONG ProcessorCount)
{
    return StorPortExtendedFunction(ExtFunctionGetProcessorCount, HwDeviceExtension, ProcessorCount);
}

FORCEINLINE ULONG StorPortGetNodeAffinity2(PVOID HwDeviceExtension, ULONG NodeNumber, PGROUP_AFFINITY GroupAffinities,
    USHORT GroupAffinitiesCount, PUSHORT GroupAffinitiesCountRequired)
{
    return StorPortExtendedFunction(ExtFunctionGetNodeAffinity2, HwDeviceExtension, NodeNumber, GroupAffinities,
        GroupAffinitiesCount, GroupAffinitiesCountRequired);
}

FORCEINLINE ULONG StorPortGetMessageInterruptIDFromProcessorIndex(
    PVOID HwDeviceExtension, ULONG ProcessorIndex, PULONG MessageInterruptID)
{
    return StorPortExtendedFunction(
        ExtFunctionGetMessageInterruptIDFromProcessorIndex, HwDeviceExtension, ProcessorIndex, MessageInterruptID);
}

/* What a miniport can do that the port must know of. */
typedef enum _STORPORT_FEATURE_TYPE {
    StorportFeatureBusTypeUnitControl,
    StorportFeatureFruIdUnitControl,
    StorportFeatureFruIdAdapterControl,
    StorportFeatureSetEventLoggingAdapterControl,
    StorportFeatureReportInternalDataUnitControl,
    StorportFeatureReportInternalDataAdapterControl,
    StorportFeatureResetBusSynchronous,
    StorportFeaturePostHwInitialize,
    StorportFeaturePrepareEarlyDumpData,
    StorportFeatureRestoreEarlyDumpData,
    StorportFeatureKsrAdapterPowerDownOptimization,
    StorportFeatureKsrUnitPowerDownOptimization,
    StorportFeaturePreparePLDR,
    StorportFeatureNvmeofAdapterOperation,
    StorportFeatureReserved1,
    StorportFeatureQueryStorMQInterface,
    StorportFeatureMax
} STORPORT_FEATURE_TYPE;

FORCEINLINE ULONG StorPortSetFeatureList(PVOID HwDeviceExtension, ULONG FeatureCount, PBOOLEAN FeatureList)
{
    return StorPortExtendedFunction(ExtFunctionSetFeatureList, HwDeviceExtension, FeatureCount, FeatureList);
}

/* BusType is a STORAGE_BUS_TYPE. */
FORCEINLINE ULONG StorPortSetAdapterBusType(PVOID HwDeviceExtension, ULONG BusType)
{
    return StorPortExtendedFunction(ExtFunctionSetAdapterBusType, HwDeviceExtension, BusType);
}

#endif /* SLUICE_STORPORT_OBJECTS_H */
