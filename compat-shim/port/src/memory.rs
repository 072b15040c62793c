//! Memory: the port's own, and what miniports ask for.

use core::{
    ffi::c_void,
    mem::size_of,
    ptr::{self, NonNull},
};

use sluice_shim::storport::status::StorStatus;

use crate::{
    configuration::Ranges,
    faults::count,
    locks::Guarded,
    port::{Phase, Port},
    services::{DISPATCH_LEVEL, Dma, DmaRequest, Event, Mapping, PASSIVE_LEVEL, System},
};

/// Pool tag of the port's own memory: "SluP".
pub(crate) const TAG: u32 = 0x5075_6C53;

/// A stretch of zeroed memory of the host's, freed when dropped.
pub(crate) struct Block {
    system: &'static dyn System,
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: plain memory, owned.
unsafe impl Send for Block {}
// SAFETY: as above; whoever shares what lies in it sees to that.
unsafe impl Sync for Block {}

impl Block {
    /// `None` if memory is out. Up to DISPATCH_LEVEL.
    pub(crate) fn new(system: &'static dyn System, bytes: usize) -> Option<Self> {
        let bytes = bytes.max(16);
        Some(Self { system, start: system.allocate(bytes, TAG)?, bytes })
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated so in `new`; the owner drops it when nobody uses it any more.
        unsafe { self.system.free(self.start, self.bytes, TAG) };
    }
}

/// What stands before each piece of memory that a miniport has, and links them, so that a wrong free is seen and what
/// is left is freed with the adapter.
#[repr(C, align(16))]
struct Header {
    next: *mut Header,
    before: *mut Header,
    kind: Kind,
    tag: u32,
    /// Of the whole, this header included, where it stands in front.
    bytes: usize,
    /// The memory itself: behind this header, or (DMA) somewhere else.
    address: *mut u8,
    outside: Outside,
}

/// What a piece is of that lies somewhere else.
#[derive(Clone, Copy)]
enum Outside {
    Nothing,
    Dma(Dma),
    Mapping(Mapping),
}

impl Outside {
    fn dma(&self) -> Option<Dma> {
        if let Self::Dma(dma) = self { Some(*dma) } else { None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Pool,
    Dma,
    Timer,
    Worker,
    Registry,
    Mdl,
    /// A mapping of an address range.
    Mapping,
}

/// The pieces that a miniport has.
pub(crate) struct Pieces(*mut Header);

// SAFETY: the list is reached under the port's lock only.
unsafe impl Send for Pieces {}

impl Pieces {
    pub(crate) const fn new() -> Self {
        Self(ptr::null_mut())
    }

    /// # Safety
    /// `header` is valid and in no list.
    unsafe fn add(&mut self, header: *mut Header) {
        // SAFETY: the caller's, and the first of the list.
        unsafe {
            (*header).next = self.0;
            (*header).before = ptr::null_mut();
            if !self.0.is_null() {
                (*self.0).before = header;
            }
        }
        self.0 = header;
    }

    /// Takes out the piece of `kind` at `address`. Walks the list: a miniport has dozens of pieces, and frees them
    /// when it goes.
    fn take(&mut self, kind: Kind, address: *const u8) -> Option<NonNull<Header>> {
        let is_it = |header: &&Header| header.kind == kind && ptr::eq(header.address, address);
        let header = NonNull::from(self.iter().find(is_it)?);
        self.unlink(header);
        Some(header)
    }

    fn iter(&self) -> impl Iterator<Item = &Header> {
        let mut at = self.0;
        core::iter::from_fn(move || {
            // SAFETY: headers in the list are valid, and it does not change while it is borrowed.
            let header = unsafe { at.as_ref() }?;
            at = header.next;
            Some(header)
        })
    }

    fn contains(&self, kind: Kind, address: *const u8) -> bool {
        self.iter().any(|header| header.kind == kind && ptr::eq(header.address, address))
    }

    fn unlink(&mut self, header: NonNull<Header>) {
        // SAFETY: `header` and its neighbours are in the list.
        unsafe {
            let (next, before) = (header.as_ref().next, header.as_ref().before);
            match NonNull::new(before) {
                Some(before) => (*before.as_ptr()).next = next,
                None => self.0 = next,
            }
            if let Some(next) = NonNull::new(next) {
                (*next.as_ptr()).before = before;
            }
        }
    }
}

impl Port {
    /// Zeroed memory for a miniport, or an object of the port's that it holds a handle of. Up to DISPATCH_LEVEL.
    pub(crate) fn allocate_piece(&self, kind: Kind, bytes: usize, tag: u32) -> Option<NonNull<u8>> {
        let whole = bytes.checked_add(size_of::<Header>())?;
        let header = self.system().allocate(whole, tag)?.cast::<Header>();
        // SAFETY: fresh memory with room for the header and `bytes`.
        unsafe {
            let address = header.as_ptr().add(1).cast::<u8>();
            let nothing = ptr::null_mut();
            header.write(Header {
                next: nothing,
                before: nothing,
                kind,
                tag,
                bytes: whole,
                address,
                outside: Outside::Nothing,
            });
            self.pieces().lock(self.system()).add(header.as_ptr());
            NonNull::new(address)
        }
    }

    /// Frees it; `false` if there is no such piece. Up to DISPATCH_LEVEL (DMA: PASSIVE_LEVEL).
    pub(crate) fn free_piece(&self, kind: Kind, address: *const c_void) -> bool {
        let found = self.pieces().lock(self.system()).take(kind, address.cast());
        match found {
            Some(header) => self.release_piece(header),
            None => count(&self.faults().freed_wrongly),
        }
        found.is_some()
    }

    /// Whether the miniport has such a piece: for handles that it gives back.
    pub(crate) fn has_piece(&self, kind: Kind, address: *const c_void) -> bool {
        self.pieces().lock(self.system()).contains(kind, address.cast())
    }

    fn release_piece(&self, header: NonNull<Header>) {
        // SAFETY: taken out of the list, so it is ours alone; made by one of the two allocators here.
        unsafe {
            let Header { tag, bytes, outside, .. } = header.read();
            match outside {
                Outside::Nothing => {}
                Outside::Dma(dma) => self.services().free_dma(&dma),
                Outside::Mapping(mapping) => self.services().unmap(&mapping),
            }
            self.system().free(header.cast(), bytes, tag);
        }
    }

    /// Frees all that is left, and tells the host. PASSIVE_LEVEL, when nobody is inside of the miniport any more.
    pub(crate) fn free_pieces(&self) {
        let mut left = 0;
        loop {
            let first = {
                let mut pieces = self.pieces().lock(self.system());
                let first = NonNull::new(pieces.0);
                if let Some(first) = first {
                    pieces.unlink(first);
                }
                first
            };
            let Some(first) = first else { break };
            left += 1;
            self.release_piece(first);
        }
        if left > 0 {
            self.services().event(Event::Leaked(left));
        }
    }

    /// StorPortAllocatePool.
    pub(crate) fn allocate_pool(&self, bytes: u32, tag: u32) -> Result<NonNull<c_void>, StorStatus> {
        if self.system().irql() > DISPATCH_LEVEL {
            count(&self.faults().irql);
            return Err(StorStatus::INVALID_IRQL);
        }
        if bytes == 0 {
            return Err(StorStatus::INVALID_PARAMETER);
        }
        let memory = self.allocate_piece(Kind::Pool, bytes as usize, tag);
        memory.map(NonNull::cast).ok_or(StorStatus::INSUFFICIENT_RESOURCES)
    }

    /// StorPortFreePool and the other frees.
    pub(crate) fn free(&self, kind: Kind, address: *const c_void) -> StorStatus {
        let most = if kind == Kind::Dma { PASSIVE_LEVEL } else { DISPATCH_LEVEL };
        if self.system().irql() > most {
            count(&self.faults().irql);
            return StorStatus::INVALID_IRQL;
        }
        if self.free_piece(kind, address) { StorStatus::SUCCESS } else { StorStatus::INVALID_PARAMETER }
    }

    /// StorPortAllocateDmaMemory, StorPortAllocateContiguousMemorySpecifyCacheNode.
    pub(crate) fn allocate_dma(&self, request: &DmaRequest) -> Result<Dma, StorStatus> {
        if self.system().irql() > PASSIVE_LEVEL {
            count(&self.faults().irql);
            return Err(StorStatus::INVALID_IRQL);
        }
        let boundary = request.boundary == 0 || request.boundary.is_power_of_two();
        if request.bytes == 0 || request.lowest > request.highest || !boundary || request.caching > 5 {
            return Err(StorStatus::INVALID_PARAMETER);
        }
        let header = self.external_header().ok_or(StorStatus::INSUFFICIENT_RESOURCES)?;
        let Some(dma) = self.services().allocate_dma(request) else {
            self.drop_header(header);
            return Err(StorStatus::INSUFFICIENT_RESOURCES);
        };
        self.add_external(header, Kind::Dma, dma.address.as_ptr(), Outside::Dma(dma));
        Ok(dma)
    }

    /// Room for the header of a piece that lies elsewhere.
    fn external_header(&self) -> Option<NonNull<Header>> {
        Some(self.system().allocate(size_of::<Header>(), TAG)?.cast())
    }

    fn drop_header(&self, header: NonNull<Header>) {
        // SAFETY: from `external_header`, and in no list.
        unsafe { self.system().free(header.cast(), size_of::<Header>(), TAG) };
    }

    fn add_external(&self, header: NonNull<Header>, kind: Kind, address: *mut u8, outside: Outside) {
        let (nothing, bytes) = (ptr::null_mut(), size_of::<Header>());
        // SAFETY: from `external_header`.
        unsafe {
            header.write(Header { next: nothing, before: nothing, kind, tag: TAG, bytes, address, outside });
            self.pieces().lock(self.system()).add(header.as_ptr());
        }
    }

    /// Whether the adapter has this address range. PASSIVE_LEVEL.
    pub(crate) fn has_range(&self, start: u64, bytes: u32, in_io_space: bool) -> bool {
        let mut ranges: Ranges = Default::default();
        let count = self.services().access_ranges(&mut ranges).min(ranges.len());
        ranges.iter().take(count).any(|range| {
            let inside =
                start.checked_sub(range.start).and_then(|offset| offset.checked_add(u64::from(bytes)));
            inside.is_some_and(|end| end <= u64::from(range.length)) && (range.in_memory == 0) == in_io_space
        })
    }

    /// StorPortGetDeviceBase. PASSIVE_LEVEL.
    pub(crate) fn map(&self, start: u64, bytes: u32, in_io_space: bool) -> *mut c_void {
        if !self.has_range(start, bytes, in_io_space) {
            count(&self.faults().argument);
            return ptr::null_mut();
        }
        let Some(header) = self.external_header() else { return ptr::null_mut() };
        match self.services().map(start, bytes, in_io_space) {
            Some(mapping) => {
                let address = mapping.address.as_ptr();
                self.add_external(header, Kind::Mapping, address.cast(), Outside::Mapping(mapping));
                address
            }
            None => {
                self.drop_header(header);
                ptr::null_mut()
            }
        }
    }

    /// StorPortFreeDeviceBase. PASSIVE_LEVEL.
    pub(crate) fn unmap(&self, address: *const c_void) {
        self.free_piece(Kind::Mapping, address);
    }

    /// The list has a lock, which is taken up to DISPATCH_LEVEL.
    fn may_look(&self) -> Option<()> {
        if self.system().irql() > DISPATCH_LEVEL {
            count(&self.faults().irql);
            return None;
        }
        Some(())
    }

    /// How many bytes from `address` on are inside a piece of the miniport's (pool or DMA).
    pub(crate) fn piece_length(&self, address: usize) -> Option<usize> {
        self.may_look()?;
        let pieces = self.pieces().lock(self.system());
        pieces.iter().find_map(|piece| {
            let bytes = match (piece.outside.dma(), piece.kind) {
                (Some(dma), _) => dma.request.bytes,
                (None, Kind::Pool) => piece.bytes.checked_sub(size_of::<Header>())?,
                _ => return None,
            };
            let offset = address.checked_sub(piece.address as usize)?;
            bytes.checked_sub(offset).filter(|rest| *rest > 0)
        })
    }

    /// How large the piece of `kind` is that begins there.
    pub(crate) fn piece_room(&self, kind: Kind, address: *const c_void) -> Option<usize> {
        self.may_look()?;
        let pieces = self.pieces().lock(self.system());
        let is_it = |piece: &&Header| piece.kind == kind && ptr::eq(piece.address, address.cast());
        pieces.iter().find(is_it)?.bytes.checked_sub(size_of::<Header>())
    }

    /// The miniport's DMA memory that has this bus address.
    pub(crate) fn dma_piece_at(&self, physical: u64) -> Option<Dma> {
        self.dma_piece(|dma| {
            physical.checked_sub(dma.physical).is_some_and(|offset| offset < dma.request.bytes as u64)
        })
    }

    /// That has this system address.
    pub(crate) fn dma_piece_with(&self, address: usize) -> Option<Dma> {
        self.dma_piece(|dma| {
            let offset = address.checked_sub(dma.address.as_ptr() as usize);
            offset.is_some_and(|offset| offset < dma.request.bytes)
        })
    }

    fn dma_piece(&self, is_it: impl Fn(&Dma) -> bool) -> Option<Dma> {
        self.may_look()?;
        let pieces = self.pieces().lock(self.system());
        pieces.iter().filter_map(|piece| piece.outside.dma()).find(is_it)
    }

    /// StorPortGetUncachedExtension: one block, during HwFindAdapter.
    pub(crate) fn uncached_extension(&self, bytes: u32) -> Option<NonNull<c_void>> {
        if self.phase() != Phase::Finding {
            count(&self.faults().wrong_moment);
            return None;
        }
        if bytes == 0 {
            count(&self.faults().argument);
            return None;
        }
        if let Some(there) = self.uncached() {
            // A second call is a mistake, but what fits the first one's memory may have it.
            count(&self.faults().argument);
            return (bytes as usize <= there.request.bytes).then_some(there.address.cast());
        }
        let request = DmaRequest {
            bytes: bytes as usize,
            lowest: 0,
            highest: if self.reaches_all_memory() { u64::MAX } else { u64::from(u32::MAX) },
            boundary: 0,
            caching: 0,
            node: u32::MAX,
        };
        let dma = self.services().allocate_dma(&request)?;
        self.set_uncached(dma);
        Some(dma.address.cast())
    }
}

/// The list behind its lock.
pub(crate) type PieceList = Guarded<Pieces>;
