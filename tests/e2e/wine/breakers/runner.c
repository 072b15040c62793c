/* The user-mode side: loads the drivers, runs every virtue, sin and leak, and
 * prints a line for each. Argument: rules | crash | bugcheck | missing. */
#include <windows.h>
#include <stdio.h>
#include <string.h>
typedef LONG NTSTATUS_;
#define NTSTATUS NTSTATUS_
#include "../verifier/verifier.h"
#include "breaker.h"

static int passed, failed;
static SC_HANDLE scm;
static char text[300000];

static const char *const sins[][3] = {
#define SIN(name, rule, also) { #name, rule, also },
#include "sins.h"
};
static const char *const virtues[] = {
#define VIRTUE(name) #name,
#include "virtues.h"
};
static const char *const leaks[][3] = {
#define LEAK(name, rule, also) { #name, rule, also },
#include "leaks.h"
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static void verdict(int ok, const char *rule, const char *what, const char *why)
{
    if (ok) passed++; else failed++;
    printf("%-4s %-24s %s%s%s\n", ok ? "ok" : "FAIL", rule, what, ok || !*why ? "" : ": ", ok ? "" : why);
    fflush(stdout);
}

static SC_HANDLE install(const char *name)
{
    char path[64];
    SC_HANDLE s = OpenServiceA(scm, name, SERVICE_ALL_ACCESS);
    sprintf(path, "C:\\drv\\%s.sys", name);
    if (!s) s = CreateServiceA(scm, name, name, SERVICE_ALL_ACCESS, SERVICE_KERNEL_DRIVER, SERVICE_DEMAND_START,
                               SERVICE_ERROR_NORMAL, path, NULL, NULL, NULL, NULL, NULL);
    if (!s) { printf("FAIL cannot install %s: error %lu\n", name, GetLastError()); exit(1); }
    return s;
}
static int stop(SC_HANDLE s)
{
    SERVICE_STATUS st;
    int ok = ControlService(s, SERVICE_CONTROL_STOP, &st);
    for (int i = 0; ok && i < 100 && QueryServiceStatus(s, &st) && st.dwCurrentState != SERVICE_STOPPED; i++) Sleep(20);
    return ok && st.dwCurrentState == SERVICE_STOPPED;
}
static HANDLE open(const char *device)
{
    HANDLE h = CreateFileA(device, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    if (h == INVALID_HANDLE_VALUE) { printf("FAIL cannot open %s: error %lu\n", device, GetLastError()); exit(1); }
    return h;
}
static int order(HANDLE h, DWORD code, void *in, DWORD in_size, void *out, DWORD out_size)
{
    DWORD n = 0;
    if (!DeviceIoControl(h, code, in, in_size, out, out_size, &n, NULL)) return -1;
    return (int)n;
}
static void read_report(HANDLE h)
{
    int n = order(h, BREAKER_REPORT, NULL, 0, text, sizeof text - 1);
    text[n < 0 ? 0 : n] = 0;
}

/* Does the log name the rule (for image, if given), and no rule but it and those in also? */
static int only(const char *rule, const char *also, const char *image)
{
    char line_rule[64], where[64];
    int found = !*rule;
    for (char *p = text; *p; p = strchr(p, '\n') + 1) {
        if (sscanf(p, "VERIFIER: %63s %63s", line_rule, where) != 2) return 0;
        if (*rule && !strcmp(line_rule, rule)) { if (!image || !strncmp(where, image, strlen(image))) found = 1; }
        else if (!strstr(also, line_rule)) return 0;
        if (!strchr(p, '\n')) break;
    }
    return found;
}

static void run_sins(HANDLE h)
{
    verifier_options o = { .size = sizeof o, .stuck_ms = 200 };
    order(h, BREAKER_CONFIGURE, &o, sizeof o, NULL, 0);
    for (DWORD i = 0; i < COUNT(sins); i++) {
        order(h, BREAKER_CONFIGURE, &o, sizeof o, NULL, 0);
        order(h, BREAKER_RESET, NULL, 0, NULL, 0);
        if (order(h, BREAKER_SIN, &i, sizeof i, NULL, 0) < 0) { verdict(0, sins[i][1], sins[i][0], "the host died"); exit(1); }
        read_report(h);
        verdict(only(sins[i][1], sins[i][2], "breaker.sys"), sins[i][1], sins[i][0], text);
    }
}

static void run_virtues(HANDLE h, verifier_options *o, const char *with)
{
    char what[64], why[64];
    order(h, BREAKER_CONFIGURE, o, sizeof *o, NULL, 0);
    for (DWORD i = 0; i < COUNT(virtues); i++) {
        DWORD line = i;
        order(h, BREAKER_RESET, NULL, 0, NULL, 0);
        sprintf(what, "%s%s", virtues[i], with);
        if (order(h, BREAKER_VIRTUE, &line, sizeof line, &line, sizeof line) < 0) { verdict(0, "(nothing)", what, "the host died"); exit(1); }
        read_report(h);
        sprintf(why, "virtues.c:%lu", line);
        verdict(!line && !*text, "(nothing)", what, line ? why : text);
    }
}

/* The n-th allocation fails, that one alone, and the driver that copes is in the right. */
static void run_injection(HANDLE h)
{
    verifier_options o = { .size = sizeof o, .target = "breaker.sys" };
    verifier_counters c = { .size = sizeof c };
    char what[64];
    for (DWORD n = 1; n <= 5; n++) {
        DWORD failures = 99;
        o.fail_nth = n;
        order(h, BREAKER_CONFIGURE, &o, sizeof o, NULL, 0);
        order(h, BREAKER_RESET, NULL, 0, NULL, 0);
        order(h, BREAKER_ALLOCATE, &failures, sizeof failures, &failures, sizeof failures);
        order(h, BREAKER_COUNTERS, &c, sizeof c, &c, sizeof c);
        read_report(h);
        sprintf(what, "fail_nth %lu: %lu of %lu allocations failed", n, failures, c.allocations);
        verdict(failures == (n <= 4) && c.injected == failures && c.allocations == 4 && !*text, "(failure injection)", what, text);
    }
    o.fail_nth = 0;
    o.force_pending = 1;
    run_virtues(h, &o, ", force_pending");
    DWORD sync = 0;
    order(h, BREAKER_RESET, NULL, 0, NULL, 0);
    while (strcmp(virtues[sync], "irp_sync")) sync++;
    order(h, BREAKER_CONFIGURE, &o, sizeof o, NULL, 0);
    order(h, BREAKER_VIRTUE, &sync, sizeof sync, &sync, sizeof sync);
    order(h, BREAKER_COUNTERS, &c, sizeof c, &c, sizeof c);
    verdict(c.forced_pending > 0, "(force_pending)", "IRPs were forced to pend", "none");
    o.force_pending = 0;
    order(h, BREAKER_CONFIGURE, &o, sizeof o, NULL, 0);
}

/* DriverEntry fails for want of memory, cleanly; the next attempt finds a fresh image. */
static void run_failed_entry(HANDLE h)
{
    verifier_options o = { .size = sizeof o, .target = "leaker.sys", .fail_nth = 1 };
    for (int i = 0; i < 3; i++) {
        LONG st = 0, gone = 0;
        order(h, BREAKER_CONFIGURE, &o, sizeof o, NULL, 0);
        order(h, BREAKER_RESET, NULL, 0, NULL, 0);
        order(h, BREAKER_LOAD, &st, sizeof st, &st, sizeof st);
        read_report(h);
        if (o.fail_nth) verdict(st == (LONG)0xc000009a && !*text, "(failure injection)", "DriverEntry fails", text);
        else {
            order(h, BREAKER_UNLOAD, &gone, sizeof gone, &gone, sizeof gone);
            read_report(h);
            verdict(!st && !gone && !*text, "(failure injection)", "DriverEntry succeeds after having failed", text);
        }
        if (i == 1) o.fail_nth = 0;
    }
}

/* A rule that is switched off stays silent. */
static void run_disabled(HANDLE h)
{
    verifier_options o = { .size = sizeof o, .disabled = "irql.too-high pool.*" };
    order(h, BREAKER_CONFIGURE, &o, sizeof o, NULL, 0);
    order(h, BREAKER_RESET, NULL, 0, NULL, 0);
    for (DWORD i = 0; i < COUNT(sins); i++)
        if (strcmp(sins[i][0], "irql_raised_completion") == 0) continue; /* sets options of its own */
        else if (!strcmp(sins[i][1], "irql.too-high") || !strncmp(sins[i][1], "pool.", 5)) order(h, BREAKER_SIN, &i, sizeof i, NULL, 0);
    read_report(h);
    verdict(!*text, "(disabled rules)", "irql.too-high pool.*", text);
    o.disabled[0] = 0;
    order(h, BREAKER_CONFIGURE, &o, sizeof o, NULL, 0);
}

/* lower.sys under breaker.sys cannot go, so a copy of it leaks at unload. */
static void run_leaks(HANDLE h)
{
    for (DWORD i = 0; i < COUNT(leaks); i++) {
        LONG st = -1;
        order(h, BREAKER_LOAD, &st, sizeof st, &st, sizeof st);
        HANDLE l = open("\\\\.\\Leaker");
        order(h, BREAKER_RESET, NULL, 0, NULL, 0);
        order(l, LOWER_LEAK, &i, sizeof i, NULL, 0);
        CloseHandle(l);
        order(h, BREAKER_UNLOAD, &st, sizeof st, &st, sizeof st);
        read_report(h);
        verdict(!st && (*leaks[i][1] ? only(leaks[i][1], leaks[i][2], "leaker.sys") : !*text), *leaks[i][1] ? leaks[i][1] : "(nothing)", leaks[i][0], st ? "did not unload" : text);
    }
}

/* What kills the host is found in the log file. */
static void run_death(HANDLE h, DWORD code, const char *rule)
{
    char line[600];
    int found = 0;
    order(h, code, NULL, 0, NULL, 0);
    FILE *f = fopen("C:\\verifier.log", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line + strlen("VERIFIER: "), rule, strlen(rule)) && strstr(line, "breaker.sys")) found = 1;
    verdict(found, rule, "dies", "not in C:\\verifier.log");
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "rules";
    verifier_options plain = { .size = sizeof plain }, raised = { .size = sizeof raised, .raise_completion = 1 },
                     in_line = { .size = sizeof in_line, .dpc_inline = 1 };
    scm = OpenSCManagerA(NULL, NULL, SC_MANAGER_ALL_ACCESS);
    install("lower");
    install("leaker");
    SC_HANDLE top = install("breaker");
    if (!StartServiceA(top, 0, NULL)) { printf("FAIL cannot start breaker: error %lu\n", GetLastError()); return 1; }
    HANDLE h = open("\\\\.\\Breaker");
    if (!strcmp(what, "crash")) run_death(h, BREAKER_CRASH, "crash");
    else if (!strcmp(what, "missing")) run_death(h, BREAKER_MISSING, "wine.missing");
    else if (!strcmp(what, "bugcheck")) run_death(h, BREAKER_BUGCHECK, "bugcheck");
    else {
        run_virtues(h, &plain, "");
        run_virtues(h, &raised, ", raise_completion");
        run_virtues(h, &in_line, ", dpc_inline");
        run_injection(h);
        run_failed_entry(h);
        run_sins(h);
        run_disabled(h);
        run_leaks(h);
        CloseHandle(h);
        verdict(stop(top), "(nothing)", "breaker.sys and lower.sys unload", "");
    }
    printf("%d ok, %d failed\n", passed, failed);
    return failed != 0;
}
