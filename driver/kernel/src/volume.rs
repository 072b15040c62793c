//! An unlocked volume: its adapter, its unit, and all the memory that its I/O will ever need.

use alloc::{boxed::Box, vec::Vec};
use core::ptr::NonNull;

use sluice_chain::{Chain, try_box};
use sluice_miniport_lower::Lower;
use sluice_shim::{adapter::Adapter, miniport::Hw, request::Request, spare::Spares, unit::Unit};
use wdk_sys::{NTSTATUS, STATUS_INSUFFICIENT_RESOURCES};

use crate::{
    child_io::{self, Below},
    completion::Callers,
    disk::Disk,
    mapped::Hosted,
    nt::irql::Passive,
    platform::Kernel,
};

/// Requests under way at once; more wait in order. As many as SATA NCQ has tags, twice.
pub(crate) const REQUESTS: usize = 64;
/// Private memory for writes of up to 64 KiB, which nearly all are: as many as half the requests.
const SMALL: (usize, usize) = (32, 64 << 10);
/// Private memory for writes of any size: enough for sequential writers to overlap.
const LARGE_COUNT: usize = 4;

/// The longest transfer that one request may have, in bytes; what we tell the class driver if the device below
/// takes more. 32 * 64 KiB + 4 * 1 MiB = 6 MiB of non-paged memory for each unlocked volume.
pub(crate) const MAX_TRANSFER: u32 = 1 << 20;

/// A volume in use. The order of the fields is the order in which they may go.
pub(crate) struct Volume {
    unit: Box<Unit>,
    // Owned here, borrowed by the unit; see `start`.
    adapter: Box<Adapter>,
    parts: Box<Parts>,
    _memory: Vec<Vec<u128>>,
}

struct Parts {
    platform: Kernel,
    miniport: Miniport,
    callers: Callers,
}

/// Who answers the requests.
pub(crate) enum Miniport {
    /// The device below, for a volume in place.
    Lower(Lower<Below>),
    /// The engine, for a mapped volume.
    Mapped(Hosted),
}

impl Miniport {
    fn hw(&'static self) -> Hw {
        match self {
            Self::Lower(lower) => Hw::of(lower),
            Self::Mapped(hosted) => Hw::of(hosted.miniport()),
        }
    }

    /// Whether requests carry IRPs of their own to the device below.
    fn sends_irps(&self) -> bool {
        matches!(self, Self::Lower(_))
    }
}

impl Volume {
    /// Sets up everything for `disk`. PASSIVE_LEVEL only because it allocates much at once.
    ///
    /// # Errors
    /// STATUS_INSUFFICIENT_RESOURCES; nothing is left behind.
    pub(crate) fn start(
        disk: &'static Disk,
        chain: Chain,
        sector_size: u32,
        miniport: Miniport,
    ) -> Result<Box<Self>, NTSTATUS> {
        Self::try_start(disk, chain, sector_size, miniport).ok_or(STATUS_INSUFFICIENT_RESOURCES)
    }

    fn try_start(
        disk: &'static Disk,
        chain: Chain,
        sector_size: u32,
        miniport: Miniport,
    ) -> Option<Box<Self>> {
        let sends_irps = miniport.sends_irps();
        let parts = try_box(Parts { platform: Kernel::uninit(), miniport, callers: Callers::new(disk) })?;
        // SAFETY: boxed, so it stays where it is; `Volume` drops it after the adapter and the unit that borrow it.
        let borrowed: &'static Parts = unsafe { NonNull::from(&*parts).as_ref() };
        let adapter = try_box(Adapter::new(borrowed.miniport.hw(), &borrowed.platform))?;
        // SAFETY: as above, dropped after the unit.
        let host: &'static Adapter = unsafe { NonNull::from(&*adapter).as_ref() };
        // SAFETY: once, at their final address; `stop` settles the DPC before the adapter goes.
        unsafe {
            parts.platform.initialize(host);
            parts.callers.initialize();
        }
        let (mut memory, mut spares) = (Vec::new(), Spares::new(SMALL.1, MAX_TRANSFER as usize));
        add_buffers(&mut memory, &mut spares, false, SMALL.0, SMALL.1)?;
        add_buffers(&mut memory, &mut spares, true, LARGE_COUNT, MAX_TRANSFER as usize)?;
        let mut requests = Requests(Vec::new());
        requests.0.try_reserve_exact(REQUESTS).ok()?;
        for _ in 0..REQUESTS {
            requests.0.push(if sends_irps {
                // SAFETY: the device below stays while this driver is attached to it.
                unsafe { child_io::new_request(disk.lower(), MAX_TRANSFER) }?
            } else {
                Request::new([0; 4])
            });
        }
        let requests = core::mem::take(&mut requests.0);
        let unit = try_box(Unit::new(host, &borrowed.callers, chain, sector_size, requests, spares))?;
        try_box(Self { unit, adapter, parts, _memory: memory })
    }

    /// The unit, to submit to.
    pub(crate) fn unit(&self) -> &Unit {
        &self.unit
    }

    /// Whether it is a mapped one.
    pub(crate) fn is_mapped(&self) -> bool {
        matches!(self.parts.miniport, Miniport::Mapped(_))
    }

    /// Changes the chain while no request is under way; those that come meanwhile wait. Only with the disk's turn.
    pub(crate) fn change_chain<R>(&self, at: Passive<'_>, change: impl FnOnce(&mut Chain) -> R) -> R {
        // Who looks at a chain or changes it has the disk's turn.
        self.parts.callers.change_chain(self.unit(), at, change)
    }

    /// Completions of requests that the miniport did not have.
    pub(crate) fn faults(&self) -> u64 {
        self.adapter.faults().not_owned.load(core::sync::atomic::Ordering::Relaxed)
    }

    /// Lets whoever completed the last request, and the DPC that answered it, run out. Nobody may be inside the
    /// volume any more.
    pub(crate) fn settle(&self, at: Passive<'_>) {
        // Between putting a request on the list and asking for the DPC lie a few instructions of another processor.
        while !self.adapter.is_idle() {
            self.parts.platform.settle(at);
        }
        self.parts.platform.settle(at);
    }
}

/// Requests that are not yet the unit's.
struct Requests(Vec<Request>);

impl Drop for Requests {
    fn drop(&mut self) {
        for request in &self.0 {
            // SAFETY: never used.
            unsafe { child_io::free_request(request) };
        }
    }
}

/// Allocates `count` buffers of `size` bytes. The pool gives whole pages for blocks of a page and more, so they
/// are aligned for any device.
pub(crate) fn add_buffers(
    memory: &mut Vec<Vec<u128>>,
    spares: &mut Spares,
    large: bool,
    count: usize,
    size: usize,
) -> Option<()> {
    memory.try_reserve(count).ok()?;
    for _ in 0..count {
        let mut buffer: Vec<u128> = Vec::new();
        buffer.try_reserve_exact(size / size_of::<u128>()).ok()?;
        buffer.resize(size / size_of::<u128>(), 0);
        // SAFETY: `size` bytes of zeros, aligned to 16, owned by `memory`, which outlives the unit and its spares.
        unsafe { spares.add(large, NonNull::new(buffer.as_mut_ptr())?.cast()) };
        memory.push(buffer);
    }
    Some(())
}
