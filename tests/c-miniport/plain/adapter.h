/*
 * The adapter that `plain` drives: what lies in its registers and in the memory that it shares with its driver. There is no
 * such hardware; the user-mode tests play it (src/adapter.rs), and so does the bench under Wine (tests/e2e/wine/disk/rings.c):
 * both have the same layout. Numbers are little-endian.
 *
 * Registers are the first memory range of at least ADAPTER_REGISTERS bytes. Each queue has a ring in the memory at
 * ADAPTER_RINGS, one after the other. The driver fills Commands[n % ADAPTER_ENTRIES] and then writes n + 1 into the queue's
 * doorbell; the device works in that order, fills Completions, counts Completed up, and interrupts with the queue's number
 * as message. While ADAPTER_STATUS says that it is busy it uses the driver's memory, enabled or not any more.
 */
#ifndef ADAPTER_H
#define ADAPTER_H

#include <storport.h>

#define ADAPTER_VENDOR 0x534C
#define ADAPTER_DEVICE 0x5543
#define ADAPTER_BUS_MASTER 0x04 /* of the COMMAND register (PCI 3.0, 6.2.2) */

#define ADAPTER_IDENTITY 0x00   /* ULONG, ADAPTER_SIGNATURE */
#define ADAPTER_CONTROL 0x04    /* ULONG, ADAPTER_ENABLE */
#define ADAPTER_QUEUES 0x08     /* ULONG, number of queues */
#define ADAPTER_BLOCK_SIZE 0x0C /* ULONG */
#define ADAPTER_BLOCKS 0x10     /* ULONG64 */
#define ADAPTER_RINGS 0x18      /* ULONG64, physical address */
#define ADAPTER_DOORBELLS 0x20  /* ULONG each */
#define ADAPTER_STATUS 0x30     /* ULONG, ADAPTER_BUSY */
#define ADAPTER_REGISTERS 0x1000

#define ADAPTER_SIGNATURE 0x41544C53u
#define ADAPTER_ENABLE 1u
#define ADAPTER_BUSY 1u
#define ADAPTER_ENTRIES 16
#define ADAPTER_SEGMENTS 32
#define ADAPTER_MOST_QUEUES 4

enum { ADAPTER_READ = 1, ADAPTER_WRITE, ADAPTER_FLUSH, ADAPTER_ZERO };

typedef struct {
    ULONG64 Address;
    ULONG64 Length;
} ADAPTER_SEGMENT;

typedef struct {
    ULONG64 Block;
    ULONG Blocks;
    USHORT Operation;
    USHORT Tag;
    ULONG64 Count;
    ADAPTER_SEGMENT Segments[ADAPTER_SEGMENTS];
} ADAPTER_COMMAND;

typedef struct {
    USHORT Tag;
    USHORT Failed;
    ULONG Bytes;
} ADAPTER_COMPLETION;

typedef struct {
    ULONG Completed;
    ULONG Reserved;
    ADAPTER_COMPLETION Completions[ADAPTER_ENTRIES];
    ADAPTER_COMMAND Commands[ADAPTER_ENTRIES];
} ADAPTER_RING;

SLUICE_SIZE(ADAPTER_COMMAND, 24 + 16 * ADAPTER_SEGMENTS);
SLUICE_SIZE(ADAPTER_RING, 8 + ADAPTER_ENTRIES * (8 + 24 + 16 * ADAPTER_SEGMENTS));

#endif
