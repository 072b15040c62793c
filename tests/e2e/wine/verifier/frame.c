/* Dispatch calls. One record stands for one call of a driver's dispatch routine
 * on one stack location. What the routine returned and how its stack location
 * was completed become known in either order, on any thread; when both are
 * known they must agree. */
#include "kernel.h"

struct frame {
    frame *next;
    driver *driver;
    void *routine;
    UCHAR major;
    BOOLEAN returned, completed, marked, forced;
    NTSTATUS status, final;
};

/* Both halves are known: returned STATUS_PENDING <=> marked pending, and any
 * other status is the one the IRP was completed with. */
static void judge(frame *f)
{
    if (f->forced) return; /* the verifier itself made this one pend */
    if (f->status == STATUS_PENDING && !f->marked)
        violation("irp.pending-not-marked", f->routine, "dispatch routine (IRP_MJ 0x%x) returned STATUS_PENDING without IoMarkIrpPending", f->major);
    else if (f->status != STATUS_PENDING && f->marked)
        violation("irp.marked-not-pending", f->routine, "dispatch routine (IRP_MJ 0x%x) returned 0x%lx for an IRP marked pending", f->major, (long)f->status);
    else if (f->status != STATUS_PENDING && f->status != f->final)
        violation("irp.status-differs", f->routine, "dispatch routine (IRP_MJ 0x%x) returned 0x%lx, IRP completed with 0x%lx", f->major, (long)f->status, (long)f->final);
}

static frame *enter(IRP *irp, driver *d, void *routine, BOOLEAN forced)
{
    frame *f = heap_alloc(sizeof *f);
    IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);
    irp_info *info;
    f->driver = d; f->routine = routine; f->major = s->MajorFunction; f->forced = forced;
    InterlockedIncrement(&counted.irps);
    lock_all();
    info = irp_sent(irp, irp->CurrentLocation + 1);
    if (irp->CurrentLocation > 0) {
        f->next = info->frames[(int)irp->CurrentLocation];
        info->frames[(int)irp->CurrentLocation] = f;
    }
    unlock_all();
    return f;
}

/* Returns TRUE if the routine gave up an IRP that nobody has completed. */
static BOOLEAN leave(frame *f, NTSTATUS status)
{
    BOOLEAN done;
    lock_all();
    f->status = status;
    f->returned = TRUE;
    done = f->completed;
    if (!done && status != STATUS_PENDING) f->forced = TRUE; /* one report is enough */
    unlock_all();
    if (done) { judge(f); heap_free(f); }
    return !done && status != STATUS_PENDING;
}

/* A stack location was completed: tell the calls that went with it. */
void irp_unwind(IRP *irp, ULONG location, BOOLEAN marked, NTSTATUS final)
{
    irp_info *info;
    frame *f = NULL, *next, *ready = NULL;
    lock_all();
    info = irp_find(irp);
    if (info && location < 128) { f = info->frames[location]; info->frames[location] = NULL; }
    for (; f; f = next) {
        next = f->next;
        f->completed = TRUE; f->marked = marked; f->final = final;
        if (f->returned) { f->next = ready; ready = f; }
    }
    unlock_all();
    for (f = ready; f; f = next) { next = f->next; judge(f); heap_free(f); }
}

/* The IRP's record goes while calls are on their way: they end by themselves. */
void frames_drop(irp_info *info)
{
    for (int i = 0; i < 128; i++)
        for (frame *f = info->frames[i], *next; f; f = next) {
            next = f->next;
            f->completed = TRUE;
            f->forced = TRUE; /* nothing left to judge */
            if (f->returned) heap_free(f);
            info->frames[i] = next;
        }
}

static BOOLEAN held_by(object *o, void *d)
{
    irp_info *info = o->u.ptr;
    for (int i = 0; i < 128; i++)
        for (frame *f = info->frames[i]; f; f = f->next)
            if (f->driver == d && f->returned) return TRUE;
    return FALSE;
}

/* A driver unloads: no IRP may be at, or below, one of its stack locations. */
void frames_check_unload(driver *d, void *where)
{
    BOOLEAN held;
    lock_all();
    held = object_any(IRP_, held_by, d);
    unlock_all();
    if (held) violation("irp.kept-at-unload", where, "the driver unloads while an IRP that it was sent is not completed");
}

/* The driver whose dispatch routine is called; irp's current location is its. */
static NTSTATUS dispatch(DEVICE_OBJECT *device, IRP *irp, BOOLEAN forced)
{
    driver *d = driver_of_device(device);
    UCHAR major = IoGetCurrentIrpStackLocation(irp)->MajorFunction;
    DRIVER_DISPATCH *routine = d ? d->dispatch[major] : device->DriverObject->MajorFunction[major];
    frame *f = enter(irp, d, routine, forced);
    callout c = callout_enter(self()->irql, routine);
    NTSTATUS st = routine(device, irp);
    callout_leave(&c, "dispatch routine");
    if (leave(f, st) && d)
        violation("irp.lost", routine, "dispatch routine (IRP_MJ 0x%x) returned 0x%lx and left IRP %p neither completed nor pending", major, (long)st, irp);
    return st;
}

NTSTATUS irp_call(DEVICE_OBJECT *device, IRP *irp, BOOLEAN forced)
{
    DRIVER_DISPATCH *routine = device->DriverObject->MajorFunction[IoGetCurrentIrpStackLocation(irp)->MajorFunction];
    if (forced && routine == irp_dispatch) return dispatch(device, irp, TRUE);
    return routine(device, irp);
}

/* Stands in the driver object's table: whoever sends the IRP, Wine included,
 * comes through here. */
NTSTATUS NTAPI irp_dispatch(DEVICE_OBJECT *device, IRP *irp) { return dispatch(device, irp, FALSE); }
