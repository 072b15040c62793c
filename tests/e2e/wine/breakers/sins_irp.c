/* Sins against IRPs. */
#include "driver.h"

static parcel p;

/* Sends an IRP to the filter device, whose dispatch routine commits the sin. */
static void send(NTSTATUS (*does)(IRP *), UCHAR major)
{
    victim_does = does;
    parcel_make(&p, victim, major);
    parcel_start(&p, victim);
}
static void sent(void) { parcel_wait(&p); parcel_free(&p); }

/* ---- made and freed ---- */
void sin_irp_no_location(void) { IRP *irp = IoAllocateIrp(0, FALSE); IoFreeIrp(irp); }
void sin_irp_double_free(void) { IRP *irp = IoAllocateIrp(1, FALSE); IoFreeIrp(irp); __asm__("" : "+r"(irp)); IoFreeIrp(irp); }
void sin_irp_free_foreign(void)
{
    IRP *irp = ExAllocatePoolWithTag(NonPagedPool, IoSizeOfIrp(2), TAG);
    IoInitializeIrp(irp, IoSizeOfIrp(2), 2);
    IoFreeIrp(irp);
    ExFreePoolWithTag(irp, TAG);
}
void sin_irp_free_in_flight(void)
{
    parcel_make(&p, lower, IRP_MJ_WRITE);
    parcel_start(&p, lower);
    lower_forget();
    parcel_free(&p);
}
void sin_irp_free_with_mdl(void)
{
    static char buffer[64];
    IRP *irp = IoAllocateIrp(1, FALSE);
    PMDL m = IoAllocateMdl(buffer, sizeof buffer, FALSE, FALSE, irp);
    IoFreeIrp(irp);
    IoFreeMdl(m);
}
void sin_irp_use_after_free(void) { IRP *irp = IoAllocateIrp(1, FALSE); IoFreeIrp(irp); ((volatile IRP *)irp)->IoStatus.Information = 1; }
void sin_irp_unclaimed(void)
{
    IRP *irp = IoAllocateIrp(lower->StackSize, FALSE);
    IoGetNextIrpStackLocation(irp)->MajorFunction = IRP_MJ_READ;
    IoCallDriver(lower, irp);
}
void sin_irp_initialised(void) { IRP *irp = IoAllocateIrp(1, FALSE); IoInitializeIrp(irp, IoSizeOfIrp(1), 1); IoFreeIrp(irp); }
void sin_irp_reuse_in_flight(void)
{
    parcel_make(&p, lower, IRP_MJ_WRITE);
    parcel_start(&p, lower);
    lower_forget();
    IoReuseIrp(p.irp, STATUS_SUCCESS);
    parcel_free(&p);
}
void sin_irp_reuse_foreign(void)
{
    IRP *irp = IoBuildDeviceIoControlRequest(BREAKER_CODE(1), lower, NULL, 0, NULL, 0, FALSE, NULL, NULL);
    IoReuseIrp(irp, STATUS_SUCCESS);
    IoFreeIrp(irp);
}

/* ---- what a dispatch routine returns ---- */
static NTSTATUS not_marked(IRP *irp) { finish(irp, STATUS_SUCCESS); return STATUS_PENDING; }
void sin_irp_pending_not_marked(void) { send(not_marked, IRP_MJ_READ); sent(); }
static NTSTATUS NTAPI forgets_to_mark(DEVICE_OBJECT *d, IRP *irp, PVOID c) { return STATUS_CONTINUE_COMPLETION; }
static NTSTATUS not_propagated(IRP *irp)
{
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, forgets_to_mark, NULL, TRUE, TRUE, TRUE);
    return IoCallDriver(lower, irp);
}
void sin_irp_pending_not_propagated(void) { send(not_propagated, IRP_MJ_WRITE); lower_complete(); sent(); }
static NTSTATUS marked(IRP *irp) { IoMarkIrpPending(irp); return finish(irp, STATUS_SUCCESS); }
void sin_irp_marked_not_pending(void) { send(marked, IRP_MJ_READ); sent(); }
static NTSTATUS differs(IRP *irp) { finish(irp, STATUS_UNSUCCESSFUL); return STATUS_SUCCESS; }
void sin_irp_status_differs(void) { send(differs, IRP_MJ_READ); sent(); }
static NTSTATUS loses(IRP *irp) { return STATUS_SUCCESS; }
void sin_irp_lost(void) { send(loses, IRP_MJ_READ); finish(p.irp, STATUS_SUCCESS); sent(); }

/* ---- sent on ---- */
static NTSTATUS NTAPI unused(DEVICE_OBJECT *d, IRP *irp, PVOID c) { return STATUS_CONTINUE_COMPLETION; }
static NTSTATUS skips_with_routine(IRP *irp) { IoSetCompletionRoutine(irp, unused, NULL, TRUE, TRUE, TRUE); return pass(irp); }
void sin_irp_skip_with_routine(void) { send(skips_with_routine, IRP_MJ_READ); sent(); }
static NTSTATUS copies_all(IRP *irp)
{
    *IoGetNextIrpStackLocation(irp) = *IoGetCurrentIrpStackLocation(irp);
    IoCallDriver(lower, irp);
    return finish(irp, STATUS_SUCCESS);
}
void sin_irp_copied_routine(void)
{
    victim_does = copies_all;
    parcel_make(&p, victim, IRP_MJ_READ);
    IoSetCompletionRoutine(p.irp, lowers_routine, NULL, TRUE, TRUE, TRUE); /* another driver's, keeps the IRP */
    parcel_start(&p, victim);
    parcel_free(&p);
}
void sin_irp_freed(void)
{
    parcel_make(&p, lower, IRP_MJ_READ);
    parcel_free(&p);
    parcel_start(&p, lower);
}
void sin_irp_not_an_irp(void) { static IRP zero; IoCallDriver(lower, &zero); }
static NTSTATUS overflows(IRP *irp) { return finish(irp, IoCallDriver(lower, irp)); }
void sin_irp_stack_overflow(void)
{
    DEVICE_OBJECT one = *victim;
    one.StackSize = 1; /* the filter lies about the depth of its stack */
    victim_does = overflows;
    parcel_make(&p, &one, IRP_MJ_READ);
    parcel_send(&p, victim);
    parcel_free(&p);
}

/* paged pool in a completion routine: caught only because the option raises the IRQL */
static NTSTATUS NTAPI allocates(DEVICE_OBJECT *d, IRP *irp, PVOID c)
{
    ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPool, 8, TAG), TAG); /* allowed */
    *(PVOID *)c = ExAllocatePoolWithTag(PagedPool, 8, TAG);
    return STATUS_CONTINUE_COMPLETION;
}
static PVOID paged;
static NTSTATUS with_routine(IRP *irp)
{
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, allocates, &paged, TRUE, TRUE, TRUE);
    return IoCallDriver(lower, irp);
}
void sin_irql_raised_completion(void)
{
    verifier_options o = { .size = sizeof o, .raise_completion = 1 };
    verifier_configure(&o);
    send(with_routine, IRP_MJ_READ);
    sent();
    ExFreePoolWithTag(paged, TAG);
}

/* ---- cancelling ---- */
static void NTAPI cancel(DEVICE_OBJECT *d, IRP *irp) { IoReleaseCancelSpinLock(irp->CancelIrql); }
static NTSTATUS completes_cancelable(IRP *irp) { (void)IoSetCancelRoutine(irp, cancel); return finish(irp, STATUS_SUCCESS); }
void sin_irp_cancel_set_completing(void) { send(completes_cancelable, IRP_MJ_READ); (void)IoSetCancelRoutine(p.irp, NULL); sent(); }
static NTSTATUS NTAPI takes_off(DEVICE_OBJECT *d, IRP *irp, PVOID c) { (void)IoSetCancelRoutine(irp, NULL); return STATUS_CONTINUE_COMPLETION; }
static NTSTATUS calls_cancelable(IRP *irp)
{
    (void)IoSetCancelRoutine(irp, cancel);
    IoSkipCurrentIrpStackLocation(irp);
    return IoCallDriver(lower, irp);
}
void sin_irp_cancel_set_calling(void)
{
    send(calls_cancelable, IRP_MJ_WRITE);
    takes_off(NULL, p.irp, NULL);
    lower_complete();
    sent();
}
static void NTAPI keeps_lock(DEVICE_OBJECT *d, IRP *irp) { }
static NTSTATUS waits(IRP *irp) { (void)IoSetCancelRoutine(irp, keeps_lock); IoMarkIrpPending(irp); return STATUS_PENDING; }
void sin_irp_cancel_lock(void) { send(waits, IRP_MJ_READ); IoCancelIrp(p.irp); finish(p.irp, STATUS_CANCELLED); sent(); }

/* ---- completed ---- */
static NTSTATUS twice(IRP *irp) { finish(irp, STATUS_SUCCESS); return finish(irp, STATUS_SUCCESS); }
void sin_irp_double_complete(void) { send(twice, IRP_MJ_READ); sent(); }
/* in the middle of the stack: lower's routine keeps the IRP where it is, the
 * filter has had its turn and completes again */
static NTSTATUS waits_plainly(IRP *irp) { IoMarkIrpPending(irp); return STATUS_PENDING; }
static NTSTATUS NTAPI parks(DEVICE_OBJECT *d, IRP *irp, PVOID c) { return STATUS_MORE_PROCESSING_REQUIRED; }
void sin_irp_double_complete_below(void)
{
    /* one location above the filter's stands for the driver that sent the IRP */
    IRP *irp = IoAllocateIrp(victim->StackSize + 1, FALSE);
    IoSetNextIrpStackLocation(irp);
    IoGetCurrentIrpStackLocation(irp)->DeviceObject = lower;
    IoGetNextIrpStackLocation(irp)->MajorFunction = IRP_MJ_READ;
    IoSetCompletionRoutine(irp, parks, NULL, TRUE, TRUE, TRUE);
    victim_does = waits_plainly;
    IoCallDriver(victim, irp);
    finish(irp, STATUS_SUCCESS);
    finish(irp, STATUS_SUCCESS);
    IoFreeIrp(irp);
}
void sin_irp_not_owner(void)
{
    parcel_make(&p, lower, IRP_MJ_WRITE);
    parcel_start(&p, lower);
    finish(p.irp, STATUS_SUCCESS);
    lower_complete();
    sent();
}
static NTSTATUS as_pending(IRP *irp) { IoMarkIrpPending(irp); finish(irp, STATUS_PENDING); return STATUS_PENDING; }
void sin_irp_status_pending(void) { send(as_pending, IRP_MJ_READ); sent(); }
static NTSTATUS as_invalid(IRP *irp) { return finish(irp, (NTSTATUS)-1); }
void sin_irp_status_invalid(void) { send(as_invalid, IRP_MJ_READ); sent(); }
