/* A disk in memory that understands SCSI. It knows nothing of queues, locks or time: its user brings one SRB at a time. */
#ifndef DISK_H
#define DISK_H

#include <storport.h>

#include <srbhelper.h>

typedef struct {
    PUCHAR Memory;
    ULONGLONG Blocks;
    ULONG BlockSize;
    BOOLEAN WriteProtected;
} DISK;

/* A part of the disk that a READ or WRITE moves. */
typedef struct {
    ULONGLONG Block;
    ULONG Blocks;
    BOOLEAN Writes;
} DISK_RANGE;

/* Whether the SRB's command is a READ or WRITE, and of what. It may lie outside the disk. */
BOOLEAN DiskMoves(PVOID Srb, DISK_RANGE *Range);

/* Does what the SRB's command says, with its data at Data, and sets its statuses and length. */
VOID DiskExecute(DISK *Disk, PVOID Srb, PUCHAR Data);

/* Answers with CHECK CONDITION and sense data. */
VOID DiskRefuse(PVOID Srb, UCHAR SenseKey, UCHAR AdditionalSenseCode);

/* Answers with success and so many bytes. */
VOID DiskSucceed(PVOID Srb, ULONG Bytes);

#endif
