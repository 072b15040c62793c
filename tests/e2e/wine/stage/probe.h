/* What sluicestage.sys does for a test program, on \\.\SluiceStage. All METHOD_BUFFERED; the same layout on both sides
 * (client/src/stage.rs). There are PROBES stages, each with a context of its own. */
#ifndef PROBE_H
#define PROBE_H

#define PROBE_CODE(n) CTL_CODE(FILE_DEVICE_UNKNOWN, 0xA00 + (n), METHOD_BUFFERED, FILE_ANY_ACCESS)
#define PROBE_REGISTER PROBE_CODE(0)   /* probe_registration -> probe_registered */
#define PROBE_UNREGISTER PROBE_CODE(1) /* probe_unregistration -> LONG status */
#define PROBE_LIST PROBE_CODE(2)       /* ULONG room -> LONG status, ULONG count, sluice_registered[] */
#define PROBE_MODE PROBE_CODE(3)       /* probe_mode */
#define PROBE_SEEN PROBE_CODE(4)       /* ULONG probe -> probe_seen */
#define PROBE_INTERFACE PROBE_CODE(5)  /* probe_interface -> LONG status: asks for the interface, rightly or not */

#define PROBES 8

#define PROBE_NULL_TABLE 0x1
#define PROBE_NULL_FUNCTION 0x2
#define PROBE_MISALIGNED 0x4
#define PROBE_NULL_HANDLE 0x8
#define PROBE_AT_DISPATCH 0x10
#define PROBE_NULL 0x20

typedef struct probe_registration {
    ULONG probe, flags;
    ULONG size, kind, place, altitude, disk, reserved; /* sluice_registration */
    ULONG table_size, version, needs, table_reserved;  /* sluice_stage */
    CHAR name[16];
} probe_registration;

typedef struct probe_registered { LONG status; ULONG reserved; ULONGLONG handle; } probe_registered;
typedef struct probe_unregistration { ULONGLONG handle; ULONG flags, reserved; } probe_unregistration;

enum {
    PROBE_PASS,        /* CONTINUE */
    PROBE_KEEP,        /* PENDING; a thread resumes */
    PROBE_KEEP_EARLY,  /* resumes, then answers PENDING */
    PROBE_END,         /* DONE with WRITE_PROTECTED */
    PROBE_PRETEND,     /* DONE with OK */
    PROBE_GARBAGE,     /* an answer that there is not */
    PROBE_GARBAGE_UP,  /* the same on the way up */
};

/* xor: what a transformer lays over each byte written and read. */
typedef struct probe_mode { ULONG probe, action, xor_write, xor_read; } probe_mode;

typedef struct probe_seen {
    ULONGLONG requests, completions, bytes;
    ULONGLONG detached;     /* calls of detach */
    ULONGLONG after_detach; /* calls of anything after it */
    ULONGLONG at_detach;    /* I/Os that were inside then */
} probe_seen;

typedef struct probe_interface { ULONG code, input, version, output; } probe_interface;

#endif
