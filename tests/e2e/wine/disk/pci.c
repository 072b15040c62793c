/* The bus's side of a PCI function under the adapter: its resources, its
 * configuration space, its coming and going. */
#include "pci.h"

pci_function pci;

/* Taken at any IRQL, also in the middle of an access to a register. */
void pci_lock(void) { while (InterlockedExchange(&pci.lock, 1)) __builtin_ia32_pause(); }
void pci_unlock(void) { InterlockedExchange(&pci.lock, 0); }
void pci_wake(void) { verifier_card_signal(&pci.thread.wake); }

PVOID pci_memory(ULONGLONG address)
{
    if (!pci.translated) return (PVOID)address;
    if (address < VERIFIER_TRANSLATED) complain(NULL, "card", "0x%llx is no address of the card's", address);
    return (PVOID)(address - VERIFIER_TRANSLATED);
}

static ULONG read_register(ULONG offset, ULONG width)
{
    pci_lock();
    ULONG value = pci.pulled ? 0xffffffff : pci.device->read(offset, width);
    pci_unlock();
    return value;
}

static void write_register(ULONG offset, ULONG width, ULONG value)
{
    pci_lock();
    if (!pci.pulled) pci.device->write(offset, width, value);
    pci_unlock();
}

static VOID NTAPI run(PVOID context)
{
    (void)context;
    while (!pci.thread.stop) {
        worker_wait(&pci.thread, 10);
        pci.device->work();
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS pci_insert(PDEVICE_OBJECT root, const WCHAR *hardware)
{
    UCHAR *disk = ExAllocatePoolWithTag(NonPagedPool, SECTORS * 512, TAG);
    if (!disk) return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(disk, SECTORS * 512);
    pci = (pci_function){ .device = hardware[8] == '1' ? &virtio : &rings, .disk = disk }; /* PCI\VEN_1AF4, 534C */
    *(ULONG *)(pci.space + 0x10) = PCI_PORT | 1;
    pci.device->make(hardware);
    pci.device->reset();
    verifier_card c = { PCI_MEMORY, PCI_LENGTH, pci.messages, pci.translated, read_register, write_register };
    NTSTATUS s = verifier_card_insert(root, &c);
    if (NT_SUCCESS(s)) s = worker_start(&pci.thread, run, NULL);
    if (NT_SUCCESS(s)) return s;
    ExFreePoolWithTag(disk, TAG);
    pci.device = NULL;
    return s;
}

void pci_remove(void)
{
    if (!pci.device) return;
    if (pci.device->runs()) complain(NULL, "card", "it is left running");
    if (pci.references) complain(NULL, "card", "its bus interface is held %ld times", pci.references);
    worker_stop(&pci.thread);
    verifier_card_remove();
    ExFreePoolWithTag(pci.disk, TAG);
    pci.device = NULL;
}

/* Pulled out: nothing answers any more. Where DMA is translated it only seems to be: it is there, and may write to memory. */
void pci_pull(void)
{
    if (!pci.device || pci.translated) return;
    pci_lock();
    pci.pulled = TRUE;
    pci.device->reset();
    pci_unlock();
}

/* START_DEVICE's resources: ports, the BAR's memory, an interrupt. */
void pci_resources(PIO_STACK_LOCATION to)
{
    static struct { CM_RESOURCE_LIST list; CM_PARTIAL_RESOURCE_DESCRIPTOR more[2]; } given;
    if (!pci.device) return;
    CM_PARTIAL_RESOURCE_DESCRIPTOR *d = given.list.List[0].PartialResourceList.PartialDescriptors;
    given.list.Count = 1;
    given.list.List[0].PartialResourceList.Count = 3;
    d[0].Type = CmResourceTypePort;
    d[0].Flags = CM_RESOURCE_PORT_IO;
    d[0].u.Port.Start.QuadPart = PCI_PORT;
    d[0].u.Port.Length = PCI_PORTS;
    d[1].Type = CmResourceTypeMemory;
    d[1].u.Memory.Start.QuadPart = PCI_MEMORY;
    d[1].u.Memory.Length = PCI_LENGTH;
    d[2].Type = CmResourceTypeInterrupt;
    d[2].Flags = pci.messages ? CM_RESOURCE_INTERRUPT_MESSAGE | CM_RESOURCE_INTERRUPT_LATCHED : 0;
    d[2].u.Interrupt.Level = PCI_IRQL;
    d[2].u.Interrupt.Vector = 0x51;
    to->Parameters.StartDevice.AllocatedResources = &given.list;
    to->Parameters.StartDevice.AllocatedResourcesTranslated = &given.list;
}

static ULONG NTAPI get_data(PVOID context, ULONG kind, PVOID buffer, ULONG offset, ULONG length)
{
    (void)context;
    if (kind != PCI_WHICHSPACE_CONFIG || offset + length > sizeof pci.space || current_irql() > DISPATCH_LEVEL) return 0;
    if (pci.pulled) RtlFillMemory(buffer, length, 0xff);
    else RtlCopyMemory(buffer, pci.space + offset, length);
    return length;
}

static ULONG NTAPI set_data(PVOID context, ULONG kind, PVOID buffer, ULONG offset, ULONG length)
{
    (void)context;
    BOOLEAN command = offset == 4 && (length == 2 || length == 4);
    BOOLEAN own = pci.device == &rings && offset >= 0x40 && offset + length <= sizeof pci.space;
    if (kind != PCI_WHICHSPACE_CONFIG || (!command && !own) || current_irql() > DISPATCH_LEVEL) {
        complain(NULL, "card", "configuration space is written at %lu", offset);
        return 0;
    }
    RtlCopyMemory(pci.space + offset, buffer, command ? 2 : length); /* COMMAND; ones in STATUS would clear it */
    return length;
}

static VOID NTAPI refer(PVOID context) { (void)context; InterlockedIncrement(&pci.references); }
static VOID NTAPI unrefer(PVOID context) { (void)context; InterlockedDecrement(&pci.references); }

/* IRP_MN_QUERY_INTERFACE; FALSE if it is not for the pci. */
BOOLEAN pci_interface(PIO_STACK_LOCATION at)
{
    static const GUID standard = { 0x496b8280, 0x6f25, 0x11d0, { 0xbe, 0xaf, 0x08, 0x00, 0x2b, 0xe2, 0x09, 0x2f } };
    BUS_INTERFACE_STANDARD *i = (PVOID)at->Parameters.QueryInterface.Interface;
    if (!pci.device || RtlCompareMemory(at->Parameters.QueryInterface.InterfaceType, &standard, sizeof standard) != sizeof standard) return FALSE;
    if (at->Parameters.QueryInterface.Size < sizeof *i || at->Parameters.QueryInterface.Version != 1) return FALSE;
    *i = (BUS_INTERFACE_STANDARD){
        .Size = sizeof *i, .Version = 1, .InterfaceReference = refer, .InterfaceDereference = unrefer,
        .SetBusData = set_data, .GetBusData = get_data,
    };
    refer(NULL);
    return TRUE;
}
