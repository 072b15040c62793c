/* The order in which spin locks are taken, as a graph: an edge from A to B says
 * that B was once acquired while A was held. A cycle is a deadlock that only
 * needs the right moment, whether or not it ever happened. */
#include "kernel.h"

#define NODES 2048
#define EDGES 16

typedef struct node { void *lock; ULONG mark; int edges; struct node *to[EDGES]; void *where[EDGES]; } node;
static node nodes[NODES];
static SRWLOCK order_lock = SRWLOCK_INIT;
static ULONG mark;

static node *node_of(void *lock, BOOLEAN create)
{
    node *gap = NULL;
    for (ULONG i = 0; i < NODES; i++) {
        node *n = &nodes[((ULONG_PTR)lock / 8 + i) % NODES];
        if (n->lock == lock) return n;
        if (n->lock == (void *)-1 && !gap) gap = n; /* forgotten: may be reused, does not end the chain */
        if (!n->lock) { if (!gap) gap = n; break; }
    }
    if (!create || !gap) return NULL;
    RtlZeroMemory(gap, sizeof *gap);
    gap->lock = lock;
    return gap;
}

/* Is there a way from one lock to the other? Walks with its own stack. */
static BOOLEAN reaches(node *from, node *to)
{
    static node *stack[NODES];
    ULONG n = 0;
    mark++;
    stack[n++] = from;
    from->mark = mark;
    while (n) {
        node *at = stack[--n];
        if (at == to) return TRUE;
        for (int i = 0; i < at->edges; i++)
            if (at->to[i]->mark != mark) { at->to[i]->mark = mark; stack[n++] = at->to[i]; }
    }
    return FALSE;
}

void lock_order(thread *t, void *lock, void *caller)
{
    node *to;
    void *bad = NULL;
    if (!t->held) return;
    AcquireSRWLockExclusive(&order_lock);
    to = node_of(lock, TRUE);
    for (int i = 0; to && i < t->held; i++) {
        node *from = node_of(t->locks[i].lock, TRUE);
        int e = 0;
        if (!from || from == to) continue;
        while (e < from->edges && from->to[e] != to) e++;
        if (e < from->edges) continue;
        if (reaches(to, from)) { bad = from->lock; continue; }
        if (e < EDGES) { from->to[e] = to; from->where[e] = caller; from->edges++; }
    }
    ReleaseSRWLockExclusive(&order_lock);
    if (bad) violation("lock.order", caller, "spin lock %p acquired while %p is held; elsewhere they were acquired the other way round", lock, bad);
}

/* The memory that held the locks is gone, or a lock was initialised anew. */
void lock_order_forget(void *from, SIZE_T size)
{
    AcquireSRWLockExclusive(&order_lock);
    for (ULONG i = 0; i < NODES; i++) {
        node *gone = &nodes[i];
        if (!gone->lock || (SIZE_T)((char *)gone->lock - (char *)from) >= size) continue;
        gone->lock = (void *)-1;
        gone->edges = 0;
        for (ULONG k = 0; k < NODES; k++)
            for (int e = 0; e < nodes[k].edges; e++)
                if (nodes[k].to[e] == gone) nodes[k].to[e--] = nodes[k].to[--nodes[k].edges];
    }
    ReleaseSRWLockExclusive(&order_lock);
}
