//! What a port asks of the kernel for its adapter.
//!
//! Adapters that have hardware are not hosted yet: there are no address ranges, no configuration space and no interrupt
//! here, so that a miniport that needs them does not find its adapter. Memory for devices and its addresses are there, as
//! many a miniport asks for them before it knows.

use core::{ffi::c_void, mem::size_of, ptr::NonNull};

use sluice_port::{
    port::Port,
    services::{
        BusPlace, Dma, DmaRequest, Event, InterruptLock, InterruptMode, LogEvent, Message, RegistryError,
        RegistryKey, Services, System, TraceEvent,
    },
    status::NtStatus,
};
use sluice_shim::{
    platform::OldIrql,
    storport::{configuration::AccessRange, srb::Address},
};
use wdk_sys::{
    _DEVICE_RELATION_TYPE::BusRelations,
    PHYSICAL_ADDRESS,
    ntddk::{
        IoInvalidateDeviceRelations, MmAllocateContiguousMemorySpecifyCache,
        MmFreeContiguousMemorySpecifyCache, MmGetPhysicalAddress,
    },
};

use super::{adapter::Host, registry, system::Kernel};

const PAGE: usize = 4096;

fn physical(address: u64) -> PHYSICAL_ADDRESS {
    PHYSICAL_ADDRESS { QuadPart: address.cast_signed() }
}

/// The bus address of memory that is resident, on a system whose devices see memory as processors do.
fn physical_of(address: *const c_void) -> u64 {
    // SAFETY: any address may be asked for; 0 if nothing is there.
    unsafe { MmGetPhysicalAddress(address.cast_mut()).QuadPart.cast_unsigned() }
}

// SAFETY: memory is the kernel's; the interrupt lock is a KSPIN_LOCK, and there is no interrupt.
unsafe impl Services for Host {
    fn system(&self) -> &'static dyn System {
        &Kernel
    }

    fn request_dpc(&self, _port: &Port) {
        Self::request_dpc(self);
    }

    fn request_work(&self, _port: &Port) {
        Self::request_work(self);
    }

    fn arm_timer(&self, _port: &Port, microseconds: u64) {
        Self::arm_timer(self, microseconds);
    }

    fn place(&self) -> BusPlace {
        const INTERNAL: u32 = 0;
        BusPlace { interface: INTERNAL, ..BusPlace::default() }
    }

    fn access_ranges(&self, _ranges: &mut [AccessRange]) -> usize {
        0
    }

    fn connect_interrupt(&self, _port: &Port, _mode: InterruptMode) -> Result<u32, NtStatus> {
        Ok(0)
    }

    fn disconnect_interrupt(&self, _port: &Port) {}

    fn message(&self, _id: u32) -> Option<Message> {
        None
    }

    fn acquire_interrupt(&self, _lock: InterruptLock) -> OldIrql {
        Kernel.acquire(&self.interrupt)
    }

    unsafe fn release_interrupt(&self, _lock: InterruptLock, old: OldIrql) {
        // SAFETY: the caller's contract.
        unsafe { Kernel.release(&self.interrupt, old) };
    }

    fn allocate_dma(&self, request: &DmaRequest) -> Option<Dma> {
        let bytes = request.bytes.checked_next_multiple_of(PAGE)?;
        // SAFETY: PASSIVE_LEVEL by contract. Any caching type; an unknown one is refused.
        let address = unsafe {
            MmAllocateContiguousMemorySpecifyCache(
                bytes as u64,
                physical(request.lowest),
                physical(request.highest),
                physical(request.boundary),
                request.caching.cast_signed(),
            )
        };
        let address = NonNull::new(address.cast::<u8>())?;
        // SAFETY: so many bytes were just allocated.
        unsafe { address.write_bytes(0, bytes) };
        Some(Dma { address, physical: physical_of(address.as_ptr().cast()), request: *request })
    }

    unsafe fn free_dma(&self, dma: &Dma) {
        let bytes = dma.request.bytes.next_multiple_of(PAGE);
        // SAFETY: the caller's contract.
        unsafe {
            let caching = dma.request.caching.cast_signed();
            MmFreeContiguousMemorySpecifyCache(dma.address.as_ptr().cast(), bytes as u64, caching);
        }
    }

    fn physical_address(&self, address: *const c_void, length: usize) -> Option<(u64, usize)> {
        let found = physical_of(address);
        let rest = PAGE - address.addr() % PAGE;
        (found != 0 && length > 0).then_some((found, rest.min(length)))
    }

    fn map(&self, _start: u64, _bytes: u32, _in_io_space: bool) -> Option<NonNull<c_void>> {
        None
    }

    unsafe fn unmap(&self, _address: NonNull<c_void>) {}

    fn read_bus_data(&self, _offset: u32, _data: &mut [u8]) -> u32 {
        0
    }

    fn write_bus_data(&self, _offset: u32, _data: &[u8]) -> u32 {
        0
    }

    fn read_registry(
        &self,
        key: RegistryKey<'_>,
        name: &[u8],
        kind: u32,
        data: &mut [u8],
    ) -> Result<u32, RegistryError> {
        registry::read(self, key, name, kind, data)
    }

    fn write_registry(
        &self,
        key: RegistryKey<'_>,
        name: &[u8],
        kind: u32,
        data: &[u8],
    ) -> Result<(), RegistryError> {
        registry::write(self, key, name, kind, data)
    }

    fn log(&self, event: &LogEvent<'_>) {
        // To the debugger only: an entry in the event log needs a message table, which a miniport has none of.
        Kernel.debug_print(0, b"a miniport reports an error\n");
        let _ = event;
    }

    fn trace(&self, _event: &TraceEvent<'_>) -> bool {
        false
    }

    fn event(&self, event: Event) {
        if let Event::BusChanged(_) = event {
            let [_, physical, _] = self.devices;
            // SAFETY: attached, so the physical device is there. Up to DISPATCH_LEVEL: an adapter without an interrupt has
            // no higher level to call from.
            unsafe { IoInvalidateDeviceRelations(physical.as_ptr(), BusRelations) };
        }
    }

    fn wmi_event(&self, _address: Option<Address>, _event: &[u8]) {}

    unsafe fn complete_service_irp(&self, _irp: NonNull<c_void>) {
        // None is ever given to it: the adapter takes no IOCTL_MINIPORT_PROCESS_SERVICE_IRP.
    }

    fn device_objects(&self) -> Option<[*mut c_void; 3]> {
        Some(self.devices.map(|device| device.as_ptr().cast()))
    }

    fn port_number(&self) -> u32 {
        u32::from(self.number)
    }
}

const _: () = assert!(size_of::<PHYSICAL_ADDRESS>() == 8);
