/* What one end of the stack found wrong with its neighbour: lines of text that
 * user mode fetches, and DbgPrint. A line names who complains, of what disk. */
#include "disk.h"
#include <stdarg.h>

int __cdecl _vsnprintf(char *, size_t, const char *, va_list);
int __cdecl _snprintf(char *, size_t, const char *, ...);

static char text[16384];
static ULONG used;
static KSPIN_LOCK lock;

void complain(disk *d, const char *who, const char *format, ...)
{
    char line[256];
    int n = _snprintf(line, sizeof line - 2, "disk %lu, %s: ", d ? d->number : 0, who);
    va_list arguments;
    va_start(arguments, format);
    int m = _vsnprintf(line + n, sizeof line - 2 - n, format, arguments);
    va_end(arguments);
    n = m < 0 ? (int)sizeof line - 2 : n + m;
    line[n++] = '\n';
    line[n] = 0;
    DbgPrint("sluicetest: %s", line);
    if (d) InterlockedIncrement((PLONG)&d->seen.violations);
    KIRQL irql;
    KeAcquireSpinLock(&lock, &irql);
    if (used + n < sizeof text) {
        RtlCopyMemory(text + used, line, n);
        used += n;
    }
    KeReleaseSpinLock(&lock, irql);
}

ULONG log_copy(PCHAR buffer, ULONG length)
{
    KIRQL irql;
    KeAcquireSpinLock(&lock, &irql);
    ULONG n = min(length, used);
    RtlCopyMemory(buffer, text, n);
    KeReleaseSpinLock(&lock, irql);
    return n;
}

void log_reset(void)
{
    KIRQL irql;
    KeAcquireSpinLock(&lock, &irql);
    used = 0;
    KeReleaseSpinLock(&lock, irql);
}
