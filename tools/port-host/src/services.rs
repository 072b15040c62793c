//! What a port asks of its adapter's host.

use std::{
    ffi::c_void,
    ptr::NonNull,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use sluice_port::{
    port::Port,
    services::{
        BusPlace, DISPATCH_LEVEL, Dma, DmaRequest, Event, InterruptLock, InterruptMode, LogEvent, Mapping,
        Message, PASSIVE_LEVEL, RegistryError, RegistryKey, Services, System, TraceEvent,
    },
    status::NtStatus,
};
use sluice_shim::{
    platform::{LockWord, OldIrql},
    storport::{configuration::AccessRange, srb::Address},
};

use crate::{
    dma::{self, Blocks},
    hardware::{Hardware, Record},
    irql::{self, DEVICE_LEVEL},
    system::{give, host, take},
};

/// Bus addresses of the ranges begin here, 16 MiB apart.
const FIRST_RANGE: u64 = 0xF000_0000;
const RANGES_APART: u64 = 16 << 20;
/// Most messages.
const MESSAGES: usize = 64;

/// See [`left`].
static LEFT: AtomicU32 = AtomicU32::new(0);

/// Pieces of memory, timers, workers and mappings that miniports of this process have left when their adapters went.
#[must_use]
pub fn left() -> u32 {
    LEFT.load(Relaxed)
}

/// What the adapter's threads are to do.
#[derive(Debug, Default)]
pub(crate) struct Due {
    pub(crate) dpc: bool,
    pub(crate) work: bool,
    pub(crate) timer: Option<Instant>,
    pub(crate) stop: bool,
    /// Somebody is running them.
    pub(crate) in_dpc: bool,
    pub(crate) in_work: bool,
}

/// One adapter's host.
pub(crate) struct Inner {
    pub(crate) hardware: Mutex<Hardware>,
    pub(crate) record: Mutex<Record>,
    pub(crate) due: Mutex<Due>,
    pub(crate) changed: Condvar,
    pub(crate) port: AtomicPtr<Port>,
    pub(crate) blocks: Mutex<Blocks>,
    /// The ranges' bytes.
    pub(crate) ranges: Vec<Vec<u64>>,
    interrupt: LockWord,
    messages: [LockWord; MESSAGES],
    /// Whether the interrupt is connected, and how.
    pub(crate) connected: Mutex<Option<InterruptMode>>,
}

/// A lock whose holder may have panicked: tests go on to say why.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(crate) fn new(hardware: Hardware) -> Self {
        let mut ranges: Vec<Vec<u64>> =
            hardware.ranges.iter().map(|&bytes| vec![0; (bytes as usize).div_ceil(8)]).collect();
        for (place, bytes) in ranges.iter_mut().take(1).flatten().zip(hardware.registers.chunks(8)) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            *place = u64::from_le_bytes(word);
        }
        Self {
            hardware: Mutex::new(hardware),
            record: Mutex::default(),
            due: Mutex::default(),
            changed: Condvar::new(),
            port: AtomicPtr::default(),
            blocks: Mutex::default(),
            ranges,
            interrupt: LockWord(AtomicUsize::new(0)),
            messages: [const { LockWord(AtomicUsize::new(0)) }; MESSAGES],
            connected: Mutex::new(None),
        }
    }

    fn lock_of(&self, lock: InterruptLock) -> &LockWord {
        match lock {
            InterruptLock::Common => &self.interrupt,
            InterruptLock::Message(id) => self.messages.get(id as usize).unwrap_or(&self.interrupt),
        }
    }

    fn wake(&self, change: impl FnOnce(&mut Due)) {
        change(&mut lock(&self.due));
        self.changed.notify_all();
    }
}

fn key_of(key: RegistryKey<'_>, name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    match key {
        RegistryKey::AllAdapters => format!("all/{name}"),
        RegistryKey::Adapter => format!("adapter/{name}"),
        RegistryKey::Hardware(subkey) => format!("hardware/{}/{name}", String::from_utf8_lossy(subkey)),
    }
}

// SAFETY: memory is what it says; the interrupt locks are taken by `Adapter`'s interrupts too.
unsafe impl Services for Inner {
    fn system(&self) -> &'static dyn System {
        host()
    }

    fn request_dpc(&self, _port: &Port) {
        self.wake(|due| due.dpc = true);
    }

    fn request_work(&self, _port: &Port) {
        irql::at_most(DISPATCH_LEVEL, "work requested");
        self.wake(|due| due.work = true);
    }

    fn arm_timer(&self, _port: &Port, microseconds: u64) {
        irql::at_most(DISPATCH_LEVEL, "the timer set");
        let at = Instant::now() + Duration::from_micros(microseconds.min(3_600_000_000));
        self.wake(|due| due.timer = Some(at));
    }

    fn place(&self) -> BusPlace {
        lock(&self.hardware).place
    }

    fn access_ranges(&self, ranges: &mut [AccessRange]) -> usize {
        let hardware = lock(&self.hardware);
        for (number, (range, length)) in ranges.iter_mut().zip(&hardware.ranges).enumerate() {
            let start = FIRST_RANGE + number as u64 * RANGES_APART;
            *range = AccessRange { start, length: *length, in_memory: 1 };
        }
        hardware.ranges.len()
    }

    fn connect_interrupt(&self, _port: &Port, mode: InterruptMode) -> Result<u32, NtStatus> {
        irql::at_most(PASSIVE_LEVEL, "the interrupt connected");
        *lock(&self.connected) = Some(mode);
        Ok(match mode {
            InterruptMode::Messages { .. } => lock(&self.hardware).messages.min(MESSAGES as u32),
            _ => 0,
        })
    }

    fn disconnect_interrupt(&self, _port: &Port) {
        *lock(&self.connected) = None;
        // Whoever is inside of it leaves.
        for word in self.messages.iter().chain([&self.interrupt]) {
            give(word, take(word, DEVICE_LEVEL));
        }
    }

    fn message(&self, id: u32) -> Option<Message> {
        let vector = 0x50 + id;
        Some(Message { address: 0xFEE0_0000, data: vector, vector, level: u32::from(DEVICE_LEVEL) })
    }

    fn acquire_interrupt(&self, which: InterruptLock) -> OldIrql {
        take(self.lock_of(which), DEVICE_LEVEL)
    }

    unsafe fn release_interrupt(&self, which: InterruptLock, old: OldIrql) {
        give(self.lock_of(which), old);
    }

    fn allocate_dma(&self, request: &DmaRequest) -> Option<Dma> {
        irql::at_most(PASSIVE_LEVEL, "device memory allocated");
        lock(&self.blocks).allocate(request)
    }

    unsafe fn free_dma(&self, dma: &Dma) {
        irql::at_most(PASSIVE_LEVEL, "device memory freed");
        // SAFETY: the caller's contract.
        unsafe { lock(&self.blocks).free(dma) };
    }

    fn physical_address(&self, address: *const c_void, length: usize) -> Option<(u64, usize)> {
        if let Some(found) = lock(&self.blocks).physical_of(address) {
            return Some(found);
        }
        if lock(&self.hardware).translated {
            return None;
        }
        Some((dma::ordinary(address as usize), dma::rest_of_page(address as usize).min(length)))
    }

    fn finds_memory(&self, _wide: bool) -> bool {
        !lock(&self.hardware).translated
    }

    fn map(&self, start: u64, bytes: u32, in_io_space: bool) -> Option<Mapping> {
        let offset = start.checked_sub(FIRST_RANGE)?;
        let range = self.ranges.get((offset / RANGES_APART) as usize)?;
        let inside = (offset % RANGES_APART) as usize;
        let fits = inside.checked_add(bytes as usize)? <= range.len() * 8;
        // SAFETY: inside the range's bytes, which live as long as `self`.
        let address = fits.then(|| unsafe { NonNull::from(&range[..]).cast::<u8>().add(inside).cast() })?;
        Some(Mapping { address, bytes, in_io_space })
    }

    unsafe fn unmap(&self, _mapping: &Mapping) {}

    fn read_bus_data(&self, offset: u32, data: &mut [u8]) -> u32 {
        let hardware = lock(&self.hardware);
        let there = hardware.configuration.get(offset as usize..).unwrap_or(&[]);
        let length = there.len().min(data.len());
        data[..length].copy_from_slice(&there[..length]);
        length as u32
    }

    fn write_bus_data(&self, offset: u32, data: &[u8]) -> u32 {
        let mut hardware = lock(&self.hardware);
        let there = hardware.configuration.get_mut(offset as usize..).unwrap_or(&mut []);
        let length = there.len().min(data.len());
        there[..length].copy_from_slice(&data[..length]);
        length as u32
    }

    fn read_registry(
        &self,
        key: RegistryKey<'_>,
        name: &[u8],
        kind: u32,
        data: &mut [u8],
    ) -> Result<u32, RegistryError> {
        irql::at_most(PASSIVE_LEVEL, "the registry read");
        let hardware = lock(&self.hardware);
        let (is, value) = hardware.registry.get(&key_of(key, name)).ok_or(RegistryError::NotFound)?;
        if *is != kind {
            return Err(RegistryError::NotFound);
        }
        let room = data.get_mut(..value.len()).ok_or(RegistryError::TooSmall(value.len() as u32))?;
        room.copy_from_slice(value);
        Ok(value.len() as u32)
    }

    fn write_registry(
        &self,
        key: RegistryKey<'_>,
        name: &[u8],
        kind: u32,
        data: &[u8],
    ) -> Result<(), RegistryError> {
        irql::at_most(PASSIVE_LEVEL, "the registry written");
        lock(&self.hardware).registry.insert(key_of(key, name), (kind, data.to_vec()));
        Ok(())
    }

    fn log(&self, event: &LogEvent<'_>) {
        lock(&self.record).log.push((event.address, event.error, event.unique, event.data.to_vec()));
    }

    fn trace(&self, event: &TraceEvent<'_>) -> bool {
        let named = event.parameters.iter().filter(|(name, _)| !name.is_empty());
        let named = named.map(|(name, value)| (String::from_utf16_lossy(name), *value)).collect();
        lock(&self.record).traces.push((event.id, String::from_utf16_lossy(event.description), named));
        true
    }

    fn event(&self, event: Event) {
        if let Event::Leaked(pieces) = event {
            LEFT.fetch_add(pieces, Relaxed);
        }
        lock(&self.record).events.push(event);
    }

    fn wmi_event(&self, _address: Option<Address>, event: &[u8]) {
        lock(&self.record).wmi.push(event.to_vec());
    }

    unsafe fn complete_service_irp(&self, irp: NonNull<c_void>) {
        lock(&self.record).completed_irps.push(irp.as_ptr() as usize);
    }
}
