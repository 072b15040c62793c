/* Cancel-safe IRP queues, as the kernel's library keeps them: the driver owns
 * the list and the lock, this code the races with cancellation. */
#include "kernel.h"
#include <csq.h>

static void NTAPI cancelled(DEVICE_OBJECT *device, IRP *irp)
{
    IO_CSQ *q = irp->Tail.Overlay.DriverContext[3];
    IO_CSQ_IRP_CONTEXT *context = NULL;
    KIRQL irql;
    x_IoReleaseCancelSpinLock(irp->CancelIrql);
    if (q->Type == IO_TYPE_CSQ_IRP_CONTEXT) {
        context = (IO_CSQ_IRP_CONTEXT *)q;
        q = context->Csq;
    }
    q->CsqAcquireLock(q, &irql);
    q->CsqRemoveIrp(q, irp);
    if (context) context->Irp = NULL;
    irp->Tail.Overlay.DriverContext[3] = NULL;
    q->CsqReleaseLock(q, irql);
    q->CsqCompleteCanceledIrp(q, irp);
}

/* Takes the cancel routine off. FALSE: cancelled() has it and will finish. */
static BOOLEAN withdraw(IRP *irp)
{
    IO_CSQ_IRP_CONTEXT *context = irp->Tail.Overlay.DriverContext[3];
    if (!InterlockedExchangePointer((PVOID *)&irp->CancelRoutine, NULL)) return FALSE;
    if (context && context->Type == IO_TYPE_CSQ_IRP_CONTEXT) context->Irp = NULL;
    irp->Tail.Overlay.DriverContext[3] = NULL;
    return TRUE;
}

NTSTATUS EXPORT(IoCsqInitialize)(IO_CSQ *q, PIO_CSQ_INSERT_IRP insert, PIO_CSQ_REMOVE_IRP remove, PIO_CSQ_PEEK_NEXT_IRP peek,
                                 PIO_CSQ_ACQUIRE_LOCK acquire, PIO_CSQ_RELEASE_LOCK release, PIO_CSQ_COMPLETE_CANCELED_IRP complete)
{
    *q = (IO_CSQ){ IO_TYPE_CSQ, insert, remove, peek, acquire, release, complete, NULL };
    return STATUS_SUCCESS;
}
NTSTATUS EXPORT(IoCsqInitializeEx)(IO_CSQ *q, PIO_CSQ_INSERT_IRP_EX insert, PIO_CSQ_REMOVE_IRP remove, PIO_CSQ_PEEK_NEXT_IRP peek,
                                   PIO_CSQ_ACQUIRE_LOCK acquire, PIO_CSQ_RELEASE_LOCK release, PIO_CSQ_COMPLETE_CANCELED_IRP complete)
{
    *q = (IO_CSQ){ IO_TYPE_CSQ_EX, (PIO_CSQ_INSERT_IRP)insert, remove, peek, acquire, release, complete, NULL };
    return STATUS_SUCCESS;
}

NTSTATUS EXPORT(IoCsqInsertIrpEx)(IO_CSQ *q, IRP *irp, IO_CSQ_IRP_CONTEXT *context, PVOID insert_context)
{
    NTSTATUS st = STATUS_SUCCESS;
    KIRQL irql;
    irp->Tail.Overlay.DriverContext[3] = context ? (PVOID)context : (PVOID)q;
    if (context) { context->Type = IO_TYPE_CSQ_IRP_CONTEXT; context->Irp = irp; context->Csq = q; }
    q->ReservePointer = NULL;
    q->CsqAcquireLock(q, &irql);
    if (q->Type == IO_TYPE_CSQ_EX) st = ((PIO_CSQ_INSERT_IRP_EX)q->CsqInsertIrp)(q, irp, insert_context);
    else q->CsqInsertIrp(q, irp);
    if (!NT_SUCCESS(st)) { q->CsqReleaseLock(q, irql); return st; }
    IoMarkIrpPending(irp);
    InterlockedExchangePointer((PVOID *)&irp->CancelRoutine, cancelled);
    if (irp->Cancel && InterlockedExchangePointer((PVOID *)&irp->CancelRoutine, NULL)) {
        q->CsqRemoveIrp(q, irp);
        if (context) context->Irp = NULL;
        irp->Tail.Overlay.DriverContext[3] = NULL;
        q->CsqReleaseLock(q, irql);
        q->CsqCompleteCanceledIrp(q, irp);
        return st;
    }
    q->CsqReleaseLock(q, irql);
    return st;
}
void EXPORT(IoCsqInsertIrp)(IO_CSQ *q, IRP *irp, IO_CSQ_IRP_CONTEXT *context) { x_IoCsqInsertIrpEx(q, irp, context, NULL); }

IRP *EXPORT(IoCsqRemoveNextIrp)(IO_CSQ *q, PVOID peek)
{
    KIRQL irql;
    IRP *irp = NULL;
    q->CsqAcquireLock(q, &irql);
    while ((irp = q->CsqPeekNextIrp(q, irp, peek)))
        if (withdraw(irp)) { q->CsqRemoveIrp(q, irp); break; }
    q->CsqReleaseLock(q, irql);
    return irp;
}

IRP *EXPORT(IoCsqRemoveIrp)(IO_CSQ *q, IO_CSQ_IRP_CONTEXT *context)
{
    KIRQL irql;
    IRP *irp;
    q->CsqAcquireLock(q, &irql);
    irp = context->Irp;
    if (irp && withdraw(irp)) q->CsqRemoveIrp(q, irp); else irp = NULL;
    q->CsqReleaseLock(q, irql);
    return irp;
}
