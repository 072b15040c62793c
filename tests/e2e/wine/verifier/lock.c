/* Spin locks, in all the kernel's forms, over one core: the lock word holds the
 * owner's thread id, the thread a list of what it holds. */
#include "kernel.h"

static ULONG_PTR my_id(void) { return GetCurrentThreadId(); }

static void spin(ULONG_PTR *lock, void *caller)
{
    ULONG start = GetTickCount(), rounds = 0;
    BOOLEAN said = FALSE;
    while (__sync_val_compare_and_swap(lock, 0, my_id()) != 0) {
        if (++rounds % 64 == 0) Sleep(0); else __builtin_ia32_pause();
        if (!said && rounds % 4096 == 0 && GetTickCount() - start > stuck_ms()) {
            violation("lock.stuck", caller, "spin lock %p is not released by thread %llx", lock, (ULONG64)*lock);
            said = TRUE;
        }
    }
}

static void push(thread *t, void *lock, KIRQL old, BOOLEAN shared, BOOLEAN raised, void *caller)
{
    if (t->held == MAX_HELD) { violation("lock.too-many", caller, "more than %d spin locks held", MAX_HELD); return; }
    t->locks[t->held++] = (held_lock){ lock, caller, old, shared, raised };
}

static int find(thread *t, void *lock)
{
    int i = t->held;
    while (i-- > 0 && t->locks[i].lock != lock) ;
    return i;
}

void spin_acquire(ULONG_PTR *lock, KIRQL old, BOOLEAN raised, void *caller)
{
    thread *t = self();
    if (find(t, lock) >= 0) {
        /* on Windows the thread hangs here; for the test it gets the lock twice */
        violation("lock.recursive", caller, "spin lock %p is held by this thread already", lock);
    } else {
        lock_order(t, lock, caller);
        spin(lock, caller);
    }
    push(t, lock, old, FALSE, raised, caller);
}

/* Takes the lock off the thread's list and checks how it was taken. */
static void pop(thread *t, void *lock, KIRQL old, BOOLEAN lower, void *caller)
{
    int i = find(t, lock);
    if (i < 0) return;
    if (i != t->held - 1)
        violation("lock.not-lifo", caller, "spin lock %p released before %p, which was acquired later", lock, t->locks[t->held - 1].lock);
    if (lower != t->locks[i].raised)
        violation("lock.wrong-release", caller, "spin lock %p was acquired %s raising the IRQL and released %s lowering it",
                  lock, lower ? "without" : "by", lower ? "by" : "without");
    else if (lower && old != t->locks[i].old)
        violation("lock.wrong-irql", caller, "spin lock %p released to IRQL %d, acquired at %d", lock, old, t->locks[i].old);
    t->held--;
    for (; i < t->held; i++) t->locks[i] = t->locks[i + 1];
}

void spin_release(ULONG_PTR *lock, KIRQL old, BOOLEAN lower, void *caller)
{
    thread *t = self();
    if (find(t, lock) < 0)
        violation("lock.not-owner", caller, "spin lock %p released by a thread that does not hold it", lock);
    if (t->irql < DISPATCH_LEVEL)
        violation("irql.too-low", caller, "spin lock %p released at IRQL %d", lock, t->irql);
    pop(t, lock, old, lower, caller);
    if (find(t, lock) < 0) __sync_lock_release(lock);
    if (lower) irql_lower(t, old);
}

static KIRQL acquire_raise(ULONG_PTR *lock, const char *function, void *caller)
{
    thread *t = self();
    KIRQL old = t->irql;
    irql_at_most(DISPATCH_LEVEL, function, caller);
    if (old < DISPATCH_LEVEL) t->irql = DISPATCH_LEVEL;
    spin_acquire(lock, old, TRUE, caller);
    return old;
}

static void acquire_at_dpc(ULONG_PTR *lock, const char *function, void *caller)
{
    thread *t = self();
    if (t->irql < DISPATCH_LEVEL) violation("irql.too-low", caller, "%s at IRQL %d", function, t->irql);
    spin_acquire(lock, t->irql, FALSE, caller);
}

void no_lock_held(const char *function, void *caller)
{
    thread *t = self();
    if (t->held) violation("lock.held-across-call", caller, "%s while spin lock %p is held", function, t->locks[t->held - 1].lock);
}

void EXPORT(KeInitializeSpinLock)(KSPIN_LOCK *l) { lock_order_forget(l, sizeof *l); *l = 0; }
KIRQL EXPORT(KeAcquireSpinLockRaiseToDpc)(KSPIN_LOCK *l) { return acquire_raise(l, "KeAcquireSpinLock", CALLER); }
KIRQL EXPORT(KfAcquireSpinLock)(KSPIN_LOCK *l) { return acquire_raise(l, "KfAcquireSpinLock", CALLER); }
KIRQL EXPORT(KeAcquireSpinLockForDpc)(KSPIN_LOCK *l) { return acquire_raise(l, "KeAcquireSpinLockForDpc", CALLER); }
void EXPORT(KeReleaseSpinLock)(KSPIN_LOCK *l, KIRQL old) { spin_release(l, old, TRUE, CALLER); }
void EXPORT(KfReleaseSpinLock)(KSPIN_LOCK *l, KIRQL old) { spin_release(l, old, TRUE, CALLER); }
void EXPORT(KeReleaseSpinLockForDpc)(KSPIN_LOCK *l, KIRQL old) { spin_release(l, old, TRUE, CALLER); }
void EXPORT(KeAcquireSpinLockAtDpcLevel)(KSPIN_LOCK *l) { acquire_at_dpc(l, "KeAcquireSpinLockAtDpcLevel", CALLER); }
void EXPORT(KefAcquireSpinLockAtDpcLevel)(KSPIN_LOCK *l) { acquire_at_dpc(l, "KefAcquireSpinLockAtDpcLevel", CALLER); }
void EXPORT(KeReleaseSpinLockFromDpcLevel)(KSPIN_LOCK *l) { spin_release(l, 0, FALSE, CALLER); }
void EXPORT(KefReleaseSpinLockFromDpcLevel)(KSPIN_LOCK *l) { spin_release(l, 0, FALSE, CALLER); }
BOOLEAN EXPORT(KeTestSpinLock)(KSPIN_LOCK *l) { return *l == 0; }
BOOLEAN EXPORT(KeTryToAcquireSpinLockAtDpcLevel)(KSPIN_LOCK *l)
{
    thread *t = self();
    if (t->irql < DISPATCH_LEVEL) violation("irql.too-low", CALLER, "KeTryToAcquireSpinLockAtDpcLevel at IRQL %d", t->irql);
    if (find(t, l) >= 0 || __sync_val_compare_and_swap(l, 0, my_id()) != 0) return FALSE;
    push(t, l, t->irql, FALSE, FALSE, CALLER);
    return TRUE;
}

void EXPORT(KeAcquireInStackQueuedSpinLock)(KSPIN_LOCK *l, KLOCK_QUEUE_HANDLE *h)
{
    h->LockQueue.Lock = l;
    h->OldIrql = acquire_raise(l, "KeAcquireInStackQueuedSpinLock", CALLER);
}
void EXPORT(KeReleaseInStackQueuedSpinLock)(KLOCK_QUEUE_HANDLE *h)
{ spin_release((ULONG_PTR *)h->LockQueue.Lock, h->OldIrql, TRUE, CALLER); }
void EXPORT(KeAcquireInStackQueuedSpinLockAtDpcLevel)(KSPIN_LOCK *l, KLOCK_QUEUE_HANDLE *h)
{
    h->LockQueue.Lock = l;
    acquire_at_dpc(l, "KeAcquireInStackQueuedSpinLockAtDpcLevel", CALLER);
}
void EXPORT(KeReleaseInStackQueuedSpinLockFromDpcLevel)(KLOCK_QUEUE_HANDLE *h)
{ spin_release((ULONG_PTR *)h->LockQueue.Lock, 0, FALSE, CALLER); }

/* Reader-writer spin locks: bit 31 is the writer, the rest counts readers. */
#define WRITER ((LONG)0x80000000)
static void rw_take(LONG *l, BOOLEAN shared, void *caller)
{
    ULONG rounds = 0;
    lock_order(self(), l, caller);
    for (;;) {
        LONG v = *(volatile LONG *)l;
        if (shared ? !(v & WRITER) : v == 0)
            if (__sync_val_compare_and_swap(l, v, shared ? v + 1 : WRITER) == v) return;
        if (++rounds % 64 == 0) Sleep(0);
    }
}
static void rw_acquire(LONG *l, BOOLEAN shared, BOOLEAN raise, KIRQL *old, void *caller)
{
    thread *t = self();
    *old = t->irql;
    irql_at_most(DISPATCH_LEVEL, "ExAcquireSpinLock", caller);
    if (raise && t->irql < DISPATCH_LEVEL) t->irql = DISPATCH_LEVEL;
    if (t->irql < DISPATCH_LEVEL) violation("irql.too-low", caller, "ExAcquireSpinLock...AtDpcLevel at IRQL %d", t->irql);
    if (find(t, l) >= 0) { violation("lock.recursive", caller, "spin lock %p is held by this thread already", l); return; }
    rw_take(l, shared, caller);
    push(t, l, *old, shared, raise, caller);
}
static void rw_release(LONG *l, BOOLEAN shared, BOOLEAN lower, KIRQL old, void *caller)
{
    thread *t = self();
    int i = find(t, l);
    if (i < 0 || t->locks[i].shared != shared) {
        violation("lock.not-owner", caller, "spin lock %p released %s by a thread that does not hold it so", l, shared ? "shared" : "exclusive");
        if (i < 0) return;
    }
    shared = t->locks[i].shared;
    pop(t, l, old, lower, caller);
    if (shared) __sync_sub_and_fetch(l, 1); else __sync_and_and_fetch(l, ~WRITER);
    if (lower) irql_lower(t, old);
}
KIRQL EXPORT(ExAcquireSpinLockExclusive)(LONG *l) { KIRQL o; rw_acquire(l, FALSE, TRUE, &o, CALLER); return o; }
KIRQL EXPORT(ExAcquireSpinLockShared)(LONG *l) { KIRQL o; rw_acquire(l, TRUE, TRUE, &o, CALLER); return o; }
void EXPORT(ExAcquireSpinLockExclusiveAtDpcLevel)(LONG *l) { KIRQL o; rw_acquire(l, FALSE, FALSE, &o, CALLER); }
void EXPORT(ExAcquireSpinLockSharedAtDpcLevel)(LONG *l) { KIRQL o; rw_acquire(l, TRUE, FALSE, &o, CALLER); }
void EXPORT(ExReleaseSpinLockExclusive)(LONG *l, KIRQL old) { rw_release(l, FALSE, TRUE, old, CALLER); }
void EXPORT(ExReleaseSpinLockShared)(LONG *l, KIRQL old) { rw_release(l, TRUE, TRUE, old, CALLER); }
void EXPORT(ExReleaseSpinLockExclusiveFromDpcLevel)(LONG *l) { rw_release(l, FALSE, FALSE, 0, CALLER); }
void EXPORT(ExReleaseSpinLockSharedFromDpcLevel)(LONG *l) { rw_release(l, TRUE, FALSE, 0, CALLER); }

/* The cancel lock is Wine's own, because Wine calls cancel routines with it held. */
static thread *cancel_owner;
void EXPORT(IoAcquireCancelSpinLock)(KIRQL *old)
{
    KIRQL wines;
    thread *t = self();
    irql_at_most(DISPATCH_LEVEL, "IoAcquireCancelSpinLock", CALLER);
    *old = t->irql;
    if (cancel_owner == t) violation("lock.recursive", CALLER, "the cancel spin lock is held by this thread already");
    t->irql = DISPATCH_LEVEL;
    IoAcquireCancelSpinLock(&wines);
    cancel_owner = t;
}
void EXPORT(IoReleaseCancelSpinLock)(KIRQL old)
{
    cancel_owner = NULL;
    IoReleaseCancelSpinLock(0);
    irql_lower(self(), old);
}
BOOLEAN cancel_lock_mine(void) { return cancel_owner == self(); }

/* A fast mutex puts its holder at APC_LEVEL. */
void EXPORT(ExAcquireFastMutex)(FAST_MUTEX *m)
{
    KIRQL old = self()->irql;
    irql_at_most(APC_LEVEL, "ExAcquireFastMutex", CALLER);
    ExAcquireFastMutex(m);
    m->OldIrql = old;
    self()->irql = APC_LEVEL;
}
void EXPORT(ExReleaseFastMutex)(FAST_MUTEX *m)
{
    KIRQL old = (KIRQL)m->OldIrql;
    if (self()->irql != APC_LEVEL) violation("irql.too-low", CALLER, "ExReleaseFastMutex at IRQL %d, not APC_LEVEL", self()->irql);
    ExReleaseFastMutex(m);
    irql_lower(self(), old);
}
