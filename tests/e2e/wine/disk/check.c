/* The picky port driver: everything a request must be, checked before any of
 * it is believed. Whatever is wrong is reported and the request refused; a
 * request that lies never makes this driver touch memory it was not given. */
#include "disk.h"

/* CDB length that the opcode's group demands; 0 where it is free. */
static ULONG group_length(UCHAR opcode)
{
    static const UCHAR lengths[8] = { 6, 10, 10, 0, 16, 12, 0, 0 };
    return lengths[opcode >> 5];
}

void set_status(PVOID srb, UCHAR srb_status)
{
    ((PSCSI_REQUEST_BLOCK)srb)->SrbStatus = srb_status; /* offset 3 in both kinds */
}

static const char *parse_legacy(PSCSI_REQUEST_BLOCK s, request *r)
{
    if (s->Length != sizeof *s) return "Length is not that of SCSI_REQUEST_BLOCK";
    if (s->CdbLength > 16) return "CdbLength above 16";
    r->function = s->Function;
    r->flags = s->SrbFlags;
    r->cdb = s->Cdb;
    r->cdb_length = s->CdbLength;
    r->sense = s->SenseInfoBuffer;
    r->sense_length = &s->SenseInfoBufferLength;
    r->scsi_status = &s->ScsiStatus;
    r->length = &s->DataTransferLength;
    r->buffer = s->DataBuffer;
    return NULL;
}

static const char *parse_cdb_data(srbx *s, ULONG at, request *r)
{
    srbex_cdb *e = (srbex_cdb *)((PUCHAR)s + at);
    ULONG room;
    if (e->Type == SRBEX_SCSI_CDB16 && e->Length >= SRBEX_CDB16_LENGTH) room = 16;
    else if (e->Type == SRBEX_SCSI_CDB32 && e->Length >= SRBEX_CDB32_LENGTH) room = 32;
    else return "first SrbExData holds no CDB";
    if (e->Length > s->SrbLength - at - 8) return "SrbExData longer than the SRB";
    if (e->CdbLength > room) return "CdbLength above its room";
    r->cdb = e->Cdb;
    r->cdb_length = e->CdbLength;
    r->sense = e->SenseInfoBuffer;
    r->sense_length = &e->SenseInfoBufferLength;
    r->scsi_status = &e->ScsiStatus;
    return NULL;
}

static const char *parse_extended(srbx *s, request *r)
{
    r->extended = TRUE;
    if (s->Length != SRBX_HEADER_LENGTH) return "Length is not that of the compatible header";
    if (s->Signature != SRB_SIGNATURE_) return "signature is not SRBX";
    if (s->Version != STORAGE_REQUEST_BLOCK_VERSION_1) return "unknown version";
    if (s->SrbLength < sizeof *s || s->SrbLength > 4096) return "SrbLength out of range";
    if (s->ZeroGuard1 || s->ZeroGuard2) return "a ZeroGuard is not zero";
    if (s->AddressOffset < sizeof *s || s->AddressOffset > s->SrbLength - sizeof(btl8) || s->AddressOffset & 3)
        return "AddressOffset out of range";
    btl8 *address = (btl8 *)((PUCHAR)s + s->AddressOffset);
    if (address->Type != STOR_ADDRESS_TYPE_BTL8 || address->AddressLength != STOR_ADDR_BTL8_ADDRESS_LENGTH)
        return "address is not BTL8";
    r->function = s->SrbFunction;
    r->flags = s->SrbFlags;
    r->length = &s->DataTransferLength;
    r->buffer = s->DataBuffer;
    if (s->SrbFunction != SRB_FUNCTION_EXECUTE_SCSI) return NULL;
    if (s->NumSrbExData < 1 || s->NumSrbExData > 8) return "NumSrbExData out of range";
    ULONG at = s->SrbExDataOffset[0];
    if (at < sizeof *s || at > s->SrbLength - sizeof(srbex_cdb) || at & 7) return "SrbExDataOffset out of range";
    return parse_cdb_data(s, at, r);
}

BOOLEAN parse_request(PVOID srb, request *r, const char **why)
{
    RtlZeroMemory(r, sizeof *r);
    r->srb = srb;
    BOOLEAN extended = ((PSCSI_REQUEST_BLOCK)srb)->Function == SRB_FUNCTION_STORAGE_REQUEST_BLOCK;
    *why = extended ? parse_extended(srb, r) : parse_legacy(srb, r);
    return *why == NULL;
}

/* The data must lie within the MDL, and the direction must fit. */
static const char *check_data(disk *d, PIRP irp, request *r)
{
    ULONG direction = r->flags & SRB_FLAGS_UNSPECIFIED_DIRECTION;
    if (*r->length == 0) return NULL;
    if (!direction) return "data without a direction";
    if (!r->buffer) return "DataTransferLength without DataBuffer";
    if (*r->length > d->max_transfer) return "more than the adapter's MaximumTransferLength";
    if ((ULONG_PTR)r->buffer & d->alignment_mask) return "DataBuffer breaks the adapter's AlignmentMask";
    PMDL mdl = irp->MdlAddress;
    if (!mdl) return "data without an MDL";
    PUCHAR start = MmGetMdlVirtualAddress(mdl);
    if (r->buffer < start || (ULONG_PTR)(r->buffer - start) > MmGetMdlByteCount(mdl) ||
        *r->length > MmGetMdlByteCount(mdl) - (ULONG_PTR)(r->buffer - start))
        return "the MDL does not cover DataBuffer and DataTransferLength";
    if (!(mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL)))
        return "the MDL's pages are not locked";
    PUCHAR mapped = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
    if (!mapped) return "the MDL cannot be mapped";
    r->data = mapped + (r->buffer - start);
    return NULL;
}

static const char *check_command(disk *d, request *r)
{
    extent e;
    if (!r->cdb_length) return "no CDB";
    ULONG wanted = group_length(r->cdb[0]);
    if (wanted && r->cdb_length != wanted) return "CdbLength does not fit the opcode";
    if (r->cdb[0] == 0x7f && (r->cdb_length != 32 || r->cdb[7] != 24)) return "variable-length CDB is not of 32 bytes";
    if (r->flags & SRB_FLAGS_DISABLE_AUTOSENSE) {
        if (r->sense) return "sense buffer though autosense is disabled";
    } else if (r->sense && *r->sense_length < SENSE_LENGTH) return "sense buffer too small";
    if (decode_extent(r->cdb, r->cdb_length, &e)) {
        if ((ULONGLONG)e.blocks * d->sector_size != *r->length) return "DataTransferLength is not the CDB's";
        if (e.blocks == 0) return NULL;
        if (e.read && !(r->flags & SRB_FLAGS_DATA_IN)) return "a read without DATA_IN";
        if (e.write && !(r->flags & SRB_FLAGS_DATA_OUT)) return "a write without DATA_OUT";
    }
    return NULL;
}

/* Rules for what the filter itself makes, as against what it lets pass. */
static const char *check_own(disk *d, PIRP irp, PIO_STACK_LOCATION at, request *r)
{
    extent e;
    PVOID original = r->extended ? ((srbx *)r->srb)->OriginalRequest : ((PSCSI_REQUEST_BLOCK)r->srb)->OriginalRequest;
    ULONG timeout = r->extended ? ((srbx *)r->srb)->TimeOutValue : ((PSCSI_REQUEST_BLOCK)r->srb)->TimeOutValue;
    if (original != irp) return "OriginalRequest of an own SRB is not its IRP";
    if (r->function == SRB_FUNCTION_EXECUTE_SCSI) {
        if (!(r->flags & SRB_FLAGS_NO_QUEUE_FREEZE)) return "own SRB without NO_QUEUE_FREEZE";
        if (!timeout) return "own SRB without a time-out";
        /* The class driver sends all writes with these (packet_send); for a volume in place, the filter writes for it only. */
        BOOLEAN programs = d->programs && !at->Flags;
        if (!(d->flags & CREATE_OWN_WRITES) && !programs && decode_extent(r->cdb, r->cdb_length, &e) && e.write) {
            if (at->Flags != (SL_WRITE_THROUGH | SL_FT_SEQUENTIAL_WRITE)) return "a write without its caller's stack flags";
            if (IoGetIoPriorityHint(irp) != IoPriorityLow) return "a write without its caller's I/O priority";
            if (!(r->flags & SRB_FLAGS_ADAPTER_CACHE_ENABLE)) return "a write without its caller's ADAPTER_CACHE_ENABLE";
        }
    }
    return NULL;
}

BOOLEAN check_request(disk *d, PIRP irp, PIO_STACK_LOCATION at, request *r)
{
    PVOID srb = at->Parameters.Scsi.Srb;
    const char *why;
    if (!srb) {
        complain(d, "port", "IRP_MJ_SCSI without an SRB");
        return FALSE;
    }
    BOOLEAN own = !packet_owns(d, srb);
    BOOLEAN good = parse_request(srb, r, &why);
    if (good && r->extended && d->flags & CREATE_LEGACY) why = "extended SRB to an adapter of the legacy kind";
    if (good && !why && ((PSCSI_REQUEST_BLOCK)srb)->SrbStatus != SRB_STATUS_PENDING) why = "SrbStatus is not PENDING at the start";
    if (good && !why) why = check_data(d, irp, r);
    if (good && !why && r->function == SRB_FUNCTION_EXECUTE_SCSI) why = check_command(d, r);
    if (good && !why && own) why = check_own(d, irp, at, r);
    if (own) d->seen.own_srbs++;
    if (why) complain(d, "port", "%s SRB: %s (function %lx, opcode %x)", own ? "filter's" : "class driver's", why,
                      r->function, r->cdb ? r->cdb[0] : 0xff);
    return why == NULL;
}
