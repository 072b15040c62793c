#include "plain.h"

#include <ntddscsi.h>
#include <scsiwmi.h>

#define TICK (50 * 1000) /* microseconds */

static HW_TIMER_EX TimerRoutine;
static HW_WORKITEM WorkRoutine;

static VOID Tell(PLAIN *Plain)
{
    LARGE_INTEGER Frequency, Counter, Time;
    STOR_LOG_EVENT_DETAILS Details;
    STOR_UNIT_ATTRIBUTES Attributes;
    STOR_ADDR_BTL8 Address;
    ULONG Size = 0;

    RtlZeroMemory(&Details, sizeof(Details));
    Details.InterfaceRevision = STOR_CURRENT_LOG_INTERFACE_REVISION;
    Details.Size = sizeof(Details);
    Details.EventAssociation = StorEventAdapterAssociation;
    Details.ErrorCode = 0x40040001;
    Details.UniqueId = 1;
    Details.DumpData = (PVOID)(ULONG_PTR)"plain";
    Details.DumpDataSize = 5;
    StorPortLogSystemEvent(Plain, &Details, &Size);
    StorPortEtwEvent2(Plain, NULL, 1, (PWSTR)L"Started", STORPORT_ETW_EVENT_KEYWORD_ENUMERATION,
        StorportEtwLevelInformational, StorportEtwEventOpcodeStart, NULL, (PWSTR)L"Blocks", Plain->Disk.Blocks,
        (PWSTR)L"Queues", Plain->Queues);
    StorPortEtwEvent4(Plain, NULL, 2, (PWSTR)L"Processors", STORPORT_ETW_EVENT_KEYWORD_PERFORMANCE,
        StorportEtwLevelVerbose, StorportEtwEventOpcodeInfo, NULL, (PWSTR)L"Messages", Plain->Messages,
        (PWSTR)L"Channels", Plain->Channels, (PWSTR)L"", 0, NULL, 0);
    StorPortDebugPrint(1, "plain: %u queues, %u messages\n", (unsigned)Plain->Queues, (unsigned)Plain->Messages);

    RtlZeroMemory(&Address, sizeof(Address));
    Address.Type = STOR_ADDRESS_TYPE_BTL8;
    Address.AddressLength = STOR_ADDR_BTL8_ADDRESS_LENGTH;
    RtlZeroMemory(&Attributes, sizeof(Attributes));
    Attributes.AsyncNotificationSupported = 1;
    StorPortSetUnitAttributes(Plain, (PSTOR_ADDRESS)&Address, Attributes); /* may be answered with "not implemented" */

    Frequency.QuadPart = Counter.QuadPart = Time.QuadPart = 0;
    if (StorPortQueryPerformanceCounter(Plain, &Frequency, &Counter) != STOR_STATUS_SUCCESS ||
        Frequency.QuadPart <= 0)
        COUNT(Plain, Failures);
    StorPortQuerySystemTime(&Time);
    if (Time.QuadPart <= 0)
        COUNT(Plain, Failures);
    StorPortStallExecution(1);
}

/* Memory for a device, of every kind; nothing of it is kept. */
static VOID TryMemory(PLAIN *Plain)
{
    PHYSICAL_ADDRESS Lowest, Highest, Boundary, Address;
    PVOID Memory = NULL;

    Lowest.QuadPart = Boundary.QuadPart = Address.QuadPart = 0;
    Highest.QuadPart = -1;
    Highest.HighPart = 0x7FFFFFFF;
    if (StorPortAllocateContiguousMemorySpecifyCacheNode(Plain, 2 * PAGE_SIZE, Lowest, Highest, Boundary, MmCached,
            MM_ANY_NODE_OK, &Memory) != STOR_STATUS_SUCCESS ||
        StorPortFreeContiguousMemorySpecifyCache(Plain, Memory, 2 * PAGE_SIZE, MmCached) != STOR_STATUS_SUCCESS)
        COUNT(Plain, Failures);
    if (StorPortAllocateDmaMemory(Plain, PAGE_SIZE, Lowest, Highest, Boundary, MmNonCached, MM_ANY_NODE_OK, &Memory,
            &Address) != STOR_STATUS_SUCCESS ||
        StorPortFreeDmaMemory(Plain, Memory, PAGE_SIZE, MmNonCached, Address) != STOR_STATUS_SUCCESS)
        COUNT(Plain, Failures);
}

BOOLEAN PlainStartServices(PLAIN *Plain)
{
    if (StorPortInitializeTimer(Plain, &Plain->Timer) != STOR_STATUS_SUCCESS ||
        StorPortInitializeWorker(Plain, &Plain->Worker) != STOR_STATUS_SUCCESS)
        return FALSE;
    TryMemory(Plain);
    Tell(Plain);
    StorPortNotification(RequestTimerCall, Plain, PlainTick, TICK);
    if (StorPortRequestTimer(Plain, Plain->Timer, TimerRoutine, &Plain->Counters, TICK, 0) != STOR_STATUS_SUCCESS)
        COUNT(Plain, Failures);
    return TRUE;
}

VOID PlainStopServices(PLAIN *Plain)
{
    StorPortNotification(RequestTimerCall, Plain, PlainTick, 0);
    if (Plain->Timer) {
        StorPortRequestTimer(Plain, Plain->Timer, TimerRoutine, NULL, 0, 0);
        StorPortFreeTimer(Plain, Plain->Timer);
    }
    if (Plain->Worker)
        StorPortFreeWorker(Plain, Plain->Worker);
    if (Plain->Disk.Memory)
        StorPortFreePool(Plain, Plain->Disk.Memory);
    if (Plain->Registers)
        StorPortFreeDeviceBase(Plain, Plain->Registers);
    Plain->Registers = NULL;
    Plain->Timer = Plain->Worker = NULL;
    Plain->Disk.Memory = NULL;
}

VOID NTAPI PlainTick(PVOID DeviceExtension)
{
    PLAIN *Plain = DeviceExtension;

    COUNT(Plain, Ticks);
    StorPortNotification(RequestTimerCall, Plain, PlainTick, TICK);
}

static VOID NTAPI TimerRoutine(PVOID DeviceExtension, PVOID Context)
{
    PLAIN *Plain = DeviceExtension;

    if (Context != &Plain->Counters)
        COUNT(Plain, Failures);
    COUNT(Plain, Timers);
}

/* One work item does all that waits; who adds to the list starts it if it does not run. */
VOID PlainDefer(PLAIN *Plain, PVOID Srb)
{
    STOR_LOCK_HANDLE Handle;

    RtlZeroMemory(&Handle, sizeof(Handle));
    if (Plain->Channels)
        StorPortAcquireSpinLock(Plain, StartIoLock, NULL, &Handle);
    InsertTailList(&Plain->WorkItems, &PlainRequest(Srb)->Link);
    if (Plain->Channels)
        StorPortReleaseSpinLock(Plain, &Handle);
    if (InterlockedExchange(&Plain->Working, 1) == 0 &&
        StorPortQueueWorkItem(Plain, WorkRoutine, Plain->Worker, &Plain->WorkItems) != STOR_STATUS_SUCCESS)
        COUNT(Plain, Failures);
}

static PVOID NextWork(PLAIN *Plain)
{
    STOR_LOCK_HANDLE Handle;
    PVOID Srb = NULL;

    RtlZeroMemory(&Handle, sizeof(Handle));
    StorPortAcquireSpinLock(Plain, StartIoLock, NULL, &Handle);
    if (!IsListEmpty(&Plain->WorkItems))
        Srb = CONTAINING_RECORD(RemoveHeadList(&Plain->WorkItems), REQUEST, Link)->Srb;
    else
        InterlockedExchange(&Plain->Working, 0);
    StorPortReleaseSpinLock(Plain, &Handle);
    return Srb;
}

static VOID NTAPI WorkRoutine(PVOID HwDeviceExtension, PVOID Context, PVOID Worker)
{
    PLAIN *Plain = HwDeviceExtension;
    PVOID Srb;

    if (Context != &Plain->WorkItems || Worker != Plain->Worker)
        COUNT(Plain, Failures);
    COUNT(Plain, WorkItems);
    while ((Srb = NextWork(Plain)) != NULL) {
        if (SrbGetSrbFunction(Srb) == SRB_FUNCTION_IO_CONTROL)
            PlainExercise(Plain);
        PlainCompleteWith(Plain, Srb, SRB_STATUS_SUCCESS);
    }
}

VOID PlainIoControl(PLAIN *Plain, PVOID Srb)
{
    PSRB_IO_CONTROL Control = SrbGetDataBuffer(Srb);
    ULONG Length = SrbGetDataTransferLength(Srb);

    COUNT(Plain, IoControl);
    if (!Control || Length < sizeof(*Control) || Control->HeaderLength != sizeof(*Control) ||
        Control->Length > Length - sizeof(*Control) ||
        !RtlEqualMemory(Control->Signature, COUNTERS_SIGNATURE, sizeof(COUNTERS_SIGNATURE))) {
        PlainCompleteWith(Plain, Srb, SRB_STATUS_INVALID_REQUEST);
        return;
    }
    Control->ReturnCode = 0;
    if (Control->ControlCode == COUNTERS_READ && Control->Length >= sizeof(COUNTERS)) {
        StorPortMoveMemory(Control + 1, (PVOID)(ULONG_PTR)&Plain->Counters, sizeof(COUNTERS));
        DiskSucceed(Srb, sizeof(*Control) + sizeof(COUNTERS));
    } else if (Control->ControlCode == COUNTERS_EXERCISE) {
        PlainDefer(Plain, Srb);
        return;
    } else if (Control->ControlCode == COUNTERS_ECHO) {
        DiskSucceed(Srb, sizeof(*Control) + Control->Length);
    } else {
        Control->ReturnCode = 1;
        DiskSucceed(Srb, sizeof(*Control));
    }
    PlainComplete(Plain, Srb);
}

/* WMI: one data block with one instance, the counters. */
static const GUID CountersGuid = { 0x6B1D2E4A, 0x3C5F, 0x4D7E, { 0x90, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6, 0x07 } };
static SCSIWMIGUIDREGINFO Guids[] = { { &CountersGuid, 1, 0 } };

static UCHAR QueryRegInfo(PVOID DeviceContext, PSCSIWMI_REQUEST_CONTEXT RequestContext, PWCHAR *MofResourceName)
{
    UNREFERENCED_PARAMETER(DeviceContext);
    UNREFERENCED_PARAMETER(RequestContext);
    *MofResourceName = (PWCHAR)L"Counters";
    return SRB_STATUS_SUCCESS;
}

static BOOLEAN QueryDataBlock(PVOID Context, PSCSIWMI_REQUEST_CONTEXT DispatchContext, ULONG GuidIndex,
    ULONG InstanceIndex, ULONG InstanceCount, PULONG InstanceLengthArray, ULONG BufferAvail, PUCHAR Buffer)
{
    PLAIN *Plain = Context;

    if (GuidIndex != 0 || InstanceIndex != 0 || InstanceCount != 1) {
        ScsiPortWmiPostProcess(DispatchContext, SRB_STATUS_ERROR, 0);
    } else if (BufferAvail < sizeof(COUNTERS)) {
        ScsiPortWmiPostProcess(DispatchContext, SRB_STATUS_DATA_OVERRUN, sizeof(COUNTERS));
    } else {
        RtlCopyMemory(Buffer, (PVOID)(ULONG_PTR)&Plain->Counters, sizeof(COUNTERS));
        *InstanceLengthArray = sizeof(COUNTERS);
        ScsiPortWmiPostProcess(DispatchContext, SRB_STATUS_SUCCESS, sizeof(COUNTERS));
    }
    return FALSE;
}

static SCSI_WMILIB_CONTEXT WmiContext = { 1, Guids, QueryRegInfo, QueryDataBlock, NULL, NULL, NULL, NULL };

VOID PlainWmi(PLAIN *Plain, PVOID Srb)
{
    SCSIWMI_REQUEST_CONTEXT Context;
    PVOID DataPath;
    UCHAR Function;

    COUNT(Plain, Wmi);
    if (SrbIsStorageRequestBlock(Srb)) {
        PSRBEX_DATA_WMI Data = (PSRBEX_DATA_WMI)SrbGetSrbExDataByType(Srb, SrbExDataTypeWmi);
        if (!Data) {
            PlainCompleteWith(Plain, Srb, SRB_STATUS_INVALID_REQUEST);
            return;
        }
        DataPath = Data->DataPath;
        Function = Data->WMISubFunction;
    } else {
        DataPath = ((PSCSI_WMI_REQUEST_BLOCK)Srb)->DataPath;
        Function = ((PSCSI_WMI_REQUEST_BLOCK)Srb)->WMISubFunction;
    }
    RtlZeroMemory(&Context, sizeof(Context));
    Context.UserContext = Plain;
    if (ScsiPortWmiDispatchFunction(&WmiContext, Function, Plain, &Context, DataPath, SrbGetDataTransferLength(Srb),
            SrbGetDataBuffer(Srb))) {
        COUNT(Plain, Failures); /* nothing here pends */
        return;
    }
    SrbSetDataTransferLength(Srb, ScsiPortWmiGetReturnSize(&Context));
    SrbSetSrbStatus(Srb, ScsiPortWmiGetReturnStatus(&Context));
    PlainComplete(Plain, Srb);
}
