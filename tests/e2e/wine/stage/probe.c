/* sluicestage.sys: stages that do what a test asks for, right or wrong. See probe.h. */
#include <ntddk.h>
#include <sluice_stage.h>
#include "probe.h"

/* mingw inlines these as accesses to CR8, which user mode does not have. */
KIRQL NTAPI raise_irql(KIRQL) __asm__("KfRaiseIrql");
VOID NTAPI lower_irql(KIRQL) __asm__("KeLowerIrql");

typedef struct probe {
    probe_mode mode;
    volatile LONG64 requests, completions, bytes, inside, detached, after_detach, at_detach;
} probe;

static probe probes[PROBES];
static sluice_stage_interface sluice;
static PFILE_OBJECT file;
static PDEVICE_OBJECT device;

/* What one of our threads lives on. */
typedef struct worker {
    PVOID thread;
    KEVENT wake;
    KSPIN_LOCK lock;
    LIST_ENTRY list;
    volatile LONG stop;
} worker;

static worker calls;  /* IRPs whose work may wait */
static worker keeper; /* I/Os that are to be resumed */

/* An I/O that is kept: in the stage's own words, which are four. */
typedef struct kept { LIST_ENTRY entry; sluice_io *io; } kept;

static void worker_put(worker *w, LIST_ENTRY *entry)
{
    KIRQL irql;
    KeAcquireSpinLock(&w->lock, &irql);
    InsertTailList(&w->list, entry);
    KeReleaseSpinLock(&w->lock, irql);
    KeSetEvent(&w->wake, 0, FALSE);
}

static LIST_ENTRY *worker_take(worker *w)
{
    KIRQL irql;
    KeAcquireSpinLock(&w->lock, &irql);
    LIST_ENTRY *entry = IsListEmpty(&w->list) ? NULL : RemoveHeadList(&w->list);
    KeReleaseSpinLock(&w->lock, irql);
    return entry;
}

static NTSTATUS worker_start(worker *w, PKSTART_ROUTINE routine)
{
    HANDLE h;
    KeInitializeEvent(&w->wake, SynchronizationEvent, FALSE);
    KeInitializeSpinLock(&w->lock);
    InitializeListHead(&w->list);
    NTSTATUS s = PsCreateSystemThread(&h, THREAD_ALL_ACCESS, NULL, NULL, NULL, routine, w);
    if (!NT_SUCCESS(s)) return s;
    s = ObReferenceObjectByHandle(h, SYNCHRONIZE, NULL, KernelMode, &w->thread, NULL);
    ZwClose(h);
    return s;
}

static void worker_stop(worker *w)
{
    if (!w->thread) return;
    w->stop = TRUE;
    KeSetEvent(&w->wake, 0, FALSE);
    KeWaitForSingleObject(w->thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(w->thread);
}

/* ---- the stage ---- */

static void lay_over(UCHAR *data, SIZE_T length, ULONG mask)
{
    for (SIZE_T i = 0; i < length; i++) data[i] ^= (UCHAR)mask;
}

static uint32_t act(ULONG action, sluice_io *io)
{
    kept *k = (kept *)sluice_state(io);
    switch (action) {
    case PROBE_KEEP:
        k->io = io;
        worker_put(&keeper, &k->entry);
        return SLUICE_PENDING;
    case PROBE_KEEP_EARLY:
        io->host->resume(io, SLUICE_CONTINUE);
        return SLUICE_PENDING;
    case PROBE_END: io->status = SLUICE_WRITE_PROTECTED; return SLUICE_DONE;
    case PROBE_PRETEND: return SLUICE_DONE;
    case PROBE_GARBAGE: return 77;
    }
    return SLUICE_CONTINUE;
}

static uint32_t on_request(const void *context, sluice_io *io)
{
    probe *p = (probe *)context;
    if (p->detached) InterlockedIncrement64(&p->after_detach);
    InterlockedIncrement64(&p->inside);
    InterlockedIncrement64(&p->requests);
    if (io->direction == SLUICE_READ || io->direction == SLUICE_WRITE) InterlockedExchangeAdd64(&p->bytes, io->length);
    if (io->direction == SLUICE_WRITE && p->mode.xor_write) {
        UCHAR *data = sluice_private_payload(io);
        if (!data) {
            InterlockedDecrement64(&p->inside);
            io->status = SLUICE_INTERNAL;
            return SLUICE_DONE;
        }
        lay_over(data, io->length, p->mode.xor_write);
    }
    ULONG action = p->mode.action;
    /* A stage that ends an I/O does not see its completion. */
    if (action == PROBE_END || action == PROBE_PRETEND || action == PROBE_GARBAGE) InterlockedDecrement64(&p->inside);
    return act(action, io);
}

static uint32_t on_completion(const void *context, sluice_io *io)
{
    probe *p = (probe *)context;
    if (p->detached) InterlockedIncrement64(&p->after_detach);
    InterlockedIncrement64(&p->completions);
    if (io->direction == SLUICE_READ && io->status == SLUICE_OK && p->mode.xor_read) {
        SIZE_T left = io->transferred;
        for (ULONG n = 0; n < io->segment_count; n++) {
            SIZE_T length = io->segments[n].length < left ? io->segments[n].length : left;
            lay_over(io->segments[n].address, length, p->mode.xor_read);
            left -= length;
        }
    }
    InterlockedDecrement64(&p->inside);
    ULONG action = p->mode.action;
    if (action == PROBE_GARBAGE_UP) return 77;
    return action == PROBE_KEEP || action == PROBE_KEEP_EARLY ? act(action, io) : SLUICE_CONTINUE;
}

static void on_detach(const void *context)
{
    probe *p = (probe *)context;
    p->at_detach += p->inside;
    InterlockedIncrement64(&p->detached);
}

static VOID NTAPI keeper_thread(PVOID context)
{
    worker *w = context;
    for (;;) {
        LIST_ENTRY *entry = worker_take(w);
        if (entry) {
            sluice_io *io = CONTAINING_RECORD(entry, kept, entry)->io;
            io->host->resume(io, SLUICE_CONTINUE);
        } else if (w->stop) break;
        else KeWaitForSingleObject(&w->wake, Executive, KernelMode, FALSE, NULL);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* ---- what a test asks for ---- */

static NTSTATUS register_probe(const probe_registration *r, ULONGLONG *handle)
{
    probe *p = &probes[r->probe % PROBES];
    sluice_stage stage = {
        .size = r->table_size, .version = r->version, .needs = r->needs, .reserved = r->table_reserved,
        .request = r->flags & PROBE_NULL_FUNCTION ? NULL : on_request, .completion = on_completion, .detach = on_detach,
    };
    sluice_registration what = {
        .size = r->size, .kind = r->kind, .place = r->place, .altitude = r->altitude, .disk = r->disk,
        .reserved = r->reserved, .stage = r->flags & PROBE_NULL_TABLE ? NULL : &stage, .context = p,
    };
    const sluice_registration *given = r->flags & PROBE_NULL ? NULL : &what;
    uint64_t *out = r->flags & PROBE_NULL_HANDLE ? NULL : (uint64_t *)handle;
    RtlCopyMemory(stage.name, r->name, sizeof stage.name);
    if (r->flags & PROBE_MISALIGNED) given = (const sluice_registration *)((const char *)given + 4);
    p->detached = p->after_detach = p->at_detach = 0;
    if (!(r->flags & PROBE_AT_DISPATCH)) return sluice.register_stage(given, out);
    KIRQL old = raise_irql(DISPATCH_LEVEL);
    NTSTATUS s = sluice.register_stage(given, out);
    lower_irql(old);
    return s;
}

static NTSTATUS unregister_probe(const probe_unregistration *u)
{
    if (!(u->flags & PROBE_AT_DISPATCH)) return sluice.unregister_stage(u->handle);
    KIRQL old = raise_irql(DISPATCH_LEVEL);
    NTSTATUS s = sluice.unregister_stage(u->handle);
    lower_irql(old);
    return s;
}

/* Asks the control device with the numbers given. */
static NTSTATUS ask(const probe_interface *q)
{
    ULONGLONG room[16] = { q->version };
    IO_STATUS_BLOCK answer;
    KEVENT done;
    UNICODE_STRING name;
    PFILE_OBJECT opened;
    PDEVICE_OBJECT at;
    RtlInitUnicodeString(&name, L"\\Device\\SluiceControl");
    NTSTATUS s = IoGetDeviceObjectPointer(&name, FILE_READ_DATA, &opened, &at);
    if (!NT_SUCCESS(s)) return s;
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    PIRP irp = IoBuildDeviceIoControlRequest(q->code, at, room, min(q->input, sizeof room), room, min(q->output, sizeof room), TRUE, &done, &answer);
    s = irp ? IoCallDriver(at, irp) : STATUS_INSUFFICIENT_RESOURCES;
    if (s == STATUS_PENDING) {
        KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
        s = answer.Status;
    }
    ObDereferenceObject(opened);
    return s;
}

static ULONG seen(ULONG number, probe_seen *out)
{
    probe *p = &probes[number % PROBES];
    *out = (probe_seen){ p->requests, p->completions, p->bytes, p->detached, p->after_detach, p->at_detach };
    return sizeof *out;
}

static ULONG carry_out(ULONG code, PVOID buffer, ULONG out)
{
    LONG *status = buffer;
    switch (code) {
    case PROBE_REGISTER: {
        probe_registration r = *(probe_registration *)buffer;
        probe_registered *answer = buffer;
        ULONGLONG handle = 0;
        *answer = (probe_registered){ .status = register_probe(&r, &handle) };
        answer->handle = handle;
        return sizeof *answer;
    }
    case PROBE_UNREGISTER: *status = unregister_probe(buffer); return sizeof *status;
    case PROBE_LIST: {
        uint32_t room = *(ULONG *)buffer, count = 0;
        if (out < 8 + room * sizeof(sluice_registered)) return 0;
        status[0] = sluice.list_stages(room ? (sluice_registered *)(status + 2) : NULL, room, &count);
        status[1] = (LONG)count;
        return (ULONG)(8 + min(room, count) * sizeof(sluice_registered));
    }
    case PROBE_MODE: {
        probe_mode m = *(probe_mode *)buffer;
        probes[m.probe % PROBES].mode = m;
        return 0;
    }
    case PROBE_SEEN: return seen(*(ULONG *)buffer, buffer);
    case PROBE_INTERFACE: *status = ask(buffer); return sizeof *status;
    }
    return 0;
}

static VOID NTAPI calls_thread(PVOID context)
{
    worker *w = context;
    for (;;) {
        LIST_ENTRY *entry = worker_take(w);
        if (entry) {
            PIRP irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
            PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
            irp->IoStatus.Information = carry_out(at->Parameters.DeviceIoControl.IoControlCode, irp->AssociatedIrp.SystemBuffer,
                                                  at->Parameters.DeviceIoControl.OutputBufferLength);
            irp->IoStatus.Status = STATUS_SUCCESS;
            IoCompleteRequest(irp, IO_NO_INCREMENT);
        } else if (w->stop) break;
        else KeWaitForSingleObject(&w->wake, Executive, KernelMode, FALSE, NULL);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* ---- the driver ---- */

static NTSTATUS NTAPI dispatch(PDEVICE_OBJECT d, PIRP irp)
{
    if (IoGetCurrentIrpStackLocation(irp)->MajorFunction == IRP_MJ_DEVICE_CONTROL) {
        IoMarkIrpPending(irp);
        worker_put(&calls, &irp->Tail.Overlay.ListEntry);
        return STATUS_PENDING;
    }
    irp->IoStatus.Status = STATUS_SUCCESS;
    irp->IoStatus.Information = 0;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

/* What a test has left registered is taken out, as every driver must. */
static VOID NTAPI unload(PDRIVER_OBJECT driver)
{
    UNICODE_STRING link;
    sluice_registered lines[16];
    uint32_t count = 0;
    worker_stop(&calls);
    if (NT_SUCCESS(sluice.list_stages(lines, 16, &count)))
        for (ULONG n = 0; n < min(count, 16); n++)
            if (RtlEqualMemory(lines[n].name, "probe", 5)) sluice.unregister_stage(lines[n].handle);
    worker_stop(&keeper);
    RtlInitUnicodeString(&link, L"\\DosDevices\\SluiceStage");
    IoDeleteSymbolicLink(&link);
    IoDeleteDevice(device);
    ObDereferenceObject(file);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    UNICODE_STRING name, link;
    NTSTATUS s = sluice_get_interface(&sluice, &file);
    if (!NT_SUCCESS(s)) return s;
    for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) driver->MajorFunction[i] = dispatch;
    driver->DriverUnload = unload;
    RtlInitUnicodeString(&name, L"\\Device\\SluiceStage");
    RtlInitUnicodeString(&link, L"\\DosDevices\\SluiceStage");
    s = IoCreateDevice(driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    if (!NT_SUCCESS(s)) return s;
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    s = IoCreateSymbolicLink(&link, &name);
    if (NT_SUCCESS(s)) s = worker_start(&keeper, keeper_thread);
    if (NT_SUCCESS(s)) s = worker_start(&calls, calls_thread);
    return s;
}
