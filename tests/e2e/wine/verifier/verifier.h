/* The verifier's interface for tests.
 *
 * ntoskrnx.exe exports the functions below besides the kernel's own. A test
 * driver calls them (link with libntoskrnx.a, or ask MmGetSystemRoutineAddress)
 * and relays them to user mode by I/O controls of its own. They may be called
 * at any IRQL; none of them blocks. Nothing here belongs to the shipped driver.
 *
 * Wine gives each service a host process of its own, but a driver that another
 * driver loads (ZwLoadDriver) lives in the loader's process. There is one
 * verifier and one log for each host process; a violation names the image.
 */
#ifndef SLUICE_VERIFIER_H
#define SLUICE_VERIFIER_H

/* Include after wdm.h or ntddk.h: only ULONG, CHAR, PVOID, NTSTATUS are needed. */

#ifndef VERIFIER_API
#define VERIFIER_API __declspec(dllimport)
#endif

/* What fail_nth counts: bits of verifier_options.fail_kinds. */
#define VERIFIER_FAIL_POOL     0x1 /* ExAllocatePool*, lookaside lists */
#define VERIFIER_FAIL_IRP      0x2 /* IoAllocateIrp, IoBuild*Request */
#define VERIFIER_FAIL_MDL      0x4 /* IoAllocateMdl */
#define VERIFIER_FAIL_WORKITEM 0x8 /* IoAllocateWorkItem */
#define VERIFIER_FAIL_ALL      0xf

/* How the verifier behaves from now on. All zero is the default: every rule
 * on, for every driver that imports ntoskrnx.exe, nothing injected. */
typedef struct verifier_options {
    /* sizeof(struct verifier_options); anything else is refused. */
    ULONG size;
    /* Image name of the driver under test ("sluice.sys", case ignored): only
     * its allocations are counted and failed, only its calls are forced to
     * pend. Empty: every driver's. Rules apply to every driver either way. */
    CHAR target[32];
    /* The n-th allocation from now on fails (1 = the next one); 0 = none. A
     * pool block no larger than the one that the same thread has just given
     * back is not counted: code that cannot take a failure asks that way. */
    ULONG fail_nth;
    /* How many allocations in a row fail, beginning with the n-th; 0 means 1,
     * 0xffffffff all of them. */
    ULONG fail_count;
    /* VERIFIER_FAIL_* bits that are counted; 0 means VERIFIER_FAIL_ALL. */
    ULONG fail_kinds;
    /* Non-zero: each IRP that the target sends down (but power, create,
     * cleanup and close) is taken by a thread that calls the lower driver
     * later; the target's IoCallDriver returns STATUS_PENDING at once. */
    ULONG force_pending;
    /* Non-zero: completion routines run at DISPATCH_LEVEL, as they do under a
     * real port driver, even where the test disk completes at PASSIVE_LEVEL. */
    ULONG raise_completion;
    /* Non-zero: a DPC runs on the thread that queued it, as soon as that
     * thread's IRQL falls below DISPATCH_LEVEL, as on a one-processor machine.
     * Zero: on one of the verifier's two DPC threads. */
    ULONG dpc_inline;
    /* Milliseconds after which a wait for a spin lock, a remove lock or rundown
     * protection is reported as stuck; 0 means 10,000. */
    ULONG stuck_ms;
    /* Rule ids not to be reported, separated by spaces; "pool.*" names all
     * rules that begin with "pool.". */
    CHAR disabled[256];
} verifier_options;

/* Running totals since load or since verifier_reset. */
typedef struct verifier_counters {
    ULONG size;              /* sizeof(struct verifier_counters), set by the caller */
    ULONG violations;        /* of all drivers */
    ULONG target_violations; /* of the target; of all drivers if none is set */
    ULONG allocations;       /* the target's allocations, all VERIFIER_FAIL_* kinds */
    ULONG injected;          /* how many of them were made to fail */
    ULONG forced_pending;    /* how many IRPs were forced to pend */
    ULONG irps;              /* dispatch calls seen */
    ULONG live;              /* objects of the target that are live now */
} verifier_counters;

/* Sets the options and restarts the allocation count. STATUS_INVALID_PARAMETER
 * if the size is not ours. */
VERIFIER_API NTSTATUS verifier_configure(const verifier_options *options);
VERIFIER_API NTSTATUS verifier_read_counters(verifier_counters *counters);

/* Copies the log (lines "VERIFIER: <rule> <image>+0x<offset> <text>\n", ended
 * by a zero byte, oldest first) and returns the bytes needed for all of it.
 * Every line was also printed with DbgPrint and appended to C:\verifier.log,
 * which survives the death of the host. */
VERIFIER_API ULONG verifier_report(CHAR *buffer, ULONG length);

/* Empties the log and the counters; options and live objects stay. */
VERIFIER_API void verifier_reset(void);

/* Reports each object that the image owns now (pool blocks, IRPs, MDLs, ...)
 * as a leak, as at unload, and returns their number. NULL: the target. */
VERIFIER_API ULONG verifier_leak_check(const CHAR *image);

/* The discretionary ACL that was last set on a device object from the kernel
 * (ZwSetSecurityObject), as self-relative ACL bytes. Returns its length in
 * bytes, 0 if none was set; copies at most length bytes. */
VERIFIER_API ULONG verifier_device_dacl(PVOID device, void *buffer, ULONG length);

/* What a driver is told of a device by IoGetDeviceProperty (class GUID,
 * hardware identifiers) and IoOpenDeviceRegistryKey, as the PnP manager would
 * know it of an installed device. The strings stay the caller's, and must
 * live as long as the device. */
typedef struct verifier_identity {
    const WCHAR *class_guid;
    const WCHAR *hardware_ids; /* each ended by a zero, all by one more */
    ULONG hardware_ids_size;   /* bytes */
    const WCHAR *key;          /* of the registry; NULL: it has none */
    ULONG invalidations;       /* counted: IoInvalidateDeviceRelations */
} verifier_identity;
VERIFIER_API NTSTATUS verifier_device_identity(PVOID device, const verifier_identity *identity);
VERIFIER_API ULONG verifier_device_invalidations(PVOID device);

/* A device behind registers, played by the test driver (card.c): one at a time.
 * The routines are called on the thread that touches a register, at its IRQL. */
#define VERIFIER_TRANSLATED 0x10000000000ll /* logical minus physical address, where DMA is translated */
typedef struct verifier_card {
    unsigned long long physical; /* of its only BAR */
    ULONG length;
    ULONG messages;              /* 0: it has a line */
    ULONG translated;            /* non-zero: common buffers lie elsewhere for it, other memory nowhere */
    ULONG (*read)(ULONG offset, ULONG width);
    void (*write)(ULONG offset, ULONG width, ULONG value);
} verifier_card;
VERIFIER_API NTSTATUS verifier_card_insert(PVOID pdo, const verifier_card *card);
/* What the driver has not given back is a violation. */
VERIFIER_API void verifier_card_remove(void);
/* KeSetEvent for whoever plays a device, whose registers are touched at any IRQL. */
VERIFIER_API void verifier_card_signal(PVOID event);
/* Calls the driver's service routine, and returns what it said. */
VERIFIER_API BOOLEAN verifier_card_interrupt(ULONG message);

#endif
