//! IRPs: who owns one, and the ways to be rid of it.

use core::{
    mem::offset_of,
    ptr::{self, NonNull},
    sync::atomic::AtomicUsize,
};

use sluice_miniport_virtio_blk::pci::resources::DESCRIPTOR;
use sluice_shim::queue::Waiting;
use wdk_sys::{
    CM_FULL_RESOURCE_DESCRIPTOR, CM_PARTIAL_RESOURCE_DESCRIPTOR, CM_PARTIAL_RESOURCE_LIST, CM_RESOURCE_LIST,
    DEVICE_OBJECT, IO_STACK_LOCATION, IRP, NTSTATUS, PDEVICE_OBJECT, PIO_COMPLETION_ROUTINE, PIRP, PVOID,
    SL_FT_SEQUENTIAL_WRITE, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS,
    SL_OVERRIDE_VERIFY_VOLUME, SL_PENDING_RETURNED, SL_WRITE_THROUGH, STATUS_MORE_PROCESSING_REQUIRED,
    STATUS_PENDING,
    ntddk::{IoGetIoPriorityHint, IoSetIoPriorityHint, IofCallDriver, IofCompleteRequest},
};

use super::{event::Event, irql::Passive};

/// An IRP that came to this driver and is its to answer. Completing it, passing it on or keeping it consumes
/// the value: an IRP cannot be answered twice, and the compiler sees one that is not answered at all.
#[must_use = "an IRP that is dropped is a request that hangs"]
pub(crate) struct Irp(NonNull<IRP>);

impl Irp {
    /// # Safety
    /// The I/O manager has just handed `irp` to a dispatch routine of this driver, or [`Self::keep`] gave it
    /// away and nobody has taken it up since.
    pub(crate) unsafe fn take(irp: NonNull<IRP>) -> Self {
        Self(irp)
    }

    /// An IRP that has come back, in its completion routine. That the device below kept it is passed on.
    ///
    /// # Safety
    /// As for [`Self::take`]: until the routine returns anything but MORE_PROCESSING_REQUIRED.
    pub(crate) unsafe fn returned(irp: NonNull<IRP>) -> Self {
        // SAFETY: the caller's contract.
        let (kept, irp) = unsafe { (irp.as_ref().PendingReturned != 0, Self::take(irp)) };
        if kept {
            irp.mark_pending();
        }
        irp
    }

    /// Its address: what remove locks are tagged with.
    pub(crate) fn tag(&self) -> PVOID {
        self.0.as_ptr().cast()
    }

    /// This driver's stack location.
    pub(crate) fn stack(&self) -> &IO_STACK_LOCATION {
        // SAFETY: owned by this driver, so the current location is this driver's.
        unsafe { &*current(self.0) }
    }

    /// The buffer of a METHOD_BUFFERED request.
    pub(crate) fn system_buffer(&self) -> *mut u8 {
        // SAFETY: owned; the union member is the one that METHOD_BUFFERED uses.
        unsafe { self.0.as_ref().AssociatedIrp.SystemBuffer.cast() }
    }

    /// Whether a program has sent it, and not a driver.
    pub(crate) fn is_from_a_program(&self) -> bool {
        // SAFETY: owned. KernelMode is 0.
        unsafe { self.0.as_ref().RequestorMode != 0 }
    }

    /// The memory it is about, if any.
    pub(crate) fn mdl(&self) -> wdk_sys::PMDL {
        // SAFETY: owned.
        unsafe { self.0.as_ref().MdlAddress }
    }

    /// Leaves a number in this driver's stack location, behind the pointer to the SRB, for the completion routine. The
    /// device below finds a copy in its own, where SRB requests have nothing.
    pub(crate) fn note(&self, number: usize) {
        // SAFETY: owned; nobody else reads these bytes of the location.
        unsafe {
            (*current(self.0)).Parameters.Others.Argument2 = ptr::without_provenance_mut::<u8>(number).cast();
        }
    }

    /// What [`Self::note`] left.
    pub(crate) fn noted(&self) -> usize {
        // SAFETY: owned.
        unsafe { self.stack().Parameters.Others.Argument2.addr() }
    }

    /// START_DEVICE: the descriptors of what the device has been given, as bytes, first as its bus counts, then translated for
    /// the processor. Empty if there are none.
    pub(crate) fn resources(&self) -> [&[u8]; 2] {
        // SAFETY: the union member of this minor function.
        let given = unsafe { &self.stack().Parameters.StartDevice };
        // SAFETY: null, or the PnP manager's list, which stays as long as the IRP is on its way.
        [given.AllocatedResources, given.AllocatedResourcesTranslated]
            .map(|list| unsafe { descriptors(list) })
    }

    /// The status it carries so far.
    pub(crate) fn status(&self) -> NTSTATUS {
        // SAFETY: owned.
        unsafe { self.0.as_ref().IoStatus.__bindgen_anon_1.Status }
    }

    /// The byte count it carries so far.
    pub(crate) fn information(&self) -> usize {
        // SAFETY: owned.
        unsafe { self.0.as_ref().IoStatus.Information as usize }
    }

    /// Sets the status before passing it down (PnP).
    pub(crate) fn set_status(&mut self, status: NTSTATUS) {
        // SAFETY: owned.
        unsafe { self.0.as_mut().IoStatus.__bindgen_anon_1.Status = status };
    }

    /// Answers a request that only others know with what it carries already.
    pub(crate) fn complete_as_it_is(self) -> NTSTATUS {
        let (status, information) = (self.status(), self.information());
        self.complete(status, information)
    }

    /// Sets what it carries before passing it down (PnP).
    pub(crate) fn set_information(&mut self, information: usize) {
        // SAFETY: owned.
        unsafe { self.0.as_mut().IoStatus.Information = information as _ };
    }

    /// Answers a power IRP at the bottom of its stack.
    pub(crate) fn complete_power(self, status: NTSTATUS) -> NTSTATUS {
        // SAFETY: owned. What systems before Vista need.
        unsafe { wdk_sys::ntddk::PoStartNextPowerIrp(self.0.as_ptr()) };
        self.complete(status, 0)
    }

    /// Answers it. Up to DISPATCH_LEVEL.
    pub(crate) fn complete(self, status: NTSTATUS, information: usize) -> NTSTATUS {
        // SAFETY: owned, and consumed here.
        unsafe {
            let irp = self.0.as_ptr();
            (*irp).IoStatus.__bindgen_anon_1.Status = status;
            (*irp).IoStatus.Information = information as _;
            IofCompleteRequest(irp, 0);
        }
        status
    }

    /// Passes it to the device below and forgets it. Up to DISPATCH_LEVEL.
    pub(crate) fn pass(self, lower: NonNull<DEVICE_OBJECT>) -> NTSTATUS {
        // SAFETY: owned, and consumed here. This driver's location is given to the device below
        // (IoSkipCurrentIrpStackLocation).
        unsafe {
            skip(self.0);
            IofCallDriver(lower.as_ptr(), self.0.as_ptr())
        }
    }

    /// Passes a power IRP.
    pub(crate) fn pass_power(self, lower: NonNull<DEVICE_OBJECT>) -> NTSTATUS {
        // SAFETY: as in `pass`. Both calls are what systems before Vista need; later ones treat them as IoCallDriver.
        unsafe {
            wdk_sys::ntddk::PoStartNextPowerIrp(self.0.as_ptr());
            skip(self.0);
            wdk_sys::ntddk::PoCallDriver(lower.as_ptr(), self.0.as_ptr())
        }
    }

    /// Passes it to the device below, and has `routine` called when it comes back; it then belongs to this
    /// driver again if the routine answers STATUS_MORE_PROCESSING_REQUIRED.
    ///
    /// # Safety
    /// `routine` and `context` fit each other and stay valid until then.
    pub(crate) unsafe fn pass_and_see(
        self,
        lower: NonNull<DEVICE_OBJECT>,
        routine: PIO_COMPLETION_ROUTINE,
        context: PVOID,
    ) -> NTSTATUS {
        // SAFETY: owned, and consumed here.
        unsafe {
            copy_to_next(self.0);
            on_completion(self.0, routine, context);
            IofCallDriver(lower.as_ptr(), self.0.as_ptr())
        }
    }

    /// Passes it down and waits until it is back.
    pub(crate) fn forward_and_wait(self, lower: NonNull<DEVICE_OBJECT>, at: Passive<'_>) -> (Self, NTSTATUS) {
        let irp = self.0;
        let done = Event::uninit();
        // SAFETY: the event stays here until the routine has run: this function waits for it. When the lower
        // device answers at once the routine has run already.
        let status = unsafe {
            done.initialize();
            let context = ptr::from_ref(&done).cast_mut().cast();
            self.pass_and_see(lower, Some(signal), context)
        };
        if status == STATUS_PENDING {
            done.wait(at);
        }
        // SAFETY: `signal` stopped the completion, so the IRP is this driver's again.
        let irp = unsafe { Self::take(irp) };
        let status = irp.status();
        (irp, status)
    }

    /// In a completion routine that lets the completion go on: hands the pending mark upwards.
    pub(crate) fn mark_pending(&self) {
        // SAFETY: owned.
        unsafe { (*current(self.0)).Control |= SL_PENDING_RETURNED as u8 };
    }

    /// Marks it pending and gives it into the keeping of a queue; the dispatch routine answers
    /// STATUS_PENDING.
    pub(crate) fn keep(self) -> NonNull<IRP> {
        self.mark_pending();
        self.0
    }

    /// Where a waiting request's node lies in an IRP: in the words that belong to the driver that holds it
    /// (`Tail.Overlay.DriverContext`).
    pub(crate) fn waiting(irp: NonNull<IRP>) -> NonNull<Waiting> {
        // SAFETY: a field of a live IRP.
        unsafe { irp.byte_add(offset_of!(IRP, Tail)).cast() }
    }

    /// Two words of an IRP that belong to the driver that holds it, beside the waiting request's node.
    pub(crate) fn words<'a>(irp: NonNull<IRP>) -> &'a [AtomicUsize; 2] {
        const { assert!(size_of::<Waiting>() <= 2 * size_of::<usize>()) };
        // SAFETY: the second half of DriverContext, for as long as the IRP is this driver's.
        unsafe { irp.byte_add(offset_of!(IRP, Tail) + 2 * size_of::<usize>()).cast().as_ref() }
    }

    /// The IRP around a waiting request's node.
    pub(crate) fn of_waiting(waiting: NonNull<Waiting>) -> NonNull<IRP> {
        // SAFETY: `waiting` gives out such nodes only.
        unsafe { waiting.byte_sub(offset_of!(IRP, Tail)).cast() }
    }
}

/// Event-signalling completion routine for [`Irp::forward_and_wait`].
unsafe extern "C" fn signal(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: `forward_and_wait` passes its event and waits if the call was answered with pending; only then is
    // the event still there for sure.
    unsafe {
        if (*irp).PendingReturned != 0 {
            (*context.cast::<Event>()).set();
        }
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// The descriptors of a list's first part: a device has one bus.
///
/// # Safety
/// `list` is null or a whole CM_RESOURCE_LIST that outlives the result.
unsafe fn descriptors<'a>(list: *const CM_RESOURCE_LIST) -> &'a [u8] {
    const FIRST: usize = offset_of!(CM_RESOURCE_LIST, List)
        + offset_of!(CM_FULL_RESOURCE_DESCRIPTOR, PartialResourceList)
        + offset_of!(CM_PARTIAL_RESOURCE_LIST, PartialDescriptors);
    const { assert!(size_of::<CM_PARTIAL_RESOURCE_DESCRIPTOR>() == DESCRIPTOR) };
    // SAFETY: the caller's contract: so many descriptors follow.
    unsafe {
        if list.is_null() || (*list).Count == 0 {
            return &[];
        }
        let count = (&raw const (*list).List[0].PartialResourceList.Count).read() as usize;
        core::slice::from_raw_parts(list.byte_add(FIRST).cast(), count * DESCRIPTOR)
    }
}

unsafe fn current(irp: NonNull<IRP>) -> *mut IO_STACK_LOCATION {
    // SAFETY: the caller owns the IRP.
    unsafe { irp.as_ref().Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1.CurrentStackLocation }
}

/// The location of the device below (`IoGetNextIrpStackLocation`).
///
/// # Safety
/// The caller owns the IRP, and it has a location left.
pub(crate) unsafe fn next(irp: NonNull<IRP>) -> *mut IO_STACK_LOCATION {
    // SAFETY: the caller's contract.
    unsafe { current(irp).sub(1) }
}

unsafe fn skip(irp: NonNull<IRP>) {
    // SAFETY: the caller owns the IRP and will pass it down at once.
    unsafe {
        let irp = irp.as_ptr();
        (*irp).CurrentLocation += 1;
        let overlay = &mut (*irp).Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1;
        overlay.CurrentStackLocation = overlay.CurrentStackLocation.add(1);
    }
}

unsafe fn copy_to_next(irp: NonNull<IRP>) {
    // SAFETY: the caller owns the IRP. Everything up to, not including, the completion routine is copied.
    unsafe {
        let (from, to) = (current(irp), next(irp));
        let length = offset_of!(IO_STACK_LOCATION, CompletionRoutine);
        ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), length);
        (*to).Control = 0;
    }
}

/// Gives a child IRP what its caller's says beside the request itself: the stack location's flags that concern a
/// transfer (write through, sequential, on an unverified volume too), and the I/O priority, by which port drivers
/// let foreground I/O pass. Up to DISPATCH_LEVEL.
///
/// # Safety
/// Both IRPs are this driver's; `child` is about to be sent.
pub(crate) unsafe fn follow(caller: NonNull<IRP>, child: NonNull<IRP>) {
    let taken_over = (SL_WRITE_THROUGH | SL_FT_SEQUENTIAL_WRITE | SL_OVERRIDE_VERIFY_VOLUME) as u8;
    // SAFETY: the caller's contract.
    unsafe {
        (*next(child)).Flags = (*current(caller)).Flags & taken_over;
        // Fails only for a priority that does not exist; this one comes from an IRP.
        let _ = IoSetIoPriorityHint(child.as_ptr(), IoGetIoPriorityHint(caller.as_ptr()));
    }
}

/// `IoSetCompletionRoutine` for success, error and cancellation.
///
/// # Safety
/// The caller owns the IRP; `routine` and `context` stay valid until it has run.
pub(crate) unsafe fn on_completion(irp: NonNull<IRP>, routine: PIO_COMPLETION_ROUTINE, context: PVOID) {
    // SAFETY: the caller's contract.
    unsafe {
        let to = next(irp);
        (*to).CompletionRoutine = routine;
        (*to).Context = context;
        (*to).Control = (SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL) as u8;
    }
}
