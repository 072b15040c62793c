/* Right conduct, in the same calls that the sins abuse. Each returns 0, or the
 * line at which the verifier did not do as Windows does. */
#include "driver.h"

#define MUST(x) do { if (!(x)) return __LINE__; } while (0)

static KEVENT done;
static LONG ran;
static KIRQL seen;

static void begin(void) { KeInitializeEvent(&done, NotificationEvent, FALSE); ran = 0; }
static NTSTATUS await(LONG ms)
{
    LARGE_INTEGER t;
    t.QuadPart = -10000ll * ms;
    return KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, &t);
}

/* ---- memory ---- */
int virtue_pool(void)
{
    char *p = ExAllocatePoolWithTag(NonPagedPool, 60, TAG), *z = ExAllocatePool2(0x40, 5000, TAG), *paged;
    MUST(p && z && ((ULONG_PTR)p & 15) == 0 && ((ULONG_PTR)z & 4095) == 0);
    for (int i = 0; i < 5000; i++) MUST(z[i] == 0);
    RtlFillMemory(p, 60, 7);
    RtlFillMemory(z, 5000, 7);
    paged = ExAllocatePoolWithTag(PagedPool, 1, TAG);
    MUST(paged);
    *paged = 1;
    ExFreePoolWithTag(p, TAG);
    ExFreePool(z);
    ExFreePoolWithTag(paged, TAG);
    for (int i = 0; i < 3000; i++) {
        p = ExAllocatePoolWithTag(NonPagedPool, 1 + i % 9000, TAG);
        MUST(p);
        p[i % 9000] = 1;
        ExFreePoolWithTag(p, TAG);
    }
    return 0;
}
int virtue_lookaside(void)
{
    static NPAGED_LOOKASIDE_LIST n;
    static LOOKASIDE_LIST_EX x;
    PVOID p;
    ExInitializeNPagedLookasideList(&n, NULL, NULL, 0, 128, TAG, 0);
    for (int i = 0; i < 100; i++) { p = ExAllocateFromNPagedLookasideList(&n); MUST(p); RtlFillMemory(p, 128, 1); ExFreeToNPagedLookasideList(&n, p); }
    ExDeleteNPagedLookasideList(&n);
    MUST(NT_SUCCESS(ExInitializeLookasideListEx(&x, NULL, NULL, NonPagedPool, 0, 256, TAG, 0)));
    p = ExAllocateFromLookasideListEx(&x);
    MUST(p);
    ExFreeToLookasideListEx(&x, p);
    ExDeleteLookasideListEx(&x);
    return 0;
}
int virtue_mdl(void)
{
    char *p = ExAllocatePoolWithTag(NonPagedPool, 16384, TAG);
    PMDL m = IoAllocateMdl(p, 16384, FALSE, FALSE, NULL), part = IoAllocateMdl(p, 16384, FALSE, FALSE, NULL), locked;
    MmBuildMdlForNonPagedPool(m);
    MUST(MmGetSystemAddressForMdlSafe(m, NormalPagePriority) == p);
    for (int i = 0; i < 4; i++) {
        IoBuildPartialMdl(m, part, p + 1000 * i, 1000);
        MUST(MmGetSystemAddressForMdlSafe(part, NormalPagePriority) == p + 1000 * i && MmGetMdlByteCount(part) == 1000);
        MmPrepareMdlForReuse(part);
    }
    IoFreeMdl(part);
    locked = IoAllocateMdl(p + 100, 5000, FALSE, FALSE, NULL);
    MmProbeAndLockPages(locked, KernelMode, IoWriteAccess);
    MUST(MmGetSystemAddressForMdlSafe(locked, NormalPagePriority) == p + 100);
    MmUnlockPages(locked);
    IoFreeMdl(locked);
    IoFreeMdl(m);
    ExFreePoolWithTag(p, TAG);
    return 0;
}

/* ---- locks and IRQL ---- */
int virtue_locks(void)
{
    static KSPIN_LOCK a, b; static LONG rw; static FAST_MUTEX m;
    KLOCK_QUEUE_HANDLE h; KIRQL old, one, two;
    for (int i = 0; i < 3; i++) {
        KeAcquireSpinLock(&a, &old);
        MUST(old == PASSIVE_LEVEL && KeGetCurrentIrql() == DISPATCH_LEVEL);
        KeAcquireSpinLockAtDpcLevel(&b);
        KeReleaseSpinLockFromDpcLevel(&b);
        KeReleaseSpinLock(&a, old);
        MUST(KeGetCurrentIrql() == PASSIVE_LEVEL);
    }
    KeAcquireInStackQueuedSpinLock(&a, &h);
    KeReleaseInStackQueuedSpinLock(&h);
    one = ExAcquireSpinLockShared(&rw); ExReleaseSpinLockShared(&rw, one);
    two = ExAcquireSpinLockExclusive(&rw); ExReleaseSpinLockExclusive(&rw, two);
    ExInitializeFastMutex(&m);
    ExAcquireFastMutex(&m);
    MUST(KeGetCurrentIrql() == APC_LEVEL);
    ExReleaseFastMutex(&m);
    MUST(KeGetCurrentIrql() == PASSIVE_LEVEL);
    return 0;
}
int virtue_cr8(void)
{
    KIRQL old;
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    MUST(old == PASSIVE_LEVEL && KeGetCurrentIrql() == DISPATCH_LEVEL);
    KeLowerIrql(old);
    MUST(KeGetCurrentIrql() == PASSIVE_LEVEL);
    return 0;
}

/* ---- IRPs ---- */
int virtue_irp_sync(void)
{
    parcel p;
    parcel_make(&p, lower, IRP_MJ_READ);
    MUST(parcel_send(&p, lower) == STATUS_SUCCESS);
    parcel_free(&p);
    return 0;
}
/* In flight with lower until it is told to complete; under force_pending the
 * order to complete may overtake the IRP, so it is repeated. */
static int pended(DEVICE_OBJECT *top)
{
    parcel p; LARGE_INTEGER t;
    parcel_make(&p, top, IRP_MJ_WRITE);
    MUST(parcel_start(&p, top) == STATUS_PENDING);
    t.QuadPart = -100000;
    do lower_complete(); while (KeWaitForSingleObject(&p.done, Executive, KernelMode, FALSE, &t) == STATUS_TIMEOUT);
    MUST(parcel_wait(&p) == STATUS_SUCCESS);
    parcel_free(&p);
    return 0;
}
int virtue_irp_pending(void) { return pended(lower); }
static int both(NTSTATUS (*does)(IRP *))
{
    parcel p;
    victim_does = does;
    parcel_make(&p, victim, IRP_MJ_READ);
    MUST(parcel_send(&p, victim) == STATUS_SUCCESS);
    parcel_free(&p);
    return pended(victim);
}
int virtue_irp_skip(void) { return both(pass); }
static NTSTATUS NTAPI propagates(DEVICE_OBJECT *d, IRP *irp, PVOID c)
{
    seen = KeGetCurrentIrql();
    if (irp->PendingReturned) IoMarkIrpPending(irp);
    return STATUS_CONTINUE_COMPLETION;
}
static NTSTATUS copies(IRP *irp)
{
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, propagates, NULL, TRUE, TRUE, TRUE);
    return IoCallDriver(lower, irp);
}
int virtue_irp_copy(void) { return both(copies); }
/* pends at once, finishes from a work item after its completion routine kept the IRP */
static PIO_WORKITEM item;
static void NTAPI finishes(DEVICE_OBJECT *d, PVOID irp)
{
    IoFreeWorkItem(item);
    finish(irp, STATUS_SUCCESS);
}
static NTSTATUS NTAPI keeps(DEVICE_OBJECT *d, IRP *irp, PVOID c)
{
    IoQueueWorkItem(item, finishes, DelayedWorkQueue, irp);
    return STATUS_MORE_PROCESSING_REQUIRED;
}
static NTSTATUS defers(IRP *irp)
{
    item = IoAllocateWorkItem(victim);
    IoMarkIrpPending(irp);
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, keeps, NULL, TRUE, TRUE, TRUE);
    (void)IoCallDriver(lower, irp);
    return STATUS_PENDING;
}
int virtue_irp_deferred(void) { return both(defers); }
static NTSTATUS forwards(IRP *irp)
{
    if (!IoForwardIrpSynchronously(lower, irp)) return finish(irp, STATUS_UNSUCCESSFUL);
    return finish(irp, irp->IoStatus.Status);
}
int virtue_irp_forward(void)
{
    parcel p;
    victim_does = forwards;
    parcel_make(&p, victim, IRP_MJ_READ);
    MUST(parcel_send(&p, victim) == STATUS_SUCCESS);
    parcel_free(&p);
    return 0;
}
/* a major function that the driver below has not set */
int virtue_irp_unset(void)
{
    parcel p;
    parcel_make(&p, lower, IRP_MJ_SYSTEM_CONTROL);
    MUST(parcel_send(&p, lower) == STATUS_INVALID_DEVICE_REQUEST);
    parcel_free(&p);
    return 0;
}
int virtue_irp_built(void)
{
    IO_STATUS_BLOCK iosb; LARGE_INTEGER at; char b[64]; IRP *irp;
    begin();
    at.QuadPart = 0;
    irp = IoBuildSynchronousFsdRequest(IRP_MJ_READ, lower, b, sizeof b, &at, &done, &iosb);
    if (IoCallDriver(lower, irp) == STATUS_PENDING) await(5000);
    MUST(iosb.Status == STATUS_SUCCESS);
    begin();
    irp = IoBuildDeviceIoControlRequest(BREAKER_CODE(1), lower, b, 4, b, sizeof b, TRUE, &done, &iosb);
    if (IoCallDriver(lower, irp) == STATUS_PENDING) await(5000);
    MUST(iosb.Status == STATUS_SUCCESS);
    return 0;
}
/* the same IRP again and again, also sent once more from where it stands */
static NTSTATUS NTAPI again(DEVICE_OBJECT *d, IRP *irp, PVOID c)
{
    KeSetEvent(&done, 0, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}
int virtue_irp_reuse(void)
{
    IRP *irp = IoAllocateIrp(lower->StackSize + 1, FALSE); /* one location for ourselves */
    for (int i = 0; i < 3; i++) {
        begin();
        IoSetNextIrpStackLocation(irp);
        IoGetCurrentIrpStackLocation(irp)->DeviceObject = control_device;
        for (int k = 0; k < 2; k++) {
            begin();
            IoGetNextIrpStackLocation(irp)->MajorFunction = IRP_MJ_READ;
            IoSetCompletionRoutine(irp, again, NULL, TRUE, TRUE, TRUE);
            IoCallDriver(lower, irp);
            MUST(await(5000) == STATUS_SUCCESS);
        }
        IoReuseIrp(irp, STATUS_SUCCESS);
    }
    IoFreeIrp(irp);
    return 0;
}
static void NTAPI cancels(DEVICE_OBJECT *d, IRP *irp)
{
    IoReleaseCancelSpinLock(irp->CancelIrql);
    finish(irp, STATUS_CANCELLED);
}
static NTSTATUS cancelable(IRP *irp)
{
    IoMarkIrpPending(irp);
    (void)IoSetCancelRoutine(irp, cancels);
    return STATUS_PENDING;
}
int virtue_irp_cancel(void)
{
    parcel p;
    victim_does = cancelable;
    parcel_make(&p, victim, IRP_MJ_READ);
    parcel_start(&p, victim);
    for (int i = 0; i < 100 && !*(PVOID volatile *)&p.irp->CancelRoutine; i++) pause(10);
    MUST(IoCancelIrp(p.irp));
    MUST(parcel_wait(&p) == STATUS_CANCELLED);
    parcel_free(&p);
    return 0;
}
static IO_CSQ csq; static LIST_ENTRY list; static KSPIN_LOCK list_lock;
static void NTAPI csq_insert(IO_CSQ *q, IRP *irp) { InsertTailList(&list, &irp->Tail.Overlay.ListEntry); }
static void NTAPI csq_remove(IO_CSQ *q, IRP *irp) { RemoveEntryList(&irp->Tail.Overlay.ListEntry); }
static IRP *NTAPI csq_peek(IO_CSQ *q, IRP *irp, PVOID c)
{
    LIST_ENTRY *e = irp ? irp->Tail.Overlay.ListEntry.Flink : list.Flink;
    return e == &list ? NULL : CONTAINING_RECORD(e, IRP, Tail.Overlay.ListEntry);
}
static void NTAPI csq_lock(IO_CSQ *q, KIRQL *old) { KeAcquireSpinLock(&list_lock, old); }
static void NTAPI csq_unlock(IO_CSQ *q, KIRQL old) { KeReleaseSpinLock(&list_lock, old); }
static void NTAPI csq_cancelled(IO_CSQ *q, IRP *irp) { finish(irp, STATUS_CANCELLED); }
static NTSTATUS queues(IRP *irp) { IoCsqInsertIrp(&csq, irp, NULL); KeSetEvent(&done, 0, FALSE); return STATUS_PENDING; }
int virtue_irp_csq(void)
{
    parcel one, two; IRP *irp;
    begin();
    InitializeListHead(&list);
    IoCsqInitialize(&csq, csq_insert, csq_remove, csq_peek, csq_lock, csq_unlock, csq_cancelled);
    victim_does = queues;
    parcel_make(&one, victim, IRP_MJ_READ);
    parcel_start(&one, victim);
    await(5000);
    begin();
    parcel_make(&two, victim, IRP_MJ_READ);
    parcel_start(&two, victim);
    await(5000);
    IoCancelIrp(one.irp);
    MUST(parcel_wait(&one) == STATUS_CANCELLED);
    irp = IoCsqRemoveNextIrp(&csq, NULL);
    MUST(irp == two.irp);
    finish(irp, STATUS_SUCCESS);
    MUST(parcel_wait(&two) == STATUS_SUCCESS);
    MUST(!IoCsqRemoveNextIrp(&csq, NULL));
    parcel_free(&one);
    parcel_free(&two);
    return 0;
}

/* ---- routines that are called back ---- */
static void NTAPI dpc_routine(KDPC *d, PVOID c, PVOID a, PVOID b)
{
    seen = KeGetCurrentIrql();
    InterlockedIncrement(&ran);
    KeSetEvent(&done, 0, FALSE);
}
int virtue_dpc(void)
{
    static KDPC d;
    KIRQL old;
    begin();
    KeInitializeDpc(&d, dpc_routine, NULL);
    KeSetImportanceDpc(&d, HighImportance);
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    MUST(KeInsertQueueDpc(&d, NULL, NULL));
    KeLowerIrql(old);
    MUST(await(5000) == STATUS_SUCCESS && seen == DISPATCH_LEVEL);
    KeFlushQueuedDpcs();
    MUST(ran == 1 && !KeRemoveQueueDpc(&d));
    for (int i = 0; i < 100; i++) KeInsertQueueDpc(&d, NULL, NULL);
    KeFlushQueuedDpcs();
    return 0;
}
int virtue_timer(void)
{
    static KTIMER t; static KDPC d; LARGE_INTEGER due;
    begin();
    KeInitializeDpc(&d, dpc_routine, NULL);
    KeInitializeTimer(&t);
    due.QuadPart = -200000;
    MUST(!KeSetTimer(&t, due, &d));
    MUST(await(5000) == STATUS_SUCCESS && seen == DISPATCH_LEVEL);
    MUST(!KeCancelTimer(&t));
    KeSetTimerEx(&t, due, 10, &d);
    pause(200);
    MUST(KeCancelTimer(&t));
    KeFlushQueuedDpcs();
    MUST(ran > 3);
    due.QuadPart = -36000000000ll;
    KeSetTimer(&t, due, &d);
    MUST(KeCancelTimer(&t));
    due.QuadPart = -100000;
    KeSetTimer(&t, due, NULL);
    MUST(KeWaitForSingleObject(&t, Executive, KernelMode, FALSE, NULL) == STATUS_SUCCESS);
    KeCancelTimer(&t);
    return 0;
}
static void NTAPI work_ex(PVOID object, PVOID c, PIO_WORKITEM w)
{
    IoFreeWorkItem(w);
    seen = KeGetCurrentIrql();
    KeSetEvent(&done, 0, FALSE);
}
int virtue_work(void)
{
    begin();
    seen = 9;
    IoQueueWorkItemEx(IoAllocateWorkItem(control_device), work_ex, DelayedWorkQueue, NULL);
    MUST(await(5000) == STATUS_SUCCESS && seen == PASSIVE_LEVEL);
    return 0;
}
static void NTAPI body(PVOID c) { InterlockedIncrement(&ran); PsTerminateSystemThread(STATUS_SUCCESS); }
static void NTAPI body_returns(PVOID c) { InterlockedIncrement(&ran); }
int virtue_thread(void)
{
    HANDLE h; PVOID o;
    begin();
    for (int i = 0; i < 2; i++) {
        MUST(NT_SUCCESS(PsCreateSystemThread(&h, THREAD_ALL_ACCESS, NULL, NULL, NULL, i ? body : body_returns, NULL)));
        MUST(NT_SUCCESS(ObReferenceObjectByHandle(h, THREAD_ALL_ACCESS, NULL, KernelMode, &o, NULL)));
        ZwClose(h);
        KeWaitForSingleObject(o, Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(o);
    }
    MUST(ran == 2);
    return 0;
}

/* ---- removal ---- */
static IO_REMOVE_LOCK rl;
static EX_RUNDOWN_REF rd;
static void NTAPI releases(DEVICE_OBJECT *d, PVOID w)
{
    pause(50);
    InterlockedIncrement(&ran);
    IoFreeWorkItem(w);
    IoReleaseRemoveLock(&rl, &ran);
    ExReleaseRundownProtection(&rd);
}
static int removal(BOOLEAN rundown)
{
    PIO_WORKITEM w = IoAllocateWorkItem(control_device);
    begin();
    IoInitializeRemoveLock(&rl, TAG, 0, 0);
    ExInitializeRundownProtection(&rd);
    MUST(NT_SUCCESS(IoAcquireRemoveLock(&rl, &rl)) && NT_SUCCESS(IoAcquireRemoveLock(&rl, &ran)));
    MUST(ExAcquireRundownProtection(&rd));
    IoQueueWorkItem(w, releases, DelayedWorkQueue, w);
    if (rundown) { ExWaitForRundownProtectionRelease(&rd); MUST(ran == 1 && !ExAcquireRundownProtection(&rd)); }
    IoReleaseRemoveLockAndWait(&rl, &rl);
    MUST(ran == 1 && IoAcquireRemoveLock(&rl, &rl) == STATUS_DELETE_PENDING);
    ExWaitForRundownProtectionRelease(&rd);
    return 0;
}
int virtue_removelock(void) { return removal(FALSE); }
int virtue_rundown(void) { return removal(TRUE); }

/* ---- the control device's security, and the machine ---- */
int virtue_security(void)
{
    SID system = { SID_REVISION, 1, { { 0, 0, 0, 0, 0, 5 } }, { 18 } };
    UCHAR acl[64], back[64];
    SECURITY_DESCRIPTOR sd;
    HANDLE h;
    MUST(NT_SUCCESS(RtlCreateSecurityDescriptor(&sd, SECURITY_DESCRIPTOR_REVISION)));
    MUST(NT_SUCCESS(RtlCreateAcl((ACL *)acl, sizeof acl, ACL_REVISION)));
    MUST(NT_SUCCESS(RtlAddAccessAllowedAce((ACL *)acl, ACL_REVISION, GENERIC_ALL, &system)));
    MUST(NT_SUCCESS(RtlSetDaclSecurityDescriptor(&sd, TRUE, (ACL *)acl, FALSE)));
    MUST(NT_SUCCESS(ObOpenObjectByPointer(control_device, OBJ_KERNEL_HANDLE, NULL, WRITE_DAC, NULL, KernelMode, &h)));
    MUST(NT_SUCCESS(ZwSetSecurityObject(h, DACL_SECURITY_INFORMATION, &sd)));
    ZwClose(h);
    MUST(verifier_device_dacl(control_device, back, sizeof back) == sizeof acl);
    MUST(RtlCompareMemory(acl, back, sizeof acl) == sizeof acl);
    return 0;
}
int virtue_machine(void)
{
    LARGE_INTEGER t, f; XSTATE_SAVE save; RTL_OSVERSIONINFOW v = { .dwOSVersionInfoSize = sizeof v };
    UNICODE_STRING ours = RTL_CONSTANT_STRING(L"ExAllocatePool2"), wines = RTL_CONSTANT_STRING(L"ZwCreateFile"), none = RTL_CONSTANT_STRING(L"NoSuchRoutine"),
                   stub = RTL_CONSTANT_STRING(L"IoRaiseHardError"); /* Wine only names it */
    KeQuerySystemTimePrecise(&t);
    MUST(t.QuadPart > 130000000000000000ll);
    KeQueryPerformanceCounter(&f);
    MUST(f.QuadPart > 0);
    MUST(IoGetRemainingStackSize() > 0);
    MUST(NT_SUCCESS(KeSaveExtendedProcessorState(4, &save)));
    KeRestoreExtendedProcessorState(&save);
    MUST(NT_SUCCESS(RtlGetVersion(&v)) && v.dwMajorVersion >= 6);
    MUST(MmGetSystemRoutineAddress(&ours) && MmGetSystemRoutineAddress(&wines) && !MmGetSystemRoutineAddress(&none) && !MmGetSystemRoutineAddress(&stub));
    return 0;
}

/* ---- all of it at once, on four threads ---- */
static KSPIN_LOCK outer, inner;
static LONG shared_count;
static void NTAPI counts(KDPC *d, PVOID c, PVOID a, PVOID b)
{
    KeAcquireSpinLockAtDpcLevel(&inner);
    shared_count++;
    KeReleaseSpinLockFromDpcLevel(&inner);
}
static void NTAPI labours(PVOID c)
{
    KDPC *d = ExAllocatePoolWithTag(NonPagedPool, sizeof *d, TAG);
    KeInitializeDpc(d, counts, NULL);
    for (int i = 0; i < 500; i++) {
        KIRQL old;
        parcel p;
        PVOID block = ExAllocatePoolWithTag(NonPagedPool, 1 + i * 37 % 20000, TAG);
        PMDL m = IoAllocateMdl(block, 1, FALSE, FALSE, NULL);
        MmBuildMdlForNonPagedPool(m);
        KeAcquireSpinLock(&outer, &old);
        KeAcquireSpinLockAtDpcLevel(&inner);
        shared_count++;
        KeReleaseSpinLockFromDpcLevel(&inner);
        KeReleaseSpinLock(&outer, old);
        KeInsertQueueDpc(d, NULL, NULL);
        parcel_make(&p, victim, IRP_MJ_READ);
        p.irp->MdlAddress = m;
        if (parcel_send(&p, victim) == STATUS_SUCCESS) InterlockedIncrement(&ran);
        parcel_free(&p);
        IoFreeMdl(m);
        ExFreePoolWithTag(block, TAG);
    }
    KeFlushQueuedDpcs();
    ExFreePoolWithTag(d, TAG);
}
int virtue_stress(void)
{
    HANDLE h[4];
    begin();
    victim_does = copies;
    for (int i = 0; i < 4; i++) MUST(NT_SUCCESS(PsCreateSystemThread(&h[i], THREAD_ALL_ACCESS, NULL, NULL, NULL, labours, NULL)));
    for (int i = 0; i < 4; i++) { ZwWaitForSingleObject(h[i], FALSE, NULL); ZwClose(h[i]); }
    MUST(ran == 4 * 500);
    return 0;
}
