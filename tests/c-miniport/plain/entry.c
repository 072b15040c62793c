#include "plain.h"

sp_DRIVER_INITIALIZE DriverEntry;

ULONG NTAPI DriverEntry(PVOID DriverObject, PVOID RegistryPath)
{
    HW_INITIALIZATION_DATA Data;

    RtlZeroMemory(&Data, sizeof(Data));
    Data.HwInitializationDataSize = sizeof(Data);
    Data.AdapterInterfaceType = PCIBus;
    Data.HwFindAdapter = (PVOID)(ULONG_PTR)PlainFindAdapter;
    Data.HwInitialize = PlainInitialize;
    Data.HwBuildIo = PlainBuildIo;
    Data.HwStartIo = PlainStartIo;
    Data.HwInterrupt = PlainInterrupt;
    Data.HwResetBus = PlainResetBus;
    Data.HwAdapterControl = PlainAdapterControl;
    Data.HwUnitControl = PlainUnitControl;
    Data.DeviceExtensionSize = sizeof(PLAIN);
    Data.SpecificLuExtensionSize = sizeof(ULONG64);
    Data.SrbExtensionSize = sizeof(REQUEST);
    Data.NumberOfAccessRanges = 1;
    Data.MapBuffers = STOR_MAP_NON_READ_WRITE_BUFFERS;
    Data.NeedPhysicalAddresses = TRUE;
    Data.TaggedQueuing = TRUE;
    Data.AutoRequestSense = TRUE;
    Data.MultipleRequestPerLu = TRUE;
    Data.AddressTypeFlags = ADDRESS_TYPE_FLAG_BTL8;
#ifdef EXTENDED
    Data.SrbTypeFlags = SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK;
#else
    Data.SrbTypeFlags = SRB_TYPE_FLAG_SCSI_REQUEST_BLOCK;
#endif
    return StorPortInitialize(DriverObject, RegistryPath, &Data, NULL);
}

/* A number from the adapter's parameters, or Default where there is none. */
static ULONG Parameter(PLAIN *Plain, const char *Name, ULONG Default)
{
    ULONG Value = Default, Length = sizeof(Value);
    PUCHAR Buffer = StorPortAllocateRegistryBuffer(Plain, &Length);

    if (!Buffer)
        return Default;
    Length = sizeof(Value);
    if (StorPortRegistryRead(Plain, (PUCHAR)(ULONG_PTR)Name, TRUE, MINIPORT_REG_DWORD, Buffer, &Length) &&
        Length == sizeof(Value))
        RtlCopyMemory(&Value, Buffer, sizeof(Value));
    StorPortFreeRegistryBuffer(Plain, Buffer);
    return Value;
}

/* The range with the registers, or NULL. Ports are none of this adapter's; where there are any, they are reached by number. */
static const ACCESS_RANGE *FindRegisters(PLAIN *Plain, PPORT_CONFIGURATION_INFORMATION Config)
{
    ULONG Index, Count = Config->AccessRanges ? Config->NumberOfAccessRanges : 0;

    for (Index = 0; Index < Count; Index++) {
        const ACCESS_RANGE *Range = &(*Config->AccessRanges)[Index];
        PVOID Port;
        if (Range->RangeInMemory && Range->RangeLength >= ADAPTER_REGISTERS)
            return Range;
        if (Range->RangeInMemory || Range->RangeLength == 0)
            continue;
        Port = StorPortGetDeviceBase(Plain, Config->AdapterInterfaceType, Config->SystemIoBusNumber, Range->RangeStart,
            Range->RangeLength, TRUE);
        if ((ULONG_PTR)Port != (ULONG_PTR)Range->RangeStart.QuadPart)
            COUNT(Plain, Failures);
        StorPortFreeDeviceBase(Plain, Port);
    }
    return NULL;
}

/* Whether it is this adapter; it may then use memory by itself. */
static BOOLEAN Enable(PLAIN *Plain, PPORT_CONFIGURATION_INFORMATION Config)
{
    USHORT Head[4]; /* vendor, device, command, status */
    ULONG Command = 0;

    if (StorPortGetBusData(Plain, PCIConfiguration, Config->SystemIoBusNumber, Config->SlotNumber, Head, sizeof(Head)) !=
            sizeof(Head) ||
        Head[0] != ADAPTER_VENDOR || Head[1] != ADAPTER_DEVICE)
        return FALSE;
    Command = Head[2] | ADAPTER_BUS_MASTER; /* ones in the status would clear it */
    return StorPortSetBusDataByOffset(Plain, PCIConfiguration, Config->SystemIoBusNumber, Config->SlotNumber, &Command, 4,
               sizeof(USHORT)) == sizeof(USHORT);
}

static BOOLEAN FindDevice(PLAIN *Plain, PPORT_CONFIGURATION_INFORMATION Config)
{
    const ACCESS_RANGE *Range = FindRegisters(Plain, Config);

    if (!Range || !Enable(Plain, Config))
        return FALSE;
    Plain->Registers = StorPortGetDeviceBase(Plain, Config->AdapterInterfaceType, Config->SystemIoBusNumber,
        Range->RangeStart, Range->RangeLength, FALSE);
    if (!Plain->Registers)
        return FALSE;
    return StorPortReadRegisterUlong(Plain, (PULONG)(Plain->Registers + ADAPTER_IDENTITY)) == ADAPTER_SIGNATURE;
}

static BOOLEAN ShareRings(PLAIN *Plain, PPORT_CONFIGURATION_INFORMATION Config)
{
    ULONG Length = 0, Bytes;

    Plain->Queues = StorPortReadRegisterUlong(Plain, (PULONG)(Plain->Registers + ADAPTER_QUEUES));
    if (Plain->Queues == 0 || Plain->Queues > ADAPTER_MOST_QUEUES)
        return FALSE;
    Bytes = Plain->Queues * (ULONG)sizeof(ADAPTER_RING);
    Plain->Rings = StorPortGetUncachedExtension(Plain, Config, Bytes);
    if (!Plain->Rings)
        return FALSE;
    Plain->RingsAddress = StorPortGetPhysicalAddress(Plain, NULL, Plain->Rings, &Length);
    if (Length < Bytes || StorPortGetVirtualAddress(Plain, Plain->RingsAddress) != Plain->Rings)
        COUNT(Plain, Failures);
    return TRUE;
}

ULONG NTAPI PlainFindAdapter(PVOID DeviceExtension, PVOID HwContext, PVOID BusInformation, PCHAR ArgumentString,
    PPORT_CONFIGURATION_INFORMATION Config, PBOOLEAN Again)
{
    PLAIN *Plain = DeviceExtension;
    ULONG Queue;

    UNREFERENCED_PARAMETER(HwContext);
    UNREFERENCED_PARAMETER(BusInformation);
    UNREFERENCED_PARAMETER(ArgumentString);
    *Again = FALSE;
    COUNT(Plain, FindAdapter);

    Config->MaximumTransferLength = (ADAPTER_SEGMENTS - 1) * PAGE_SIZE;
    Config->NumberOfPhysicalBreaks = ADAPTER_SEGMENTS - 1;
    Config->AlignmentMask = 3;
    Config->NumberOfBuses = 1;
    Config->MaximumNumberOfTargets = 1;
    Config->MaximumNumberOfLogicalUnits = 1;
    Config->ScatterGather = TRUE;
    Config->Master = TRUE;
    Config->CachesData = TRUE;
    Config->ResetTargetSupported = TRUE;
    Config->WmiDataProvider = TRUE;
    Config->MapBuffers = STOR_MAP_NON_READ_WRITE_BUFFERS;
    Config->SynchronizationModel = StorSynchronizeFullDuplex;
    Config->HwMSInterruptRoutine = PlainMessage;
    Config->InterruptSynchronizationMode = InterruptSynchronizeAll;
    if (Config->Dma64BitAddresses & SCSI_DMA64_SYSTEM_SUPPORTED)
        Config->Dma64BitAddresses |= SCSI_DMA64_MINIPORT_SUPPORTED;

    Plain->Queues = 1;
    if (FindDevice(Plain, Config)) {
        if (!ShareRings(Plain, Config))
            return SP_RETURN_ERROR;
        if (Plain->Queues > 1)
            Config->InterruptSynchronizationMode = InterruptSynchronizePerMessage;
        StorPortReadRegisterBufferUlong64(Plain, (PULONG64)(Plain->Registers + ADAPTER_BLOCKS), &Plain->Disk.Blocks, 1);
        Plain->Disk.BlockSize = StorPortReadRegisterUlong(Plain, (PULONG)(Plain->Registers + ADAPTER_BLOCK_SIZE));
    } else {
        Plain->Registers = NULL;
        Plain->Disk.Blocks = Parameter(Plain, "Blocks", 8192);
        Plain->Disk.BlockSize = Parameter(Plain, "BlockSize", 512);
        Config->MapBuffers = STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE;
        if (StorPortGetUncachedExtension(Plain, Config, PAGE_SIZE) == NULL)
            COUNT(Plain, Failures);
    }
    if (Plain->Disk.Blocks == 0 || Plain->Disk.BlockSize == 0)
        return SP_RETURN_BAD_CONFIG;
    Plain->Disk.WriteProtected = Parameter(Plain, "WriteProtected", 0) != 0;
    Config->MaxNumberOfIO = Parameter(Plain, "Depth", Plain->Queues * ADAPTER_ENTRIES);
    Config->MaxIOsPerLun = Config->MaxNumberOfIO;
    Config->InitialLunQueueDepth = ADAPTER_ENTRIES;

    InitializeListHead(&Plain->WorkItems);
    for (Queue = 0; Queue < Plain->Queues; Queue++) {
        InitializeListHead(&Plain->Queue[Queue].Waiting);
        Plain->Queue[Queue].Ring = Plain->Rings ? &Plain->Rings[Queue] : NULL;
    }
    return SP_RETURN_FOUND;
}
