/* What the breaker driver and the runner say to each other. */
#ifndef BREAKER_H
#define BREAKER_H
#define BREAKER_CODE(n) (0x222000 | (n) << 2) /* FILE_DEVICE_UNKNOWN, buffered, any access */
#define BREAKER_SIN BREAKER_CODE(0x800)     /* in: a sin's number (ULONG) */
#define BREAKER_REPORT BREAKER_CODE(0x801)  /* out: the verifier's log */
#define BREAKER_RESET BREAKER_CODE(0x802)
#define BREAKER_LOWER BREAKER_CODE(0x803)   /* out: the lower driver's device object */
#define BREAKER_ATTACH BREAKER_CODE(0x804)  /* in: the same */
#define BREAKER_CONFIGURE BREAKER_CODE(0x805) /* in: verifier_options */
#define BREAKER_COUNTERS BREAKER_CODE(0x806)  /* out: verifier_counters */
#endif
