/* The gates of gates.h: an export that checks the IRQL and jumps on to Wine's
 * function with every argument as it was. One piece of assembler serves all. */
#include "kernel.h"

typedef struct gate { void *target; const char *name; ULONG irql; } gate;

void gate_check(const gate *g, void *caller) { irql_at_most((KIRQL)g->irql, g->name, caller_in_driver(caller)); }

/* In: rax = the gate, the caller's arguments in place, the return address on
 * top. Out: a jump to the target with rcx, rdx, r8, r9 and the stack restored. */
__asm__(
    ".text\n"
    "gate_common:\n"
    "    push %rcx\n    push %rdx\n    push %r8\n    push %r9\n    push %rax\n"
    "    sub $0x20, %rsp\n"
    "    mov %rax, %rcx\n"
    "    mov 0x48(%rsp), %rdx\n" /* the return address */
    "    call gate_check\n"
    "    add $0x20, %rsp\n"
    "    pop %rax\n    pop %r9\n    pop %r8\n    pop %rdx\n    pop %rcx\n"
    "    mov (%rax), %rax\n"
    "    jmp *(%rax)\n");

#define GATE(function, level)                                     \
    extern void *__imp_##function;                                \
    gate gate_##function = { &__imp_##function, #function, level };\
    __asm__(".text\n.globl x_" #function "\nx_" #function ":\n"   \
            "    lea gate_" #function "(%rip), %rax\n"            \
            "    jmp gate_common\n");
#include "gates.h"
