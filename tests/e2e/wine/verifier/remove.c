/* Remove locks and rundown protection: counts that a removal waits for. */
#include "kernel.h"

#define HOLDS 16384

/* Who holds which remove lock under which tag. The layout of IO_REMOVE_LOCK is
 * kept; this table only serves the rules. */
static struct hold { IO_REMOVE_LOCK *lock; PVOID tag; void *caller; ULONG count; } holds[HOLDS];
static int used; /* nothing lies from here on */
static SRWLOCK holds_lock = SRWLOCK_INIT;
static CONDITION_VARIABLE fell;

static struct hold *hold_of(IO_REMOVE_LOCK *l, PVOID tag)
{
    for (int i = 0; i < used; i++)
        if (holds[i].count && holds[i].lock == l && holds[i].tag == tag) return &holds[i];
    return NULL;
}

static void hold(IO_REMOVE_LOCK *l, PVOID tag, void *caller)
{
    struct hold *h;
    AcquireSRWLockExclusive(&holds_lock);
    h = hold_of(l, tag);
    for (int i = 0; !h && i < HOLDS; i++)
        if (!holds[i].count) {
            h = &holds[i]; h->lock = l; h->tag = tag; h->caller = caller;
            if (i >= used) used = i + 1;
        }
    if (h && !h->count++) object_add(REMLOCK, h, caller, NULL);
    l->Common.IoCount++;
    ReleaseSRWLockExclusive(&holds_lock);
    if (!h) violation("verifier.full", caller, "remove locks held under more than %d tags; what follows is not to be trusted", HOLDS);
}

static void unhold(IO_REMOVE_LOCK *l, PVOID tag, const char *function, void *caller)
{
    struct hold *h;
    AcquireSRWLockExclusive(&holds_lock);
    h = hold_of(l, tag);
    if (h) {
        if (!--h->count) object_remove(REMLOCK, h, NULL);
        l->Common.IoCount--;
    }
    WakeAllConditionVariable(&fell);
    ReleaseSRWLockExclusive(&holds_lock);
    if (!h) violation("removelock.not-held", caller, "%s with tag %p, which is not held", function, tag);
}

void EXPORT(IoInitializeRemoveLockEx)(IO_REMOVE_LOCK *l, ULONG tag, ULONG minutes, ULONG high_water, ULONG size)
{
    irql_at_most(PASSIVE_LEVEL, "IoInitializeRemoveLock", CALLER);
    RtlZeroMemory(&l->Common, sizeof l->Common);
    l->Common.IoCount = 1;
    KeInitializeEvent(&l->Common.RemoveEvent, SynchronizationEvent, FALSE);
}

NTSTATUS EXPORT(IoAcquireRemoveLockEx)(IO_REMOVE_LOCK *l, PVOID tag, PCSTR file, ULONG line, ULONG size)
{
    irql_at_most(DISPATCH_LEVEL, "IoAcquireRemoveLock", CALLER);
    if (l->Common.IoCount < 1 && !l->Common.Removed) violation("removelock.uninitialised", CALLER, "remove lock %p was not initialised", l);
    if (l->Common.Removed) return STATUS_DELETE_PENDING;
    hold(l, tag, CALLER);
    return STATUS_SUCCESS;
}

void EXPORT(IoReleaseRemoveLockEx)(IO_REMOVE_LOCK *l, PVOID tag, ULONG size)
{
    irql_at_most(DISPATCH_LEVEL, "IoReleaseRemoveLock", CALLER);
    unhold(l, tag, "IoReleaseRemoveLock", CALLER);
}

void EXPORT(IoReleaseRemoveLockAndWaitEx)(IO_REMOVE_LOCK *l, PVOID tag, ULONG size)
{
    ULONG start = GetTickCount();
    irql_at_most(PASSIVE_LEVEL, "IoReleaseRemoveLockAndWait", CALLER);
    if (l->Common.Removed) {
        violation("removelock.removed-twice", CALLER, "IoReleaseRemoveLockAndWait a second time");
        return;
    }
    l->Common.Removed = TRUE;
    unhold(l, tag, "IoReleaseRemoveLockAndWait", CALLER);
    AcquireSRWLockExclusive(&holds_lock);
    while (l->Common.IoCount > 1 && GetTickCount() - start < stuck_ms()) SleepConditionVariableSRW(&fell, &holds_lock, 100, 0);
    for (int i = 0; i < used; i++)
        if (holds[i].count && holds[i].lock == l) {
            violation("removelock.stuck", holds[i].caller, "removal waited %lu ms for tag %p, held %lu times", stuck_ms(), holds[i].tag, (ULONG)holds[i].count);
            object_remove(REMLOCK, &holds[i], NULL);
            holds[i].count = 0; /* on Windows this waits for ever; here the test goes on */
        }
    l->Common.IoCount = 0;
    ReleaseSRWLockExclusive(&holds_lock);
}

/* ---- rundown protection: Count holds two per reference, bit 0 once run down ---- */

static BOOLEAN rundown_acquire(EX_RUNDOWN_REF *r, ULONG n)
{
    for (;;) {
        ULONG_PTR v = *(volatile ULONG_PTR *)&r->Count;
        if (v & 1) return FALSE;
        if (__sync_bool_compare_and_swap(&r->Count, v, v + 2 * n)) return TRUE;
    }
}
static void rundown_release(EX_RUNDOWN_REF *r, ULONG n, void *caller)
{
    if ((r->Count >> 1) < n) { violation("rundown.not-held", caller, "rundown protection %p released more often than acquired", r); return; }
    __sync_sub_and_fetch(&r->Count, (ULONG_PTR)2 * n);
}
void EXPORT(ExInitializeRundownProtection)(EX_RUNDOWN_REF *r) { r->Count = 0; }
void EXPORT(ExReInitializeRundownProtection)(EX_RUNDOWN_REF *r)
{
    irql_at_most(APC_LEVEL, "ExReInitializeRundownProtection", CALLER);
    if (r->Count != 1) violation("rundown.live", CALLER, "rundown protection %p initialised again without having run down", r);
    r->Count = 0;
}
BOOLEAN EXPORT(ExAcquireRundownProtection)(EX_RUNDOWN_REF *r) { return rundown_acquire(r, 1); }
BOOLEAN EXPORT(ExAcquireRundownProtectionEx)(EX_RUNDOWN_REF *r, ULONG n) { return rundown_acquire(r, n); }
void EXPORT(ExReleaseRundownProtection)(EX_RUNDOWN_REF *r) { rundown_release(r, 1, CALLER); }
void EXPORT(ExReleaseRundownProtectionEx)(EX_RUNDOWN_REF *r, ULONG n) { rundown_release(r, n, CALLER); }
void EXPORT(ExRundownCompleted)(EX_RUNDOWN_REF *r) { r->Count = 1; }
void EXPORT(ExWaitForRundownProtectionRelease)(EX_RUNDOWN_REF *r)
{
    ULONG start = GetTickCount();
    irql_at_most(APC_LEVEL, "ExWaitForRundownProtectionRelease", CALLER);
    no_lock_held("ExWaitForRundownProtectionRelease", CALLER);
    __sync_or_and_fetch(&r->Count, 1);
    while (*(volatile ULONG_PTR *)&r->Count != 1) {
        Sleep(1);
        if (GetTickCount() - start < stuck_ms()) continue;
        violation("rundown.stuck", CALLER, "waited %lu ms for %llu references", stuck_ms(), (ULONG64)r->Count >> 1);
        return;
    }
}
