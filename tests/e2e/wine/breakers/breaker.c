/* breaker.sys: breaks one rule at a time on request (sins_*.c), or shows right
 * conduct (virtues.c). A control device takes the orders; a filter device on
 * top of lower.sys is there to be sent IRPs. */
#include "driver.h"

NTSTATUS NTAPI ObReferenceObjectByName(UNICODE_STRING *, ULONG, PACCESS_STATE, ACCESS_MASK, POBJECT_TYPE, KPROCESSOR_MODE, PVOID, PVOID *);
__declspec(dllimport) extern POBJECT_TYPE IoDriverObjectType;

DRIVER_OBJECT *us;
DEVICE_OBJECT *control_device, *victim, *lower;
NTSTATUS (*victim_does)(IRP *irp);
PIO_COMPLETION_ROUTINE lowers_routine;
BOOLEAN leave_initializing;
static UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\Breaker"), link = RTL_CONSTANT_STRING(L"\\DosDevices\\Breaker");

#define SIN(name, rule, also) void sin_##name(void);
#include "sins.h"
#undef SIN
#define VIRTUE(name) int virtue_##name(void);
#include "virtues.h"
#undef VIRTUE
static void (*const sins[])(void) = {
#define SIN(name, rule, also) sin_##name,
#include "sins.h"
};
static int (*const virtues[])(void) = {
#define VIRTUE(name) virtue_##name,
#include "virtues.h"
};

NTSTATUS finish(IRP *irp, NTSTATUS st)
{
    irp->IoStatus.Status = st;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return st;
}
NTSTATUS pass(IRP *irp)
{
    IoSkipCurrentIrpStackLocation(irp);
    return IoCallDriver(lower, irp);
}

static NTSTATUS NTAPI arrived(DEVICE_OBJECT *d, IRP *irp, PVOID p)
{
    KeSetEvent(&((parcel *)p)->done, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}
void parcel_make(parcel *p, DEVICE_OBJECT *device, UCHAR major)
{
    KeInitializeEvent(&p->done, NotificationEvent, FALSE);
    p->irp = IoAllocateIrp(device->StackSize, FALSE);
    IoGetNextIrpStackLocation(p->irp)->MajorFunction = major;
    IoSetCompletionRoutine(p->irp, arrived, p, TRUE, TRUE, TRUE);
}
NTSTATUS parcel_start(parcel *p, DEVICE_OBJECT *device) { return IoCallDriver(device, p->irp); }
NTSTATUS parcel_wait(parcel *p)
{
    KeWaitForSingleObject(&p->done, Executive, KernelMode, FALSE, NULL);
    return p->irp->IoStatus.Status;
}
NTSTATUS parcel_send(parcel *p, DEVICE_OBJECT *device) { parcel_start(p, device); return parcel_wait(p); }
void parcel_free(parcel *p) { IoFreeIrp(p->irp); }

static void tell_lower(UCHAR major)
{
    parcel p;
    parcel_make(&p, lower, major);
    parcel_send(&p, lower);
    parcel_free(&p);
}
void lower_complete(void) { tell_lower(IRP_MJ_FLUSH_BUFFERS); }
void lower_forget(void) { tell_lower(IRP_MJ_SHUTDOWN); }
void pause(LONG ms)
{
    LARGE_INTEGER t;
    t.QuadPart = -10000ll * ms;
    KeDelayExecutionThread(KernelMode, FALSE, &t);
}

/* The four kinds of allocation, each tried once; returns how many failed. */
static ULONG allocate(void)
{
    static char buffer[64];
    PVOID p = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);
    IRP *irp = IoAllocateIrp(1, FALSE);
    PMDL mdl = IoAllocateMdl(buffer, sizeof buffer, FALSE, FALSE, NULL);
    PIO_WORKITEM w = IoAllocateWorkItem(control_device);
    ULONG failed = !p + !irp + !mdl + !w;
    if (p) ExFreePoolWithTag(p, TAG);
    if (irp) IoFreeIrp(irp);
    if (mdl) IoFreeMdl(mdl);
    if (w) IoFreeWorkItem(w);
    return failed;
}

/* Wine gives each service a process of its own, but a driver that another one
 * loads lives in the loader's: so we load those that have to meet us. */
static UNICODE_STRING lower_key = RTL_CONSTANT_STRING(L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\lower"),
                      leaker_key = RTL_CONSTANT_STRING(L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\leaker");

static ULONG order(ULONG code, PVOID b, ULONG out)
{
    switch (code) {
    case BREAKER_SIN: sins[*(ULONG *)b](); return 0;
    case BREAKER_VIRTUE: *(ULONG *)b = (ULONG)virtues[*(ULONG *)b](); return sizeof(ULONG);
    case BREAKER_REPORT: { ULONG n = verifier_report(b, out); return n < out ? n : out; }
    case BREAKER_RESET: verifier_reset(); return 0;
    case BREAKER_CONFIGURE: verifier_configure(b); return 0;
    case BREAKER_COUNTERS:
        ((verifier_counters *)b)->size = sizeof(verifier_counters);
        verifier_read_counters(b);
        return sizeof(verifier_counters);
    case BREAKER_ALLOCATE: *(ULONG *)b = allocate(); return sizeof(ULONG);
    case BREAKER_LOAD: *(NTSTATUS *)b = ZwLoadDriver(&leaker_key); return sizeof(NTSTATUS);
    case BREAKER_UNLOAD: *(NTSTATUS *)b = ZwUnloadDriver(&leaker_key); return sizeof(NTSTATUS);
    case BREAKER_CRASH: *(volatile int *)0x10 = 1; return 0;
    case BREAKER_MISSING: IoRaiseHardError(NULL, NULL, NULL); return 0;
    case BREAKER_BUGCHECK: KeBugCheckEx(0xdead, 1, 2, 3, 4); return 0;
    }
    return 0;
}

static NTSTATUS NTAPI dispatch(DEVICE_OBJECT *d, IRP *irp)
{
    IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);
    if (d == victim) return victim_does(irp);
    irp->IoStatus.Information = 0;
    if (s->MajorFunction == IRP_MJ_DEVICE_CONTROL)
        irp->IoStatus.Information = order(s->Parameters.DeviceIoControl.IoControlCode, irp->AssociatedIrp.SystemBuffer,
                                          s->Parameters.DeviceIoControl.OutputBufferLength);
    return finish(irp, STATUS_SUCCESS);
}

static NTSTATUS NTAPI add_device(DRIVER_OBJECT *driver, DEVICE_OBJECT *pdo)
{
    DEVICE_OBJECT *d;
    NTSTATUS st = IoCreateDevice(driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &d);
    if (!NT_SUCCESS(st)) return st;
    if (!leave_initializing) d->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static void NTAPI unload(DRIVER_OBJECT *driver)
{
    IoDetachDevice(lower);
    IoDeleteDevice(victim);
    IoDeleteSymbolicLink(&link);
    IoDeleteDevice(control_device);
    ZwUnloadDriver(&lower_key);
}

NTSTATUS NTAPI DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *path)
{
    UNICODE_STRING below = RTL_CONSTANT_STRING(L"\\Driver\\lower");
    PVOID object;
    NTSTATUS st = ZwLoadDriver(&lower_key);
    if (!NT_SUCCESS(st)) return st;
    st = ObReferenceObjectByName(&below, OBJ_CASE_INSENSITIVE, NULL, 0, IoDriverObjectType, KernelMode, NULL, &object);
    if (!NT_SUCCESS(st)) return st;
    us = driver;
    lower = ((DRIVER_OBJECT *)object)->DeviceObject;
    ObDereferenceObject(object);
    lowers_routine = *(PIO_COMPLETION_ROUTINE *)lower->DeviceExtension;
    st = IoCreateDevice(driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &control_device);
    if (!NT_SUCCESS(st)) return st;
    IoCreateSymbolicLink(&link, &name);
    st = IoCreateDevice(driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &victim);
    if (!NT_SUCCESS(st)) return st;
    IoAttachDeviceToDeviceStack(victim, lower);
    control_device->Flags |= DO_BUFFERED_IO;
    for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) driver->MajorFunction[i] = dispatch;
    driver->DriverExtension->AddDevice = add_device;
    driver->DriverUnload = unload;
    return STATUS_SUCCESS;
}
