//! DPCs: the port's own, and those of the miniport, which it runs.

use core::{
    ffi::c_void,
    ptr,
    sync::atomic::{
        AtomicPtr,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use sluice_shim::{platform::LockWord, storport::initialization::HwDpc};

use crate::{
    faults::count,
    port::{Phase, Port},
    types::StorDpc,
};

/// How often one run looks for more work before it lets others run.
const ROUNDS: usize = 16;

/// The miniport's DPCs that are due.
pub(crate) struct Dpcs(AtomicPtr<StorDpc>);

impl Dpcs {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// # Safety
    /// `dpc` is initialized, stays where it is, and is in no list.
    unsafe fn push(&self, dpc: *mut StorDpc) {
        let mut head = self.0.load(Relaxed);
        loop {
            // SAFETY: the caller's, until the exchange succeeds.
            unsafe { (*dpc).next = head };
            match self.0.compare_exchange_weak(head, dpc, Release, Relaxed) {
                Ok(_) => return,
                Err(other) => head = other,
            }
        }
    }

    /// All, oldest first.
    fn take(&self) -> *mut StorDpc {
        let (mut newest, mut oldest) = (self.0.swap(ptr::null_mut(), Acquire), ptr::null_mut());
        while !newest.is_null() {
            // SAFETY: in the list, so valid (`push`).
            unsafe {
                let next = (*newest).next;
                (*newest).next = oldest;
                oldest = newest;
                newest = next;
            }
        }
        oldest
    }
}

impl Port {
    /// StorPortNotification(InitializeDpc).
    ///
    /// # Safety
    /// `dpc` is null or has room for a STOR_DPC that is not queued.
    pub(crate) unsafe fn initialize_dpc(&self, dpc: *mut c_void, routine: Option<HwDpc>) {
        let dpc = dpc.cast::<StorDpc>();
        if dpc.is_null() || !dpc.is_aligned() || routine.is_none() {
            return count(&self.faults().argument);
        }
        let nothing = ptr::null_mut();
        // SAFETY: the caller's contract.
        unsafe {
            dpc.write(StorDpc {
                magic: StorDpc::MAGIC,
                queued: core::sync::atomic::AtomicU32::new(0),
                routine,
                argument1: nothing,
                argument2: nothing,
                next: ptr::null_mut(),
                spare: [0; 3],
                lock: LockWord::default(),
            });
        }
    }

    /// StorPortNotification(IssueDpc): `false` if it is queued already. Any IRQL up to that of the interrupt.
    ///
    /// # Safety
    /// `dpc` is null or points at a STOR_DPC's room that stays where it is.
    pub(crate) unsafe fn issue_dpc(&self, dpc: *mut c_void, arguments: [*mut c_void; 2]) -> bool {
        let dpc = dpc.cast::<StorDpc>();
        // SAFETY: the caller's contract.
        let known = !dpc.is_null()
            && dpc.is_aligned()
            && unsafe { (&raw const (*dpc).magic).read() } == StorDpc::MAGIC;
        if !known {
            count(&self.faults().argument);
            return false;
        }
        // SAFETY: initialized; the flag says who may write the rest.
        unsafe {
            if (*dpc).queued.compare_exchange(0, 1, AcqRel, Relaxed).is_err() {
                return false;
            }
            (*dpc).argument1 = arguments[0];
            (*dpc).argument2 = arguments[1];
            self.dpcs().push(dpc);
        }
        self.services().request_dpc(self);
        true
    }

    /// StorPortCancelDpc: takes it out if it waits. One that a run has taken up already will be called, and is not there.
    ///
    /// # Safety
    /// As [`Self::issue_dpc`].
    pub(crate) unsafe fn cancel_dpc(&self, dpc: *mut c_void) -> Option<bool> {
        let dpc = dpc.cast::<StorDpc>();
        // SAFETY: the caller's contract.
        if dpc.is_null() || !dpc.is_aligned() || unsafe { (&raw const (*dpc).magic).read() } != StorDpc::MAGIC
        {
            count(&self.faults().argument);
            return None;
        }
        let (mut at, mut found, mut others) = (self.dpcs().take(), false, false);
        while !at.is_null() {
            let one = at;
            // SAFETY: was in the list, so initialized and in place, and it is nobody else's until it is back there.
            unsafe {
                at = (*one).next;
                if one == dpc {
                    found = true;
                    (*one).queued.store(0, Release);
                } else {
                    others = true;
                    self.dpcs().push(one);
                }
            }
        }
        if others {
            // A run that came meanwhile has missed them.
            self.services().request_dpc(self);
        }
        Some(found)
    }

    /// A port that goes drops what is left.
    pub(crate) fn drop_dpcs(&self) {
        let _ = self.dpcs().take();
    }

    /// The port's DPC, as [`crate::services::Services::request_dpc`] asks for it: runs the miniport's DPCs, takes
    /// completed requests further and starts waiting ones. DISPATCH_LEVEL, without locks.
    pub fn run_dpcs(&self) {
        for _ in 0..ROUNDS {
            let any = self.run_miniports_dpcs() | self.finish_completed() | self.heed_signals();
            if !any {
                return;
            }
            self.settle();
            self.pump_all();
        }
        self.services().request_dpc(self);
    }

    fn run_miniports_dpcs(&self) -> bool {
        let mut at = self.dpcs().take();
        let any = !at.is_null();
        if self.phase() == Phase::Stopped {
            return any; // dropped: the miniport has been stopped
        }
        while !at.is_null() {
            let dpc = at;
            // SAFETY: in the list, so initialized and in place. Once the flag is down it may be queued again, or be
            // gone: nothing of it is touched afterwards.
            unsafe {
                at = (*dpc).next;
                let (routine, one, two) = ((*dpc).routine, (*dpc).argument1, (*dpc).argument2);
                (*dpc).queued.store(0, Release);
                if let Some(routine) = routine {
                    routine(dpc.cast(), self.extension(), one, two);
                }
            }
        }
        any
    }
}
