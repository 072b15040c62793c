//! Work items: what has to be done at PASSIVE_LEVEL, and is found out above it.

use core::ptr::NonNull;

use wdk_sys::{
    _WORK_QUEUE_TYPE::CriticalWorkQueue,
    DEVICE_OBJECT, PDEVICE_OBJECT, PIO_WORKITEM, PVOID,
    ntddk::{IoAllocateWorkItem, IoFreeWorkItem, IoQueueWorkItem},
};

/// An `IO_WORKITEM` of a device, allocated before it is needed.
pub(crate) struct WorkItem(PIO_WORKITEM);

// SAFETY: the kernel synchronises the queue; whoever queues it sees to it that it is not queued.
unsafe impl Sync for WorkItem {}
// SAFETY: as above.
unsafe impl Send for WorkItem {}

impl WorkItem {
    /// One for `device`. `None` when memory has run out.
    ///
    /// # Safety
    /// A live device object of this driver, which the item does not outlive.
    pub(crate) unsafe fn new(device: NonNull<DEVICE_OBJECT>) -> Option<Self> {
        // SAFETY: the caller's contract.
        let item = unsafe { IoAllocateWorkItem(device.as_ptr()) };
        if item.is_null() { None } else { Some(Self(item)) }
    }

    /// Has `routine` called in a system thread, at PASSIVE_LEVEL. The device object stays until it has returned. Up to
    /// DISPATCH_LEVEL.
    ///
    /// # Safety
    /// It is not queued already; `routine` may be called with its device object and `context`, once.
    pub(crate) unsafe fn queue(&self, routine: unsafe extern "C" fn(PDEVICE_OBJECT, PVOID), context: PVOID) {
        // SAFETY: the caller's contract.
        unsafe { IoQueueWorkItem(self.0, Some(routine), CriticalWorkQueue, context) };
    }
}

impl Drop for WorkItem {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`. An item whose routine has begun to run may be freed.
        unsafe { IoFreeWorkItem(self.0) };
    }
}
