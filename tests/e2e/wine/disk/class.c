/* The class role: an FDO on top of the stack that starts the disk as disk.sys
 * does, and sends plug and play and power requests down. */
#include "disk.h"

int __cdecl _snwprintf(WCHAR *, size_t, const WCHAR *, ...);

NTSTATUS class_add(disk *d)
{
    _snwprintf(d->name_text, 40, L"\\Device\\SluiceTestDisk%u", d->number);
    _snwprintf(d->link_text, 40, L"\\DosDevices\\SluiceTestDisk%u", d->number);
    RtlInitUnicodeString(&d->name, d->name_text);
    RtlInitUnicodeString(&d->link, d->link_text);
    NTSTATUS s = IoCreateDevice(own_driver, sizeof(extension), &d->name, FILE_DEVICE_DISK, 0, FALSE, &d->fdo);
    if (!NT_SUCCESS(s)) return s;
    extension *e = d->fdo->DeviceExtension;
    e->role = ROLE_CLASS;
    e->disk = d;
    d->lower = IoAttachDeviceToDeviceStack(d->fdo, d->pdo);
    if (!d->lower) return STATUS_NO_SUCH_DEVICE;
    if (!(d->lower->Flags & DO_DIRECT_IO) || d->lower->Flags & DO_DEVICE_INITIALIZING)
        complain(d, "class", "device below has flags %lx: DO_DIRECT_IO missing or DO_DEVICE_INITIALIZING left", d->lower->Flags);
    d->fdo->Flags |= DO_DIRECT_IO | (d->lower->Flags & DO_POWER_PAGABLE);
    d->fdo->AlignmentRequirement = d->lower->AlignmentRequirement;
    d->fdo->Flags &= ~DO_DEVICE_INITIALIZING;
    s = worker_start(&d->class_worker, class_thread, d);
    if (NT_SUCCESS(s)) s = IoCreateSymbolicLink(&d->link, &d->name);
    return s;
}

NTSTATUS class_forward(disk *d, PIRP irp)
{
    IoSkipCurrentIrpStackLocation(irp);
    return IoCallDriver(d->lower, irp);
}

NTSTATUS class_control(disk *d, PIRP irp)
{
    InterlockedIncrement(&d->programs);
    NTSTATUS s = class_forward(d, irp);
    InterlockedDecrement(&d->programs);
    return s;
}

static NTSTATUS NTAPI wake(PDEVICE_OBJECT device, PIRP irp, PVOID event)
{
    (void)device;
    (void)irp;
    KeSetEvent(event, 0, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Sends an IRP and waits; the IRP stays the caller's. */
NTSTATUS call_and_wait(PDEVICE_OBJECT to, PIRP irp)
{
    KEVENT event;
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    IoSetCompletionRoutine(irp, wake, &event, TRUE, TRUE, TRUE);
    if (IoCallDriver(to, irp) == STATUS_PENDING) KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
    return irp->IoStatus.Status;
}

static void adapter_properties(disk *d)
{
    union { STORAGE_PROPERTY_QUERY query; STORAGE_ADAPTER_DESCRIPTOR adapter; } buffer;
    RtlZeroMemory(&buffer, sizeof buffer);
    buffer.query.PropertyId = StorageAdapterProperty;
    d->adapter_max_transfer = 65536;
    PIRP irp = IoAllocateIrp(d->lower->StackSize, FALSE);
    if (!irp) return;
    irp->AssociatedIrp.SystemBuffer = &buffer;
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(irp);
    next->MajorFunction = IRP_MJ_DEVICE_CONTROL;
    next->Parameters.DeviceIoControl.IoControlCode = IOCTL_STORAGE_QUERY_PROPERTY;
    next->Parameters.DeviceIoControl.InputBufferLength = sizeof buffer.query;
    next->Parameters.DeviceIoControl.OutputBufferLength = sizeof buffer;
    if (NT_SUCCESS(call_and_wait(d->lower, irp))) {
        d->adapter_max_transfer = buffer.adapter.MaximumTransferLength;
        d->adapter_extended = buffer.adapter.Size > FIELD_OFFSET(STORAGE_ADAPTER_DESCRIPTOR, SrbType) && buffer.adapter.SrbType == 1;
    } else complain(d, "class", "no adapter descriptor: %lx", irp->IoStatus.Status);
    IoFreeIrp(irp);
}

static void read_capacity(disk *d)
{
    UCHAR answer[32];
    NTSTATUS s = packet_sync(d, SRB_FUNCTION_EXECUTE_SCSI, 0, (UCHAR[16]){ 0x9e, 0x10, [13] = 32 }, 16, answer, 32);
    if (!NT_SUCCESS(s)) {
        complain(d, "class", "READ CAPACITY(16): %lx", s);
        return;
    }
    d->class_sector_size = (ULONG)be(answer + 8, 4);
    d->class_capacity = (be(answer, 8) + 1) * d->class_sector_size;
    s = packet_sync(d, SRB_FUNCTION_EXECUTE_SCSI, 0, (UCHAR[10]){ 0x25 }, 10, answer, 8);
    if (!NT_SUCCESS(s) || be(answer, 4) != min(d->class_capacity / d->class_sector_size - 1, 0xffffffff) || be(answer + 4, 4) != d->class_sector_size)
        complain(d, "class", "READ CAPACITY(10) disagrees with (16): %lx", s);
}

/* The commands with which disk.sys greets a new disk. */
static void greet(disk *d)
{
    UCHAR answer[256];
    adapter_properties(d);
    NTSTATUS s = packet_sync(d, SRB_FUNCTION_CLAIM_DEVICE, 0, NULL, 0, NULL, 0);
    if (!NT_SUCCESS(s)) complain(d, "class", "CLAIM_DEVICE: %lx", s);
    s = packet_sync(d, SRB_FUNCTION_EXECUTE_SCSI, 0, (UCHAR[6]){ 0x12, [4] = 36 }, 6, answer, 36);
    if (!NT_SUCCESS(s)) complain(d, "class", "INQUIRY: %lx", s);
    packet_sync(d, SRB_FUNCTION_EXECUTE_SCSI, 0, (UCHAR[6]){ 0x00 }, 6, NULL, 0);
    read_capacity(d);
    packet_sync(d, SRB_FUNCTION_EXECUTE_SCSI, 0, (UCHAR[6]){ 0x1a, 8, 8, [4] = 192 }, 6, answer, 192);
}

NTSTATUS class_pnp(disk *d, PIRP irp, PIO_STACK_LOCATION at)
{
    if (at->MinorFunction == IRP_MN_START_DEVICE) {
        IoCopyCurrentIrpStackLocationToNext(irp);
        NTSTATUS s = call_and_wait(d->lower, irp);
        if (NT_SUCCESS(s) && !d->class_sector_size) greet(d); /* not after a stop */
        return finish(irp, s, 0);
    }
    if (at->MinorFunction == IRP_MN_REMOVE_DEVICE && !d->gone) packet_sync(d, SRB_FUNCTION_RELEASE_DEVICE, 0, NULL, 0, NULL, 0);
    switch (at->MinorFunction) {
    case IRP_MN_QUERY_REMOVE_DEVICE: case IRP_MN_CANCEL_REMOVE_DEVICE: case IRP_MN_REMOVE_DEVICE: case IRP_MN_SURPRISE_REMOVAL:
    case IRP_MN_QUERY_STOP_DEVICE: case IRP_MN_CANCEL_STOP_DEVICE: case IRP_MN_STOP_DEVICE:
        irp->IoStatus.Status = STATUS_SUCCESS;
    }
    return class_forward(d, irp);
}

static void pnp_parameters(PIO_STACK_LOCATION next, ULONG argument, PDEVICE_CAPABILITIES c)
{
    switch (next->MinorFunction) {
    case IRP_MN_QUERY_DEVICE_RELATIONS:
        next->Parameters.QueryDeviceRelations.Type = argument;
        break;
    case IRP_MN_QUERY_CAPABILITIES:
        c->Size = sizeof *c;
        c->Version = 1;
        c->Address = c->UINumber = 0xffffffff;
        next->Parameters.DeviceCapabilities.Capabilities = c;
        break;
    case IRP_MN_DEVICE_USAGE_NOTIFICATION:
        next->Parameters.UsageNotification.Type = argument & 0xff;
        next->Parameters.UsageNotification.InPath = (argument & 0x100) != 0;
        break;
    case IRP_MN_QUERY_ID:
        next->Parameters.QueryId.IdType = argument;
        break;
    case IRP_MN_QUERY_DEVICE_TEXT:
        next->Parameters.QueryDeviceText.DeviceTextType = argument;
        next->Parameters.QueryDeviceText.LocaleId = 0x409;
        break;
    }
}

/* One plug and play request to the top of the stack, as the PnP manager sends it. */
NTSTATUS send_pnp(disk *d, UCHAR minor, ULONG argument)
{
    DEVICE_CAPABILITIES c = { 0 };
    PIRP irp = IoAllocateIrp(d->fdo->StackSize, FALSE);
    if (!irp) return STATUS_INSUFFICIENT_RESOURCES;
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(irp);
    next->MajorFunction = IRP_MJ_PNP;
    next->MinorFunction = minor;
    pnp_parameters(next, argument, &c);
    NTSTATUS s = call_and_wait(d->fdo, irp);
    if (minor == IRP_MN_QUERY_DEVICE_RELATIONS && NT_SUCCESS(s) && irp->IoStatus.Information) {
        PDEVICE_RELATIONS r = (PDEVICE_RELATIONS)irp->IoStatus.Information;
        if (r->Count != 1 || r->Objects[0] != d->pdo) complain(d, "class", "target device relation is not the PDO");
        ObDereferenceObject(r->Objects[0]);
        ExFreePool(r);
    }
    IoFreeIrp(irp);
    return s;
}

/* Strings and structures that the PnP manager is answered with, copied out and freed; capabilities are in a structure of
 * the sender's. */
ULONG query_pnp(disk *d, UCHAR minor, ULONG argument, PUCHAR bytes, ULONG room, ULONG *length)
{
    DEVICE_CAPABILITIES c = { 0 };
    PIRP irp = IoAllocateIrp(d->fdo->StackSize, FALSE);
    *length = 0;
    if (!irp) return STATUS_INSUFFICIENT_RESOURCES;
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(irp);
    next->MajorFunction = IRP_MJ_PNP;
    next->MinorFunction = minor;
    pnp_parameters(next, argument, &c);
    NTSTATUS s = call_and_wait(d->fdo, irp);
    const WCHAR *text = (const WCHAR *)irp->IoStatus.Information;
    IoFreeIrp(irp);
    if (!NT_SUCCESS(s)) {
        if (text) complain(d, "class", "an answer though the query %x failed", minor);
        return s;
    }
    const void *from = text;
    ULONG n = 0;
    if (minor == IRP_MN_QUERY_CAPABILITIES) from = &c, n = sizeof c;
    else if (!text) return s;
    else if (minor == IRP_MN_QUERY_BUS_INFORMATION) n = sizeof(PNP_BUS_INFORMATION);
    else {
        BOOLEAN many = minor == IRP_MN_QUERY_ID && (argument == BusQueryHardwareIDs || argument == BusQueryCompatibleIDs);
        while (text[n] || (many && text[n + 1])) n++;
        n = (n + 1 + many) * sizeof(WCHAR);
    }
    RtlCopyMemory(bytes, from, min(n, room));
    *length = min(n, room);
    if (text && minor != IRP_MN_QUERY_CAPABILITIES) ExFreePool((PVOID)text);
    return s;
}

/* A stack whose function driver never came. */
NTSTATUS remove_without_class(PDEVICE_OBJECT pdo)
{
    PDEVICE_OBJECT top = IoGetAttachedDevice(pdo);
    PIRP irp = IoAllocateIrp(top->StackSize, FALSE);
    if (!irp) return STATUS_INSUFFICIENT_RESOURCES;
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    IoGetNextIrpStackLocation(irp)->MajorFunction = IRP_MJ_PNP;
    IoGetNextIrpStackLocation(irp)->MinorFunction = IRP_MN_REMOVE_DEVICE;
    NTSTATUS s = call_and_wait(top, irp);
    IoFreeIrp(irp);
    return s;
}

static NTSTATUS send_set_power(disk *d, ULONG state)
{
    PIRP irp = IoAllocateIrp(d->fdo->StackSize, FALSE);
    if (!irp) return STATUS_INSUFFICIENT_RESOURCES;
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(irp);
    next->MajorFunction = IRP_MJ_POWER;
    next->MinorFunction = IRP_MN_SET_POWER;
    next->Parameters.Power.Type = DevicePowerState;
    next->Parameters.Power.State.DeviceState = state;
    NTSTATUS s = call_and_wait(d->fdo, irp);
    IoFreeIrp(irp);
    return s;
}

/* Power down: lock the queue, flush, stop the unit, then the IRP. Power up:
 * the IRP, start the unit, unlock. The commands between pass the locked queue. */
NTSTATUS send_power(disk *d, ULONG state)
{
    const ULONG through = SRB_FLAGS_BYPASS_LOCKED_QUEUE | SRB_FLAGS_NO_QUEUE_FREEZE;
    NTSTATUS s, steps[4] = { 0 };
    if (state != PowerDeviceD0) {
        steps[0] = packet_sync(d, SRB_FUNCTION_LOCK_QUEUE, through, NULL, 0, NULL, 0);
        steps[1] = packet_sync(d, SRB_FUNCTION_EXECUTE_SCSI, through, (UCHAR[10]){ 0x35 }, 10, NULL, 0);
        steps[2] = packet_sync(d, SRB_FUNCTION_EXECUTE_SCSI, through, (UCHAR[6]){ 0x1b }, 6, NULL, 0);
        s = send_set_power(d, state);
    } else {
        s = send_set_power(d, state);
        steps[1] = packet_sync(d, SRB_FUNCTION_EXECUTE_SCSI, through, (UCHAR[6]){ 0x1b, [4] = 1 }, 6, NULL, 0);
        steps[2] = packet_sync(d, SRB_FUNCTION_UNLOCK_QUEUE, through, NULL, 0, NULL, 0);
    }
    for (int i = 0; i < 4; i++)
        if (!NT_SUCCESS(steps[i])) complain(d, "class", "power step %d: %lx", i, steps[i]);
    return s;
}
