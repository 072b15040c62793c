/* IRPs on their way down (IoCallDriver) and up (IoCompleteRequest). */
#include "kernel.h"

#define ON_ANY (SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL)

/* ---- down ---- */

/* The stack locations as the caller has prepared them. */
static void check_locations(IRP *irp, void *caller)
{
    IO_STACK_LOCATION *next = IoGetNextIrpStackLocation(irp), *now;
    driver *d = driver_at(caller);
    if (irp->CurrentLocation > 2) {
        IO_STACK_LOCATION *below = next - 1; /* still the next one before IoSkipCurrentIrpStackLocation */
        if ((below->Control & ON_ANY) && below->CompletionRoutine && driver_at(below->CompletionRoutine) == d)
            violation("irp.skip-with-routine", caller, "completion routine %p was set and the stack location then skipped", below->CompletionRoutine);
    }
    if (irp->CurrentLocation > irp->StackCount) return;
    now = IoGetCurrentIrpStackLocation(irp);
    if ((now->Control & ON_ANY) && now->CompletionRoutine && (next->Control & ON_ANY) &&
        now->CompletionRoutine == next->CompletionRoutine && now->Context == next->Context &&
        driver_at(now->CompletionRoutine) != d)
        violation("irp.copied-routine", caller, "the upper driver's completion routine %p was copied to the next stack location", now->CompletionRoutine);
}

static BOOLEAN forcible(IRP *irp, void *caller)
{
    UCHAR major = IoGetNextIrpStackLocation(irp)->MajorFunction;
    return options.force_pending && is_target(caller) && major != IRP_MJ_POWER && major != IRP_MJ_CREATE &&
           major != IRP_MJ_CLOSE && major != IRP_MJ_CLEANUP;
}

typedef struct forced { DEVICE_OBJECT *device; IRP *irp; } forced;
IMPORT int NTAPI TrySubmitThreadpoolCallback(void (NTAPI *)(PVOID, PVOID), PVOID, PVOID);
static void NTAPI call_later(PVOID instance, PVOID context)
{
    forced f = *(forced *)context;
    heap_free(context);
    irp_call(f.device, f.irp, TRUE);
}

static NTSTATUS call(DEVICE_OBJECT *device, IRP *irp, const char *function, void *caller)
{
    block *b = block_at(irp);
    driver *d = driver_at(caller);
    BOOLEAN later;
    irql_at_most(DISPATCH_LEVEL, function, caller);
    no_lock_held(function, caller);
    if (b && b->freed) { violation("irp.freed", caller, "%s with IRP %p, which is free", function, irp); return STATUS_INVALID_PARAMETER; }
    if (irp->Type != IO_TYPE_IRP) { violation("irp.not-an-irp", caller, "%s with %p, which is no IRP", function, irp); return STATUS_INVALID_PARAMETER; }
    if (irp->CurrentLocation <= 1) {
        violation("irp.stack-overflow", caller, "%s with IRP %p, which has no stack location left", function, irp);
        irp->IoStatus.Status = STATUS_INVALID_DEVICE_REQUEST;
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    if (d && irp->CancelRoutine) violation("irp.cancel-set", caller, "%s with IRP %p, whose cancel routine is still set", function, irp);
    check_locations(irp, caller);
    mdl_check_sent(irp, function, caller);
    later = forcible(irp, caller);
    lock_all();
    irp_sent(irp, irp->CurrentLocation);
    unlock_all();
    irp->CurrentLocation--;
    irp->Tail.Overlay.CurrentStackLocation--;
    IoGetCurrentIrpStackLocation(irp)->DeviceObject = device;
    if (later) {
        forced *f = heap_alloc(sizeof *f);
        f->device = device; f->irp = irp;
        IoMarkIrpPending(irp);
        InterlockedIncrement(&counted.forced_pending);
        TrySubmitThreadpoolCallback(call_later, f, NULL);
        return STATUS_PENDING;
    }
    return irp_call(device, irp, FALSE);
}

NTSTATUS EXPORT(IofCallDriver)(DEVICE_OBJECT *device, IRP *irp) { return call(device, irp, "IoCallDriver", CALLER); }
NTSTATUS EXPORT(IoCallDriver)(DEVICE_OBJECT *device, IRP *irp) { return call(device, irp, "IoCallDriver", CALLER); }
NTSTATUS EXPORT(PoCallDriver)(DEVICE_OBJECT *device, IRP *irp) { return call(device, irp, "PoCallDriver", CALLER); }

/* ---- up ---- */

static BOOLEAN wanted(IO_STACK_LOCATION *s, IRP *irp)
{
    if (!s->CompletionRoutine) return FALSE;
    if (irp->Cancel && (s->Control & SL_INVOKE_ON_CANCEL)) return TRUE;
    return (s->Control & (NT_SUCCESS(irp->IoStatus.Status) ? SL_INVOKE_ON_SUCCESS : SL_INVOKE_ON_ERROR)) != 0;
}

static NTSTATUS run_routine(PIO_COMPLETION_ROUTINE routine, DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
    thread *t = self();
    KIRQL irql = options.raise_completion && t->irql < DISPATCH_LEVEL && driver_at(routine) ? DISPATCH_LEVEL : t->irql;
    callout c = callout_enter(irql, routine);
    NTSTATUS st = routine(device, irp, context);
    callout_leave(&c, "completion routine");
    return st;
}

/* One stack location: FALSE if its completion routine keeps the IRP. */
static BOOLEAN climb(IRP *irp)
{
    IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);
    IO_STACK_LOCATION done = *s;
    ULONG location = irp->CurrentLocation;
    BOOLEAN marked = (s->Control & SL_PENDING_RETURNED) != 0, call = wanted(s, irp), top;
    DEVICE_OBJECT *device = NULL;
    irp_info *info;
    irp->PendingReturned = marked;
    irp->CurrentLocation++;
    irp->Tail.Overlay.CurrentStackLocation++;
    top = irp->CurrentLocation > irp->StackCount;
    if (!top) device = IoGetCurrentIrpStackLocation(irp)->DeviceObject;
    irp_unwind(irp, location, marked, irp->IoStatus.Status);
    s->Control = 0;
    s->CompletionRoutine = NULL;
    s->Context = NULL;
    lock_all();
    info = irp_find(irp);
    if (info) { info->last = server_of_device(done.DeviceObject); if (location + 1 >= (ULONG)info->home) info->in_flight = FALSE; }
    unlock_all();
    /* Wine's own routine at the top may free the IRP without our knowledge */
    if (top && call && !driver_at(done.CompletionRoutine)) irp_forget(irp);
    if (!call) {
        if (marked && !top) IoMarkIrpPending(irp);
        return TRUE;
    }
    return run_routine(done.CompletionRoutine, device, irp, done.Context) != STATUS_MORE_PROCESSING_REQUIRED;
}

/* May this driver complete the IRP? FALSE: no, and it must not be touched. */
static BOOLEAN may_complete(IRP *irp, void *caller)
{
    driver *d = driver_at(caller), *holder, *last;
    irp_info *info;
    block *b = block_at(irp);
    if (b && b->freed) { violation("irp.double-complete", caller, "IoCompleteRequest of IRP %p, which is free", irp); return FALSE; }
    lock_all();
    info = irp_find(irp);
    last = info ? info->last : NULL;
    unlock_all();
    if (irp->CurrentLocation > irp->StackCount) {
        if (!d) return TRUE;
        violation("irp.double-complete", caller, "IoCompleteRequest of IRP %p, whose stack locations are all completed", irp);
        return FALSE;
    }
    if (!info && d && irp_recent(irp)) {
        violation("irp.double-complete", caller, "IoCompleteRequest of IRP %p, which was completed before", irp);
        return FALSE;
    }
    holder = server_of_device(IoGetCurrentIrpStackLocation(irp)->DeviceObject);
    if (!d || holder == d) return TRUE;
    if (last == d) violation("irp.double-complete", caller, "IoCompleteRequest of IRP %p, which this driver completed before", irp);
    else violation("irp.not-owner", caller, "IoCompleteRequest of IRP %p, which is with %s", irp, holder ? holder->name : "another driver");
    return FALSE;
}

static void complete(IRP *irp, void *caller)
{
    irql_at_most(DISPATCH_LEVEL, "IoCompleteRequest", caller);
    no_lock_held("IoCompleteRequest", caller);
    if (!may_complete(irp, caller)) return;
    if (irp->IoStatus.Status == STATUS_PENDING) violation("irp.status-pending", caller, "IRP %p completed with STATUS_PENDING", irp);
    if (irp->IoStatus.Status == -1) violation("irp.status-invalid", caller, "IRP %p completed with status -1", irp);
    if (irp->CancelRoutine) violation("irp.cancel-set", caller, "IRP %p completed with its cancel routine set", irp);
    while (irp->CurrentLocation <= irp->StackCount)
        if (!climb(irp)) return;
    irp_finish(irp);
}

void EXPORT(IofCompleteRequest)(IRP *irp, CCHAR boost) { complete(irp, CALLER); }
void EXPORT(IoCompleteRequest)(IRP *irp, CCHAR boost) { complete(irp, CALLER); }

/* Wine's own default would complete the IRP behind our back. */
NTSTATUS NTAPI irp_unhandled(DEVICE_OBJECT *device, IRP *irp)
{
    irp->IoStatus.Status = STATUS_INVALID_DEVICE_REQUEST;
    irp->IoStatus.Information = 0;
    complete(irp, NULL);
    return STATUS_INVALID_DEVICE_REQUEST;
}

/* ---- aside ---- */

BOOLEAN EXPORT(IoCancelIrp)(IRP *irp)
{
    KIRQL old = self()->irql, wines;
    PDRIVER_CANCEL routine;
    irql_at_most(DISPATCH_LEVEL, "IoCancelIrp", CALLER);
    x_IoAcquireCancelSpinLock(&wines);
    irp->Cancel = TRUE;
    routine = (PDRIVER_CANCEL)InterlockedExchangePointer((PVOID *)&irp->CancelRoutine, NULL);
    if (!routine) { x_IoReleaseCancelSpinLock(old); return FALSE; }
    irp->CancelIrql = old;
    routine(IoGetCurrentIrpStackLocation(irp)->DeviceObject, irp);
    if (cancel_lock_mine()) {
        violation("irp.cancel-lock", routine, "cancel routine returned without IoReleaseCancelSpinLock");
        x_IoReleaseCancelSpinLock(old);
    }
    if (self()->irql != old) {
        violation("irql.changed", routine, "cancel routine left IRQL %d, IoCancelIrp was called at %d", self()->irql, old);
        irql_lower(self(), old);
    }
    return TRUE;
}

typedef struct ex_context { PIO_COMPLETION_ROUTINE routine; PVOID context; } ex_context;
static NTSTATUS NTAPI ex_routine(DEVICE_OBJECT *device, IRP *irp, PVOID p)
{
    ex_context c = *(ex_context *)p;
    heap_free(p);
    return run_routine(c.routine, device, irp, c.context);
}
NTSTATUS EXPORT(IoSetCompletionRoutineEx)(DEVICE_OBJECT *device, IRP *irp, PIO_COMPLETION_ROUTINE routine, PVOID context, BOOLEAN success, BOOLEAN error, BOOLEAN cancel)
{
    ex_context *c = heap_alloc(sizeof *c);
    c->routine = routine; c->context = context;
    IoSetCompletionRoutine(irp, ex_routine, c, success, error, cancel);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI wake(DEVICE_OBJECT *device, IRP *irp, PVOID event)
{
    KeSetEvent(event, 0, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}
BOOLEAN EXPORT(IoForwardIrpSynchronously)(DEVICE_OBJECT *device, IRP *irp)
{
    KEVENT event;
    irql_at_most(PASSIVE_LEVEL, "IoForwardIrpSynchronously", CALLER);
    if (irp->CurrentLocation <= 1) return FALSE;
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, wake, &event, TRUE, TRUE, TRUE);
    if (call(device, irp, "IoForwardIrpSynchronously", CALLER) == STATUS_PENDING)
        KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
    return TRUE;
}

void EXPORT(PoStartNextPowerIrp)(IRP *irp) { irql_at_most(DISPATCH_LEVEL, "PoStartNextPowerIrp", CALLER); }
