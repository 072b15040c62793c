/* SRB_IO_CONTROL: what a program sends to a miniport through IOCTL_SCSI_MINIPORT, as the data of an IO_CONTROL SRB. */
#ifndef SLUICE_NTDDSCSI_H
#define SLUICE_NTDDSCSI_H

#include "miniport.h"

typedef struct _SRB_IO_CONTROL {
    ULONG HeaderLength;
    UCHAR Signature[8];
    ULONG Timeout;
    ULONG ControlCode;
    ULONG ReturnCode;
    ULONG Length;
} SRB_IO_CONTROL, *PSRB_IO_CONTROL;

SLUICE_SIZE(SRB_IO_CONTROL, 28);

#endif /* SLUICE_NTDDSCSI_H */
