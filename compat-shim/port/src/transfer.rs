//! Where a request's data lies: scatter lists and address translation.

use core::{ffi::c_void, ptr, sync::atomic::Ordering::Relaxed};

use sluice_shim::storport::{
    ScsiRequestBlock, SrbFlags, SrbKind,
    extended::{SrbExDataCdb, data_type},
    srb::Address,
    status::StorStatus,
};

use crate::{
    command::EX_DATA,
    faults::count,
    port::Port,
    services::Dma,
    slots::{Slot, Slots},
    types::{ScatterElement, ScatterHead},
};

impl Port {
    /// The slot of an SRB that a miniport asks about; it must have it.
    pub(crate) fn slot_with(&self, srb: *const c_void) -> Option<&Slot> {
        let slot = self.slots().and_then(|slots| slots.of_srb(srb)).filter(|slot| slot.is_out());
        if slot.is_none() {
            count(&self.faults().argument);
        }
        slot
    }

    /// A slot's data, as its origin has named it (or its copy): the miniport may have written anything over its own SRB by now.
    pub(crate) fn data_of(&self, slot: &Slot) -> Option<(*mut u8, u32)> {
        let origin = slot.origin()?.srb.as_ptr();
        // SAFETY: the origin's SRB, which stays until it is given back; the slot is out.
        let (buffer, length) = unsafe { self.buffer_of(origin) };
        let there = !buffer.is_null() && length > 0 && slot.index() != 0;
        there.then(|| (self.copy_for(slot, length).unwrap_or(buffer), length))
    }

    /// A slot's sense buffer, likewise: address and length.
    fn sense_of(&self, slot: &Slot) -> Option<(usize, usize)> {
        let origin = slot.origin()?.srb.as_ptr().cast::<u8>();
        // SAFETY: fields of the origin's SRB, as in `data_of`. A fresh extended SRB has its command, if it has one, behind
        // head and address.
        unsafe {
            match self.kind() {
                SrbKind::Legacy => {
                    let srb = &*origin.cast::<ScsiRequestBlock>();
                    Some((srb.sense_info_buffer as usize, usize::from(srb.sense_info_buffer_length)))
                }
                SrbKind::Extended => {
                    let command = &*origin.add(EX_DATA).cast::<SrbExDataCdb<16>>();
                    let is_command = matches!(command.kind, data_type::SCSI_CDB16 | data_type::SCSI_CDB32);
                    let length = usize::from(command.sense_info_buffer_length);
                    is_command.then_some((command.sense_info_buffer as usize, length))
                }
            }
        }
    }

    /// StorPortGetScatterGatherList: null if there is no data, or it does not fit. Made when it is asked for: a miniport
    /// that copies its data never needs it.
    pub(crate) fn scatter_list(&self, srb: *const c_void) -> *mut c_void {
        let Some(slot) = self.slot_with(srb) else { return ptr::null_mut() };
        let list = slot.scatter();
        if slot.scattered.load(Relaxed) {
            return list.cast();
        }
        let Some((buffer, length)) = self.data_of(slot) else { return ptr::null_mut() };
        let copy = self.copy_for(slot, length).and_then(|copy| self.dma_at(copy as usize));
        let most = self.slots().map_or(0, |slots| slots.elements());
        let (mut done, mut count, mut end) = (0usize, 0usize, None);
        while done < length as usize {
            let here = buffer.wrapping_add(done);
            let left = length as usize - done;
            let found = match copy {
                Some(dma) => within(&dma, here as usize),
                None => self.lies_at(here as usize, left),
            };
            let Some((physical, run)) = found else { return ptr::null_mut() };
            let run = run.clamp(1, length as usize - done);
            // SAFETY: the list has room for `most` elements behind its head, and `count` never exceeds that.
            unsafe {
                let elements = list.add(1).cast::<ScatterElement>();
                if end == Some(physical) && count > 0 {
                    (*elements.add(count - 1)).length += run as u32;
                } else if count < most {
                    let element = ScatterElement { physical, length: run as u32, reserved: 0 };
                    elements.add(count).write(element);
                    count += 1;
                } else {
                    return ptr::null_mut();
                }
            }
            end = Some(physical + run as u64);
            done += run;
        }
        // SAFETY: the head is the list's own.
        unsafe { list.write(ScatterHead { count: count as u32, reserved: 0 }) };
        slot.scattered.store(true, Relaxed);
        list.cast()
    }

    /// StorPortGetPhysicalAddress: of an SRB's data or sense buffer, or of memory that the port has given to the miniport. Zero, and a
    /// length of zero, if it is not known.
    pub(crate) fn physical_address(&self, srb: *const c_void, address: *const c_void) -> (u64, u32) {
        if address.is_null() {
            count(&self.faults().argument);
            return (0, 0);
        }
        let most = match self.known_length(srb, address as usize) {
            Some(most) => most,
            None => {
                count(&self.faults().argument);
                return (0, 0);
            }
        };
        match self.address_for_device(address as usize, most) {
            Some((physical, run)) => (physical, u32::try_from(run.min(most)).unwrap_or(u32::MAX)),
            None => (0, 0),
        }
    }

    /// Where the device finds memory, and how many bytes follow in one piece: what was allocated for it by the address that
    /// came with it, everything else where it lies.
    fn address_for_device(&self, address: usize, length: usize) -> Option<(u64, usize)> {
        let own = self.dma_at(address).or_else(|| self.dma_piece_with(address));
        own.map_or_else(|| self.lies_at(address, length), |dma| within(&dma, address))
    }

    /// The port's own memory for devices that has this address.
    fn dma_at(&self, address: usize) -> Option<Dma> {
        let slots = self.slots().map(Slots::for_device).into_iter().flatten();
        slots.chain([self.uncached()]).flatten().find(|dma| within(dma, address).is_some()).copied()
    }

    /// Where other memory lies, if the device reaches so far.
    fn lies_at(&self, address: usize, length: usize) -> Option<(u64, usize)> {
        let (physical, run) = self.services().physical_address(address as *const c_void, length)?;
        let is_narrow =
            self.settings().is_some_and(|settings| settings.copies && !settings.reaches_all_memory);
        let reached = !is_narrow || physical.saturating_add(run as u64) <= 1 << 32;
        reached.then_some((physical, run))
    }

    /// How many bytes from `address` on are memory that a miniport may ask about.
    fn known_length(&self, srb: *const c_void, address: usize) -> Option<usize> {
        let inside = |start: usize, bytes: usize| {
            let offset = address.checked_sub(start)?;
            bytes.checked_sub(offset).filter(|rest| *rest > 0)
        };
        if !srb.is_null() {
            let slot = self.slot_with(srb)?;
            if let Some((buffer, length)) = self.data_of(slot)
                && let Some(rest) = inside(buffer as usize, length as usize)
            {
                return Some(rest);
            }
            if let Some((start, length)) = self.sense_of(slot)
                && let Some(rest) = inside(start, length)
            {
                return Some(rest);
            }
        }
        let settings = self.settings();
        let slot = |slot: &Slot| inside(slot.extension() as usize, settings?.srb_extension as usize);
        let uncached =
            self.uncached().and_then(|dma| inside(dma.address.as_ptr() as usize, dma.request.bytes));
        let device =
            inside(self.extension() as usize, self.registration().data().device_extension_size as usize);
        uncached
            .or(device)
            .or_else(|| self.slots()?.iter().find_map(slot))
            .or_else(|| self.piece_length(address))
    }

    /// StorPortGetVirtualAddress: of the uncached extension and of contiguous memory; null for anything else.
    pub(crate) fn virtual_address(&self, physical: u64) -> *mut c_void {
        let own = self.uncached().copied().into_iter();
        let found = own.chain(self.dma_piece_at(physical)).find_map(|dma| {
            let offset = usize::try_from(physical.checked_sub(dma.physical)?).ok()?;
            // SAFETY: inside the memory.
            (offset < dma.request.bytes).then(|| unsafe { dma.address.as_ptr().add(offset) })
        });
        found.map_or(ptr::null_mut(), <*mut u8>::cast)
    }

    /// StorPortGetSystemAddress: buffers of the port's requests are mapped in any case.
    pub(crate) fn system_address(&self, srb: *const c_void) -> Result<*mut c_void, StorStatus> {
        let slot = self.slot_with(srb).ok_or(StorStatus::INVALID_PARAMETER)?;
        let (buffer, _) = self.data_of(slot).ok_or(StorStatus::INVALID_PARAMETER)?;
        Ok(buffer.cast())
    }

    /// StorPortGetSrb: the SRB of a unit with this tag, if the miniport has it.
    pub(crate) fn srb_with_tag(&self, address: Address, tag: i32) -> *mut c_void {
        let is_it = |slot: &&Slot| {
            slot.is_out()
                && i64::from(slot.index()) == i64::from(tag)
                && slot.unit().is_some_and(|unit| unit.address() == address)
        };
        let found = self.slots().and_then(|slots| slots.iter().find(is_it));
        found.map_or(ptr::null_mut(), |slot| slot.srb().cast())
    }

    /// How long an SRB's data is, and whether the device is to have it.
    pub(crate) fn transfer_of(&self, srb: *const c_void) -> Option<(u32, bool)> {
        let slot = self.slot_with(srb)?;
        let length = self.data_of(slot).map_or(0, |(_, length)| length);
        // SAFETY: the origin's SRB, as in `data_of`.
        let flags = unsafe { self.flags_of(slot.origin()?.srb.as_ptr()) };
        Some((length, flags.contains(SrbFlags::DATA_OUT)))
    }

    /// Whether the miniport has this SRB; counted if not.
    pub(crate) fn is_with_miniport(&self, srb: *const c_void) -> bool {
        self.slot_with(srb).is_some()
    }
}

/// The device's address of a byte of its memory, and how many follow.
fn within(dma: &Dma, address: usize) -> Option<(u64, usize)> {
    let offset = address.checked_sub(dma.address.as_ptr() as usize)?;
    let rest = dma.request.bytes.checked_sub(offset).filter(|rest| *rest > 0)?;
    Some((dma.physical + offset as u64, rest))
}
