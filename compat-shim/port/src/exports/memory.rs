//! Addresses and memory.

use core::{ffi::c_void, ptr};

use sluice_shim::storport::status::StorStatus;

use super::{Arguments, exports, with_port};
use crate::{faults::count, memory::Kind, port::Port, services::DmaRequest};

exports! { "Memory and addresses";
    /// One block that the device can reach, zeroed; only from HwStorFindAdapter, else null.
    fn StorPortGetUncachedExtension(
        hw_device_extension: *mut c_void,
        _config_info: *mut c_void,
        number_of_bytes: u32,
    ) -> *mut c_void {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, ptr::null_mut(), |port| {
                port.uncached_extension(number_of_bytes).map_or(ptr::null_mut(), |block| block.as_ptr())
            })
        }
    }

    /// Of an SRB's data and sense buffer, its extension, the device and uncached extensions, and memory that the miniport has allocated; 0 with length 0 for any other.
    fn StorPortGetPhysicalAddress(
        hw_device_extension: *mut c_void,
        srb: *mut c_void,
        virtual_address: *mut c_void,
        length: *mut u32,
    ) -> u64 {
        // SAFETY: the caller's contract.
        unsafe {
            let (physical, run) = with_port(hw_device_extension, (0, 0), |port| {
                port.physical_address(srb, virtual_address)
            });
            if !length.is_null() {
                length.write(run);
            }
            physical
        }
    }

    /// Of the uncached extension, and of contiguous and DMA memory; null for any other.
    fn StorPortGetVirtualAddress(hw_device_extension: *mut c_void, physical_address: u64) -> *mut c_void {
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, ptr::null_mut(), |port| port.virtual_address(physical_address))
        }
    }

    /// The lower half.
    fn StorPortConvertPhysicalAddressToUlong(address: u64) -> u32 {
        address as u32
    }

    /// A ULONG_PTR as an address.
    fn StorPortConvertUlongToPhysicalAddress(ulong_address: usize) -> u64 {
        ulong_address as u64
    }

    /// All of it.
    fn StorPortConvertPhysicalAddressToUlong64(address: u64) -> u64 {
        address
    }

    /// All of it.
    fn StorPortConvertUlong64ToPhysicalAddress(ulong_address: u64) -> u64 {
        ulong_address
    }

    /// Copies; the two may overlap.
    fn StorPortMoveMemory(write_buffer: *mut c_void, read_buffer: *const c_void, length: u32) {
        if !write_buffer.is_null() && !read_buffer.is_null() {
            // SAFETY: the caller's contract.
            unsafe { ptr::copy(read_buffer.cast::<u8>(), write_buffer.cast::<u8>(), length as usize) };
        }
    }
}

/// Writes a result to where the caller wants it.
///
/// # Safety
/// `place` may be written.
unsafe fn put<T>(place: *mut T, result: Result<T, StorStatus>) -> StorStatus {
    match result {
        Ok(value) => {
            // SAFETY: the caller's contract.
            unsafe { place.write(value) };
            StorStatus::SUCCESS
        }
        Err(status) => status,
    }
}

/// AllocatePool(ULONG bytes, ULONG tag, PVOID *buffer).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn allocate_pool(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(place) = arguments.place::<*mut c_void>(2) else { return StorStatus::INVALID_PARAMETER };
    let memory = port.allocate_pool(arguments.long(0), arguments.long(1));
    // SAFETY: the code's contract.
    unsafe {
        place.write(ptr::null_mut());
        put(place, memory.map(|memory| memory.as_ptr()))
    }
}

/// FreePool(PVOID buffer).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn free_pool(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    port.free(Kind::Pool, arguments.pointer(0))
}

fn dma_request(arguments: &Arguments<'_>) -> DmaRequest {
    DmaRequest {
        bytes: arguments.word(0),
        lowest: arguments.word(1) as u64,
        highest: arguments.word(2) as u64,
        boundary: arguments.word(3) as u64,
        caching: arguments.long(4),
        node: arguments.long(5),
    }
}

/// AllocateContiguousMemorySpecifyCacheNode(SIZE_T bytes, lowest, highest, boundary, caching, node, PVOID *buffer).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn allocate_contiguous(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(place) = arguments.place::<*mut c_void>(6) else { return StorStatus::INVALID_PARAMETER };
    let memory = port.allocate_dma(&dma_request(arguments));
    // SAFETY: the code's contract.
    unsafe {
        place.write(ptr::null_mut());
        put(place, memory.map(|dma| dma.address.as_ptr().cast()))
    }
}

/// FreeContiguousMemorySpecifyCache(PVOID buffer, SIZE_T bytes, caching).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn free_contiguous(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    free_dma(port, arguments)
}

/// AllocateDmaMemory(SIZE_T bytes, lowest, highest, boundary, caching, node, PVOID *buffer, PHYSICAL_ADDRESS *address).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn allocate_dma_memory(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let (buffer, address) = (arguments.place::<*mut c_void>(6), arguments.place::<u64>(7));
    let (Some(buffer), Some(address)) = (buffer, address) else { return StorStatus::INVALID_PARAMETER };
    let memory = port.allocate_dma(&dma_request(arguments));
    // SAFETY: the code's contract.
    unsafe {
        buffer.write(ptr::null_mut());
        address.write(memory.map_or(0, |dma| dma.physical));
        put(buffer, memory.map(|dma| dma.address.as_ptr().cast()))
    }
}

/// FreeDmaMemory(PVOID buffer, SIZE_T bytes, caching, PHYSICAL_ADDRESS address).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn free_dma_memory(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    free_dma(port, arguments)
}

fn free_dma(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let (address, bytes) = (arguments.pointer::<c_void>(0), arguments.word(1));
    // The length is checked: a miniport that frees half of a block is mistaken.
    if port.piece_length(address as usize).is_some_and(|length| length != bytes) {
        count(&port.faults().freed_wrongly);
        return StorStatus::INVALID_PARAMETER;
    }
    port.free(Kind::Dma, address)
}

/// GetSystemAddress(SRB, PVOID *address).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn system_address(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(place) = arguments.place::<*mut c_void>(1) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract.
    unsafe { put(place, port.system_address(arguments.pointer(0))) }
}
