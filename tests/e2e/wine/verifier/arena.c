/* The memory that pool, IRPs and MDLs come from: whole pages, an inaccessible
 * page behind each block, and freed pages inaccessible until the whole arena
 * has been walked through once. So an overrun, and nearly every use after free,
 * faults at the instruction that does it; fault.c asks here what was hit. */
#include "kernel.h"

#define PAGE ((SIZE_T)4096)
#define ARENA_PAGES ((SIZE_T)1 << 20) /* 4 GiB of addresses */
#define FILL 0xfa                     /* around a block */
#define FRESH 0xbb                    /* in a new block that is not zeroed */

static char *arena;
static block **owner;  /* of each page; a freed block keeps its pages until they are reused */
static SIZE_T cursor;  /* next page to try */
static SRWLOCK arena_lock = SRWLOCK_INIT;
static BOOLEAN opened; /* a page was opened after a fault: guard pages must be closed again */

static void arena_make(void)
{
    owner = VirtualAlloc(NULL, ARENA_PAGES * sizeof *owner, MEM_RESERVE_ | MEM_COMMIT_, 4 /* rw */);
    arena = VirtualAlloc(NULL, ARENA_PAGES * PAGE, MEM_RESERVE_, 1 /* no access */);
}

BOOLEAN in_arena(const void *address)
{
    return arena && (SIZE_T)((char *)address - arena) < ARENA_PAGES * PAGE;
}

block *block_at(const void *address)
{
    return in_arena(address) ? owner[((char *)address - arena) / PAGE] : NULL;
}

static BOOLEAN usable(SIZE_T page) { return !owner[page] || owner[page]->freed; }

/* A freed block gives up its pages; its record goes with the last of them. */
static void evict(SIZE_T page)
{
    block *b = owner[page];
    if (!b) return;
    for (SIZE_T i = 0; i <= b->pages; i++) owner[(b->base - arena) / PAGE + i] = NULL;
    heap_free(b);
}

/* n pages in a row that no live block has, after the cursor; ARENA_PAGES if none. */
static SIZE_T find_pages(SIZE_T n)
{
    SIZE_T run = 0, tried;
    for (tried = 0; tried < 2 * ARENA_PAGES; tried++) {
        if (cursor + n > ARENA_PAGES) { cursor = 0; run = 0; }
        if (run == n) break;
        if (usable(cursor + run)) { run++; continue; }
        cursor += run + 1;
        run = 0;
    }
    if (run < n) return ARENA_PAGES;
    for (SIZE_T i = 0; i < n; i++) evict(cursor + i);
    cursor += n;
    return cursor - n;
}

void *block_alloc(SIZE_T size, ULONG tag, BOOLEAN paged, BOOLEAN internal, void *caller)
{
    SIZE_T room = (size + 15) & ~(SIZE_T)15, pages = (room + PAGE - 1) / PAGE, first;
    block *b = heap_alloc(sizeof *b);
    if (!pages) pages = 1;
    AcquireSRWLockExclusive(&arena_lock);
    if (!arena) arena_make();
    first = pages < ARENA_PAGES / 4 ? find_pages(pages + 1) : ARENA_PAGES;
    if (first == ARENA_PAGES || !VirtualAlloc(arena + first * PAGE, pages * PAGE, MEM_COMMIT_, 4)) {
        ReleaseSRWLockExclusive(&arena_lock);
        heap_free(b);
        return NULL;
    }
    if (opened) VirtualFree(arena + (first + pages) * PAGE, PAGE, MEM_DECOMMIT_);
    b->base = arena + first * PAGE;
    b->pages = (ULONG)pages;
    b->size = size;
    /* A page or more is aligned to a page, as the kernel promises; less lies
     * against the page that cannot be touched. */
    b->data = size >= PAGE ? b->base : b->base + pages * PAGE - room;
    b->tag = tag; b->paged = paged; b->internal = internal; b->allocated_by = caller;
    for (SIZE_T i = 0; i <= pages; i++) owner[first + i] = b;
    ReleaseSRWLockExclusive(&arena_lock);
    RtlFillMemory(b->base, b->data - b->base, FILL);
    RtlFillMemory(b->data, size, FRESH);
    RtlFillMemory(b->data + size, b->base + pages * PAGE - b->data - size, FILL);
    return b->data;
}

static void check_fill(block *b, char *from, char *to, const char *rule, const char *where, void *caller)
{
    for (; from < to; from++)
        if ((UCHAR)*from != FILL) {
            violation(rule, b->allocated_by, "byte %lld of a block of %lu bytes was written (%s it); found at its free by %p",
                      (long long)(from - b->data), (ULONG)b->size, where, caller);
            return;
        }
}

void block_free(block *b, void *caller)
{
    check_fill(b, b->base, b->data, "pool.underrun", "before", caller);
    check_fill(b, b->data + b->size, b->base + b->pages * PAGE, "pool.overrun", "behind", caller);
    lock_order_forget(b->base, b->pages * PAGE);
    AcquireSRWLockExclusive(&arena_lock);
    b->freed = TRUE;
    b->freed_by = caller;
    VirtualFree(b->base, b->pages * PAGE, MEM_DECOMMIT_);
    ReleaseSRWLockExclusive(&arena_lock);
}

/* An access violation. TRUE: it hit the arena, is reported, and the page has
 * been opened so that the driver goes on and the next sin is seen as well. */
BOOLEAN arena_fault(char *address, BOOLEAN write, void *pc)
{
    block *b = block_at(address);
    const char *verb = write ? "write to" : "read of";
    if (!in_arena(address)) return FALSE;
    if (!b) violation("pool.wild", pc, "%s %p, where no block is", verb, address);
    else if (b->freed)
        violation("pool.use-after-free", pc, "%s byte %lld of a freed block of %lu bytes, tag '%.4s'", verb,
                  (long long)(address - b->data), (ULONG)b->size, (char *)&b->tag);
    else
        violation("pool.overrun", pc, "%s byte %lld of a block of %lu bytes, tag '%.4s'", verb,
                  (long long)(address - b->data), (ULONG)b->size, (char *)&b->tag);
    opened = TRUE;
    return VirtualAlloc((PVOID)((ULONG_PTR)address & ~(PAGE - 1)), PAGE, MEM_COMMIT_, 4) != NULL;
}
