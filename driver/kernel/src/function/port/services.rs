//! What a port asks of the kernel for its adapter.

use core::{ffi::c_void, mem::size_of, ptr::NonNull};

use sluice_port::{
    port::Port,
    services::{
        BusPlace, Dma, DmaRequest, Event, InterruptLock, InterruptMode, LogEvent, Mapping, Message,
        RegistryError, RegistryKey, Services, System, TraceEvent,
    },
    status::NtStatus,
};
use sluice_shim::{
    platform::OldIrql,
    storport::{configuration::AccessRange, srb::Address},
};
use wdk_sys::PHYSICAL_ADDRESS;

use super::{adapter::Host, registry, system::Kernel};
use crate::nt::irql::Passive;

/// For what the port calls at PASSIVE_LEVEL.
const fn passive() -> Passive<'static> {
    // SAFETY: the contract of the methods that it is used in.
    unsafe { Passive::assume() }
}

// SAFETY: memory is the kernel's, and so are mappings; an interrupt's routine takes the lock that goes with it.
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
        self.hardware.place()
    }

    fn access_ranges(&self, ranges: &mut [AccessRange]) -> usize {
        self.hardware.access_ranges(ranges)
    }

    fn connect_interrupt(&self, _port: &Port, mode: InterruptMode) -> Result<u32, NtStatus> {
        let [_, physical, _] = self.devices;
        // SAFETY: the device has been started; the host stays until the port, which disconnects it, has gone. The port
        // connects and disconnects one after another.
        let connected = unsafe { self.hardware.interrupts.connect(physical, self, mode, passive()) };
        connected.map_err(|status| NtStatus(status.cast_unsigned()))
    }

    fn disconnect_interrupt(&self, _port: &Port) {
        // SAFETY: as above.
        unsafe { self.hardware.interrupts.disconnect(passive()) };
    }

    fn message(&self, id: u32) -> Option<Message> {
        self.hardware.interrupts.message(id)
    }

    fn acquire_interrupt(&self, lock: InterruptLock) -> OldIrql {
        self.hardware.interrupts.acquire(lock)
    }

    unsafe fn release_interrupt(&self, lock: InterruptLock, old: OldIrql) {
        // SAFETY: the caller's contract.
        unsafe { self.hardware.interrupts.release(lock, old) };
    }

    fn allocate_dma(&self, request: &DmaRequest) -> Option<Dma> {
        self.hardware.allocate(request, passive())
    }

    unsafe fn free_dma(&self, dma: &Dma) {
        // SAFETY: the caller's contract.
        unsafe { self.hardware.free(dma) };
    }

    fn physical_address(&self, address: *const c_void, length: usize) -> Option<(u64, usize)> {
        self.hardware.physical_address(address.addr(), length)
    }

    fn finds_memory(&self, wide: bool) -> bool {
        self.hardware.finds_memory(wide)
    }

    fn map(&self, start: u64, bytes: u32, in_io_space: bool) -> Option<Mapping> {
        self.hardware.map(start, bytes, in_io_space, passive())
    }

    unsafe fn unmap(&self, mapping: &Mapping) {
        // SAFETY: the caller's contract.
        unsafe { self.hardware.unmap(mapping) };
    }

    fn read_bus_data(&self, offset: u32, data: &mut [u8]) -> u32 {
        self.hardware.read(offset, data)
    }

    fn write_bus_data(&self, offset: u32, data: &[u8]) -> u32 {
        self.hardware.write(offset, data)
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

    fn trace(&self, event: &TraceEvent<'_>) -> bool {
        // To the debugger: there is no trace provider here.
        let mut line = [0; 40];
        for (to, from) in line.iter_mut().zip(event.description.iter().chain(&[u16::from(b'\n')])) {
            *to = u8::try_from(*from).unwrap_or(b'?');
        }
        Kernel.debug_print(event.level, &line[..(event.description.len() + 1).min(40)]);
        true
    }

    fn event(&self, event: Event) {
        if let Event::BusChanged(_) = event {
            self.bus_changed();
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
