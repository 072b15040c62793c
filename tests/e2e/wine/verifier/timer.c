/* Timers. Wine signals the timer object; its DPC, which Wine ignores, is driven
 * by a thread pool timer beside it. */
#include "kernel.h"

typedef struct side { PVOID pool; KDPC *dpc; KTIMER *timer; LONG period; } side;

static void NTAPI expired(PVOID instance, PVOID context, PVOID pool)
{
    side *s = context;
    /* whoever takes a one-shot timer off the table frees its side: we or cancel */
    if (!s->period && !object_remove(TIMER, s->timer, NULL)) return;
    s->timer->Header.SignalState = TRUE;
    dpc_insert(s->dpc, NULL, NULL, FALSE, s->dpc->DeferredRoutine);
    if (!s->period) { CloseThreadpoolTimer(pool); heap_free(s); }
}

static BOOLEAN cancel(KTIMER *t)
{
    side *s;
    BOOLEAN was = object_remove(TIMER, t, (void **)&s);
    if (was && s) {
        SetThreadpoolTimer(s->pool, NULL, 0, 0);
        WaitForThreadpoolTimerCallbacks(s->pool, TRUE);
        CloseThreadpoolTimer(s->pool);
        heap_free(s);
    }
    if (t->Header.WaitListHead.Blink) KeCancelTimer(t);
    return was;
}

static BOOLEAN set(KTIMER *t, LARGE_INTEGER due, LONG period, KDPC *dpc, void *caller)
{
    BOOLEAN was = cancel(t);
    side *s = NULL;
    t->Header.SignalState = FALSE;
    /* Wine's own timer is what threads wait for; a periodic one would go on after it is cancelled, and look at memory that
     * is gone. */
    if (!dpc || !period) KeSetTimerEx(t, due, period, NULL);
    if (!dpc) {
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

BOOLEAN EXPORT(KeSetTimerEx)(KTIMER *t, LARGE_INTEGER due, LONG period, KDPC *dpc)
{ irql_at_most(DISPATCH_LEVEL, "KeSetTimerEx", CALLER); return set(t, due, period, dpc, CALLER); }
BOOLEAN EXPORT(KeSetTimer)(KTIMER *t, LARGE_INTEGER due, KDPC *dpc)
{ irql_at_most(DISPATCH_LEVEL, "KeSetTimer", CALLER); return set(t, due, 0, dpc, CALLER); }
BOOLEAN EXPORT(KeSetCoalescableTimer)(KTIMER *t, LARGE_INTEGER due, ULONG period, ULONG delay, KDPC *dpc)
{ irql_at_most(DISPATCH_LEVEL, "KeSetCoalescableTimer", CALLER); return set(t, due, period, dpc, CALLER); }
BOOLEAN EXPORT(KeCancelTimer)(KTIMER *t)
{ irql_at_most(DISPATCH_LEVEL, "KeCancelTimer", CALLER); return cancel(t); }
