//! The lists of the shim. All are intrusive: nothing is allocated to put something into one.

use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};

use crate::request::Request;

/// A caller's request while it waits for a free [`Request`] or for memory. Lives in the host's own storage (on
/// Windows inside the IRP), at a fixed address from submission until it is finished.
#[repr(C)]
#[derive(Debug)]
pub struct Waiting {
    next: *mut Waiting,
}

impl Waiting {
    /// Not in any list.
    pub const fn new() -> Self {
        Self { next: ptr::null_mut() }
    }
}

impl Default for Waiting {
    fn default() -> Self {
        Self::new()
    }
}

/// First in, first out.
#[derive(Debug)]
pub(crate) struct Fifo {
    head: *mut Waiting,
    tail: *mut Waiting,
}

// SAFETY: the nodes belong to whoever holds the list, which a unit keeps behind its lock.
unsafe impl Send for Fifo {}

impl Fifo {
    pub(crate) const fn new() -> Self {
        Self { head: ptr::null_mut(), tail: ptr::null_mut() }
    }

    pub(crate) fn first(&self) -> Option<NonNull<Waiting>> {
        NonNull::new(self.head)
    }

    /// # Safety
    /// `node` is in no list and stays where it is until it has been taken out.
    pub(crate) unsafe fn push(&mut self, node: NonNull<Waiting>) {
        // SAFETY: the caller's node, and the tail, which is in this list.
        unsafe {
            (*node.as_ptr()).next = ptr::null_mut();
            match NonNull::new(self.tail) {
                Some(tail) => (*tail.as_ptr()).next = node.as_ptr(),
                None => self.head = node.as_ptr(),
            }
        }
        self.tail = node.as_ptr();
    }

    /// Before all others.
    ///
    /// # Safety
    /// As for [`Self::push`].
    pub(crate) unsafe fn push_front(&mut self, node: NonNull<Waiting>) {
        // SAFETY: the caller's node.
        unsafe { (*node.as_ptr()).next = self.head };
        self.head = node.as_ptr();
        if self.tail.is_null() {
            self.tail = node.as_ptr();
        }
    }

    pub(crate) fn pop(&mut self) -> Option<NonNull<Waiting>> {
        let first = self.first()?;
        // SAFETY: nodes in the list are valid (`push`).
        self.head = unsafe { (*first.as_ptr()).next };
        if self.head.is_null() {
            self.tail = ptr::null_mut();
        }
        Some(first)
    }

    /// Takes `node` out if it is in the list. Walks the list: only for cancellation.
    pub(crate) fn remove(&mut self, node: NonNull<Waiting>) -> bool {
        let (mut before, mut at) = (ptr::null_mut::<Waiting>(), self.head);
        while let Some(here) = NonNull::new(at) {
            // SAFETY: nodes in the list are valid (`push`).
            let next = unsafe { (*here.as_ptr()).next };
            if here == node {
                match NonNull::new(before) {
                    // SAFETY: as above.
                    Some(before) => unsafe { (*before.as_ptr()).next = next },
                    None => self.head = next,
                }
                if next.is_null() {
                    self.tail = before;
                }
                return true;
            }
            (before, at) = (at, next);
        }
        false
    }
}

/// Requests that the miniport has completed, until the DPC takes them. Any number may push at once, at any
/// IRQL; one takes all.
#[derive(Debug, Default)]
pub(crate) struct Completed(AtomicPtr<Request>);

impl Completed {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Adds `request`; `true` if the list was empty, so that a DPC is due.
    ///
    /// # Safety
    /// The caller owns `request` and gives it up.
    pub(crate) unsafe fn push(&self, request: NonNull<Request>) -> bool {
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: ours until the exchange succeeds.
            unsafe { (*request.as_ptr()).next = head };
            match self.0.compare_exchange_weak(head, request.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return head.is_null(),
                Err(other) => head = other,
            }
        }
    }

    /// Takes all, oldest first. The caller owns them.
    pub(crate) fn take(&self) -> Option<NonNull<Request>> {
        if self.0.load(Ordering::Relaxed).is_null() {
            return None;
        }
        let (mut newest, mut oldest) = (self.0.swap(ptr::null_mut(), Ordering::Acquire), ptr::null_mut());
        while let Some(request) = NonNull::new(newest) {
            // SAFETY: whoever pushed it gave it up to us.
            unsafe {
                newest = (*request.as_ptr()).next;
                (*request.as_ptr()).next = oldest;
            }
            oldest = request.as_ptr();
        }
        NonNull::new(oldest)
    }
}
