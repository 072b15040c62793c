/* Sins against spin locks, DPCs, work items, remove locks, rundown protection,
 * device objects. */
#include "driver.h"

static KSPIN_LOCK a, b, c;
static KEVENT done;

/* Runs a routine as a work item and waits for its end. */
static PIO_WORKITEM item;
static void NTAPI run_work(DEVICE_OBJECT *d, PVOID routine)
{
    ((void (*)(void))routine)();
    KeSetEvent(&done, 0, FALSE);
}
static void as_work(void (*routine)(void))
{
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    item = IoAllocateWorkItem(control_device);
    IoQueueWorkItem(item, run_work, DelayedWorkQueue, routine);
    KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
    pause(20); /* until the verifier has looked at the routine's end */
    IoFreeWorkItem(item);
}

/* ---- IRQL that needs a routine of its own ---- */
static void leave_raised(void) { KIRQL old; KeRaiseIrql(DISPATCH_LEVEL, &old); }
void sin_irql_changed(void) { as_work(leave_raised); }
void sin_irql_at_dpc_below(void) { KIRQL old; KeAcquireSpinLockAtDpcLevel(&a); KeRaiseIrql(DISPATCH_LEVEL, &old); KeReleaseSpinLockFromDpcLevel(&a); KeLowerIrql(old); }
void sin_irql_lowered_with_lock(void)
{
    KIRQL old, x;
    KeAcquireSpinLock(&a, &old);
    KeLowerIrql(PASSIVE_LEVEL);
    KeRaiseIrql(DISPATCH_LEVEL, &x);
    KeReleaseSpinLock(&a, old);
}

/* ---- spin locks ---- */
void sin_lock_recursive(void) { KIRQL old; KeAcquireSpinLock(&a, &old); KeAcquireSpinLockAtDpcLevel(&a); KeReleaseSpinLockFromDpcLevel(&a); KeReleaseSpinLock(&a, old); }
void sin_lock_not_lifo(void)
{
    KIRQL old;
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    KeAcquireSpinLockAtDpcLevel(&a); KeAcquireSpinLockAtDpcLevel(&b);
    KeReleaseSpinLockFromDpcLevel(&a); KeReleaseSpinLockFromDpcLevel(&b);
    KeLowerIrql(old);
}
void sin_lock_wrong_release(void) { KIRQL old; KeAcquireSpinLock(&a, &old); KeReleaseSpinLockFromDpcLevel(&a); KeLowerIrql(old); }
void sin_lock_wrong_irql(void) { KIRQL old; KeAcquireSpinLock(&a, &old); KeReleaseSpinLock(&a, APC_LEVEL); KeLowerIrql(old); }
void sin_lock_not_owner(void) { KIRQL old; KeRaiseIrql(DISPATCH_LEVEL, &old); KeReleaseSpinLockFromDpcLevel(&a); KeLowerIrql(old); }
static void nest(KSPIN_LOCK *x, KSPIN_LOCK *y)
{
    KIRQL old;
    KeAcquireSpinLock(x, &old);
    KeAcquireSpinLockAtDpcLevel(y);
    KeReleaseSpinLockFromDpcLevel(y);
    KeReleaseSpinLock(x, old);
}
static void anew(void) { KeInitializeSpinLock(&a); KeInitializeSpinLock(&b); KeInitializeSpinLock(&c); }
void sin_lock_order(void)
{
    UNICODE_STRING n = RTL_CONSTANT_STRING(L"KeInitializeSpinLock");
    void (NTAPI *init)(KSPIN_LOCK *) = MmGetSystemRoutineAddress(&n); /* the header's is inline */
    init(&a); init(&b); init(&c);
    nest(&a, &b); nest(&b, &a);
}
void sin_lock_order_three(void)
{
    KSPIN_LOCK *l = ExAllocatePoolWithTag(NonPagedPool, 3 * sizeof *l, TAG);
    anew();
    RtlZeroMemory(l, 3 * sizeof *l);
    nest(l, l + 1); nest(l + 1, l + 2); nest(l + 2, l);
    ExFreePoolWithTag(l, TAG);
}
static void NTAPI keeps_lock(KDPC *d, PVOID x, PVOID y, PVOID z)
{
    KeAcquireSpinLockAtDpcLevel(&c);
    KeSetEvent(&done, 0, FALSE);
}
void sin_lock_kept(void)
{
    static KDPC dpc;
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    KeInitializeDpc(&dpc, keeps_lock, NULL);
    KeInsertQueueDpc(&dpc, NULL, NULL);
    KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
    KeFlushQueuedDpcs();
    c = 0;
}
void sin_lock_across_call(void)
{
    parcel p; KIRQL old;
    victim_does = pass;
    parcel_make(&p, lower, IRP_MJ_READ);
    KeAcquireSpinLock(&a, &old);
    parcel_start(&p, lower);
    KeReleaseSpinLock(&a, old);
    parcel_wait(&p);
    parcel_free(&p);
}
static NTSTATUS completes_locked(IRP *irp)
{
    KIRQL old;
    KeAcquireSpinLock(&a, &old);
    finish(irp, STATUS_SUCCESS);
    KeReleaseSpinLock(&a, old);
    return STATUS_SUCCESS;
}
void sin_lock_across_complete(void)
{
    parcel p;
    victim_does = completes_locked;
    parcel_make(&p, victim, IRP_MJ_READ);
    parcel_send(&p, victim);
    parcel_free(&p);
}
void sin_lock_across_wait(void)
{
    KIRQL old;
    KeInitializeEvent(&done, NotificationEvent, TRUE);
    KeAcquireSpinLock(&a, &old);
    KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
    KeReleaseSpinLock(&a, old);
}
static KEVENT taken;
static void NTAPI holder(PVOID x)
{
    KIRQL old; LARGE_INTEGER start, now, f;
    KeAcquireSpinLock(&b, &old);
    KeSetEvent(&taken, 0, FALSE);
    start = KeQueryPerformanceCounter(&f);
    do now = KeQueryPerformanceCounter(NULL); while ((now.QuadPart - start.QuadPart) * 2 < f.QuadPart); /* half a second */
    KeReleaseSpinLock(&b, old);
}
void sin_lock_stuck(void)
{
    HANDLE h; KIRQL old;
    KeInitializeEvent(&taken, NotificationEvent, FALSE);
    PsCreateSystemThread(&h, THREAD_ALL_ACCESS, NULL, NULL, NULL, holder, NULL);
    KeWaitForSingleObject(&taken, Executive, KernelMode, FALSE, NULL);
    KeAcquireSpinLock(&b, &old);
    KeReleaseSpinLock(&b, old);
    ZwWaitForSingleObject(h, FALSE, NULL);
    ZwClose(h);
}
void sin_lock_too_many(void)
{
    static KSPIN_LOCK many[17]; KIRQL old; int i;
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    for (i = 0; i < 17; i++) KeAcquireSpinLockAtDpcLevel(&many[i]);
    for (i = 17; i-- > 0;) KeReleaseSpinLockFromDpcLevel(&many[i]);
    KeLowerIrql(old);
}
void sin_lock_shared_as_exclusive(void) { static LONG l; KIRQL old = ExAcquireSpinLockShared(&l); ExReleaseSpinLockExclusive(&l, old); }

/* ---- DPCs ---- */
void sin_dpc_uninitialised(void) { static KDPC d; KeInsertQueueDpc(&d, NULL, NULL); }
static void NTAPI nothing(KDPC *d, PVOID x, PVOID y, PVOID z) { }
static void with_inline(void (*f)(KDPC *))
{
    static KDPC d;
    verifier_options o = { .size = sizeof o, .dpc_inline = 1 };
    KIRQL old;
    verifier_configure(&o);
    KeInitializeDpc(&d, nothing, NULL);
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    KeInsertQueueDpc(&d, NULL, NULL); /* runs when the IRQL falls */
    f(&d);
    KeLowerIrql(old);
    o.dpc_inline = 0;
    verifier_configure(&o);
}
static void initialise_again(KDPC *d) { KeInitializeDpc(d, nothing, NULL); }
void sin_dpc_reinitialised(void) { with_inline(initialise_again); }
static void check_leaks(KDPC *d) { verifier_leak_check("breaker.sys"); }
void sin_leak_dpc(void) { with_inline(check_leaks); }

/* ---- work items ---- */
static void NTAPI work(DEVICE_OBJECT *d, PVOID x) { }
void sin_workitem_free_unknown(void) { static char not_one[64]; IoFreeWorkItem((PIO_WORKITEM)not_one); }
static ULONG violations(void)
{
    verifier_counters n = { .size = sizeof n };
    verifier_read_counters(&n);
    return n.violations;
}
/* The worker may be quicker than we are: then it was no sin, and once more. */
void sin_workitem_free_queued(void)
{
    for (int i = 0; i < 1000 && !violations(); i++) {
        PIO_WORKITEM w = IoAllocateWorkItem(control_device);
        IoQueueWorkItem(w, work, DelayedWorkQueue, NULL);
        IoFreeWorkItem(w);
        if (!violations()) continue;
        pause(50);
        IoFreeWorkItem(w);
    }
}
void sin_workitem_queued_twice(void)
{
    PIO_WORKITEM w = IoAllocateWorkItem(control_device);
    for (int i = 0; i < 1000 && !violations(); i++) {
        IoQueueWorkItem(w, work, DelayedWorkQueue, NULL);
        IoQueueWorkItem(w, work, DelayedWorkQueue, NULL);
        pause(20);
    }
    IoFreeWorkItem(w);
}

/* ---- remove locks, rundown ---- */
static IO_REMOVE_LOCK rl;
static void rl_begin(void) { IoInitializeRemoveLock(&rl, TAG, 0, 0); (void)IoAcquireRemoveLock(&rl, &rl); }
void sin_removelock_not_held(void) { rl_begin(); IoReleaseRemoveLock(&rl, &a); IoReleaseRemoveLock(&rl, &rl); }
void sin_removelock_uninitialised(void) { static IO_REMOVE_LOCK l; (void)IoAcquireRemoveLock(&l, &l); IoReleaseRemoveLock(&l, &l); }
void sin_removelock_removed_twice(void) { rl_begin(); IoReleaseRemoveLockAndWait(&rl, &rl); IoReleaseRemoveLockAndWait(&rl, &rl); }
void sin_removelock_stuck(void) { rl_begin(); (void)IoAcquireRemoveLock(&rl, &a); IoReleaseRemoveLockAndWait(&rl, &rl); }
void sin_verifier_full(void)
{
    static char tags[16384]; /* with the one of rl_begin, one more than the verifier can tell apart */
    int n = sizeof tags - 1;
    rl_begin();
    for (int i = 0; i <= n; i++) (void)IoAcquireRemoveLock(&rl, &tags[i]);
    for (int i = 0; i < n; i++) IoReleaseRemoveLock(&rl, &tags[i]);
    IoReleaseRemoveLock(&rl, &rl);
}
static EX_RUNDOWN_REF rd;
void sin_rundown_not_held(void) { ExInitializeRundownProtection(&rd); ExReleaseRundownProtection(&rd); }
void sin_rundown_live(void) { ExInitializeRundownProtection(&rd); ExReInitializeRundownProtection(&rd); }
void sin_rundown_stuck(void) { ExInitializeRundownProtection(&rd); ExAcquireRundownProtection(&rd); ExWaitForRundownProtectionRelease(&rd); }

/* ---- devices ---- */
static DEVICE_OBJECT *device(void)
{
    DEVICE_OBJECT *d = NULL;
    IoCreateDevice(us, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &d);
    d->Flags &= ~DO_DEVICE_INITIALIZING;
    return d;
}
void sin_device_delete_unknown(void) { DEVICE_OBJECT *d = device(); IoDeleteDevice(d); IoDeleteDevice(d); }
void sin_device_delete_not_detached(void)
{
    DEVICE_OBJECT *d = device(), *e = device();
    IoAttachDeviceToDeviceStack(e, d);
    IoDeleteDevice(e);
    IoDetachDevice(d);
    IoDeleteDevice(d);
}
void sin_device_not_attached(void) { DEVICE_OBJECT *d = device(); IoDetachDevice(d); IoDeleteDevice(d); }
void sin_device_initializing(void)
{
    leave_initializing = TRUE;
    us->DriverExtension->AddDevice(us, lower);
    leave_initializing = FALSE;
    IoDeleteDevice(us->DeviceObject);
}
void sin_handle_not_kernel(void)
{
    HANDLE h;
    if (NT_SUCCESS(ObOpenObjectByPointer(control_device, 0, NULL, WRITE_DAC, NULL, KernelMode, &h))) ZwClose(h);
}
