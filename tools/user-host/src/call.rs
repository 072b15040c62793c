//! One request of a caller, and the host that answers it: what an IRP and its driver are in the kernel.

use std::{
    cell::UnsafeCell,
    fmt,
    ptr::NonNull,
    sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    thread::{self, Thread},
};

use sluice_chain::Status;
use sluice_shim::{
    queue::Waiting,
    request::{Incoming, Request, SENSE_BYTES},
    storport::{ScsiStatus, SrbStatus},
    unit::{Finished, Hold, Host, Unit},
};

use crate::Watch;

/// How a request went.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// See [`Finished::status`].
    pub status: Status,
    /// Payload bytes moved.
    pub transferred: u32,
    /// What the device said, if the request got that far.
    pub device: Option<Device>,
}

/// What the device said.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    /// SRB status.
    pub srb_status: SrbStatus,
    /// SCSI status byte.
    pub scsi_status: ScsiStatus,
    sense: [u8; SENSE_BYTES],
    sense_length: usize,
}

impl Device {
    /// Sense data; empty if there is none.
    #[must_use]
    pub fn sense(&self) -> &[u8] {
        self.sense.get(..self.sense_length).unwrap_or(&[])
    }
}

impl Answer {
    /// Never got to the device.
    #[must_use]
    pub(crate) const fn refused(status: Status) -> Self {
        Self { status, transferred: 0, device: None }
    }

    fn of(finished: &Finished<'_>) -> Self {
        let device = finished.device.map(|said| {
            let mut sense = [0; SENSE_BYTES];
            let sense_length = said.sense.len().min(SENSE_BYTES);
            sense[..sense_length].copy_from_slice(&said.sense[..sense_length]);
            Device { srb_status: said.srb_status, scsi_status: said.scsi_status, sense, sense_length }
        });
        Self { status: finished.status, transferred: finished.transferred, device }
    }
}

/// With the unit, and not waiting (any more).
const RUNNING: u32 = 0;
/// In the unit's queue.
const QUEUED: u32 = 1;
/// Withdrawn from it; whoever did that answers it.
const CANCELLED: u32 = 2;
/// Answered.
const DONE: u32 = 3;

/// One request of a caller. Stays where it is from submission to answer.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Call {
    /// First, so that the unit's pointer leads back here.
    waiting: UnsafeCell<Waiting>,
    incoming: Incoming,
    state: AtomicU32,
    answer: UnsafeCell<Answer>,
    caller: Thread,
}

// SAFETY: `waiting` is the unit's, `answer` is written by whoever makes the state DONE and read after that.
unsafe impl Send for Call {}
// SAFETY: as above.
unsafe impl Sync for Call {}

impl Call {
    /// A request of the calling thread, which will be woken when it is answered.
    pub(crate) fn new(incoming: Incoming) -> Self {
        Self {
            waiting: UnsafeCell::new(Waiting::new()),
            incoming,
            state: AtomicU32::new(RUNNING),
            answer: UnsafeCell::new(Answer::refused(Status::INTERNAL)),
            caller: thread::current(),
        }
    }

    /// The answer, once there is one.
    pub(crate) fn answer(&self) -> Option<Answer> {
        // SAFETY: written before the state became DONE, never again.
        (self.state.load(Ordering::Acquire) == DONE).then(|| unsafe { *self.answer.get() })
    }

    fn node(&self) -> NonNull<Waiting> {
        // From `self`, not from the field: the pointer must lead back to the whole.
        NonNull::from(self).cast()
    }

    /// Answers it. The call may be gone as soon as this has stored the state.
    ///
    /// # Safety
    /// The caller alone may answer it, and has not yet.
    unsafe fn finish(call: NonNull<Self>, answer: Answer) {
        // SAFETY: alive until the state is DONE; `answer` is ours until then.
        let caller = unsafe {
            let call = call.as_ref();
            *call.answer.get() = answer;
            call.caller.clone()
        };
        // SAFETY: as above: the last touch.
        unsafe { call.as_ref() }.state.store(DONE, Ordering::Release);
        caller.unpark();
    }
}

/// The host of one unit. Its callers are threads.
#[derive(Default)]
pub(crate) struct Callers {
    /// Set when the unit is held and nothing is under way.
    drained: AtomicBool,
    watch: Option<&'static dyn Watch>,
    /// Requests of which the unit has not let go.
    inside: AtomicUsize,
    /// Requests whose words the unit has released.
    pub(crate) released: AtomicUsize,
}

impl Callers {
    pub(crate) fn new(watch: Option<&'static dyn Watch>) -> Self {
        Self { watch, ..Self::default() }
    }

    fn finishes(&self, call: NonNull<Call>) {
        if let Some(watch) = self.watch {
            watch.crosses();
            watch.finishes(call.addr().get());
        }
    }

    /// Sends `call` to `unit`. Its answer comes in any case.
    ///
    /// # Safety
    /// `call`, and the memory it names, stays until it is answered.
    pub(crate) unsafe fn submit(&self, unit: &Unit, call: &Call) {
        self.inside.fetch_add(1, Ordering::Relaxed);
        if let Some(watch) = self.watch {
            watch.submits(call.node().addr().get());
        }
        if let Err(status) = unit.submit(call.node(), &call.incoming) {
            self.finishes(NonNull::from(call));
            // SAFETY: refused: the unit has not taken it.
            unsafe { Call::finish(NonNull::from(call), Answer::refused(status)) };
            self.left();
        }
    }

    /// Takes `call` out of the unit's queue, if it is still there, and answers it.
    pub(crate) fn cancel(&self, unit: &Unit, call: &Call) -> bool {
        let (from, to) = (QUEUED, CANCELLED);
        if call.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return false;
        }
        // Whether it is still there or its turn has just come (`claim` says no to that): when this returns, the
        // unit has let go of it.
        unit.withdraw(call.node());
        self.finishes(NonNull::from(call));
        // SAFETY: CANCELLED makes it ours to answer.
        unsafe { Call::finish(NonNull::from(call), Answer::refused(Status::CANCELLED)) };
        self.left();
        true
    }

    /// Holds `unit` and calls `wait` until no request is under way. By one caller at a time.
    pub(crate) fn await_drained(&self, unit: &Unit, mut wait: impl FnMut()) {
        self.drained.store(false, Ordering::Relaxed);
        if !unit.hold(Hold::CHANGING) {
            while !self.drained.load(Ordering::Acquire) {
                wait();
            }
        }
    }

    /// Whether the unit has let go of all requests.
    pub(crate) fn is_idle(&self) -> bool {
        self.inside.load(Ordering::Acquire) == 0
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callers").field("inside", &self.inside).finish_non_exhaustive()
    }
}

/// # Safety
/// `waiting` is the first field of a call that is not answered yet.
unsafe fn call_of<'a>(waiting: NonNull<Waiting>) -> &'a Call {
    // SAFETY: the caller's contract.
    unsafe { waiting.cast::<Call>().as_ref() }
}

// SAFETY: a call stays until it is answered (`submit`'s contract).
unsafe impl Host for Callers {
    fn queued(&self, waiting: NonNull<Waiting>) -> bool {
        // SAFETY: not answered: the unit has it.
        unsafe { call_of(waiting) }.state.store(QUEUED, Ordering::Release);
        true
    }

    fn describe(&self, waiting: NonNull<Waiting>) -> Incoming {
        // SAFETY: as above.
        unsafe { call_of(waiting) }.incoming
    }

    fn claim(&self, waiting: NonNull<Waiting>) -> bool {
        // SAFETY: as above; whoever cancels it answers it only after taking the unit's lock, which is held here.
        let state = unsafe { &call_of(waiting).state };
        state.compare_exchange(QUEUED, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn finish(&self, waiting: NonNull<Waiting>, result: &Finished<'_>) {
        self.finishes(waiting.cast());
        // SAFETY: the unit answers each call once.
        unsafe { Call::finish(waiting.cast(), Answer::of(result)) };
    }

    fn left(&self) {
        self.inside.fetch_sub(1, Ordering::Release);
    }

    fn drained(&self) {
        self.drained.store(true, Ordering::Release);
    }

    fn release(&self, _request: &Request) {
        self.released.fetch_add(1, Ordering::Relaxed);
    }
}
