/* One SRB of the class driver: building it, sending it, taking it back,
 * sending it again, cancelling it. */
#include "disk.h"

/* `data` is where the data lies for the SRB: DataBuffer. The MDL is made for
 * it but not yet built. */
packet *packet_new(disk *d, PUCHAR data, ULONG length)
{
    packet *p = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof *p, TAG);
    if (!p) return NULL;
    RtlZeroMemory(p, sizeof *p);
    p->disk = d;
    p->references = 1;
    p->data_buffer = data;
    p->length = length;
    p->irp = IoAllocateIrp(d->lower->StackSize, FALSE);
    if (length) p->mdl = IoAllocateMdl(data, length, FALSE, FALSE, NULL);
    if (p->irp && (!length || p->mdl)) return p;
    packet_free(p);
    return NULL;
}

void packet_free(packet *p)
{
    if (p->irp) IoFreeIrp(p->irp);
    if (p->mdl) {
        MmPrepareMdlForReuse(p->mdl);
        IoFreeMdl(p->mdl);
    }
    if (p->buffer) ExFreePoolWithTag(p->buffer, TAG);
    ExFreePoolWithTag(p, TAG);
}

static void build_legacy(packet *p, ULONG function, ULONG flags)
{
    PSCSI_REQUEST_BLOCK s = &p->srb.legacy;
    s->Length = sizeof *s;
    s->Function = (UCHAR)function;
    s->SrbFlags = flags;
    s->DataTransferLength = p->length;
    s->DataBuffer = p->data_buffer;
    s->TimeOutValue = 10;
    s->QueueTag = SP_UNTAGGED;
    if (flags & SRB_FLAGS_QUEUE_ACTION_ENABLE) s->QueueAction = SRB_SIMPLE_TAG_REQUEST;
    s->OriginalRequest = p->irp;
    s->CdbLength = (UCHAR)p->cdb_length;
    s->SenseInfoBuffer = p->sense;
    s->SenseInfoBufferLength = SENSE_LENGTH;
    p->cdb = s->Cdb;
}

static void build_extended(packet *p, ULONG function, ULONG flags)
{
    srbx *s = &p->srb.extended;
    btl8 *address = (btl8 *)(s + 1);
    srbex_cdb *e = (srbex_cdb *)(p->srb.bytes + sizeof *s + 16);
    BOOLEAN wide = p->cdb_length > 16;
    s->Length = SRBX_HEADER_LENGTH;
    s->Function = SRB_FUNCTION_STORAGE_REQUEST_BLOCK;
    s->Signature = SRB_SIGNATURE_;
    s->Version = STORAGE_REQUEST_BLOCK_VERSION_1;
    s->SrbFunction = function;
    s->SrbFlags = flags;
    s->TimeOutValue = 10;
    s->RequestAttribute = SRB_SIMPLE_TAG_REQUEST;
    s->RequestTag = 0xffffffff;
    s->DataTransferLength = p->length;
    s->DataBuffer = p->data_buffer;
    s->OriginalRequest = p->irp;
    s->ClassContext = p;
    s->AddressOffset = sizeof *s;
    s->SrbLength = sizeof *s + 16;
    address->Type = STOR_ADDRESS_TYPE_BTL8;
    address->AddressLength = STOR_ADDR_BTL8_ADDRESS_LENGTH;
    if (function != SRB_FUNCTION_EXECUTE_SCSI) return;
    s->NumSrbExData = 1;
    s->SrbExDataOffset[0] = s->SrbLength;
    e->Type = wide ? SRBEX_SCSI_CDB32 : SRBEX_SCSI_CDB16;
    e->Length = wide ? SRBEX_CDB32_LENGTH : SRBEX_CDB16_LENGTH;
    s->SrbLength += 8 + e->Length;
    e->CdbLength = (UCHAR)p->cdb_length;
    e->SenseInfoBuffer = p->sense;
    e->SenseInfoBufferLength = SENSE_LENGTH;
    p->cdb = e->Cdb;
}

void packet_build(packet *p, BOOLEAN extended, ULONG function, ULONG flags, const UCHAR *cdb, ULONG cdb_length)
{
    RtlZeroMemory(&p->srb, sizeof p->srb);
    p->extended = extended;
    p->cdb_length = min(cdb_length, extended ? 32 : 16);
    if (extended) build_extended(p, function, flags);
    else build_legacy(p, function, flags);
    if (p->cdb && p->cdb_length) {
        RtlCopyMemory(p->cdb, cdb, p->cdb_length);
        RtlCopyMemory(p->cdb_sent, cdb, p->cdb_length);
    }
}

PUCHAR packet_srb_status(packet *p)
{
    return &p->srb.legacy.SrbStatus;
}

PULONG packet_transferred(packet *p)
{
    return p->extended ? &p->srb.extended.DataTransferLength : &p->srb.legacy.DataTransferLength;
}

/* Whoever lets go last passes the packet on to its owner. The count changes
 * under the lock: what is in the list can be taken hold of. */
static void release(packet *p)
{
    disk *d = p->disk;
    KIRQL irql;
    KeAcquireSpinLock(&d->packets_lock, &irql);
    BOOLEAN last = --p->references == 0;
    if (last) {
        RemoveEntryList(&p->entry);
        d->seen.pending--;
    }
    KeReleaseSpinLock(&d->packets_lock, irql);
    if (!last) return;
    if (p->transfer) transfer_done(p);
    else if (p->done) KeSetEvent(p->done, 0, FALSE);
    else raw_done(p);
}

/* What a driver below may not have changed. */
static void check_returned(packet *p)
{
    PVOID now = p->extended ? p->srb.extended.DataBuffer : p->srb.legacy.DataBuffer;
    ULONG function = p->extended ? p->srb.extended.SrbFunction : p->srb.legacy.Function;
    if (function != SRB_FUNCTION_EXECUTE_SCSI) return;
    if (p->cdb && RtlCompareMemory(p->cdb, p->cdb_sent, p->cdb_length) != p->cdb_length)
        complain(p->disk, "class", "the CDB (opcode %x) came back changed", p->cdb_sent[0]);
    if (now != p->data_buffer) complain(p->disk, "class", "DataBuffer came back changed");
    if (*packet_transferred(p) > p->length) complain(p->disk, "class", "DataTransferLength came back larger");
    if (SRB_STATUS(*packet_srb_status(p)) == SRB_STATUS_PENDING) complain(p->disk, "class", "completed with SrbStatus PENDING");
    if (NT_SUCCESS(p->status) && SRB_STATUS(*packet_srb_status(p)) != SRB_STATUS_SUCCESS)
        complain(p->disk, "class", "NTSTATUS %lx with SrbStatus %x", p->status, *packet_srb_status(p));
}

static void check_buffer(packet *p)
{
    if (!p->write || !p->mdl) return;
    PUCHAR data = MmGetSystemAddressForMdlSafe(p->mdl, NormalPagePriority);
    if (checksum(0, data, p->length) == p->checksum) return;
    p->disk->seen.buffer_changes++;
    complain(p->disk, "class", "the caller's write buffer was changed");
}

static NTSTATUS NTAPI returned(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    packet *p = context;
    disk *d = p->disk;
    KIRQL irql;
    (void)device;
    p->status = irp->IoStatus.Status;
    p->information = irp->IoStatus.Information;
    check_buffer(p);
    if (p->transfer || p->done) check_returned(p);
    if (*packet_srb_status(p) & SRB_STATUS_QUEUE_FROZEN) {
        d->release_queue = TRUE;
        KeSetEvent(&d->class_worker.wake, 0, FALSE);
    }
    if (p->transfer && SRB_STATUS(*packet_srb_status(p)) == SRB_STATUS_BUSY && p->retries) {
        p->retries--;
        d->seen.busy_retries++;
        KeAcquireSpinLock(&d->packets_lock, &irql);
        RemoveEntryList(&p->entry);
        InsertTailList(&d->retry, &p->entry);
        KeReleaseSpinLock(&d->packets_lock, irql);
        KeSetEvent(&d->class_worker.wake, 0, FALSE);
        return STATUS_MORE_PROCESSING_REQUIRED;
    }
    release(p);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

NTSTATUS packet_send(packet *p)
{
    disk *d = p->disk;
    KIRQL irql;
    if (p->write && p->mdl) p->checksum = checksum(0, MmGetSystemAddressForMdlSafe(p->mdl, NormalPagePriority), p->length);
    p->irp->MdlAddress = p->missing & RAW_NO_MDL ? NULL : p->mdl;
    p->irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(p->irp);
    next->MajorFunction = IRP_MJ_SCSI;
    next->MinorFunction = IRP_MN_SCSI_CLASS;
    /* What has to arrive with a write, whoever carries it; see check_own. */
    if (p->write) {
        next->Flags = SL_WRITE_THROUGH | SL_FT_SEQUENTIAL_WRITE;
        IoSetIoPriorityHint(p->irp, IoPriorityLow);
        if (p->extended) p->srb.extended.SrbFlags |= SRB_FLAGS_ADAPTER_CACHE_ENABLE;
        else p->srb.legacy.SrbFlags |= SRB_FLAGS_ADAPTER_CACHE_ENABLE;
    }
    next->Parameters.Scsi.Srb = p->missing & RAW_NULL_SRB ? NULL : &p->srb.legacy;
    if (p->missing & RAW_READ_WRITE_IRP) {
        RtlZeroMemory(&next->Parameters, sizeof next->Parameters);
        next->MajorFunction = p->write ? IRP_MJ_WRITE : IRP_MJ_READ;
        next->MinorFunction = 0;
        next->Parameters.Read.Length = p->length;
    }
    IoSetCompletionRoutine(p->irp, returned, p, TRUE, TRUE, TRUE);
    KeAcquireSpinLock(&d->packets_lock, &irql);
    InsertTailList(&d->packets, &p->entry);
    d->seen.pending++;
    KeReleaseSpinLock(&d->packets_lock, irql);
    return IoCallDriver(d->lower, p->irp);
}

/* The same request once more, from the same buffer, as after BUSY. */
static void send_again(packet *p)
{
    p->disk->seen.pending--; /* packet_send counts it again */
    *packet_srb_status(p) = SRB_STATUS_PENDING;
    *packet_transferred(p) = p->length;
    if (!p->extended) p->srb.legacy.ScsiStatus = 0, p->srb.legacy.SenseInfoBufferLength = SENSE_LENGTH;
    else {
        srbex_cdb *e = CONTAINING_RECORD(p->cdb, srbex_cdb, Cdb);
        e->ScsiStatus = 0;
        e->SenseInfoBufferLength = SENSE_LENGTH;
    }
    IoReuseIrp(p->irp, STATUS_NOT_SUPPORTED);
    packet_send(p);
}

/* Cancels what is on its way; returns how many. */
ULONG packet_cancel_all(disk *d)
{
    packet *all[64];
    ULONG n = 0;
    KIRQL irql;
    KeAcquireSpinLock(&d->packets_lock, &irql);
    for (PLIST_ENTRY e = d->packets.Flink; e != &d->packets && n < 64; e = e->Flink) {
        all[n] = CONTAINING_RECORD(e, packet, entry);
        all[n++]->references++;
    }
    KeReleaseSpinLock(&d->packets_lock, irql);
    for (ULONG i = 0; i < n; i++) {
        IoCancelIrp(all[i]->irp);
        release(all[i]);
    }
    return n;
}

/* Is this SRB one of the class driver's? */
BOOLEAN packet_owns(disk *d, PVOID srb)
{
    BOOLEAN found = FALSE;
    KIRQL irql;
    KeAcquireSpinLock(&d->packets_lock, &irql);
    for (PLIST_ENTRY e = d->packets.Flink; e != &d->packets && !found; e = e->Flink)
        found = (PVOID)&CONTAINING_RECORD(e, packet, entry)->srb == srb;
    KeReleaseSpinLock(&d->packets_lock, irql);
    return found;
}

/* One of the class driver's own requests, waited for. PASSIVE_LEVEL. */
NTSTATUS packet_sync(disk *d, ULONG function, ULONG flags, const UCHAR *cdb, ULONG cdb_length, PVOID data, ULONG length)
{
    KEVENT done;
    PUCHAR buffer = NULL;
    if (length && !(buffer = ExAllocatePoolWithTag(NonPagedPoolNx, length, TAG))) return STATUS_INSUFFICIENT_RESOURCES;
    packet *p = packet_new(d, buffer, length);
    if (!p) {
        if (buffer) ExFreePoolWithTag(buffer, TAG);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    p->done = &done;
    p->buffer = buffer;
    if (buffer) {
        RtlZeroMemory(buffer, length);
        MmBuildMdlForNonPagedPool(p->mdl);
        flags |= SRB_FLAGS_DATA_IN;
    }
    packet_build(p, d->adapter_extended, function, flags | SRB_FLAGS_NO_QUEUE_FREEZE, cdb, cdb_length);
    packet_send(p);
    KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
    NTSTATUS s = status_of(p);
    if (buffer) RtlCopyMemory(data, buffer, length);
    packet_free(p);
    return s;
}

/* Thaws the queue and sends again what found the device busy. */
void NTAPI class_thread(PVOID context)
{
    disk *d = context;
    KIRQL irql;
    while (!d->class_worker.stop) {
        worker_wait(&d->class_worker, -1);
        if (d->release_queue) {
            d->release_queue = FALSE;
            packet_sync(d, SRB_FUNCTION_RELEASE_QUEUE, 0, NULL, 0, NULL, 0);
        }
        for (;;) {
            packet *p = NULL;
            KeAcquireSpinLock(&d->packets_lock, &irql);
            if (!IsListEmpty(&d->retry)) p = CONTAINING_RECORD(RemoveHeadList(&d->retry), packet, entry);
            KeReleaseSpinLock(&d->packets_lock, irql);
            if (!p) break;
            send_again(p);
        }
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}
