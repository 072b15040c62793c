/* The port role: a PDO that takes SRBs, queues them, works them off on a
 * thread of its own and completes them at DISPATCH_LEVEL from another, in
 * whatever order and with whatever faults the test asked for. */
#include "disk.h"

/* One SRB from its arrival to its completion. */
typedef struct item {
    LIST_ENTRY entry;
    PIRP irp;
    request r;
    UCHAR srb_status;
    BOOLEAN linked;        /* in the queue, under the lock */
    NTSTATUS status;
} item;

static void complete(disk *d, item *i)
{
    KIRQL irql;
    UCHAR plain = SRB_STATUS(i->srb_status);
    if (plain != SRB_STATUS_SUCCESS && i->r.function == SRB_FUNCTION_EXECUTE_SCSI && !d->gone &&
        plain != SRB_STATUS_BUSY && !(i->r.flags & SRB_FLAGS_NO_QUEUE_FREEZE)) {
        d->frozen = TRUE;
        i->srb_status |= SRB_STATUS_QUEUE_FROZEN;
    }
    set_status(i->r.srb, i->srb_status);
    i->irp->IoStatus.Status = i->status;
    i->irp->IoStatus.Information = NT_SUCCESS(i->status) ? *i->r.length : 0;
    InterlockedDecrement((PLONG)&d->seen.in_flight);
    PIRP irp = i->irp;
    ExFreePoolWithTag(i, TAG);
    irql = current_irql();
    if (irql < DISPATCH_LEVEL) raise_irql(DISPATCH_LEVEL);
    IoCompleteRequest(irp, IO_DISK_INCREMENT);
    if (irql < DISPATCH_LEVEL) lower_irql(irql);
}

static NTSTATUS refuse(PIRP irp, PVOID srb, UCHAR srb_status, NTSTATUS status)
{
    if (srb) set_status(srb, srb_status);
    return finish(irp, status, 0);
}

void port_wake(disk *d)
{
    KeSetEvent(&d->io.wake, 0, FALSE);
    KeSetEvent(&d->completer.wake, 0, FALSE);
}

static VOID NTAPI cancel(PDEVICE_OBJECT device, PIRP irp)
{
    disk *d = ((extension *)device->DeviceExtension)->disk;
    item *i = irp->Tail.Overlay.DriverContext[0];
    KIRQL irql;
    IoReleaseCancelSpinLock(irp->CancelIrql);
    KeAcquireSpinLock(&d->lock, &irql);
    if (i->linked) RemoveEntryList(&i->entry);
    i->linked = FALSE;
    KeReleaseSpinLock(&d->lock, irql);
    d->seen.cancelled++;
    i->srb_status = SRB_STATUS_ABORTED;
    i->status = STATUS_CANCELLED;
    *i->r.length = 0;
    i->r.flags |= SRB_FLAGS_NO_QUEUE_FREEZE;
    complete(d, i);
}

/* Takes the request out of the queue for good; FALSE: its cancel routine has it. */
static BOOLEAN claim(item *i)
{
    RemoveEntryList(&i->entry);
    i->linked = FALSE;
    return IoSetCancelRoutine(i->irp, NULL) != NULL;
}

static item *take(disk *d)
{
    item *found = NULL;
    KIRQL irql;
    KeAcquireSpinLock(&d->lock, &irql);
    for (PLIST_ENTRY e = d->queue.Flink; !d->mode.freeze && e != &d->queue && !found;) {
        item *i = CONTAINING_RECORD(e, item, entry);
        e = e->Flink;
        if (d->frozen && !(i->r.flags & SRB_FLAGS_BYPASS_FROZEN_QUEUE)) continue;
        if (d->locked && !(i->r.flags & SRB_FLAGS_BYPASS_LOCKED_QUEUE)) continue;
        if (claim(i)) found = i;
    }
    KeReleaseSpinLock(&d->lock, irql);
    return found;
}

static BOOLEAN strikes(disk *d, const request *r)
{
    extent e;
    test_port_mode *m = &d->mode;
    if (m->fault == FAULT_NONE || !m->fault_count || r->function != SRB_FUNCTION_EXECUTE_SCSI) return FALSE;
    BOOLEAN transfer = decode_extent(r->cdb, r->cdb_length, &e);
    ULONG kind = transfer ? (e.read ? FAULT_ON_READ : FAULT_ON_WRITE) : r->cdb[0] == 0x35 || r->cdb[0] == 0x91 ? FAULT_ON_FLUSH : r->cdb[0] == 0x42 ? FAULT_ON_UNMAP : 0;
    if (!(m->fault_on & kind)) return FALSE;
    if (transfer && (e.lba > m->fault_last || e.lba + e.blocks <= m->fault_first)) return FALSE;
    if (m->fault_skip) return m->fault_skip--, FALSE;
    if (m->fault_count != 0xffffffff) m->fault_count--;
    d->seen.faults++;
    return TRUE;
}

/* Does what the injected fault says. */
static void strike(disk *d, item *i)
{
    request *r = &i->r;
    i->status = STATUS_IO_DEVICE_ERROR;
    switch (d->mode.fault) {
    case FAULT_MEDIUM:
        i->status = scsi_sense(d, r, &i->srb_status, 3, r->flags & SRB_FLAGS_DATA_IN ? 0x11 : 0x0c, 0);
        return;
    case FAULT_SHORT: case FAULT_SHORT_OVERRUN: { /* half of it, in whole sectors, and says so */
        ULONG half = *r->length / 2 / d->sector_size * d->sector_size;
        i->status = scsi_execute(d, r, &i->srb_status);
        *r->length = half;
        if (d->mode.fault == FAULT_SHORT_OVERRUN) i->srb_status = SRB_STATUS_DATA_OVERRUN, i->status = STATUS_BUFFER_OVERFLOW;
        return;
    }
    case FAULT_BUSY:
        i->srb_status = SRB_STATUS_BUSY;
        i->status = STATUS_DEVICE_BUSY;
        if (r->scsi_status) *r->scsi_status = 8;
        return;
    case FAULT_TIMEOUT:
        i->srb_status = SRB_STATUS_TIMEOUT;
        i->status = STATUS_IO_TIMEOUT;
        return;
    case FAULT_RECOVERED: { /* all of it, with a word about the trouble it was */
        i->status = scsi_execute(d, r, &i->srb_status);
        ULONG moved = *r->length;
        i->status = scsi_sense(d, r, &i->srb_status, 1, 0x17, 1);
        *r->length = moved;
        return;
    }
    case FAULT_INTERNAL:
        i->srb_status = SRB_STATUS_INTERNAL_ERROR;
        i->status = STATUS_INSUFFICIENT_RESOURCES;
        if (r->extended) ((srbx *)r->srb)->SystemStatus = i->status;
        else ((PSCSI_REQUEST_BLOCK)r->srb)->InternalStatus = i->status;
        *r->length = 0;
        return;
    default:
        i->srb_status = SRB_STATUS_ABORTED;
    }
}

static void execute(disk *d, item *i)
{
    if (d->gone) {
        i->srb_status = SRB_STATUS_NO_DEVICE;
        i->status = STATUS_DEVICE_DOES_NOT_EXIST;
    } else if (strikes(d, &i->r)) strike(d, i);
    else if (i->r.function == SRB_FUNCTION_EXECUTE_SCSI) i->status = scsi_execute(d, &i->r, &i->srb_status);
    else { /* FLUSH, SHUTDOWN */
        d->seen.flushes++;
        i->status = image_flush(d);
        i->srb_status = NT_SUCCESS(i->status) ? SRB_STATUS_SUCCESS : SRB_STATUS_ERROR;
    }
}

static VOID NTAPI io_thread(PVOID context)
{
    disk *d = context;
    KIRQL irql;
    while (!d->io.stop) {
        worker_wait(&d->io, -1);
        for (item *i; (i = take(d));) {
            execute(d, i);
            KeAcquireSpinLock(&d->lock, &irql);
            InsertTailList(&d->done, &i->entry);
            d->done_count++;
            KeReleaseSpinLock(&d->lock, irql);
            KeSetEvent(&d->completer.wake, 0, FALSE);
        }
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static ULONG next_random(disk *d)
{
    d->random ^= d->random << 13;
    d->random ^= d->random >> 17;
    return d->random ^= d->random << 5;
}

/* The next to be completed, in the order asked for. */
static item *pick(disk *d)
{
    KIRQL irql;
    item *i = NULL;
    KeAcquireSpinLock(&d->lock, &irql);
    if (d->done_count) {
        ULONG skip = d->mode.order == ORDER_REVERSE ? d->done_count - 1 : d->mode.order == ORDER_SHUFFLE ? next_random(d) % d->done_count : 0;
        PLIST_ENTRY e = d->done.Flink;
        while (skip--) e = e->Flink;
        RemoveEntryList(e);
        d->done_count--;
        i = CONTAINING_RECORD(e, item, entry);
    }
    KeReleaseSpinLock(&d->lock, irql);
    return i;
}

static VOID NTAPI completer_thread(PVOID context)
{
    disk *d = context;
    while (!d->completer.stop) {
        ULONG before = d->done_count;
        /* Hold back until enough have gathered, or none came for 2 ms. */
        if (before && before < d->mode.hold && !d->gone) {
            worker_wait(&d->completer, 2);
            if (d->done_count != before) continue;
        } else if (!before) {
            worker_wait(&d->completer, -1);
            continue;
        }
        for (item *i; (i = pick(d));) {
            LARGE_INTEGER t = { .QuadPart = -10000ll * d->mode.delay_ms };
            if (d->mode.delay_ms) KeDelayExecutionThread(KernelMode, FALSE, &t);
            complete(d, i);
        }
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* Everything that waits or is ready ends now (surprise removal, reset). */
void port_flush_queues(disk *d, UCHAR srb_status, NTSTATUS status)
{
    KIRQL irql;
    LIST_ENTRY all;
    InitializeListHead(&all);
    KeAcquireSpinLock(&d->lock, &irql);
    for (PLIST_ENTRY e = d->queue.Flink; e != &d->queue;) {
        item *i = CONTAINING_RECORD(e, item, entry);
        e = e->Flink;
        if (claim(i)) InsertTailList(&all, &i->entry);
    }
    while (!IsListEmpty(&d->done)) InsertTailList(&all, RemoveHeadList(&d->done));
    d->done_count = 0;
    KeReleaseSpinLock(&d->lock, irql);
    while (!IsListEmpty(&all)) {
        item *i = CONTAINING_RECORD(RemoveHeadList(&all), item, entry);
        i->srb_status = srb_status;
        i->status = status;
        *i->r.length = 0;
        complete(d, i);
    }
}

static NTSTATUS enqueue(disk *d, PIRP irp, const request *r)
{
    item *i = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof *i, TAG);
    KIRQL irql;
    if (!i) return refuse(irp, r->srb, SRB_STATUS_BUSY, STATUS_INSUFFICIENT_RESOURCES);
    RtlZeroMemory(i, sizeof *i);
    i->irp = irp;
    i->r = *r;
    irp->Tail.Overlay.DriverContext[0] = i;
    LONG flying = InterlockedIncrement((PLONG)&d->seen.in_flight);
    if ((ULONG)flying > d->seen.in_flight_max) d->seen.in_flight_max = flying;
    IoMarkIrpPending(irp);
    if (d->mode.inline_completion && current_irql() == PASSIVE_LEVEL && !d->mode.freeze) {
        execute(d, i);
        complete(d, i);
        return STATUS_PENDING;
    }
    KeAcquireSpinLock(&d->lock, &irql);
    InsertTailList(&d->queue, &i->entry);
    i->linked = TRUE;
    IoSetCancelRoutine(irp, cancel);
    /* Cancelled before the routine was there: whoever takes it back completes it. */
    BOOLEAN ended = (irp->Cancel || d->gone) && claim(i);
    KeReleaseSpinLock(&d->lock, irql);
    if (ended) {
        i->srb_status = d->gone ? SRB_STATUS_NO_DEVICE : SRB_STATUS_ABORTED;
        i->status = d->gone ? STATUS_DEVICE_DOES_NOT_EXIST : STATUS_CANCELLED;
        *i->r.length = 0;
        complete(d, i);
    } else KeSetEvent(&d->io.wake, 0, FALSE);
    return STATUS_PENDING;
}

/* The queue-steering functions take effect at once and never wait. */
static NTSTATUS steer(disk *d, PIRP irp, const request *r)
{
    switch (r->function) {
    case SRB_FUNCTION_CLAIM_DEVICE:
        if (d->claimed) return refuse(irp, r->srb, SRB_STATUS_BUSY, STATUS_DEVICE_BUSY);
        d->claimed = TRUE;
        if (r->extended) ((srbx *)r->srb)->DataBuffer = d->pdo;
        else ((PSCSI_REQUEST_BLOCK)r->srb)->DataBuffer = d->pdo;
        break;
    case SRB_FUNCTION_RELEASE_DEVICE: d->claimed = FALSE; break;
    case SRB_FUNCTION_LOCK_QUEUE: case SRB_FUNCTION_QUIESCE_DEVICE: d->locked = TRUE; break;
    case SRB_FUNCTION_UNLOCK_QUEUE: d->locked = FALSE; break;
    case SRB_FUNCTION_RELEASE_QUEUE: case SRB_FUNCTION_FLUSH_QUEUE: d->frozen = FALSE; break;
    case SRB_FUNCTION_RESET_BUS: case SRB_FUNCTION_RESET_DEVICE: case SRB_FUNCTION_RESET_LOGICAL_UNIT:
        port_flush_queues(d, SRB_STATUS_BUS_RESET, STATUS_IO_DEVICE_ERROR);
        break;
    default:
        if (!d->mode.generous) return refuse(irp, r->srb, SRB_STATUS_INVALID_REQUEST, STATUS_INVALID_DEVICE_REQUEST);
        if (r->flags & SRB_FLAGS_DATA_IN && r->data) fill_raw(r->data, *r->length);
    }
    set_status(r->srb, SRB_STATUS_SUCCESS);
    NTSTATUS s = finish(irp, STATUS_SUCCESS, 0);
    port_wake(d);
    return s;
}

NTSTATUS port_scsi(disk *d, PIRP irp, PIO_STACK_LOCATION at)
{
    request r;
    PVOID srb = at->Parameters.Scsi.Srb;
    d->seen.srbs++;
    if (d->gone) return refuse(irp, srb, SRB_STATUS_NO_DEVICE, STATUS_DEVICE_DOES_NOT_EXIST);
    if (!check_request(d, irp, at, &r)) return refuse(irp, srb, SRB_STATUS_INVALID_REQUEST, STATUS_INVALID_PARAMETER);
    if (r.function == SRB_FUNCTION_EXECUTE_SCSI) d->seen.opcodes[r.cdb[0]]++;
    else if (r.flags & SRB_FLAGS_DATA_OUT && r.data) look_for_patterns(d, r.data, *r.length, 0);
    switch (r.function) {
    case SRB_FUNCTION_EXECUTE_SCSI: case SRB_FUNCTION_FLUSH: case SRB_FUNCTION_SHUTDOWN: return enqueue(d, irp, &r);
    }
    return steer(d, irp, &r);
}

/* A disk with nothing in it yet. */
disk *port_blank(void)
{
    disk *d = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof *d, TAG);
    if (!d) return NULL;
    RtlZeroMemory(d, sizeof *d);
    d->random = 1;
    KeInitializeSpinLock(&d->lock);
    KeInitializeSpinLock(&d->packets_lock);
    InitializeListHead(&d->queue);
    InitializeListHead(&d->done);
    InitializeListHead(&d->packets);
    InitializeListHead(&d->retry);
    return d;
}

NTSTATUS port_create(const test_create *c, disk **out, NTSTATUS *image_status)
{
    disk *d = port_blank();
    *image_status = STATUS_INSUFFICIENT_RESOURCES;
    if (!d) return *image_status;
    d->sector_size = c->sector_size;
    d->max_transfer = c->max_transfer;
    d->alignment_mask = c->alignment_mask;
    d->flags = c->flags;
    NTSTATUS s = *image_status = image_open(d, c->image);
    if (NT_SUCCESS(s)) s = IoCreateDevice(own_driver, sizeof(extension), NULL, FILE_DEVICE_DISK, 0, FALSE, &d->pdo);
    if (!NT_SUCCESS(s)) {
        if (d->image) ZwClose(d->image);
        ExFreePoolWithTag(d, TAG);
        return s;
    }
    extension *e = d->pdo->DeviceExtension;
    e->role = ROLE_PORT;
    e->disk = d;
    d->pdo->Flags |= DO_DIRECT_IO | DO_BUS_ENUMERATED_DEVICE;
    d->pdo->AlignmentRequirement = c->alignment_mask;
    d->pdo->Flags &= ~DO_DEVICE_INITIALIZING;
    s = worker_start(&d->io, io_thread, d);
    if (NT_SUCCESS(s)) s = worker_start(&d->completer, completer_thread, d);
    *out = d;
    return s;
}

void port_delete(disk *d)
{
    worker_stop(&d->io);
    worker_stop(&d->completer);
    port_flush_queues(d, SRB_STATUS_NO_DEVICE, STATUS_DEVICE_DOES_NOT_EXIST);
    if (d->adopted) ObDereferenceObject(d->pdo);
    else if (d->pdo) IoDeleteDevice(d->pdo);
    if (d->image) ZwClose(d->image);
    d->pdo = NULL;
}
