/* ExAllocatePool and its family, lookaside lists. */
#include "kernel.h"

static BOOLEAN paged_type(ULONG type) { return (type & 1) != 0; } /* PagedPool and its variants are odd */

/* Memory that the same thread has just given back is there: code that cannot
 * take a failure (an allocation inside a library) asks for it that way. */
static BOOLEAN fails(SIZE_T size, void *caller)
{
    SIZE_T there = self()->given_back;
    if (is_target(caller)) self()->given_back = 0;
    return (size > there || always_fails()) && inject_failure(VERIFIER_FAIL_POOL, caller);
}

static PVOID allocate(BOOLEAN paged, SIZE_T size, ULONG tag, BOOLEAN zero, const char *function, void *caller)
{
    PVOID p;
    irql_at_most(paged ? APC_LEVEL : DISPATCH_LEVEL, function, caller);
    if (!tag) violation("pool.no-tag", caller, "%s with tag 0", function);
    if (!size) violation("pool.no-size", caller, "%s of 0 bytes", function);
    if (fails(size, caller)) return NULL;
    p = block_alloc(size, tag, paged, FALSE, caller);
    if (!p) return NULL;
    if (zero) RtlZeroMemory(p, size);
    object_add(POOL, p, caller, NULL);
    return p;
}

/* tag 0: the caller does not say which (ExFreePool). */
static void release(PVOID p, ULONG tag, const char *function, void *caller)
{
    block *b = block_at(p);
    if (!p) { violation("pool.free-unknown", caller, "%s of NULL", function); return; }
    if (b && b->freed && b->data == p) {
        violation("pool.double-free", caller, "%s of %p, which is free already", function, p);
        return;
    }
    if (!b || b->internal || b->data != p || !object_remove(POOL, p, NULL)) {
        violation("pool.free-unknown", caller, "%s of %p, which is no pool block", function, p);
        return;
    }
    irql_at_most(b->paged ? APC_LEVEL : DISPATCH_LEVEL, function, caller);
    if (tag && tag != b->tag)
        violation("pool.wrong-tag", caller, "%s of '%.4s' with tag '%.4s'", function, (char *)&b->tag, (char *)&tag);
    if (is_target(caller)) self()->given_back = b->size;
    block_free(b, caller);
}

PVOID EXPORT(ExAllocatePool)(POOL_TYPE t, SIZE_T n) { return allocate(paged_type(t), n, 'enoN', FALSE, "ExAllocatePool", CALLER); }
PVOID EXPORT(ExAllocatePoolWithTag)(POOL_TYPE t, SIZE_T n, ULONG tag)
{ return allocate(paged_type(t), n, tag, FALSE, "ExAllocatePoolWithTag", CALLER); }
PVOID EXPORT(ExAllocatePoolWithTagPriority)(POOL_TYPE t, SIZE_T n, ULONG tag, ULONG priority)
{ return allocate(paged_type(t), n, tag, FALSE, "ExAllocatePoolWithTagPriority", CALLER); }
PVOID EXPORT(ExAllocatePoolZero)(POOL_TYPE t, SIZE_T n, ULONG tag)
{ return allocate(paged_type(t), n, tag, TRUE, "ExAllocatePoolZero", CALLER); }
PVOID EXPORT(ExAllocatePoolWithQuota)(POOL_TYPE t, SIZE_T n)
{ return allocate(paged_type(t), n, 'enoN', FALSE, "ExAllocatePoolWithQuota", CALLER); }
PVOID EXPORT(ExAllocatePoolWithQuotaTag)(POOL_TYPE t, SIZE_T n, ULONG tag)
{ return allocate(paged_type(t), n, tag, FALSE, "ExAllocatePoolWithQuotaTag", CALLER); }

/* POOL_FLAGS: bit 1 leaves the block uninitialised, bits 6 to 8 choose
 * non-paged, non-paged executable, paged. */
#define POOL_UNINITIALIZED 0x2
#define POOL_KINDS 0x1c0
#define POOL_PAGED 0x100
PVOID EXPORT(ExAllocatePool2)(ULONG64 flags, SIZE_T n, ULONG tag)
{
    if (!(flags & POOL_KINDS)) violation("pool.no-kind", CALLER, "ExAllocatePool2 with flags 0x%llx", flags);
    return allocate((flags & POOL_PAGED) != 0, n, tag, !(flags & POOL_UNINITIALIZED), "ExAllocatePool2", CALLER);
}
PVOID EXPORT(ExAllocatePool3)(ULONG64 flags, SIZE_T n, ULONG tag, PVOID parameters, ULONG count)
{
    if (!(flags & POOL_KINDS)) violation("pool.no-kind", CALLER, "ExAllocatePool3 with flags 0x%llx", flags);
    return allocate((flags & POOL_PAGED) != 0, n, tag, !(flags & POOL_UNINITIALIZED), "ExAllocatePool3", CALLER);
}
void EXPORT(ExFreePool)(PVOID p) { release(p, 0, "ExFreePool", CALLER); }
void EXPORT(ExFreePoolWithTag)(PVOID p, ULONG tag) { release(p, tag, "ExFreePoolWithTag", CALLER); }
void EXPORT(ExFreePool2)(PVOID p, ULONG tag, PVOID parameters, ULONG count) { release(p, tag, "ExFreePool2", CALLER); }

/* Lookaside lists keep nothing here: depth 0 sends each entry through the pool,
 * where the rules see it. The header's inline functions pop and push the list
 * themselves and call Allocate and Free when it is empty or full. */
static void lookaside(GENERAL_LOOKASIDE *l, PVOID allocate_fn, PVOID free_fn, ULONG type, SIZE_T size, ULONG tag, void *caller)
{
    RtlZeroMemory(l, sizeof *l);
    l->Type = type; l->Tag = tag; l->Size = (ULONG)size;
    l->Allocate = allocate_fn; l->Free = free_fn;
    if (size < 16) l->Size = 16; /* room for the list entry */
    object_add(LOOKASIDE, l, caller, NULL);
}

static void lookaside_delete(PVOID l, void *caller)
{
    if (!object_remove(LOOKASIDE, l, NULL)) violation("lookaside.unknown", caller, "list %p was not initialised", l);
}

void EXPORT(ExInitializeNPagedLookasideList)(NPAGED_LOOKASIDE_LIST *l, PALLOCATE_FUNCTION a, PFREE_FUNCTION f, ULONG flags, SIZE_T n, ULONG tag, USHORT depth)
{
    irql_at_most(DISPATCH_LEVEL, "ExInitializeNPagedLookasideList", CALLER);
    lookaside(&l->L, a ? (PVOID)a : x_ExAllocatePoolWithTag, f ? (PVOID)f : x_ExFreePool, NonPagedPool, n, tag, CALLER);
}
void EXPORT(ExInitializePagedLookasideList)(PAGED_LOOKASIDE_LIST *l, PALLOCATE_FUNCTION a, PFREE_FUNCTION f, ULONG flags, SIZE_T n, ULONG tag, USHORT depth)
{
    irql_at_most(APC_LEVEL, "ExInitializePagedLookasideList", CALLER);
    lookaside(&l->L, a ? (PVOID)a : x_ExAllocatePoolWithTag, f ? (PVOID)f : x_ExFreePool, PagedPool, n, tag, CALLER);
}
void EXPORT(ExDeleteNPagedLookasideList)(NPAGED_LOOKASIDE_LIST *l) { lookaside_delete(l, CALLER); }
void EXPORT(ExDeletePagedLookasideList)(PAGED_LOOKASIDE_LIST *l) { lookaside_delete(l, CALLER); }

static PVOID NTAPI allocate_ex(POOL_TYPE t, SIZE_T n, ULONG tag, LOOKASIDE_LIST_EX *l)
{ return allocate(paged_type(t), n, tag, FALSE, "ExAllocateFromLookasideListEx", CALLER); }
static void NTAPI free_ex(PVOID p, LOOKASIDE_LIST_EX *l) { release(p, 0, "ExFreeToLookasideListEx", CALLER); }
NTSTATUS EXPORT(ExInitializeLookasideListEx)(LOOKASIDE_LIST_EX *l, PVOID a, PVOID f, POOL_TYPE type, ULONG flags, SIZE_T n, ULONG tag, USHORT depth)
{
    irql_at_most(DISPATCH_LEVEL, "ExInitializeLookasideListEx", CALLER);
    lookaside((GENERAL_LOOKASIDE *)&l->L, a ? a : allocate_ex, f ? f : free_ex, type, n, tag, CALLER);
    return STATUS_SUCCESS;
}
void EXPORT(ExDeleteLookasideListEx)(LOOKASIDE_LIST_EX *l) { lookaside_delete(l, CALLER); }
void EXPORT(ExFlushLookasideListEx)(LOOKASIDE_LIST_EX *l) { }
PVOID EXPORT(ExAllocateFromLookasideListEx)(LOOKASIDE_LIST_EX *l)
{
    return ((PVOID (NTAPI *)(POOL_TYPE, SIZE_T, ULONG, LOOKASIDE_LIST_EX *))l->L.Allocate)(l->L.Type, l->L.Size, l->L.Tag, l);
}
void EXPORT(ExFreeToLookasideListEx)(LOOKASIDE_LIST_EX *l, PVOID p)
{
    ((void (NTAPI *)(PVOID, LOOKASIDE_LIST_EX *))l->L.Free)(p, l);
}
