//! `HW_INITIALIZATION_DATA` as StorPortInitialize was given it: checked, and copied, since the miniport's is on its stack.

use core::{
    ffi::c_void,
    mem::{offset_of, size_of},
    ptr,
};

use sluice_shim::storport::{
    HwInitializationData, SrbKind,
    initialization::{
        HwFindAdapter, HwResetBus, HwStartIo, SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK,
        STOR_FEATURE_VIRTUAL_MINIPORT,
    },
};

use crate::status::NtStatus;

/// Most bytes that a miniport may ask for an adapter: the largest known asks for a few hundred KiB.
const MAX_DEVICE_EXTENSION: u32 = 16 << 20;
/// Most bytes for a request or a unit.
const MAX_SMALL_EXTENSION: u32 = 1 << 20;
/// Most address ranges: a PCI function has six and a ROM.
pub(crate) const MAX_ACCESS_RANGES: u32 = 16;

/// The sizes that the structure has had, and with them the last field that a miniport can have filled in:
/// up to HwBuildIo (Windows Server 2003), to HwCompleteServiceIrp and two that are reserved, which is
/// `VIRTUAL_HW_INITIALIZATION_DATA`, to HwTracingEnabled (Windows 7), to SrbTypeFlags and its companions (Windows 8), to
/// HwUnitControl (Windows 8.1).
const SIZES: [usize; 5] = [
    offset_of!(HwInitializationData, hw_free_adapter_resources),
    VIRTUAL,
    offset_of!(HwInitializationData, feature_support),
    offset_of!(HwInitializationData, hw_unit_control),
    size_of::<HwInitializationData>(),
];

/// A structure of this size is a virtual miniport's, which needs no flag to say so.
const VIRTUAL: usize = offset_of!(HwInitializationData, hw_tracing_enabled);

const _: () =
    assert!(SIZES[0] == 136 && VIRTUAL == 176 && SIZES[2] == 184 && SIZES[3] == 200 && SIZES[4] == 208);

/// What a miniport has registered. Every adapter of its driver has a copy.
#[derive(Clone, Debug)]
pub struct Registration {
    data: HwInitializationData,
    /// StorPortInitialize's last argument: HwFindAdapter's second.
    context: *mut c_void,
    start_io: HwStartIo,
    find_adapter: HwFindAdapter,
    reset_bus: HwResetBus,
}

// SAFETY: function pointers and an address that only the miniport follows.
unsafe impl Send for Registration {}
// SAFETY: as above.
unsafe impl Sync for Registration {}

impl Registration {
    /// Checks and copies the structure at `data`.
    ///
    /// # Errors
    /// INVALID_PARAMETER: null, unaligned, without a callback that every miniport must have, or asking for more memory
    /// than any miniport needs. INFO_LENGTH_MISMATCH: shorter than the shortest that there has been.
    /// REVISION_MISMATCH: of a size that no known version has, so that nobody knows what its fields mean.
    ///
    /// # Safety
    /// `data` is null, or readable for as many bytes as its first field says.
    pub unsafe fn capture(data: *const c_void, context: *mut c_void) -> Result<Self, NtStatus> {
        if data.is_null() || !data.cast::<u64>().is_aligned() {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        // SAFETY: readable, aligned.
        let size = unsafe { data.cast::<u32>().read() } as usize;
        if size < SIZES[0] {
            return Err(NtStatus::INFO_LENGTH_MISMATCH);
        }
        if !SIZES.contains(&size) {
            return Err(NtStatus::REVISION_MISMATCH);
        }
        let mut copy = HwInitializationData::new();
        // SAFETY: `size` bytes are readable, and no more than the structure has; its fields are integers and nullable
        // pointers, for which any bytes are valid.
        unsafe { ptr::copy_nonoverlapping(data.cast::<u8>(), (&raw mut copy).cast::<u8>(), size) };
        Self::check(copy, context)
    }

    fn check(data: HwInitializationData, context: *mut c_void) -> Result<Self, NtStatus> {
        let callbacks = (data.hw_start_io, data.hw_find_adapter, data.hw_reset_bus, data.hw_initialize);
        let (Some(start_io), Some(find_adapter), Some(reset_bus), Some(_)) = callbacks else {
            return Err(NtStatus::INVALID_PARAMETER);
        };
        let small = [data.specific_lu_extension_size, data.srb_extension_size];
        let sane = data.device_extension_size <= MAX_DEVICE_EXTENSION
            && small.iter().all(|&bytes| bytes <= MAX_SMALL_EXTENSION)
            && data.number_of_access_ranges <= MAX_ACCESS_RANGES;
        let virtual_without_end = is_virtual(&data) && data.hw_free_adapter_resources.is_none();
        if !sane || virtual_without_end {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        Ok(Self { data, context, start_io, find_adapter, reset_bus })
    }

    /// The structure.
    #[must_use]
    pub fn data(&self) -> &HwInitializationData {
        &self.data
    }

    /// HwFindAdapter's second argument.
    #[must_use]
    pub fn context(&self) -> *mut c_void {
        self.context
    }

    /// Which SRBs it takes.
    #[must_use]
    pub fn srb_kind(&self) -> SrbKind {
        if self.data.srb_type_flags & SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK != 0 {
            SrbKind::Extended
        } else {
            SrbKind::Legacy
        }
    }

    /// Whether it drives no hardware.
    #[must_use]
    pub fn is_virtual(&self) -> bool {
        is_virtual(&self.data)
    }

    pub(crate) fn start_io(&self) -> HwStartIo {
        self.start_io
    }

    pub(crate) fn find_adapter(&self) -> HwFindAdapter {
        self.find_adapter
    }

    pub(crate) fn reset_bus(&self) -> HwResetBus {
        self.reset_bus
    }
}

fn is_virtual(data: &HwInitializationData) -> bool {
    data.size as usize == VIRTUAL || data.feature_support & STOR_FEATURE_VIRTUAL_MINIPORT != 0
}
