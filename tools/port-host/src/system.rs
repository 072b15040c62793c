//! What needs no adapter: memory, spin locks, clocks, and miniports as they are loaded.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    ffi::c_void,
    hint,
    ptr::NonNull,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{
            AtomicI64, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use sluice_port::{
    exports,
    registration::Registration,
    services::{DISPATCH_LEVEL, Processor, System, Topology},
    status::NtStatus,
    types::WatchdogInformation,
};
use sluice_shim::platform::{LockWord, OldIrql};

use crate::irql;

/// A lock that is not had after so long is a deadlock.
const PATIENCE: Duration = Duration::from_secs(30);
/// 1601 to 1970 in 100 ns.
const EPOCH: i64 = 116_444_736_000_000_000;

/// The one system of this process.
pub(crate) struct Host {
    began: Instant,
    allocations: AtomicU64,
    /// Allocations until one fails; negative: never.
    until_failure: AtomicI64,
    registered: Mutex<Vec<(usize, Registration)>>,
}

// SAFETY: the registrations are only cloned out; all else is atomic.
unsafe impl Sync for Host {}

static HOST: OnceLock<Host> = OnceLock::new();
static SYSTEM: OnceLock<&'static dyn System> = OnceLock::new();

/// The host, made and made known to the exports when it is first asked for.
pub(crate) fn host() -> &'static Host {
    let host = HOST.get_or_init(|| Host {
        began: Instant::now(),
        allocations: AtomicU64::new(0),
        until_failure: AtomicI64::new(-1),
        registered: Mutex::new(Vec::new()),
    });
    exports::install(SYSTEM.get_or_init(|| host));
    host
}

/// Memory that is allocated through the host now, in pieces.
#[must_use]
pub fn allocations() -> u64 {
    host().allocations.load(Acquire)
}

/// Has the `n`th allocation from now on fail (0: the next one); `None`: none.
pub fn fail_allocation(n: Option<u32>) {
    host().until_failure.store(n.map_or(-1, i64::from), Release);
}

/// DriverEntry, and what it has registered with StorPortInitialize.
///
/// # Errors
/// What DriverEntry returns; DEVICE_NOT_READY if it has registered nothing.
///
/// # Safety
/// `driver_entry` is a miniport's.
pub unsafe fn load(
    driver_entry: unsafe extern "system" fn(driver: *mut c_void, path: *mut c_void) -> u32,
) -> Result<Registration, NtStatus> {
    static DRIVERS: AtomicUsize = AtomicUsize::new(0x1000);
    let driver = DRIVERS.fetch_add(0x10, Relaxed);
    let host = host();
    // SAFETY: the caller's contract. The port takes both arguments for what identifies the driver, no more.
    let status = NtStatus(unsafe { driver_entry(driver as *mut c_void, driver as *mut c_void) });
    let mut registered = host.registered.lock().unwrap_or_else(PoisonError::into_inner);
    let found = registered.iter().position(|(of, _)| *of == driver).map(|at| registered.remove(at).1);
    status.ok()?;
    found.ok_or(NtStatus::DEVICE_NOT_READY)
}

impl Host {
    pub(crate) fn is_out_of_memory(&self) -> bool {
        let left = self.until_failure.load(Acquire);
        left >= 0 && self.until_failure.fetch_sub(1, Relaxed) == 0
    }
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.max(1), if bytes >= 4096 { 4096 } else { 16 }).ok()
}

fn spin(lock: &LockWord) {
    let began = Instant::now();
    let mut turns = 0u32;
    while lock.0.compare_exchange(0, 1, Acquire, Relaxed).is_err() {
        turns = turns.wrapping_add(1);
        if turns.is_multiple_of(64) {
            assert!(began.elapsed() < PATIENCE, "a spin lock was not released for {PATIENCE:?}");
            thread::yield_now();
        }
        hint::spin_loop();
    }
}

/// Takes a lock and raises to `level`.
pub(crate) fn take(lock: &LockWord, level: u8) -> OldIrql {
    irql::at_most(level, "a spin lock taken");
    let old = irql::set(level.max(irql::current()));
    spin(lock);
    OldIrql(old)
}

/// Gives it back.
pub(crate) fn give(lock: &LockWord, old: OldIrql) {
    lock.0.store(0, Release);
    irql::set(old.0);
}

// SAFETY: locks exclude each other by their word; memory comes from the global allocator.
unsafe impl System for Host {
    fn registered(&self, driver: *mut c_void, _path: *mut c_void, registration: Registration) -> NtStatus {
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        registered.push((driver as usize, registration));
        NtStatus::SUCCESS
    }

    fn allocate(&self, bytes: usize, _tag: u32) -> Option<NonNull<u8>> {
        irql::at_most(DISPATCH_LEVEL, "memory allocated");
        if self.is_out_of_memory() {
            return None;
        }
        // SAFETY: not of size zero.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout(bytes)?) })?;
        self.allocations.fetch_add(1, Relaxed);
        Some(memory)
    }

    unsafe fn free(&self, memory: NonNull<u8>, bytes: usize, _tag: u32) {
        irql::at_most(DISPATCH_LEVEL, "memory freed");
        self.allocations.fetch_sub(1, Relaxed);
        if let Some(layout) = layout(bytes) {
            // SAFETY: the caller's contract: allocated so.
            unsafe { dealloc(memory.as_ptr(), layout) };
        }
    }

    fn acquire(&self, lock: &LockWord) -> OldIrql {
        take(lock, DISPATCH_LEVEL)
    }

    unsafe fn release(&self, lock: &LockWord, old: OldIrql) {
        give(lock, old);
    }

    fn irql(&self) -> u8 {
        irql::current()
    }

    fn executor(&self) -> usize {
        thread_local! {
            static MARK: u8 = const { 0 };
        }
        MARK.with(|mark| std::ptr::from_ref(mark) as usize)
    }

    /// Threads are told apart: each has a processor for itself, as far as there are any.
    fn processor(&self) -> Processor {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static NUMBER: usize = THREADS.fetch_add(1, Relaxed);
        }
        let processors = self.topology().processors as usize;
        Processor { group: 0, number: (NUMBER.with(|number| *number) % processors) as u8 }
    }

    fn topology(&self) -> Topology {
        let processors = thread::available_parallelism().map_or(1, usize::from).min(64);
        Topology { groups: 1, nodes: 1, processors: processors as u32 }
    }

    fn group_affinity(&self, group: u16) -> Option<usize> {
        let processors = self.topology().processors;
        (group == 0).then(|| usize::MAX >> (64 - processors))
    }

    fn node_affinity(&self, node: u32) -> Option<(u16, usize)> {
        (node == 0).then(|| (0, self.group_affinity(0).unwrap_or(1)))
    }

    fn system_time(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        EPOCH + i64::try_from(since.as_nanos() / 100).unwrap_or(0)
    }

    fn performance_counter(&self) -> (i64, i64) {
        (i64::try_from(self.began.elapsed().as_nanos()).unwrap_or(i64::MAX), 1_000_000_000)
    }

    /// No watchdog: all limits are zero.
    fn watchdog(&self) -> Option<WatchdogInformation> {
        Some(WatchdogInformation::default())
    }

    fn now(&self) -> u64 {
        // Never zero: that means "no moment" to the port.
        1 + u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX - 1)
    }

    fn stall(&self, microseconds: u32) {
        thread::sleep(Duration::from_micros(u64::from(microseconds)));
    }

    fn debug_print(&self, _level: u32, line: &[u8]) {
        eprintln!("miniport: {}", String::from_utf8_lossy(line).trim_end());
    }
}
