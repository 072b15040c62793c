/* Sins against a device that the test driver plays, and the right conduct. */
#include "driver.h"

#define PHYSICAL 0xfe000000ull
#define LENGTH 0x1000
#define PROTECTION 0x204 /* PAGE_READWRITE | PAGE_NOCACHE */

PVOID NTAPI MmMapIoSpaceEx(PHYSICAL_ADDRESS, SIZE_T, ULONG);

static volatile ULONG last, interrupts;
static ULONG read_register(ULONG offset, ULONG width) { return offset + (width << 24) + 0x00abcd00; }
static void write_register(ULONG offset, ULONG width, ULONG value) { last = offset + (width << 8) + value; }

static void insert(ULONG messages)
{
    verifier_card card = { PHYSICAL, LENGTH, messages, 0, read_register, write_register };
    verifier_card_insert(control_device, &card);
}
static PVOID map(ULONGLONG at, ULONG protection) { return MmMapIoSpaceEx((PHYSICAL_ADDRESS){ .QuadPart = (LONGLONG)at }, LENGTH, protection); }

static BOOLEAN NTAPI on_message(PKINTERRUPT i, PVOID context, ULONG number) { interrupts += number; return TRUE; }
static BOOLEAN NTAPI on_line(PKINTERRUPT i, PVOID context) { interrupts++; return TRUE; }
static NTSTATUS connect(IO_CONNECT_INTERRUPT_PARAMETERS *p, PVOID *connection)
{
    RtlZeroMemory(p, sizeof *p);
    p->Version = CONNECT_MESSAGE_BASED;
    p->MessageBased.PhysicalDeviceObject = control_device;
    p->MessageBased.ConnectionContext.Generic = connection;
    p->MessageBased.MessageServiceRoutine = on_message;
    p->MessageBased.FallBackServiceRoutine = on_line;
    return IoConnectInterruptEx(p);
}
static void disconnect(ULONG version, PVOID connection)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS p = { .Version = version };
    p.ConnectionContext.Generic = connection;
    IoDisconnectInterruptEx(&p);
}
static PDMA_ADAPTER adapter(BOOLEAN master)
{
    ULONG registers;
    DEVICE_DESCRIPTION d = { .Master = master, .ScatterGather = TRUE, .Dma64BitAddresses = TRUE, .InterfaceType = PCIBus, .MaximumLength = 4096 };
    return IoGetDmaAdapter(control_device, &d, &registers);
}

void sin_card_protection(void) { insert(0); MmUnmapIoSpace(map(PHYSICAL, 4), LENGTH); verifier_card_remove(); }
void sin_card_wild(void) { insert(0); map(PHYSICAL + LENGTH, PROTECTION); verifier_card_remove(); }
void sin_card_wild_register(void)
{
    insert(0);
    volatile UCHAR *registers = map(PHYSICAL, PROTECTION);
    last = registers[LENGTH];
    MmUnmapIoSpace((PVOID)registers, LENGTH);
    verifier_card_remove();
}
void sin_card_alignment(void)
{
    insert(0);
    volatile UCHAR *registers = map(PHYSICAL, PROTECTION);
    last = *(volatile ULONG *)(registers + 2);
    MmUnmapIoSpace((PVOID)registers, LENGTH);
    verifier_card_remove();
}
void sin_card_unmap(void) { insert(0); MmUnmapIoSpace(map(PHYSICAL, PROTECTION), LENGTH / 2); verifier_card_remove(); }
void sin_card_interrupt(void) { insert(1); disconnect(CONNECT_MESSAGE_BASED, (PVOID)&last); verifier_card_remove(); }
void sin_card_dma(void) { insert(0); adapter(FALSE); verifier_card_remove(); }
void sin_card_left(void)
{
    insert(0);
    PVOID registers = map(PHYSICAL, PROTECTION);
    verifier_card_remove();
    insert(0);
    MmUnmapIoSpace(registers, LENGTH);
    verifier_card_remove();
}

/* 0, or the line that failed. */
int virtue_card(void)
{
    for (ULONG messages = 0; messages < 4; messages += 3) {
        IO_CONNECT_INTERRUPT_PARAMETERS p;
        PVOID connection;
        PHYSICAL_ADDRESS logical;
        insert(messages);
        volatile UCHAR *registers = map(PHYSICAL, PROTECTION);
        if (!registers) return __LINE__;
        if (registers[0x21] != 0x21) return __LINE__;
        if (*(volatile USHORT *)(registers + 0x22) != 0xcd22) return __LINE__;
        if (*(volatile ULONG *)(registers + 0x24) != 0x04abcd24) return __LINE__;
        registers[0x11] = 0x7;
        if (last != 0x11 + 0x100 + 0x7) return __LINE__;
        *(volatile USHORT *)(registers + 0x12) = (USHORT)messages;
        if (last != 0x12 + 0x200 + messages) return __LINE__;
        *(volatile ULONG *)(registers + 0x14) = 0x10000;
        if (last != 0x14 + 0x400 + 0x10000) return __LINE__;
        *(volatile ULONG64 *)(registers + 0x18) = 0x500000003; /* two of 32 bits, the upper half last */
        if (last != 0x1c + 0x400 + 5) return __LINE__;
        if (*(volatile ULONG64 *)(registers + 0x18) != 0x04abcd1c04abcd18) return __LINE__;
        interrupts = 0;
        if (verifier_card_interrupt(2)) return __LINE__;
        if (!NT_SUCCESS(connect(&p, &connection))) return __LINE__;
        if (p.Version != (messages ? CONNECT_MESSAGE_BASED : CONNECT_LINE_BASED)) return __LINE__;
        if (!verifier_card_interrupt(2) || interrupts != (messages ? 2 : 1)) return __LINE__;
        disconnect(p.Version, connection);
        PDMA_ADAPTER dma = adapter(TRUE);
        if (!dma) return __LINE__;
        PVOID memory = dma->DmaOperations->AllocateCommonBuffer(dma, 100, &logical, TRUE);
        if (!memory || logical.QuadPart != MmGetPhysicalAddress(memory).QuadPart) return __LINE__;
        dma->DmaOperations->FreeCommonBuffer(dma, 100, logical, memory, TRUE);
        dma->DmaOperations->PutDmaAdapter(dma);
        MmUnmapIoSpace((PVOID)registers, LENGTH);
        verifier_card_remove();
    }
    return 0;
}
