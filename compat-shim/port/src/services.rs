//! What the port asks of whoever hosts it: the driver, the user-mode host, a test.
//!
//! Two traits: [`System`] is there once and knows no adapter; [`Services`] is one adapter's. Neither allocates for
//! its caller at raised IRQL except where it says so, and nothing of the port is called from inside of them unless
//! the method says so.

use core::{ffi::c_void, ptr::NonNull};

use sluice_shim::{
    platform::{LockWord, OldIrql},
    storport::{configuration::AccessRange, srb::Address},
};

use crate::{port::Port, registration::Registration, status::NtStatus, types::WatchdogInformation};

/// PASSIVE_LEVEL: may wait.
pub const PASSIVE_LEVEL: u8 = 0;
/// DISPATCH_LEVEL: DPCs and spin locks.
pub const DISPATCH_LEVEL: u8 = 2;

/// Which processor (`PROCESSOR_NUMBER`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processor {
    /// Processor group.
    pub group: u16,
    /// Number in the group.
    pub number: u8,
}

/// The machine's processors, as far as miniports ask. Groups and nodes count from zero.
#[derive(Clone, Copy, Debug)]
pub struct Topology {
    /// Processor groups.
    pub groups: u16,
    /// NUMA nodes.
    pub nodes: u32,
    /// Processors in all groups.
    pub processors: u32,
}

/// Kernel services that need no adapter.
///
/// # Safety
/// `acquire` gives mutual exclusion and DISPATCH_LEVEL until `release`; memory from `allocate` is the caller's alone.
pub unsafe trait System: Sync {
    /// StorPortInitialize has taken a miniport: `driver` and `path` are its first two arguments (on Windows the driver
    /// object and the registry path). The host keeps `registration` and makes a [`Port`] of it for each adapter.
    /// PASSIVE_LEVEL. The status is what StorPortInitialize returns.
    fn registered(&self, driver: *mut c_void, path: *mut c_void, registration: Registration) -> NtStatus;

    /// `bytes` zeroed bytes, aligned to 16, never paged out; for large requests (a page or more) page-aligned.
    /// `None` if there is no memory. Up to DISPATCH_LEVEL.
    fn allocate(&self, bytes: usize, tag: u32) -> Option<NonNull<u8>>;

    /// Frees it. Up to DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `memory` comes from `allocate` with the same `bytes` and `tag`, and nobody uses it any more.
    unsafe fn free(&self, memory: NonNull<u8>, bytes: usize, tag: u32);

    /// Takes a spin lock. Up to DISPATCH_LEVEL; DISPATCH_LEVEL until released.
    fn acquire(&self, lock: &LockWord) -> OldIrql;

    /// Releases it.
    ///
    /// # Safety
    /// The caller holds `lock`, and `old` comes from its `acquire`.
    unsafe fn release(&self, lock: &LockWord, old: OldIrql);

    /// The calling processor's IRQL. Any IRQL.
    fn irql(&self) -> u8;

    /// Something that is the same for two calls only if they come from the same thread (on Windows `KeGetCurrentThread`;
    /// at raised IRQL it cannot change). Never zero. Any IRQL.
    fn executor(&self) -> usize;

    /// The calling processor. Any IRQL.
    fn processor(&self) -> Processor;

    /// The machine's processors. Any IRQL.
    fn topology(&self) -> Topology;

    /// Mask of the active processors of `group`. Any IRQL.
    fn group_affinity(&self, group: u16) -> Option<usize>;

    /// Group and mask of the processors of NUMA node `node`. Any IRQL.
    fn node_affinity(&self, node: u32) -> Option<(u16, usize)>;

    /// The time of day in 100 ns since 1601-01-01 UTC. Any IRQL.
    fn system_time(&self) -> i64;

    /// A monotonic counter and its frequency in Hz. Any IRQL.
    fn performance_counter(&self) -> (i64, i64);

    /// What the watchdog of DPCs allows (KeQueryDpcWatchdogInformation); `None` if it cannot be said. DISPATCH_LEVEL.
    fn watchdog(&self) -> Option<WatchdogInformation> {
        None
    }

    /// Microseconds since some moment in the past; monotonic. Any IRQL.
    fn now(&self) -> u64;

    /// Does nothing for so many microseconds without giving up the processor. Any IRQL.
    fn stall(&self, microseconds: u32);

    /// A line for the debugger, not terminated. Any IRQL.
    fn debug_print(&self, level: u32, line: &[u8]);
}

/// What a miniport's adapter looks like to the bus.
#[derive(Clone, Copy, Debug, Default)]
pub struct BusPlace {
    /// INTERFACE_TYPE (5: PCIBus, 16: virtual).
    pub interface: u32,
    /// Bus number.
    pub bus: u32,
    /// Slot number (PCI: device in bits 0 to 4, function in bits 5 to 7).
    pub slot: u32,
    /// Interrupt level and vector; zero if there is no line interrupt.
    pub interrupt_level: u32,
    /// See above.
    pub interrupt_vector: u32,
}

/// One MSI or MSI-X message, as `MESSAGE_INTERRUPT_INFORMATION` says it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message {
    /// Where the device writes.
    pub address: u64,
    /// What it writes.
    pub data: u32,
    /// Vector.
    pub vector: u32,
    /// Device IRQL.
    pub level: u32,
}

/// How the port wants to be interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptMode {
    /// Not at all: a virtual miniport, or one that gave no interrupt routine.
    None,
    /// A line: call [`Port::interrupt`].
    Line,
    /// Messages, if the adapter has any: call [`Port::message_interrupt`]; else a line. All messages share one lock
    /// (`InterruptSynchronizeAll`) or have their own (`InterruptSynchronizePerMessage`).
    Messages {
        /// One lock for each message.
        lock_each: bool,
    },
}

/// Which interrupt lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptLock {
    /// That of the line, or of all messages.
    Common,
    /// That of one message.
    Message(u32),
}

/// Memory that a device can reach.
#[derive(Clone, Copy, Debug)]
pub struct DmaRequest {
    /// Length.
    pub bytes: usize,
    /// Lowest bus address allowed.
    pub lowest: u64,
    /// Highest bus address allowed, of the last byte.
    pub highest: u64,
    /// The memory may not cross a multiple of this (a power of two); 0: it may cross anything.
    pub boundary: u64,
    /// MEMORY_CACHING_TYPE: 0 not cached, 1 cached, 2 write combined.
    pub caching: u32,
    /// NUMA node wanted, or `u32::MAX`.
    pub node: u32,
}

/// Such memory.
#[derive(Clone, Copy, Debug)]
pub struct Dma {
    /// System address, page-aligned, zeroed.
    pub address: NonNull<u8>,
    /// The device's address of it.
    pub physical: u64,
    /// What was asked for.
    pub request: DmaRequest,
}

/// A part of an address range of the adapter's, as its miniport reaches it.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// Where; of ports the number of the first.
    pub address: NonNull<c_void>,
    /// Length.
    pub bytes: u32,
    /// It is ports.
    pub in_io_space: bool,
}

/// Where a value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryKey<'a> {
    /// The driver's `Parameters\Device` key, for all of its adapters.
    AllAdapters,
    /// This adapter's `Parameters\Device<n>` key.
    Adapter,
    /// A subkey of the adapter's hardware key. ASCII.
    Hardware(&'a [u8]),
}

/// Why a value was not read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// There is no such value, or it is of another type.
    NotFound,
    /// The buffer is too small; so many bytes are needed.
    TooSmall(u32),
    /// Refused, or a failure of the registry.
    Failed,
}

/// What is written to the system's event log (StorPortLogError, StorPortLogSystemEvent).
#[derive(Clone, Copy, Debug)]
pub struct LogEvent<'a> {
    /// The unit that it concerns.
    pub address: Option<Address>,
    /// Error code.
    pub error: u32,
    /// The miniport's own number for the place.
    pub unique: u32,
    /// Anything else.
    pub data: &'a [u8],
}

/// A miniport's trace event (StorPortEtwEvent*). Names are UTF-16 without their terminators; there are at most eight.
#[derive(Clone, Copy, Debug)]
pub struct TraceEvent<'a> {
    /// The unit that it concerns.
    pub address: Option<Address>,
    /// The miniport's number of the event.
    pub id: u32,
    /// What happened.
    pub description: &'a [u16],
    /// STORPORT_ETW_EVENT_KEYWORD_*.
    pub keywords: u64,
    /// STORPORT_ETW_LEVEL.
    pub level: u32,
    /// STORPORT_ETW_EVENT_OPCODE.
    pub opcode: u32,
    /// Named values.
    pub parameters: &'a [(&'a [u16], u64)],
}

/// Something happened that the host may want to act on. None of these waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Units may have come or gone on this bus (`None`: on any): enumerate again.
    BusChanged(Option<u8>),
    /// The state of this unit has changed: a STATE_CHANGE_* attribute mask.
    UnitChanged(Address, u32),
    /// The adapter is gone for good: no request will be answered by it any more.
    AdapterFailed,
    /// The unit is to be taken for failed (StorPortMarkDeviceFailed; `None`: the adapter).
    MarkedFailed(Option<Address>),
    /// StorPortAsyncNotificationDetected, with its flags.
    Notification(Option<Address>, u64),
    /// A link went up or down.
    Link(bool),
    /// The port goes, and its miniport has left so many pieces of memory, timers, workers and mappings. PASSIVE_LEVEL.
    Leaked(u32),
}

/// One adapter's services.
///
/// # Safety
/// Memory and mappings are what they say they are, and interrupt locks exclude the interrupt routine that they are for.
pub unsafe trait Services: Sync {
    /// The services that need no adapter.
    fn system(&self) -> &'static dyn System;

    /// Has [`Port::run_dpcs`] called soon, once, at DISPATCH_LEVEL, outside any lock. Calls before it has begun may be
    /// answered by one run. Any IRQL up to that of the interrupt.
    fn request_dpc(&self, port: &Port);

    /// Has [`Port::run_work`] called soon at PASSIVE_LEVEL. Calls before it has begun may be answered by one run. Up to
    /// DISPATCH_LEVEL.
    fn request_work(&self, port: &Port);

    /// Has [`Port::run_timers`] called at DISPATCH_LEVEL, outside any lock, after at least so many microseconds. One
    /// timer: a later call replaces an earlier one. Up to DISPATCH_LEVEL.
    fn arm_timer(&self, port: &Port, microseconds: u64);

    /// Where the adapter is. PASSIVE_LEVEL.
    fn place(&self) -> BusPlace;

    /// The adapter's address ranges (BARs), in their order; answers how many there are, of which as many as fit are
    /// written. PASSIVE_LEVEL.
    fn access_ranges(&self, ranges: &mut [AccessRange]) -> usize;

    /// Connects the interrupt; answers how many messages there are (0: a line, or none). From now on the port's
    /// interrupt functions may be called. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What IoConnectInterruptEx says.
    fn connect_interrupt(&self, port: &Port, mode: InterruptMode) -> Result<u32, NtStatus>;

    /// Disconnects it: afterwards they are not called any more. PASSIVE_LEVEL.
    fn disconnect_interrupt(&self, port: &Port);

    /// One message's particulars. Any IRQL.
    fn message(&self, id: u32) -> Option<Message>;

    /// Takes an interrupt lock, which raises to the interrupt's IRQL (without an interrupt: DISPATCH_LEVEL). Any IRQL up
    /// to that.
    fn acquire_interrupt(&self, lock: InterruptLock) -> OldIrql;

    /// Releases it.
    ///
    /// # Safety
    /// The caller holds it, and `old` comes from its `acquire_interrupt`.
    unsafe fn release_interrupt(&self, lock: InterruptLock, old: OldIrql);

    /// Memory that the device can reach. PASSIVE_LEVEL.
    fn allocate_dma(&self, request: &DmaRequest) -> Option<Dma>;

    /// Frees it. PASSIVE_LEVEL.
    ///
    /// # Safety
    /// `dma` comes from `allocate_dma`, and neither driver nor device uses it any more.
    unsafe fn free_dma(&self, dma: &Dma);

    /// The device's address of `address`, and for how many bytes from there it goes on without a break (at least one;
    /// at most `length`). `None` if the memory is not there or not locked. Up to DISPATCH_LEVEL.
    fn physical_address(&self, address: *const c_void, length: usize) -> Option<(u64, usize)>;

    /// Whether the device, if its addresses have 64 bits (`wide`) or 32, finds all memory where it lies: data goes to it without
    /// being copied. PASSIVE_LEVEL.
    fn finds_memory(&self, _wide: bool) -> bool {
        true
    }

    /// Maps `bytes` of a BAR (bus address `start`), which the adapter has. PASSIVE_LEVEL.
    fn map(&self, start: u64, bytes: u32, in_io_space: bool) -> Option<Mapping>;

    /// Ends the mapping. PASSIVE_LEVEL.
    ///
    /// # Safety
    /// `mapping` comes from `map` and is not used any more.
    unsafe fn unmap(&self, mapping: &Mapping);

    /// Reads the adapter's bus configuration space; answers how many bytes. Up to DISPATCH_LEVEL.
    fn read_bus_data(&self, offset: u32, data: &mut [u8]) -> u32;

    /// Writes to it; answers how many bytes. Up to DISPATCH_LEVEL.
    fn write_bus_data(&self, offset: u32, data: &[u8]) -> u32;

    /// Reads a value of a registry type (REG_SZ 1, REG_BINARY 3, REG_DWORD 4, REG_MULTI_SZ 7); answers its bytes. Names
    /// are ASCII. Strings come as ASCII, terminated. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// See [`RegistryError`].
    fn read_registry(
        &self,
        key: RegistryKey<'_>,
        name: &[u8],
        kind: u32,
        data: &mut [u8],
    ) -> Result<u32, RegistryError>;

    /// Writes a value. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// See [`RegistryError`].
    fn write_registry(
        &self,
        key: RegistryKey<'_>,
        name: &[u8],
        kind: u32,
        data: &[u8],
    ) -> Result<(), RegistryError>;

    /// Writes to the event log. Any IRQL up to that of the interrupt: the host copies what it needs.
    fn log(&self, event: &LogEvent<'_>);

    /// Writes a trace event. Up to DISPATCH_LEVEL. `false` if nobody could be told.
    fn trace(&self, event: &TraceEvent<'_>) -> bool;

    /// Tells the host. Any IRQL up to that of the interrupt.
    fn event(&self, event: Event);

    /// A WMI event block of a miniport, as it is to be sent (IoWMIWriteEvent). Any IRQL up to that of the interrupt.
    fn wmi_event(&self, address: Option<Address>, event: &[u8]);

    /// StorPortCompleteServiceIrp: a virtual miniport is done with an IRP that it was given. Up to DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `irp` comes from the host, by way of [`Port::process_service_request`].
    unsafe fn complete_service_irp(&self, irp: NonNull<c_void>);

    /// Adapter, physical and attached device objects (StorPortGetDeviceObjects). Any IRQL.
    fn device_objects(&self) -> Option<[*mut c_void; 3]> {
        None
    }

    /// The number of this port in the system (`\Device\RaidPort<n>`). Any IRQL.
    fn port_number(&self) -> u32 {
        0
    }
}
