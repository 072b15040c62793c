//! Data that is copied on its way, where a device does not find memory in which it lies: it has addresses of 32 bits, or its
//! addresses are translated. Each slot then has room of its own that the device finds, and the miniport knows of nothing
//! else: its SRB, the scatter list and every address are of that.

use core::{mem::offset_of, ptr};

use sluice_shim::storport::{ScsiRequestBlock, SrbFlags, SrbKind, SrbStorage, StorageRequestBlock};

use crate::{port::Port, slots::Slot};

/// Most bytes of one request that is copied.
pub(crate) const MOST: u32 = 64 << 10;
/// Most requests at once of an adapter whose data is copied.
pub(crate) const REQUESTS: u32 = 32;

impl Port {
    /// An SRB's data buffer and length.
    ///
    /// # Safety
    /// `srb` holds an SRB of the port's kind.
    pub(crate) unsafe fn buffer_of(&self, srb: *const SrbStorage) -> (*mut u8, u32) {
        let (buffer, length) = match self.kind() {
            SrbKind::Legacy => (
                offset_of!(ScsiRequestBlock, data_buffer),
                offset_of!(ScsiRequestBlock, data_transfer_length),
            ),
            SrbKind::Extended => (
                offset_of!(StorageRequestBlock, data_buffer),
                offset_of!(StorageRequestBlock, data_transfer_length),
            ),
        };
        let srb = srb.cast::<u8>();
        // SAFETY: fields of the SRB: the caller's contract.
        unsafe { (srb.add(buffer).cast::<*mut u8>().read(), srb.add(length).cast::<u32>().read()) }
    }

    /// # Safety
    /// As above, and it is the port's.
    unsafe fn set_buffer(&self, srb: *mut SrbStorage, buffer: *mut u8) {
        let offset = match self.kind() {
            SrbKind::Legacy => offset_of!(ScsiRequestBlock, data_buffer),
            SrbKind::Extended => offset_of!(StorageRequestBlock, data_buffer),
        };
        // SAFETY: the caller's contract.
        unsafe { srb.cast::<u8>().add(offset).cast::<*mut u8>().write(buffer) };
    }

    /// An SRB's flags.
    ///
    /// # Safety
    /// As for [`Self::buffer_of`].
    pub(crate) unsafe fn flags_of(&self, srb: *const SrbStorage) -> SrbFlags {
        let offset = match self.kind() {
            SrbKind::Legacy => offset_of!(ScsiRequestBlock, srb_flags),
            SrbKind::Extended => offset_of!(StorageRequestBlock, srb_flags),
        };
        // SAFETY: a field of the SRB; flags are 32 bits in both kinds.
        SrbFlags(unsafe { srb.cast::<u8>().add(offset).cast::<u32>().read() })
    }

    /// Where a slot's data is copied to, if it is: of so many bytes. Longer data stays where it is, and has no address.
    pub(crate) fn copy_for(&self, slot: &Slot, length: u32) -> Option<*mut u8> {
        let copy = slot.copy();
        (!copy.is_null() && length > 0 && length <= MOST && slot.index() != 0).then_some(copy)
    }

    /// Before a slot goes to the miniport: its data goes to where the device finds it. Also what is only to be read, so that
    /// nothing of an earlier request is there.
    pub(crate) fn copy_in(&self, slot: &Slot) {
        // SAFETY: the slot is the port's, and so is the origin until it is given back; its buffer has as many bytes as it
        // says, and the copy has room for them.
        unsafe {
            let (buffer, length) = self.buffer_of(slot.srb());
            let copy = self.copy_for(slot, length).filter(|_| !buffer.is_null());
            if let Some(copy) = copy {
                ptr::copy_nonoverlapping(buffer, copy, length as usize);
                self.set_buffer(slot.srb(), copy);
            }
        }
    }

    /// Before an origin goes back: `slot`'s SRB has been copied over its own, whose buffer and length were these.
    ///
    /// # Safety
    /// They are the origin's, which is the port's.
    pub(crate) unsafe fn copy_out(&self, slot: &Slot, origin: *mut SrbStorage, buffer: *mut u8, length: u32) {
        let Some(copy) = self.copy_for(slot, length).filter(|_| !buffer.is_null()) else { return };
        // SAFETY: the caller's contract; as in `copy_in`.
        unsafe {
            self.set_buffer(origin, buffer);
            let flags = self.flags_of(origin);
            // Data that goes to the device alone is as it was.
            if flags.contains(SrbFlags::DATA_IN) || !flags.contains(SrbFlags::DATA_OUT) {
                ptr::copy_nonoverlapping(copy, buffer, length as usize);
            }
        }
    }
}
