//! Memory descriptor lists.

use core::ptr::{self, NonNull};

use wdk_sys::{
    DEVICE_OBJECT, DO_DIRECT_IO, IRP, IRP_MJ_READ, IRP_MJ_WRITE, LARGE_INTEGER, MDL, MDL_MAPPED_TO_SYSTEM_VA,
    MDL_SOURCE_IS_NONPAGED_POOL, PMDL,
    ntddk::{
        IoAllocateMdl, IoBuildAsynchronousFsdRequest, IoFreeIrp, IoFreeMdl, MmBuildMdlForNonPagedPool,
        MmMapLockedPagesSpecifyCache, MmUnlockPages,
    },
};

use super::irp::Irp;

/// `HighPagePriority | MdlMappingNoExecute`: fail late, map data as data.
const MAPPING: i32 = 32 | 0x4000_0000;

/// The system address of a locked MDL's first byte, mapping it if need be (`MmGetSystemAddressForMdlSafe`). Up
/// to DISPATCH_LEVEL. `None` when no system address is to be had.
///
/// # Safety
/// `mdl` describes locked or non-paged memory.
pub(crate) unsafe fn system_address(mdl: PMDL) -> Option<NonNull<u8>> {
    let mapped = (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) as i32;
    // SAFETY: the caller's contract. Kernel mode, cached, no bug check on failure.
    let address = unsafe {
        if i32::from((*mdl).MdlFlags) & mapped != 0 {
            (*mdl).MappedSystemVa
        } else {
            MmMapLockedPagesSpecifyCache(mdl, 0, 1, ptr::null_mut(), 0, MAPPING)
        }
    };
    NonNull::new(address.cast())
}

/// The address that an MDL gives its first byte in its own space (`MmGetMdlVirtualAddress`), and its length.
///
/// # Safety
/// `mdl` is an MDL.
pub(crate) unsafe fn described(mdl: PMDL) -> (usize, usize) {
    // SAFETY: the caller's contract.
    let MDL { StartVa, ByteOffset, ByteCount, .. } = unsafe { ptr::read(mdl) };
    (StartVa.addr() + ByteOffset as usize, ByteCount as usize)
}

/// An MDL for some of the driver's own non-paged memory, allocated once and pointed at a buffer per use.
pub(crate) struct OwnMdl(NonNull<MDL>);

impl OwnMdl {
    /// Room to describe up to `most` bytes. `None` when memory has run out.
    pub(crate) fn new(most: u32) -> Option<Self> {
        // A page's worth of bytes more: a buffer need not begin on a page.
        // SAFETY: no IRP, no quota; the address only matters when the MDL is built.
        let mdl = unsafe { IoAllocateMdl(ptr::null_mut(), most.checked_add(4096)?, 0, 0, ptr::null_mut()) };
        NonNull::new(mdl).map(Self)
    }

    /// Takes up an MDL that was given away by [`Self::into_raw`].
    ///
    /// # Safety
    /// Once for each `into_raw`.
    pub(crate) unsafe fn from_raw(raw: NonNull<MDL>) -> Self {
        Self(raw)
    }

    /// The MDL, to be pointed somewhere and put into an IRP.
    pub(crate) fn raw(&self) -> NonNull<MDL> {
        self.0
    }

    /// Gives it into the keeping of a request.
    pub(crate) fn into_raw(self) -> NonNull<MDL> {
        let raw = self.0;
        core::mem::forget(self);
        raw
    }
}

/// Points an MDL made by [`OwnMdl::new`] at `length` bytes at `address`.
///
/// # Safety
/// The bytes are non-paged pool and no more than the MDL has room for; nobody else uses the MDL.
pub(crate) unsafe fn point_at(mdl: NonNull<MDL>, address: NonNull<u8>, length: u32) {
    let offset = address.addr().get() & 0xfff;
    // SAFETY: the caller's contract. This is what MmInitializeMdl sets, less `Size`, which says how many pages
    // the MDL has room for and stays.
    unsafe {
        let mdl = mdl.as_ptr();
        (*mdl).Next = ptr::null_mut();
        (*mdl).MdlFlags &= !((MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) as i16);
        (*mdl).StartVa = address.as_ptr().wrapping_sub(offset).cast();
        (*mdl).ByteOffset = offset as u32;
        (*mdl).ByteCount = length;
        MmBuildMdlForNonPagedPool(mdl);
    }
}

impl Drop for OwnMdl {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, described no locked pages.
        unsafe { IoFreeMdl(self.0.as_ptr()) };
    }
}

/// Memory of whoever has sent a request, locked while this is there.
pub(crate) struct Pages(NonNull<IRP>);

impl Pages {
    /// Locks `length` bytes, not 0, at `address`, to be written if `written`. `None` if they are not all there, or for want of
    /// memory. PASSIVE_LEVEL, in the thread that has sent `irp`.
    ///
    /// A page that is not there raises an exception, which Rust cannot catch; so the I/O manager locks them, which does, in a
    /// request for `device` that is never sent. It does not ask whose they are: a program's must lie where programs' memory is.
    ///
    /// # Safety
    /// `device` is a live device object of this driver.
    pub(crate) unsafe fn of_sender(
        irp: &Irp,
        device: NonNull<DEVICE_OBJECT>,
        address: u64,
        length: u32,
        written: bool,
    ) -> Option<Self> {
        /// `MmUserProbeAddress` of 64-bit Windows: programs' memory ends below.
        const PROGRAMS: usize = 0x7fff_ffff_0000;
        let start = usize::try_from(address).ok().filter(|&start| start != 0)?;
        let end = start.checked_add(length as usize)?;
        if irp.is_from_a_program() && end > PROGRAMS {
            return None;
        }
        let major = if written { IRP_MJ_READ } else { IRP_MJ_WRITE };
        let mut nowhere = LARGE_INTEGER::default();
        // SAFETY: the caller's contract; only a device with direct I/O has pages locked.
        let request = unsafe {
            if (*device.as_ptr()).Flags & DO_DIRECT_IO == 0 {
                return None;
            }
            IoBuildAsynchronousFsdRequest(
                major,
                device.as_ptr(),
                ptr::without_provenance_mut(start),
                length,
                &raw mut nowhere,
                ptr::null_mut(),
            )
        };
        NonNull::new(request).map(Self)
    }

    /// Where they are mapped. `None` when no system address is to be had.
    pub(crate) fn address(&self) -> Option<NonNull<u8>> {
        // SAFETY: the request has an MDL of locked pages.
        unsafe { system_address(self.0.as_ref().MdlAddress) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: locked by `of_sender`, in a request that was never sent.
        unsafe {
            let irp = self.0.as_ptr();
            let mdl = core::mem::replace(&mut (*irp).MdlAddress, ptr::null_mut());
            MmUnlockPages(mdl);
            IoFreeMdl(mdl);
            IoFreeIrp(irp);
        }
    }
}
