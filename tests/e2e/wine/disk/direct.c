/* A pass-through control whose data lies in memory of the sender. The client's
 * memory is another process's; so the driver plays the program here, and its
 * memory is the data's. */
#include "disk.h"

/* test_direct, structure, data; the answer in the same place, behind status
 * and information. Returns its length. */
ULONG direct_send(test_direct *t, ULONG in, ULONG out)
{
    test_direct c = *t;
    PUCHAR structure = (PUCHAR)(t + 1), answer = (PUCHAR)t + 2 * sizeof(ULONG), memory;
    ULONG room = out - 2 * sizeof(ULONG), *words = (ULONG *)t;
    disk *d = disk_number(c.disk);
    words[1] = 0;
    if (!d || c.structure > in - sizeof c || c.length != in - sizeof c - c.structure ||
        c.pointer > c.structure - sizeof(PVOID) || c.structure + c.length > room) {
        words[0] = (ULONG)STATUS_INVALID_PARAMETER;
        return 8;
    }
    memory = ExAllocatePoolWithTag(NonPagedPool, c.length + c.skew, TAG);
    PIRP irp = IoAllocateIrp(d->fdo->StackSize, FALSE);
    PUCHAR buffer = ExAllocatePoolWithTag(NonPagedPool, c.structure, TAG);
    if (!memory || !irp || !buffer) {
        words[0] = (ULONG)STATUS_INSUFFICIENT_RESOURCES;
        if (memory) ExFreePool(memory);
        if (buffer) ExFreePool(buffer);
        if (irp) IoFreeIrp(irp);
        return 8;
    }
    RtlCopyMemory(buffer, structure, c.structure);
    RtlCopyMemory(memory + c.skew, structure + c.structure, c.length);
    *(PVOID *)(buffer + c.pointer) = memory + c.skew;
    irp->RequestorMode = UserMode;
    irp->AssociatedIrp.SystemBuffer = buffer;
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(irp);
    next->MajorFunction = IRP_MJ_DEVICE_CONTROL;
    next->Parameters.DeviceIoControl.IoControlCode = c.code;
    next->Parameters.DeviceIoControl.InputBufferLength = c.structure;
    next->Parameters.DeviceIoControl.OutputBufferLength = c.structure;
    words[0] = call_and_wait(d->fdo, irp);
    words[1] = (ULONG)irp->IoStatus.Information;
    RtlCopyMemory(answer, buffer, c.structure);
    RtlCopyMemory(answer + c.structure, memory + c.skew, c.length);
    IoFreeIrp(irp);
    ExFreePool(buffer);
    ExFreePool(memory);
    return 8 + c.structure + c.length;
}
