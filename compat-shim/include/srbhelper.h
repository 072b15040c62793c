/*
 * One way to read and answer SRBs of both kinds. Names and meanings are those of the srbhelper.h pages of Microsoft's
 * driver documentation. An SRB that lacks what is asked for answers with NULL or 0.
 */
#ifndef SLUICE_SRBHELPER_H
#define SLUICE_SRBHELPER_H

#include "scsi.h"
#include "srb.h"

FORCEINLINE BOOLEAN SrbIsStorageRequestBlock(PVOID Srb)
{
    return ((PSTORAGE_REQUEST_BLOCK_HEADER)Srb)->Function == SRB_FUNCTION_STORAGE_REQUEST_BLOCK;
}

#define SLUICE_EXTENDED(Srb) ((PSTORAGE_REQUEST_BLOCK)(Srb))
#define SLUICE_LEGACY(Srb) ((PSCSI_REQUEST_BLOCK)(Srb))

FORCEINLINE PSRBEX_DATA SrbGetSrbExDataByIndex(PSTORAGE_REQUEST_BLOCK Srb, ULONG Index)
{
    ULONG Offset;
    if (!SrbIsStorageRequestBlock(Srb) || Index >= Srb->NumSrbExData)
        return NULL;
    Offset = (&Srb->SrbExDataOffset[0])[Index];
    if (Offset < sizeof(STORAGE_REQUEST_BLOCK) || Offset > Srb->SrbLength - FIELD_OFFSET(SRBEX_DATA, Data))
        return NULL;
    return (PSRBEX_DATA)((PUCHAR)Srb + Offset);
}

FORCEINLINE PSRBEX_DATA SrbGetSrbExDataByType(PSTORAGE_REQUEST_BLOCK Srb, SRBEXDATATYPE Type)
{
    ULONG Index;
    for (Index = 0; SrbIsStorageRequestBlock(Srb) && Index < Srb->NumSrbExData; Index++) {
        PSRBEX_DATA Data = SrbGetSrbExDataByIndex(Srb, Index);
        if (Data && Data->Type == Type)
            return Data;
    }
    return NULL;
}

FORCEINLINE PSRBEX_DATA SluiceSrbCommand(PVOID Srb)
{
    ULONG Index;
    for (Index = 0; Index < SLUICE_EXTENDED(Srb)->NumSrbExData; Index++) {
        PSRBEX_DATA Data = SrbGetSrbExDataByIndex(SLUICE_EXTENDED(Srb), Index);
        if (Data && Data->Type >= SrbExDataTypeScsiCdb16 && Data->Type <= SrbExDataTypeScsiCdbVar)
            return Data;
    }
    return NULL;
}

FORCEINLINE PCDB SrbGetScsiData(PVOID Srb, PUCHAR CdbLength8, PULONG CdbLength32, PUCHAR ScsiStatus,
    PVOID *SenseInfoBuffer, PUCHAR SenseInfoBufferLength)
{
    PCDB Cdb = NULL;
    UCHAR Length = 0, Status = 0, SenseLength = 0;
    ULONG LongLength = 0;
    PVOID Sense = NULL;
    if (!SrbIsStorageRequestBlock(Srb)) {
        PSCSI_REQUEST_BLOCK Legacy = SLUICE_LEGACY(Srb);
        Cdb = (PCDB)Legacy->Cdb;
        Length = Legacy->CdbLength;
        Status = Legacy->ScsiStatus;
        Sense = Legacy->SenseInfoBuffer;
        SenseLength = Legacy->SenseInfoBufferLength;
    } else {
        PSRBEX_DATA Data = SluiceSrbCommand(Srb);
        if (Data && Data->Type == SrbExDataTypeScsiCdbVar) {
            PSRBEX_DATA_SCSI_CDB_VAR Var = (PSRBEX_DATA_SCSI_CDB_VAR)Data;
            Cdb = (PCDB)Var->Cdb;
            LongLength = Var->CdbLength;
            Status = Var->ScsiStatus;
            Sense = Var->SenseInfoBuffer;
            SenseLength = Var->SenseInfoBufferLength;
        } else if (Data) {
            PSRBEX_DATA_SCSI_CDB16 Short = (PSRBEX_DATA_SCSI_CDB16)Data;
            Cdb = (PCDB)Short->Cdb;
            Length = Short->CdbLength;
            Status = Short->ScsiStatus;
            Sense = Short->SenseInfoBuffer;
            SenseLength = Short->SenseInfoBufferLength;
        }
    }
    if (CdbLength8)
        *CdbLength8 = Length;
    if (CdbLength32)
        *CdbLength32 = LongLength;
    if (ScsiStatus)
        *ScsiStatus = Status;
    if (SenseInfoBuffer)
        *SenseInfoBuffer = Sense;
    if (SenseInfoBufferLength)
        *SenseInfoBufferLength = SenseLength;
    return Cdb;
}

FORCEINLINE PCDB SrbGetCdb(PVOID Srb)
{
    return SrbGetScsiData(Srb, NULL, NULL, NULL, NULL, NULL);
}

FORCEINLINE UCHAR SrbGetCdbLength(PVOID Srb)
{
    UCHAR Length;
    SrbGetScsiData(Srb, &Length, NULL, NULL, NULL, NULL);
    return Length;
}

FORCEINLINE PVOID SrbGetSenseInfoBuffer(PVOID Srb)
{
    PVOID Sense;
    SrbGetScsiData(Srb, NULL, NULL, NULL, &Sense, NULL);
    return Sense;
}

FORCEINLINE UCHAR SrbGetSenseInfoBufferLength(PVOID Srb)
{
    UCHAR Length;
    SrbGetScsiData(Srb, NULL, NULL, NULL, NULL, &Length);
    return Length;
}

FORCEINLINE UCHAR SrbGetScsiStatus(PVOID Srb)
{
    UCHAR Status;
    SrbGetScsiData(Srb, NULL, NULL, &Status, NULL, NULL);
    return Status;
}

/* All three command blocks have these two fields at one place. */
FORCEINLINE VOID SrbSetScsiStatus(PVOID Srb, UCHAR Status)
{
    if (!SrbIsStorageRequestBlock(Srb)) {
        SLUICE_LEGACY(Srb)->ScsiStatus = Status;
    } else {
        PSRBEX_DATA_SCSI_CDB16 Command = (PSRBEX_DATA_SCSI_CDB16)SluiceSrbCommand(Srb);
        if (Command)
            Command->ScsiStatus = Status;
    }
}

FORCEINLINE VOID SrbSetSenseInfoBufferLength(PVOID Srb, UCHAR Length)
{
    if (!SrbIsStorageRequestBlock(Srb)) {
        SLUICE_LEGACY(Srb)->SenseInfoBufferLength = Length;
    } else {
        PSRBEX_DATA_SCSI_CDB16 Command = (PSRBEX_DATA_SCSI_CDB16)SluiceSrbCommand(Srb);
        if (Command)
            Command->SenseInfoBufferLength = Length;
    }
}

SLUICE_OFFSET(SRBEX_DATA_SCSI_CDB_VAR, ScsiStatus, offsetof(SRBEX_DATA_SCSI_CDB16, ScsiStatus));
SLUICE_OFFSET(SRBEX_DATA_SCSI_CDB_VAR, SenseInfoBufferLength, offsetof(SRBEX_DATA_SCSI_CDB16, SenseInfoBufferLength));

FORCEINLINE ULONG SrbGetSrbFunction(PVOID Srb)
{
    return SrbIsStorageRequestBlock(Srb) ? SLUICE_EXTENDED(Srb)->SrbFunction : SLUICE_LEGACY(Srb)->Function;
}

FORCEINLINE UCHAR SrbGetSrbStatus(PVOID Srb)
{
    return ((PSTORAGE_REQUEST_BLOCK_HEADER)Srb)->SrbStatus;
}

FORCEINLINE VOID SrbSetSrbStatus(PVOID Srb, UCHAR Status)
{
    ((PSTORAGE_REQUEST_BLOCK_HEADER)Srb)->SrbStatus = Status;
}

#define SLUICE_SRB_FIELD(Type, Name, Extended, Legacy)                                                                 \
    FORCEINLINE Type SrbGet##Name(PVOID Srb)                                                                           \
    {                                                                                                                  \
        return SrbIsStorageRequestBlock(Srb) ? SLUICE_EXTENDED(Srb)->Extended : SLUICE_LEGACY(Srb)->Legacy;            \
    }

SLUICE_SRB_FIELD(ULONG, SrbFlags, SrbFlags, SrbFlags)
SLUICE_SRB_FIELD(ULONG, RequestTag, RequestTag, QueueTag)
SLUICE_SRB_FIELD(USHORT, RequestAttribute, RequestAttribute, QueueAction)
SLUICE_SRB_FIELD(ULONG, TimeOutValue, TimeOutValue, TimeOutValue)
SLUICE_SRB_FIELD(ULONG, SystemStatus, SystemStatus, InternalStatus)
SLUICE_SRB_FIELD(ULONG, DataTransferLength, DataTransferLength, DataTransferLength)
SLUICE_SRB_FIELD(PVOID, DataBuffer, DataBuffer, DataBuffer)
SLUICE_SRB_FIELD(PVOID, OriginalRequest, OriginalRequest, OriginalRequest)
SLUICE_SRB_FIELD(PVOID, MiniportContext, MiniportContext, SrbExtension)
#undef SLUICE_SRB_FIELD

#define SrbGetSrbExtension SrbGetMiniportContext

FORCEINLINE PVOID SrbGetNextSrb(PVOID Srb)
{
    return SrbIsStorageRequestBlock(Srb) ? (PVOID)SLUICE_EXTENDED(Srb)->NextSrb : (PVOID)SLUICE_LEGACY(Srb)->NextSrb;
}

FORCEINLINE VOID SrbSetDataTransferLength(PVOID Srb, ULONG Length)
{
    if (SrbIsStorageRequestBlock(Srb))
        SLUICE_EXTENDED(Srb)->DataTransferLength = Length;
    else
        SLUICE_LEGACY(Srb)->DataTransferLength = Length;
}

FORCEINLINE VOID SrbSetSystemStatus(PVOID Srb, ULONG Status)
{
    if (SrbIsStorageRequestBlock(Srb))
        SLUICE_EXTENDED(Srb)->SystemStatus = Status;
    else
        SLUICE_LEGACY(Srb)->InternalStatus = Status;
}

FORCEINLINE VOID SrbGetPathTargetLun(PVOID Srb, PUCHAR PathId, PUCHAR TargetId, PUCHAR Lun)
{
    UCHAR Path, Target, Unit;
    if (SrbIsStorageRequestBlock(Srb)) {
        PSTOR_ADDR_BTL8 Address = (PSTOR_ADDR_BTL8)((PUCHAR)Srb + SLUICE_EXTENDED(Srb)->AddressOffset);
        Path = Address->Path;
        Target = Address->Target;
        Unit = Address->Lun;
    } else {
        Path = SLUICE_LEGACY(Srb)->PathId;
        Target = SLUICE_LEGACY(Srb)->TargetId;
        Unit = SLUICE_LEGACY(Srb)->Lun;
    }
    if (PathId)
        *PathId = Path;
    if (TargetId)
        *TargetId = Target;
    if (Lun)
        *Lun = Unit;
}

FORCEINLINE UCHAR SrbGetPathId(PVOID Srb)
{
    UCHAR Path;
    SrbGetPathTargetLun(Srb, &Path, NULL, NULL);
    return Path;
}

FORCEINLINE UCHAR SrbGetTargetId(PVOID Srb)
{
    UCHAR Target;
    SrbGetPathTargetLun(Srb, NULL, &Target, NULL);
    return Target;
}

FORCEINLINE UCHAR SrbGetLun(PVOID Srb)
{
    UCHAR Unit;
    SrbGetPathTargetLun(Srb, NULL, NULL, &Unit);
    return Unit;
}

#undef SLUICE_EXTENDED
#undef SLUICE_LEGACY

#endif /* SLUICE_SRBHELPER_H */
