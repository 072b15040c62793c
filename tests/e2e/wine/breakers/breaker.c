/* A driver that breaks one rule at a time, on request. */
#include <ntifs.h>
#include <ntddk.h>
#include "../verifier/verifier.h"
#include "breaker.h"

static void sin_irql_too_high(void)
{
    KSPIN_LOCK l = 0; KIRQL old; PVOID p;
    KeAcquireSpinLock(&l, &old);
    p = ExAllocatePoolWithTag(PagedPool, 64, 'sniS');
    KeReleaseSpinLock(&l, old);
    ExFreePoolWithTag(p, 'sniS');
}
static void sin_pool_double_free(void)
{
    PVOID p = ExAllocatePoolWithTag(NonPagedPool, 64, 'sniS');
    ExFreePoolWithTag(p, 'sniS'); ExFreePoolWithTag(p, 'sniS');
}
static void sin_pool_use_after_free(void)
{
    volatile char *p = ExAllocatePoolWithTag(NonPagedPool, 64, 'sniS');
    ExFreePoolWithTag((PVOID)p, 'sniS'); p[3] = 1;
}
static void sin_pool_overrun(void)
{
    volatile char *p = ExAllocatePoolWithTag(NonPagedPool, 64, 'sniS');
    p[64] = 1;
    ExFreePoolWithTag((PVOID)p, 'sniS');
}
static void (*const sins[])(void) = {
#define SIN(name, rule) sin_##name,
#include "sins.h"
};

static NTSTATUS NTAPI complete(DEVICE_OBJECT *d, IRP *irp)
{
    irp->IoStatus.Status = 0; irp->IoStatus.Information = 0;
    IoCompleteRequest(irp, 0);
    return 0;
}
static NTSTATUS NTAPI control(DEVICE_OBJECT *d, IRP *irp)
{
    IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);
    ULONG out = s->Parameters.DeviceIoControl.OutputBufferLength, n = 0;
    PVOID b = irp->AssociatedIrp.SystemBuffer;
    NTSTATUS st = STATUS_SUCCESS;
    switch (s->Parameters.DeviceIoControl.IoControlCode) {
    case BREAKER_SIN: sins[*(ULONG *)b](); break;
    case BREAKER_REPORT: n = verifier_report(b, out); if (n > out) n = out; break;
    case BREAKER_RESET: verifier_reset(); break;
    default: st = STATUS_INVALID_DEVICE_REQUEST;
    }
    irp->IoStatus.Status = st; irp->IoStatus.Information = n;
    IoCompleteRequest(irp, 0);
    return st;
}
static UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\Breaker"), lnk = RTL_CONSTANT_STRING(L"\\DosDevices\\Breaker");
static void NTAPI unload(DRIVER_OBJECT *drv) { IoDeleteSymbolicLink(&lnk); IoDeleteDevice(drv->DeviceObject); }
NTSTATUS NTAPI DriverEntry(DRIVER_OBJECT *drv, UNICODE_STRING *path)
{
    DEVICE_OBJECT *d; NTSTATUS st = IoCreateDevice(drv, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &d);
    if (st) return st;
    IoCreateSymbolicLink(&lnk, &name);
    for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) drv->MajorFunction[i] = complete;
    drv->MajorFunction[IRP_MJ_DEVICE_CONTROL] = control; drv->DriverUnload = unload;
    d->Flags |= DO_BUFFERED_IO; d->Flags &= ~DO_DEVICE_INITIALIZING;
    DbgPrint("breaker: irql %d\n", KeGetCurrentIrql());
    return 0;
}
