/* A PCI function under the adapter, as the bus has it (pci.c), and the devices
 * that it can be (virtio.c, rings.c). card.c of the verifier makes registers of
 * a device's routines; a thread does what they ask for. */
#ifndef PCI_H
#define PCI_H

#include "disk.h"
#include "../verifier/verifier.h"

#define SECTORS (16 * 2048)         /* 16 MiB */
#define PCI_MEMORY 0xfe000000ull    /* where the registers' BAR lies */
#define PCI_LENGTH 0x1000
#define PCI_PORT 0xc000             /* BAR 0: ports, which nobody speaks to here */
#define PCI_PORTS 0x40
#define PCI_IRQL 5

typedef struct pci_device {
    void (*make)(const WCHAR *hardware); /* fills pci.space, messages, translated */
    ULONG (*read)(ULONG offset, ULONG width);              /* these two with the lock held */
    void (*write)(ULONG offset, ULONG width, ULONG value);
    void (*work)(void);     /* on the thread, whenever it is woken, and now and then */
    void (*reset)(void);    /* with the lock held, or alone */
    BOOLEAN (*runs)(void);  /* it may still use the driver's memory */
} pci_device;
extern const pci_device virtio, rings;

/* There is one at a time. */
typedef struct pci_function {
    const pci_device *device; /* NULL: none */
    BOOLEAN pulled, translated;
    LONG lock, references;
    ULONG messages;           /* 0: a line */
    worker thread;
    UCHAR space[256];         /* its configuration space */
    UCHAR *disk;
} pci_function;
extern pci_function pci;

void pci_lock(void);
void pci_unlock(void);
void pci_wake(void);
/* What the device finds at an address. */
PVOID pci_memory(ULONGLONG address);

#endif
