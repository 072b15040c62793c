//! The device extension, and how an export finds its port from it.
//!
//! ```text
//!   | Header: magic, port | the miniport's DeviceExtensionSize bytes, zeroed |
//!                         ▲ HwDeviceExtension
//! ```

use core::{ffi::c_void, mem::size_of, ptr::NonNull};

use crate::{memory::Block, port::Port, services::System};

/// "Port", and something that no small number is.
const MAGIC: u64 = 0x506F_7274_C0DE_5EED;

/// Before the miniport's bytes.
#[repr(C, align(64))]
struct Header {
    magic: u64,
    port: *const Port,
    spare: [u64; 6],
}

const _: () = assert!(size_of::<Header>() == 64);

/// A device extension.
pub(crate) struct Extension(Block);

impl Extension {
    /// `None` if memory is out.
    pub(crate) fn new(system: &'static dyn System, bytes: u32) -> Option<Self> {
        // At least a page, for its alignment.
        let whole = (size_of::<Header>() + bytes as usize).max(4096);
        Some(Self(Block::new(system, whole)?))
    }

    /// Says whose it is. From now on exports find `port`.
    pub(crate) fn belongs_to(&self, port: NonNull<Port>) {
        let header = self.0.start().cast::<Header>();
        // SAFETY: the block is page-aligned and begins with room for the header; nobody reads it yet.
        unsafe { header.write(Header { magic: MAGIC, port: port.as_ptr(), spare: [0; 6] }) };
    }

    /// What the miniport is given.
    pub(crate) fn address(&self) -> *mut c_void {
        // SAFETY: behind the header, inside the block.
        unsafe { self.0.start().add(size_of::<Header>()) }.as_ptr().cast()
    }
}

impl Drop for Extension {
    fn drop(&mut self) {
        // SAFETY: the header is ours; a miniport that keeps the address past its end is not found any more.
        unsafe { self.0.start().cast::<u64>().write_volatile(0) };
    }
}

/// The port of a device extension. `None` for null and for what is not aligned as an extension is, or does not have the
/// header's mark before it.
///
/// # Safety
/// `extension` is null, or what a miniport was given for as long as its port exists, or at least points behind 64
/// readable bytes: C callers can do no better.
pub(crate) unsafe fn port_of<'a>(extension: *const c_void) -> Option<&'a Port> {
    if extension.is_null() || !(extension as usize).is_multiple_of(size_of::<Header>()) {
        return None;
    }
    // SAFETY: the caller's contract.
    let header = unsafe { &*extension.cast::<Header>().sub(1) };
    // SAFETY: marked headers name a port, which takes its mark away when it goes.
    (header.magic == MAGIC).then(|| unsafe { &*header.port })
}
