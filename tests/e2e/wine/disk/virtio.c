/* A virtio block device on PCI (VIRTIO 1.2: 2.7 split rings with indirect
 * descriptors, 4.1 PCI, 5.2 block): the device's side, written from the
 * specification. */
#include "pci.h"

#define QUEUES 2
#define QUEUE_SIZE 256
#define SEGMENTS 300
/* Where the structures lie in BAR 4. */
#define COMMON 0x000
#define ISR 0x100
#define DEVICE 0x200
#define NOTIFY 0x300
/* Features, besides VERSION_1 and ACCESS_PLATFORM of the upper half: SEG_MAX, FLUSH, MQ, INDIRECT_DESC. */
#define LOW (1u << 2 | 1u << 9 | 1u << 12 | 1u << 28)
#define HIGH (1u << 0 | 1u << 1)

typedef struct descriptor { ULONGLONG address; ULONG length; USHORT flags, next; } descriptor;
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };
typedef struct queue {
    ULONG size, vector, enabled;
    ULONGLONG rings[3]; /* descriptors, driver's, device's */
    USHORT taken;
} queue;

static struct {
    ULONG status, isr, feature_select, driver_select, features[2], selected, config_vector;
    queue queues[QUEUES];
} card;

/* ---- registers ---- */

static ULONG common(ULONG at)
{
    queue *q = card.selected < QUEUES ? &card.queues[card.selected] : NULL;
    switch (at) {
    case 4: return card.feature_select == 0 ? LOW : card.feature_select == 1 ? HIGH : 0;
    case 16: return card.config_vector;
    case 18: return QUEUES;
    case 20: return card.status;
    case 21: return 0;
    case 22: return card.selected;
    case 24: return q ? q->size : 0;
    case 26: return q ? q->vector : 0xffff;
    case 28: return q ? q->enabled : 0;
    case 30: return card.selected;
    }
    complain(NULL, "card", "register 0x%lx is read", at);
    return 0;
}

static ULONG vector(ULONG asked) { return asked < pci.messages ? asked : 0xffff; }

static void set_address(queue *q, ULONG at, ULONG value)
{
    ULONGLONG *ring = &q->rings[(at - 32) / 8];
    ULONG shift = at % 8 * 8;
    *ring = (*ring & ~(0xffffffffull << shift)) | (ULONGLONG)value << shift;
}

static void device_status(ULONG value)
{
    if (value) {
        if (value & 8 && (!(card.features[1] & 1) || card.features[0] & ~LOW || card.features[1] & ~HIGH)) value &= ~8u;
        card.status = value;
        return;
    }
    card.status = card.isr = card.features[0] = card.features[1] = 0;
    card.config_vector = 0xffff;
    RtlZeroMemory(card.queues, sizeof card.queues);
    for (ULONG n = 0; n < QUEUES; n++) card.queues[n].size = QUEUE_SIZE, card.queues[n].vector = 0xffff;
}

static void set_common(ULONG at, ULONG value)
{
    queue *q = card.selected < QUEUES ? &card.queues[card.selected] : NULL;
    switch (at) {
    case 0: card.feature_select = value; return;
    case 8: card.driver_select = value; return;
    case 12: if (card.driver_select < 2) card.features[card.driver_select] = value; return;
    case 16: card.config_vector = vector(value); return;
    case 20: device_status(value); return;
    case 22: card.selected = value; return;
    }
    if (!q || q->enabled) {
        complain(NULL, "card", "register 0x%lx is written for a queue that is not there, or runs", at);
        return;
    }
    switch (at) {
    case 24: q->size = value; return;
    case 26: q->vector = vector(value); return;
    case 28: q->enabled = value; return;
    case 32: case 36: case 40: case 44: case 48: case 52: set_address(q, at, value); return;
    }
    complain(NULL, "card", "register 0x%lx is written", at);
}

static ULONG read_register(ULONG offset, ULONG width)
{
    ULONG value = 0;
    if (offset < ISR) return common(offset);
    if (offset == ISR) {
        value = card.isr;
        card.isr = 0;
    } else if (offset >= DEVICE && offset < DEVICE + 60) switch (offset - DEVICE) { /* capacity, seg_max, num_queues */
    case 0: value = SECTORS; break;
    case 12: value = 254; break;
    case 34: value = QUEUES; break;
    }
    else complain(NULL, "card", "%lu bytes at 0x%lx are read", width, offset);
    return value;
}

static void write_register(ULONG offset, ULONG width, ULONG value)
{
    if (offset >= NOTIFY && offset < NOTIFY + 4 * QUEUES && width == 2) {
        if (offset - NOTIFY != 4 * value) complain(NULL, "card", "queue %lu is notified at 0x%lx", value, offset);
        pci_wake();
    } else if (offset < ISR) set_common(offset, value);
    else complain(NULL, "card", "%lu bytes at 0x%lx are written", width, offset);
}

/* ---- requests ---- */

/* The pieces of a buffer, in order; 0 if there are too many. */
static ULONG gather(queue *q, USHORT head, descriptor *out)
{
    descriptor *table = pci_memory(q->rings[0]), d = table[head % q->size];
    ULONG most = q->size, n = 0;
    if (d.flags & INDIRECT) {
        most = d.length / sizeof d;
        table = pci_memory(d.address);
        d = table[0];
    }
    for (; n < most && n < SEGMENTS; d = table[d.next % most]) {
        out[n++] = d;
        if (!(d.flags & NEXT)) return n;
    }
    complain(NULL, "card", "a chain of more than %lu descriptors", n);
    return 0;
}

/* One request (5.2.6): a header, data, a status. Returns the bytes written. */
static ULONG carry_out(descriptor *d, ULONG n)
{
    ULONG written = 1;
    UCHAR *status = pci_memory(d[n - 1].address), *header = pci_memory(d[0].address);
    if (n < 2 || d[0].length != 16 || d[0].flags & WRITE || d[n - 1].length != 1 || !(d[n - 1].flags & WRITE)) {
        complain(NULL, "card", "a request without header or status");
        return 0;
    }
    ULONG kind = *(ULONG *)header;
    ULONGLONG at = *(ULONGLONG *)(header + 8) * 512;
    *status = 0;
    for (ULONG i = 1; i < n - 1; i++) {
        UCHAR *data = pci_memory(d[i].address);
        if (kind == 8 /* GET_ID */) RtlCopyMemory(data, "played-card\0\0\0\0\0\0\0\0\0", min(d[i].length, 20));
        else if (kind > 1 || at + d[i].length > SECTORS * 512ull) *status = kind > 1 ? 2 : 1;
        else if (!kind != !!(d[i].flags & WRITE)) complain(NULL, "card", "data of the wrong direction");
        else if (kind) RtlCopyMemory(pci.disk + at, data, d[i].length);
        else RtlCopyMemory(data, pci.disk + at, d[i].length);
        if (d[i].flags & WRITE) written += d[i].length;
        at += d[i].length;
    }
    return written;
}

/* All that a queue has; TRUE if the driver wants to be told. */
static BOOLEAN serve(queue *q)
{
    static descriptor pieces[SEGMENTS];
    volatile USHORT *available = pci_memory(q->rings[1]), *used = pci_memory(q->rings[2]);
    BOOLEAN any = FALSE;
    while (q->taken != available[1]) {
        __sync_synchronize();
        if (!(pci.space[4] & 4)) complain(NULL, "card", "requests for a card that is no bus master");
        USHORT head = available[2 + q->taken % q->size];
        ULONG n = gather(q, head, pieces);
        volatile ULONG *entry = (volatile ULONG *)(used + 2) + 2 * (used[1] % q->size);
        entry[0] = head;
        entry[1] = n ? carry_out(pieces, n) : 0;
        __sync_synchronize();
        used[1]++;
        q->taken++;
        any = TRUE;
    }
    __sync_synchronize();
    return any && !(available[0] & 1);
}

static void work(void)
{
    for (ULONG n = 0; n < QUEUES; n++) {
        ULONG message = 0xffff;
        BOOLEAN tell = FALSE;
        pci_lock();
        queue *q = &card.queues[n];
        if (q->enabled && card.status & 4) {
            tell = serve(q);
            message = q->vector;
            if (tell && !pci.messages) card.isr |= 1;
        }
        pci_unlock();
        if (tell && (message != 0xffff || !pci.messages) && !verifier_card_interrupt(message) && !pci.messages && card.isr)
            complain(NULL, "card", "nobody takes the line interrupt");
    }
}

/* ---- its configuration space ---- */

static void capability(ULONG at, UCHAR next, UCHAR length, UCHAR kind, ULONG offset, ULONG bytes)
{
    UCHAR head[] = { 9, next, length, kind, 4 /* BAR */ };
    RtlCopyMemory(pci.space + at, head, sizeof head);
    *(ULONG *)(pci.space + at + 8) = offset;
    *(ULONG *)(pci.space + at + 12) = bytes;
}

/* With messages and DMA as it is in simple machines; or, for the transitional
 * device, with a line and DMA that is translated. */
static void make(const WCHAR *hardware)
{
    BOOLEAN modern = hardware[20] == '2'; /* PCI\VEN_1AF4&DEV_1042 or 1001 */
    pci.messages = modern ? 3 : 0;
    pci.translated = !modern;
    *(USHORT *)pci.space = 0x1af4;
    *(USHORT *)(pci.space + 2) = modern ? 0x1042 : 0x1001;
    pci.space[6] = 0x10;
    *(ULONG *)(pci.space + 0x20) = (ULONG)PCI_MEMORY | 0xc; /* BAR 4: memory, 64 bits, prefetchable */
    pci.space[0x34] = 0x40;
    capability(0x40, 0x50, 16, 1, COMMON, 56);
    capability(0x50, 0x60, 16, 3, ISR, 1);
    capability(0x60, 0x70, 16, 4, DEVICE, 60);
    capability(0x70, 0, 20, 2, NOTIFY, 4 * QUEUES);
    *(ULONG *)(pci.space + 0x80) = 4; /* bytes between the places of two queues' notifications */
}

static void reset(void) { device_status(0); }

static BOOLEAN runs(void)
{
    for (ULONG n = 0; n < QUEUES; n++)
        if (card.queues[n].enabled) return TRUE;
    return FALSE;
}

const pci_device virtio = { make, read_register, write_register, work, reset, runs };
