//! Our own IRPs to the device below: one per request of the unit, made when the volume is unlocked and reused
//! for every I/O.

use core::{
    ffi::c_void,
    ptr::{self, NonNull},
    sync::atomic::Ordering,
};

use sluice_miniport_lower::{DeviceBelow, returned};
use sluice_shim::{
    miniport::Srb,
    request::Request,
    storport::{SrbKind, SrbStatus, srb::SrbView},
};
use wdk_sys::{
    DEVICE_OBJECT, IRP, IRP_MJ_SCSI, MDL, NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, STATUS_CANCELLED,
    STATUS_MORE_PROCESSING_REQUIRED, STATUS_NOT_SUPPORTED,
    ntddk::{IoAllocateIrp, IoCancelIrp, IoFreeIrp, IoReleaseCancelSpinLock, IoReuseIrp, IofCallDriver},
};

use crate::nt::{
    cancel,
    irp::{self, Irp, next, on_completion},
    is_success,
    mdl::{self, OwnMdl},
};

/// What a request of the unit holds for its child I/O, in the host's words of [`Request`].
struct Child {
    irp: NonNull<IRP>,
    mdl: NonNull<MDL>,
}

/// IRP_MN_SCSI_CLASS: the minor code that class drivers use.
const SCSI_CLASS: u8 = 1;

/// Allocates a request with its IRP and MDL. `None` when memory has run out. Up to DISPATCH_LEVEL.
///
/// # Safety
/// `lower` is a live device object.
pub(crate) unsafe fn new_request(lower: NonNull<DEVICE_OBJECT>, most_bytes: u32) -> Option<Request> {
    let mdl = OwnMdl::new(most_bytes)?;
    // SAFETY: the caller's contract; no quota.
    let irp = NonNull::new(unsafe { IoAllocateIrp((*lower.as_ptr()).StackSize, 0) })?;
    let words = [irp.as_ptr().expose_provenance(), mdl.into_raw().as_ptr().expose_provenance(), 0, 0];
    Some(Request::new(words))
}

/// Frees a request's IRP and MDL.
///
/// # Safety
/// `request` comes from [`new_request`], is idle, and is not used for I/O again.
pub(crate) unsafe fn free_request(request: &Request) {
    if let Some(child) = child(request) {
        // SAFETY: made by `new_request`, freed once by the caller's contract.
        unsafe {
            IoFreeIrp(child.irp.as_ptr());
            drop(OwnMdl::from_raw(child.mdl));
        }
    }
}

fn child(request: &Request) -> Option<Child> {
    let [irp, mdl, ..] = *request.host();
    Some(Child {
        irp: NonNull::new(ptr::with_exposed_provenance_mut(irp))?,
        mdl: NonNull::new(ptr::with_exposed_provenance_mut(mdl))?,
    })
}

/// The device below a filtered disk, for the `lower` miniport.
pub(crate) struct Below {
    /// Where child IRPs go.
    pub(crate) device: NonNull<DEVICE_OBJECT>,
    /// Which SRBs it takes.
    pub(crate) kind: SrbKind,
}

// SAFETY: device objects may be called on any thread.
unsafe impl Sync for Below {}
// SAFETY: as above.
unsafe impl Send for Below {}

impl DeviceBelow for Below {
    fn srb_kind(&self) -> SrbKind {
        self.kind
    }

    fn send(&self, mut srb: Srb) {
        let mut view = srb.view();
        let Some(child) = child(srb.request()) else {
            return returned(srb, Some(STATUS_CANCELLED.cast_unsigned()));
        };
        let caller = NonNull::new(srb.request().waiting()).map(Irp::of_waiting);
        // SAFETY: the child's IRP and MDL are idle: the request was free until now and has just been started.
        unsafe {
            IoReuseIrp(child.irp.as_ptr(), STATUS_NOT_SUPPORTED);
            (*child.irp.as_ptr()).MdlAddress = transfer(srb.request(), &child, &mut view);
            view.set_original_request(child.irp.as_ptr().cast());
            if let Some(caller) = caller {
                irp::follow(caller, child.irp);
            }
            let location = next(child.irp);
            (*location).MajorFunction = IRP_MJ_SCSI as u8;
            (*location).MinorFunction = SCSI_CLASS;
            (*location).Parameters.Scsi.Srb = view.as_ptr().cast();
            // The caller may cancel from here on, which cancels the child.
            if !caller.is_none_or(|caller| Cancellation::arm(caller, &srb)) {
                view.set_srb_status(SrbStatus::ABORTED);
                return returned(srb, Some(STATUS_CANCELLED.cast_unsigned()));
            }
            on_completion(child.irp, Some(back), srb.into_raw());
            let _ = IofCallDriver(self.device.as_ptr(), child.irp.as_ptr());
        }
    }
}

/// Two parties may be busy with a child IRP: its completion, and the cancellation of its caller. Whoever is done
/// second goes on with the request, and only that one takes the SRB up; until then the IRP is not used again, and
/// both may look at the request. The state lies in the caller's IRP.
struct Cancellation;

impl Cancellation {
    const COMPLETED: usize = 1;
    const CANCELLED: usize = 2;

    /// Lets `caller` be cancelled while its SRB is under way. `false`: it has been already.
    ///
    /// # Safety
    /// The caller's IRP is this driver's.
    unsafe fn arm(caller: NonNull<IRP>, srb: &Srb) -> bool {
        let [whose, state] = Irp::words(caller);
        whose.store(srb.as_raw().as_ptr().expose_provenance(), Ordering::Relaxed);
        state.store(0, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { cancel::arm(caller, Some(cancel_child)) }
    }

    /// The child is back. `false`: the cancel routine is still busy with it and will go on.
    ///
    /// # Safety
    /// Once for each successful [`Self::arm`].
    unsafe fn completed(caller: NonNull<IRP>) -> bool {
        let [_, state] = Irp::words(caller);
        // SAFETY: the caller's contract.
        let nobody = unsafe { cancel::disarm(caller) };
        nobody || state.fetch_or(Self::COMPLETED, Ordering::AcqRel) & Self::CANCELLED != 0
    }
}

/// Cancel routine of callers whose child is under way. Called with the cancel spin lock held.
unsafe extern "C" fn cancel_child(_device: PDEVICE_OBJECT, caller: PIRP) {
    let Some(caller) = NonNull::new(caller) else { return };
    let [whose, state] = Irp::words(caller);
    let Some(raw) = NonNull::new(ptr::with_exposed_provenance_mut(whose.load(Ordering::Relaxed))) else {
        return;
    };
    // SAFETY: neither the child's IRP nor the caller's is used for anything else until both parties are done. The
    // SRB is taken up only by the second of them.
    unsafe {
        IoReleaseCancelSpinLock((*caller.as_ptr()).CancelIrql);
        let irp = child(Srb::request_at(raw)).map(|child| child.irp);
        let _ = irp.map(|irp| IoCancelIrp(irp.as_ptr()));
        if state.fetch_or(Cancellation::CANCELLED, Ordering::AcqRel) & Cancellation::COMPLETED != 0 {
            // The completion routine was here meanwhile, and left the rest to us.
            let status = irp.map_or(STATUS_CANCELLED, |irp| irp.as_ref().IoStatus.__bindgen_anon_1.Status);
            returned(Srb::from_raw(raw), failure(status));
        }
    }
}

/// The memory that the child transfers: the caller's own where it can be used as it is, else private memory.
///
/// # Safety
/// The request is being started; nobody else uses the child's MDL.
unsafe fn transfer(request: &Request, child: &Child, view: &mut SrbView) -> *mut MDL {
    let payload = request.transfer();
    let Some(address) = NonNull::new(payload.address).filter(|_| payload.length > 0) else {
        return ptr::null_mut();
    };
    if request.transfers_callers_memory()
        && let Some(waiting) = NonNull::new(request.waiting())
    {
        // SAFETY: the caller's IRP is pending and ours. `requests::describe` has checked its MDL.
        let (mdl, buffer) = unsafe { callers(Irp::of_waiting(waiting)) };
        // By convention an SRB names its data as the MDL does, which need not be a mapped address.
        view.set_data_buffer(buffer);
        return mdl;
    }
    // SAFETY: private memory is non-paged pool no longer than the MDL was made for.
    unsafe { mdl::point_at(child.mdl, address, payload.length as u32) };
    view.set_data_buffer(payload.address.cast());
    child.mdl.as_ptr()
}

/// The MDL of a caller's IRP, and the data address in its SRB.
unsafe fn callers(irp: NonNull<IRP>) -> (*mut MDL, *mut c_void) {
    // SAFETY: the IRP is pending and ours to look at; it was parsed when it came.
    unsafe {
        let irp = Irp::take(irp);
        let srb = irp.stack().Parameters.Scsi.Srb;
        match SrbView::parse(srb.cast()) {
            Ok(view) => (irp.mdl(), view.data_buffer()),
            Err(_) => (ptr::null_mut(), ptr::null_mut()),
        }
    }
}

/// An NTSTATUS, if it is one of failure.
fn failure(status: NTSTATUS) -> Option<u32> {
    (!is_success(status)).then_some(status.cast_unsigned())
}

/// Completion routine of child IRPs. Up to DISPATCH_LEVEL.
unsafe extern "C" fn back(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    let Some(raw) = NonNull::new(context) else { return STATUS_MORE_PROCESSING_REQUIRED };
    // SAFETY: `send` gave the SRB into the keeping of this IRP. The IRP is not touched after `returned`: the
    // request may be in use again by then.
    unsafe {
        let status = (*irp).IoStatus.__bindgen_anon_1.Status;
        // The caller's MDL must not be found on a reused IRP.
        (*irp).MdlAddress = ptr::null_mut();
        let caller = NonNull::new(Srb::request_at(raw).waiting()).map(Irp::of_waiting);
        if caller.is_none_or(|caller| Cancellation::completed(caller)) {
            returned(Srb::from_raw(raw), failure(status));
        }
    }
    STATUS_MORE_PROCESSING_REQUIRED
}
