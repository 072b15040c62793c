/* What the disk answers. Runs on the disk's I/O thread at PASSIVE_LEVEL. */
#include "disk.h"
#include <scsi.h>

BOOLEAN decode_extent(const UCHAR *c, ULONG length, extent *e)
{
    RtlZeroMemory(e, sizeof *e);
    if (!length) return FALSE;
    switch (c[0]) {
    case 0x08: case 0x0a: /* READ(6), WRITE(6): 0 blocks mean 256 */
        if (length < 6) return FALSE;
        e->lba = be(c + 1, 3) & 0x1fffff;
        e->blocks = c[4] ? c[4] : 256;
        break;
    case 0x28: case 0x2a: case 0x2e: /* WRITE AND VERIFY, like WRITE */
        if (length < 10) return FALSE;
        e->lba = be(c + 2, 4);
        e->blocks = (ULONG)be(c + 7, 2);
        break;
    case 0xa8: case 0xaa:
        if (length < 12) return FALSE;
        e->lba = be(c + 2, 4);
        e->blocks = (ULONG)be(c + 6, 4);
        break;
    case 0x88: case 0x8a: case 0x8e:
        if (length < 16) return FALSE;
        e->lba = be(c + 2, 8);
        e->blocks = (ULONG)be(c + 10, 4);
        break;
    case 0x7f: /* variable length: service actions 9 and 11 are READ(32) and WRITE(32) */
        if (length < 32 || c[8] || (c[9] != 9 && c[9] != 11)) return FALSE;
        e->lba = be(c + 12, 8);
        e->blocks = (ULONG)be(c + 28, 4);
        e->read = c[9] == 9;
        e->write = !e->read;
        e->fua = (c[10] & 8) != 0;
        return TRUE;
    default:
        return FALSE;
    }
    e->read = (c[0] & 0x0f) == 8;
    e->write = !e->read;
    e->fua = c[0] > 0x0a && (c[0] & 0x0f) != 0x0e && (c[1] & 8);
    return TRUE;
}

/* CHECK CONDITION with fixed-format sense data. */
NTSTATUS scsi_sense(disk *d, request *r, UCHAR *srb_status, UCHAR key, UCHAR asc, UCHAR ascq)
{
    UCHAR s[SENSE_LENGTH] = { 0x70, 0, key, [7] = SENSE_LENGTH - 8, [12] = asc, [13] = ascq };
    *srb_status = SRB_STATUS_ERROR;
    if (r->scsi_status) *r->scsi_status = SCSISTAT_CHECK_CONDITION;
    if (r->sense && r->sense_length && *r->sense_length >= sizeof s) {
        RtlCopyMemory(r->sense, s, sizeof s);
        *r->sense_length = sizeof s;
        *srb_status |= SRB_STATUS_AUTOSENSE_VALID;
    }
    *r->length = 0;
    return key == 5 ? STATUS_INVALID_DEVICE_REQUEST : STATUS_IO_DEVICE_ERROR;
}

/* Hands back at most what was asked for and says how much it was. */
static NTSTATUS reply(request *r, UCHAR *srb_status, const void *data, ULONG length, ULONG allocation)
{
    ULONG n = min(min(length, allocation), *r->length);
    if (n && r->data) RtlCopyMemory(r->data, data, n);
    *r->length = n;
    *srb_status = SRB_STATUS_SUCCESS;
    return STATUS_SUCCESS;
}

/* Looks for the patterns in what has come; sector: where it would lie. */
void look_for_patterns(disk *d, const UCHAR *data, ULONG n, ULONGLONG sector)
{
    for (ULONG p = 0; p < d->pattern_count; p++) {
        ULONGLONG first = *(ULONGLONG *)d->patterns[p], second = *(ULONGLONG *)(d->patterns[p] + 8);
        for (ULONG i = 0; i + 16 <= n; i++)
            if (*(ULONGLONG UNALIGNED *)(data + i) == first && *(ULONGLONG UNALIGNED *)(data + i + 8) == second) {
                d->seen.pattern_hits++;
                d->seen.pattern_sector = sector + i / d->sector_size;
            }
    }
}

void fill_raw(UCHAR *data, ULONG n)
{
    for (ULONG i = 0; i < n; i++) data[i] = RAW_BYTES[i % 16];
}

static NTSTATUS read_write(disk *d, request *r, UCHAR *srb_status, const extent *e)
{
    ULONGLONG sectors = d->capacity / d->sector_size;
    if (e->lba > sectors || e->blocks > sectors - e->lba) return scsi_sense(d, r, srb_status, 5, 0x21, 0);
    if (e->write && (d->mode.write_protect || d->flags & CREATE_READ_ONLY)) return scsi_sense(d, r, srb_status, 7, 0x27, 0);
    if (r->flags & SRB_CLASS_FLAGS_PAGING) d->seen.paging++;
    NTSTATUS s = STATUS_SUCCESS;
    ULONG n = *r->length;
    if (e->read) {
        d->seen.reads++;
        d->seen.read_bytes += n;
        if (n) s = image_read(d, e->lba * d->sector_size, r->data, n);
    } else {
        d->seen.writes++;
        d->seen.written_bytes += n;
        if (e->fua) d->seen.fua_writes++;
        if (n) {
            d->seen.written_hash = checksum(d->seen.written_hash + e->lba, r->data, n);
            look_for_patterns(d, r->data, n, e->lba);
            s = image_write(d, e->lba * d->sector_size, r->data, n);
        }
        if (NT_SUCCESS(s) && e->fua) s = image_flush(d);
    }
    if (!NT_SUCCESS(s)) return scsi_sense(d, r, srb_status, 3, e->read ? 0x11 : 0x0c, 0);
    *srb_status = SRB_STATUS_SUCCESS;
    return STATUS_SUCCESS;
}

/* Blocks that one UNMAP may name. */
static ULONG unmap_most(const disk *d)
{
    return d->flags & CREATE_NO_UNMAP ? 0 : d->flags & CREATE_SHORT_UNMAP ? UNMAP_SHORT : UNMAP_MOST;
}

static NTSTATUS inquiry(disk *d, request *r, UCHAR *srb_status)
{
    static const UCHAR standard[36] = "\0\0\6\2\37\0\0\2SLUICE  TEST DISK       1.0 ";
    static const UCHAR vpd00[] = { 0, 0, 0, 5, 0x00, 0x80, 0x83, 0xb0, 0xb2 };
    static const UCHAR vpd80[] = "\0\x80\0\10TEST0001";
    static const UCHAR vpd83[] = "\0\x83\0\24\2\1\0\20SLUICE  TEST0001";
    UCHAR limits[64] = { 0, 0xb0, 0, 60 }, provisioning[8] = { 0, 0xb2, 0, 4, 0, 0x80 | 4, 2 };
    ULONG allocation = (ULONG)be(r->cdb + 3, 2);
    if (!(r->cdb[1] & 1)) return r->cdb[2] ? scsi_sense(d, r, srb_status, 5, 0x24, 0) : reply(r, srb_status, standard, sizeof standard, allocation);
    put_be(limits + 8, 4, d->max_transfer / d->sector_size);
    put_be(limits + 20, 4, unmap_most(d)); /* UNMAP: blocks, descriptors */
    put_be(limits + 24, 4, d->flags & CREATE_NO_UNMAP ? 0 : 256);
    if (d->flags & CREATE_NO_UNMAP) provisioning[5] &= 0x7f;
    switch (r->cdb[2]) {
    case 0x00: return reply(r, srb_status, vpd00, sizeof vpd00, allocation);
    case 0x80: return reply(r, srb_status, vpd80, sizeof vpd80 - 1, allocation);
    case 0x83: return reply(r, srb_status, vpd83, sizeof vpd83 - 1, allocation);
    case 0xb0: return reply(r, srb_status, limits, sizeof limits, allocation);
    case 0xb2: return reply(r, srb_status, provisioning, sizeof provisioning, allocation);
    }
    return scsi_sense(d, r, srb_status, 5, 0x24, 0);
}

static NTSTATUS capacity(disk *d, request *r, UCHAR *srb_status)
{
    UCHAR answer[32] = { 0 };
    ULONGLONG last = d->capacity / d->sector_size - 1;
    if (r->cdb[0] == 0x25) {
        put_be(answer, 4, min(last, 0xffffffff));
        put_be(answer + 4, 4, d->sector_size);
        return reply(r, srb_status, answer, 8, 8);
    }
    put_be(answer, 8, last);
    put_be(answer + 8, 4, d->sector_size);
    answer[14] = 0x80 | 0x40; /* LBPME, LBPRZ */
    return reply(r, srb_status, answer, sizeof answer, (ULONG)be(r->cdb + 10, 4));
}

static NTSTATUS mode_sense(disk *d, request *r, UCHAR *srb_status)
{
    UCHAR page[4 + 20] = { sizeof page - 1, 0, (d->mode.write_protect || d->flags & CREATE_READ_ONLY) ? 0x80 : 0, 0, 8, 18, 4 };
    UCHAR wanted = r->cdb[2] & 0x3f;
    if (wanted != 8 && wanted != 0x3f) return scsi_sense(d, r, srb_status, 5, 0x24, 0);
    return reply(r, srb_status, page, sizeof page, r->cdb[4]);
}

static ULONGLONG common(ULONGLONG a, ULONGLONG b)
{
    while (b) { ULONGLONG rest = a % b; a = b; b = rest; }
    return a;
}

static void note_unmap(disk *d, ULONGLONG lba, ULONG blocks)
{
    test_statistics *s = &d->seen;
    if (!blocks) return;
    if (!s->unmapped) s->unmap_first = lba;
    ULONGLONG away = lba > s->unmap_first ? lba - s->unmap_first : s->unmap_first - lba;
    s->unmapped += blocks;
    s->unmap_step = common(common(s->unmap_step, away), blocks);
    s->unmap_longest = max(s->unmap_longest, blocks);
}

/* Blocks that the whole list names: more than 2^32 is more than any limit. */
static ULONGLONG unmap_total(const request *r, ULONG end)
{
    ULONGLONG total = 0;
    for (ULONG at = 8; at + 16 <= end; at += 16) total += be(r->data + at + 8, 4);
    return total;
}

/* Unmapped sectors read as zeros afterwards (LBPRZ). */
static NTSTATUS unmap(disk *d, request *r, UCHAR *srb_status)
{
    static const UCHAR zeros[4096];
    ULONG n = *r->length;
    ULONGLONG sectors = d->capacity / d->sector_size;
    if (d->flags & CREATE_NO_UNMAP) return scsi_sense(d, r, srb_status, 5, 0x20, 0);
    if (n < 8 || !r->data) return scsi_sense(d, r, srb_status, 5, 0x1a, 0);
    ULONG end = min(8 + (ULONG)be(r->data + 2, 2), n);
    if (be(r->cdb + 7, 2) != n || !(r->flags & SRB_FLAGS_DATA_OUT)) complain(d, "port", "UNMAP with a list of another length or direction");
    if (unmap_total(r, end) > unmap_most(d)) {
        complain(d, "port", "UNMAP of more blocks than the disk takes");
        return scsi_sense(d, r, srb_status, 5, 0x26, 0);
    }
    for (ULONG at = 8; at + 16 <= end; at += 16) {
        ULONGLONG lba = be(r->data + at, 8);
        ULONG blocks = (ULONG)be(r->data + at + 8, 4);
        if (lba > sectors || blocks > sectors - lba) return scsi_sense(d, r, srb_status, 5, 0x21, 0);
        note_unmap(d, lba, blocks);
        for (; blocks; blocks--, lba++) image_write(d, lba * d->sector_size, zeros, d->sector_size);
    }
    *srb_status = SRB_STATUS_SUCCESS;
    return STATUS_SUCCESS;
}

/* One EXECUTE_SCSI request: the answer is written to where the SRB says, the
 * SRB status is returned to the caller, who completes. */
NTSTATUS scsi_execute(disk *d, request *r, UCHAR *srb_status)
{
    static const UCHAR luns[16] = { 0, 0, 0, 8 };
    static const UCHAR no_sense[SENSE_LENGTH] = { 0x70, [7] = SENSE_LENGTH - 8 };
    extent e;
    if (decode_extent(r->cdb, r->cdb_length, &e)) return read_write(d, r, srb_status, &e);
    if (r->flags & SRB_FLAGS_DATA_OUT && r->data) look_for_patterns(d, r->data, *r->length, 0);
    switch (r->cdb[0]) {
    case 0x00: case 0x1b: case 0x1e: /* TEST UNIT READY, START STOP UNIT, PREVENT ALLOW */
    case 0x2f: case 0x8f:            /* VERIFY without data */
        *r->length = 0;
        *srb_status = SRB_STATUS_SUCCESS;
        return STATUS_SUCCESS;
    case 0x03: return reply(r, srb_status, no_sense, sizeof no_sense, r->cdb[4]);
    case 0x12: return inquiry(d, r, srb_status);
    case 0x1a: return mode_sense(d, r, srb_status);
    case 0x25: return capacity(d, r, srb_status);
    case 0x9e:
        if ((r->cdb[1] & 0x1f) == 0x10) return capacity(d, r, srb_status);
        break;
    case 0x35: case 0x91:
        d->seen.flushes++;
        image_flush(d);
        *srb_status = SRB_STATUS_SUCCESS;
        return STATUS_SUCCESS;
    case 0x42: return unmap(d, r, srb_status);
    case 0xa0: return reply(r, srb_status, luns, sizeof luns, (ULONG)be(r->cdb + 6, 4));
    }
    if (!d->mode.generous) return scsi_sense(d, r, srb_status, 5, 0x20, 0);
    if (r->flags & SRB_FLAGS_DATA_IN && r->data) fill_raw(r->data, *r->length);
    *srb_status = SRB_STATUS_SUCCESS;
    return STATUS_SUCCESS;
}
