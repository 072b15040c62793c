/* Interlocked lists: each takes the caller's spin lock for a moment. These may
 * run at any IRQL and do not count as locks in the rules. */
#include "kernel.h"

static void take(KSPIN_LOCK *l) { while (__sync_val_compare_and_swap(l, 0, GetCurrentThreadId()) != 0) Sleep(0); }
static void give(KSPIN_LOCK *l) { __sync_lock_release(l); }

LIST_ENTRY *EXPORT(ExInterlockedInsertHeadList)(LIST_ENTRY *head, LIST_ENTRY *e, KSPIN_LOCK *l)
{
    LIST_ENTRY *first;
    take(l);
    first = IsListEmpty(head) ? NULL : head->Flink;
    InsertHeadList(head, e);
    give(l);
    return first;
}
LIST_ENTRY *EXPORT(ExInterlockedInsertTailList)(LIST_ENTRY *head, LIST_ENTRY *e, KSPIN_LOCK *l)
{
    LIST_ENTRY *last;
    take(l);
    last = IsListEmpty(head) ? NULL : head->Blink;
    InsertTailList(head, e);
    give(l);
    return last;
}
LIST_ENTRY *EXPORT(ExInterlockedRemoveHeadList)(LIST_ENTRY *head, KSPIN_LOCK *l)
{
    LIST_ENTRY *e;
    take(l);
    e = IsListEmpty(head) ? NULL : RemoveHeadList(head);
    give(l);
    return e;
}
SINGLE_LIST_ENTRY *EXPORT(ExInterlockedPushEntryList)(SINGLE_LIST_ENTRY *head, SINGLE_LIST_ENTRY *e, KSPIN_LOCK *l)
{
    SINGLE_LIST_ENTRY *first;
    take(l);
    first = head->Next;
    e->Next = first;
    head->Next = e;
    give(l);
    return first;
}
SINGLE_LIST_ENTRY *EXPORT(ExInterlockedPopEntryList)(SINGLE_LIST_ENTRY *head, KSPIN_LOCK *l)
{
    SINGLE_LIST_ENTRY *first;
    take(l);
    first = head->Next;
    if (first) head->Next = first->Next;
    give(l);
    return first;
}
LARGE_INTEGER EXPORT(ExInterlockedAddLargeInteger)(LARGE_INTEGER *at, LARGE_INTEGER n, KSPIN_LOCK *l)
{
    LARGE_INTEGER old;
    take(l);
    old = *at;
    at->QuadPart += n.QuadPart;
    give(l);
    return old;
}
ULONG EXPORT(ExInterlockedAddUlong)(ULONG *at, ULONG n, KSPIN_LOCK *l) { return __sync_fetch_and_add(at, n); }
