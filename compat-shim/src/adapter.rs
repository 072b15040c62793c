//! An adapter: one miniport and the requests it has completed.

use core::{
    ffi::c_void,
    ptr::NonNull,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use sluice_chain::Status;

use crate::{
    interception,
    miniport::Hw,
    platform::Platform,
    queue::Completed,
    request::{Owned, Request},
    storport::SrbKind,
};

/// What completing a request costs beside its payload's bytes, in bytes: finishing an IRP and starting the next
/// takes about as long as decrypting this much.
const REQUEST_COST: u64 = 4096;

/// One miniport in the shim.
pub struct Adapter {
    hw: Hw,
    platform: &'static dyn Platform,
    completed: Completed,
    /// Threads inside [`Self::defer`].
    deferring: AtomicUsize,
    faults: Faults,
}

/// What a miniport did wrong, counted.
#[derive(Debug, Default)]
pub struct Faults {
    /// Requests completed that the miniport did not have (a second time, or never given to it).
    pub not_owned: AtomicU64,
    /// Requests whose SRB, sense data or private memory was written to after they were completed. Only looked for with
    /// the feature `checked`.
    pub touched: AtomicU64,
}

impl Adapter {
    /// Hosts the miniport behind `hw`.
    pub const fn new(hw: Hw, platform: &'static dyn Platform) -> Self {
        let faults = Faults { not_owned: AtomicU64::new(0), touched: AtomicU64::new(0) };
        Self { hw, platform, completed: Completed::new(), deferring: AtomicUsize::new(0), faults }
    }

    /// The host's services.
    pub fn platform(&self) -> &'static dyn Platform {
        self.platform
    }

    /// Which SRBs the miniport takes.
    pub fn srb_kind(&self) -> SrbKind {
        self.hw.srb_kind()
    }

    /// What the miniport did wrong so far.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Gives a request to the miniport. Up to DISPATCH_LEVEL.
    pub(crate) fn start_io(&self, request: Owned) {
        let given = request.give_to_miniport();
        let pointer = request.forget_into();
        // SAFETY: the SRB lives in the request, which is pinned and now the miniport's.
        let taken = unsafe { self.hw.start_io(Request::srb_of(pointer)) };
        if taken {
            return;
        }
        // Not taken: the miniport has no room (HwStorStartIo answered FALSE). Unless it completed it already.
        // SAFETY: requests are freed only with their unit, which waits for all of them.
        if unsafe { pointer.as_ref() }.take_back(given) {
            // SAFETY: the exchange made it ours.
            let mut request = unsafe { Owned::taken(pointer) };
            request.retire();
            request.io().status = Status::BUSY;
            self.defer(request);
        }
    }

    /// RequestComplete: the miniport hands back the SRB it was given. Any IRQL up to DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `srb` must be an SRB that this shim gave to a miniport of an adapter that still exists.
    pub unsafe fn request_complete(&self, srb: *mut c_void) {
        let Some(srb) = NonNull::new(srb.cast::<u8>()) else { return };
        // SAFETY: the caller's contract.
        let pointer = unsafe { Request::of_srb(srb) };
        // SAFETY: requests are freed only with their unit, and that only after the adapter has stopped.
        if !unsafe { pointer.as_ref() }.take_from_miniport() {
            self.faults.not_owned.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // SAFETY: the exchange made it ours.
        let mut request = unsafe { Owned::taken(pointer) };
        request.take_result(self.srb_kind());
        self.defer(request);
    }

    /// Puts a request on its way up by the DPC.
    pub(crate) fn defer(&self, request: Owned) {
        // Once pushed, the request can be done with, and its unit gone, before this thread has gone on.
        self.deferring.fetch_add(1, Ordering::Relaxed);
        // SAFETY: `Owned` is the ownership that the list takes.
        if unsafe { self.completed.push(request.forget_into()) } {
            self.platform.schedule(self);
        }
        self.deferring.fetch_sub(1, Ordering::Release);
    }

    /// Whether no thread is handing over a completed request. A host that takes an adapter away does so in this
    /// order: let the units go, wait for this, wait for the DPC, free.
    pub fn is_idle(&self) -> bool {
        self.deferring.load(Ordering::Acquire) == 0
    }

    /// Takes everything completed through the second interception point, for hosts whose time nobody watches.
    /// DISPATCH_LEVEL.
    pub fn complete_all(&self) {
        while self.complete_some(u64::MAX) {}
    }

    /// The DPC: takes completed requests through the second interception point until `budget` is used up, at
    /// least one. A request costs its payload's bytes and [`REQUEST_COST`]. `true` if some are left: the caller
    /// sees to it that this is called again, as if [`Platform::schedule`] had been. DISPATCH_LEVEL.
    #[must_use = "requests may be left"]
    pub fn complete_some(&self, budget: u64) -> bool {
        let (mut spent, budget) = (0u64, budget.max(1));
        let mut rest = self.completed.take();
        while let Some(pointer) = rest {
            if spent >= budget {
                return self.give_back(pointer);
            }
            // SAFETY: the list owned it and gave it up; its unit outlives it.
            let (unit, mut request) = unsafe {
                let request = Owned::taken(pointer);
                rest = NonNull::new(request.next);
                (&*request.unit, request)
            };
            spent = spent.saturating_add(REQUEST_COST + u64::from(request.io().length));
            interception::complete(unit, request);
            if rest.is_none() {
                rest = self.completed.take();
            }
        }
        false
    }

    /// Puts `first` and all that are linked behind it back on the list.
    fn give_back(&self, first: NonNull<Request>) -> bool {
        let mut rest = Some(first);
        while let Some(pointer) = rest {
            // SAFETY: taken off the list, so ours, until the push, which gives it up again.
            unsafe {
                rest = NonNull::new((*pointer.as_ptr()).next);
                self.completed.push(pointer);
            }
        }
        true
    }
}
