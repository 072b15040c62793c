/* What the parts of breaker.sys share. */
#ifndef DRIVER_H
#define DRIVER_H
#include <ntifs.h>
#include <ntddk.h>
#include <csq.h>
#include "../verifier/verifier.h"
#include "breaker.h"

#define TAG 'sniS'

/* ntddk.h of mingw-w64 lacks these */
PVOID NTAPI ExAllocatePool2(ULONG64 flags, SIZE_T n, ULONG tag);
KIRQL NTAPI ExAcquireSpinLockShared(LONG *);
KIRQL NTAPI ExAcquireSpinLockExclusive(LONG *);
void NTAPI ExReleaseSpinLockShared(LONG *, KIRQL);
void NTAPI ExReleaseSpinLockExclusive(LONG *, KIRQL);
void NTAPI KeQuerySystemTimePrecise(LARGE_INTEGER *);

extern DRIVER_OBJECT *us;
extern DEVICE_OBJECT *control_device;
/* breaker.sys's filter device on top of lower.sys's, and what it does with an
 * IRP; set before each IRP is sent. */
extern DEVICE_OBJECT *victim, *lower;
extern NTSTATUS (*victim_does)(IRP *irp);
extern PIO_COMPLETION_ROUTINE lowers_routine; /* a completion routine in lower.sys */
extern BOOLEAN leave_initializing;            /* what AddDevice does wrong */

NTSTATUS finish(IRP *irp, NTSTATUS status);   /* complete and return the status */
NTSTATUS pass(IRP *irp);                      /* skip and call lower */

/* An IRP for a device with its completion routine set, which keeps the IRP and
 * sets its event. */
typedef struct parcel { IRP *irp; KEVENT done; } parcel;
void parcel_make(parcel *p, DEVICE_OBJECT *device, UCHAR major);
NTSTATUS parcel_send(parcel *p, DEVICE_OBJECT *device);  /* and wait for it; returns its status */
NTSTATUS parcel_start(parcel *p, DEVICE_OBJECT *device); /* without waiting; what IoCallDriver returned */
NTSTATUS parcel_wait(parcel *p);
void parcel_free(parcel *p);
/* lower.sys keeps IRP_MJ_WRITE pending until one of these */
void lower_complete(void);
void lower_forget(void);
void pause(LONG ms);
#endif
