//! Work items at PASSIVE_LEVEL.
//!
//! One port's items run one after another, in the order in which they were queued. On Windows several may run at once:
//! an item that waits for another one of the same adapter waits forever here.

use core::{ffi::c_void, mem, ptr};

use sluice_shim::storport::status::StorStatus;

use crate::{
    faults::count,
    locks::Guarded,
    memory::{Kind, TAG},
    port::{Phase, Port},
    services::DISPATCH_LEVEL,
};

/// `HW_WORKITEM`. PASSIVE_LEVEL.
pub(crate) type HwWorkItem =
    unsafe extern "system" fn(device_extension: *mut c_void, context: *mut c_void, worker: *mut c_void);

/// What a worker's handle points at.
struct Worker {
    next: *mut Worker,
    callback: Option<HwWorkItem>,
    context: *mut c_void,
    queued: bool,
}

pub(crate) struct Queue {
    first: *mut Worker,
    last: *mut Worker,
}

// SAFETY: reached under its lock.
unsafe impl Send for Queue {}

/// Items that wait for their turn.
pub(crate) type Work = Guarded<Queue>;

pub(crate) const fn none() -> Work {
    Guarded::new(Queue { first: ptr::null_mut(), last: ptr::null_mut() })
}

impl Port {
    fn may_queue(&self) -> Result<(), StorStatus> {
        if self.system().irql() > DISPATCH_LEVEL {
            count(&self.faults().irql);
            return Err(StorStatus::INVALID_IRQL);
        }
        Ok(())
    }

    /// StorPortInitializeWorker.
    pub(crate) fn initialize_worker(&self) -> Result<*mut c_void, StorStatus> {
        self.may_queue()?;
        let place = self.allocate_piece(Kind::Worker, mem::size_of::<Worker>(), TAG);
        let worker = place.ok_or(StorStatus::INSUFFICIENT_RESOURCES)?.cast::<Worker>();
        let nothing = ptr::null_mut();
        // SAFETY: fresh memory of its size.
        unsafe {
            worker.write(Worker { next: ptr::null_mut(), callback: None, context: nothing, queued: false })
        };
        Ok(worker.as_ptr().cast())
    }

    /// StorPortQueueWorkItem.
    pub(crate) fn queue_work_item(
        &self,
        callback: Option<HwWorkItem>,
        worker: *mut c_void,
        context: *mut c_void,
    ) -> Result<(), StorStatus> {
        self.may_queue()?;
        if callback.is_none() || !self.has_piece(Kind::Worker, worker) {
            count(&self.faults().argument);
            return Err(StorStatus::INVALID_PARAMETER);
        }
        let worker = worker.cast::<Worker>();
        {
            let mut queue = self.work().lock(self.system());
            // SAFETY: a worker of this port; its fields change under the lock.
            unsafe {
                if (*worker).queued {
                    return Err(StorStatus::BUSY);
                }
                *worker = Worker { next: ptr::null_mut(), callback, context, queued: true };
                match queue.last.as_mut() {
                    Some(last) => last.next = worker,
                    None => queue.first = worker,
                }
            }
            queue.last = worker;
        }
        self.services().request_work(self);
        Ok(())
    }

    /// StorPortFreeWorker. Not while it is queued; its callback may free it.
    pub(crate) fn free_worker(&self, worker: *mut c_void) -> StorStatus {
        if let Err(status) = self.may_queue() {
            return status;
        }
        if !self.has_piece(Kind::Worker, worker) {
            count(&self.faults().freed_wrongly);
            return StorStatus::INVALID_PARAMETER;
        }
        let queued = {
            let _queue = self.work().lock(self.system());
            // SAFETY: as above.
            unsafe { (*worker.cast::<Worker>()).queued }
        };
        if queued { StorStatus::BUSY } else { self.free(Kind::Worker, worker) }
    }

    /// The port's work, as [`crate::services::Services::request_work`] asks for it: HwStorPassiveInitialize's successor
    /// and the miniport's items. PASSIVE_LEVEL.
    pub fn run_work(&self) {
        while let Some((callback, context, worker)) = self.next_item() {
            if self.phase() == Phase::Stopped {
                continue; // the miniport has been stopped
            }
            // SAFETY: the miniport's own function, extension and context.
            unsafe { callback(self.extension(), context, worker) };
        }
    }

    fn next_item(&self) -> Option<(HwWorkItem, *mut c_void, *mut c_void)> {
        let mut queue = self.work().lock(self.system());
        // SAFETY: in the queue, whose lock is held.
        let worker = unsafe { queue.first.as_mut() }?;
        queue.first = worker.next;
        if queue.first.is_null() {
            queue.last = ptr::null_mut();
        }
        worker.queued = false;
        let handle: *mut c_void = ptr::from_mut(worker).cast();
        Some((worker.callback?, worker.context, handle))
    }
}
