/* Read and write calls from user mode, cut into SRBs as the class driver does:
 * each piece with an IRP, an SRB and a partial MDL of its own over the
 * caller's MDL, all of them sent at once. */
#include "disk.h"

typedef struct transfer {
    disk *d;
    PIRP master;
    LONG outstanding;      /* pieces under way, and one for the loop that sends */
    LONG transferred;
    volatile LONG status;  /* the first failure */
} transfer;

static NTSTATUS sense_status(packet *p)
{
    UCHAR key = p->sense[2] & 15, asc = p->sense[12];
    switch (key) {
    case 1: return STATUS_SUCCESS;
    case 2: return STATUS_DEVICE_NOT_READY;
    case 3: return STATUS_DEVICE_DATA_ERROR;
    case 4: return STATUS_IO_DEVICE_ERROR;
    case 5: return asc == 0x21 ? STATUS_NONEXISTENT_SECTOR : STATUS_INVALID_DEVICE_REQUEST;
    case 7: return asc == 0x27 ? STATUS_MEDIA_WRITE_PROTECTED : STATUS_ACCESS_DENIED;
    }
    return STATUS_UNSUCCESSFUL;
}

/* The status a class driver gives its caller: from the SRB, not from the IRP. */
NTSTATUS status_of(packet *p)
{
    UCHAR s = *packet_srb_status(p);
    if (p->status == STATUS_CANCELLED) return STATUS_CANCELLED;
    switch (SRB_STATUS(s)) {
    case SRB_STATUS_SUCCESS: return STATUS_SUCCESS;
    case SRB_STATUS_DATA_OVERRUN: return STATUS_DATA_OVERRUN;
    case SRB_STATUS_NO_DEVICE: return STATUS_DEVICE_DOES_NOT_EXIST;
    case SRB_STATUS_BUSY: return STATUS_DEVICE_BUSY;
    case SRB_STATUS_TIMEOUT: case SRB_STATUS_COMMAND_TIMEOUT: case SRB_STATUS_ABORTED: return STATUS_IO_TIMEOUT;
    /* As class drivers do: whatever stands in the SRB, a success too. */
    case SRB_STATUS_INTERNAL_ERROR: return p->extended ? (NTSTATUS)p->srb.extended.SystemStatus : (NTSTATUS)p->srb.legacy.InternalStatus;
    case SRB_STATUS_INVALID_REQUEST: return STATUS_INVALID_DEVICE_REQUEST;
    }
    return s & SRB_STATUS_AUTOSENSE_VALID ? sense_status(p) : STATUS_IO_DEVICE_ERROR;
}

static void drop(transfer *t)
{
    if (InterlockedDecrement(&t->outstanding)) return;
    PIRP master = t->master;
    NTSTATUS s = t->status;
    ULONG n = NT_SUCCESS(s) ? t->transferred : 0;
    ExFreePoolWithTag(t, TAG);
    master->IoStatus.Status = s;
    master->IoStatus.Information = n;
    IoCompleteRequest(master, IO_DISK_INCREMENT);
}

BOOLEAN transfer_done(packet *p)
{
    transfer *t = p->transfer;
    NTSTATUS s = status_of(p);
    if (NT_SUCCESS(s)) InterlockedExchangeAdd(&t->transferred, *packet_transferred(p));
    else InterlockedCompareExchange(&t->status, s, STATUS_SUCCESS);
    packet_free(p);
    drop(t);
    return TRUE;
}

/* Returns the CDB's length. */
static ULONG make_cdb(UCHAR *c, ULONG flags, BOOLEAN write, ULONGLONG lba, ULONG blocks)
{
    RtlZeroMemory(c, 32);
    UCHAR fua = flags & CLASS_FUA && write ? 8 : 0;
    if (flags & CLASS_CDB32 && flags & CLASS_EXTENDED) {
        c[0] = 0x7f, c[7] = 24, c[9] = write ? 11 : 9, c[10] = fua;
        put_be(c + 12, 8, lba);
        put_be(c + 20, 4, lba); /* expected initial reference tag: unused */
        put_be(c + 28, 4, blocks);
        return 32;
    }
    if (flags & CLASS_CDB6 && lba + blocks <= 0x200000 && blocks <= 256 && !fua) {
        put_be(c + 1, 3, lba);
        c[0] = write ? 0x0a : 0x08, c[4] = (UCHAR)blocks;
        return 6;
    }
    if (flags & CLASS_CDB16 || lba + blocks > 0xffffffff) {
        c[0] = write ? 0x8a : 0x88, c[1] = fua;
        put_be(c + 2, 8, lba);
        put_be(c + 10, 4, blocks);
        return 16;
    }
    BOOLEAN twelve = (flags & CLASS_CDB12) != 0;
    c[0] = (twelve ? 0xa8 : 0x28) + (write ? 2 : 0), c[1] = fua;
    put_be(c + 2, 4, lba);
    put_be(c + (twelve ? 6 : 7), twelve ? 4 : 2, blocks);
    return twelve ? 12 : 10;
}

/* One piece, sent. The caller has counted it. */
static NTSTATUS piece(transfer *t, ULONGLONG at, ULONG offset, ULONG length, BOOLEAN write)
{
    disk *d = t->d;
    UCHAR cdb[32];
    ULONG mode = d->class_mode.flags;
    PUCHAR data = (PUCHAR)MmGetMdlVirtualAddress(t->master->MdlAddress) + offset;
    packet *p = packet_new(d, data, length);
    if (!p) return STATUS_INSUFFICIENT_RESOURCES;
    IoBuildPartialMdl(t->master->MdlAddress, p->mdl, data, length);
    p->transfer = t;
    p->write = write;
    p->retries = d->class_mode.retries;
    ULONG flags = SRB_FLAGS_QUEUE_ACTION_ENABLE | SRB_FLAGS_ADAPTER_CACHE_ENABLE | (write ? SRB_FLAGS_DATA_OUT : SRB_FLAGS_DATA_IN);
    if (mode & CLASS_PAGING) flags |= SRB_CLASS_FLAGS_PAGING;
    if (mode & CLASS_NO_FREEZE) flags |= SRB_FLAGS_NO_QUEUE_FREEZE;
    ULONG n = make_cdb(cdb, mode, write, at / d->class_sector_size, length / d->class_sector_size);
    packet_build(p, (mode & CLASS_EXTENDED) != 0, SRB_FUNCTION_EXECUTE_SCSI, flags, cdb, n);
    packet_send(p);
    return STATUS_SUCCESS;
}

NTSTATUS transfer_start(disk *d, PIRP irp, PIO_STACK_LOCATION at)
{
    BOOLEAN write = at->MajorFunction == IRP_MJ_WRITE;
    ULONG length = at->Parameters.Read.Length; /* laid out as Write */
    ULONGLONG offset = at->Parameters.Read.ByteOffset.QuadPart;
    ULONG wish = d->class_mode.max_transfer;
    ULONG most = wish ? min(wish, d->adapter_max_transfer) : d->adapter_max_transfer;
    if (!d->class_sector_size || length % d->class_sector_size || offset % d->class_sector_size)
        return finish(irp, STATUS_INVALID_PARAMETER, 0);
    if (!length) return finish(irp, STATUS_SUCCESS, 0);
    if (!irp->MdlAddress) return finish(irp, STATUS_INVALID_PARAMETER, 0);
    transfer *t = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof *t, TAG);
    if (!t) return finish(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    *t = (transfer){ .d = d, .master = irp, .outstanding = 1 };
    IoMarkIrpPending(irp);
    for (ULONG done = 0; done < length;) {
        ULONG n = min(most, length - done);
        InterlockedIncrement(&t->outstanding);
        NTSTATUS s = piece(t, offset + done, done, n, write);
        done += n;
        if (NT_SUCCESS(s)) continue;
        InterlockedCompareExchange(&t->status, s, STATUS_SUCCESS);
        drop(t);
        break;
    }
    drop(t);
    return STATUS_PENDING;
}
