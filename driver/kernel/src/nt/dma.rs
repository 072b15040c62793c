//! Memory that a device reads and writes.

use core::ptr::{self, NonNull};

use wdk_sys::{
    _INTERFACE_TYPE::PCIBus,
    DEVICE_DESCRIPTION, DEVICE_DESCRIPTION_VERSION, DEVICE_OBJECT, DMA_ADAPTER, DMA_OPERATIONS,
    PHYSICAL_ADDRESS,
    ntddk::{IoGetDmaAdapter, MmGetPhysicalAddress},
};

use super::irql::Passive;

/// A device's own way to memory.
pub(crate) struct DmaAdapter(NonNull<DMA_ADAPTER>);

// SAFETY: the kernel synchronises its adapters.
unsafe impl Send for DmaAdapter {}
// SAFETY: as above.
unsafe impl Sync for DmaAdapter {}

impl DmaAdapter {
    /// Of a bus master on PCI with transfers of up to `longest` bytes, whose addresses have 64 bits (`wide`) or 32. `None` if
    /// memory has run out.
    ///
    /// # Safety
    /// `pdo` is the live physical device object of the device.
    pub(crate) unsafe fn of(
        pdo: NonNull<DEVICE_OBJECT>,
        longest: u32,
        wide: bool,
        _: Passive<'_>,
    ) -> Option<Self> {
        let mut description = DEVICE_DESCRIPTION {
            Version: DEVICE_DESCRIPTION_VERSION,
            Master: 1,
            ScatterGather: 1,
            Dma32BitAddresses: 1,
            Dma64BitAddresses: u8::from(wide),
            InterfaceType: PCIBus,
            MaximumLength: longest,
            ..DEVICE_DESCRIPTION::default()
        };
        let mut registers = 0;
        // SAFETY: the caller's contract; PASSIVE_LEVEL by the token.
        let adapter = unsafe { IoGetDmaAdapter(pdo.as_ptr(), &raw mut description, &raw mut registers) };
        NonNull::new(adapter).map(Self)
    }

    /// `length` bytes in one piece, all zero: where they are, and where they are for the device. `None` if there is no such
    /// memory. On x86-64 they are cached in any case.
    pub(crate) fn allocate(&self, length: u32, cached: bool, _: Passive<'_>) -> Option<(NonNull<u8>, u64)> {
        let mut logical = PHYSICAL_ADDRESS::default();
        let allocate = self.operations().AllocateCommonBuffer?;
        // SAFETY: a live adapter; PASSIVE_LEVEL by the token. So many bytes are then there.
        unsafe {
            let start = allocate(self.0.as_ptr(), length, &raw mut logical, u8::from(cached));
            let start = NonNull::new(start.cast::<u8>())?;
            ptr::write_bytes(start.as_ptr(), 0, length as usize);
            Some((start, logical.QuadPart as u64))
        }
    }

    /// Frees them. PASSIVE_LEVEL.
    ///
    /// # Safety
    /// From [`Self::allocate`] with the same length and caching, and neither driver nor device uses it any more.
    pub(crate) unsafe fn free(&self, start: NonNull<u8>, logical: u64, length: u32, cached: bool) {
        let logical = PHYSICAL_ADDRESS { QuadPart: logical as i64 };
        if let Some(free) = self.operations().FreeCommonBuffer {
            // SAFETY: the caller's contract.
            unsafe { free(self.0.as_ptr(), length, logical, start.as_ptr().cast(), u8::from(cached)) };
        }
    }

    fn operations(&self) -> &DMA_OPERATIONS {
        // SAFETY: a live adapter has its operations.
        unsafe { &*(*self.0.as_ptr()).DmaOperations }
    }
}

impl Drop for DmaAdapter {
    fn drop(&mut self) {
        if let Some(put) = self.operations().PutDmaAdapter {
            // SAFETY: live, and not used again. PASSIVE_LEVEL, as all that stops an adapter.
            unsafe { put(self.0.as_ptr()) };
        }
    }
}

/// One block that is contiguous for its device (a common buffer), and the DMA adapter that it comes from.
pub(crate) struct CommonBuffer {
    adapter: DmaAdapter,
    start: NonNull<u8>,
    logical: u64,
    length: u32,
}

// SAFETY: memory, by its addresses.
unsafe impl Send for CommonBuffer {}
// SAFETY: as above.
unsafe impl Sync for CommonBuffer {}

impl CommonBuffer {
    /// `length` bytes, all zero, for a bus master on PCI that takes addresses of 64 bits and transfers of `longest` bytes.
    /// `None` if there is no such memory.
    ///
    /// # Safety
    /// `pdo` is the live physical device object of the device.
    pub(crate) unsafe fn new(
        pdo: NonNull<DEVICE_OBJECT>,
        length: u32,
        longest: u32,
        at: Passive<'_>,
    ) -> Option<Self> {
        // SAFETY: the caller's contract.
        let adapter = unsafe { DmaAdapter::of(pdo, longest, true, at)? };
        let (start, logical) = adapter.allocate(length, true, at)?;
        Some(Self { adapter, start, logical, length })
    }

    /// Its first byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Where the device finds it.
    pub(crate) fn logical(&self) -> u64 {
        self.logical
    }

    /// Its length in bytes.
    pub(crate) fn length(&self) -> usize {
        self.length as usize
    }

    /// Whether the device finds memory at its physical addresses, as far as this block shows: nothing translates or copies
    /// on the way.
    pub(crate) fn is_direct(&self) -> bool {
        let last = self.start.addr().get() + self.length() - 1;
        physical(self.start.addr().get()) == Some(self.logical)
            && physical(last) == self.logical.checked_add(u64::from(self.length) - 1)
    }
}

impl Drop for CommonBuffer {
    fn drop(&mut self) {
        // SAFETY: from this adapter, and no device uses it any more: whoever shared it has seen to that.
        unsafe { self.adapter.free(self.start, self.logical, self.length, true) };
    }
}

/// The physical address of system memory that is there to stay (pool, locked pages). `None` for what is not. Any IRQL.
pub(crate) fn physical(address: usize) -> Option<u64> {
    // SAFETY: any address may be asked for.
    let found = unsafe { MmGetPhysicalAddress(ptr::with_exposed_provenance_mut(address)).QuadPart } as u64;
    (found != 0).then_some(found)
}
