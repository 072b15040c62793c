//! A port without a chain: the least that makes an I/O out of a miniport. What the shim is measured against.
//!
//! It keeps the promises of a port: whoever completes a request may do so on any thread, a second completion is
//! noticed, and callers are told by the DPC alone.

use std::{
    ffi::c_void,
    hint::black_box,
    mem::offset_of,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering},
};

use sluice_miniport_ram::Ram;
use sluice_shim::{
    miniport::HwStartIo,
    request::SENSE_BYTES,
    storport::{
        SrbKind, SrbView,
        srb::{SrbAnswer, SrbRequest, SrbStorage},
    },
};

const OURS: u32 = 0;
const MINIPORTS: u32 = 1;

/// A request, with its SRB.
pub(crate) struct Request {
    port: &'static Port,
    next: *mut Request,
    holder: AtomicU32,
    srb: SrbStorage,
    sense: [u8; SENSE_BYTES],
}

impl Request {
    pub(crate) fn new(port: &'static Port) -> Self {
        let (holder, srb) = (AtomicU32::new(OURS), SrbStorage::new());
        Self { port, next: ptr::null_mut(), holder, srb, sense: [0; SENSE_BYTES] }
    }
}

/// The port.
pub(crate) struct Port {
    start_io: HwStartIo,
    ram: &'static Ram,
    kind: SrbKind,
    completed: AtomicPtr<Request>,
    due: AtomicBool,
}

impl Port {
    pub(crate) fn new(ram: &'static Ram, kind: SrbKind) -> Self {
        let (completed, due) = (AtomicPtr::new(ptr::null_mut()), AtomicBool::new(false));
        Self { start_io: black_box(start_io as HwStartIo), ram, kind, completed, due }
    }

    /// Makes the SRB and gives it to the miniport.
    pub(crate) fn send(&self, request: &mut Request, command: &SrbRequest<'_>) -> Result<(), String> {
        let sense_buffer = request.sense.as_mut_ptr();
        let command = SrbRequest { sense_buffer, sense_length: SENSE_BYTES as u8, ..*command };
        request.srb.fill(self.kind, &command).map_err(|error| format!("{error:?}"))?;
        request.holder.store(MINIPORTS, Ordering::Release);
        let srb = (&raw mut *request).wrapping_byte_add(offset_of!(Request, srb));
        let extension = ptr::from_ref(self.ram).cast_mut().cast();
        // SAFETY: the function and its extension belong together; the SRB stays until it is completed.
        if unsafe { (self.start_io)(extension, srb.cast()) } == 0 { Err("no room".into()) } else { Ok(()) }
    }

    /// RequestComplete.
    ///
    /// # Safety
    /// `srb` is the SRB of a request of this port that is alive.
    unsafe fn request_complete(&self, srb: NonNull<c_void>) {
        // SAFETY: the caller's contract; ours alone once the exchange has succeeded.
        unsafe {
            let request: *mut Request = srb.byte_sub(offset_of!(Request, srb)).as_ptr().cast();
            let holder = &(*request).holder;
            if holder.compare_exchange(MINIPORTS, OURS, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                return;
            }
            let mut head = self.completed.load(Ordering::Relaxed);
            loop {
                (*request).next = head;
                let list = &self.completed;
                match list.compare_exchange_weak(head, request, Ordering::Release, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(other) => head = other,
                }
            }
            if head.is_null() {
                self.due.store(true, Ordering::Release);
            }
        }
    }

    /// The DPC, if it is due.
    pub(crate) fn run(&self, mut tell: impl FnMut(&SrbAnswer)) {
        while self.due.swap(false, Ordering::AcqRel) {
            let mut next = self.completed.swap(ptr::null_mut(), Ordering::Acquire);
            // SAFETY: whoever pushed a request gave it up to us.
            while let Some(request) = unsafe { next.as_ref() } {
                next = request.next;
                tell(&request.srb.answer(self.kind));
            }
        }
    }
}

/// `HwStartIo` of the `ram` miniport, as the shim's own wrapper calls it.
unsafe extern "system" fn start_io(extension: *mut c_void, srb: *mut c_void) -> u8 {
    let Some(srb) = NonNull::new(srb) else { return 0 };
    // SAFETY: `Port` passes its disk, and an SRB of one of its requests.
    unsafe {
        if let Ok(mut view) = SrbView::parse(srb.as_ptr()) {
            (*extension.cast::<Ram>()).execute(&mut view);
        }
        let request: *const Request = srb.byte_sub(offset_of!(Request, srb)).as_ptr().cast();
        (*request).port.request_complete(srb);
    }
    1
}
