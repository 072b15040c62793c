/*
 * A miniport that behaves as badly as torments.h says. Whatever it does, the port must end each request once, keep what
 * was written, and go on. Compiled with EXTENDED it takes STORAGE_REQUEST_BLOCKs.
 */
#include <storport.h>

#include <ntddscsi.h>

#include "counters.h"
#include "disk.h"
#include "torments.h"

#define TORTURE_TAG 0x74725473
#define HELD_TOGETHER 4

typedef struct {
    LIST_ENTRY Link;
    PVOID Srb;
} REQUEST;

typedef struct {
    DISK Disk;
    COUNTERS Counters;
    STOR_DPC Dpc;
    PVOID Timer, Worker;
    ULONG Resets;       /* requests of TORMENT_RESET */
    ULONG Refusals[2];  /* how often TORMENT_BUSY and TORMENT_REFUSE have been at it */
    LIST_ENTRY Held;    /* TORMENT_OUT_OF_ORDER */
    ULONG HeldCount;
    LIST_ENTRY Late;    /* completed by the timer */
    LIST_ENTRY ForDpc;
    LIST_ENTRY ForWorker;
    LIST_ENTRY Never;   /* given back by a reset */
    BOOLEAN TimerRuns, WorkerRuns;
    UCHAR Nobody[512];  /* what TORMENT_FOREIGN completes */
} TORTURE;

#define COUNT(Torture, Field) InterlockedIncrement(&(Torture)->Counters.Field)

static HW_FIND_ADAPTER FindAdapter;
static HW_INITIALIZE Initialize;
static HW_BUILDIO BuildIo;
static HW_STARTIO StartIo;
static HW_RESET_BUS ResetBus;
static HW_ADAPTER_CONTROL AdapterControl;
static HW_DPC_ROUTINE DpcRoutine;
static HW_TIMER_EX TimerRoutine;
static HW_WORKITEM WorkRoutine;

static VOID Complete(TORTURE *Torture, PVOID Srb)
{
    StorPortNotification(RequestComplete, Torture, Srb);
}

static VOID CompleteWith(TORTURE *Torture, PVOID Srb, UCHAR Status)
{
    SrbSetDataTransferLength(Srb, 0);
    SrbSetSrbStatus(Srb, Status);
    Complete(Torture, Srb);
}

static VOID Execute(TORTURE *Torture, PVOID Srb)
{
    PVOID Data = NULL;

    if (SrbGetDataTransferLength(Srb) && StorPortGetSystemAddress(Torture, Srb, &Data) != STOR_STATUS_SUCCESS)
        COUNT(Torture, Failures);
    DiskExecute(&Torture->Disk, Srb, Data);
}

static ULONG TormentOf(PVOID Srb)
{
    DISK_RANGE Range;

    if (SrbGetSrbFunction(Srb) != SRB_FUNCTION_EXECUTE_SCSI || !DiskMoves(Srb, &Range) ||
        Range.Block / TORMENT_BLOCKS >= TORMENTS)
        return TORMENT_NONE;
    return (ULONG)(Range.Block / TORMENT_BLOCKS);
}

/* Lists are touched under the StartIo lock, which StartIo and ResetBus run under. */
static VOID Lock(TORTURE *Torture, PSTOR_LOCK_HANDLE Handle)
{
    RtlZeroMemory(Handle, sizeof(*Handle));
    StorPortAcquireSpinLock(Torture, StartIoLock, NULL, Handle);
}

static PVOID Take(TORTURE *Torture, PLIST_ENTRY List, BOOLEAN Last)
{
    STOR_LOCK_HANDLE Handle;
    PVOID Srb = NULL;

    Lock(Torture, &Handle);
    if (!IsListEmpty(List)) {
        PLIST_ENTRY Entry = Last ? RemoveTailList(List) : RemoveHeadList(List);
        Srb = CONTAINING_RECORD(Entry, REQUEST, Link)->Srb;
    }
    if (List == &Torture->Held && !Srb)
        Torture->HeldCount = 0;
    StorPortReleaseSpinLock(Torture, &Handle);
    return Srb;
}

static VOID DoAll(TORTURE *Torture, PLIST_ENTRY List, BOOLEAN Last)
{
    PVOID Srb;

    while ((Srb = Take(Torture, List, Last)) != NULL) {
        Execute(Torture, Srb);
        Complete(Torture, Srb);
    }
}

static VOID Keep(PLIST_ENTRY List, PVOID Srb)
{
    REQUEST *Request = SrbGetMiniportContext(Srb);

    Request->Srb = Srb;
    InsertTailList(List, &Request->Link);
}

static VOID StartTimer(TORTURE *Torture, ULONGLONG Microseconds)
{
    if (Torture->TimerRuns)
        return;
    Torture->TimerRuns = TRUE;
    if (StorPortRequestTimer(Torture, Torture->Timer, TimerRoutine, NULL, Microseconds, 0) != STOR_STATUS_SUCCESS)
        COUNT(Torture, Failures);
}

static VOID NTAPI TimerRoutine(PVOID DeviceExtension, PVOID Context)
{
    TORTURE *Torture = DeviceExtension;
    STOR_LOCK_HANDLE Handle;

    UNREFERENCED_PARAMETER(Context);
    COUNT(Torture, Timers);
    Lock(Torture, &Handle);
    Torture->TimerRuns = FALSE;
    StorPortReleaseSpinLock(Torture, &Handle);
    DoAll(Torture, &Torture->Late, FALSE);
    DoAll(Torture, &Torture->Held, TRUE);
}

static VOID NTAPI DpcRoutine(PSTOR_DPC Dpc, PVOID HwDeviceExtension, PVOID SystemArgument1, PVOID SystemArgument2)
{
    TORTURE *Torture = HwDeviceExtension;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(SystemArgument1);
    UNREFERENCED_PARAMETER(SystemArgument2);
    COUNT(Torture, Dpcs);
    DoAll(Torture, &Torture->ForDpc, FALSE);
    if (Torture->HeldCount >= HELD_TOGETHER)
        DoAll(Torture, &Torture->Held, TRUE);
}

static VOID NTAPI WorkRoutine(PVOID HwDeviceExtension, PVOID Context, PVOID Worker)
{
    TORTURE *Torture = HwDeviceExtension;
    STOR_LOCK_HANDLE Handle;

    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Worker);
    COUNT(Torture, WorkItems);
    Lock(Torture, &Handle);
    Torture->WorkerRuns = FALSE;
    StorPortReleaseSpinLock(Torture, &Handle);
    DoAll(Torture, &Torture->ForWorker, FALSE);
}

static VOID StartWorker(TORTURE *Torture)
{
    if (Torture->WorkerRuns)
        return;
    Torture->WorkerRuns = TRUE;
    if (StorPortQueueWorkItem(Torture, WorkRoutine, Torture->Worker, NULL) != STOR_STATUS_SUCCESS)
        COUNT(Torture, Failures);
}

/* Completes what it has with Status; the StartIo lock is held. */
static VOID GiveBack(TORTURE *Torture, UCHAR Status)
{
    PLIST_ENTRY Lists[] = { &Torture->Held, &Torture->Late, &Torture->ForDpc, &Torture->ForWorker, &Torture->Never };
    ULONG Index;

    for (Index = 0; Index < RTL_NUMBER_OF(Lists); Index++)
        while (!IsListEmpty(Lists[Index]))
            CompleteWith(Torture, CONTAINING_RECORD(RemoveHeadList(Lists[Index]), REQUEST, Link)->Srb, Status);
    Torture->HeldCount = 0;
}

static VOID WrongLocks(TORTURE *Torture)
{
    STOR_LOCK_HANDLE Again, Dpc, Interrupt, Never;

    Lock(Torture, &Again); /* StartIo has it already */
    RtlZeroMemory(&Dpc, sizeof(Dpc));
    StorPortAcquireSpinLock(Torture, DpcLock, &Torture->Dpc, &Dpc); /* comes before the StartIo lock */
    RtlZeroMemory(&Interrupt, sizeof(Interrupt));
    StorPortAcquireSpinLock(Torture, InterruptLock, NULL, &Interrupt); /* this is right */
    StorPortReleaseSpinLock(Torture, &Interrupt);
    StorPortReleaseSpinLock(Torture, &Dpc);
    StorPortReleaseSpinLock(Torture, &Again);
    RtlZeroMemory(&Never, sizeof(Never));
    Never.Lock = InterruptLock;
    StorPortReleaseSpinLock(Torture, &Never); /* was never taken */
}

static VOID Pile(TORTURE *Torture)
{
    PVOID Forgotten = NULL;

    StorPortAllocatePool(Torture, 100, TORTURE_TAG, &Forgotten);
    StorPortInitializeTimer(Torture, &Forgotten);
    StorPortInitializeWorker(Torture, &Forgotten);
    StorPortFreePool(Torture, &Torture->Disk); /* was never allocated */
}

/* Torments that are over when the request is done: it is executed, spoilt and completed. */
static VOID Spoil(TORTURE *Torture, PVOID Srb, ULONG Torment)
{
    ULONG Length = SrbGetDataTransferLength(Srb), Times;

    switch (Torment) {
    case TORMENT_FOREIGN:
        Complete(Torture, Torture->Nobody);
        break;
    case TORMENT_PAUSE:
        StorPortPause(Torture, 1);
        break;
    case TORMENT_DEVICE_BUSY:
        StorPortDeviceBusy(Torture, 0, 0, 0, 100);
        break;
    case TORMENT_STORM:
        for (Times = 0; Times < 1000; Times++)
            StorPortNotification(BusChangeDetected, Torture, 0);
        break;
    case TORMENT_LOCKS:
        WrongLocks(Torture);
        break;
    case TORMENT_PILES:
        Pile(Torture);
        break;
    default:
        break;
    }
    Execute(Torture, Srb);
    switch (Torment) {
    case TORMENT_SHORT:
        SrbSetDataTransferLength(Srb, Length / 2);
        SrbSetSrbStatus(Srb, SRB_STATUS_DATA_OVERRUN);
        break;
    case TORMENT_LONG:
        SrbSetDataTransferLength(Srb, Length + 4096);
        break;
    case TORMENT_SENSE:
        DiskRefuse(Srb, SCSI_SENSE_MEDIUM_ERROR, SCSI_ADSENSE_UNRECOVERED_ERROR);
        break;
    case TORMENT_SENSELESS:
        DiskRefuse(Srb, 0, 0);
        SrbSetSrbStatus(Srb, SRB_STATUS_ERROR);
        break;
    case TORMENT_UNKNOWN_STATUS:
        SrbSetSrbStatus(Srb, 0x3B | SRB_STATUS_QUEUE_FROZEN);
        break;
    case TORMENT_PENDING:
        SrbSetSrbStatus(Srb, SRB_STATUS_PENDING);
        break;
    default:
        break;
    }
    Complete(Torture, Srb);
    if (Torment == TORMENT_TWICE)
        Complete(Torture, Srb);
}

static BOOLEAN Refused(TORTURE *Torture, ULONG Which)
{
    Torture->Refusals[Which] = (Torture->Refusals[Which] + 1) % 4;
    return Torture->Refusals[Which] != 0;
}

static VOID Reset(TORTURE *Torture, PVOID Srb)
{
    if (++Torture->Resets % 8 != 0) {
        Keep(&Torture->Late, Srb);
        StartTimer(Torture, 500);
        return;
    }
    StorPortNotification(ResetDetected, Torture, 0);
    CompleteWith(Torture, Srb, SRB_STATUS_BUS_RESET);
    GiveBack(Torture, SRB_STATUS_BUS_RESET);
}

/* FALSE: StartIo does not take it. */
static BOOLEAN Torment(TORTURE *Torture, PVOID Srb, ULONG Kind)
{
    switch (Kind) {
    case TORMENT_OUT_OF_ORDER:
        Keep(&Torture->Held, Srb);
        if (++Torture->HeldCount >= HELD_TOGETHER)
            StorPortIssueDpc(Torture, &Torture->Dpc, NULL, NULL);
        else
            StartTimer(Torture, 2000);
        return TRUE;
    case TORMENT_LATE:
        Keep(&Torture->Late, Srb);
        StartTimer(Torture, 5000);
        return TRUE;
    case TORMENT_DPC:
        Keep(&Torture->ForDpc, Srb);
        StorPortIssueDpc(Torture, &Torture->Dpc, NULL, NULL);
        return TRUE;
    case TORMENT_WORKER:
        Keep(&Torture->ForWorker, Srb);
        StartWorker(Torture);
        return TRUE;
    case TORMENT_NEVER:
        Keep(&Torture->Never, Srb);
        return TRUE;
    case TORMENT_LOST:
        return TRUE;
    case TORMENT_BUSY:
        if (Refused(Torture, 0)) {
            CompleteWith(Torture, Srb, SRB_STATUS_BUSY);
            return TRUE;
        }
        break;
    case TORMENT_REFUSE:
        if (Refused(Torture, 1))
            return FALSE;
        break;
    case TORMENT_RESET:
        Reset(Torture, Srb);
        return TRUE;
    default:
        break;
    }
    Spoil(Torture, Srb, Kind);
    return TRUE;
}

static BOOLEAN NTAPI BuildIo(PVOID DeviceExtension, PSCSI_REQUEST_BLOCK Srb)
{
    TORTURE *Torture = DeviceExtension;

    COUNT(Torture, BuildIo);
    if (TormentOf(Srb) != TORMENT_BUILD_IO)
        return TRUE;
    COUNT(Torture, Torments);
    Spoil(Torture, Srb, TORMENT_BUILD_IO);
    return FALSE;
}

static VOID IoControl(TORTURE *Torture, PVOID Srb)
{
    PSRB_IO_CONTROL Control = SrbGetDataBuffer(Srb);
    ULONG Length = SrbGetDataTransferLength(Srb);

    COUNT(Torture, IoControl);
    if (!Control || Length < sizeof(*Control) + sizeof(COUNTERS) || Control->ControlCode != COUNTERS_READ) {
        CompleteWith(Torture, Srb, SRB_STATUS_INVALID_REQUEST);
        return;
    }
    Control->ReturnCode = 0;
    RtlCopyMemory(Control + 1, (PVOID)(ULONG_PTR)&Torture->Counters, sizeof(COUNTERS));
    DiskSucceed(Srb, sizeof(*Control) + sizeof(COUNTERS));
    Complete(Torture, Srb);
}

static BOOLEAN NTAPI StartIo(PVOID DeviceExtension, PSCSI_REQUEST_BLOCK Srb)
{
    TORTURE *Torture = DeviceExtension;
    ULONG Kind = TormentOf(Srb);
    UCHAR Path, Target, Lun;

    COUNT(Torture, StartIo);
    switch (SrbGetSrbFunction(Srb)) {
    case SRB_FUNCTION_EXECUTE_SCSI:
        SrbGetPathTargetLun(Srb, &Path, &Target, &Lun);
        if (Path || Target || Lun) {
            CompleteWith(Torture, Srb, SRB_STATUS_NO_DEVICE);
            return TRUE;
        }
        if (Kind != TORMENT_NONE)
            COUNT(Torture, Torments);
        return Torment(Torture, Srb, Kind);
    case SRB_FUNCTION_IO_CONTROL:
        IoControl(Torture, Srb);
        return TRUE;
    case SRB_FUNCTION_RESET_DEVICE:
    case SRB_FUNCTION_RESET_LOGICAL_UNIT:
        /* It does not help: only a bus reset does. */
        COUNT(Torture, ResetUnit);
        CompleteWith(Torture, Srb, SRB_STATUS_INVALID_REQUEST);
        return TRUE;
    case SRB_FUNCTION_FLUSH:
    case SRB_FUNCTION_SHUTDOWN:
    case SRB_FUNCTION_PNP:
    case SRB_FUNCTION_POWER:
        CompleteWith(Torture, Srb, SRB_STATUS_SUCCESS);
        return TRUE;
    default:
        CompleteWith(Torture, Srb, SRB_STATUS_INVALID_REQUEST);
        return TRUE;
    }
}

static BOOLEAN NTAPI ResetBus(PVOID DeviceExtension, ULONG PathId)
{
    TORTURE *Torture = DeviceExtension;

    UNREFERENCED_PARAMETER(PathId);
    COUNT(Torture, ResetBus);
    GiveBack(Torture, SRB_STATUS_BUS_RESET);
    return TRUE;
}

static SCSI_ADAPTER_CONTROL_STATUS NTAPI AdapterControl(
    PVOID DeviceExtension, SCSI_ADAPTER_CONTROL_TYPE ControlType, PVOID Parameters)
{
    TORTURE *Torture = DeviceExtension;
    PSCSI_SUPPORTED_CONTROL_TYPE_LIST List = Parameters;

    COUNT(Torture, AdapterControl);
    switch (ControlType) {
    case ScsiQuerySupportedControlTypes:
        if (List->MaxControlType > ScsiStopAdapter)
            List->SupportedTypeList[ScsiStopAdapter] = TRUE;
        return ScsiAdapterControlSuccess;
    case ScsiStopAdapter:
        /* Gives nothing back that it still has, and frees only some of what it has allocated. */
        StorPortFreeTimer(Torture, Torture->Timer);
        StorPortFreePool(Torture, Torture->Disk.Memory);
        return ScsiAdapterControlSuccess;
    default:
        return ScsiAdapterControlUnsuccessful;
    }
}

static BOOLEAN NTAPI PassiveInitialize(PVOID DeviceExtension)
{
    TORTURE *Torture = DeviceExtension;
    PVOID Memory = NULL;

    COUNT(Torture, PassiveInitialize);
    if (StorPortAllocatePool(Torture, (ULONG)(Torture->Disk.Blocks * Torture->Disk.BlockSize), TORTURE_TAG, &Memory) !=
            STOR_STATUS_SUCCESS ||
        StorPortInitializeTimer(Torture, &Torture->Timer) != STOR_STATUS_SUCCESS ||
        StorPortInitializeWorker(Torture, &Torture->Worker) != STOR_STATUS_SUCCESS)
        return FALSE;
    Torture->Disk.Memory = Memory;
    return TRUE;
}

static BOOLEAN NTAPI Initialize(PVOID DeviceExtension)
{
    TORTURE *Torture = DeviceExtension;

    COUNT(Torture, Initialize);
    StorPortInitializeDpc(Torture, &Torture->Dpc, DpcRoutine);
    return StorPortEnablePassiveInitialization(Torture, PassiveInitialize);
}

static ULONG NTAPI FindAdapter(PVOID DeviceExtension, PVOID HwContext, PVOID BusInformation, PCHAR ArgumentString,
    PPORT_CONFIGURATION_INFORMATION Config, PBOOLEAN Again)
{
    TORTURE *Torture = DeviceExtension;

    UNREFERENCED_PARAMETER(HwContext);
    UNREFERENCED_PARAMETER(BusInformation);
    UNREFERENCED_PARAMETER(ArgumentString);
    *Again = FALSE;
    COUNT(Torture, FindAdapter);
    Config->MaximumTransferLength = 64 * PAGE_SIZE;
    Config->NumberOfPhysicalBreaks = 64;
    Config->NumberOfBuses = 1;
    Config->MaximumNumberOfTargets = 1;
    Config->MaximumNumberOfLogicalUnits = 1;
    Config->MapBuffers = STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE;
    Config->SynchronizationModel = StorSynchronizeFullDuplex;
    Config->MaxNumberOfIO = Config->MaxIOsPerLun = Config->InitialLunQueueDepth = 16;
    Torture->Disk.BlockSize = 512;
    Torture->Disk.Blocks = (TORMENTS + 1) * TORMENT_BLOCKS;
    InitializeListHead(&Torture->Held);
    InitializeListHead(&Torture->Late);
    InitializeListHead(&Torture->ForDpc);
    InitializeListHead(&Torture->ForWorker);
    InitializeListHead(&Torture->Never);
    return SP_RETURN_FOUND;
}

sp_DRIVER_INITIALIZE DriverEntry;

ULONG NTAPI DriverEntry(PVOID DriverObject, PVOID RegistryPath)
{
    HW_INITIALIZATION_DATA Data;

    RtlZeroMemory(&Data, sizeof(Data));
    Data.HwInitializationDataSize = sizeof(Data);
    Data.AdapterInterfaceType = Internal;
    Data.HwFindAdapter = (PVOID)(ULONG_PTR)FindAdapter;
    Data.HwInitialize = Initialize;
    Data.HwBuildIo = BuildIo;
    Data.HwStartIo = StartIo;
    Data.HwResetBus = ResetBus;
    Data.HwAdapterControl = AdapterControl;
    Data.DeviceExtensionSize = sizeof(TORTURE);
    Data.SrbExtensionSize = sizeof(REQUEST);
    Data.MapBuffers = STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE;
    Data.NeedPhysicalAddresses = TRUE;
    Data.TaggedQueuing = TRUE;
    Data.AutoRequestSense = TRUE;
    Data.MultipleRequestPerLu = TRUE;
#ifdef EXTENDED
    Data.SrbTypeFlags = SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK;
    Data.AddressTypeFlags = ADDRESS_TYPE_FLAG_BTL8;
#else
    Data.SrbTypeFlags = SRB_TYPE_FLAG_SCSI_REQUEST_BLOCK;
#endif
    return StorPortInitialize(DriverObject, RegistryPath, &Data, NULL);
}
