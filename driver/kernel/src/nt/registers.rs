//! A device's registers, mapped.

use core::{mem::ManuallyDrop, ptr::NonNull};

use wdk_sys::{PHYSICAL_ADDRESS, PVOID, SIZE_T, ULONG, ntddk::MmUnmapIoSpace};

use super::irql::Passive;

/// `PAGE_READWRITE | PAGE_NOCACHE`.
const PROTECTION: ULONG = 0x04 | 0x200;

unsafe extern "C" {
    // Windows 10 and later; wdk-sys' headers are older. MmMapIoSpace would map the registers as code, too, which a system
    // with memory integrity refuses.
    fn MmMapIoSpaceEx(physical: PHYSICAL_ADDRESS, bytes: SIZE_T, protect: ULONG) -> PVOID;
}

/// Registers, for as long as this is there.
pub(crate) struct Registers {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: an address that is reached by volatile accesses only; devices take these from all processors.
unsafe impl Send for Registers {}
// SAFETY: as above.
unsafe impl Sync for Registers {}

impl Registers {
    /// Maps `length` bytes at a physical address, not cached. `None` if that cannot be done.
    ///
    /// # Safety
    /// They are a device's, and this driver's to use.
    pub(crate) unsafe fn map(physical: u64, length: u64, _: Passive<'_>) -> Option<Self> {
        let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
        let physical = PHYSICAL_ADDRESS { QuadPart: i64::try_from(physical).ok()? };
        // SAFETY: the caller's contract.
        let start = unsafe { MmMapIoSpaceEx(physical, length as SIZE_T, PROTECTION) };
        Some(Self { start: NonNull::new(start.cast())?, length })
    }

    /// Gives the mapping away to somebody who reaches registers in his own way.
    pub(crate) fn into_raw(self) -> NonNull<u8> {
        ManuallyDrop::new(self).start
    }

    /// Takes it back.
    ///
    /// # Safety
    /// `start` comes from [`Self::into_raw`] of a mapping of so many bytes, and nobody uses it any more.
    pub(crate) unsafe fn from_raw(start: NonNull<u8>, length: usize) -> Self {
        Self { start, length }
    }

    /// Their length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length as u64
    }

    fn register(&self, offset: u64, width: u8) -> Option<*mut u8> {
        let (offset, width) = (usize::try_from(offset).ok()?, usize::from(width));
        let inside = offset.checked_add(width)? <= self.length && offset.is_multiple_of(width.max(1));
        // SAFETY: inside the mapping.
        inside.then(|| unsafe { self.start.as_ptr().add(offset) })
    }

    /// Reads a register of 1, 2 or 4 bytes; all ones where there is none. Any IRQL.
    pub(crate) fn read(&self, offset: u64, width: u8) -> u32 {
        let Some(at) = self.register(offset, width) else { return u32::MAX };
        // SAFETY: inside the mapping, and aligned: mappings begin on pages, as BARs do on multiples of 16.
        unsafe {
            match width {
                1 => u32::from(plain::read_1(at)),
                2 => u32::from(plain::read_2(at.cast())),
                4 => plain::read_4(at.cast()),
                _ => u32::MAX,
            }
        }
    }

    /// Writes a register of 1, 2 or 4 bytes, if it is there, after everything that was written to memory before. Any IRQL.
    pub(crate) fn write(&self, offset: u64, width: u8, value: u32) {
        let Some(at) = self.register(offset, width) else { return };
        // SAFETY: as in `read`.
        unsafe {
            match width {
                1 => plain::write_1(at, value as u8),
                2 => plain::write_2(at.cast(), value as u16),
                4 => plain::write_4(at.cast(), value),
                _ => {}
            }
        }
    }
}

/// Accesses by moves alone. The compiler would fold a volatile read into a comparison: correct on a bus, but what plays a
/// device for a guest whose memory is encrypted, or for our tests, decodes moves and no more. Nothing moves across them, and
/// stores are ordered by the processor: what READ_REGISTER_* and WRITE_REGISTER_* promise.
#[cfg(target_arch = "x86_64")]
mod plain {
    use core::arch::asm;

    macro_rules! width {
        ($read:ident, $write:ident, $type:ty, $class:ident, $load:literal, $store:literal) => {
            /// # Safety
            /// A mapped register.
            pub(super) unsafe fn $read(at: *const $type) -> $type {
                let value: u32;
                // SAFETY: the caller's contract: a mapped register.
                unsafe { asm!($load, out(reg) value, in(reg) at, options(nostack, preserves_flags)) };
                value as $type
            }

            /// # Safety
            /// A mapped register.
            pub(super) unsafe fn $write(at: *mut $type, value: $type) {
                // SAFETY: as above.
                unsafe { asm!($store, in(reg) at, in($class) value, options(nostack, preserves_flags)) };
            }
        };
    }

    width!(read_1, write_1, u8, reg_byte, "movzx {0:e}, byte ptr [{1}]", "mov byte ptr [{0}], {1}");
    width!(read_2, write_2, u16, reg, "movzx {0:e}, word ptr [{1}]", "mov word ptr [{0}], {1:x}");
    width!(read_4, write_4, u32, reg, "mov {0:e}, dword ptr [{1}]", "mov dword ptr [{0}], {1:e}");
}

/// The same elsewhere: a store is put behind all before it, which ordering among processors does not do for devices.
#[cfg(not(target_arch = "x86_64"))]
mod plain {
    use core::{arch::asm, ptr};

    macro_rules! width {
        ($read:ident, $write:ident, $type:ty) => {
            /// # Safety
            /// A mapped register.
            pub(super) unsafe fn $read(at: *const $type) -> $type {
                // SAFETY: the caller's contract: a mapped register.
                let value = unsafe { ptr::read_volatile(at) };
                // SAFETY: a barrier.
                unsafe { asm!("dsb ld", options(nostack, preserves_flags)) };
                value
            }

            /// # Safety
            /// A mapped register.
            pub(super) unsafe fn $write(at: *mut $type, value: $type) {
                // SAFETY: a barrier; the rest as above.
                unsafe {
                    asm!("dsb st", options(nostack, preserves_flags));
                    ptr::write_volatile(at, value);
                }
            }
        };
    }

    width!(read_1, write_1, u8);
    width!(read_2, write_2, u16);
    width!(read_4, write_4, u32);
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and not used any more.
        unsafe { MmUnmapIoSpace(self.start.as_ptr().cast(), self.length as SIZE_T) };
    }
}
