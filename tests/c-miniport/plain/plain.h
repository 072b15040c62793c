/*
 * A miniport as public ones are: an adapter with queues, interrupts and DPCs, or, where there is no adapter, a disk in
 * memory. It uses as much of the interface as one miniport can. Compiled with EXTENDED it takes STORAGE_REQUEST_BLOCKs.
 *
 *   entry.c       DriverEntry, HwFindAdapter
 *   start.c       HwInitialize and what may only be done at PASSIVE_LEVEL
 *   requests.c    HwBuildIo, HwStartIo, and what becomes of each function
 *   queue.c       the rings, interrupts, DPCs; the disk in memory
 *   control.c     adapter and unit control, reset, surprise removal
 *   services.c    IO_CONTROL, WMI, timers, workers, telling of events
 *   exercise.c    the rest of the interface
 */
#ifndef PLAIN_H
#define PLAIN_H

#include <storport.h>

#include "adapter.h"
#include "counters.h"
#include "disk.h"

#define PLAIN_TAG 0x6E6C5053
#define PLAIN_NO_BUS ((PVOID)1)

typedef struct {
    LIST_ENTRY Link;
    PVOID Srb;
    PSTOR_SCATTER_GATHER_LIST Pieces;
    DISK_RANGE Range;
    BOOLEAN Moves;
} REQUEST;

typedef struct {
    STOR_DPC Dpc;
    LIST_ENTRY Waiting; /* for the disk in memory */
    ADAPTER_RING *Ring;
    ULONG Submitted;
    ULONG Seen;
    PVOID Srbs[ADAPTER_ENTRIES]; /* under way, by tag */
} QUEUE;

typedef struct {
    DISK Disk;
    PUCHAR Registers; /* NULL: there is no adapter */
    STOR_PHYSICAL_ADDRESS RingsAddress;
    ADAPTER_RING *Rings;
    ULONG Queues;
    ULONG Messages;
    BOOLEAN Channels;
    volatile BOOLEAN Removed;
    PVOID Timer;
    PVOID Worker;
    volatile LONG Working;
    LIST_ENTRY WorkItems; /* SRBs for PASSIVE_LEVEL, under the StartIo lock */
    COUNTERS Counters;
    QUEUE Queue[ADAPTER_MOST_QUEUES];
} PLAIN;

#define COUNT(Plain, Field) InterlockedIncrement(&(Plain)->Counters.Field)

HW_FIND_ADAPTER PlainFindAdapter;
HW_INITIALIZE PlainInitialize;
HW_BUILDIO PlainBuildIo;
HW_STARTIO PlainStartIo;
HW_INTERRUPT PlainInterrupt;
HW_MESSAGE_SIGNALED_INTERRUPT_ROUTINE PlainMessage;
HW_DPC_ROUTINE PlainDpc;
HW_RESET_BUS PlainResetBus;
HW_ADAPTER_CONTROL PlainAdapterControl;
HW_UNIT_CONTROL PlainUnitControl;
HW_TIMER PlainTick;

FORCEINLINE REQUEST *PlainRequest(PVOID Srb)
{
    return (REQUEST *)SrbGetMiniportContext(Srb);
}

VOID PlainComplete(PLAIN *Plain, PVOID Srb);
VOID PlainCompleteWith(PLAIN *Plain, PVOID Srb, UCHAR Status);

/*
 * Gives the request to the adapter or to the disk in memory. SRB_STATUS_PENDING: it has it; else why not. StartIo's context.
 */
UCHAR PlainSubmit(PLAIN *Plain, PVOID Srb);
/* Takes back what is under way; everything is completed with Status. In StartIo's context, or without any lock. */
VOID PlainAbort(PLAIN *Plain, UCHAR Status, BOOLEAN InStartIo);
VOID PlainEnable(PLAIN *Plain, BOOLEAN Enable);

BOOLEAN PlainStartServices(PLAIN *Plain);
VOID PlainStopServices(PLAIN *Plain);
/* Has the SRB done at PASSIVE_LEVEL. StartIo's context. */
VOID PlainDefer(PLAIN *Plain, PVOID Srb);
VOID PlainIoControl(PLAIN *Plain, PVOID Srb);
VOID PlainWmi(PLAIN *Plain, PVOID Srb);
/* Calls what nothing else here calls. PASSIVE_LEVEL. */
VOID PlainExercise(PLAIN *Plain);

#endif
