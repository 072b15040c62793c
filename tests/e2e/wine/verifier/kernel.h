/* What the verifier's parts share: the thread's state, the drivers, the log,
 * and the table of live objects. */
#ifndef KERNEL_H
#define KERNEL_H

#include <ntifs.h>
#include <ntddk.h>
#include <ntimage.h>
#include <stdarg.h>
#include "win32.h"
#define VERIFIER_API
#include "verifier.h"

/* A function that replaces, or adds to, one of Wine's exports. build.sh
 * exports every symbol that begins with x_ under the rest of its name. */
#define EXPORT(name) NTAPI x_##name
/* The address in the driver that called the export we are in. */
#define CALLER caller_in_driver(__builtin_return_address(0))
void *caller_in_driver(void *return_address);

/* ---- drivers (module.c, hook.c) ---- */
#define MAX_DRIVERS 64
typedef struct driver {
    char name[32];            /* image name */
    char *base;
    ULONG size;
    BOOLEAN loaded;
    UCHAR entry_bytes[12];    /* what the jump at the entry point replaced */
    DRIVER_OBJECT *object;
    DRIVER_DISPATCH *dispatch[IRP_MJ_MAXIMUM_FUNCTION + 1];
    DRIVER_UNLOAD *unload;
    DRIVER_ADD_DEVICE *add_device;
    LONG violations;
} driver;
driver *driver_at(const void *address);      /* the driver whose image holds it, or NULL */
driver *driver_named(const char *image);
driver *driver_number(ULONG i);              /* NULL past the last */
driver *driver_of_object(const DRIVER_OBJECT *object);
driver *driver_of_device(const DEVICE_OBJECT *device);
driver *server_of_device(const DEVICE_OBJECT *device);
void driver_gone(driver *d, void *where);    /* its unload routine, or its failed entry point, has returned */
void hook_driver(driver *d);                 /* before its entry point runs */

/* ---- threads and IRQL (irql.c) ---- */
#define MAX_HELD 16
typedef struct held_lock { void *lock; void *caller; KIRQL old; BOOLEAN shared, raised; } held_lock;
typedef struct thread {
    KIRQL irql;
    int held;                     /* spin locks this thread holds, oldest first */
    held_lock locks[MAX_HELD];
    void *routine;                /* the driver's routine that we called last and are still in */
    KDPC *pending_first, *pending_last; /* dpc_inline: DPCs waiting for the IRQL to fall */
    SIZE_T given_back;            /* the target's last free, if it has allocated nothing since */
    struct system_thread *system; /* set on threads made by PsCreateSystemThread */
} thread;
void irql_start(void);
thread *self(void);
void thread_gone(void);
void system_thread_gone(thread *t);
int irql_instruction(const UCHAR *code, CONTEXT *c);
void irql_lower(thread *t, KIRQL irql);      /* and run what waited for it */
void irql_at_most(KIRQL max, const char *function, void *caller);
/* A routine of a driver, called by the verifier: checks that IRQL and spin
 * locks are afterwards what they were before. */
typedef struct callout { thread *t; KIRQL irql, before; int held; void *routine, *outer; } callout;
callout callout_enter(KIRQL irql, void *routine);
void callout_leave(callout *c, const char *what);

/* ---- the log (report.c) ---- */
extern verifier_options options;
static inline ULONG stuck_ms(void) { return options.stuck_ms ? options.stuck_ms : 10000; }
typedef struct totals { LONG violations, allocations, injected, forced_pending, irps, logged; } totals;
extern totals counted;
void violation(const char *rule, void *caller, const char *format, ...) __attribute__((format(printf, 3, 4)));
BOOLEAN same_name(const char *a, const char *b);
BOOLEAN is_target(void *caller);
BOOLEAN inject_failure(ULONG kind, void *caller); /* TRUE: this allocation is to fail */
BOOLEAN always_fails(void);

/* ---- live objects (object.c) ---- */
enum kind { POOL, IRP_, MDL_, WORKITEM, TIMER, DPC, DEVICE, SYMLINK, THREAD, REMLOCK, LOOKASIDE, SHUTDOWN, KINDS };
typedef struct object {
    struct object *next;
    enum kind kind;
    void *key;
    void *caller;             /* who made it */
    driver *owner;
    union { SIZE_T size; void *ptr; } u;
} object;
extern SRWLOCK big_lock;      /* guards objects and whatever hangs on them; never held across a callout */
static inline void lock_all(void) { AcquireSRWLockExclusive(&big_lock); }
static inline void unlock_all(void) { ReleaseSRWLockExclusive(&big_lock); }
void object_add(enum kind kind, void *key, void *caller, void *ptr);
/* Calls f for each object of a kind, under big_lock, until it returns TRUE. */
BOOLEAN object_any(enum kind kind, BOOLEAN (*f)(object *o, void *argument), void *argument);
BOOLEAN object_remove(enum kind kind, void *key, void **ptr);
object *object_find(enum kind kind, void *key); /* under big_lock */
void object_forget_owner(driver *d);
ULONG object_leaks(driver *d, BOOLEAN report);

/* ---- pool (arena.c, pool.c) ---- */
typedef struct block {
    char *base;               /* first page */
    ULONG pages;              /* without the guard page behind */
    char *data;
    SIZE_T size;
    ULONG tag;
    BOOLEAN paged, freed, internal; /* internal: an IRP, MDL... not ExAllocatePool's */
    void *allocated_by, *freed_by;
} block;
void *block_alloc(SIZE_T size, ULONG tag, BOOLEAN paged, BOOLEAN internal, void *caller);
/* Checks the patterns around a live block and makes its pages inaccessible. */
void block_free(block *b, void *caller);
block *block_at(const void *address);        /* live or freed, or NULL if not ours */
BOOLEAN in_arena(const void *address);
BOOLEAN arena_fault(char *address, BOOLEAN write, void *pc); /* TRUE: reported, go on */

/* ---- spin locks (lock.c, lockorder.c) ---- */
void spin_acquire(ULONG_PTR *lock, KIRQL old, BOOLEAN raised, void *caller);
void spin_release(ULONG_PTR *lock, KIRQL old, BOOLEAN lower, void *caller);
void lock_order(thread *t, void *lock, void *caller);
void lock_order_forget(void *from, SIZE_T size);
void no_lock_held(const char *function, void *caller);

/* ---- IRPs (irp.c: made and freed; irpflow.c: sent and completed; frame.c: dispatch calls) ---- */
enum origin { SYSTEM, ALLOCATED, BUILT, THREADED, INITIALISED };
typedef struct frame frame;
typedef struct irp_info {
    IRP *irp;
    enum origin origin;       /* SYSTEM: made by Wine; THREADED: the I/O manager frees it */
    driver *owner;
    void *allocated_by;
    BOOLEAN in_flight;        /* sent and not yet back where it was sent from: */
    LONG home;                /* that stack location's number */
    driver *last;             /* whose stack location was completed last */
    frame *frames[128];       /* by stack location number: calls that go with it */
} irp_info;
irp_info *irp_find(IRP *irp);              /* under big_lock; NULL if unknown */
irp_info *irp_know(IRP *irp);              /* the same, but makes a record for one of Wine's */
irp_info *irp_sent(IRP *irp, LONG from);
BOOLEAN irp_forget(IRP *irp);
void irp_finish(IRP *irp);                 /* every stack location is done: the I/O manager's part */
NTSTATUS irp_call(DEVICE_OBJECT *device, IRP *irp, BOOLEAN forced); /* the current stack location's dispatch routine */
BOOLEAN irp_recent(IRP *irp);
NTSTATUS NTAPI irp_dispatch(DEVICE_OBJECT *device, IRP *irp); /* stands in MajorFunction[] */
NTSTATUS NTAPI irp_unhandled(DEVICE_OBJECT *device, IRP *irp); /* for a function the driver did not set */
void irp_unwind(IRP *irp, ULONG location, BOOLEAN marked, NTSTATUS final);
void frames_drop(irp_info *info);
void frames_check_unload(driver *d, void *where);
void EXPORT(IoAcquireCancelSpinLock)(KIRQL *old);
void EXPORT(IoReleaseCancelSpinLock)(KIRQL old);
BOOLEAN cancel_lock_mine(void);

/* ---- MDLs (mdl.c) ---- */
PMDL mdl_make(PVOID va, ULONG length, IRP *irp, void *caller);
void mdl_finish(PMDL mdl);                 /* the I/O manager frees it with its IRP */
void mdl_check_sent(IRP *irp, const char *function, void *caller);
BOOLEAN mdl_belongs(PMDL mdl, IRP *irp);   /* was it allocated for this IRP? */


/* ---- DPCs ---- */
void dpc_start(void);
void dpc_run(KDPC *dpc);
BOOLEAN dpc_insert(KDPC *dpc, PVOID a, PVOID b, BOOLEAN may_inline, void *caller);

/* ---- exceptions (fault.c) ---- */
LONG NTAPI fault_handler(PEXCEPTION_POINTERS e);

/* ---- a played device (card.c) ---- */
BOOLEAN card_fault(EXCEPTION_RECORD *r, CONTEXT *c); /* TRUE: an access to its registers, which has been done */

#endif
