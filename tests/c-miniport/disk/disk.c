#include "disk.h"

VOID DiskSucceed(PVOID Srb, ULONG Bytes)
{
    SrbSetDataTransferLength(Srb, Bytes);
    SrbSetScsiStatus(Srb, SCSISTAT_GOOD);
    SrbSetSrbStatus(Srb, SRB_STATUS_SUCCESS);
}

VOID DiskRefuse(PVOID Srb, UCHAR SenseKey, UCHAR AdditionalSenseCode)
{
    UCHAR Status = SRB_STATUS_ERROR;
    PVOID Buffer = SrbGetSenseInfoBuffer(Srb);
    UCHAR Room = SrbGetSenseInfoBufferLength(Srb);

    if (Buffer && Room >= SENSE_BUFFER_SIZE && !(SrbGetSrbFlags(Srb) & SRB_FLAGS_DISABLE_AUTOSENSE)) {
        SENSE_DATA Sense;
        RtlZeroMemory(&Sense, sizeof(Sense));
        Sense.ErrorCode = SCSI_SENSE_ERRORCODE_FIXED_CURRENT;
        Sense.SenseKey = SenseKey & 0xF;
        Sense.AdditionalSenseLength = SENSE_BUFFER_SIZE - 8;
        Sense.AdditionalSenseCode = AdditionalSenseCode;
        RtlCopyMemory(Buffer, &Sense, sizeof(Sense));
        SrbSetSenseInfoBufferLength(Srb, SENSE_BUFFER_SIZE);
        Status |= SRB_STATUS_AUTOSENSE_VALID;
    }
    SrbSetDataTransferLength(Srb, 0);
    SrbSetScsiStatus(Srb, SCSISTAT_CHECK_CONDITION);
    SrbSetSrbStatus(Srb, Status);
}

static ULONGLONG Number(const UCHAR *Bytes, ULONG Count)
{
    ULONGLONG Value = 0;
    while (Count--)
        Value = Value << 8 | *Bytes++;
    return Value;
}

static VOID PutNumber(PUCHAR Bytes, ULONG Count, ULONGLONG Value)
{
    while (Count--) {
        Bytes[Count] = (UCHAR)Value;
        Value >>= 8;
    }
}

BOOLEAN DiskMoves(PVOID Srb, DISK_RANGE *Range)
{
    PCDB Cdb = SrbGetCdb(Srb);

    if (!Cdb)
        return FALSE;
    Range->Writes = FALSE;
    switch (Cdb->AsByte[0]) {
    case SCSIOP_WRITE6:
        Range->Writes = TRUE;
        /* fall through */
    case SCSIOP_READ6:
        Range->Block = Number(&Cdb->AsByte[1], 3) & 0x1FFFFF;
        Range->Blocks = Cdb->AsByte[4] ? Cdb->AsByte[4] : 256;
        return TRUE;
    case SCSIOP_WRITE:
        Range->Writes = TRUE;
        /* fall through */
    case SCSIOP_READ:
        Range->Block = Number(&Cdb->AsByte[2], 4);
        Range->Blocks = (ULONG)Number(&Cdb->AsByte[7], 2);
        return TRUE;
    case SCSIOP_WRITE12:
        Range->Writes = TRUE;
        /* fall through */
    case SCSIOP_READ12:
        Range->Block = Number(&Cdb->AsByte[2], 4);
        Range->Blocks = (ULONG)Number(&Cdb->AsByte[6], 4);
        return TRUE;
    case SCSIOP_WRITE16:
        Range->Writes = TRUE;
        /* fall through */
    case SCSIOP_READ16:
        Range->Block = Number(&Cdb->AsByte[2], 8);
        Range->Blocks = (ULONG)Number(&Cdb->AsByte[10], 4);
        return TRUE;
    default:
        return FALSE;
    }
}

static BOOLEAN Inside(const DISK *Disk, ULONGLONG Block, ULONGLONG Blocks)
{
    return Blocks <= Disk->Blocks && Block <= Disk->Blocks - Blocks;
}

static VOID Move(DISK *Disk, PVOID Srb, PUCHAR Data, const DISK_RANGE *Range)
{
    PUCHAR Place = Disk->Memory + Range->Block * Disk->BlockSize;
    ULONGLONG Bytes = (ULONGLONG)Range->Blocks * Disk->BlockSize;

    if (!Inside(Disk, Range->Block, Range->Blocks)) {
        DiskRefuse(Srb, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ADSENSE_ILLEGAL_BLOCK);
    } else if (Bytes > SrbGetDataTransferLength(Srb) || (Bytes && !Data)) {
        DiskRefuse(Srb, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ADSENSE_INVALID_CDB);
    } else if (Range->Writes && Disk->WriteProtected) {
        DiskRefuse(Srb, SCSI_SENSE_DATA_PROTECT, SCSI_ADSENSE_WRITE_PROTECT);
    } else {
        if (Range->Writes)
            RtlCopyMemory(Place, Data, Bytes);
        else
            RtlCopyMemory(Data, Place, Bytes);
        DiskSucceed(Srb, (ULONG)Bytes);
    }
}

/* Answers with as much of a reply as was asked for and as there is room for. */
static VOID Reply(PVOID Srb, PUCHAR Data, const VOID *Answer, ULONG Length, ULONG Allocation)
{
    ULONG Room = SrbGetDataTransferLength(Srb);

    if (Length > Allocation)
        Length = Allocation;
    if (Length > Room)
        Length = Room;
    if (Length && !Data) {
        DiskRefuse(Srb, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ADSENSE_INVALID_CDB);
        return;
    }
    if (Length)
        RtlCopyMemory(Data, Answer, Length);
    DiskSucceed(Srb, Length);
}

static VOID Vpd(const DISK *Disk, PVOID Srb, PUCHAR Data, UCHAR Page, ULONG Allocation)
{
    static const UCHAR Serial[] = { '0', '0', '0', '1' };
    static const UCHAR Pages[] = { VPD_SUPPORTED_PAGES, VPD_SERIAL_NUMBER, VPD_DEVICE_IDENTIFIERS, VPD_BLOCK_LIMITS,
        VPD_LOGICAL_BLOCK_PROVISIONING };
    static const UCHAR Identifier[] = { 0x02, 0x01, 0, 12, 'S', 'L', 'U', 'I', 'C', 'E', ' ', ' ', '0', '0', '0', '1' };
    UCHAR Answer[64];
    ULONG Length = 0;

    RtlZeroMemory(Answer, sizeof(Answer));
    switch (Page) {
    case VPD_SUPPORTED_PAGES:
        RtlCopyMemory(&Answer[4], Pages, Length = sizeof(Pages));
        break;
    case VPD_SERIAL_NUMBER:
        RtlCopyMemory(&Answer[4], Serial, Length = sizeof(Serial));
        break;
    case VPD_DEVICE_IDENTIFIERS:
        RtlCopyMemory(&Answer[4], Identifier, Length = sizeof(Identifier));
        break;
    case VPD_BLOCK_LIMITS:
        Length = 60;
        PutNumber(&Answer[20], 4, Disk->Blocks);
        PutNumber(&Answer[24], 4, 16);
        break;
    case VPD_LOGICAL_BLOCK_PROVISIONING:
        Length = 4;
        Answer[5] = 0x80 | 0x04; /* UNMAP; unmapped blocks read as zeros */
        Answer[6] = 2;           /* thin */
        break;
    default:
        DiskRefuse(Srb, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ADSENSE_INVALID_CDB);
        return;
    }
    Answer[1] = Page;
    Answer[3] = (UCHAR)Length;
    Reply(Srb, Data, Answer, Length + 4, Allocation);
}

static VOID Inquiry(const DISK *Disk, PVOID Srb, PUCHAR Data, const CDB *Cdb)
{
    static const CHAR Vendor[] = "SLUICE  ", Product[] = "C MINIPORT DISK ", Revision[] = "0001";
    ULONG Allocation = (ULONG)Number(&Cdb->AsByte[3], 2);
    INQUIRYDATA Answer;

    if (Cdb->CDB6INQUIRY3.EnableVitalProductData) {
        Vpd(Disk, Srb, Data, Cdb->CDB6INQUIRY3.PageCode, Allocation);
        return;
    }
    RtlZeroMemory(&Answer, sizeof(Answer));
    Answer.DeviceType = DIRECT_ACCESS_DEVICE;
    Answer.Versions = 6;
    Answer.ResponseDataFormat = 2;
    Answer.AdditionalLength = INQUIRYDATABUFFERSIZE - 5;
    Answer.CommandQueue = 1;
    RtlCopyMemory(Answer.VendorId, Vendor, sizeof(Answer.VendorId));
    RtlCopyMemory(Answer.ProductId, Product, sizeof(Answer.ProductId));
    RtlCopyMemory(Answer.ProductRevisionLevel, Revision, sizeof(Answer.ProductRevisionLevel));
    Reply(Srb, Data, &Answer, INQUIRYDATABUFFERSIZE, Allocation);
}

static VOID Capacity(const DISK *Disk, PVOID Srb, PUCHAR Data, const CDB *Cdb)
{
    UCHAR Answer[sizeof(READ_CAPACITY16_DATA)];
    ULONGLONG Last = Disk->Blocks - 1;

    RtlZeroMemory(Answer, sizeof(Answer));
    if (Cdb->AsByte[0] == SCSIOP_READ_CAPACITY) {
        PutNumber(&Answer[0], 4, Last > 0xFFFFFFFF ? 0xFFFFFFFF : Last);
        PutNumber(&Answer[4], 4, Disk->BlockSize);
        Reply(Srb, Data, Answer, sizeof(READ_CAPACITY_DATA), sizeof(READ_CAPACITY_DATA));
    } else if ((Cdb->AsByte[1] & 0x1F) == SERVICE_ACTION_READ_CAPACITY16) {
        PutNumber(&Answer[0], 8, Last);
        PutNumber(&Answer[8], 4, Disk->BlockSize);
        Answer[14] = 0xC0; /* thin, and what is unmapped reads as zeros */
        Reply(Srb, Data, Answer, sizeof(Answer), (ULONG)Number(&Cdb->AsByte[10], 4));
    } else {
        DiskRefuse(Srb, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ADSENSE_INVALID_CDB);
    }
}

static VOID ModeSense(const DISK *Disk, PVOID Srb, PUCHAR Data, const CDB *Cdb)
{
    UCHAR Answer[4 + 20];
    UCHAR Page = Cdb->MODE_SENSE.PageCode;
    ULONG Length = 4;

    RtlZeroMemory(Answer, sizeof(Answer));
    Answer[2] = Disk->WriteProtected ? 0x80 : 0;
    if (Page == MODE_PAGE_CACHING || Page == MODE_SENSE_RETURN_ALL) {
        Answer[4] = MODE_PAGE_CACHING;
        Answer[5] = 18;
        Answer[6] = 0x04; /* writes are cached, so that flushes are sent */
        Length += 20;
    }
    Answer[0] = (UCHAR)(Length - 1);
    Reply(Srb, Data, Answer, Length, Cdb->MODE_SENSE.AllocationLength);
}

static VOID Unmap(DISK *Disk, PVOID Srb, PUCHAR Data, const CDB *Cdb)
{
    ULONG Length = (ULONG)Number(&Cdb->AsByte[7], 2);
    ULONG Offset, Ranges;

    if (Length < sizeof(UNMAP_LIST_HEADER)) {
        DiskSucceed(Srb, 0);
        return;
    }
    if (Length > SrbGetDataTransferLength(Srb) || !Data) {
        DiskRefuse(Srb, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ADSENSE_INVALID_CDB);
        return;
    }
    Ranges = (ULONG)Number(&Data[2], 2);
    if (Ranges > Length - sizeof(UNMAP_LIST_HEADER))
        Ranges = Length - (ULONG)sizeof(UNMAP_LIST_HEADER);
    for (Offset = 0; Offset + sizeof(UNMAP_BLOCK_DESCRIPTOR) <= Ranges; Offset += sizeof(UNMAP_BLOCK_DESCRIPTOR)) {
        PUCHAR Range = Data + sizeof(UNMAP_LIST_HEADER) + Offset;
        ULONGLONG Block = Number(Range, 8), Blocks = Number(Range + 8, 4);
        if (!Inside(Disk, Block, Blocks)) {
            DiskRefuse(Srb, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ADSENSE_ILLEGAL_BLOCK);
            return;
        }
        RtlZeroMemory(Disk->Memory + Block * Disk->BlockSize, Blocks * Disk->BlockSize);
    }
    DiskSucceed(Srb, Length);
}

static VOID ReportLuns(PVOID Srb, PUCHAR Data, const CDB *Cdb)
{
    UCHAR Answer[16];

    RtlZeroMemory(Answer, sizeof(Answer));
    Answer[3] = 8;
    Reply(Srb, Data, Answer, sizeof(Answer), (ULONG)Number(&Cdb->AsByte[6], 4));
}

VOID DiskExecute(DISK *Disk, PVOID Srb, PUCHAR Data)
{
    PCDB Cdb = SrbGetCdb(Srb);
    DISK_RANGE Range;

    if (!Cdb) {
        SrbSetDataTransferLength(Srb, 0);
        SrbSetSrbStatus(Srb, SRB_STATUS_INVALID_REQUEST);
        return;
    }
    if (DiskMoves(Srb, &Range)) {
        Move(Disk, Srb, Data, &Range);
        return;
    }
    switch (Cdb->AsByte[0]) {
    case SCSIOP_TEST_UNIT_READY:
    case SCSIOP_START_STOP_UNIT:
    case SCSIOP_MEDIUM_REMOVAL:
    case SCSIOP_SYNCHRONIZE_CACHE:
    case SCSIOP_SYNCHRONIZE_CACHE16:
    case SCSIOP_VERIFY:
    case SCSIOP_VERIFY16:
        DiskSucceed(Srb, 0);
        break;
    case SCSIOP_INQUIRY:
        Inquiry(Disk, Srb, Data, Cdb);
        break;
    case SCSIOP_READ_CAPACITY:
    case SCSIOP_READ_CAPACITY16:
        Capacity(Disk, Srb, Data, Cdb);
        break;
    case SCSIOP_MODE_SENSE:
        ModeSense(Disk, Srb, Data, Cdb);
        break;
    case SCSIOP_REPORT_LUNS:
        ReportLuns(Srb, Data, Cdb);
        break;
    case SCSIOP_UNMAP:
        Unmap(Disk, Srb, Data, Cdb);
        break;
    default:
        DiskRefuse(Srb, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ADSENSE_ILLEGAL_COMMAND);
        break;
    }
}
