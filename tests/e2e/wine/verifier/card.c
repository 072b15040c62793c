/* A device behind registers that a test driver plays: its BAR, its interrupt,
 * its DMA. The registers' addresses are mapped to pages that cannot be touched;
 * each access faults, is decoded and becomes a call of the test driver's. One
 * such device at a time. */
#include "kernel.h"

#define DIRQL 5
#define SPACE ((SIZE_T)1 << 20) /* addresses for mapped registers */
#define ACCESS_VIOLATION_ 0xc0000005

IMPORT void NTAPI AcquireSRWLockShared(SRWLOCK *);
IMPORT void NTAPI ReleaseSRWLockShared(SRWLOCK *);

static struct {
    BOOLEAN present, mapped;
    DEVICE_OBJECT *pdo;
    verifier_card card;
    char *registers;           /* reserved once, for all cards */
    LONG adapters, buffers;    /* DMA adapters, common buffers that are there */
} the;

/* The connected interrupt; exclusively to connect and to disconnect it. */
static SRWLOCK interrupt_lock;
static struct {
    BOOLEAN connected;
    KMESSAGE_SERVICE_ROUTINE *message;
    PKSERVICE_ROUTINE line;
    PVOID context;
    struct { IO_INTERRUPT_MESSAGE_INFO info; IO_INTERRUPT_MESSAGE_INFO_ENTRY more[15]; } table;
} interrupt;

NTSTATUS verifier_card_insert(PVOID pdo, const verifier_card *card)
{
    if (the.present || card->length > SPACE || card->messages > 16) return STATUS_INVALID_PARAMETER;
    if (!the.registers) the.registers = VirtualAlloc(NULL, SPACE, MEM_RESERVE_, 1 /* no access */);
    the.card = *card;
    the.pdo = pdo;
    the.present = TRUE;
    return STATUS_SUCCESS;
}

void verifier_card_remove(void)
{
    if (the.mapped) violation("card.left", CALLER, "registers are still mapped");
    if (the.buffers) violation("card.left", CALLER, "%ld common buffers are left", the.buffers);
    if (the.adapters) violation("card.left", CALLER, "%ld DMA adapters are left", the.adapters);
    if (interrupt.connected) violation("card.left", CALLER, "the interrupt is still connected");
    the.present = FALSE;
}

/* ---- registers ---- */

PVOID EXPORT(MmMapIoSpaceEx)(PHYSICAL_ADDRESS physical, SIZE_T bytes, ULONG protect)
{
    irql_at_most(DISPATCH_LEVEL, "MmMapIoSpaceEx", CALLER);
    if (protect != 0x204) violation("card.protection", CALLER, "registers are mapped with protection 0x%lx, not PAGE_READWRITE | PAGE_NOCACHE", protect);
    if (!the.present || (ULONG64)physical.QuadPart != the.card.physical || bytes != the.card.length) {
        violation("card.wild", CALLER, "%lu bytes at 0x%llx are no BAR's", (ULONG)bytes, physical.QuadPart);
        return NULL;
    }
    if (inject_failure(VERIFIER_FAIL_POOL, CALLER)) return NULL;
    the.mapped = TRUE;
    return the.registers;
}

void EXPORT(MmUnmapIoSpace)(PVOID address, SIZE_T bytes)
{
    irql_at_most(DISPATCH_LEVEL, "MmUnmapIoSpace", CALLER);
    if (!the.mapped || address != the.registers || bytes != the.card.length)
        violation("card.unmap", CALLER, "MmUnmapIoSpace of %lu bytes at %p, which are not mapped", (ULONG)bytes, address);
    the.mapped = FALSE;
}

/* A mov between memory and a register: its length, the memory's width, and the
 * register's number. Other instructions are not expected on registers. */
typedef struct access { ULONG length, width; int number; BOOLEAN store, immediate; LONG value; } access;

static BOOLEAN decode(const UCHAR *p, access *a)
{
    const UCHAR *start = p;
    BOOLEAN narrow = FALSE;
    UCHAR rex = 0, opcode, modrm;
    if (*p == 0x66) { narrow = TRUE; p++; }
    if ((*p & 0xf0) == 0x40) rex = *p++;
    a->width = rex & 8 ? 8 : narrow ? 2 : 4;
    opcode = *p++;
    if (opcode == 0x0f) {
        opcode = *p++;
        if (opcode != 0xb6 && opcode != 0xb7) return FALSE; /* movzx */
        a->width = opcode == 0xb6 ? 1 : 2;
        a->store = FALSE;
    } else if (opcode == 0x88 || opcode == 0x89 || opcode == 0xc6 || opcode == 0xc7) a->store = TRUE;
    else if (opcode == 0x8a || opcode == 0x8b) a->store = FALSE;
    else return FALSE;
    if (opcode == 0x88 || opcode == 0x8a || opcode == 0xc6) a->width = 1;
    a->immediate = opcode == 0xc6 || opcode == 0xc7;
    modrm = *p++;
    a->number = (modrm >> 3 & 7) | (rex & 4) << 1;
    if (modrm >> 6 == 3) return FALSE;
    if ((modrm & 7) == 4) { if (modrm >> 6 == 0 && (*p & 7) == 5) p += 4; p++; }
    else if (modrm >> 6 == 0 && (modrm & 7) == 5) p += 4;
    p += modrm >> 6 == 1 ? 1 : modrm >> 6 == 2 ? 4 : 0;
    if (a->immediate) {
        a->value = a->width == 1 ? *p : a->width == 2 ? *(const USHORT *)p : *(const LONG *)p;
        p += min(a->width, 4);
    }
    a->length = (ULONG)(p - start);
    /* without a REX prefix, 4 to 7 are the high halves of the first four */
    return !(a->width == 1 && !a->immediate && !rex && a->number >= 4);
}

/* An access violation: TRUE if it was one to a register, which has been done. */
BOOLEAN card_fault(EXCEPTION_RECORD *r, CONTEXT *c)
{
    SIZE_T offset = (char *)r->ExceptionInformation[1] - the.registers;
    access a = { 0 };
    if (r->ExceptionCode != ACCESS_VIOLATION_ || !the.registers || offset >= SPACE) return FALSE;
    if (!decode((void *)c->Rip, &a)) return FALSE; /* whoever plays a device decodes a mov: the rest is a crash */
    c->Rip += a.length;
    if (!the.mapped || offset >= the.card.length) {
        violation("card.wild", (void *)(c->Rip - a.length), "access to register 0x%lx, which is not mapped", (ULONG)offset);
        return TRUE;
    }
    if (offset % a.width) violation("card.alignment", (void *)(c->Rip - a.length), "%lu bytes at register 0x%lx", a.width, (ULONG)offset);
    ULONG mask = a.width >= 4 ? ~0u : (1u << 8 * a.width) - 1;
    ULONG64 *at = &c->Rax + a.number;
    if (a.width == 8) { /* two accesses, as a bus of 32 bits makes of it */
        ULONG64 value = a.immediate ? (ULONG64)(LONG64)a.value : *at;
        for (ULONG half = 0; half < 2; half++)
            if (a.store) the.card.write((ULONG)offset + 4 * half, 4, (ULONG)(value >> 32 * half));
            else ((ULONG *)at)[half] = the.card.read((ULONG)offset + 4 * half, 4);
    } else if (a.store) the.card.write((ULONG)offset, a.width, (a.immediate ? (ULONG)a.value : (ULONG)*at) & mask);
    else {
        ULONG value = the.card.read((ULONG)offset, a.width) & mask;
        UCHAR *code = (UCHAR *)c->Rip - a.length;
        /* a plain mov of less than 32 bits leaves the rest of the register; all others clear it */
        BOOLEAN part = a.width < 4 && (code[0] == 0x8a || code[1] == 0x8a || code[1] == 0x8b || (code[0] == 0x66 && code[2] == 0x8b));
        *at = part ? (*at & ~(ULONG64)mask) | value : value;
    }
    return TRUE;
}

void verifier_card_signal(PVOID event) { KeSetEvent(event, 0, FALSE); }

/* ---- the interrupt ---- */

NTSTATUS EXPORT(IoConnectInterruptEx)(IO_CONNECT_INTERRUPT_PARAMETERS *p)
{
    irql_at_most(PASSIVE_LEVEL, "IoConnectInterruptEx", CALLER);
    if (p->Version != CONNECT_MESSAGE_BASED || !the.present || p->MessageBased.PhysicalDeviceObject != the.pdo || interrupt.connected) {
        violation("card.interrupt", CALLER, "IoConnectInterruptEx of what is not there, or connected");
        return STATUS_INVALID_PARAMETER;
    }
    if (inject_failure(VERIFIER_FAIL_POOL, CALLER)) return STATUS_INSUFFICIENT_RESOURCES;
    AcquireSRWLockExclusive(&interrupt_lock);
    interrupt.message = p->MessageBased.MessageServiceRoutine;
    interrupt.line = p->MessageBased.FallBackServiceRoutine;
    interrupt.context = p->MessageBased.ServiceContext;
    interrupt.table.info.UnifiedIrql = DIRQL;
    interrupt.table.info.MessageCount = the.card.messages;
    for (ULONG n = 0; n < the.card.messages; n++)
        interrupt.table.info.MessageInfo[n] = (IO_INTERRUPT_MESSAGE_INFO_ENTRY){ .MessageAddress.QuadPart = 0xfee00000, .MessageData = 0x51 + n, .Vector = 0x51 + n, .Irql = DIRQL };
    interrupt.connected = TRUE;
    if (the.card.messages) *p->MessageBased.ConnectionContext.InterruptMessageTable = &interrupt.table.info;
    else {
        p->Version = CONNECT_LINE_BASED;
        *p->MessageBased.ConnectionContext.Generic = &interrupt;
    }
    ReleaseSRWLockExclusive(&interrupt_lock);
    return STATUS_SUCCESS;
}

void EXPORT(IoDisconnectInterruptEx)(IO_DISCONNECT_INTERRUPT_PARAMETERS *p)
{
    ULONG version = the.card.messages ? CONNECT_MESSAGE_BASED : CONNECT_LINE_BASED;
    PVOID connection = the.card.messages ? (PVOID)&interrupt.table.info : (PVOID)&interrupt;
    irql_at_most(PASSIVE_LEVEL, "IoDisconnectInterruptEx", CALLER);
    no_lock_held("IoDisconnectInterruptEx", CALLER);
    AcquireSRWLockExclusive(&interrupt_lock);
    if (!interrupt.connected || p->Version != version || p->ConnectionContext.Generic != connection)
        violation("card.interrupt", CALLER, "IoDisconnectInterruptEx of what is not connected, or not so");
    interrupt.connected = FALSE;
    ReleaseSRWLockExclusive(&interrupt_lock);
}

BOOLEAN verifier_card_interrupt(ULONG message)
{
    BOOLEAN ours = FALSE;
    callout c;
    AcquireSRWLockShared(&interrupt_lock);
    if (interrupt.connected && the.card.messages && message < the.card.messages) {
        c = callout_enter(DIRQL, interrupt.message);
        ours = interrupt.message(NULL, interrupt.context, message);
        callout_leave(&c, "message service routine");
    } else if (interrupt.connected && !the.card.messages) {
        c = callout_enter(DIRQL, interrupt.line);
        ours = interrupt.line(NULL, interrupt.context);
        callout_leave(&c, "interrupt service routine");
    }
    ReleaseSRWLockShared(&interrupt_lock);
    return ours;
}

/* ---- DMA ---- */

static PVOID NTAPI allocate_common(PDMA_ADAPTER adapter, ULONG bytes, PHYSICAL_ADDRESS *logical, BOOLEAN cached)
{
    irql_at_most(PASSIVE_LEVEL, "AllocateCommonBuffer", CALLER);
    if (inject_failure(VERIFIER_FAIL_POOL, CALLER)) return NULL;
    char *memory = block_alloc((bytes + 4095) & ~4095ul, 'nmoC', FALSE, TRUE, CALLER);
    if (!memory) return NULL;
    InterlockedIncrement(&the.buffers);
    logical->QuadPart = (LONG64)memory + (the.card.translated ? VERIFIER_TRANSLATED : 0);
    return memory;
}

static void NTAPI free_common(PDMA_ADAPTER adapter, ULONG bytes, PHYSICAL_ADDRESS logical, PVOID memory, BOOLEAN cached)
{
    block *b = block_at(memory);
    irql_at_most(PASSIVE_LEVEL, "FreeCommonBuffer", CALLER);
    if (!b || b->freed || b->size != ((bytes + 4095) & ~4095ul) || logical.QuadPart != (LONG64)memory + (the.card.translated ? VERIFIER_TRANSLATED : 0)) {
        violation("card.dma", CALLER, "FreeCommonBuffer of %lu bytes at %p, which is no such buffer", bytes, memory);
        return;
    }
    block_free(b, CALLER);
    InterlockedDecrement(&the.buffers);
}

static void NTAPI put_adapter(PDMA_ADAPTER adapter)
{
    irql_at_most(PASSIVE_LEVEL, "PutDmaAdapter", CALLER);
    if (the.buffers) violation("card.dma", CALLER, "PutDmaAdapter before FreeCommonBuffer");
    InterlockedDecrement(&the.adapters);
}

static DMA_OPERATIONS operations = {
    .Size = sizeof operations, .PutDmaAdapter = put_adapter, .AllocateCommonBuffer = allocate_common, .FreeCommonBuffer = free_common,
};
static DMA_ADAPTER dma = { .Version = 1, .Size = sizeof dma, .DmaOperations = &operations };

PDMA_ADAPTER EXPORT(IoGetDmaAdapter)(DEVICE_OBJECT *pdo, DEVICE_DESCRIPTION *d, ULONG *registers)
{
    irql_at_most(PASSIVE_LEVEL, "IoGetDmaAdapter", CALLER);
    if (!the.present || pdo != the.pdo || !d->Master || !d->ScatterGather || !d->Dma32BitAddresses || d->InterfaceType != PCIBus || !d->MaximumLength) {
        violation("card.dma", CALLER, "IoGetDmaAdapter for what is no bus master on PCI, or not the card");
        return NULL;
    }
    if (inject_failure(VERIFIER_FAIL_POOL, CALLER)) return NULL;
    InterlockedIncrement(&the.adapters);
    *registers = d->MaximumLength / 4096 + 1;
    return &dma;
}
