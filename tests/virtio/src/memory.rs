//! What both sides share, reached by the device's addresses.

use std::ptr::NonNull;

use sluice_miniport_virtio_blk::memory::{DeviceAddress, Part, Shared};

/// Where the device finds its first byte.
const BASE: u64 = 0x7000_0000;

/// The memory. Addresses outside it lead nowhere.
#[derive(Debug)]
pub struct Memory {
    store: Vec<u128>,
    whole: Part,
}

impl Memory {
    /// So many bytes.
    #[must_use]
    pub fn new(length: usize) -> Self {
        let mut store = vec![0_u128; length / 16];
        let length = store.len() * 16;
        let start = NonNull::new(store.as_mut_ptr().cast()).unwrap();
        // SAFETY: initialized, not touched but through this as long as the vector is there, and that does not move.
        let whole =
            unsafe { Shared::from_raw(start, length, DeviceAddress(BASE)) }.carve(length, 16).unwrap();
        Self { store, whole }
    }

    /// The same memory, for the driver to carve up. It must be gone before this is.
    #[must_use]
    pub fn driver(&mut self) -> Shared {
        let start = NonNull::new(self.store.as_mut_ptr().cast()).unwrap();
        // SAFETY: as above; the other user is the device.
        unsafe { Shared::from_raw(start, self.whole.length(), DeviceAddress(BASE)) }
    }

    /// A stretch by its device address, if it is one.
    #[must_use]
    pub fn at(&self, address: u64, length: usize) -> Option<Part> {
        self.whole.part(usize::try_from(address.checked_sub(BASE)?).ok()?, length)
    }

    /// All of it.
    #[must_use]
    pub fn whole(&self) -> &Part {
        &self.whole
    }
}
