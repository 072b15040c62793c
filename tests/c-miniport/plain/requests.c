#include "plain.h"

VOID PlainComplete(PLAIN *Plain, PVOID Srb)
{
    StorPortNotification(RequestComplete, Plain, Srb);
}

VOID PlainCompleteWith(PLAIN *Plain, PVOID Srb, UCHAR Status)
{
    SrbSetDataTransferLength(Srb, 0);
    SrbSetSrbStatus(Srb, Status);
    PlainComplete(Plain, Srb);
}

static BOOLEAN IsOurs(PVOID Srb)
{
    UCHAR Path, Target, Lun;

    SrbGetPathTargetLun(Srb, &Path, &Target, &Lun);
    return Path == 0 && Target == 0 && Lun == 0;
}

static BOOLEAN IsOurKind(PVOID Srb)
{
#ifdef EXTENDED
    return SrbIsStorageRequestBlock(Srb);
#else
    return !SrbIsStorageRequestBlock(Srb);
#endif
}

/* Unsynchronised: looks at the SRB alone. */
BOOLEAN NTAPI PlainBuildIo(PVOID DeviceExtension, PSCSI_REQUEST_BLOCK Srb)
{
    PLAIN *Plain = DeviceExtension;
    REQUEST *Request = PlainRequest(Srb);

    COUNT(Plain, BuildIo);
    if (!IsOurKind(Srb) || !Request) {
        COUNT(Plain, WrongKind);
        PlainCompleteWith(Plain, Srb, SRB_STATUS_INVALID_REQUEST);
        return FALSE;
    }
    RtlZeroMemory(Request, sizeof(*Request));
    Request->Srb = Srb;
    if (SrbGetSrbFunction(Srb) != SRB_FUNCTION_EXECUTE_SCSI)
        return TRUE;
    if (!IsOurs(Srb)) {
        PlainCompleteWith(Plain, Srb, SRB_STATUS_NO_DEVICE);
        return FALSE;
    }
    Request->Moves = DiskMoves(Srb, &Request->Range);
    if (SrbGetSrbFlags(Srb) & SRB_FLAGS_UNSPECIFIED_DIRECTION) {
        Request->Pieces = StorPortGetScatterGatherList(Plain, Srb);
        if (SrbGetDataTransferLength(Srb) &&
            (!Request->Pieces || Request->Pieces->NumberOfElements == 0 ||
                Request->Pieces->NumberOfElements > ADAPTER_SEGMENTS)) {
            COUNT(Plain, Failures);
            PlainCompleteWith(Plain, Srb, SRB_STATUS_INVALID_REQUEST);
            return FALSE;
        }
    }
    return TRUE;
}

static BOOLEAN IsForAdapter(PVOID Srb)
{
    PCDB Cdb = SrbGetCdb(Srb);

    if (PlainRequest(Srb)->Moves)
        return TRUE;
    return Cdb && (Cdb->AsByte[0] == SCSIOP_UNMAP || Cdb->AsByte[0] == SCSIOP_SYNCHRONIZE_CACHE ||
        Cdb->AsByte[0] == SCSIOP_SYNCHRONIZE_CACHE16);
}

/* What an adapter does not see: capacity, identity, and what lies outside of it. */
static BOOLEAN AnswerWithoutAdapter(PLAIN *Plain, PVOID Srb)
{
    const DISK_RANGE *Range = &PlainRequest(Srb)->Range;
    PVOID Data = NULL;

    if (PlainRequest(Srb)->Moves) {
        if (Range->Blocks <= Plain->Disk.Blocks && Range->Block <= Plain->Disk.Blocks - Range->Blocks &&
            (ULONG64)Range->Blocks * Plain->Disk.BlockSize == SrbGetDataTransferLength(Srb) &&
            !(Range->Writes && Plain->Disk.WriteProtected))
            return FALSE;
        DiskRefuse(Srb, Range->Writes && Plain->Disk.WriteProtected ? SCSI_SENSE_DATA_PROTECT : SCSI_SENSE_ILLEGAL_REQUEST,
            Range->Writes && Plain->Disk.WriteProtected ? SCSI_ADSENSE_WRITE_PROTECT : SCSI_ADSENSE_ILLEGAL_BLOCK);
        return TRUE;
    }
    if (IsForAdapter(Srb))
        return FALSE;
    if (SrbGetDataTransferLength(Srb) && StorPortGetSystemAddress(Plain, Srb, &Data) != STOR_STATUS_SUCCESS)
        COUNT(Plain, Failures);
    DiskExecute(&Plain->Disk, Srb, Data);
    return TRUE;
}

static VOID Execute(PLAIN *Plain, PVOID Srb)
{
    UCHAR Status;

    if (Plain->Registers && AnswerWithoutAdapter(Plain, Srb)) {
        PlainComplete(Plain, Srb);
        return;
    }
    Status = PlainSubmit(Plain, Srb);
    if (Status == SRB_STATUS_PENDING)
        return;
    if (Status == SRB_STATUS_BUSY) {
        /* The ring is full: the port sends no more before some are done, and this one again. */
        COUNT(Plain, Busy);
        StorPortBusy(Plain, ADAPTER_ENTRIES / 2);
    }
    PlainCompleteWith(Plain, Srb, Status);
}

static VOID ResetUnit(PLAIN *Plain, PVOID Srb)
{
    UCHAR Path, Target, Lun;

    COUNT(Plain, ResetUnit);
    SrbGetPathTargetLun(Srb, &Path, &Target, &Lun);
    if (!IsOurs(Srb)) {
        PlainCompleteWith(Plain, Srb, SRB_STATUS_NO_DEVICE);
        return;
    }
    PlainAbort(Plain, SRB_STATUS_ABORTED, TRUE);
    PlainEnable(Plain, TRUE);
    StorPortSetDeviceQueueDepth(Plain, Path, Target, Lun, ADAPTER_ENTRIES);
    PlainCompleteWith(Plain, Srb, SRB_STATUS_SUCCESS);
}

static VOID Pnp(PLAIN *Plain, PVOID Srb)
{
    COUNT(Plain, Pnp);
    /* Capabilities are answered by doing nothing: zeros say that none is special. */
    PlainCompleteWith(Plain, Srb, SRB_STATUS_SUCCESS);
}

BOOLEAN NTAPI PlainStartIo(PVOID DeviceExtension, PSCSI_REQUEST_BLOCK Srb)
{
    PLAIN *Plain = DeviceExtension;

    COUNT(Plain, StartIo);
    if (Plain->Removed) {
        PlainCompleteWith(Plain, Srb, SRB_STATUS_NO_DEVICE);
        return TRUE;
    }
    switch (SrbGetSrbFunction(Srb)) {
    case SRB_FUNCTION_EXECUTE_SCSI:
        Execute(Plain, Srb);
        break;
    case SRB_FUNCTION_FLUSH:
        COUNT(Plain, Flush);
        PlainDefer(Plain, Srb);
        break;
    case SRB_FUNCTION_SHUTDOWN:
        COUNT(Plain, Shutdown);
        PlainDefer(Plain, Srb);
        break;
    case SRB_FUNCTION_RESET_BUS:
        PlainResetBus(Plain, SrbGetPathId(Srb));
        PlainCompleteWith(Plain, Srb, SRB_STATUS_SUCCESS);
        break;
    case SRB_FUNCTION_RESET_DEVICE:
    case SRB_FUNCTION_RESET_LOGICAL_UNIT:
        ResetUnit(Plain, Srb);
        break;
    case SRB_FUNCTION_PNP:
        Pnp(Plain, Srb);
        break;
    case SRB_FUNCTION_POWER:
        COUNT(Plain, Power);
        PlainCompleteWith(Plain, Srb, SRB_STATUS_SUCCESS);
        break;
    case SRB_FUNCTION_IO_CONTROL:
        PlainIoControl(Plain, Srb);
        break;
    case SRB_FUNCTION_WMI:
        PlainWmi(Plain, Srb);
        break;
    default:
        PlainCompleteWith(Plain, Srb, SRB_STATUS_INVALID_REQUEST);
        break;
    }
    return TRUE;
}
