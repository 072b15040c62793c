//! MDLs, laid out as Windows has them: a miniport hands them on to functions of Windows, and its own macros look inside.
//! All of the memory is mapped and stays, so each is one of nonpaged pool, with its system address.

use core::{
    ffi::c_void,
    mem::size_of,
    ptr::{self, NonNull},
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed},
};

use sluice_shim::storport::status::StorStatus;

use crate::{
    configuration::MAX_TRANSFER,
    faults::count,
    memory::{Kind, TAG},
    port::Port,
    services::DISPATCH_LEVEL,
};

const PAGE: usize = 4096;
/// MDL_SOURCE_IS_NONPAGED_POOL.
const NONPAGED: i16 = 4;

/// `MDL`. The numbers of its pages follow.
#[repr(C)]
pub(crate) struct Mdl {
    next: *mut Mdl,
    size: i16,
    flags: i16,
    process: *mut c_void,
    mapped: *mut c_void,
    /// The first page.
    start: *mut c_void,
    bytes: u32,
    /// In the first page.
    offset: u32,
}

const _: () = assert!(size_of::<Mdl>() == 48);

/// Bytes of an MDL for so many pages.
const fn room(pages: usize) -> usize {
    size_of::<Mdl>() + pages * size_of::<usize>()
}

/// Bytes of one for any request's data.
pub(crate) const REQUEST_ROOM: usize = room(MAX_TRANSFER as usize / PAGE + 1);

fn pages(address: usize, bytes: usize) -> usize {
    (address % PAGE + bytes).div_ceil(PAGE)
}

/// Where a request's or an MDL's pages are written down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frames {
    pub(crate) numbers: *mut c_void,
    pub(crate) count: u32,
    pub(crate) offset: u32,
}

/// Makes an MDL that describes `bytes` from `address` on, without its pages (MmInitializeMdl).
///
/// # Safety
/// `mdl` has room for it.
unsafe fn initialize(mdl: *mut Mdl, address: *mut c_void, bytes: u32) {
    let size = room(pages(address as usize, bytes as usize));
    let nothing = ptr::null_mut();
    let offset = address as usize % PAGE;
    let whole = Mdl {
        next: ptr::null_mut(),
        size: i16::try_from(size).unwrap_or(i16::MAX),
        flags: 0,
        process: nothing,
        mapped: nothing,
        start: address.wrapping_byte_sub(offset),
        bytes,
        offset: offset as u32,
    };
    // SAFETY: the caller's contract.
    unsafe { mdl.write(whole) };
}

impl Port {
    fn may_use_mdls(&self) -> Result<(), StorStatus> {
        if self.system().irql() > DISPATCH_LEVEL {
            count(&self.faults().irql);
            return Err(StorStatus::INVALID_IRQL);
        }
        Ok(())
    }

    /// StorPortAllocateMdl. Up to DISPATCH_LEVEL.
    pub(crate) fn allocate_mdl(&self, address: *mut c_void, bytes: u32) -> Result<*mut c_void, StorStatus> {
        self.may_use_mdls()?;
        if address.is_null() || bytes == 0 {
            return Err(StorStatus::INVALID_PARAMETER);
        }
        let room = room(pages(address as usize, bytes as usize));
        let place = self.allocate_piece(Kind::Mdl, room, TAG).ok_or(StorStatus::INSUFFICIENT_RESOURCES)?;
        // SAFETY: room for it, aligned to 16.
        unsafe { initialize(place.as_ptr().cast(), address, bytes) };
        Ok(place.as_ptr().cast())
    }

    /// StorPortBuildMdlForNonPagedPool: of one that [`Self::allocate_mdl`] has made.
    pub(crate) fn build_mdl(&self, mdl: *mut c_void) -> Result<(), StorStatus> {
        self.may_use_mdls()?;
        let room = self.piece_room(Kind::Mdl, mdl);
        let Some(room) = room else {
            count(&self.faults().argument);
            return Err(StorStatus::INVALID_PARAMETER);
        };
        // SAFETY: the port's own memory, of which the piece has `room` bytes.
        unsafe { self.write_frames(mdl.cast(), room) }
    }

    /// Writes down an MDL's pages and its system address (MmBuildMdlForNonPagedPool).
    ///
    /// # Safety
    /// `mdl` is one, in so many bytes of memory.
    unsafe fn write_frames(&self, mdl: *mut Mdl, most: usize) -> Result<(), StorStatus> {
        // SAFETY: the caller's contract. What it says is the miniport's: it is held against the room there is.
        let (address, bytes) =
            unsafe { ((*mdl).start.wrapping_byte_add((*mdl).offset as usize), (*mdl).bytes as usize) };
        if room(pages(address as usize, bytes)) > most {
            return Err(StorStatus::INVALID_PARAMETER);
        }
        // SAFETY: as above.
        let numbers = unsafe { mdl.add(1).cast::<usize>() };
        let mut done = 0;
        for page in 0..pages(address as usize, bytes) {
            let here = address.wrapping_byte_add(done);
            let rest = PAGE - here as usize % PAGE;
            let (physical, _) = self
                .services()
                .physical_address(here, rest.min(bytes - done))
                .ok_or(StorStatus::INVALID_PARAMETER)?;
            // SAFETY: room for that many.
            unsafe { numbers.add(page).write(physical as usize / PAGE) };
            done += rest.min(bytes - done);
        }
        // SAFETY: as above.
        unsafe {
            (*mdl).mapped = address;
            (*mdl).flags |= NONPAGED;
        }
        Ok(())
    }

    /// StorPortGetOriginalMdl: made when it is asked for; its memory stays with the slot.
    pub(crate) fn original_mdl(&self, srb: *const c_void) -> Result<*mut c_void, StorStatus> {
        self.may_use_mdls()?;
        let slot = self.slot_with(srb).ok_or(StorStatus::INVALID_PARAMETER)?;
        let (address, bytes) = self.data_of(slot).ok_or(StorStatus::INVALID_PARAMETER)?;
        if room(pages(address as usize, bytes as usize)) > REQUEST_ROOM {
            return Err(StorStatus::UNSUCCESSFUL);
        }
        let mut mdl = slot.mdl.load(Acquire);
        if mdl.is_null() {
            let fresh =
                self.system().allocate(REQUEST_ROOM, TAG).ok_or(StorStatus::INSUFFICIENT_RESOURCES)?;
            let fresh: NonNull<c_void> = fresh.cast();
            mdl = match slot.mdl.compare_exchange(mdl, fresh.as_ptr(), AcqRel, Acquire) {
                Ok(_) => fresh.as_ptr(),
                Err(other) => {
                    // SAFETY: allocated just now, and nobody has seen it.
                    unsafe { self.system().free(fresh.cast(), REQUEST_ROOM, TAG) };
                    other
                }
            };
        }
        if !slot.mapped.load(Relaxed) {
            // SAFETY: the slot's memory, of that size.
            unsafe {
                initialize(mdl.cast(), address.cast(), bytes);
                self.write_frames(mdl.cast(), REQUEST_ROOM)?;
            }
            slot.mapped.store(true, Relaxed);
        }
        Ok(mdl)
    }

    /// StorPortGetPfns: of the SRB's own MDL, or of one that the miniport has had made.
    pub(crate) fn frames(&self, srb: *const c_void, mdl: *mut c_void) -> Result<Frames, StorStatus> {
        self.may_use_mdls()?;
        let slot = self.slot_with(srb).ok_or(StorStatus::INVALID_PARAMETER)?;
        let its_own = slot.mapped.load(Relaxed) && ptr::eq(slot.mdl.load(Acquire), mdl);
        let room = if its_own { Some(REQUEST_ROOM) } else { self.piece_room(Kind::Mdl, mdl) };
        let most = room.ok_or(StorStatus::INVALID_PARAMETER)? - size_of::<Mdl>();
        let mdl = mdl.cast::<Mdl>();
        // SAFETY: one of the port's own, as was just seen.
        unsafe {
            let (bytes, offset, flags) = ((*mdl).bytes, (*mdl).offset, (*mdl).flags);
            let count = pages(offset as usize, bytes as usize);
            if flags & NONPAGED == 0 || count > most / size_of::<usize>() {
                return Err(StorStatus::INVALID_PARAMETER);
            }
            Ok(Frames { numbers: mdl.add(1).cast(), count: count as u32, offset })
        }
    }
}
