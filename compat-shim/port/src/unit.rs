//! A logical unit of an adapter, as the port keeps it.

use core::{
    cell::UnsafeCell,
    ffi::c_void,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use sluice_shim::{
    miniport::Hw,
    storport::{SrbStorage, srb::Address},
};

use crate::{
    flow::{Gate, Queue},
    memory::Block,
    port::Port,
    slots::Origin,
};

/// A unit. It stays where it is for as long as its port exists, whether the device is there or not: units that are
/// enumerated again are the same.
pub struct LogicalUnit {
    port: *const Port,
    address: Address,
    /// Whether requests are taken.
    pub(crate) present: AtomicBool,
    /// The miniport's SpecificLuExtensionSize bytes.
    extension: Option<Block>,
    pub(crate) gate: Gate,
    /// Most requests at once.
    pub(crate) depth: AtomicU32,
    /// Requests with the miniport, and those to be started over.
    pub(crate) outstanding: AtomicU32,
    /// Of those, the latter.
    pub(crate) again: AtomicU32,
    /// How many wait in the queue, those to be started over too: whoever has none to start need not take its lock.
    pub(crate) waiting: AtomicU32,
    /// Those that wait. Reached under the port's flow lock only.
    pub(crate) queue: UnsafeCell<Queue>,
    /// How far its recovery from a time-out has got: [`crate::recovery::Level`].
    pub(crate) recovery: AtomicU32,
    /// When the next step of it is due.
    pub(crate) recovery_due: AtomicU64,
    /// STOR_UNIT_ATTRIBUTES, as the miniport has set them.
    pub(crate) attributes: AtomicU32,
    pub(crate) next: AtomicPtr<LogicalUnit>,
}

// SAFETY: atomics, and a queue behind the port's lock; the port outlives its units.
unsafe impl Send for LogicalUnit {}
// SAFETY: as above.
unsafe impl Sync for LogicalUnit {}

impl LogicalUnit {
    pub(crate) fn new(port: &Port, address: Address, extension: Option<Block>, depth: u32) -> Self {
        Self {
            port: ptr::from_ref(port),
            address,
            present: AtomicBool::new(true),
            extension,
            gate: Gate::new(),
            depth: AtomicU32::new(depth),
            outstanding: AtomicU32::new(0),
            again: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            queue: UnsafeCell::new(Queue::new()),
            recovery: AtomicU32::new(0),
            recovery_due: AtomicU64::new(0),
            attributes: AtomicU32::new(0),
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Bus, target and unit.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Whose unit it is.
    #[must_use]
    pub fn port(&self) -> &Port {
        // SAFETY: a port frees its units when it goes, not before.
        unsafe { &*self.port }
    }

    /// The miniport's memory for it; null if it wants none.
    #[must_use]
    pub fn extension(&self) -> *mut c_void {
        self.extension.as_ref().map_or(ptr::null_mut(), |block| block.start().as_ptr().cast())
    }

    /// Requests that the miniport has, or will be given again, now.
    #[must_use]
    pub fn outstanding(&self) -> u32 {
        self.outstanding.load(Relaxed)
    }

    /// Most requests that the miniport is given at once.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.depth.load(Relaxed)
    }

    /// STOR_UNIT_ATTRIBUTES as the miniport has set them.
    #[must_use]
    pub fn attributes(&self) -> u32 {
        self.attributes.load(Relaxed)
    }

    /// What a shim's adapter takes: requests of this unit go through it to the miniport. One shim adapter for each unit.
    ///
    /// # Safety
    /// The port outlives the adapter, and all requests have come back before it goes.
    pub unsafe fn hw(&self) -> Hw {
        let unit = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: `start_io` takes SRBs of the port's kind, whatever the miniport does completes each once, and the
        // caller sees to the unit's life.
        unsafe { Hw::new(start_io, unit, self.port().registration().srb_kind()) }
    }
}

unsafe extern "system" fn start_io(unit: *mut c_void, srb: *mut c_void) -> u8 {
    let Some(srb) = NonNull::new(srb.cast::<SrbStorage>()) else { return 0 };
    // SAFETY: `hw` has paired this function with a unit that lives as long as the adapter; a shim's SRB lies in an
    // SrbStorage.
    let unit = unsafe { &*unit.cast::<LogicalUnit>() };
    unit.port().submit(unit, Origin { srb, is_command: false });
    1
}
