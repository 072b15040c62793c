/*
 * What the torture miniport does wrong, or in an unusual way. Each stretch of TORMENT_BLOCKS blocks has one: a request that
 * begins in it is treated so. Data moves correctly all the same, unless the name says otherwise.
 */
#ifndef TORMENTS_H
#define TORMENTS_H

#define TORMENT_BLOCKS 256

enum {
    TORMENT_NONE,           /* completed in StartIo */
    TORMENT_OUT_OF_ORDER,   /* held until four are there or 2 ms have passed, and then completed in reverse */
    TORMENT_LATE,           /* completed by a timer after 5 ms */
    TORMENT_DPC,            /* completed by a DPC */
    TORMENT_WORKER,         /* completed at PASSIVE_LEVEL by a work item */
    TORMENT_BUILD_IO,       /* completed in BuildIo, which answers FALSE */
    TORMENT_TWICE,          /* completed twice */
    TORMENT_FOREIGN,        /* before it, an SRB is completed that nobody sent */
    TORMENT_BUSY,           /* completed with SRB_STATUS_BUSY three times, then done */
    TORMENT_REFUSE,         /* StartIo answers FALSE three times, then it is done */
    TORMENT_SHORT,          /* half of it, and SRB_STATUS_DATA_OVERRUN */
    TORMENT_LONG,           /* done, but more bytes than there were are said to have moved */
    TORMENT_SENSE,          /* CHECK CONDITION, MEDIUM ERROR, with sense data */
    TORMENT_SENSELESS,      /* CHECK CONDITION without sense data */
    TORMENT_UNKNOWN_STATUS, /* completed with a status that there is not, and "queue frozen" */
    TORMENT_PENDING,        /* completed with SRB_STATUS_PENDING */
    TORMENT_PAUSE,          /* the adapter is paused for a second, and nobody resumes it */
    TORMENT_DEVICE_BUSY,    /* the unit is told busy until 100 requests are done, which never are */
    TORMENT_RESET,          /* a little later; every eighth: all that it has is completed with SRB_STATUS_BUS_RESET */
    TORMENT_STORM,          /* BusChangeDetected a thousand times, then done */
    TORMENT_NEVER,          /* never completed before a reset takes it back */
    TORMENT_LOST,           /* never completed, and resets do not help */
    TORMENT_LOCKS,          /* takes and releases locks in a wrong order, then done */
    TORMENT_PILES           /* allocates memory, timers and workers that it forgets, then done */
};

#define TORMENTS (TORMENT_PILES + 1)

#endif
