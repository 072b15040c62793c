/* The log, the counters and the options: the side that tests see. */
#include "kernel.h"

int __cdecl _vsnprintf(char *, SIZE_T, const char *, va_list);
int __cdecl _snprintf(char *, SIZE_T, const char *, ...);

#define LOG_SIZE (256 * 1024)
/* The same rule at the same place is printed this often, then only counted:
 * a sin in the data path must not bury the others. */
#define REPEATS 8
#define PLACES 512

verifier_options options = { .size = sizeof(verifier_options) };
totals counted;
static SRWLOCK log_lock = SRWLOCK_INIT;
static char log_text[LOG_SIZE];
static ULONG log_used;
static LONG allocation_number; /* since the last configure */
static struct { const char *rule; void *caller; ULONG count; } places[PLACES];

static char lower(char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }
BOOLEAN same_name(const char *a, const char *b)
{
    while (*a && lower(*a) == lower(*b)) a++, b++;
    return lower(*a) == lower(*b);
}

/* Is the rule named by one of the words in options.disabled? */
static BOOLEAN disabled(const char *rule)
{
    const char *p = options.disabled;
    while (*p) {
        const char *r = rule;
        while (*p == ' ') p++;
        while (*p && *p != ' ' && *p != '*' && *p == *r) p++, r++;
        if (*p == '*' || ((*p == ' ' || !*p) && !*r && r != rule)) return TRUE;
        while (*p && *p != ' ') p++;
    }
    return FALSE;
}

static BOOLEAN said_often(const char *rule, void *caller)
{
    ULONG i, start = (ULONG)(((ULONG_PTR)rule ^ (ULONG_PTR)caller >> 2) % PLACES);
    for (i = 0; i < PLACES; i++) {
        ULONG at = (start + i) % PLACES;
        if (!places[at].rule) { places[at].rule = rule; places[at].caller = caller; }
        if (places[at].rule == rule && places[at].caller == caller) return places[at].count++ >= REPEATS;
    }
    return TRUE;
}

/* The log on disk outlives a host that the driver brought down. */
static void append_to_file(const char *line, ULONG n)
{
    ULONG done;
    HANDLE f = CreateFileA("C:\\verifier.log", 4 /* append */, 3, NULL, 4 /* open always */, 0x80, NULL);
    if (f == (HANDLE)-1) return;
    WriteFile(f, line, n, &done, NULL);
    CloseHandle(f);
}

/* Counts a violation of rule by the code at caller and writes its line. */
void violation(const char *rule, void *caller, const char *format, ...)
{
    char line[512];
    driver *d = driver_at(caller);
    int n;
    va_list args;
    if (disabled(rule)) return;
    InterlockedIncrement(&counted.violations);
    if (d) InterlockedIncrement(&d->violations);
    AcquireSRWLockExclusive(&log_lock);
    if (said_often(rule, caller)) { ReleaseSRWLockExclusive(&log_lock); return; }
    n = _snprintf(line, sizeof line - 2, "VERIFIER: %s %s+0x%x ", rule, d ? d->name : "?",
                  d ? (ULONG)((char *)caller - d->base) : 0);
    va_start(args, format);
    if (n > 0) {
        int m = _vsnprintf(line + n, sizeof line - 2 - n, format, args);
        n = m < 0 ? (int)sizeof line - 2 : n + m;
    }
    va_end(args);
    line[n++] = '\n'; line[n] = 0;
    if (log_used + n < LOG_SIZE) { RtlCopyMemory(log_text + log_used, line, n); log_used += n; }
    append_to_file(line, n);
    ReleaseSRWLockExclusive(&log_lock);
    DbgPrint("%s", line);
}

BOOLEAN is_target(void *caller)
{
    driver *d = driver_at(caller);
    return d && (!options.target[0] || same_name(options.target, d->name));
}

/* Not one fails, or some, but all from the n-th on. */
BOOLEAN always_fails(void) { return options.fail_count == 0xffffffff; }

/* Counts an allocation of the target and says whether it has to fail. */
BOOLEAN inject_failure(ULONG kind, void *caller)
{
    ULONG n, kinds = options.fail_kinds ? options.fail_kinds : VERIFIER_FAIL_ALL;
    if (!is_target(caller)) return FALSE;
    InterlockedIncrement(&counted.allocations);
    if (!(kinds & kind)) return FALSE;
    n = (ULONG)InterlockedIncrement(&allocation_number);
    if (!options.fail_nth || n < options.fail_nth) return FALSE;
    if (n - options.fail_nth >= (options.fail_count ? options.fail_count : 1)) return FALSE;
    InterlockedIncrement(&counted.injected);
    return TRUE;
}

NTSTATUS verifier_configure(const verifier_options *o)
{
    if (o->size != sizeof *o) return STATUS_INVALID_PARAMETER;
    options = *o;
    options.target[sizeof options.target - 1] = 0;
    options.disabled[sizeof options.disabled - 1] = 0;
    allocation_number = 0;
    self()->given_back = 0;
    return STATUS_SUCCESS;
}

NTSTATUS verifier_read_counters(verifier_counters *c)
{
    driver *d = options.target[0] ? driver_named(options.target) : NULL;
    if (c->size != sizeof *c) return STATUS_INVALID_PARAMETER;
    c->violations = counted.violations;
    c->target_violations = options.target[0] ? (d ? (ULONG)d->violations : 0) : (ULONG)counted.violations;
    c->allocations = counted.allocations;
    c->injected = counted.injected;
    c->forced_pending = counted.forced_pending;
    c->irps = counted.irps;
    c->logged = counted.logged;
    c->live = object_leaks(d, FALSE);
    return STATUS_SUCCESS;
}

ULONG verifier_report(CHAR *buffer, ULONG length)
{
    ULONG n, needed;
    AcquireSRWLockExclusive(&log_lock);
    n = log_used;
    needed = log_used + 1;
    if (length) {
        if (n > length - 1) n = length - 1;
        RtlCopyMemory(buffer, log_text, n);
        buffer[n] = 0;
    }
    ReleaseSRWLockExclusive(&log_lock);
    return needed;
}

void verifier_reset(void)
{
    AcquireSRWLockExclusive(&log_lock);
    log_used = 0;
    RtlZeroMemory(places, sizeof places);
    RtlZeroMemory(&counted, sizeof counted);
    for (ULONG i = 0; i < MAX_DRIVERS; i++) {
        driver *d = driver_number(i);
        if (d) d->violations = 0;
    }
    ReleaseSRWLockExclusive(&log_lock);
}

ULONG verifier_leak_check(const CHAR *image)
{
    return object_leaks(driver_named(image ? image : options.target), TRUE);
}
