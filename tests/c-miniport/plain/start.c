#include "plain.h"

/* Channels: StartIo runs on several processors at once, each with its own queue. */
static VOID ChooseChannels(PLAIN *Plain)
{
    PERF_CONFIGURATION_DATA Wanted;

    RtlZeroMemory(&Wanted, sizeof(Wanted));
    Wanted.Version = STOR_PERF_VERSION;
    Wanted.Size = sizeof(Wanted);
    if (StorPortInitializePerfOpts(Plain, TRUE, &Wanted) != STOR_STATUS_SUCCESS)
        return;
    Wanted.Flags &= STOR_PERF_DPC_REDIRECTION | STOR_PERF_CONCURRENT_CHANNELS | STOR_PERF_INTERRUPT_MESSAGE_RANGES |
        STOR_PERF_OPTIMIZE_FOR_COMPLETION_DURING_STARTIO;
    if (Plain->Messages < Plain->Queues || Plain->Queues == 1)
        Wanted.Flags &= ~(STOR_PERF_CONCURRENT_CHANNELS | STOR_PERF_INTERRUPT_MESSAGE_RANGES);
    if (Wanted.Flags & STOR_PERF_CONCURRENT_CHANNELS)
        Wanted.ConcurrentChannels = Plain->Queues;
    if (Wanted.Flags & STOR_PERF_INTERRUPT_MESSAGE_RANGES) {
        Wanted.FirstRedirectionMessageNumber = 0;
        Wanted.LastRedirectionMessageNumber = Plain->Queues - 1;
    }
    if (!(Wanted.Flags & STOR_PERF_DPC_REDIRECTION))
        return;
    if (StorPortInitializePerfOpts(Plain, FALSE, &Wanted) == STOR_STATUS_SUCCESS)
        Plain->Channels = (Wanted.Flags & STOR_PERF_CONCURRENT_CHANNELS) != 0;
}

static VOID CountMessages(PLAIN *Plain)
{
    MESSAGE_INTERRUPT_INFORMATION Message;

    RtlZeroMemory(&Message, sizeof(Message));
    Plain->Messages = 0;
    while (Plain->Messages < ADAPTER_MOST_QUEUES &&
        StorPortGetMSIInfo(Plain, Plain->Messages, &Message) == STOR_STATUS_SUCCESS) {
        if (Message.MessageId != Plain->Messages)
            COUNT(Plain, Failures);
        Plain->Messages++;
    }
    Plain->Counters.Messages = (LONG)Plain->Messages;
}

/* The processors as they are described must make sense. */
static VOID LookAtProcessors(PLAIN *Plain)
{
    PROCESSOR_NUMBER Number;
    GROUP_AFFINITY Node;
    KAFFINITY Mask = 0;
    USHORT Groups = 0;
    ULONG Highest = 0, Index = ~0u;

    RtlZeroMemory(&Number, sizeof(Number));
    RtlZeroMemory(&Node, sizeof(Node));
    if (StorPortGetActiveGroupCount(Plain, &Groups) != STOR_STATUS_SUCCESS || Groups == 0)
        COUNT(Plain, Failures);
    if (StorPortGetGroupAffinity(Plain, 0, &Mask) != STOR_STATUS_SUCCESS || Mask == 0)
        COUNT(Plain, Failures);
    if (StorPortGetHighestNodeNumber(Plain, &Highest) != STOR_STATUS_SUCCESS)
        COUNT(Plain, Failures);
    if (StorPortGetNodeAffinity(Plain, Highest, &Node) != STOR_STATUS_SUCCESS || Node.Mask == 0)
        COUNT(Plain, Failures);
    if (StorPortGetCurrentProcessorNumber(Plain, &Number) != STOR_STATUS_SUCCESS || Number.Group >= Groups)
        COUNT(Plain, Failures);
    if (StorPortGetProcessorIndexFromNumber(Plain, &Number, &Index) == STOR_STATUS_SUCCESS && Index == ~0u)
        COUNT(Plain, Failures);
}

static BOOLEAN NTAPI PassiveInitialize(PVOID DeviceExtension)
{
    PLAIN *Plain = DeviceExtension;
    PVOID Memory = NULL;

    COUNT(Plain, PassiveInitialize);
    if (!Plain->Registers) {
        ULONGLONG Bytes = Plain->Disk.Blocks * Plain->Disk.BlockSize;
        if (Bytes > 0x40000000 ||
            StorPortAllocatePool(Plain, (ULONG)Bytes, PLAIN_TAG, &Memory) != STOR_STATUS_SUCCESS)
            return FALSE;
        RtlZeroMemory(Memory, Bytes);
        Plain->Disk.Memory = Memory;
    }
    if (!PlainStartServices(Plain))
        return FALSE;
    PlainEnable(Plain, TRUE);
    return TRUE;
}

VOID PlainEnable(PLAIN *Plain, BOOLEAN Enable)
{
    ULONG Patience = 100000;

    if (!Plain->Registers)
        return;
    StorPortWriteRegisterUlong64(Plain, (PULONG64)(Plain->Registers + ADAPTER_RINGS),
        StorPortConvertPhysicalAddressToUlong64(Plain->RingsAddress));
    StorPortWriteRegisterUlong(Plain, (PULONG)(Plain->Registers + ADAPTER_CONTROL), Enable ? ADAPTER_ENABLE : 0);
    /* Nothing of the driver's memory is touched any more when this returns. */
    while (!Enable && StorPortReadRegisterUlong(Plain, (PULONG)(Plain->Registers + ADAPTER_STATUS)) == ADAPTER_BUSY) {
        StorPortStallExecution(10);
        if (--Patience == 0) {
            COUNT(Plain, Failures);
            return;
        }
    }
}

BOOLEAN NTAPI PlainInitialize(PVOID DeviceExtension)
{
    PLAIN *Plain = DeviceExtension;
    ULONG Queue;

    COUNT(Plain, Initialize);
    CountMessages(Plain);
    ChooseChannels(Plain);
    LookAtProcessors(Plain);
    for (Queue = 0; Queue < Plain->Queues; Queue++)
        StorPortInitializeDpc(Plain, &Plain->Queue[Queue].Dpc, PlainDpc);
    Plain->Counters.Channels = Plain->Channels ? (LONG)Plain->Queues : 1;
    return StorPortEnablePassiveInitialization(Plain, PassiveInitialize);
}
