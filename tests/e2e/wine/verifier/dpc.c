/* DPCs: run at DISPATCH_LEVEL on one of two threads, in the order of insertion,
 * or (option dpc_inline) on the inserting thread when its IRQL falls. */
#include "kernel.h"

#define DPC_THREADS 2

static SRWLOCK queue_lock = SRWLOCK_INIT;
static CONDITION_VARIABLE changed;
static LIST_ENTRY queue;
static LONG running;

static ULONG NTAPI dpc_thread(PVOID unused)
{
    for (;;) {
        KDPC *dpc;
        AcquireSRWLockExclusive(&queue_lock);
        while (IsListEmpty(&queue)) SleepConditionVariableSRW(&changed, &queue_lock, INFINITE_MS, 0);
        dpc = CONTAINING_RECORD(RemoveHeadList(&queue), KDPC, DpcListEntry);
        running++;
        ReleaseSRWLockExclusive(&queue_lock);
        dpc_run(dpc);
        AcquireSRWLockExclusive(&queue_lock);
        running--;
        WakeAllConditionVariable(&changed);
        ReleaseSRWLockExclusive(&queue_lock);
    }
    return 0;
}

void dpc_start(void) { InitializeListHead(&queue); }

static void need_threads(void)
{
    static LONG started;
    if (InterlockedExchange(&started, 1)) return;
    for (int i = 0; i < DPC_THREADS; i++) CloseHandle(CreateThread(NULL, 0, dpc_thread, NULL, 0, NULL));
}

/* Calls the routine; the DPC object may be queued again, or be gone, from here on. */
void dpc_run(KDPC *dpc)
{
    PKDEFERRED_ROUTINE routine = dpc->DeferredRoutine;
    PVOID context = dpc->DeferredContext, a = dpc->SystemArgument1, b = dpc->SystemArgument2;
    callout c;
    object_remove(DPC, dpc, NULL);
    dpc->DpcData = NULL;
    c = callout_enter(DISPATCH_LEVEL, routine);
    routine(dpc, context, a, b);
    callout_leave(&c, "DPC routine");
}

BOOLEAN dpc_insert(KDPC *dpc, PVOID a, PVOID b, BOOLEAN may_inline, void *caller)
{
    if (!dpc->DeferredRoutine) { violation("dpc.uninitialised", caller, "DPC %p was not initialised", dpc); return FALSE; }
    if (InterlockedCompareExchangePointer((PVOID *)&dpc->DpcData, dpc, NULL)) return FALSE;
    dpc->SystemArgument1 = a;
    dpc->SystemArgument2 = b;
    object_add(DPC, dpc, caller, NULL);
    if (options.dpc_inline && may_inline) {
        thread *t = self();
        dpc->DpcListEntry.Flink = NULL;
        if (t->pending_first) t->pending_last->DpcListEntry.Flink = (LIST_ENTRY *)dpc; else t->pending_first = dpc;
        t->pending_last = dpc;
        irql_lower(t, t->irql);
        return TRUE;
    }
    need_threads();
    AcquireSRWLockExclusive(&queue_lock);
    if (dpc->Importance == HighImportance) InsertHeadList(&queue, &dpc->DpcListEntry);
    else InsertTailList(&queue, &dpc->DpcListEntry);
    WakeAllConditionVariable(&changed);
    ReleaseSRWLockExclusive(&queue_lock);
    return TRUE;
}

void EXPORT(KeInitializeDpc)(KDPC *d, PKDEFERRED_ROUTINE f, PVOID context)
{
    if (object_remove(DPC, d, NULL)) violation("dpc.reinitialised", CALLER, "DPC %p is queued", d);
    RtlZeroMemory(d, sizeof *d);
    d->Type = 19; /* DpcObject */
    d->Importance = MediumImportance;
    d->DeferredRoutine = f;
    d->DeferredContext = context;
}
void EXPORT(KeInitializeThreadedDpc)(KDPC *d, PKDEFERRED_ROUTINE f, PVOID context) { x_KeInitializeDpc(d, f, context); }
BOOLEAN EXPORT(KeInsertQueueDpc)(KDPC *d, PVOID a, PVOID b) { return dpc_insert(d, a, b, TRUE, CALLER); }
void EXPORT(KeSetImportanceDpc)(KDPC *d, KDPC_IMPORTANCE i) { d->Importance = (UCHAR)i; }
void EXPORT(KeSetTargetProcessorDpc)(KDPC *d, CCHAR n) { }
NTSTATUS EXPORT(KeSetTargetProcessorDpcEx)(KDPC *d, PVOID n) { return STATUS_SUCCESS; }

BOOLEAN EXPORT(KeRemoveQueueDpc)(KDPC *d)
{
    BOOLEAN was = FALSE;
    LIST_ENTRY *e;
    AcquireSRWLockExclusive(&queue_lock);
    for (e = queue.Flink; e != &queue; e = e->Flink)
        if (e == &d->DpcListEntry) { RemoveEntryList(e); was = TRUE; break; }
    ReleaseSRWLockExclusive(&queue_lock);
    if (was) { object_remove(DPC, d, NULL); d->DpcData = NULL; }
    return was;
}

void EXPORT(KeFlushQueuedDpcs)(void)
{
    irql_at_most(PASSIVE_LEVEL, "KeFlushQueuedDpcs", CALLER);
    no_lock_held("KeFlushQueuedDpcs", CALLER);
    AcquireSRWLockExclusive(&queue_lock);
    while (!IsListEmpty(&queue) || running) SleepConditionVariableSRW(&changed, &queue_lock, 100, 0);
    ReleaseSRWLockExclusive(&queue_lock);
}
