/* The adapter that the C miniport `plain` drives (tests/c-miniport/plain/adapter.h
 * says what lies in its registers and rings; this file has its own words for
 * it): the device's side. By its revision:
 *   0: a line; 1: one queue and its message; 2: two queues, two messages;
 *   3: a line, and DMA that is translated. */
#include "pci.h"

#define MOST 4
#define ENTRIES 16
#define SEGMENTS 32
/* registers */
#define CONTROL 0x04
#define RINGS 0x18
#define DOORBELLS 0x20
#define STATUS 0x30

typedef struct command {
    ULONGLONG block;
    ULONG blocks;
    USHORT operation, tag;
    ULONGLONG count;
    struct { ULONGLONG address, length; } segments[SEGMENTS];
} command;
enum { READ = 1, WRITE, FLUSH, ZERO };
typedef struct ring {
    volatile ULONG completed;
    ULONG reserved;
    struct { USHORT tag, failed; ULONG bytes; } completions[ENTRIES];
    command commands[ENTRIES];
} ring;

static struct {
    ULONG control, queues, doorbells[MOST];
    ULONGLONG rings;
} card;

static ULONG read_register(ULONG offset, ULONG width)
{
    if (width != 4) complain(NULL, "card", "%lu bytes at 0x%lx are read", width, offset);
    switch (offset) {
    case 0x00: return 0x41544c53;
    case CONTROL: return card.control;
    case 0x08: return card.queues;
    case 0x0c: return 512;
    case 0x10: return SECTORS;
    case 0x14: return 0; /* SECTORS' upper half */
    case STATUS: return 0; /* busy with the lock held only */
    }
    complain(NULL, "card", "register 0x%lx is read", offset);
    return 0;
}

static void write_register(ULONG offset, ULONG width, ULONG value)
{
    ULONG shift = (offset - RINGS) * 8;
    if (width != 4) complain(NULL, "card", "%lu bytes at 0x%lx are written", width, offset);
    switch (offset) {
    case CONTROL: card.control = value; return;
    case RINGS: case RINGS + 4: card.rings = (card.rings & ~(0xffffffffull << shift)) | (ULONGLONG)value << shift; return;
    }
    if (offset >= DOORBELLS && offset < DOORBELLS + 4 * card.queues) {
        card.doorbells[(offset - DOORBELLS) / 4] = value;
        pci_wake();
    } else complain(NULL, "card", "register 0x%lx is written", offset);
}

/* UNMAP's parameter list (SBC-3, 5.28), in one piece. */
static BOOLEAN zero(const UCHAR *list, ULONGLONG length)
{
    for (ULONGLONG at = 8; at + 16 <= length; at += 16) {
        ULONGLONG block = be(list + at, 8), blocks = be(list + at + 8, 4);
        if (block > SECTORS || blocks > SECTORS - block) return FALSE;
        RtlZeroMemory(pci.disk + block * 512, blocks * 512);
    }
    return TRUE;
}

static BOOLEAN carry_out(command *c, ULONG *bytes)
{
    UCHAR *disk = pci.disk + c->block * 512;
    ULONGLONG length = c->blocks * 512ull, done = 0;
    *bytes = 0;
    if (!(pci.space[4] & 4)) complain(NULL, "card", "a request for a card that is no bus master");
    if (c->operation == FLUSH) return TRUE;
    if (c->count > SEGMENTS || !c->count) {
        complain(NULL, "card", "a request with %llu segments", c->count);
        return FALSE;
    }
    if (c->operation == ZERO) return zero(pci_memory(c->segments[0].address), *bytes = (ULONG)c->segments[0].length);
    if (c->block > SECTORS || c->blocks > SECTORS - c->block) return FALSE;
    for (ULONGLONG n = 0; n < c->count; done += c->segments[n++].length) {
        UCHAR *data = pci_memory(c->segments[n].address);
        if (c->segments[n].length > length - done) return FALSE;
        if (c->operation == WRITE) RtlCopyMemory(disk + done, data, c->segments[n].length);
        else RtlCopyMemory(data, disk + done, c->segments[n].length);
    }
    if (done != length) complain(NULL, "card", "%llu bytes of memory for %llu", done, length);
    *bytes = (ULONG)done;
    return done == length;
}

/* A queue's next command; whether there was one. */
static BOOLEAN look(ULONG n)
{
    if (!(card.control & 1)) return FALSE;
    ring *r = (ring *)pci_memory(card.rings) + n;
    ULONG number = r->completed, bytes;
    if (number == card.doorbells[n]) return FALSE;
    command *c = &r->commands[number % ENTRIES];
    r->completions[number % ENTRIES].failed = !carry_out(c, &bytes);
    r->completions[number % ENTRIES].tag = c->tag;
    r->completions[number % ENTRIES].bytes = bytes;
    __sync_synchronize();
    r->completed = number + 1;
    return TRUE;
}

static void work(void)
{
    for (BOOLEAN any = TRUE; any;) {
        any = FALSE;
        for (ULONG n = 0; n < card.queues; n++) {
            pci_lock();
            BOOLEAN worked = !pci.pulled && look(n);
            pci_unlock();
            if (worked) verifier_card_interrupt(n);
            any |= worked;
        }
    }
}

static void make(const WCHAR *hardware)
{
    WCHAR revision = hardware[27]; /* PCI\VEN_534C&DEV_5543&REV_0n */
    pci.messages = revision == '3' ? 0 : revision - '0';
    pci.translated = revision == '3';
    card.queues = revision == '1' ? 1 : 2;
    *(ULONG *)pci.space = 0x5543534c;
    pci.space[8] = (UCHAR)(revision - '0');
    *(ULONG *)(pci.space + 0x14) = (ULONG)PCI_MEMORY; /* BAR 1: memory, 32 bits */
}

static void reset(void)
{
    card.control = 0;
    card.rings = 0;
    RtlZeroMemory(card.doorbells, sizeof card.doorbells);
}

static BOOLEAN runs(void) { return card.control & 1; }

const pci_device rings = { make, read_register, write_register, work, reset, runs };
