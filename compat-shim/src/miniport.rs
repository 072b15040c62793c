//! What a miniport is to the shim, and the safe trait for miniports written in Rust.

use core::{
    ffi::c_void,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};

use sluice_chain::bytes::Target;

use crate::{
    queue::Completed,
    request::Request,
    scsi::sense::Refusal,
    storport::{ScsiStatus, SrbKind, SrbStatus, SrbView},
};

/// `HwStorStartIo`: TRUE, or FALSE if the miniport has no room.
pub type HwStartIo = unsafe extern "system" fn(device_extension: *mut c_void, srb: *mut c_void) -> u8;

/// A miniport as the shim calls it: the pointers captured from its initialization data, and its extension.
#[derive(Clone, Copy, Debug)]
pub struct Hw {
    start_io: HwStartIo,
    device_extension: *mut c_void,
    srb_kind: SrbKind,
}

// SAFETY: a miniport's StartIo may be called on any processor (the shim promises no more than StorPort does).
unsafe impl Send for Hw {}
// SAFETY: as above.
unsafe impl Sync for Hw {}

impl Hw {
    /// A miniport written in Rust. Its extension is the value itself.
    pub fn of<M: Miniport>(miniport: &'static M) -> Self {
        Self {
            start_io: start_io::<M>,
            device_extension: core::ptr::from_ref(miniport).cast_mut().cast(),
            srb_kind: miniport.srb_kind(),
        }
    }

    /// Any other miniport, by its `HwStorStartIo`.
    ///
    /// # Safety
    /// `start_io` takes SRBs of `srb_kind` with `device_extension` for as long as the adapter exists, on any
    /// processor, and completes each one that it takes once.
    pub const unsafe fn new(start_io: HwStartIo, device_extension: *mut c_void, srb_kind: SrbKind) -> Self {
        Self { start_io, device_extension, srb_kind }
    }

    pub(crate) fn srb_kind(&self) -> SrbKind {
        self.srb_kind
    }

    /// # Safety
    /// `srb` is the SRB of a request that has just been given to this miniport.
    pub(crate) unsafe fn start_io(&self, srb: NonNull<u8>) -> bool {
        // SAFETY: the function and its extension belong together by construction.
        unsafe { (self.start_io)(self.device_extension, srb.as_ptr().cast()) != 0 }
    }
}

/// A miniport in Rust. Everything it is asked comes as an SRB that it must complete once.
pub trait Miniport: Sync {
    /// Which SRBs it takes (`HW_INITIALIZATION_DATA.SrbTypeFlags`); asked once.
    fn srb_kind(&self) -> SrbKind;

    /// `HwStorStartIo`. Up to DISPATCH_LEVEL. The SRB may be completed here, or later from anywhere.
    fn start_io(&self, srb: Srb);
}

unsafe extern "system" fn start_io<M: Miniport>(device_extension: *mut c_void, srb: *mut c_void) -> u8 {
    let Some(srb) = NonNull::new(srb.cast::<u8>()) else { return 0 };
    // SAFETY: `Hw::of` paired this function with an `M` that lives as long as the adapter.
    unsafe { &*device_extension.cast::<M>() }.start_io(Srb(srb));
    1
}

/// SRBs on their way to a miniport's own thread: any number put some in, one thread takes them. It has room for all there
/// are, without allocating.
#[derive(Debug, Default)]
pub struct Inbox {
    put: Completed,
    /// What the thread has taken and not looked at, oldest first.
    taken: AtomicPtr<Request>,
}

impl Inbox {
    /// An empty one.
    pub const fn new() -> Self {
        Self { put: Completed::new(), taken: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Puts one in. Up to DISPATCH_LEVEL.
    pub fn put(&self, srb: Srb) {
        // SAFETY: the miniport has the request, and gives it up to the list. Its link is in use by nobody while it is the
        // miniport's.
        unsafe { self.put.push(Request::of_srb(srb.0)) };
    }

    /// The one that was put in first. For one thread: if there are several, some SRBs may be found by none.
    pub fn next(&self) -> Option<Srb> {
        let taken = self.taken.swap(ptr::null_mut(), Ordering::AcqRel);
        let first = NonNull::new(taken).or_else(|| self.put.take())?;
        // SAFETY: the list owned it and gave it up.
        self.taken.store(unsafe { (*first.as_ptr()).next }, Ordering::Release);
        Some(Srb(Request::srb_of(first)))
    }
}

/// An SRB that the miniport has and must complete. Completing consumes it, so it cannot happen twice.
#[derive(Debug)]
#[must_use = "an SRB that is dropped is a request that hangs"]
pub struct Srb(NonNull<u8>);

// SAFETY: an SRB belongs to one holder, on whatever thread.
unsafe impl Send for Srb {}

impl Srb {
    /// Read and answer it.
    #[inline]
    pub fn view(&mut self) -> SrbView {
        // SAFETY: the shim filled this SRB in its own storage for an adapter that takes this kind, whose unit is alive while
        // one of its requests is out.
        unsafe { SrbView::filled(self.0, (*self.request().unit).adapter().srb_kind()) }
    }

    /// The data that it carries. Others may see and change it at any moment.
    pub fn data(&mut self) -> Target<'_> {
        let view = self.view();
        let (start, length) = (view.data_buffer().cast::<u8>(), view.data_transfer_length() as usize);
        let length = if start.is_null() { 0 } else { length };
        // SAFETY: the shim builds its SRBs over memory that stays mapped until they are completed, which consumes this.
        unsafe { Target::from_raw(start, length) }
    }

    /// Completes it as having moved so many bytes.
    pub fn succeed(mut self, bytes: u32) {
        let mut view = self.view();
        view.set_data_transfer_length(bytes);
        view.set_scsi_status(ScsiStatus::GOOD);
        view.set_srb_status(SrbStatus::SUCCESS);
        self.complete();
    }

    /// Completes it as refused.
    pub fn refuse(mut self, refusal: Refusal) {
        // SAFETY: the shim's SRBs have its own sense buffer, of the length that they name.
        unsafe { refusal.write(&mut self.view()) };
        self.complete();
    }

    /// The shim's request around it.
    pub fn request(&self) -> &Request {
        // SAFETY: only the shim makes these, from a pinned request.
        unsafe { Request::of_srb(self.0).as_ref() }
    }

    /// RequestComplete: hands it back, with the status that was set through the view.
    pub fn complete(self) {
        // SAFETY: as above; the unit is alive while one of its requests is out.
        unsafe {
            let unit = &*Request::of_srb(self.0).as_ref().unit;
            unit.adapter().request_complete(self.0.as_ptr().cast());
        }
    }

    /// The request around the SRB at `raw`, to look at: the right to complete it stays with whoever has it.
    ///
    /// # Safety
    /// `raw` comes from [`Self::as_raw`] or [`Self::into_raw`], and the SRB has not been completed for as long as the
    /// request is looked at.
    pub unsafe fn request_at<'a>(raw: NonNull<c_void>) -> &'a Request {
        // SAFETY: only the shim makes these, from a pinned request, which is not used again before it is completed.
        unsafe { Request::of_srb(raw.cast()).as_ref() }
    }

    /// Its address, to find it again; the right to complete it stays here.
    pub fn as_raw(&self) -> NonNull<c_void> {
        self.0.cast()
    }

    /// Gives it into the keeping of code outside Rust's sight (a completion routine's context).
    pub fn into_raw(self) -> *mut c_void {
        self.0.as_ptr().cast()
    }

    /// Takes it up again.
    ///
    /// # Safety
    /// `raw` comes from [`Self::into_raw`], once.
    pub unsafe fn from_raw(raw: NonNull<c_void>) -> Self {
        Self(raw.cast())
    }
}
