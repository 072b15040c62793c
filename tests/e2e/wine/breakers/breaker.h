/* What the drivers and the runner say to each other. */
#ifndef BREAKER_H
#define BREAKER_H

#define BREAKER_CODE(n) (0x222000 | (n) << 2) /* FILE_DEVICE_UNKNOWN, buffered, any access */
#define BREAKER_SIN BREAKER_CODE(0x801)       /* in: a sin's number (ULONG) */
#define BREAKER_VIRTUE BREAKER_CODE(0x802)    /* in: a virtue's number; out: 0 or the line that failed (ULONG) */
#define BREAKER_REPORT BREAKER_CODE(0x803)    /* out: the verifier's log */
#define BREAKER_RESET BREAKER_CODE(0x804)     /* empties the log */
#define BREAKER_CONFIGURE BREAKER_CODE(0x805) /* in: verifier_options */
#define BREAKER_COUNTERS BREAKER_CODE(0x806)  /* out: verifier_counters */
#define BREAKER_ALLOCATE BREAKER_CODE(0x807)  /* out: how many of four allocations failed (ULONG) */
#define BREAKER_CRASH BREAKER_CODE(0x808)
#define BREAKER_BUGCHECK BREAKER_CODE(0x809)
#define BREAKER_LOAD BREAKER_CODE(0x80a)      /* loads leaker.sys */
#define BREAKER_UNLOAD BREAKER_CODE(0x80b)    /* and unloads it; both out: NTSTATUS */
#define BREAKER_MISSING BREAKER_CODE(0x80c)   /* calls what Wine lacks */
#define LOWER_LEAK BREAKER_CODE(0x810)        /* to lower.sys; in: a leak's number */

#endif
