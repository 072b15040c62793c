#include "plain.h"

/*
 * What protects a queue. With channels StartIo is not synchronised, and the lock of the queue's message protects it on both
 * sides. Without, the port holds the StartIo lock around StartIo and around a reset, and the DPC takes it.
 */
typedef struct {
    STOR_LOCK_HANDLE StartIo;
    ULONG OldIrql;
} HELD;

static ULONG NumberOf(PLAIN *Plain, QUEUE *Queue)
{
    return (ULONG)(Queue - Plain->Queue);
}

static VOID LockFromStartIo(PLAIN *Plain, QUEUE *Queue, HELD *Held)
{
    if (Plain->Channels &&
        StorPortAcquireMSISpinLock(Plain, NumberOf(Plain, Queue), &Held->OldIrql) != STOR_STATUS_SUCCESS)
        COUNT(Plain, Failures);
}

static VOID UnlockFromStartIo(PLAIN *Plain, QUEUE *Queue, HELD *Held)
{
    if (Plain->Channels &&
        StorPortReleaseMSISpinLock(Plain, NumberOf(Plain, Queue), Held->OldIrql) != STOR_STATUS_SUCCESS)
        COUNT(Plain, Failures);
}

static VOID LockFromDpc(PLAIN *Plain, QUEUE *Queue, HELD *Held)
{
    RtlZeroMemory(Held, sizeof(*Held));
    if (!Plain->Channels)
        StorPortAcquireSpinLock(Plain, StartIoLock, NULL, &Held->StartIo);
    LockFromStartIo(Plain, Queue, Held);
}

static VOID UnlockFromDpc(PLAIN *Plain, QUEUE *Queue, HELD *Held)
{
    UnlockFromStartIo(Plain, Queue, Held);
    if (!Plain->Channels)
        StorPortReleaseSpinLock(Plain, &Held->StartIo);
}

static volatile ULONG *Doorbell(PLAIN *Plain, QUEUE *Queue)
{
    return (volatile ULONG *)(Plain->Registers + ADAPTER_DOORBELLS) + NumberOf(Plain, Queue);
}

static QUEUE *ChooseQueue(PLAIN *Plain, PVOID Srb)
{
    STARTIO_PERFORMANCE_PARAMETERS Parameters;

    if (!Plain->Channels)
        return &Plain->Queue[0];
    RtlZeroMemory(&Parameters, sizeof(Parameters));
    Parameters.Version = 1;
    Parameters.Size = sizeof(Parameters);
    if (StorPortGetStartIoPerfParams(Plain, Srb, &Parameters) != STOR_STATUS_SUCCESS ||
        Parameters.ChannelNumber >= Plain->Queues) {
        COUNT(Plain, Failures);
        return &Plain->Queue[0];
    }
    return &Plain->Queue[Parameters.ChannelNumber];
}

static USHORT FreeTag(const QUEUE *Queue)
{
    USHORT Tag;

    for (Tag = 0; Tag < ADAPTER_ENTRIES && Queue->Srbs[Tag]; Tag++)
        ;
    return Tag;
}

static VOID FillCommand(ADAPTER_COMMAND *Command, PVOID Srb, USHORT Tag)
{
    REQUEST *Request = PlainRequest(Srb);
    PCDB Cdb = SrbGetCdb(Srb);
    ULONG Piece;

    RtlZeroMemory(Command, sizeof(*Command));
    Command->Tag = Tag;
    if (!Request->Moves) {
        Command->Operation = Cdb && Cdb->AsByte[0] == SCSIOP_UNMAP ? ADAPTER_ZERO : ADAPTER_FLUSH;
    } else {
        Command->Operation = Request->Range.Writes ? ADAPTER_WRITE : ADAPTER_READ;
        Command->Block = Request->Range.Block;
        Command->Blocks = Request->Range.Blocks;
    }
    if (!Request->Pieces)
        return;
    Command->Count = Request->Pieces->NumberOfElements;
    for (Piece = 0; Piece < Request->Pieces->NumberOfElements; Piece++) {
        Command->Segments[Piece].Address = (ULONG64)Request->Pieces->List[Piece].PhysicalAddress.QuadPart;
        Command->Segments[Piece].Length = Request->Pieces->List[Piece].Length;
    }
}

UCHAR PlainSubmit(PLAIN *Plain, PVOID Srb)
{
    QUEUE *Queue = ChooseQueue(Plain, Srb);
    UCHAR Status = SRB_STATUS_PENDING;
    HELD Held;
    USHORT Tag;

    LockFromStartIo(Plain, Queue, &Held);
    if (Plain->Removed) {
        Status = SRB_STATUS_NO_DEVICE; /* nobody would take it back any more */
    } else if (!Queue->Ring) {
        InsertTailList(&Queue->Waiting, &PlainRequest(Srb)->Link);
    } else if ((Tag = FreeTag(Queue)) == ADAPTER_ENTRIES) {
        Status = SRB_STATUS_BUSY;
    } else {
        Queue->Srbs[Tag] = Srb;
        FillCommand(&Queue->Ring->Commands[Queue->Submitted % ADAPTER_ENTRIES], Srb, Tag);
        Queue->Submitted++;
        StorPortWriteRegisterUlong(Plain, Doorbell(Plain, Queue), Queue->Submitted);
    }
    UnlockFromStartIo(Plain, Queue, &Held);
    if (Status == SRB_STATUS_PENDING && !Queue->Ring)
        StorPortIssueDpc(Plain, &Queue->Dpc, Queue, NULL);
    return Status;
}

/* Interrupts: a queue whose ring has something new. Its DPC does the rest. */
static BOOLEAN Look(PLAIN *Plain, QUEUE *Queue)
{
    if (!Queue->Ring || __atomic_load_n(&Queue->Ring->Completed, __ATOMIC_ACQUIRE) == Queue->Seen)
        return FALSE;
    COUNT(Plain, Interrupts);
    StorPortIssueDpc(Plain, &Queue->Dpc, Queue, NULL);
    return TRUE;
}

BOOLEAN NTAPI PlainInterrupt(PVOID DeviceExtension)
{
    PLAIN *Plain = DeviceExtension;
    BOOLEAN Ours = FALSE;
    ULONG Index;

    for (Index = 0; Index < Plain->Queues; Index++)
        Ours |= Look(Plain, &Plain->Queue[Index]);
    return Ours;
}

BOOLEAN NTAPI PlainMessage(PVOID DeviceExtension, ULONG MessageId)
{
    PLAIN *Plain = DeviceExtension;

    return MessageId < Plain->Queues && Look(Plain, &Plain->Queue[MessageId]);
}

static PVOID TakeCompletion(PLAIN *Plain, QUEUE *Queue)
{
    const ADAPTER_COMPLETION *Completion = &Queue->Ring->Completions[Queue->Seen % ADAPTER_ENTRIES];
    USHORT Tag = Completion->Tag;
    PVOID Srb = Tag < ADAPTER_ENTRIES ? Queue->Srbs[Tag] : NULL;

    Queue->Seen++;
    if (!Srb) {
        COUNT(Plain, Failures);
        return NULL;
    }
    Queue->Srbs[Tag] = NULL;
    if (Completion->Failed)
        DiskRefuse(Srb, SCSI_SENSE_MEDIUM_ERROR, SCSI_ADSENSE_UNRECOVERED_ERROR);
    else
        DiskSucceed(Srb, Completion->Bytes);
    return Srb;
}

/* The next SRB that is done, or NULL. */
static PVOID TakeDone(PLAIN *Plain, QUEUE *Queue)
{
    PVOID Srb = NULL;
    HELD Held;

    LockFromDpc(Plain, Queue, &Held);
    if (!Queue->Ring) {
        if (!IsListEmpty(&Queue->Waiting)) {
            PVOID Data = NULL;
            Srb = CONTAINING_RECORD(RemoveHeadList(&Queue->Waiting), REQUEST, Link)->Srb;
            if (SrbGetDataTransferLength(Srb) &&
                StorPortGetSystemAddress(Plain, Srb, &Data) != STOR_STATUS_SUCCESS)
                COUNT(Plain, Failures);
            DiskExecute(&Plain->Disk, Srb, Data);
        }
    } else {
        while (!Srb && Queue->Seen != __atomic_load_n(&Queue->Ring->Completed, __ATOMIC_ACQUIRE))
            Srb = TakeCompletion(Plain, Queue);
    }
    UnlockFromDpc(Plain, Queue, &Held);
    return Srb;
}

VOID NTAPI PlainDpc(PSTOR_DPC Dpc, PVOID HwDeviceExtension, PVOID SystemArgument1, PVOID SystemArgument2)
{
    PLAIN *Plain = HwDeviceExtension;
    QUEUE *Queue = CONTAINING_RECORD(Dpc, QUEUE, Dpc);
    STOR_LOCK_HANDLE Handle;
    PVOID Srb;

    UNREFERENCED_PARAMETER(SystemArgument2);
    COUNT(Plain, Dpcs);
    if (SystemArgument1 != Queue)
        COUNT(Plain, Failures);
    RtlZeroMemory(&Handle, sizeof(Handle));
    StorPortAcquireSpinLock(Plain, DpcLock, Dpc, &Handle);
    while ((Srb = TakeDone(Plain, Queue)) != NULL)
        PlainComplete(Plain, Srb);
    StorPortReleaseSpinLock(Plain, &Handle);
}

/* Under the interrupt's lock its routine does not look while the indexes are set back. */
static BOOLEAN NTAPI ForgetRing(PVOID HwDeviceExtension, PVOID Context)
{
    PLAIN *Plain = HwDeviceExtension;
    QUEUE *Queue = Context;

    COUNT(Plain, Synchronized);
    StorPortLogError(Plain, NULL, 0, 0, 0, SP_REQUEST_TIMEOUT, 8);
    Queue->Seen = Queue->Submitted = 0;
    Queue->Ring->Completed = 0;
    StorPortWriteRegisterUlong(Plain, Doorbell(Plain, Queue), 0);
    return TRUE;
}

static VOID AbortQueue(PLAIN *Plain, QUEUE *Queue, UCHAR Status, BOOLEAN InStartIo)
{
    STOR_LOCK_HANDLE Handle;
    HELD Held;
    ULONG Tag;

    RtlZeroMemory(&Handle, sizeof(Handle));
    if (InStartIo) {
        LockFromStartIo(Plain, Queue, &Held);
    } else {
        /* So that no DPC is about to complete what it has taken. */
        StorPortAcquireSpinLock(Plain, DpcLock, &Queue->Dpc, &Handle);
        LockFromDpc(Plain, Queue, &Held);
    }
    while (!IsListEmpty(&Queue->Waiting))
        PlainCompleteWith(Plain, CONTAINING_RECORD(RemoveHeadList(&Queue->Waiting), REQUEST, Link)->Srb, Status);
    for (Tag = 0; Tag < ADAPTER_ENTRIES; Tag++) {
        if (Queue->Srbs[Tag])
            PlainCompleteWith(Plain, Queue->Srbs[Tag], Status);
        Queue->Srbs[Tag] = NULL;
    }
    if (Queue->Ring && Plain->Channels)
        ForgetRing(Plain, Queue);
    else if (Queue->Ring && !StorPortSynchronizeAccess(Plain, ForgetRing, Queue))
        COUNT(Plain, Failures);
    if (InStartIo) {
        UnlockFromStartIo(Plain, Queue, &Held);
    } else {
        UnlockFromDpc(Plain, Queue, &Held);
        StorPortReleaseSpinLock(Plain, &Handle);
    }
}

VOID PlainAbort(PLAIN *Plain, UCHAR Status, BOOLEAN InStartIo)
{
    ULONG Index;

    PlainEnable(Plain, FALSE); /* the device stops, and uses no memory of what is completed now */
    for (Index = 0; Index < Plain->Queues; Index++)
        AbortQueue(Plain, &Plain->Queue[Index], Status, InStartIo);
}
