/* The table of everything that a driver has made and has to unmake. */
#include "kernel.h"

#define BUCKETS 4096

SRWLOCK big_lock = SRWLOCK_INIT;
static object *buckets[BUCKETS];
static const char *const rules[KINDS] = {
    "leak.pool", "leak.irp", "leak.mdl", "leak.workitem", "leak.timer", "leak.dpc", "leak.device",
    "leak.symlink", "leak.thread", "leak.removelock", "leak.lookaside", "leak.shutdown",
};
static const char *const words[KINDS] = {
    "pool block", "IRP", "MDL", "work item", "timer that is still set", "DPC that is still queued", "device object",
    "symbolic link", "system thread that still runs", "acquired remove lock", "lookaside list",
    "shutdown notification",
};

static object **bucket(void *key) { return &buckets[((ULONG_PTR)key >> 4 ^ (ULONG_PTR)key >> 16) % BUCKETS]; }

object *object_find(enum kind kind, void *key)
{
    object *o = *bucket(key);
    while (o && (o->kind != kind || o->key != key)) o = o->next;
    return o;
}

void object_add(enum kind kind, void *key, void *caller, void *ptr)
{
    object *o = heap_alloc(sizeof *o), **head = bucket(key);
    o->kind = kind; o->key = key; o->caller = caller; o->u.ptr = ptr;
    o->owner = driver_at(caller);
    lock_all();
    o->next = *head;
    *head = o;
    unlock_all();
}

/* FALSE: there is no such object. */
BOOLEAN object_remove(enum kind kind, void *key, void **ptr)
{
    object **p, *o;
    lock_all();
    for (p = bucket(key); (o = *p); p = &o->next) {
        if (o->kind != kind || o->key != key) continue;
        *p = o->next;
        break;
    }
    unlock_all();
    if (!o) return FALSE;
    if (ptr) *ptr = o->u.ptr;
    heap_free(o);
    return TRUE;
}

BOOLEAN object_any(enum kind kind, BOOLEAN (*f)(object *o, void *argument), void *argument)
{
    for (int i = 0; i < BUCKETS; i++)
        for (object *o = buckets[i]; o; o = o->next)
            if (o->kind == kind && f(o, argument)) return TRUE;
    return FALSE;
}

/* How many objects a driver (NULL: any driver) owns; reported as leaks if wanted. */
ULONG object_leaks(driver *d, BOOLEAN report)
{
    ULONG n = 0;
    struct leak { enum kind kind; void *key, *caller; } *found = report ? heap_alloc(4096 * sizeof *found) : NULL;
    lock_all();
    for (int i = 0; i < BUCKETS; i++)
        for (object *o = buckets[i]; o; o = o->next) {
            if (!o->owner || (d && o->owner != d)) continue;
            if (report && n < 4096) { found[n].kind = o->kind; found[n].key = o->key; found[n].caller = o->caller; }
            n++;
        }
    unlock_all();
    for (ULONG i = 0; report && i < n && i < 4096; i++) {
        block *b = found[i].kind == POOL ? block_at(found[i].key) : NULL;
        if (b) violation(rules[POOL], found[i].caller, "pool block %p of %lu bytes, tag '%.4s', is not freed",
                         found[i].key, (ULONG)b->size, (char *)&b->tag);
        else violation(rules[found[i].kind], found[i].caller, "%s %p is left", words[found[i].kind], found[i].key);
    }
    if (found) heap_free(found);
    return n;
}

/* After unload: what is left has been reported and belongs to nobody. */
void object_forget_owner(driver *d)
{
    lock_all();
    for (int i = 0; i < BUCKETS; i++)
        for (object *o = buckets[i]; o; o = o->next)
            if (o->owner == d) o->owner = NULL;
    unlock_all();
}

/* ---- entries of the event log: counted, and gone ---- */

PVOID EXPORT(IoAllocateErrorLogEntry)(PVOID device, UCHAR size)
{
    irql_at_most(DISPATCH_LEVEL, "IoAllocateErrorLogEntry", CALLER);
    if (size < sizeof(IO_ERROR_LOG_PACKET) || size > ERROR_LOG_MAXIMUM_SIZE) return NULL;
    if (inject_failure(VERIFIER_FAIL_POOL, CALLER)) return NULL;
    return block_alloc(size, 'rEoI', FALSE, TRUE, CALLER);
}

void EXPORT(IoWriteErrorLogEntry)(PVOID entry)
{
    block *b = block_at(entry);
    IO_ERROR_LOG_PACKET *packet = entry;
    irql_at_most(DISPATCH_LEVEL, "IoWriteErrorLogEntry", CALLER);
    if (!b || b->freed || b->tag != 'rEoI') {
        violation("pool.free-unknown", CALLER, "IoWriteErrorLogEntry of %p, which is no entry", entry);
        return;
    }
    if (packet->DumpDataSize % sizeof(ULONG) || FIELD_OFFSET(IO_ERROR_LOG_PACKET, DumpData) + packet->DumpDataSize > b->size)
        violation("pool.overrun", CALLER, "an entry of %lu bytes with %d bytes of data", (ULONG)b->size, packet->DumpDataSize);
    InterlockedIncrement(&counted.logged);
    block_free(b, CALLER);
}
