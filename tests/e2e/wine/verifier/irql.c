/* The IRQL of each thread. There is no interrupt to hold off here: the level is
 * a number that the rules consult, raised and lowered as on Windows. */
#include "kernel.h"

static ULONG slot;

void irql_start(void) { slot = TlsAlloc(); }

thread *self(void)
{
    thread *t = TlsGetValue(slot);
    if (!t) { t = heap_alloc(sizeof *t); TlsSetValue(slot, t); }
    return t;
}

void thread_gone(void)
{
    thread *t = TlsGetValue(slot);
    if (!t) return;
    system_thread_gone(t);
    TlsSetValue(slot, NULL);
    heap_free(t);
}

/* Sets the level and, once it is below DISPATCH_LEVEL, runs the DPCs that this
 * thread queued for itself (option dpc_inline). */
void irql_lower(thread *t, KIRQL irql)
{
    while (irql < DISPATCH_LEVEL && t->pending_first) {
        KDPC *dpc = t->pending_first;
        t->irql = DISPATCH_LEVEL;
        t->pending_first = (KDPC *)dpc->DpcListEntry.Flink;
        dpc_run(dpc);
    }
    t->irql = irql;
}

void irql_at_most(KIRQL max, const char *function, void *caller)
{
    KIRQL now = self()->irql;
    if (now > max) violation("irql.too-high", caller, "%s called at IRQL %d, allowed up to %d", function, now, max);
}

callout callout_enter(KIRQL irql, void *routine)
{
    thread *t = self();
    callout c = { t, irql, t->irql, t->held, routine, t->routine };
    t->irql = irql;
    t->routine = routine;
    return c;
}

void callout_leave(callout *c, const char *what)
{
    thread *t = c->t;
    if (t->irql != c->irql)
        violation("irql.changed", c->routine, "%s was called at IRQL %d and returned at %d", what, c->irql, t->irql);
    if (t->held > c->held) {
        violation("lock.kept", c->routine, "%s returned holding spin lock %p", what, t->locks[t->held - 1].lock);
        t->held = c->held;
    }
    t->routine = c->outer;
    irql_lower(t, c->before);
}

/* A driver routine that ends in a call of ours is compiled to a jump: the return
 * address is then not the driver's, and the routine itself is named instead. */
void *caller_in_driver(void *return_address)
{
    thread *t;
    if (driver_at(return_address)) return return_address;
    t = self();
    return t->routine ? t->routine : return_address;
}

KIRQL EXPORT(KeGetCurrentIrql)(void) { return self()->irql; }

static KIRQL raise(KIRQL irql, void *caller)
{
    thread *t = self();
    KIRQL old = t->irql;
    if (irql < old) violation("irql.raise-lowers", caller, "raising IRQL from %d to %d", old, irql);
    t->irql = irql;
    return old;
}

static void lower(KIRQL irql, void *caller)
{
    thread *t = self();
    if (irql > t->irql) violation("irql.lower-raises", caller, "lowering IRQL from %d to %d", t->irql, irql);
    if (irql < DISPATCH_LEVEL && t->held)
        violation("irql.lowered-with-lock", caller, "IRQL lowered to %d while spin lock %p is held", irql, t->locks[t->held - 1].lock);
    irql_lower(t, irql);
}

KIRQL EXPORT(KfRaiseIrql)(KIRQL irql) { return raise(irql, CALLER); }
KIRQL EXPORT(KeRaiseIrqlToDpcLevel)(void) { return raise(DISPATCH_LEVEL, CALLER); }
void EXPORT(KeRaiseIrql)(KIRQL irql, KIRQL *old) { *old = raise(irql, CALLER); }
void EXPORT(KfLowerIrql)(KIRQL irql) { lower(irql, CALLER); }
void EXPORT(KeLowerIrql)(KIRQL irql) { lower(irql, CALLER); }

/* mov r64, cr8 and mov cr8, r64: how a C driver on x64 reads and sets the IRQL
 * without a call. Returns the instruction's length, 0 if it is another one. */
int irql_instruction(const UCHAR *code, CONTEXT *c)
{
    ULONG64 *reg[16] = { &c->Rax, &c->Rcx, &c->Rdx, &c->Rbx, &c->Rsp, &c->Rbp, &c->Rsi, &c->Rdi,
                         &c->R8, &c->R9, &c->R10, &c->R11, &c->R12, &c->R13, &c->R14, &c->R15 };
    int n;
    if ((code[0] & 0xfe) != 0x44 || code[1] != 0x0f || (code[2] & 0xfd) != 0x20 || (code[3] & 0xf8) != 0xc0) return 0;
    n = (code[0] & 1) << 3 | (code[3] & 7);
    if (code[2] == 0x20) *reg[n] = self()->irql;
    else if (*reg[n] >= self()->irql) raise((KIRQL)*reg[n], (void *)code);
    else lower((KIRQL)*reg[n], (void *)code);
    return 4;
}
