//! What is behind an adapter of a linked miniport: ranges, configuration space, memory for its device, its interrupt; or,
//! for one that the root bus made up, nothing of these.
//!
//! **Memory for devices.** Common buffers come from the device's DMA adapter, which knows where the device finds them.
//! Everything else is given to it where it lies, by physical address, if it has addresses of 64 bits and nothing translates
//! on the way (DMA remapping, a machine whose memory is encrypted). If not, the port copies all data through memory of the
//! first kind, and nothing else has an address.

use core::ptr::{self, NonNull};

use sluice_miniport_virtio_blk::pci::resources::{Resources, Window};
use sluice_port::services::{BusPlace, Dma, DmaRequest, Mapping};
use sluice_shim::storport::configuration::AccessRange;
use wdk_sys::{
    DEVICE_REGISTRY_PROPERTY as registered, NTSTATUS, PHYSICAL_ADDRESS, STATUS_INSUFFICIENT_RESOURCES,
    ntddk::{MmAllocateContiguousMemorySpecifyCache, MmFreeContiguousMemorySpecifyCache},
};

use super::interrupt::Interrupts;
use crate::{
    function::fdo::Fdo,
    nt::{
        bus::Bus,
        dma::{CommonBuffer, DmaAdapter, physical},
        identity,
        irql::Passive,
        registers::Registers,
    },
    volume::MAX_TRANSFER,
};

const PAGE: usize = 4096;
/// INTERFACE_TYPE.
const INTERNAL: u32 = 0;
const PCI: u32 = 5;

/// The hardware of one adapter.
pub(super) struct Hardware {
    pub(super) resources: Resources,
    pub(super) interrupts: Interrupts,
    bus: Option<Bus>,
    place: BusPlace,
    dma: Option<DmaAdapters>,
}

/// A device's ways to memory, by how wide its addresses are.
struct DmaAdapters {
    wide: DmaAdapter,
    narrow: DmaAdapter,
    /// The device finds memory at physical addresses.
    is_direct: bool,
}

impl Hardware {
    /// Looks at what is there.
    ///
    /// # Errors
    /// STATUS_INSUFFICIENT_RESOURCES.
    pub(super) fn of(fdo: &Fdo, resources: Resources, at: Passive<'_>) -> Result<Self, NTSTATUS> {
        // SAFETY: attached.
        let bus = match unsafe { Bus::of(fdo.lower(), at) } {
            Ok(bus) => Some(bus),
            Err(STATUS_INSUFFICIENT_RESOURCES) => return Err(STATUS_INSUFFICIENT_RESOURCES),
            Err(_) => None, // a device that is on no such bus
        };
        let dma = if bus.is_some() { Some(DmaAdapters::of(fdo, at)?) } else { None };
        let interrupts = Interrupts::new(resources.interrupt().map(|interrupt| interrupt.irql))?;
        let place = place(fdo, &resources, bus.is_some(), at);
        Ok(Self { resources, interrupts, bus, place, dma })
    }

    /// Whether there is any.
    pub(super) fn is_there(&self) -> bool {
        self.bus.is_some() || self.resources != Resources::default()
    }

    /// Where it is.
    pub(super) fn place(&self) -> BusPlace {
        self.place
    }

    /// Its ranges, as they lie on the bus; how many there are.
    pub(super) fn access_ranges(&self, into: &mut [AccessRange]) -> usize {
        for (range, window) in into.iter_mut().zip(self.resources.all()) {
            let length = u32::try_from(window.length).unwrap_or(u32::MAX);
            *range = AccessRange { start: window.bus, length, in_memory: u8::from(!window.ports) };
        }
        self.resources.all().count()
    }

    /// Reads the configuration space. Up to DISPATCH_LEVEL.
    pub(super) fn read(&self, offset: u32, into: &mut [u8]) -> u32 {
        self.bus.as_ref().map_or(0, |bus| bus.read_bytes(offset, into))
    }

    /// Writes to it. Up to DISPATCH_LEVEL.
    pub(super) fn write(&self, offset: u32, bytes: &[u8]) -> u32 {
        self.bus.as_ref().map_or(0, |bus| bus.write_bytes(offset, bytes))
    }

    /// Maps a part of a range.
    pub(super) fn map(&self, start: u64, bytes: u32, in_io_space: bool, at: Passive<'_>) -> Option<Mapping> {
        let holds = |window: &Window| {
            let offset = start.checked_sub(window.bus);
            let end = offset.and_then(|offset| offset.checked_add(u64::from(bytes)));
            window.ports == in_io_space && end.is_some_and(|end| end <= window.length)
        };
        let window = self.resources.all().find(holds)?;
        let place = window.physical.checked_add(start - window.bus)?;
        let address = if window.by_ports {
            NonNull::new(ptr::without_provenance_mut(usize::try_from(place).ok()?))?
        } else {
            // SAFETY: a part of what the PnP manager has given to the device.
            unsafe { Registers::map(place, u64::from(bytes), at)? }.into_raw().cast()
        };
        Some(Mapping { address, bytes, in_io_space: window.by_ports })
    }

    /// Ends that.
    ///
    /// # Safety
    /// From [`Self::map`], and not used any more.
    pub(super) unsafe fn unmap(&self, mapping: &Mapping) {
        if !mapping.in_io_space {
            // SAFETY: the caller's contract.
            drop(unsafe { Registers::from_raw(mapping.address.cast(), mapping.bytes as usize) });
        }
    }

    /// See [`sluice_port::services::Services::finds_memory`].
    pub(super) fn finds_memory(&self, wide: bool) -> bool {
        self.dma.as_ref().is_none_or(|adapters| adapters.is_direct && wide)
    }

    /// See [`sluice_port::services::Services::physical_address`].
    pub(super) fn physical_address(&self, address: usize, length: usize) -> Option<(u64, usize)> {
        if self.dma.as_ref().is_some_and(|adapters| !adapters.is_direct) {
            return None;
        }
        let found = physical(address)?;
        (length > 0).then_some((found, (PAGE - address % PAGE).min(length)))
    }

    /// Memory for the device.
    pub(super) fn allocate(&self, request: &DmaRequest, at: Passive<'_>) -> Option<Dma> {
        let bytes = request.bytes.checked_next_multiple_of(PAGE)?;
        let (address, physical) = match self.common(request) {
            Some(adapter) => adapter.allocate(u32::try_from(bytes).ok()?, request.caching != 0, at)?,
            // At a physical address, which is then the device's.
            None if self.dma.as_ref().is_some_and(|adapters| !adapters.is_direct) => return None,
            None => contiguous(bytes, request)?,
        };
        Some(Dma { address, physical, request: *request })
    }

    /// Frees it. PASSIVE_LEVEL.
    ///
    /// # Safety
    /// From [`Self::allocate`], and neither driver nor device uses it any more.
    pub(super) unsafe fn free(&self, dma: &Dma) {
        let (request, bytes) = (&dma.request, dma.request.bytes.next_multiple_of(PAGE));
        // SAFETY: the caller's contract; the same request leads to the same kind of memory.
        unsafe {
            match self.common(request) {
                Some(adapter) => {
                    adapter.free(dma.address, dma.physical, bytes as u32, request.caching != 0);
                }
                None => MmFreeContiguousMemorySpecifyCache(
                    dma.address.as_ptr().cast(),
                    bytes as u64,
                    request.caching.cast_signed(),
                ),
            }
        }
    }

    /// Whose common buffers answer a request; none do if there is no device, or for memory that must lie somewhere particular.
    fn common(&self, request: &DmaRequest) -> Option<&DmaAdapter> {
        let adapters = self.dma.as_ref().filter(|_| request.lowest == 0 && request.boundary == 0)?;
        match request.highest {
            u64::MAX => Some(&adapters.wide),
            highest if highest >= u64::from(u32::MAX) => Some(&adapters.narrow),
            _ => None,
        }
    }
}

impl DmaAdapters {
    fn of(fdo: &Fdo, at: Passive<'_>) -> Result<Self, NTSTATUS> {
        let adapter = |wide| {
            // SAFETY: attached; the physical device is there as long as the adapter.
            unsafe { DmaAdapter::of(fdo.pdo, MAX_TRANSFER, wide, at) }.ok_or(STATUS_INSUFFICIENT_RESOURCES)
        };
        let (wide, narrow) = (adapter(true)?, adapter(false)?);
        // SAFETY: as above.
        let sample = unsafe { CommonBuffer::new(fdo.pdo, PAGE as u32, MAX_TRANSFER, at) };
        let is_direct = sample.ok_or(STATUS_INSUFFICIENT_RESOURCES)?.is_direct();
        Ok(Self { wide, narrow, is_direct })
    }
}

fn place(fdo: &Fdo, resources: &Resources, is_pci: bool, at: Passive<'_>) -> BusPlace {
    if !is_pci {
        return BusPlace { interface: INTERNAL, ..BusPlace::default() };
    }
    // SAFETY: attached.
    let number = |which| unsafe { identity::number(fdo.pdo, which, at) }.unwrap_or(0);
    // Of a PCI function: the device in the upper half, the function in the lower one.
    let address = number(registered::DevicePropertyAddress);
    let (level, vector) = resources.interrupt().map_or((0, 0), |interrupt| interrupt.bus);
    BusPlace {
        interface: PCI,
        bus: number(registered::DevicePropertyBusNumber),
        slot: (address >> 16 & 0x1F) | (address & 7) << 5,
        interrupt_level: level,
        interrupt_vector: vector,
    }
}

/// Contiguous memory as it was asked for, all zero, on a machine whose devices find it where processors do.
fn contiguous(bytes: usize, request: &DmaRequest) -> Option<(NonNull<u8>, u64)> {
    let address = |of: u64| PHYSICAL_ADDRESS { QuadPart: of.cast_signed() };
    // SAFETY: PASSIVE_LEVEL, as all that asks for such memory. Any caching type; an unknown one is refused.
    let start = unsafe {
        MmAllocateContiguousMemorySpecifyCache(
            bytes as u64,
            address(request.lowest),
            address(request.highest),
            address(request.boundary),
            request.caching.cast_signed(),
        )
    };
    let start = NonNull::new(start.cast::<u8>())?;
    // SAFETY: so many bytes were just allocated.
    unsafe { start.write_bytes(0, bytes) };
    Some((start, physical(start.addr().get()).unwrap_or(0)))
}
