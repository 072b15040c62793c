/* The PDO's plug and play, power and I/O control requests. */
#include "disk.h"
#include <ntddscsi.h>

static NTSTATUS target_relation(disk *d, PIRP irp)
{
    PDEVICE_RELATIONS r = ExAllocatePoolWithTag(PagedPool, sizeof *r, TAG);
    if (!r) return finish(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    r->Count = 1;
    r->Objects[0] = d->pdo;
    ObReferenceObject(d->pdo);
    return finish(irp, STATUS_SUCCESS, (ULONG_PTR)r);
}

static NTSTATUS capabilities(PIRP irp, PDEVICE_CAPABILITIES c)
{
    c->UniqueID = TRUE;
    c->SurpriseRemovalOK = FALSE;
    c->DeviceState[PowerSystemWorking] = PowerDeviceD0;
    for (int i = PowerSystemSleeping1; i < PowerSystemMaximum; i++) c->DeviceState[i] = PowerDeviceD3;
    return finish(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS usage(disk *d, PIRP irp, PIO_STACK_LOCATION at)
{
    ULONG type = at->Parameters.UsageNotification.Type;
    if (type < 4) d->seen.usage[type] += at->Parameters.UsageNotification.InPath ? 1 : -1;
    return finish(irp, STATUS_SUCCESS, 0);
}

NTSTATUS port_pnp(disk *d, PIRP irp, PIO_STACK_LOCATION at)
{
    d->seen.pnp++;
    switch (at->MinorFunction) {
    case IRP_MN_START_DEVICE:
        d->started = TRUE;
        return finish(irp, STATUS_SUCCESS, 0);
    case IRP_MN_STOP_DEVICE:
        d->started = FALSE;
        return finish(irp, STATUS_SUCCESS, 0);
    case IRP_MN_QUERY_REMOVE_DEVICE: case IRP_MN_CANCEL_REMOVE_DEVICE:
    case IRP_MN_QUERY_STOP_DEVICE: case IRP_MN_CANCEL_STOP_DEVICE:
        return finish(irp, STATUS_SUCCESS, 0);
    case IRP_MN_SURPRISE_REMOVAL:
    case IRP_MN_REMOVE_DEVICE:
        if (at->MinorFunction == IRP_MN_REMOVE_DEVICE && d->seen.in_flight)
            complain(d, "port", "REMOVE_DEVICE with %lu requests still here", d->seen.in_flight);
        d->gone = TRUE;
        port_flush_queues(d, SRB_STATUS_NO_DEVICE, STATUS_DEVICE_DOES_NOT_EXIST);
        port_wake(d);
        return finish(irp, STATUS_SUCCESS, 0);
    case IRP_MN_DEVICE_USAGE_NOTIFICATION: return usage(d, irp, at);
    case IRP_MN_QUERY_CAPABILITIES: return capabilities(irp, at->Parameters.DeviceCapabilities.Capabilities);
    case IRP_MN_QUERY_DEVICE_RELATIONS:
        if (at->Parameters.QueryDeviceRelations.Type == TargetDeviceRelation) return target_relation(d, irp);
    }
    return finish(irp, irp->IoStatus.Status, irp->IoStatus.Information); /* as the rules for a PDO say */
}

NTSTATUS port_power(disk *d, PIRP irp, PIO_STACK_LOCATION at)
{
    (void)at;
    d->seen.power++;
    PoStartNextPowerIrp(irp);
    return finish(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS query_property(disk *d, PIRP irp, PIO_STACK_LOCATION at)
{
    PSTORAGE_PROPERTY_QUERY q = irp->AssociatedIrp.SystemBuffer;
    ULONG out = at->Parameters.DeviceIoControl.OutputBufferLength;
    union { STORAGE_ADAPTER_DESCRIPTOR adapter; STORAGE_DEVICE_DESCRIPTOR device; } answer;
    ULONG size;
    if (at->Parameters.DeviceIoControl.InputBufferLength < FIELD_OFFSET(STORAGE_PROPERTY_QUERY, AdditionalParameters))
        return finish(irp, STATUS_INFO_LENGTH_MISMATCH, 0);
    RtlZeroMemory(&answer, sizeof answer);
    if (q->PropertyId == StorageAdapterProperty) {
        STORAGE_ADAPTER_DESCRIPTOR *a = &answer.adapter;
        size = sizeof *a;
        a->MaximumTransferLength = d->max_transfer;
        a->MaximumPhysicalPages = d->max_transfer / PAGE_SIZE + 1;
        a->AlignmentMask = d->alignment_mask;
        a->CommandQueueing = TRUE;
        a->BusType = BusTypeSas;
        a->SrbType = !(d->flags & CREATE_LEGACY);
        a->AddressType = STORAGE_ADDRESS_TYPE_BTL8;
    } else if (q->PropertyId == StorageDeviceProperty) {
        size = sizeof answer.device;
        answer.device.CommandQueueing = TRUE;
        answer.device.BusType = BusTypeSas;
    } else return finish(irp, STATUS_NOT_SUPPORTED, 0);
    if (q->QueryType == PropertyExistsQuery) return finish(irp, STATUS_SUCCESS, 0);
    if (q->QueryType != PropertyStandardQuery) return finish(irp, STATUS_NOT_SUPPORTED, 0);
    answer.adapter.Version = answer.adapter.Size = size; /* both descriptors begin alike */
    if (out < 8) return finish(irp, STATUS_BUFFER_TOO_SMALL, 0);
    size = min(size, out);
    RtlCopyMemory(q, &answer, size);
    return finish(irp, STATUS_SUCCESS, size);
}

/* The pass-through controls answer success without doing anything: a test
 * learns from the counters whether one got as far as here. */
NTSTATUS port_ioctl(disk *d, PIRP irp, PIO_STACK_LOCATION at)
{
    ULONG code = at->Parameters.DeviceIoControl.IoControlCode;
    d->seen.last_ioctl = code;
    d->seen.ioctls++;
    if (!(code & 3) && irp->AssociatedIrp.SystemBuffer)
        look_for_patterns(d, irp->AssociatedIrp.SystemBuffer, at->Parameters.DeviceIoControl.InputBufferLength, 0);
    if (d->gone) return finish(irp, STATUS_DEVICE_DOES_NOT_EXIST, 0);
    if (code == IOCTL_STORAGE_QUERY_PROPERTY) return query_property(d, irp, at);
    if (code == IOCTL_SCSI_GET_ADDRESS) {
        SCSI_ADDRESS address = { .Length = sizeof address };
        if (at->Parameters.DeviceIoControl.OutputBufferLength < sizeof address) return finish(irp, STATUS_BUFFER_TOO_SMALL, 0);
        RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, &address, sizeof address);
        return finish(irp, STATUS_SUCCESS, sizeof address);
    }
    if (!d->mode.generous && (code == IOCTL_SCSI_PASS_THROUGH || code == IOCTL_SCSI_PASS_THROUGH_DIRECT || code == IOCTL_SCSI_MINIPORT))
        return finish(irp, STATUS_SUCCESS, 0);
    if (!d->mode.generous || code & 3) return finish(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    ULONG out = at->Parameters.DeviceIoControl.OutputBufferLength;
    if (irp->AssociatedIrp.SystemBuffer) fill_raw(irp->AssociatedIrp.SystemBuffer, out);
    return finish(irp, STATUS_SUCCESS, out);
}
