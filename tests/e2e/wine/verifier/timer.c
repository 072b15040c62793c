/* Timers. Wine does those that somebody waits for. One with a DPC, which Wine
 * ignores, is a thread pool timer of our own: nobody waits for the object, and
 * Wine's would look at it once more after it was cancelled. */
#include "kernel.h"

typedef struct side { PVOID pool; KDPC *dpc; KTIMER *timer; LONG period; } side;

/* Setting and cancelling are each one step to other threads. Not taken by what
 * expires, which a cancellation waits for. */
static SRWLOCK steps = SRWLOCK_INIT;
/* Expiry as well: a timer that is off the table has queued its DPC. */
static SRWLOCK expiry = SRWLOCK_INIT;

static void NTAPI expired(PVOID instance, PVOID context, PVOID pool)
{
    side *s = context;
    /* whoever takes a one-shot timer off the table frees its side: we or cancel */
    AcquireSRWLockExclusive(&expiry);
    BOOLEAN ours = s->period || object_remove(TIMER, s->timer, NULL);
    if (ours) {
        s->timer->Header.SignalState = TRUE;
        dpc_insert(s->dpc, NULL, NULL, FALSE, s->dpc->DeferredRoutine);
    }
    ReleaseSRWLockExclusive(&expiry);
    if (!ours) return;
    if (!s->period) { CloseThreadpoolTimer(pool); heap_free(s); }
}

static BOOLEAN cancel_step(KTIMER *t)
{
    side *s;
    BOOLEAN was = object_remove(TIMER, t, (void **)&s);
    if (was && s) {
        SetThreadpoolTimer(s->pool, NULL, 0, 0);
        WaitForThreadpoolTimerCallbacks(s->pool, TRUE);
        CloseThreadpoolTimer(s->pool);
        heap_free(s);
    }
    if (!was) {
        AcquireSRWLockExclusive(&expiry);
        ReleaseSRWLockExclusive(&expiry);
    }
    if (t->Header.WaitListHead.Blink) KeCancelTimer(t);
    return was;
}

static BOOLEAN set_step(KTIMER *t, LARGE_INTEGER due, LONG period, KDPC *dpc, void *caller)
{
    BOOLEAN was = cancel_step(t);
    side *s = NULL;
    t->Header.SignalState = FALSE;
    if (!dpc) {
        KeSetTimerEx(t, due, period, NULL);
        /* without a DPC nobody tells us of the expiry: only a periodic one is certain to be set still */
        if (period) object_add(TIMER, t, caller, NULL);
        return was;
    }
    s = heap_alloc(sizeof *s);
    s->dpc = dpc; s->timer = t; s->period = period;
    s->pool = CreateThreadpoolTimer(expired, s, NULL);
    object_add(TIMER, t, caller, s);
    SetThreadpoolTimer(s->pool, &due, period, 0);
    return was;
}

static BOOLEAN cancel(KTIMER *t)
{
    AcquireSRWLockExclusive(&steps);
    BOOLEAN was = cancel_step(t);
    ReleaseSRWLockExclusive(&steps);
    return was;
}

static BOOLEAN set(KTIMER *t, LARGE_INTEGER due, LONG period, KDPC *dpc, void *caller)
{
    AcquireSRWLockExclusive(&steps);
    BOOLEAN was = set_step(t, due, period, dpc, caller);
    ReleaseSRWLockExclusive(&steps);
    return was;
}

BOOLEAN EXPORT(KeSetTimerEx)(KTIMER *t, LARGE_INTEGER due, LONG period, KDPC *dpc)
{ irql_at_most(DISPATCH_LEVEL, "KeSetTimerEx", CALLER); return set(t, due, period, dpc, CALLER); }
BOOLEAN EXPORT(KeSetTimer)(KTIMER *t, LARGE_INTEGER due, KDPC *dpc)
{ irql_at_most(DISPATCH_LEVEL, "KeSetTimer", CALLER); return set(t, due, 0, dpc, CALLER); }
BOOLEAN EXPORT(KeSetCoalescableTimer)(KTIMER *t, LARGE_INTEGER due, ULONG period, ULONG delay, KDPC *dpc)
{ irql_at_most(DISPATCH_LEVEL, "KeSetCoalescableTimer", CALLER); return set(t, due, period, dpc, CALLER); }
BOOLEAN EXPORT(KeCancelTimer)(KTIMER *t)
{ irql_at_most(DISPATCH_LEVEL, "KeCancelTimer", CALLER); return cancel(t); }
