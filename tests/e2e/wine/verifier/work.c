/* Work items and system threads: driver routines that run at PASSIVE_LEVEL on a
 * thread of their own. */
#include "kernel.h"

IMPORT int NTAPI TrySubmitThreadpoolCallback(void (NTAPI *)(PVOID, PVOID), PVOID, PVOID);

/* WDM hides the type, so it is ours. */
typedef struct item {
    PVOID object;
    PVOID routine, context;
    BOOLEAN extended;
    volatile LONG queued;
} item;

static PIO_WORKITEM item_make(item *w, PVOID object)
{
    RtlZeroMemory(w, sizeof *w);
    w->object = object;
    return (PIO_WORKITEM)w;
}

PIO_WORKITEM EXPORT(IoAllocateWorkItem)(DEVICE_OBJECT *device)
{
    item *w;
    irql_at_most(DISPATCH_LEVEL, "IoAllocateWorkItem", CALLER);
    if (inject_failure(VERIFIER_FAIL_WORKITEM, CALLER)) return NULL;
    if (!(w = block_alloc(sizeof *w, 'tIoI', FALSE, TRUE, CALLER))) return NULL;
    object_add(WORKITEM, w, CALLER, NULL);
    return item_make(w, device);
}

static BOOLEAN live(item *w)
{
    object *o;
    lock_all();
    o = object_find(WORKITEM, w);
    unlock_all();
    return o != NULL;
}

void EXPORT(IoFreeWorkItem)(PIO_WORKITEM p)
{
    item *w = (item *)p;
    irql_at_most(DISPATCH_LEVEL, "IoFreeWorkItem", CALLER);
    if (!live(w)) {
        violation("workitem.free-unknown", CALLER, "%p is no allocated work item", w);
        return;
    }
    if (w->queued) { violation("workitem.free-queued", CALLER, "work item %p is queued", w); return; }
    object_remove(WORKITEM, w, NULL);
    block_free(block_at(w), CALLER);
}

ULONG EXPORT(IoSizeofWorkItem)(void) { return sizeof(item); }
void EXPORT(IoInitializeWorkItem)(PVOID object, PIO_WORKITEM w) { item_make((item *)w, object); }
void EXPORT(IoUninitializeWorkItem)(PIO_WORKITEM p)
{
    if (((item *)p)->queued) violation("workitem.free-queued", CALLER, "work item %p is queued", p);
}

static void NTAPI run(PVOID instance, PVOID context)
{
    item *w = context;
    PVOID object = w->object, routine = w->routine, argument = w->context;
    BOOLEAN extended = w->extended;
    callout c;
    w->queued = 0; /* the routine may free it or queue it again */
    c = callout_enter(PASSIVE_LEVEL, routine);
    if (extended) ((PIO_WORKITEM_ROUTINE_EX)routine)(object, argument, (PIO_WORKITEM)w);
    else ((PIO_WORKITEM_ROUTINE)routine)(object, argument);
    callout_leave(&c, "work item routine");
    ObDereferenceObject(object);
}

static void enqueue(item *w, PVOID routine, PVOID context, BOOLEAN extended, void *caller)
{
    irql_at_most(DISPATCH_LEVEL, "IoQueueWorkItem", caller);
    if (InterlockedExchange(&w->queued, 1)) {
        violation("workitem.queued-twice", caller, "work item %p is queued already", w);
        return;
    }
    w->routine = routine; w->context = context; w->extended = extended;
    ObReferenceObject(w->object);
    TrySubmitThreadpoolCallback(run, w, NULL);
}

void EXPORT(IoQueueWorkItem)(PIO_WORKITEM w, PIO_WORKITEM_ROUTINE routine, WORK_QUEUE_TYPE type, PVOID context)
{ enqueue((item *)w, routine, context, FALSE, CALLER); }
void EXPORT(IoQueueWorkItemEx)(PIO_WORKITEM w, PIO_WORKITEM_ROUTINE_EX routine, WORK_QUEUE_TYPE type, PVOID context)
{ enqueue((item *)w, routine, context, TRUE, CALLER); }

static void NTAPI run_plain(PVOID instance, PVOID context)
{
    WORK_QUEUE_ITEM *w = context;
    PVOID routine = w->WorkerRoutine;
    callout c = callout_enter(PASSIVE_LEVEL, routine);
    w->WorkerRoutine(w->Parameter);
    callout_leave(&c, "worker routine");
}
void EXPORT(ExQueueWorkItem)(WORK_QUEUE_ITEM *w, WORK_QUEUE_TYPE type)
{
    irql_at_most(DISPATCH_LEVEL, "ExQueueWorkItem", CALLER);
    TrySubmitThreadpoolCallback(run_plain, w, NULL);
}

/* System threads */
typedef struct system_thread { PKSTART_ROUTINE routine; PVOID context; } system_thread;

static void NTAPI thread_start(PVOID p)
{
    system_thread *s = p;
    callout c;
    self()->system = s;
    c = callout_enter(PASSIVE_LEVEL, s->routine);
    s->routine(s->context);
    callout_leave(&c, "system thread");
    system_thread_gone(self());
    PsTerminateSystemThread(STATUS_SUCCESS);
}

void system_thread_gone(thread *t)
{
    system_thread *s = t->system;
    t->system = NULL;
    if (!s) return;
    object_remove(THREAD, s, NULL);
    heap_free(s);
}

NTSTATUS EXPORT(PsCreateSystemThread)(HANDLE *h, ULONG access, OBJECT_ATTRIBUTES *attributes, HANDLE process, CLIENT_ID *id, PKSTART_ROUTINE routine, PVOID context)
{
    system_thread *s = heap_alloc(sizeof *s);
    NTSTATUS st;
    irql_at_most(PASSIVE_LEVEL, "PsCreateSystemThread", CALLER);
    s->routine = routine; s->context = context;
    object_add(THREAD, s, CALLER, NULL);
    st = PsCreateSystemThread(h, access, attributes, process, id, thread_start, s);
    if (!NT_SUCCESS(st)) { object_remove(THREAD, s, NULL); heap_free(s); }
    return st;
}

NTSTATUS EXPORT(PsTerminateSystemThread)(NTSTATUS status)
{
    thread *t = self();
    irql_at_most(PASSIVE_LEVEL, "PsTerminateSystemThread", CALLER);
    if (t->held) violation("lock.kept", CALLER, "thread ends holding spin lock %p", t->locks[t->held - 1].lock);
    system_thread_gone(t);
    return PsTerminateSystemThread(status);
}
