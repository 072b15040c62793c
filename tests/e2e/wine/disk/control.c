/* The driver's entry, its dispatch by role, and the control device. What may
 * wait for the stack under test runs on a thread, so that the host's only
 * dispatching thread stays free. */
#include "disk.h"
#include "../verifier/verifier.h"

NTSTATUS NTAPI ObReferenceObjectByName(PUNICODE_STRING, ULONG, PACCESS_STATE, ACCESS_MASK, POBJECT_TYPE, KPROCESSOR_MODE, PVOID, PVOID *);
int __cdecl _snwprintf(WCHAR *, size_t, const WCHAR *, ...);

PDRIVER_OBJECT own_driver;
static PDEVICE_OBJECT control_device;
static disk *disks[MAX_DISKS];
static worker control_worker;
static LIST_ENTRY waiting; /* IRPs for the control thread */
static KSPIN_LOCK waiting_lock;

NTSTATUS finish(PIRP irp, NTSTATUS status, ULONG_PTR information)
{
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = information;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}

NTSTATUS worker_start(worker *w, PKSTART_ROUTINE routine, PVOID context)
{
    HANDLE h;
    KeInitializeEvent(&w->wake, SynchronizationEvent, FALSE);
    NTSTATUS s = PsCreateSystemThread(&h, THREAD_ALL_ACCESS, NULL, NULL, NULL, routine, context);
    if (!NT_SUCCESS(s)) return s;
    s = ObReferenceObjectByHandle(h, SYNCHRONIZE, NULL, KernelMode, &w->thread, NULL);
    ZwClose(h);
    return s;
}

void worker_stop(worker *w)
{
    if (!w->thread) return;
    w->stop = TRUE;
    KeSetEvent(&w->wake, 0, FALSE);
    KeWaitForSingleObject(w->thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(w->thread);
    w->thread = NULL;
}

void worker_wait(worker *w, LONG milliseconds)
{
    LARGE_INTEGER t = { .QuadPart = -10000ll * milliseconds };
    KeWaitForSingleObject(&w->wake, Executive, KernelMode, FALSE, milliseconds < 0 ? NULL : &t);
}

disk *disk_number(ULONG n)
{
    return n < MAX_DISKS ? disks[n] : NULL;
}

/* The disk whose PDO this is. */
disk *disk_on(PDEVICE_OBJECT pdo)
{
    for (ULONG n = 0; n < MAX_DISKS; n++)
        if (disks[n] && disks[n]->pdo == pdo) return disks[n];
    return NULL;
}

/* A disk over a PDO that somebody else made. */
NTSTATUS disk_adopt(PDEVICE_OBJECT pdo, disk **out)
{
    ULONG n = 0;
    while (n < MAX_DISKS && disks[n]) n++;
    if (n == MAX_DISKS) return STATUS_TOO_MANY_NODES;
    disk *d = port_blank();
    if (!d) return STATUS_INSUFFICIENT_RESOURCES;
    d->pdo = pdo;
    d->adopted = TRUE;
    d->number = n;
    disks[n] = *out = d;
    return STATUS_SUCCESS;
}

/* The class role goes; the device below stays. */
static void class_free(disk *d)
{
    worker_stop(&d->class_worker);
    if (d->lower) IoDetachDevice(d->lower);
    if (d->fdo) {
        IoDeleteSymbolicLink(&d->link);
        IoDeleteDevice(d->fdo);
    }
    d->lower = d->fdo = NULL;
}

/* After REMOVE_DEVICE has come back, or if the stack never came to be. */
void disk_free(disk *d)
{
    class_free(d);
    port_delete(d);
    disks[d->number] = NULL;
    ExFreePoolWithTag(d, TAG);
}

/* Loads or unloads a service's driver. */
static NTSTATUS load(const WCHAR *service, BOOLEAN unload)
{
    WCHAR text[128];
    UNICODE_STRING name;
    _snwprintf(text, 128, L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\%.31s", service);
    RtlInitUnicodeString(&name, text);
    return unload ? ZwUnloadDriver(&name) : ZwLoadDriver(&name);
}

/* Loads a driver's service and lets it attach to the PDO, as PnP would. */
void add_driver(PDEVICE_OBJECT pdo, const WCHAR *service, test_created *out)
{
    WCHAR text[128];
    UNICODE_STRING name;
    PDRIVER_OBJECT driver;
    out->load_status = load(service, FALSE);
    if (out->load_status == (ULONG)STATUS_IMAGE_ALREADY_LOADED) out->load_status = STATUS_SUCCESS;
    if (!NT_SUCCESS(out->load_status)) return;
    _snwprintf(text, 128, L"\\Driver\\%s", service);
    RtlInitUnicodeString(&name, text);
    out->load_status = ObReferenceObjectByName(&name, OBJ_CASE_INSENSITIVE, NULL, 0, NULL, KernelMode, NULL, (PVOID *)&driver);
    if (!NT_SUCCESS(out->load_status)) return;
    out->add_status = driver->DriverExtension->AddDevice ? driver->DriverExtension->AddDevice(driver, pdo) : STATUS_NOT_IMPLEMENTED;
    ObDereferenceObject(driver);
}

static void create(const test_create *c, test_created *out)
{
    disk *d = NULL;
    ULONG n = 0;
    while (n < MAX_DISKS && disks[n]) n++;
    RtlZeroMemory(out, sizeof *out);
    out->load_status = out->add_status = out->start_status = 0xffffffff;
    out->image_status = STATUS_TOO_MANY_NODES;
    if (n == MAX_DISKS) return;
    NTSTATUS s = port_create(c, &d, (NTSTATUS *)&out->image_status);
    if (!d) return;
    d->number = out->disk = n;
    disks[n] = d;
    if (NT_SUCCESS(s) && c->filter[0]) add_driver(d->pdo, c->filter, out);
    /* A filter that does not load or attach takes the whole stack with it, as under the PnP manager. */
    if (NT_SUCCESS(s) && c->filter[0]) s = NT_SUCCESS(out->load_status) ? (NTSTATUS)out->add_status : (NTSTATUS)out->load_status;
    if (NT_SUCCESS(s)) s = class_add(d);
    if (NT_SUCCESS(s)) s = send_pnp(d, IRP_MN_START_DEVICE, 0);
    out->start_status = s;
    out->capacity = d->class_capacity;
    if (!NT_SUCCESS(s)) disk_free(d);
}

/* A device whose stack has been removed with DISABLED hears of nothing but its removal. */
static ULONG pnp(disk *d, const test_pnp *p)
{
    NTSTATUS s = d->fdo ? send_pnp(d, (UCHAR)p->minor, p->argument) : remove_without_class(d->pdo);
    if (p->minor != IRP_MN_REMOVE_DEVICE) return s;
    if (p->argument == DISABLED) class_free(d);
    else disk_free(d);
    return s;
}

/* ---- what needs no waiting ---- */

static NTSTATUS verifier(PIRP irp, ULONG code, PVOID buffer, ULONG in, ULONG out)
{
    CHAR image[32] = { 0 };
    ULONG n;
    switch (code) {
    case TEST_VERIFIER_CONFIGURE:
        if (in < sizeof(verifier_options)) break;
        return finish(irp, verifier_configure(buffer), 0);
    case TEST_VERIFIER_REPORT:
        n = verifier_report(buffer, out);
        return finish(irp, STATUS_SUCCESS, min(n, out));
    case TEST_VERIFIER_COUNTERS:
        if (min(in, out) < sizeof(verifier_counters)) break;
        return finish(irp, verifier_read_counters(buffer), sizeof(verifier_counters));
    case TEST_VERIFIER_LEAKS:
        if (out < 4) break;
        RtlCopyMemory(image, buffer, min(in, 31));
        *(ULONG *)buffer = verifier_leak_check(image[0] ? image : NULL);
        return finish(irp, STATUS_SUCCESS, 4);
    case TEST_VERIFIER_RESET:
        verifier_reset();
        return finish(irp, STATUS_SUCCESS, 0);
    }
    return finish(irp, STATUS_BUFFER_TOO_SMALL, 0);
}

/* The DACL of whichever device of sluice.sys was given one. */
static NTSTATUS control_dacl(PIRP irp, PVOID buffer, ULONG out)
{
    UNICODE_STRING name;
    PDRIVER_OBJECT driver;
    ULONG n = 0;
    RtlInitUnicodeString(&name, L"\\Driver\\sluice");
    NTSTATUS s = ObReferenceObjectByName(&name, OBJ_CASE_INSENSITIVE, NULL, 0, NULL, KernelMode, NULL, (PVOID *)&driver);
    if (!NT_SUCCESS(s)) return finish(irp, s, 0);
    for (PDEVICE_OBJECT d = driver->DeviceObject; d && !n; d = d->NextDevice) n = verifier_device_dacl(d, buffer, out);
    ObDereferenceObject(driver);
    return finish(irp, STATUS_SUCCESS, min(n, out));
}

static void set_port_mode(disk *d, const test_port_mode *m)
{
    KIRQL irql;
    KeAcquireSpinLock(&d->lock, &irql);
    d->mode = *m;
    d->random = m->seed ? m->seed : 1;
    KeReleaseSpinLock(&d->lock, irql);
    port_wake(d);
}

static void reset(disk *d)
{
    ULONG flying = d->seen.in_flight, pending = d->seen.pending;
    RtlZeroMemory(&d->seen, sizeof d->seen);
    d->seen.in_flight = flying;
    d->seen.pending = pending;
}

/* Bytes that a control's input must at least have. */
static ULONG wanted(ULONG code)
{
    switch (code) {
    case TEST_CREATE: return sizeof(test_create);
    case TEST_LOAD: case TEST_UNLOAD: return sizeof(test_service);
    case TEST_PNP: case TEST_POWER: return sizeof(test_pnp);
    case TEST_PORT_MODE: return sizeof(test_port_mode);
    case TEST_CLASS_MODE: return sizeof(test_class_mode);
    case TEST_PATTERN: return sizeof(test_pattern);
    case TEST_STATISTICS: case TEST_RESET: case TEST_CANCEL: return sizeof(ULONG);
    case TEST_ADAPTER: return sizeof(test_adapter);
    case TEST_ADAPTER_PNP: case TEST_ADAPTER_POWER: return sizeof(ULONG);
    case TEST_ADAPTER_SCAN: return sizeof(test_scan);
    case TEST_ADAPTER_SETTING: return sizeof(test_setting);
    case TEST_ADAPTER_CONTROL: return 2 * sizeof(ULONG);
    case TEST_QUERY: return sizeof(test_pnp);
    case TEST_DIRECT: return sizeof(test_direct);
    }
    return 0;
}

/* Bytes that an answer of the control thread at least has. */
static ULONG answer_room(ULONG code)
{
    return code == TEST_ADAPTER ? sizeof(test_adapter_created) : code == TEST_ADAPTER_SCAN ? sizeof(test_scanned) : 2 * sizeof(ULONG);
}

static NTSTATUS on_disk(PIRP irp, ULONG code, disk *d, PVOID buffer, ULONG out)
{
    switch (code) {
    case TEST_PORT_MODE: set_port_mode(d, buffer); break;
    case TEST_CLASS_MODE: d->class_mode = *(test_class_mode *)buffer; break;
    case TEST_RESET: reset(d); break;
    case TEST_PATTERN:
        for (ULONG n = 0; n < d->pattern_count; n++)
            if (RtlCompareMemory(d->patterns[n], ((test_pattern *)buffer)->bytes, 16) == 16) return finish(irp, STATUS_SUCCESS, 0);
        if (d->pattern_count == MAX_PATTERNS) return finish(irp, STATUS_TOO_MANY_NODES, 0);
        RtlCopyMemory(d->patterns[d->pattern_count++], ((test_pattern *)buffer)->bytes, 16);
        break;
    case TEST_CANCEL:
        if (out < 4) return finish(irp, STATUS_BUFFER_TOO_SMALL, 0);
        *(ULONG *)buffer = packet_cancel_all(d);
        return finish(irp, STATUS_SUCCESS, 4);
    case TEST_STATISTICS:
        if (out < sizeof d->seen) return finish(irp, STATUS_BUFFER_TOO_SMALL, 0);
        d->seen.size = sizeof d->seen;
        RtlCopyMemory(buffer, &d->seen, sizeof d->seen);
        return finish(irp, STATUS_SUCCESS, sizeof d->seen);
    }
    return finish(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS hand_over(PIRP irp)
{
    KIRQL irql;
    IoMarkIrpPending(irp);
    KeAcquireSpinLock(&waiting_lock, &irql);
    InsertTailList(&waiting, &irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&waiting_lock, irql);
    KeSetEvent(&control_worker.wake, 0, FALSE);
    return STATUS_PENDING;
}

NTSTATUS control_dispatch(PIRP irp, PIO_STACK_LOCATION at)
{
    ULONG code = at->Parameters.DeviceIoControl.IoControlCode;
    ULONG in = at->Parameters.DeviceIoControl.InputBufferLength, out = at->Parameters.DeviceIoControl.OutputBufferLength;
    PVOID buffer = irp->AssociatedIrp.SystemBuffer;
    if (in < wanted(code)) return finish(irp, STATUS_BUFFER_TOO_SMALL, 0);
    switch (code) {
    case TEST_CREATE:
        return out < sizeof(test_created) ? finish(irp, STATUS_BUFFER_TOO_SMALL, 0) : hand_over(irp);
    case TEST_LOAD: case TEST_UNLOAD:
        return out < 4 ? finish(irp, STATUS_BUFFER_TOO_SMALL, 0) : hand_over(irp);
    case TEST_PNP: case TEST_POWER:
        return out < 4 || !disk_number(*(ULONG *)buffer) ? finish(irp, STATUS_NO_SUCH_DEVICE, 0) : hand_over(irp);
    case TEST_ADAPTER: case TEST_ADAPTER_PNP: case TEST_ADAPTER_POWER: case TEST_ADAPTER_SCAN: case TEST_ADAPTER_SETTING:
    case TEST_ADAPTER_CONTROL: case TEST_QUERY: case TEST_DIRECT:
        return out < answer_room(code) ? finish(irp, STATUS_BUFFER_TOO_SMALL, 0) : hand_over(irp);
    case TEST_RAW: return raw_start(irp, at);
    case TEST_LOG: return finish(irp, STATUS_SUCCESS, log_copy(buffer, out));
    case TEST_LOG_RESET: log_reset(); return finish(irp, STATUS_SUCCESS, 0);
    case TEST_CONTROL_DACL: return control_dacl(irp, buffer, out);
    case TEST_VERIFIER_CONFIGURE: case TEST_VERIFIER_REPORT: case TEST_VERIFIER_COUNTERS:
    case TEST_VERIFIER_RESET: case TEST_VERIFIER_LEAKS:
        return verifier(irp, code, buffer, in, out);
    }
    if (!wanted(code)) return finish(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    disk *d = disk_number(*(ULONG *)buffer);
    return d ? on_disk(irp, code, d, buffer, out) : finish(irp, STATUS_NO_SUCH_DEVICE, 0);
}

/* ---- the control thread ---- */

/* Requests about the adapter; returns the bytes of the answer. */
static ULONG about_adapter(ULONG code, PVOID buffer, ULONG in, ULONG out)
{
    ULONG *words = buffer, length = 0;
    switch (code) {
    case TEST_ADAPTER: {
        test_adapter c = *(test_adapter *)buffer;
        adapter_create(&c, buffer);
        return sizeof(test_adapter_created);
    }
    case TEST_ADAPTER_SCAN: {
        test_scan scan = *(test_scan *)buffer;
        adapter_scan(&scan, buffer);
        return sizeof(test_scanned);
    }
    case TEST_QUERY: {
        test_pnp p = *(test_pnp *)buffer;
        disk *d = disk_number(p.disk);
        words[0] = d ? query_pnp(d, (UCHAR)p.minor, p.argument, (PUCHAR)(words + 2), out - 8, &length) : (ULONG)STATUS_NO_SUCH_DEVICE;
        words[1] = length;
        return 8 + length;
    }
    case TEST_DIRECT: return direct_send(buffer, in, out);
    case TEST_ADAPTER_CONTROL:
        words[0] = adapter_control(words[0], words + 2, in - 8, out - 8, &length);
        words[1] = adapter_invalidations();
        return 8 + length;
    case TEST_ADAPTER_SETTING: words[0] = adapter_setting(buffer); break;
    case TEST_ADAPTER_POWER:
        words[0] = adapter_power(words[0], &length);
        words[1] = length;
        return 8;
    case TEST_ADAPTER_PNP: words[0] = adapter_pnp(words[0]); break;
    }
    return 4;
}

static void wait_for(PIRP irp)
{
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    ULONG code = at->Parameters.DeviceIoControl.IoControlCode;
    PVOID buffer = irp->AssociatedIrp.SystemBuffer;
    if ((code >= TEST_ADAPTER && code <= TEST_QUERY) || code == TEST_DIRECT) {
        ULONG n = about_adapter(code, buffer, at->Parameters.DeviceIoControl.InputBufferLength, at->Parameters.DeviceIoControl.OutputBufferLength);
        finish(irp, STATUS_SUCCESS, n);
        return;
    }
    if (code == TEST_CREATE) {
        test_create c = *(test_create *)buffer;
        create(&c, buffer);
        finish(irp, STATUS_SUCCESS, sizeof(test_created));
        return;
    }
    if (code == TEST_LOAD || code == TEST_UNLOAD) {
        test_service s = *(test_service *)buffer;
        *(ULONG *)buffer = (ULONG)load(s.name, code == TEST_UNLOAD);
        finish(irp, STATUS_SUCCESS, 4);
        return;
    }
    test_pnp p = *(test_pnp *)buffer;
    disk *d = disk_number(p.disk);
    *(ULONG *)buffer = !d ? (ULONG)STATUS_NO_SUCH_DEVICE : code == TEST_PNP ? pnp(d, &p) : (ULONG)send_power(d, p.minor);
    finish(irp, STATUS_SUCCESS, 4);
}

static VOID NTAPI control_thread(PVOID context)
{
    KIRQL irql;
    (void)context;
    while (!control_worker.stop) {
        worker_wait(&control_worker, -1);
        for (;;) {
            PIRP irp = NULL;
            KeAcquireSpinLock(&waiting_lock, &irql);
            if (!IsListEmpty(&waiting)) irp = CONTAINING_RECORD(RemoveHeadList(&waiting), IRP, Tail.Overlay.ListEntry);
            KeReleaseSpinLock(&waiting_lock, irql);
            if (!irp) break;
            wait_for(irp);
        }
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* ---- the driver ---- */

static NTSTATUS NTAPI dispatch(PDEVICE_OBJECT device, PIRP irp)
{
    extension *e = device->DeviceExtension;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    UCHAR major = at->MajorFunction;
    if (major == IRP_MJ_CREATE || major == IRP_MJ_CLOSE || major == IRP_MJ_CLEANUP) return finish(irp, STATUS_SUCCESS, 0);
    if (e->role == ROLE_CONTROL) return major == IRP_MJ_DEVICE_CONTROL ? control_dispatch(irp, at) : finish(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (e->role == ROLE_ROOT) return root_dispatch(irp, at);
    disk *d = e->disk;
    if (e->role == ROLE_PORT) switch (major) {
    case IRP_MJ_SCSI: return port_scsi(d, irp, at);
    case IRP_MJ_DEVICE_CONTROL: return port_ioctl(d, irp, at);
    case IRP_MJ_PNP: return port_pnp(d, irp, at);
    case IRP_MJ_POWER: return port_power(d, irp, at);
    default: return finish(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    switch (major) {
    case IRP_MJ_READ: case IRP_MJ_WRITE: return transfer_start(d, irp, at);
    case IRP_MJ_PNP: return class_pnp(d, irp, at);
    case IRP_MJ_POWER:
        PoStartNextPowerIrp(irp);
        IoSkipCurrentIrpStackLocation(irp);
        return PoCallDriver(d->lower, irp);
    case IRP_MJ_DEVICE_CONTROL: return class_control(d, irp);
    default: return class_forward(d, irp);
    }
}

static VOID NTAPI unload(PDRIVER_OBJECT driver)
{
    UNICODE_STRING link;
    (void)driver;
    worker_stop(&control_worker);
    for (ULONG n = 0; n < MAX_DISKS; n++)
        if (disks[n]) {
            pnp(disks[n], &(test_pnp){ n, IRP_MN_REMOVE_DEVICE, 0 });
        }
    adapter_pnp(IRP_MN_REMOVE_DEVICE);
    RtlInitUnicodeString(&link, L"\\DosDevices\\SluiceTest");
    IoDeleteSymbolicLink(&link);
    IoDeleteDevice(control_device);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    UNICODE_STRING name, link;
    (void)path;
    own_driver = driver;
    InitializeListHead(&waiting);
    KeInitializeSpinLock(&waiting_lock);
    for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) driver->MajorFunction[i] = dispatch;
    driver->DriverUnload = unload;
    RtlInitUnicodeString(&name, L"\\Device\\SluiceTest");
    RtlInitUnicodeString(&link, L"\\DosDevices\\SluiceTest");
    NTSTATUS s = IoCreateDevice(driver, sizeof(extension), &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &control_device);
    if (!NT_SUCCESS(s)) return s;
    control_device->Flags |= DO_BUFFERED_IO;
    ((extension *)control_device->DeviceExtension)->role = ROLE_CONTROL;
    control_device->Flags &= ~DO_DEVICE_INITIALIZING;
    s = IoCreateSymbolicLink(&link, &name);
    if (NT_SUCCESS(s)) s = worker_start(&control_worker, control_thread, NULL);
    return s;
}
