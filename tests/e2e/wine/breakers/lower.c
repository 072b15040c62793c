/* A well-behaved driver to sit below: IRP_MJ_READ is completed at once,
 * IRP_MJ_WRITE kept pending until IRP_MJ_FLUSH_BUFFERS (IRP_MJ_SHUTDOWN makes it
 * forget the IRP). Its one vice is what it leaves behind at unload, if asked. */
#include "driver.h"

#ifndef LOWER
#define LOWER L"Lower" /* leaker.sys is the same under another name */
#endif

typedef struct extension { PIO_COMPLETION_ROUTINE routine; } extension;
static IRP *kept;
static ULONG leak;
static LONG entered; /* zero in a fresh image */
static PVOID scratch;
static UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\" LOWER), link = RTL_CONSTANT_STRING(L"\\DosDevices\\" LOWER);
static UNICODE_STRING left = RTL_CONSTANT_STRING(L"\\DosDevices\\" LOWER L"Left");

static NTSTATUS NTAPI keep(DEVICE_OBJECT *d, IRP *irp, PVOID c) { return STATUS_MORE_PROCESSING_REQUIRED; }
NTSTATUS finish(IRP *irp, NTSTATUS st)
{
    irp->IoStatus.Status = st;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return st;
}

static void NTAPI sleeper(PVOID event) { KeWaitForSingleObject(event, Executive, KernelMode, FALSE, NULL); }

#define POOL_TAG 'tfeL'
static void leak_nothing(DRIVER_OBJECT *d) { }
static void leak_pool(DRIVER_OBJECT *d) { ExAllocatePoolWithTag(NonPagedPool, 100, POOL_TAG); }
static void leak_irp(DRIVER_OBJECT *d) { IoAllocateIrp(2, FALSE); }
static void leak_mdl(DRIVER_OBJECT *d) { static char buffer[64]; IoAllocateMdl(buffer, sizeof buffer, FALSE, FALSE, NULL); }
static void leak_workitem(DRIVER_OBJECT *d) { IoAllocateWorkItem(d->DeviceObject); }
static void leak_timer(DRIVER_OBJECT *d)
{
    static KTIMER t; static KDPC dpc; LARGE_INTEGER due;
    due.QuadPart = -36000000000ll; /* one hour */
    KeInitializeDpc(&dpc, (PKDEFERRED_ROUTINE)sleeper, NULL);
    KeInitializeTimer(&t);
    KeSetTimer(&t, due, &dpc);
}
static void leak_device(DRIVER_OBJECT *d) { DEVICE_OBJECT *x; IoCreateDevice(d, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &x); }
static void leak_symlink(DRIVER_OBJECT *d) { IoCreateSymbolicLink(&left, &name); }
static void leak_thread(DRIVER_OBJECT *d)
{
    static KEVENT never; HANDLE h;
    KeInitializeEvent(&never, NotificationEvent, FALSE);
    PsCreateSystemThread(&h, THREAD_ALL_ACCESS, NULL, NULL, NULL, sleeper, &never);
    ZwClose(h);
}
static void leak_removelock(DRIVER_OBJECT *d)
{
    static IO_REMOVE_LOCK l;
    IoInitializeRemoveLock(&l, TAG, 0, 0);
    (void)IoAcquireRemoveLock(&l, d);
}
static void leak_lookaside(DRIVER_OBJECT *d) { static NPAGED_LOOKASIDE_LIST l; ExInitializeNPagedLookasideList(&l, NULL, NULL, 0, 64, TAG, 0); }
static void leak_shutdown(DRIVER_OBJECT *d) { IoRegisterShutdownNotification(d->DeviceObject); }
static void leak_kept_irp(DRIVER_OBJECT *d)
{
    IRP *irp = IoAllocateIrp(d->DeviceObject->StackSize, FALSE);
    IoGetNextIrpStackLocation(irp)->MajorFunction = IRP_MJ_WRITE;
    IoSetCompletionRoutine(irp, keep, NULL, TRUE, TRUE, TRUE);
    IoCallDriver(d->DeviceObject, irp);
}
static void (*const leaks[])(DRIVER_OBJECT *) = {
#define LEAK(name, rule, also) leak_##name,
#include "leaks.h"
};

static NTSTATUS NTAPI dispatch(DEVICE_OBJECT *d, IRP *irp)
{
    IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);
    IRP *was = kept;
    switch (s->MajorFunction) {
    case IRP_MJ_WRITE:
        IoMarkIrpPending(irp);
        kept = irp;
        return STATUS_PENDING;
    case IRP_MJ_FLUSH_BUFFERS:
        kept = NULL;
        if (was) finish(was, STATUS_SUCCESS);
        break;
    case IRP_MJ_SHUTDOWN:
        kept = NULL;
        break;
    case IRP_MJ_DEVICE_CONTROL:
        leak = *(ULONG *)irp->AssociatedIrp.SystemBuffer;
        break;
    }
    irp->IoStatus.Information = 0;
    return finish(irp, STATUS_SUCCESS);
}

static void NTAPI unload(DRIVER_OBJECT *driver)
{
    DEVICE_OBJECT *device = driver->DeviceObject;
    leaks[leak](driver);
    ExFreePoolWithTag(scratch, TAG);
    IoDeleteSymbolicLink(&link);
    IoDeleteDevice(device);
}

NTSTATUS NTAPI DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *path)
{
    DEVICE_OBJECT *d;
    NTSTATUS st;
    if (entered++) return STATUS_ALREADY_REGISTERED;
    scratch = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);
    if (!scratch) return STATUS_INSUFFICIENT_RESOURCES;
    st = IoCreateDevice(driver, sizeof(extension), &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &d);
    if (!NT_SUCCESS(st)) return st;
    IoCreateSymbolicLink(&link, &name);
    ((extension *)d->DeviceExtension)->routine = keep;
    for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) if (i != IRP_MJ_SYSTEM_CONTROL) driver->MajorFunction[i] = dispatch;
    driver->DriverUnload = unload;
    d->Flags |= DO_BUFFERED_IO;
    return STATUS_SUCCESS;
}
