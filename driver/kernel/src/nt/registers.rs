//! A device's registers, mapped.

use core::ptr::{self, NonNull};

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
                1 => u32::from(ptr::read_volatile(at)),
                2 => u32::from(ptr::read_volatile(at.cast::<u16>())),
                4 => ptr::read_volatile(at.cast::<u32>()),
                _ => u32::MAX,
            }
        }
    }

    /// Writes a register of 1, 2 or 4 bytes, if it is there, after everything that was written to memory before. Any IRQL.
    pub(crate) fn write(&self, offset: u64, width: u8, value: u32) {
        let Some(at) = self.register(offset, width) else { return };
        barrier();
        // SAFETY: as in `read`.
        unsafe {
            match width {
                1 => ptr::write_volatile(at, value as u8),
                2 => ptr::write_volatile(at.cast::<u16>(), value as u16),
                4 => ptr::write_volatile(at.cast::<u32>(), value),
                _ => {}
            }
        }
    }
}

/// What WRITE_REGISTER_* put in front of the write: a store to uncached memory may pass earlier ones on ARM64, where
/// ordering among processors does not concern devices; on x64 it does not, and the compiler alone is told.
fn barrier() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a barrier.
    unsafe {
        core::arch::asm!("dsb st", options(nostack, preserves_flags));
    }
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and not used any more.
        unsafe { MmUnmapIoSpace(self.start.as_ptr().cast(), self.length as SIZE_T) };
    }
}
