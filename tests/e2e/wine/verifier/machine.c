/* The processor, the clock, the stack, and finding routines by name. */
#include "kernel.h"

/* Saving AVX state is nesting-checked only: user-mode threads keep their own. */
NTSTATUS EXPORT(KeSaveExtendedProcessorState)(ULONG64 mask, PXSTATE_SAVE save)
{
    irql_at_most(DISPATCH_LEVEL, "KeSaveExtendedProcessorState", CALLER);
    if (inject_failure(VERIFIER_FAIL_POOL, CALLER)) return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(save, sizeof *save);
    return STATUS_SUCCESS;
}
void EXPORT(KeRestoreExtendedProcessorState)(PXSTATE_SAVE save) { irql_at_most(DISPATCH_LEVEL, "KeRestoreExtendedProcessorState", CALLER); }

void EXPORT(KeQuerySystemTimePrecise)(LARGE_INTEGER *t) { GetSystemTimePreciseAsFileTime(t); }
LARGE_INTEGER EXPORT(KeQueryPerformanceCounter)(LARGE_INTEGER *frequency)
{
    LARGE_INTEGER now;
    if (frequency) QueryPerformanceFrequency(frequency);
    QueryPerformanceCounter(&now);
    return now;
}
ULONG64 EXPORT(KeQueryInterruptTimePrecise)(ULONG64 *counter)
{
    LARGE_INTEGER frequency, now = x_KeQueryPerformanceCounter(&frequency);
    if (counter) *counter = now.QuadPart;
    return (ULONG64)(now.QuadPart / frequency.QuadPart * 10000000 + now.QuadPart % frequency.QuadPart * 10000000 / frequency.QuadPart);
}
void EXPORT(KeStallExecutionProcessor)(ULONG microseconds)
{
    LARGE_INTEGER frequency, start = x_KeQueryPerformanceCounter(&frequency);
    while ((x_KeQueryPerformanceCounter(NULL).QuadPart - start.QuadPart) * 1000000 / frequency.QuadPart < microseconds)
        __builtin_ia32_pause();
}

/* One group and one node, with as many processors as the process may use. */
USHORT EXPORT(KeQueryHighestNodeNumber)(void) { return 0; }
KAFFINITY EXPORT(KeQueryGroupAffinity)(USHORT group) { return group ? 0 : KeQueryActiveProcessors(); }
void EXPORT(KeQueryNodeActiveAffinity)(USHORT node, PGROUP_AFFINITY affinity, USHORT *count)
{
    if (affinity) *affinity = (GROUP_AFFINITY){ .Mask = node ? 0 : KeQueryActiveProcessors() };
    if (count) *count = (USHORT)__builtin_popcountll(node ? 0 : KeQueryActiveProcessors());
}

/* Devices, if there were any, would see memory where processors do. */
PHYSICAL_ADDRESS EXPORT(MmGetPhysicalAddress)(PVOID address) { return (PHYSICAL_ADDRESS){ .QuadPart = (LONG64)address }; }
PVOID EXPORT(MmAllocateContiguousMemorySpecifyCache)(SIZE_T bytes, PHYSICAL_ADDRESS low, PHYSICAL_ADDRESS high, PHYSICAL_ADDRESS boundary, MEMORY_CACHING_TYPE caching)
{
    irql_at_most(DISPATCH_LEVEL, "MmAllocateContiguousMemorySpecifyCache", CALLER);
    if (inject_failure(VERIFIER_FAIL_POOL, CALLER)) return NULL;
    void *memory = block_alloc((bytes + PAGE_SIZE - 1) & ~(SIZE_T)(PAGE_SIZE - 1), 'gtnC', FALSE, FALSE, CALLER);
    if (memory) object_add(POOL, memory, CALLER, NULL);
    return memory;
}
void EXPORT(MmFreeContiguousMemorySpecifyCache)(PVOID memory, SIZE_T bytes, MEMORY_CACHING_TYPE caching)
{
    block *b = block_at(memory);
    irql_at_most(DISPATCH_LEVEL, "MmFreeContiguousMemorySpecifyCache", CALLER);
    if (!b || b->freed || !object_remove(POOL, memory, NULL)) {
        violation("pool.free-unknown", CALLER, "MmFreeContiguousMemorySpecifyCache of %p, which is no such memory", memory);
        return;
    }
    block_free(b, CALLER);
}

/* A kernel stack is 24 KiB on x64; what is used of this thread's since the
 * driver was entered is not known, so a driver is told what a fresh one has. */
#define KERNEL_STACK 24576
ULONG_PTR EXPORT(IoGetRemainingStackSize)(void)
{
    ULONG_PTR low, high, here = (ULONG_PTR)&low;
    IoGetStackLimits(&low, &high);
    return high - here < KERNEL_STACK ? KERNEL_STACK - (high - here) : 0x1000;
}
NTSTATUS EXPORT(KeExpandKernelStackAndCalloutEx)(PEXPAND_STACK_CALLOUT routine, PVOID parameter, SIZE_T size, BOOLEAN wait, PVOID context)
{
    irql_at_most(wait ? APC_LEVEL : DISPATCH_LEVEL, "KeExpandKernelStackAndCalloutEx", CALLER);
    routine(parameter);
    return STATUS_SUCCESS;
}
NTSTATUS EXPORT(KeExpandKernelStackAndCallout)(PEXPAND_STACK_CALLOUT routine, PVOID parameter, SIZE_T size)
{
    irql_at_most(DISPATCH_LEVEL, "KeExpandKernelStackAndCallout", CALLER);
    routine(parameter);
    return STATUS_SUCCESS;
}

void EXPORT(KeBugCheckEx)(ULONG code, ULONG_PTR a, ULONG_PTR b, ULONG_PTR c, ULONG_PTR d)
{
    violation("bugcheck", CALLER, "KeBugCheckEx(0x%lx, 0x%llx, 0x%llx, 0x%llx, 0x%llx)", (ULONG)code, (ULONG64)a, (ULONG64)b, (ULONG64)c, (ULONG64)d);
    KeBugCheckEx(code, a, b, c, d);
}

/* Waiting with a timeout of zero is a poll: allowed at DISPATCH_LEVEL. */
static void may_wait(LARGE_INTEGER *timeout, const char *function, void *caller)
{
    BOOLEAN poll = timeout && timeout->QuadPart == 0;
    irql_at_most(poll ? DISPATCH_LEVEL : APC_LEVEL, function, caller);
    if (!poll) no_lock_held(function, caller);
}
NTSTATUS EXPORT(KeWaitForSingleObject)(PVOID o, KWAIT_REASON r, KPROCESSOR_MODE m, BOOLEAN alertable, LARGE_INTEGER *timeout)
{
    may_wait(timeout, "KeWaitForSingleObject", CALLER);
    return KeWaitForSingleObject(o, r, m, alertable, timeout);
}
NTSTATUS EXPORT(KeWaitForMutexObject)(PVOID o, KWAIT_REASON r, KPROCESSOR_MODE m, BOOLEAN alertable, LARGE_INTEGER *timeout)
{
    may_wait(timeout, "KeWaitForMutexObject", CALLER);
    return KeWaitForSingleObject(o, r, m, alertable, timeout);
}
NTSTATUS EXPORT(KeWaitForMultipleObjects)(ULONG n, PVOID *o, WAIT_TYPE type, KWAIT_REASON r, KPROCESSOR_MODE m, BOOLEAN alertable, LARGE_INTEGER *timeout, KWAIT_BLOCK *blocks)
{
    may_wait(timeout, "KeWaitForMultipleObjects", CALLER);
    return KeWaitForMultipleObjects(n, o, type, r, m, alertable, timeout, blocks);
}
NTSTATUS EXPORT(KeDelayExecutionThread)(KPROCESSOR_MODE m, BOOLEAN alertable, LARGE_INTEGER *interval)
{
    irql_at_most(APC_LEVEL, "KeDelayExecutionThread", CALLER);
    no_lock_held("KeDelayExecutionThread", CALLER);
    return KeDelayExecutionThread(m, alertable, interval);
}
LONG EXPORT(KeSetEvent)(KEVENT *e, KPRIORITY increment, BOOLEAN wait)
{
    irql_at_most(wait ? APC_LEVEL : DISPATCH_LEVEL, "KeSetEvent", CALLER);
    return KeSetEvent(e, increment, wait);
}

void EXPORT(KeBugCheck)(ULONG code)
{
    violation("bugcheck", CALLER, "KeBugCheck(0x%lx)", (ULONG)code);
    KeBugCheckEx(code, 0, 0, 0, 0);
}

/* Wine's stubs are all alike (sub rsp,28h; lea rcx; lea rdx; call) and end the
 * process: a driver that asks for one is better told that there is none. */
static BOOLEAN is_stub(const UCHAR *p)
{
    return p[0] == 0x48 && p[1] == 0x83 && p[2] == 0xec && p[3] == 0x28 && p[4] == 0x48 && p[5] == 0x8d && p[6] == 0x0d &&
           p[11] == 0x48 && p[12] == 0x8d && p[13] == 0x15 && p[18] == 0xe8 && p[23] == 0x90;
}

/* Our own exports first: a driver that looks a routine up gets the checked one. */
PVOID EXPORT(MmGetSystemRoutineAddress)(UNICODE_STRING *name)
{
    char ascii[128];
    ULONG n = name->Length / 2;
    PVOID p;
    irql_at_most(PASSIVE_LEVEL, "MmGetSystemRoutineAddress", CALLER);
    if (n >= sizeof ascii) return NULL;
    for (ULONG i = 0; i < n; i++) ascii[i] = (char)name->Buffer[i];
    ascii[n] = 0;
    p = GetProcAddress(GetModuleHandleA("ntoskrnx.exe"), ascii);
    if (!p) p = MmGetSystemRoutineAddress(name);
    return p && is_stub(p) ? NULL : p;
}
