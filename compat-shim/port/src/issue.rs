//! A request's way into the miniport: HwStorBuildIo, then HwStorStartIo under the lock that goes with it.

use core::{
    mem::offset_of,
    ptr,
    sync::atomic::Ordering::{Relaxed, Release},
};

use sluice_shim::storport::{
    ScsiRequestBlock, SrbFunction, SrbKind, SrbStatus, SrbStorage, StorageRequestBlock, codes::UNTAGGED,
    extended::StorAddressBtl8,
};

use crate::{
    locks::{CHANNELS, Under},
    port::Port,
    slots::{Origin, Slot},
    unit::LogicalUnit,
};

/// Where a fresh extended SRB of the shim's has its address.
const ADDRESS: usize = size_of::<StorageRequestBlock>();

impl Port {
    /// Gives a fresh request to the miniport. Up to DISPATCH_LEVEL, without locks.
    pub(crate) fn issue(&self, slot: &Slot, unit: &LogicalUnit, origin: Origin) {
        slot.set_origin(origin);
        slot.unit.store(ptr::from_ref(unit).cast_mut(), Relaxed);
        self.hand_over(slot, unit, origin);
    }

    /// Gives it once more.
    pub(crate) fn reissue(&self, slot: &Slot, unit: &LogicalUnit) {
        if let Some(origin) = slot.origin() {
            self.hand_over(slot, unit, origin);
        }
    }

    fn hand_over(&self, slot: &Slot, unit: &LogicalUnit, origin: Origin) {
        self.fill(slot, unit, origin);
        let data = self.registration().data();
        let (extension, srb) = (self.extension(), slot.srb().cast());
        let given = slot.give();
        if let Some(build_io) = data.hw_build_io {
            // SAFETY: the miniport's own function, with its extension and an SRB that is its own now.
            if unsafe { build_io(extension, srb) } == 0 {
                return; // it has completed it, or will
            }
        }
        // SAFETY: as above.
        let taken = self
            .under(self.start_lock(), || unsafe { (self.registration().start_io())(extension, srb) != 0 });
        // FALSE: there was no room for it. Unless it has completed it nevertheless.
        if !taken && slot.take_back(given) {
            self.set_status(slot, SrbStatus::BUSY);
            self.push_completed(slot);
        }
    }

    /// The lock of HwStorStartIo. Virtual miniports have none.
    fn start_lock(&self) -> Under {
        match self.channels() {
            _ if self.registration().is_virtual() => Under::Nothing,
            _ if self.is_half_duplex() => self.common_interrupt(),
            0 | 1 => Under::StartIo,
            channels => Under::Channel(self.channel_of(channels)),
        }
    }

    /// The channel of the calling processor.
    pub(crate) fn channel_of(&self, channels: u32) -> usize {
        usize::from(self.system().processor().number) % (channels as usize).clamp(1, CHANNELS)
    }

    /// Copies the SRB, and puts into it what is the port's to say.
    fn fill(&self, slot: &Slot, unit: &LogicalUnit, origin: Origin) {
        let (to, address, context) = (slot.srb(), unit.address(), slot.extension());
        slot.scattered.store(false, Relaxed);
        slot.mapped.store(false, Relaxed);
        slot.is_late.store(false, Relaxed);
        let mine: *mut core::ffi::c_void = ptr::from_ref(slot).cast_mut().cast();
        // SAFETY: the slot is the port's, and so is the origin until it is given back. Either kind of SRB lies in its
        // storage as the shim has filled it; its offsets count from its start, so it may be copied.
        let timeout = unsafe {
            ptr::copy_nonoverlapping(origin.srb.as_ptr().cast_const(), to, 1);
            match self.registration().srb_kind() {
                SrbKind::Legacy => {
                    let srb = &mut *to.cast::<ScsiRequestBlock>();
                    (srb.path_id, srb.target_id, srb.lun) = (address.path, address.target, address.lun);
                    if srb.function == SrbFunction::EXECUTE_SCSI.0 {
                        srb.queue_tag = u8::try_from(slot.index()).unwrap_or(UNTAGGED); // PnP and power have others
                    }
                    srb.srb_extension = context;
                    srb.original_request = mine;
                    srb.next_srb = ptr::null_mut();
                    srb.time_out_value
                }
                SrbKind::Extended => {
                    let place = to.cast::<u8>().add(ADDRESS).cast::<StorAddressBtl8>();
                    ((*place).path, (*place).target, (*place).lun) =
                        (address.path, address.target, address.lun);
                    let srb = &mut *to.cast::<StorageRequestBlock>();
                    srb.request_tag = slot.index();
                    srb.miniport_context = context;
                    srb.port_context = mine;
                    srb.original_request = mine;
                    srb.next_srb = ptr::null_mut();
                    srb.time_out_value
                }
            }
        };
        let deadline = match timeout {
            0 | u32::MAX => 0,
            seconds => self.system().now().saturating_add(u64::from(seconds) * 1_000_000),
        };
        self.copy_in(slot);
        slot.deadline.store(deadline, Release);
    }

    /// Sets a slot's SRB status; for slots that the port has.
    pub(crate) fn set_status(&self, slot: &Slot, status: SrbStatus) {
        // SAFETY: the slot is the port's; both kinds have the status at the same place.
        unsafe { slot.srb().cast::<u8>().add(STATUS).write(status.0) };
    }

    /// A slot's SRB status; for slots that the port has.
    pub(crate) fn status_of(&self, slot: &Slot) -> SrbStatus {
        // SAFETY: as above.
        SrbStatus(unsafe { slot.srb().cast::<u8>().add(STATUS).read() })
    }

    /// Answers a request that never got to the miniport.
    pub(crate) fn refuse(&self, origin: Origin, status: SrbStatus) {
        // SAFETY: the origin is the port's until it is given back.
        unsafe { origin.srb.as_ptr().cast::<u8>().add(STATUS).write(status.0) };
        self.set_length_to_nothing(origin.srb.as_ptr());
        self.give_origin_back(origin);
    }

    /// Nothing has moved.
    pub(crate) fn set_length_to_nothing(&self, srb: *mut SrbStorage) {
        let offset = match self.registration().srb_kind() {
            SrbKind::Legacy => offset_of!(ScsiRequestBlock, data_transfer_length),
            SrbKind::Extended => offset_of!(StorageRequestBlock, data_transfer_length),
        };
        // SAFETY: a field of the SRB inside the storage, which the port has.
        unsafe { srb.cast::<u8>().add(offset).cast::<u32>().write(0) };
    }
}

/// Where both kinds have their status.
const STATUS: usize = offset_of!(ScsiRequestBlock, srb_status);
const _: () = assert!(STATUS == offset_of!(StorageRequestBlock, srb_status));
