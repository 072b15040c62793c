/* Sins against IRQL, pool, lookaside lists and MDLs. */
#include "driver.h"

static PVOID get(SIZE_T n) { return ExAllocatePoolWithTag(NonPagedPool, n, TAG); }
static void put(PVOID p) { ExFreePoolWithTag(p, TAG); }
/* keeps the compiler from seeing what we do to the block */
static volatile char *hide(PVOID p) { __asm__ volatile("" : "+r"(p)); return p; }

/* ---- IRQL ---- */
void sin_irql_pool(void)
{
    KIRQL old; PVOID p;
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    p = ExAllocatePoolWithTag(PagedPool, 64, TAG);
    KeLowerIrql(old);
    put(p);
}
void sin_irql_gate(void)
{
    KIRQL old; HANDLE h; OBJECT_ATTRIBUTES oa; UNICODE_STRING n = RTL_CONSTANT_STRING(L"\\Registry\\Machine\\None");
    InitializeObjectAttributes(&oa, &n, OBJ_KERNEL_HANDLE, NULL, NULL);
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    ZwOpenKey(&h, KEY_READ, &oa);
    KeLowerIrql(old);
}
void sin_irql_wait(void)
{
    KEVENT e; KIRQL old; LARGE_INTEGER t;
    KeInitializeEvent(&e, NotificationEvent, TRUE);
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    t.QuadPart = 0;
    KeWaitForSingleObject(&e, Executive, KernelMode, FALSE, &t); /* a poll: allowed */
    KeWaitForSingleObject(&e, Executive, KernelMode, FALSE, NULL);
    KeLowerIrql(old);
}
void sin_irql_raise_lowers(void)
{
    KIRQL old, mid;
    PVOID (NTAPI *raise)(KIRQL) = NULL; UNICODE_STRING n = RTL_CONSTANT_STRING(L"KfRaiseIrql");
    raise = MmGetSystemRoutineAddress(&n);
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    mid = (KIRQL)(ULONG_PTR)raise(APC_LEVEL); (void)mid;
    KeRaiseIrql(DISPATCH_LEVEL, &mid);
    KeLowerIrql(old);
}
void sin_irql_lower_raises(void)
{
    void (NTAPI *lower_irql)(KIRQL) = NULL; UNICODE_STRING n = RTL_CONSTANT_STRING(L"KeLowerIrql");
    lower_irql = MmGetSystemRoutineAddress(&n);
    lower_irql(APC_LEVEL);
    lower_irql(PASSIVE_LEVEL);
}

/* ---- pool ---- */
void sin_pool_no_tag(void) { PVOID p = ExAllocatePoolWithTag(NonPagedPool, 64, 0); ExFreePool(p); }
void sin_pool_no_size(void) { put(get(0)); }
void sin_pool_no_kind(void) { put(ExAllocatePool2(0, 64, TAG)); }
void sin_pool_double_free(void) { PVOID p = get(64); put(p); put((PVOID)hide(p)); }
void sin_pool_free_inside(void) { char *p = get(64); put((PVOID)(hide(p) + 16)); put(p); }
void sin_pool_free_null(void) { put((PVOID)hide(NULL)); }
void sin_pool_wrong_tag(void) { ExFreePoolWithTag(get(64), 'gnoW'); }
void sin_pool_underrun(void) { PVOID p = get(64); hide(p)[-1] = 1; put(p); }
void sin_pool_overrun_page(void) { PVOID p = get(64); hide(p)[64] = 1; put(p); }
void sin_pool_overrun_copy(void)
{
    static char from[128]; static volatile SIZE_T n = 65;
    PVOID p = get(64);
    RtlCopyMemory(p, from, n); /* memcpy lies outside the driver: its caller must be named */
    put(p);
}
void sin_pool_overrun_slack(void) { PVOID p = get(60); hide(p)[60] = 1; put(p); }
void sin_pool_use_after_free(void) { PVOID p = get(64); put(p); hide(p)[3] = 1; }
void sin_pool_wild(void) { PVOID p = get(64); hide(p)[64 << 20] = 1; put(p); }
void sin_lookaside_unknown(void)
{
    static NPAGED_LOOKASIDE_LIST l;
    ExDeleteNPagedLookasideList(&l);
}

/* ---- MDLs ---- */
static char *page; /* of non-paged pool */
static PMDL mdl_of(ULONG n) { page = get(4096); return IoAllocateMdl(page, n, FALSE, FALSE, NULL); }
static void mdl_end(PMDL m) { IoFreeMdl(m); put(page); }

void sin_mdl_double_free(void) { PMDL m = mdl_of(512); mdl_end(m); IoFreeMdl((PMDL)hide(m)); }
void sin_mdl_free_unknown(void) { static MDL m; IoFreeMdl(&m); }
void sin_mdl_free_locked(void) { PMDL m = mdl_of(512); MmProbeAndLockPages(m, KernelMode, IoReadAccess); mdl_end(m); }
void sin_mdl_free_chained(void)
{
    IRP *irp = IoAllocateIrp(1, FALSE);
    PMDL m;
    page = get(4096);
    m = IoAllocateMdl(page, 512, FALSE, FALSE, irp);
    mdl_end(m);
    irp->MdlAddress = NULL;
    IoFreeIrp(irp);
}
void sin_mdl_range(void) { PMDL m = mdl_of(4097); MmBuildMdlForNonPagedPool(m); mdl_end(m); }
void sin_mdl_paged(void)
{
    PVOID p = ExAllocatePoolWithTag(PagedPool, 512, TAG);
    PMDL m = IoAllocateMdl(p, 512, FALSE, FALSE, NULL);
    MmBuildMdlForNonPagedPool(m);
    IoFreeMdl(m);
    put(p);
}
void sin_mdl_built_twice(void) { PMDL m = mdl_of(512); MmBuildMdlForNonPagedPool(m); MmBuildMdlForNonPagedPool(m); mdl_end(m); }
void sin_mdl_locked_twice(void)
{
    PMDL m = mdl_of(512);
    MmProbeAndLockPages(m, KernelMode, IoReadAccess);
    MmProbeAndLockPages(m, KernelMode, IoReadAccess);
    MmUnlockPages(m);
    mdl_end(m);
}
void sin_mdl_not_locked(void) { PMDL m = mdl_of(512); MmUnlockPages(m); mdl_end(m); }
void sin_mdl_not_built(void) { PMDL m = mdl_of(512); MmGetSystemAddressForMdlSafe(m, NormalPagePriority); mdl_end(m); }
void sin_mdl_not_built_sent(void)
{
    parcel p;
    PMDL m = mdl_of(512);
    parcel_make(&p, lower, IRP_MJ_READ);
    p.irp->MdlAddress = m;
    parcel_send(&p, lower);
    p.irp->MdlAddress = NULL;
    parcel_free(&p);
    mdl_end(m);
}
void sin_mdl_not_mapped(void)
{
    PMDL m = mdl_of(512);
    MmProbeAndLockPages(m, KernelMode, IoReadAccess);
    MmUnmapLockedPages(page, m);
    MmUnlockPages(m);
    mdl_end(m);
}
void sin_mdl_partial_range(void)
{
    PMDL m = mdl_of(512), part = IoAllocateMdl(page, 1024, FALSE, FALSE, NULL);
    MmBuildMdlForNonPagedPool(m);
    IoBuildPartialMdl(m, part, page + 256, 512);
    IoFreeMdl(part);
    mdl_end(m);
}
void sin_mdl_partial_room(void)
{
    char *big = get(4 * 4096);
    PMDL m = IoAllocateMdl(big, 4 * 4096, FALSE, FALSE, NULL), part = IoAllocateMdl(big, 512, FALSE, FALSE, NULL);
    MmBuildMdlForNonPagedPool(m);
    IoBuildPartialMdl(m, part, big, 3 * 4096);
    IoFreeMdl(part);
    IoFreeMdl(m);
    put(big);
}
