/* The bus under an adapter and the PnP manager above it: a root-enumerated
 * device that the driver under test is the function driver of, and the units
 * that it reports. Each unit becomes a disk with the class role on top, with
 * the filter between if the test asks for it. */
#include "disk.h"
#include "../verifier/verifier.h"

#define ADAPTERS L"{4d36e97b-e325-11ce-bfc1-08002be10318}"
#define DISKS L"{4d36e967-e325-11ce-bfc1-08002be10318}"
#define KEY L"\\Registry\\Machine\\Software\\SluiceTestAdapter"

static struct {
    PDEVICE_OBJECT root;
    ULONG pnp, power, device_state; /* what its power IRPs have set last */
    WCHAR hardware[34];    /* test_adapter's, and two zeros */
} adapter;

/* ---- the root device: the bottom of the adapter's stack ---- */

NTSTATUS root_dispatch(PIRP irp, PIO_STACK_LOCATION at)
{
    switch (at->MajorFunction) {
    case IRP_MJ_POWER:
        adapter.power++;
        if (at->MinorFunction == IRP_MN_SET_POWER && at->Parameters.Power.Type == DevicePowerState)
            adapter.device_state = at->Parameters.Power.State.DeviceState;
        PoStartNextPowerIrp(irp);
        return finish(irp, STATUS_SUCCESS, 0);
    case IRP_MJ_PNP:
        adapter.pnp++;
        switch (at->MinorFunction) {
        case IRP_MN_START_DEVICE: case IRP_MN_STOP_DEVICE: case IRP_MN_QUERY_STOP_DEVICE: case IRP_MN_CANCEL_STOP_DEVICE:
        case IRP_MN_QUERY_REMOVE_DEVICE: case IRP_MN_CANCEL_REMOVE_DEVICE: case IRP_MN_REMOVE_DEVICE: case IRP_MN_SURPRISE_REMOVAL:
            return finish(irp, STATUS_SUCCESS, 0);
        case IRP_MN_QUERY_INTERFACE:
            if (pci_interface(at)) return finish(irp, STATUS_SUCCESS, 0);
        }
        return finish(irp, irp->IoStatus.Status, irp->IoStatus.Information);
    }
    return finish(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
}

static void root_gone(void)
{
    pci_remove();
    IoDeleteDevice(adapter.root);
    adapter.root = NULL;
}

static NTSTATUS make_root(const test_adapter *c)
{
    NTSTATUS s = IoCreateDevice(own_driver, sizeof(extension), NULL, FILE_DEVICE_CONTROLLER, 0, FALSE, &adapter.root);
    if (!NT_SUCCESS(s)) return s;
    ((extension *)adapter.root->DeviceExtension)->role = ROLE_ROOT;
    adapter.root->Flags &= ~DO_DEVICE_INITIALIZING;
    ULONG n = 0;
    for (; n < 32 && c->hardware[n]; n++) adapter.hardware[n] = c->hardware[n];
    adapter.hardware[n] = adapter.hardware[n + 1] = 0;
    verifier_identity identity = { ADAPTERS, adapter.hardware, (n + 2) * sizeof(WCHAR), KEY, 0 };
    s = verifier_device_identity(adapter.root, &identity);
    if (NT_SUCCESS(s) && n > 20 && c->hardware[0] == 'P') s = pci_insert(adapter.root, c->hardware);
    if (!NT_SUCCESS(s)) root_gone();
    return s;
}

void adapter_create(const test_adapter *c, test_adapter_created *out)
{
    test_created added = { 0 };
    *out = (test_adapter_created){ .load_status = 0xffffffff, .add_status = 0xffffffff };
    if (adapter.root) {
        out->root_status = STATUS_DEVICE_BUSY;
        return;
    }
    RtlZeroMemory(&adapter, sizeof adapter);
    out->root_status = make_root(c);
    if (!NT_SUCCESS((NTSTATUS)out->root_status)) return;
    add_driver(adapter.root, c->service, &added);
    out->load_status = added.load_status;
    out->add_status = added.add_status;
    if (NT_SUCCESS((NTSTATUS)out->load_status) && NT_SUCCESS((NTSTATUS)out->add_status)) return;
    root_gone();
}

/* ---- requests to the top of the adapter's stack ---- */

static PIRP make_request(UCHAR major, UCHAR minor, PDEVICE_OBJECT *top)
{
    if (!adapter.root) return NULL;
    *top = IoGetAttachedDevice(adapter.root);
    PIRP irp = IoAllocateIrp((*top)->StackSize, FALSE);
    if (!irp) return NULL;
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    IoGetNextIrpStackLocation(irp)->MajorFunction = major;
    IoGetNextIrpStackLocation(irp)->MinorFunction = minor;
    return irp;
}

NTSTATUS adapter_pnp(ULONG minor)
{
    PDEVICE_OBJECT top;
    PIRP irp = make_request(IRP_MJ_PNP, (UCHAR)minor, &top);
    if (!irp) return STATUS_NO_SUCH_DEVICE;
    if (minor == IRP_MN_SURPRISE_REMOVAL) pci_pull();
    if (minor == IRP_MN_START_DEVICE) pci_resources(IoGetNextIrpStackLocation(irp));
    NTSTATUS s = call_and_wait(top, irp);
    IoFreeIrp(irp);
    if (minor == IRP_MN_REMOVE_DEVICE) root_gone(); /* the bus has it still: it could start again, but nobody asks for that */
    return s;
}

NTSTATUS adapter_power(ULONG state, ULONG *device_state)
{
    PDEVICE_OBJECT top;
    PIRP irp = make_request(IRP_MJ_POWER, state & ADAPTER_QUERY ? IRP_MN_QUERY_POWER : IRP_MN_SET_POWER, &top);
    if (!irp) return STATUS_NO_SUCH_DEVICE;
    /* SystemState and DeviceState lie in the same place. */
    IoGetNextIrpStackLocation(irp)->Parameters.Power.Type = state & ADAPTER_SYSTEM ? SystemPowerState : DevicePowerState;
    IoGetNextIrpStackLocation(irp)->Parameters.Power.State.DeviceState = state & 0xff;
    NTSTATUS s = call_and_wait(top, irp);
    IoFreeIrp(irp);
    *device_state = adapter.device_state;
    return s;
}

/* A METHOD_BUFFERED control; the answer takes the place of the input. */
NTSTATUS adapter_control(ULONG code, PVOID buffer, ULONG in, ULONG out, ULONG *length)
{
    PDEVICE_OBJECT top;
    PIRP irp = make_request(IRP_MJ_DEVICE_CONTROL, 0, &top);
    if (!irp) return STATUS_NO_SUCH_DEVICE;
    irp->AssociatedIrp.SystemBuffer = buffer;
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(irp);
    next->Parameters.DeviceIoControl.IoControlCode = code;
    next->Parameters.DeviceIoControl.InputBufferLength = in;
    next->Parameters.DeviceIoControl.OutputBufferLength = out;
    NTSTATUS s = call_and_wait(top, irp);
    *length = NT_ERROR(s) ? 0 : (ULONG)irp->IoStatus.Information;
    IoFreeIrp(irp);
    return s;
}

NTSTATUS adapter_setting(const test_setting *s)
{
    UNICODE_STRING name;
    OBJECT_ATTRIBUTES attributes;
    HANDLE key;
    ULONG value = s->value;
    RtlInitUnicodeString(&name, KEY);
    InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    NTSTATUS status = ZwCreateKey(&key, KEY_ALL_ACCESS, &attributes, 0, NULL, REG_OPTION_NON_VOLATILE, NULL);
    if (!NT_SUCCESS(status)) return status;
    RtlInitUnicodeString(&name, s->name);
    status = ZwSetValueKey(key, &name, 0, REG_DWORD, &value, sizeof value);
    ZwClose(key);
    return status;
}

ULONG adapter_invalidations(void)
{
    return adapter.root ? verifier_device_invalidations(adapter.root) : 0;
}

/* ---- what is on its bus ---- */

static NTSTATUS relations(PDEVICE_RELATIONS *list)
{
    PDEVICE_OBJECT top;
    PIRP irp = make_request(IRP_MJ_PNP, IRP_MN_QUERY_DEVICE_RELATIONS, &top);
    if (!irp) return STATUS_NO_SUCH_DEVICE;
    IoGetNextIrpStackLocation(irp)->Parameters.QueryDeviceRelations.Type = BusRelations;
    NTSTATUS s = call_and_wait(top, irp);
    *list = (PDEVICE_RELATIONS)irp->IoStatus.Information;
    IoFreeIrp(irp);
    return s;
}

/* A unit that was not there before: a disk is built on it. Takes over the reference. */
static void arrive(PDEVICE_OBJECT pdo, const WCHAR *filter, test_scanned *out)
{
    static const verifier_identity identity = { DISKS, L"GenDisk\0", 18, NULL, 0 };
    test_created c = { 0 };
    disk *d = NULL;
    NTSTATUS s = disk_adopt(pdo, &d);
    if (!NT_SUCCESS(s)) {
        ObDereferenceObject(pdo);
        out->failed = s;
        return;
    }
    if (pdo->Flags & DO_DEVICE_INITIALIZING) complain(d, "bus", "the unit's device is reported with DO_DEVICE_INITIALIZING");
    verifier_device_identity(pdo, &identity);
    if (filter[0]) {
        add_driver(pdo, filter, &c);
        s = NT_SUCCESS((NTSTATUS)c.load_status) ? (NTSTATUS)c.add_status : (NTSTATUS)c.load_status;
    }
    if (NT_SUCCESS(s)) s = class_add(d);
    if (NT_SUCCESS(s)) s = send_pnp(d, IRP_MN_START_DEVICE, 0);
    if (NT_SUCCESS(s)) {
        out->arrived[out->arrived_count++] = d->number;
        return;
    }
    out->failed = s;
    /* As the PnP manager does with a device that does not start. */
    if (d->fdo) send_pnp(d, IRP_MN_REMOVE_DEVICE, 0);
    else if (IoGetAttachedDevice(pdo)) remove_without_class(pdo);
    disk_free(d);
}

void adapter_scan(const test_scan *scan, test_scanned *out)
{
    PDEVICE_RELATIONS list = NULL;
    BOOLEAN there[MAX_DISKS] = { 0 };
    RtlZeroMemory(out, sizeof *out);
    out->status = relations(&list);
    if (!NT_SUCCESS((NTSTATUS)out->status)) return;
    for (ULONG i = 0; list && i < list->Count; i++) {
        disk *d = disk_on(list->Objects[i]);
        if (d) ObDereferenceObject(list->Objects[i]);
        else {
            arrive(list->Objects[i], scan->filter, out);
            d = disk_on(list->Objects[i]);
        }
        if (d) there[d->number] = TRUE;
    }
    if (list) ExFreePool(list);
    for (ULONG n = 0; n < MAX_DISKS; n++) {
        disk *d = disk_number(n);
        if (d && d->adopted && !there[n]) out->missing[out->missing_count++] = n;
    }
}
