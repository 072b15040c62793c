/* What the miniports of these tests count, and tell through an IO_CONTROL of signature COUNTERS_SIGNATURE. */
#ifndef COUNTERS_H
#define COUNTERS_H

#include <storport.h>

#define COUNTERS_SIGNATURE "SLCOUNT"
#define COUNTERS_READ 1
#define COUNTERS_ECHO 2
#define COUNTERS_EXERCISE 3

typedef struct {
    volatile LONG FindAdapter;
    volatile LONG Initialize;
    volatile LONG PassiveInitialize;
    volatile LONG BuildIo;
    volatile LONG StartIo;
    volatile LONG Interrupts;
    volatile LONG Dpcs;
    volatile LONG Ticks;
    volatile LONG Timers;
    volatile LONG WorkItems;
    volatile LONG ResetBus;
    volatile LONG ResetUnit;
    volatile LONG AdapterControl;
    volatile LONG UnitControl;
    volatile LONG Pnp;
    volatile LONG Power;
    volatile LONG Flush;
    volatile LONG Shutdown;
    volatile LONG IoControl;
    volatile LONG Wmi;
    volatile LONG Synchronized;
    volatile LONG StateChanges;
    volatile LONG Busy;
    volatile LONG WrongKind; /* SRBs of the kind that it did not ask for */
    volatile LONG Failures;  /* calls of the port that did not do what they should */
    volatile LONG Messages;
    volatile LONG Channels;
    volatile LONG Torments; /* requests that the torture miniport did something to */
} COUNTERS;

SLUICE_SIZE(COUNTERS, 112);

#endif
