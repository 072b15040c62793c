/* Requests exactly as the test spells them, right or wrong: any CDB, any SRB
 * function, and up to four lies written over the finished SRB. */
#include "disk.h"

static void results(packet *p, test_raw_result *out, ULONG room)
{
    *out = (test_raw_result){ 0 };
    out->status = p->status;
    out->information = (ULONG)p->information;
    out->transferred = *packet_transferred(p);
    out->srb_status = *packet_srb_status(p);
    out->scsi_status = p->extended ? 0 : p->srb.legacy.ScsiStatus;
    if (p->extended && p->cdb) out->scsi_status = CONTAINING_RECORD(p->cdb, srbex_cdb, Cdb)->ScsiStatus;
    if (*packet_srb_status(p) & SRB_STATUS_AUTOSENSE_VALID) {
        out->sense_length = SENSE_LENGTH;
        RtlCopyMemory(out->sense, p->sense, SENSE_LENGTH);
    }
    if (p->write) out->buffer_changed = checksum(0, p->buffer, p->length) != p->checksum;
    if (!p->write && p->buffer) RtlCopyMemory(out + 1, p->buffer, min(p->length, room));
}

void raw_done(packet *p)
{
    PIRP irp = p->master;
    ULONG room = IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl.OutputBufferLength - sizeof(test_raw_result);
    results(p, irp->AssociatedIrp.SystemBuffer, room);
    irp->IoStatus.Status = STATUS_SUCCESS;
    irp->IoStatus.Information = sizeof(test_raw_result) + (p->write ? 0 : min(p->length, room));
    packet_free(p);
    IoCompleteRequest(irp, 0);
}

static void lie(packet *p, const test_raw *r)
{
    for (ULONG i = 0; i < min(r->patches, 4); i++) {
        const test_patch *l = &r->patch[i];
        if (l->size <= 8 && l->offset + l->size <= (int)sizeof p->srb) RtlCopyMemory(p->srb.bytes + l->offset, &l->value, l->size);
    }
}

static packet *make(disk *d, const test_raw *r, const UCHAR *data)
{
    PUCHAR buffer = NULL;
    ULONG length = r->flags & (RAW_DATA_IN | RAW_DATA_OUT) ? r->data_length : 0;
    if (length && !(buffer = ExAllocatePoolWithTag(NonPagedPoolNx, length, TAG))) return NULL;
    packet *p = packet_new(d, buffer, length);
    if (!p) {
        if (buffer) ExFreePoolWithTag(buffer, TAG);
        return NULL;
    }
    p->buffer = buffer;
    p->write = length && r->flags & RAW_DATA_OUT;
    if (p->write) RtlCopyMemory(buffer, data, length);
    else if (buffer) RtlZeroMemory(buffer, length);
    if (buffer) MmBuildMdlForNonPagedPool(p->mdl);
    if (buffer && r->flags & RAW_SHORT_MDL) p->mdl->ByteCount /= 2;
    p->missing = r->flags & (RAW_NO_MDL | RAW_NULL_SRB | RAW_READ_WRITE_IRP);
    ULONG flags = r->srb_flags | (r->flags & RAW_DATA_IN ? SRB_FLAGS_DATA_IN : 0) | (r->flags & RAW_DATA_OUT ? SRB_FLAGS_DATA_OUT : 0);
    packet_build(p, (r->flags & RAW_EXTENDED) != 0, r->function, flags, r->cdb, min(r->cdb_length, 32));
    if (r->flags & RAW_NO_SENSE) {
        if (!p->extended) p->srb.legacy.SenseInfoBuffer = NULL, p->srb.legacy.SenseInfoBufferLength = 0;
        else if (p->cdb) {
            srbex_cdb *e = CONTAINING_RECORD(p->cdb, srbex_cdb, Cdb);
            e->SenseInfoBuffer = NULL, e->SenseInfoBufferLength = 0;
        }
    }
    lie(p, r);
    return p;
}

NTSTATUS raw_start(PIRP irp, PIO_STACK_LOCATION at)
{
    const test_raw *r = irp->AssociatedIrp.SystemBuffer;
    ULONG in = at->Parameters.DeviceIoControl.InputBufferLength;
    if (in < sizeof *r || at->Parameters.DeviceIoControl.OutputBufferLength < sizeof(test_raw_result)) return finish(irp, STATUS_BUFFER_TOO_SMALL, 0);
    disk *d = disk_number(r->disk);
    if (!d || !d->lower) return finish(irp, STATUS_NO_SUCH_DEVICE, 0);
    if (r->data_length > 16 << 20 || (r->flags & RAW_DATA_OUT && r->data_length > in - sizeof *r)) return finish(irp, STATUS_INVALID_PARAMETER, 0);
    packet *p = make(d, r, (const UCHAR *)(r + 1));
    if (!p) return finish(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    p->master = irp;
    IoMarkIrpPending(irp);
    packet_send(p);
    return STATUS_PENDING;
}
