/* What the test disk driver offers to a user-mode program.
 *
 * \\.\SluiceTest is the control device: it makes disks, sets how they behave
 * and tells what they saw. \\.\SluiceTestDisk<n> is the top of the n-th disk's
 * stack: ReadFile and WriteFile there become the SRBs that a class driver
 * sends, and any I/O control it does not know goes down the stack.
 *
 * Every structure has one layout on both sides (client/src/interface.rs):
 * natural alignment, no pointers. All are METHOD_BUFFERED.
 */
#ifndef SLUICE_TEST_INTERFACE_H
#define SLUICE_TEST_INTERFACE_H

#define TEST_CODE(n) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x900 + (n), METHOD_BUFFERED, FILE_ANY_ACCESS)

/* test_create -> test_created */
#define TEST_CREATE TEST_CODE(0)
/* test_pnp -> ULONG status: sends one PnP IRP down the stack. Its disk goes with REMOVE_DEVICE; if the argument of that is
 * DISABLED the class role alone goes, and the PnP manager's hold on the device stays until the next REMOVE_DEVICE */
#define DISABLED 1u
#define TEST_PNP TEST_CODE(1)
/* test_pnp -> ULONG status: minor is a DEVICE_POWER_STATE; with the class driver's SRBs around it */
#define TEST_POWER TEST_CODE(2)
/* test_port_mode */
#define TEST_PORT_MODE TEST_CODE(3)
/* test_class_mode */
#define TEST_CLASS_MODE TEST_CODE(4)
/* ULONG disk -> test_statistics */
#define TEST_STATISTICS TEST_CODE(5)
/* ULONG disk: counters and the plaintext detector's hits back to zero */
#define TEST_RESET TEST_CODE(6)
/* test_pattern: one more pattern to look for in all data that reaches the port, whatever carries it */
#define TEST_PATTERN TEST_CODE(7)
/* test_raw + data -> test_raw_result + data */
#define TEST_RAW TEST_CODE(8)
/* ULONG disk -> ULONG count: IoCancelIrp on every SRB IRP that the class driver has under way */
#define TEST_CANCEL TEST_CODE(9)
/* -> text: what the port driver and the class driver found wrong with their neighbour */
#define TEST_LOG TEST_CODE(10)
/* empties that text */
#define TEST_LOG_RESET TEST_CODE(11)
/* verifier_options -> ULONG status */
#define TEST_VERIFIER_CONFIGURE TEST_CODE(12)
/* -> text: the verifier's violations */
#define TEST_VERIFIER_REPORT TEST_CODE(13)
/* verifier_counters -> verifier_counters */
#define TEST_VERIFIER_COUNTERS TEST_CODE(14)
#define TEST_VERIFIER_RESET TEST_CODE(15)
/* image name (text) -> ULONG count of what it owns and has not freed */
#define TEST_VERIFIER_LEAKS TEST_CODE(16)
/* ULONG disk -> bytes: header of the DACL of \Device\SluiceControl, if it was set */
#define TEST_CONTROL_DACL TEST_CODE(17)

/* test_adapter -> test_adapter_created: a root device with the driver under test as its function driver */
#define TEST_ADAPTER TEST_CODE(18)
/* ULONG minor -> ULONG status: one PnP IRP to the adapter */
#define TEST_ADAPTER_PNP TEST_CODE(19)
/* ULONG DEVICE_POWER_STATE -> ULONG status, ULONG what the adapter's bus was told of the device's state last */
#define TEST_ADAPTER_POWER TEST_CODE(20)
#define ADAPTER_SYSTEM 0x100 /* it is a SYSTEM_POWER_STATE */
#define ADAPTER_QUERY 0x200  /* and only asked for */
/* test_scan -> test_scanned: QUERY_DEVICE_RELATIONS; disks are built on new units. Those missing are the test's to remove. */
#define TEST_ADAPTER_SCAN TEST_CODE(21)
/* test_setting -> ULONG status: a REG_DWORD of the adapter's */
#define TEST_ADAPTER_SETTING TEST_CODE(22)
/* ULONG code, ULONG reserved, input -> ULONG status, ULONG times that relations were invalidated, output */
#define TEST_ADAPTER_CONTROL TEST_CODE(23)
/* test_pnp -> ULONG status, ULONG length, bytes: a PnP query of the disk's stack and its answer */
#define TEST_QUERY TEST_CODE(24)
/* test_service -> ULONG status: loads or unloads a driver, in the host where the disks are */
#define TEST_LOAD TEST_CODE(25)
#define TEST_UNLOAD TEST_CODE(26)

/* test_direct, structure, data -> ULONG status, ULONG information, structure, data: an I/O control to the disk, whose structure
 * points to the data */
#define TEST_DIRECT TEST_CODE(27)

#define CREATE_READ_ONLY 0x1 /* the medium is write-protected */
#define CREATE_LEGACY 0x2    /* the adapter takes SCSI_REQUEST_BLOCK only */
#define CREATE_OWN_WRITES 0x4 /* the filter writes on its own account, as for a mapped volume, not for a caller */
#define CREATE_NO_UNMAP 0x8   /* the disk does not say that it takes UNMAP, and does not */
#define CREATE_SHORT_UNMAP 0x10 /* one UNMAP may name no more than UNMAP_SHORT blocks */
#define UNMAP_MOST 0xffff
#define UNMAP_SHORT 100

typedef struct test_create {
    ULONG sector_size;
    ULONG max_transfer;   /* bytes */
    ULONG alignment_mask; /* of data buffers, as in STORAGE_ADAPTER_DESCRIPTOR */
    ULONG flags;
    WCHAR filter[32];     /* service of the filter driver; empty: none */
    WCHAR image[260];     /* NT path of the image file */
} test_create;

typedef struct test_direct {
    ULONG disk, code;
    ULONG structure, length; /* bytes of both */
    ULONG pointer;        /* where in the structure */
    ULONG skew;           /* bytes from where memory begins to where the data does */
} test_direct;

typedef struct test_service { WCHAR name[32]; } test_service;

typedef struct test_created {
    ULONG disk;
    ULONG image_status;   /* NTSTATUS of each step; a later one is 0xffffffff if not reached */
    ULONG load_status;
    ULONG add_status;
    ULONG start_status;
    ULONG reserved;
    ULONGLONG capacity;   /* bytes, as READ CAPACITY at the top of the stack says */
} test_created;

typedef struct test_pnp {
    ULONG disk;
    ULONG minor;
    ULONG argument;       /* usage notification: DEVICE_USAGE_NOTIFICATION_TYPE | 0x100 if it begins */
} test_pnp;

enum { ORDER_FIFO, ORDER_REVERSE, ORDER_SHUFFLE };
enum { FAULT_NONE, FAULT_MEDIUM, FAULT_SHORT, FAULT_SHORT_OVERRUN, FAULT_BUSY, FAULT_TIMEOUT, FAULT_ABORTED, FAULT_RECOVERED, FAULT_INTERNAL };
#define FAULT_ON_READ 1
#define FAULT_ON_WRITE 2
#define FAULT_ON_FLUSH 4
#define FAULT_ON_UNMAP 8

typedef struct test_port_mode {
    ULONG disk;
    ULONG order;
    ULONG hold;           /* complete only when so many are done, or nothing came for 2 ms */
    ULONG seed;           /* of ORDER_SHUFFLE */
    ULONG delay_ms;       /* before each completion */
    ULONG freeze;         /* non-zero: requests stay queued */
    ULONG fault;          /* FAULT_* */
    ULONG fault_on;       /* FAULT_ON_* */
    ULONG fault_skip;     /* let so many pass first */
    ULONG fault_count;    /* then strike so many */
    ULONGLONG fault_first, fault_last; /* only requests that touch these sectors */
    ULONG write_protect;  /* non-zero: the medium refuses writes from now on */
    ULONG inline_completion; /* non-zero: complete inside the dispatch routine */
    ULONG generous;       /* non-zero: whatever the disk does not know it does, and answers with RAW_BYTES all over */
    ULONG reserved;
} test_port_mode;

#define RAW_BYTES "SLUICE-RAW-BYTES" /* what a generous disk says, for the contents of its medium */

#define CLASS_EXTENDED 0x1 /* STORAGE_REQUEST_BLOCK, not SCSI_REQUEST_BLOCK */
#define CLASS_CDB16 0x2
#define CLASS_FUA 0x4
#define CLASS_PAGING 0x8   /* SRB_CLASS_FLAGS_PAGING */
#define CLASS_NO_FREEZE 0x10 /* SRB_FLAGS_NO_QUEUE_FREEZE */
#define CLASS_CDB12 0x20
#define CLASS_CDB6 0x40    /* up to 256 blocks below 2^21, else CDB10 */
#define CLASS_CDB32 0x80   /* READ(32), WRITE(32): extended only */

typedef struct test_class_mode {
    ULONG disk;
    ULONG flags;
    ULONG max_transfer;   /* bytes a piece; 0: what the adapter says */
    ULONG retries;        /* of a piece answered BUSY, with the same buffer */
} test_class_mode;

typedef struct test_statistics {
    ULONG size;
    ULONG violations;     /* rules broken towards the port */
    ULONGLONG reads, writes, read_bytes, written_bytes;
    ULONGLONG flushes, fua_writes, paging;
    ULONGLONG own_srbs;   /* SRBs not made by the class driver */
    ULONGLONG srbs, ioctls, pnp, power;
    ULONGLONG written_hash; /* rolling, in the order of arrival */
    ULONGLONG pattern_hits;
    ULONGLONG pattern_sector; /* where the last one was seen */
    ULONGLONG faults;     /* injected */
    ULONGLONG busy_retries, cancelled, buffer_changes;
    ULONG in_flight, in_flight_max;
    ULONG pending;        /* of the class driver */
    ULONG usage[4];       /* page, hibernation, dump: balance of notifications at the port */
    ULONG last_ioctl;
    ULONG opcodes[256];
    ULONGLONG unmapped;   /* sectors, of UNMAPs that were carried out */
    ULONGLONG unmap_first; /* sector of the first of them */
    ULONGLONG unmap_step; /* what all others lie away from it, and all lengths, are multiples of */
    ULONGLONG unmap_longest; /* sectors */
} test_statistics;

typedef struct test_pattern { ULONG disk; UCHAR bytes[16]; } test_pattern;

#define RAW_EXTENDED 0x1
#define RAW_DATA_IN 0x2
#define RAW_DATA_OUT 0x4
#define RAW_NO_MDL 0x8       /* IRP without MDL though the SRB has a buffer */
#define RAW_NULL_SRB 0x10    /* Parameters.Scsi.Srb is NULL */
#define RAW_SHORT_MDL 0x20   /* the MDL covers half of the data */
#define RAW_READ_WRITE_IRP 0x40 /* IRP_MJ_READ/WRITE instead of IRP_MJ_SCSI */
#define RAW_NO_SENSE 0x80

typedef struct test_patch { USHORT offset, size; ULONG reserved; ULONGLONG value; } test_patch;

typedef struct test_raw {
    ULONG disk;
    ULONG flags;
    ULONG function;       /* SRB_FUNCTION_* */
    ULONG srb_flags;      /* besides the direction */
    ULONG data_length;    /* bytes; for RAW_DATA_OUT they follow this structure */
    ULONG cdb_length;
    UCHAR cdb[32];
    ULONG patches;        /* how many of: */
    ULONG reserved;
    test_patch patch[4];  /* written over the finished SRB: a lie each */
} test_raw;

typedef struct test_raw_result {
    ULONG status;         /* NTSTATUS of the IRP */
    ULONG information;
    ULONG transferred;    /* the SRB's DataTransferLength afterwards */
    UCHAR srb_status, scsi_status, sense_length, reserved;
    UCHAR sense[20];
    ULONG buffer_changed; /* data out: the caller's buffer is not what it was */
} test_raw_result;

typedef struct test_adapter { WCHAR service[32], hardware[32]; } test_adapter;
/* NTSTATUS of each step; a later one is 0xffffffff if not reached */
typedef struct test_adapter_created { ULONG root_status, load_status, add_status; } test_adapter_created;
typedef struct test_scan { WCHAR filter[32]; } test_scan; /* service of the filter below the class driver; empty: none */
typedef struct test_scanned {
    ULONG status, failed; /* NTSTATUS of the query, and of the last disk that did not come up */
    ULONG arrived_count, missing_count;
    ULONG arrived[8], missing[8];
} test_scanned;
typedef struct test_setting { WCHAR name[16]; ULONG value; } test_setting;

#endif
