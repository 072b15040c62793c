/* Exceptions raised by driver code: those that stand for something (CR8, the
 * arena's guard pages) are answered; any other is named before it kills the host. */
#include "kernel.h"

#define ACCESS_VIOLATION_ 0xc0000005
#define PRIVILEGED_ 0xc0000096
#define WINE_STUB_ 0x80000100 /* raised by an export that Wine only names; parameters: DLL, function */

/* The instruction to blame: where it happened or, in memcpy and its like, which
 * run outside the driver, the nearest return address on the stack that is a
 * driver's. */
static void *blame(CONTEXT *c)
{
    void **top, *pc = (void *)c->Rip;
    ULONG_PTR low, high;
    if (driver_at(pc)) return pc;
    IoGetStackLimits(&low, &high);
    top = (void **)c->Rsp;
    for (int i = 0; i < 32 && (ULONG_PTR)(top + i) >= low && (ULONG_PTR)(top + i + 1) <= high; i++)
        if (driver_at(top[i])) return top[i];
    return pc;
}

LONG NTAPI fault_handler(PEXCEPTION_POINTERS e)
{
    EXCEPTION_RECORD *r = e->ExceptionRecord;
    void *pc = (void *)e->ContextRecord->Rip;
    int n;
    if ((r->ExceptionCode == PRIVILEGED_ || r->ExceptionCode == ACCESS_VIOLATION_) && driver_at(pc) &&
        (n = irql_instruction(pc, e->ContextRecord))) {
        e->ContextRecord->Rip += n;
        return -1; /* continue execution */
    }
    if (card_fault(r, e->ContextRecord)) return -1;
    if (r->ExceptionCode == ACCESS_VIOLATION_ && in_arena((void *)r->ExceptionInformation[1])) {
        if (arena_fault((char *)r->ExceptionInformation[1], r->ExceptionInformation[0] == 1, blame(e->ContextRecord))) return -1;
    }
    if (r->ExceptionCode == WINE_STUB_ && r->NumberParameters == 2 && r->ExceptionInformation[1] >> 16)
        violation("wine.missing", caller_in_driver(NULL), "%s is not implemented by this kernel", (char *)r->ExceptionInformation[1]);
    /* Wine itself emulates privileged instructions and the shared user page */
    if (r->ExceptionCode == ACCESS_VIOLATION_ && r->ExceptionInformation[1] >> 47 == 0 && driver_at(blame(e->ContextRecord)))
        violation("crash", blame(e->ContextRecord), "access to %p", (void *)r->ExceptionInformation[1]);
    return 0; /* continue search */
}
