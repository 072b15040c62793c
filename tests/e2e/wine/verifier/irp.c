/* IRPs: made, prepared, freed. */
#include "kernel.h"

#define RECENT 64
static void *recent[RECENT]; /* IRPs that ended lately, to name a second completion */
static ULONG recent_at;

irp_info *irp_find(IRP *irp)
{
    object *o = object_find(IRP_, irp);
    return o ? o->u.ptr : NULL;
}

static void add(IRP *irp, enum origin origin, void *caller)
{
    irp_info *info = heap_alloc(sizeof *info);
    info->irp = irp; info->origin = origin; info->allocated_by = caller; info->owner = driver_at(caller);
    object_add(IRP_, irp, caller, info);
}

irp_info *irp_know(IRP *irp)
{
    irp_info *info = irp_find(irp);
    if (info) return info;
    unlock_all();
    add(irp, SYSTEM, NULL);
    lock_all();
    return irp_find(irp);
}

/* Under big_lock: the IRP goes down from a stack location. */
irp_info *irp_sent(IRP *irp, LONG from)
{
    irp_info *info = irp_know(irp);
    if (!info->in_flight) { info->in_flight = TRUE; info->home = from; }
    return info;
}

/* Drops the record. FALSE: there was none. */
BOOLEAN irp_forget(IRP *irp)
{
    irp_info *info;
    if (!object_remove(IRP_, irp, (void **)&info)) return FALSE;
    lock_all();
    frames_drop(info);
    recent[recent_at++ % RECENT] = irp;
    unlock_all();
    heap_free(info);
    return TRUE;
}

BOOLEAN irp_recent(IRP *irp)
{
    for (int i = 0; i < RECENT; i++) if (recent[i] == irp) return TRUE;
    return FALSE;
}

static void irp_init(IRP *irp, USHORT size, CCHAR locations)
{
    RtlZeroMemory(irp, size);
    irp->Type = IO_TYPE_IRP;
    irp->Size = size;
    InitializeListHead(&irp->ThreadListEntry);
    irp->StackCount = locations;
    irp->CurrentLocation = locations + 1;
    irp->Tail.Overlay.CurrentStackLocation = (IO_STACK_LOCATION *)(irp + 1) + locations;
}

static IRP *make(CCHAR locations, enum origin origin, void *caller)
{
    USHORT size = IoSizeOfIrp(locations);
    IRP *irp;
    irql_at_most(DISPATCH_LEVEL, "IoAllocateIrp", caller);
    if (locations < 1) violation("irp.no-location", caller, "IRP with %d stack locations", locations);
    if (inject_failure(VERIFIER_FAIL_IRP, caller)) return NULL;
    irp = block_alloc(size, ' prI', FALSE, TRUE, caller);
    if (!irp) return NULL;
    irp_init(irp, size, locations);
    add(irp, origin, caller);
    return irp;
}

IRP *EXPORT(IoAllocateIrp)(CCHAR locations, BOOLEAN charge) { return make(locations, ALLOCATED, CALLER); }
IRP *EXPORT(IoAllocateIrpEx)(DEVICE_OBJECT *device, CCHAR locations, BOOLEAN charge) { return make(locations, ALLOCATED, CALLER); }

/* Frees one of ours; the caller has taken its record off. */
static void irp_free(IRP *irp, void *caller)
{
    block *b = block_at(irp);
    if (b && b->internal && b->data == (char *)irp && !b->freed) block_free(b, caller);
}

void EXPORT(IoFreeIrp)(IRP *irp)
{
    irp_info *info;
    enum origin origin;
    BOOLEAN in_flight;
    PMDL mdl;
    block *b = block_at(irp);
    irql_at_most(DISPATCH_LEVEL, "IoFreeIrp", CALLER);
    if (b && b->freed) { violation("irp.double-free", CALLER, "IoFreeIrp of IRP %p, which is free already", irp); return; }
    lock_all();
    info = irp_find(irp);
    origin = info ? info->origin : SYSTEM;
    in_flight = info && info->in_flight;
    unlock_all();
    if (!info || origin == SYSTEM || origin == INITIALISED) {
        violation("irp.free-foreign", CALLER, "IoFreeIrp of IRP %p, which no IoAllocateIrp returned", irp);
        return;
    }
    if (in_flight) violation("irp.free-in-flight", CALLER, "IoFreeIrp of IRP %p, which a lower driver still has", irp);
    for (mdl = irp->MdlAddress; mdl; mdl = mdl->Next)
        if (mdl_belongs(mdl, irp)) violation("irp.free-with-mdl", CALLER, "IoFreeIrp of IRP %p with MDL %p of its own chained", irp, mdl);
    irp_forget(irp);
    irp_free(irp, CALLER);
}

/* The I/O manager's end of an IRP, after the last stack location. */
void irp_finish(IRP *irp)
{
    irp_info *info;
    enum origin origin = SYSTEM;
    void *maker = NULL;
    PMDL mdl, next;
    lock_all();
    info = irp_find(irp);
    if (info) { origin = info->origin; maker = info->allocated_by; }
    unlock_all();
    irp_forget(irp);
    if (origin == SYSTEM) { IoCompleteRequest(irp, 0); return; } /* Wine's: it knows how */
    if (origin != THREADED)
        violation("irp.unclaimed", maker, "IRP %p came back to the I/O manager: no completion routine kept it", irp);
    if (origin == INITIALISED) return;
    for (mdl = irp->MdlAddress; mdl; mdl = next) {
        next = mdl->Next;
        mdl_finish(mdl);
    }
    if (irp->UserIosb) *irp->UserIosb = irp->IoStatus;
    if (irp->UserEvent) KeSetEvent(irp->UserEvent, 0, FALSE);
    irp_free(irp, maker);
}

void EXPORT(IoInitializeIrp)(IRP *irp, USHORT size, CCHAR locations)
{
    BOOLEAN allocated;
    lock_all();
    allocated = irp_find(irp) && irp_find(irp)->origin != INITIALISED && irp_find(irp)->origin != SYSTEM;
    unlock_all();
    if (allocated) violation("irp.initialised", CALLER, "IoInitializeIrp of IRP %p from IoAllocateIrp", irp);
    if (size < IoSizeOfIrp(locations)) violation("irp.no-location", CALLER, "IRP of %d bytes for %d stack locations", size, locations);
    irp_init(irp, size, locations);
    if (allocated) return;
    irp_forget(irp);
    add(irp, INITIALISED, CALLER);
    lock_all();
    object_find(IRP_, irp)->owner = NULL; /* the memory is the driver's: no leak of its own */
    unlock_all();
}

void EXPORT(IoReuseIrp)(IRP *irp, NTSTATUS status)
{
    irp_info *info;
    UCHAR flags = irp->AllocationFlags;
    BOOLEAN in_flight, built;
    lock_all();
    info = irp_find(irp);
    in_flight = info && info->in_flight;
    built = info && (info->origin == THREADED || info->origin == SYSTEM);
    if (info) { info->last = NULL; info->in_flight = FALSE; frames_drop(info); }
    unlock_all();
    if (in_flight) violation("irp.reuse-in-flight", CALLER, "IoReuseIrp of IRP %p, which a lower driver still has", irp);
    if (built) violation("irp.reuse-foreign", CALLER, "IoReuseIrp of IRP %p, which IoAllocateIrp did not return", irp);
    irp_init(irp, irp->Size, irp->StackCount);
    irp->AllocationFlags = flags;
    irp->IoStatus.Status = status;
}

/* The hint lies in three bits of the IRP's flags, 0 for none: as it comes back from IoGet, so IoSet put it. */
#define PRIORITY_SHIFT 17
#define PRIORITY_MASK (7u << PRIORITY_SHIFT)
IO_PRIORITY_HINT EXPORT(IoGetIoPriorityHint)(IRP *irp)
{
    ULONG hint = (irp->Flags & PRIORITY_MASK) >> PRIORITY_SHIFT;
    irql_at_most(DISPATCH_LEVEL, "IoGetIoPriorityHint", CALLER);
    return hint ? (IO_PRIORITY_HINT)(hint - 1) : IoPriorityNormal;
}
NTSTATUS EXPORT(IoSetIoPriorityHint)(IRP *irp, IO_PRIORITY_HINT hint)
{
    irql_at_most(DISPATCH_LEVEL, "IoSetIoPriorityHint", CALLER);
    if ((ULONG)hint >= MaxIoPriorityTypes) return STATUS_INVALID_PARAMETER;
    irp->Flags = (irp->Flags & ~PRIORITY_MASK) | ((ULONG)hint + 1) << PRIORITY_SHIFT;
    return STATUS_SUCCESS;
}

/* ---- IoBuild...Request ---- */

/* Whether the pages are there, to be written if the device is read. */
static BOOLEAN is_there(char *from, ULONG length, BOOLEAN written)
{
    for (char *at = from; at < from + length;) {
        memory_region m;
        ULONG wanted = PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY |
                       (written ? 0 : PAGE_READONLY | PAGE_EXECUTE_READ);
        if (!VirtualQuery(at, &m, sizeof m) || m.state != MEM_COMMIT || !(m.protect & wanted)) return FALSE;
        at = (char *)m.base + m.size;
    }
    return TRUE;
}

static BOOLEAN attach_mdl(IRP *irp, PVOID buffer, ULONG length, void *caller)
{
    PMDL m = mdl_make(buffer, length, irp, caller);
    if (!m) return FALSE;
    m->MappedSystemVa = buffer;
    m->MdlFlags |= MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA;
    irp->MdlAddress = m;
    return TRUE;
}

static IRP *build_fsd(ULONG major, DEVICE_OBJECT *device, PVOID buffer, ULONG length, LARGE_INTEGER *offset, IO_STATUS_BLOCK *iosb, enum origin origin, void *caller)
{
    IRP *irp = make(device->StackSize, origin, caller);
    IO_STACK_LOCATION *s;
    if (!irp) return NULL;
    s = IoGetNextIrpStackLocation(irp);
    s->MajorFunction = (UCHAR)major;
    if (major == IRP_MJ_READ || major == IRP_MJ_WRITE) {
        /* Read and Write have the same layout */
        s->Parameters.Read.Length = length;
        if (offset) s->Parameters.Read.ByteOffset = *offset;
        irp->UserBuffer = buffer;
        if (device->Flags & DO_BUFFERED_IO) irp->AssociatedIrp.SystemBuffer = buffer;
        if ((device->Flags & DO_DIRECT_IO) && length &&
            (!is_there(buffer, length, major == IRP_MJ_READ) || !attach_mdl(irp, buffer, length, caller))) {
            irp_forget(irp);
            irp_free(irp, caller);
            return NULL;
        }
    }
    irp->UserIosb = iosb;
    irp->Tail.Overlay.Thread = (PETHREAD)KeGetCurrentThread();
    return irp;
}

IRP *EXPORT(IoBuildAsynchronousFsdRequest)(ULONG major, DEVICE_OBJECT *device, PVOID buffer, ULONG length, LARGE_INTEGER *offset, IO_STATUS_BLOCK *iosb)
{
    irql_at_most(DISPATCH_LEVEL, "IoBuildAsynchronousFsdRequest", CALLER);
    return build_fsd(major, device, buffer, length, offset, iosb, BUILT, CALLER);
}

IRP *EXPORT(IoBuildSynchronousFsdRequest)(ULONG major, DEVICE_OBJECT *device, PVOID buffer, ULONG length, LARGE_INTEGER *offset, KEVENT *event, IO_STATUS_BLOCK *iosb)
{
    IRP *irp;
    irql_at_most(PASSIVE_LEVEL, "IoBuildSynchronousFsdRequest", CALLER);
    irp = build_fsd(major, device, buffer, length, offset, iosb, THREADED, CALLER);
    if (irp) irp->UserEvent = event;
    return irp;
}

IRP *EXPORT(IoBuildDeviceIoControlRequest)(ULONG code, DEVICE_OBJECT *device, PVOID in, ULONG in_length, PVOID out, ULONG out_length, BOOLEAN internal, KEVENT *event, IO_STATUS_BLOCK *iosb)
{
    IRP *irp;
    IO_STACK_LOCATION *s;
    irql_at_most(PASSIVE_LEVEL, "IoBuildDeviceIoControlRequest", CALLER);
    irp = make(device->StackSize, THREADED, CALLER);
    if (!irp) return NULL;
    s = IoGetNextIrpStackLocation(irp);
    s->MajorFunction = internal ? IRP_MJ_INTERNAL_DEVICE_CONTROL : IRP_MJ_DEVICE_CONTROL;
    s->Parameters.DeviceIoControl.IoControlCode = code;
    s->Parameters.DeviceIoControl.InputBufferLength = in_length;
    s->Parameters.DeviceIoControl.OutputBufferLength = out_length;
    irp->UserBuffer = out;
    irp->UserIosb = iosb;
    irp->UserEvent = event;
    irp->Tail.Overlay.Thread = (PETHREAD)KeGetCurrentThread();
    switch (code & 3) {
    case METHOD_BUFFERED: /* one buffer for both ways: the larger of the two has room */
        irp->AssociatedIrp.SystemBuffer = out_length > in_length ? out : in;
        if (in_length && irp->AssociatedIrp.SystemBuffer == out && in != out) RtlMoveMemory(out, in, in_length);
        break;
    case METHOD_NEITHER:
        s->Parameters.DeviceIoControl.Type3InputBuffer = in;
        break;
    default:
        irp->AssociatedIrp.SystemBuffer = in;
        if (out_length && !attach_mdl(irp, out, out_length, CALLER)) { irp_forget(irp); irp_free(irp, CALLER); return NULL; }
    }
    return irp;
}
