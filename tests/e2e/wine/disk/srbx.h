/* The extended SRB (STORAGE_REQUEST_BLOCK and what hangs on it), which mingw's
 * headers lack. Written from Microsoft's reference pages for srb.h and checked
 * by the sizes they state; on purpose not derived from the driver's own
 * definitions in Rust, so that each checks the other. x64. */
#ifndef SRBX_H
#define SRBX_H

#define SRB_FUNCTION_QUIESCE_DEVICE 0x1a
#define SRB_FUNCTION_STORAGE_REQUEST_BLOCK 0x28
#define SRB_SIGNATURE_ 0x53524258 /* "SRBX" */
#define STORAGE_REQUEST_BLOCK_VERSION_1 1
#define SRBX_HEADER_LENGTH 8      /* value of Length: up to Signature */
#define STOR_ADDRESS_TYPE_BTL8 1
#define STOR_ADDR_BTL8_ADDRESS_LENGTH 4
#define SRBEX_SCSI_CDB16 0x40
#define SRBEX_SCSI_CDB32 0x41
#define SRBEX_SCSI_CDB_VAR 0x42
#define SRBEX_CDB16_LENGTH 32     /* bytes after Type and Length */
#define SRBEX_CDB32_LENGTH 48
#define SRB_CLASS_FLAGS_PAGING 0x40000000

typedef struct srbx {
    USHORT Length;
    UCHAR Function, SrbStatus;
    ULONG Reserved1;
    ULONG Signature, Version, SrbLength, SrbFunction, SrbFlags, Reserved2;
    ULONG RequestTag;
    USHORT RequestPriority, RequestAttribute;
    ULONG TimeOutValue, SystemStatus, ZeroGuard1, AddressOffset, NumSrbExData, DataTransferLength;
    PVOID DataBuffer, ZeroGuard2, OriginalRequest, ClassContext, PortContext, MiniportContext;
    struct srbx *NextSrb;
    ULONG SrbExDataOffset[1];
} srbx;
C_ASSERT(sizeof(srbx) == 128 && FIELD_OFFSET(srbx, DataBuffer) == 64 && FIELD_OFFSET(srbx, SrbExDataOffset) == 120);

typedef struct btl8 {
    USHORT Type, Port;
    ULONG AddressLength;
    UCHAR Path, Target, Lun, Reserved;
} btl8;
C_ASSERT(sizeof(btl8) == 12);

typedef struct srbex_header { ULONG Type, Length; } srbex_header;

/* CDB16 and CDB32 differ only in the room for the CDB. */
typedef struct srbex_cdb {
    ULONG Type, Length;
    UCHAR ScsiStatus, SenseInfoBufferLength, CdbLength, Reserved;
    ULONG Reserved1;
    PVOID SenseInfoBuffer;
    UCHAR Cdb[16];
} srbex_cdb;
C_ASSERT(sizeof(srbex_cdb) == 8 + SRBEX_CDB16_LENGTH && FIELD_OFFSET(srbex_cdb, Cdb) == 24);

typedef struct srbex_cdb_var {
    ULONG Type, Length;
    UCHAR ScsiStatus, SenseInfoBufferLength, Reserved[2];
    ULONG CdbLength, Reserved1[2];
    PVOID SenseInfoBuffer;
    UCHAR Cdb[8]; /* CdbLength bytes */
} srbex_cdb_var;
C_ASSERT(FIELD_OFFSET(srbex_cdb_var, SenseInfoBuffer) == 24 && FIELD_OFFSET(srbex_cdb_var, Cdb) == 32);

#endif
