/* Exceptions raised by driver code: those that stand for something (CR8, the
 * arena's guard pages) are answered; any other is named before it kills the host. */
#include "kernel.h"

#define ACCESS_VIOLATION_ 0xc0000005
#define PRIVILEGED_ 0xc0000096
#define WINE_STUB_ 0x80000100 /* raised by an export that Wine only names; parameters: DLL, function */

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
    if (r->ExceptionCode == ACCESS_VIOLATION_ && in_arena((void *)r->ExceptionInformation[1])) {
        /* memcpy and friends run outside the driver: name the caller instead, if
         * the return address is still on top of the stack */
        if (!driver_at(pc) && driver_at(*(void **)e->ContextRecord->Rsp)) pc = *(void **)e->ContextRecord->Rsp;
        if (arena_fault((char *)r->ExceptionInformation[1], r->ExceptionInformation[0] == 1, pc)) return -1;
    }
    if (r->ExceptionCode == WINE_STUB_ && r->NumberParameters == 2 && r->ExceptionInformation[1] >> 16)
        violation("wine.missing", caller_in_driver(NULL), "%s is not implemented by this kernel", (char *)r->ExceptionInformation[1]);
    /* Wine itself emulates privileged instructions and the shared user page */
    if (driver_at(pc) && r->ExceptionCode == ACCESS_VIOLATION_ && r->ExceptionInformation[1] >> 47 == 0)
        violation("crash", pc, "access to %p", (void *)r->ExceptionInformation[1]);
    return 0; /* continue search */
}
