//! Addresses as a device sees them.

use std::{ffi::c_void, ptr::NonNull};

use sluice_port::services::{Dma, DmaRequest, System};

use crate::system::host;

pub(crate) const PAGE: u64 = 4096;
/// Where made-up addresses of ordinary memory begin; below are those of memory allocated for devices.
const ORDINARY: u64 = 1 << 56;
/// Where the latter begin.
const FIRST: u64 = 0x10_0000;

/// The address of an ordinary byte: pages are swapped in pairs, so that no two neighbours stay neighbours.
pub(crate) fn ordinary(address: usize) -> u64 {
    ORDINARY + (address as u64 ^ PAGE)
}

/// And back.
pub(crate) fn from_ordinary(physical: u64) -> Option<usize> {
    physical.checked_sub(ORDINARY).map(|offset| (offset ^ PAGE) as usize)
}

/// Bytes to the end of a page.
pub(crate) fn rest_of_page(address: usize) -> usize {
    PAGE as usize - address % PAGE as usize
}

/// Memory that devices reach.
#[derive(Debug, Default)]
pub(crate) struct Blocks(Vec<Dma>);

// SAFETY: addresses of memory that the port has.
unsafe impl Send for Blocks {}

impl Blocks {
    pub(crate) fn allocate(&mut self, request: &DmaRequest) -> Option<Dma> {
        let physical = self.place(request)?;
        let bytes = request.bytes.next_multiple_of(PAGE as usize);
        let dma = Dma { address: host().allocate(bytes, 0)?, physical, request: *request };
        self.0.push(dma);
        Some(dma)
    }

    /// Where nothing is yet: first fit behind what there is.
    fn place(&self, request: &DmaRequest) -> Option<u64> {
        let bytes = request.bytes as u64;
        let end = |dma: &Dma| dma.physical + (dma.request.bytes as u64).next_multiple_of(PAGE);
        let behind = self.0.iter().map(end).chain([FIRST, request.lowest]);
        let mut starts: Vec<u64> = behind.map(|start| start.next_multiple_of(PAGE)).collect();
        if request.boundary > 0 {
            starts.extend(starts.clone().iter().map(|start| start.next_multiple_of(request.boundary)));
        }
        starts.sort_unstable();
        starts.into_iter().find(|&start| {
            let last = start + bytes - 1;
            let whole = request.boundary == 0 || start / request.boundary == last / request.boundary;
            let free = self.0.iter().all(|dma| last < dma.physical || start >= end(dma));
            start >= request.lowest && last <= request.highest && last < ORDINARY && whole && free
        })
    }

    /// # Safety
    /// `dma` comes from `allocate`, and nobody uses it any more.
    pub(crate) unsafe fn free(&mut self, dma: &Dma) {
        let Some(at) = self.0.iter().position(|there| there.address == dma.address) else {
            return crate::irql::violation("memory of a device freed that is not there");
        };
        self.0.remove(at);
        // SAFETY: allocated so.
        unsafe { host().free(dma.address, dma.request.bytes.next_multiple_of(PAGE as usize), 0) };
    }

    /// The address of a byte, and how many follow it in one piece.
    pub(crate) fn physical_of(&self, address: *const c_void) -> Option<(u64, usize)> {
        self.0.iter().find_map(|dma| {
            let offset = (address as usize).checked_sub(dma.address.as_ptr() as usize)?;
            let rest = dma.request.bytes.checked_sub(offset).filter(|rest| *rest > 0)?;
            Some((dma.physical + offset as u64, rest))
        })
    }

    /// The memory at an address.
    pub(crate) fn memory_at(&self, physical: u64, bytes: usize) -> Option<NonNull<u8>> {
        self.0.iter().find_map(|dma| {
            let offset = usize::try_from(physical.checked_sub(dma.physical)?).ok()?;
            let fits = offset.checked_add(bytes)? <= dma.request.bytes;
            // SAFETY: inside the block.
            fits.then(|| unsafe { dma.address.add(offset) })
        })
    }
}
