//! Memory that a device reads and writes.

use core::ptr::{self, NonNull};

use wdk_sys::{
    _INTERFACE_TYPE::PCIBus,
    DEVICE_DESCRIPTION, DEVICE_DESCRIPTION_VERSION, DEVICE_OBJECT, DMA_ADAPTER, DMA_OPERATIONS,
    PHYSICAL_ADDRESS,
    ntddk::{IoGetDmaAdapter, MmGetPhysicalAddress},
};

use super::irql::Passive;

/// One block that is contiguous for its device (a common buffer), and the DMA adapter that it comes from.
pub(crate) struct CommonBuffer {
    adapter: NonNull<DMA_ADAPTER>,
    start: NonNull<u8>,
    logical: u64,
    length: u32,
}

// SAFETY: memory, by its addresses; the adapter is used where it goes only.
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
        _: Passive<'_>,
    ) -> Option<Self> {
        let mut description = DEVICE_DESCRIPTION {
            Version: DEVICE_DESCRIPTION_VERSION,
            Master: 1,
            ScatterGather: 1,
            Dma32BitAddresses: 1,
            Dma64BitAddresses: 1,
            InterfaceType: PCIBus,
            MaximumLength: longest,
            ..DEVICE_DESCRIPTION::default()
        };
        let (mut registers, mut logical) = (0, PHYSICAL_ADDRESS::default());
        // SAFETY: the caller's contract; PASSIVE_LEVEL by the token. An adapter has its operations.
        unsafe {
            let adapter =
                NonNull::new(IoGetDmaAdapter(pdo.as_ptr(), &raw mut description, &raw mut registers))?;
            let start = operations(adapter)
                .AllocateCommonBuffer
                .and_then(|allocate| NonNull::new(allocate(adapter.as_ptr(), length, &raw mut logical, 1)));
            let Some(start) = start else {
                put(adapter);
                return None;
            };
            ptr::write_bytes(start.as_ptr().cast::<u8>(), 0, length as usize);
            Some(Self { adapter, start: start.cast(), logical: logical.QuadPart as u64, length })
        }
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
        let logical = PHYSICAL_ADDRESS { QuadPart: self.logical as i64 };
        // SAFETY: from this adapter, and no device uses it any more: whoever shared it has seen to that. PASSIVE_LEVEL, as
        // all that stops an adapter.
        unsafe {
            if let Some(free) = operations(self.adapter).FreeCommonBuffer {
                free(self.adapter.as_ptr(), self.length, logical, self.start.as_ptr().cast(), 1);
            }
            put(self.adapter);
        }
    }
}

unsafe fn operations<'a>(adapter: NonNull<DMA_ADAPTER>) -> &'a DMA_OPERATIONS {
    // SAFETY: a live adapter: the caller's contract.
    unsafe { &*(*adapter.as_ptr()).DmaOperations }
}

unsafe fn put(adapter: NonNull<DMA_ADAPTER>) {
    // SAFETY: the caller's contract: live, and not used again.
    if let Some(put) = unsafe { operations(adapter).PutDmaAdapter } {
        // SAFETY: as above.
        unsafe { put(adapter.as_ptr()) };
    }
}

/// The physical address of system memory that is there to stay (pool, locked pages). `None` for what is not. Any IRQL.
pub(crate) fn physical(address: usize) -> Option<u64> {
    // SAFETY: any address may be asked for.
    let found = unsafe { MmGetPhysicalAddress(ptr::with_exposed_provenance_mut(address)).QuadPart } as u64;
    (found != 0).then_some(found)
}
