/* Power IRPs that a driver asks for: PoRequestPowerIrp, by the documentation
 * (Wine's ends the host). The IRP goes to the top of the device's stack. */
#include "kernel.h"

IRP *EXPORT(IoAllocateIrp)(CCHAR locations, BOOLEAN quota);
NTSTATUS EXPORT(PoCallDriver)(DEVICE_OBJECT *device, IRP *irp);

typedef struct request {
    PREQUEST_POWER_COMPLETE routine;
    PVOID context;
    DEVICE_OBJECT *device, *top;
    UCHAR minor;
    POWER_STATE state;
} request;

static NTSTATUS NTAPI done(DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
    request r = *(request *)context;
    IO_STATUS_BLOCK status = irp->IoStatus;
    heap_free(context);
    if (r.routine) {
        callout c = callout_enter(self()->irql, r.routine);
        r.routine(r.device, r.minor, r.state, r.context, &status);
        callout_leave(&c, "PoRequestPowerIrp callback");
    }
    ObDereferenceObject(r.top);
    block_free(block_at(irp), NULL); /* its record went when it came to the top */
    return STATUS_MORE_PROCESSING_REQUIRED;
}

NTSTATUS EXPORT(PoRequestPowerIrp)(DEVICE_OBJECT *device, UCHAR minor, POWER_STATE state, PREQUEST_POWER_COMPLETE routine, PVOID context, IRP **out)
{
    irql_at_most(DISPATCH_LEVEL, "PoRequestPowerIrp", CALLER);
    no_lock_held("PoRequestPowerIrp", CALLER);
    if (minor != IRP_MN_SET_POWER && minor != IRP_MN_QUERY_POWER && minor != IRP_MN_WAIT_WAKE) return STATUS_INVALID_PARAMETER_2;
    DEVICE_OBJECT *top = IoGetAttachedDeviceReference(device);
    request *r = heap_alloc(sizeof *r);
    IRP *irp = x_IoAllocateIrp(top->StackSize, FALSE);
    if (!irp) { ObDereferenceObject(top); heap_free(r); return STATUS_INSUFFICIENT_RESOURCES; }
    *r = (request){ routine, context, device, top, minor, state };
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    IO_STACK_LOCATION *next = IoGetNextIrpStackLocation(irp);
    next->MajorFunction = IRP_MJ_POWER;
    next->MinorFunction = minor;
    next->Parameters.Power.Type = DevicePowerState;
    next->Parameters.Power.State = state;
    IoSetCompletionRoutine(irp, done, r, TRUE, TRUE, TRUE);
    if (out) *out = irp;
    x_PoCallDriver(top, irp);
    return STATUS_PENDING;
}
