/* MDLs. All memory is always resident and mapped here, so the flags and the
 * addresses are kept right and the order of calls is checked. */
#include "kernel.h"

typedef struct mdl_info { IRP *irp; BOOLEAN locked_by_driver; } mdl_info;

#define READY (MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL | MDL_MAPPED_TO_SYSTEM_VA)

static char *va_of(PMDL m) { return (char *)m->StartVa + m->ByteOffset; }

PMDL mdl_make(PVOID va, ULONG length, IRP *irp, void *caller)
{
    ULONG pages = ADDRESS_AND_SIZE_TO_SPAN_PAGES(va, length);
    SIZE_T size = sizeof(MDL) + pages * sizeof(PFN_NUMBER);
    mdl_info *info;
    PMDL m;
    if (inject_failure(VERIFIER_FAIL_MDL, caller)) return NULL;
    m = block_alloc(size, ' ldM', FALSE, TRUE, caller);
    if (!m) return NULL;
    RtlZeroMemory(m, size);
    MmInitializeMdl(m, va, length);
    m->MdlFlags |= MDL_ALLOCATED_FIXED_SIZE;
    info = heap_alloc(sizeof *info);
    info->irp = irp;
    object_add(MDL_, m, caller, info);
    return m;
}

static void drop(PMDL m, void *caller)
{
    mdl_info *info;
    if (object_remove(MDL_, m, (void **)&info)) heap_free(info);
    block_free(block_at(m), caller);
}

static BOOLEAN ours(PMDL m)
{
    object *o;
    lock_all();
    o = object_find(MDL_, m);
    unlock_all();
    return o != NULL;
}

BOOLEAN mdl_belongs(PMDL m, IRP *irp)
{
    object *o;
    BOOLEAN yes;
    lock_all();
    o = object_find(MDL_, m);
    yes = o && ((mdl_info *)o->u.ptr)->irp == irp;
    unlock_all();
    return yes;
}

void mdl_finish(PMDL m) { if (ours(m)) drop(m, CALLER); }

PMDL EXPORT(IoAllocateMdl)(PVOID va, ULONG length, BOOLEAN secondary, BOOLEAN quota, IRP *irp)
{
    PMDL m, *end;
    irql_at_most(DISPATCH_LEVEL, "IoAllocateMdl", CALLER);
    m = mdl_make(va, length, irp, CALLER);
    if (!m || !irp) return m;
    if (secondary) { for (end = &irp->MdlAddress; *end; end = &(*end)->Next) ; *end = m; }
    else { m->Next = irp->MdlAddress; irp->MdlAddress = m; }
    return m;
}

static BOOLEAN chained(PMDL m)
{
    object *o;
    irp_info *info;
    IRP *irp = NULL;
    BOOLEAN found = FALSE;
    lock_all();
    o = object_find(MDL_, m);
    if (o) irp = ((mdl_info *)o->u.ptr)->irp;
    info = irp ? irp_find(irp) : NULL;
    if (info && info->origin != SYSTEM)
        for (PMDL p = irp->MdlAddress; p && !found; p = p->Next) found = p == m;
    unlock_all();
    return found;
}

void EXPORT(IoFreeMdl)(PMDL m)
{
    block *b = block_at(m);
    irql_at_most(DISPATCH_LEVEL, "IoFreeMdl", CALLER);
    if (b && b->freed) { violation("mdl.double-free", CALLER, "IoFreeMdl of MDL %p, which is free already", m); return; }
    if (!ours(m)) { violation("mdl.free-unknown", CALLER, "IoFreeMdl of %p, which no IoAllocateMdl returned", m); return; }
    if (m->MdlFlags & MDL_PAGES_LOCKED) violation("mdl.free-locked", CALLER, "IoFreeMdl of MDL %p, whose pages are locked", m);
    if (chained(m)) violation("mdl.free-chained", CALLER, "IoFreeMdl of MDL %p, which its IRP still points to", m);
    drop(m, CALLER);
}

/* The range must lie in one live block if it lies in the arena at all. */
static void check_range(char *va, ULONG length, BOOLEAN nonpaged, const char *function, void *caller)
{
    block *b = block_at(va);
    if (!in_arena(va)) return;
    if (!b || b->freed) violation("mdl.range", caller, "%s: %p is no live pool block", function, va);
    else if (va < b->data || va + length > b->data + b->size)
        violation("mdl.range", caller, "%s: %lu bytes at %p exceed the pool block of %lu bytes", function, (ULONG)length, va, (ULONG)b->size);
    else if (nonpaged && b->paged) violation("mdl.paged", caller, "%s: %p is paged pool", function, va);
}

/* An IRP goes down: its MDLs must describe something. */
void mdl_check_sent(IRP *irp, const char *function, void *caller)
{
    for (PMDL m = irp->MdlAddress; m && ours(m); m = m->Next)
        if (!(m->MdlFlags & READY)) violation("mdl.not-built", caller, "%s with MDL %p, which is neither locked nor built", function, m);
}

void EXPORT(MmBuildMdlForNonPagedPool)(PMDL m)
{
    irql_at_most(DISPATCH_LEVEL, "MmBuildMdlForNonPagedPool", CALLER);
    if (m->MdlFlags & (MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL))
        violation("mdl.built-twice", CALLER, "MmBuildMdlForNonPagedPool of MDL %p with flags 0x%x", m, m->MdlFlags);
    check_range(va_of(m), m->ByteCount, TRUE, "MmBuildMdlForNonPagedPool", CALLER);
    m->MappedSystemVa = va_of(m);
    m->MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
    m->Process = NULL;
}

void EXPORT(MmProbeAndLockPages)(PMDL m, KPROCESSOR_MODE mode, LOCK_OPERATION operation)
{
    block *b = block_at(va_of(m));
    irql_at_most(b && !b->paged ? DISPATCH_LEVEL : APC_LEVEL, "MmProbeAndLockPages", CALLER);
    if (m->MdlFlags & (MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL))
        violation("mdl.locked-twice", CALLER, "MmProbeAndLockPages of MDL %p with flags 0x%x", m, m->MdlFlags);
    check_range(va_of(m), m->ByteCount, FALSE, "MmProbeAndLockPages", CALLER);
    m->MdlFlags |= MDL_PAGES_LOCKED;
    if (operation != IoReadAccess) m->MdlFlags |= MDL_WRITE_OPERATION;
}

void EXPORT(MmUnlockPages)(PMDL m)
{
    irql_at_most(DISPATCH_LEVEL, "MmUnlockPages", CALLER);
    if (!(m->MdlFlags & MDL_PAGES_LOCKED) || (m->MdlFlags & (MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL)))
        violation("mdl.not-locked", CALLER, "MmUnlockPages of MDL %p with flags 0x%x", m, m->MdlFlags);
    m->MdlFlags &= ~(MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA | MDL_WRITE_OPERATION);
    m->MappedSystemVa = NULL;
}

PVOID EXPORT(MmMapLockedPagesSpecifyCache)(PMDL m, KPROCESSOR_MODE mode, MEMORY_CACHING_TYPE cache, PVOID at, ULONG bugcheck, ULONG priority)
{
    irql_at_most(mode == KernelMode ? DISPATCH_LEVEL : APC_LEVEL, "MmMapLockedPagesSpecifyCache", CALLER);
    if (!(m->MdlFlags & READY)) violation("mdl.not-built", CALLER, "mapping MDL %p, which is neither locked nor built", m);
    m->MappedSystemVa = va_of(m);
    m->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA;
    if (m->MdlFlags & MDL_PARTIAL) m->MdlFlags |= MDL_PARTIAL_HAS_BEEN_MAPPED;
    return m->MappedSystemVa;
}
PVOID EXPORT(MmMapLockedPages)(PMDL m, KPROCESSOR_MODE mode) { return x_MmMapLockedPagesSpecifyCache(m, mode, MmCached, NULL, TRUE, NormalPagePriority); }

void EXPORT(MmUnmapLockedPages)(PVOID va, PMDL m)
{
    irql_at_most(DISPATCH_LEVEL, "MmUnmapLockedPages", CALLER);
    if (!(m->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA)) violation("mdl.not-mapped", CALLER, "MmUnmapLockedPages of MDL %p with flags 0x%x", m, m->MdlFlags);
    m->MdlFlags &= ~(MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED);
    m->MappedSystemVa = NULL;
}

void EXPORT(IoBuildPartialMdl)(PMDL from, PMDL to, PVOID va, ULONG length)
{
    char *start = va_of(from), *at = va;
    irql_at_most(DISPATCH_LEVEL, "IoBuildPartialMdl", CALLER);
    if (!length && at >= start && at < start + from->ByteCount) length = (ULONG)(start + from->ByteCount - at);
    if (at < start || length > from->ByteCount || at + length > start + from->ByteCount)
        violation("mdl.partial-range", CALLER, "partial MDL of %lu bytes at %+lld of a source of %lu bytes",
                  (ULONG)length, (long long)(at - start), (ULONG)from->ByteCount);
    if (sizeof(MDL) + ADDRESS_AND_SIZE_TO_SPAN_PAGES(at, length) * sizeof(PFN_NUMBER) > (USHORT)to->Size)
        violation("mdl.partial-room", CALLER, "the target MDL has no room for the pages of %lu bytes", (ULONG)length);
    if (!(from->MdlFlags & READY)) violation("mdl.not-built", CALLER, "partial MDL of MDL %p, which is neither locked nor built", from);
    to->StartVa = (PVOID)((ULONG_PTR)at & ~(ULONG_PTR)0xfff);
    to->ByteOffset = (ULONG)((ULONG_PTR)at & 0xfff);
    to->ByteCount = length;
    to->Process = from->Process;
    to->MdlFlags = (to->MdlFlags & MDL_ALLOCATED_FIXED_SIZE) | MDL_PARTIAL;
    to->MappedSystemVa = NULL;
    if (from->MdlFlags & MDL_SOURCE_IS_NONPAGED_POOL) to->MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
    if (from->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) to->MdlFlags |= MDL_PARENT_MAPPED_SYSTEM_VA;
    if (from->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL))
        to->MappedSystemVa = (char *)from->MappedSystemVa + (at - start);
}
