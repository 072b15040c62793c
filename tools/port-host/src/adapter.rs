//! One adapter, its port and its threads.

use std::{
    any::Any,
    ffi::c_void,
    ptr::NonNull,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::Ordering::{Acquire, Release},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use sluice_chain::Chain;
use sluice_port::{
    command::{Command, Special},
    port::{Port, PortBox, Timing},
    registration::Registration,
    services::{DISPATCH_LEVEL, InterruptLock, InterruptMode, Services},
    status::NtStatus,
    unit::LogicalUnit,
};
use sluice_shim::storport::{
    SrbRequest,
    srb::{Address, SrbAnswer},
};
use sluice_user_host::{Disk, Setup};

use crate::{
    dma,
    hardware::{Hardware, Record},
    irql,
    services::{Due, Inner, lock},
};

/// A command that is not answered after so long is lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// A miniport's adapter.
pub struct Adapter {
    /// `None` once it has been dropped.
    port: Option<PortBox>,
    inner: NonNull<Inner>,
    threads: Vec<JoinHandle<()>>,
}

// SAFETY: port and host are made for several threads; the rest is touched by the owner only.
unsafe impl Send for Adapter {}
// SAFETY: as above.
unsafe impl Sync for Adapter {}

/// How a command went.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The SRB's fields.
    pub answer: SrbAnswer,
    /// Sense data; empty if there is none.
    pub sense: Vec<u8>,
}

impl Adapter {
    /// Finds and starts an adapter of the miniport.
    ///
    /// # Errors
    /// What the port says.
    pub fn start(
        registration: &Registration,
        hardware: Hardware,
        timing: Timing,
    ) -> Result<Arc<Self>, NtStatus> {
        let adapter = Self::found(registration, hardware, timing)?;
        adapter.port().start()?;
        Ok(adapter)
    }

    /// Finds it, and leaves it there.
    ///
    /// # Errors
    /// What the port says.
    pub fn found(
        registration: &Registration,
        hardware: Hardware,
        timing: Timing,
    ) -> Result<Arc<Self>, NtStatus> {
        let inner = NonNull::from(Box::leak(Box::new(Inner::new(hardware))));
        let mut adapter = Self { port: None, inner, threads: Vec::new() };
        // SAFETY: lives until `drop`, which drops the port first.
        let services: &'static Inner = unsafe { inner.as_ref() };
        let port = Port::create(registration, services, timing)?;
        services.port.store(std::ptr::from_ref::<Port>(&port).cast_mut(), Release);
        adapter.port = Some(port);
        adapter.threads =
            vec![thread::spawn(move || run_dpcs(services)), thread::spawn(move || run_work(services))];
        adapter.port().find()?;
        Ok(Arc::new(adapter))
    }

    fn inner(&self) -> &Inner {
        // SAFETY: alive until dropped.
        unsafe { self.inner.as_ref() }
    }

    /// Its port.
    ///
    /// # Panics
    /// Never: it has one until it is dropped.
    #[must_use]
    #[allow(clippy::expect_used, reason = "present until dropped")]
    pub fn port(&self) -> &Port {
        self.port.as_ref().expect("a port")
    }

    /// Makes a unit present.
    ///
    /// # Errors
    /// What the port says.
    pub fn add_unit(&self, path: u8, target: u8, lun: u8) -> Result<&LogicalUnit, NtStatus> {
        self.port().add_unit(Address { path, target, lun })
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Panics
    /// If no SRB can say it, or it is never answered.
    #[allow(clippy::expect_used, reason = "a test that cannot go on stops")]
    pub fn command(&self, unit: &LogicalUnit, request: &SrbRequest<'_>, special: Special) -> Reply {
        let waiting = Waiting::default();
        let mut command = Command::new(woken, std::ptr::from_ref(&waiting) as usize);
        let kind = self.port().registration().srb_kind();
        command.prepare(kind, request, special).expect("an SRB that can be said");
        let place = NonNull::from(&mut command);
        // SAFETY: command and data stay here until the answer is here.
        irql::outside(false, || unsafe { self.port().send(unit, place) });
        let done = lock(&waiting.done);
        let (done, late) = waiting
            .changed
            .wait_timeout_while(done, PATIENCE, |done| !*done)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        assert!(!late.timed_out(), "a command was not answered for {PATIENCE:?}");
        drop(done);
        Reply { answer: command.answer(), sense: command.sense().to_vec() }
    }

    /// A unit of the shim's over one of the adapter's: what every other disk in user mode is.
    ///
    /// # Errors
    /// What the port says.
    pub fn disk(
        self: &Arc<Self>,
        address: Address,
        sector_size: u32,
        chain: Chain,
        setup: &Setup,
    ) -> Result<Disk, NtStatus> {
        let unit = self.port().add_unit(address)?;
        let owner: Arc<dyn Any + Send + Sync> = Arc::clone(self) as _;
        // SAFETY: the disk keeps the adapter, and with it the port, until all its requests have come back.
        Ok(unsafe { Disk::over(unit.hw(), owner, sector_size, chain, setup) })
    }

    /// The line interrupt, as a device raises it. Whether the miniport said that it was its own.
    pub fn interrupt(&self) -> bool {
        self.interrupted(InterruptLock::Common, |port| port.interrupt())
    }

    /// A message interrupt.
    pub fn message_interrupt(&self, id: u32) -> bool {
        let which = match *lock(&self.inner().connected) {
            Some(InterruptMode::Messages { lock_each: true }) => InterruptLock::Message(id),
            _ => InterruptLock::Common,
        };
        self.interrupted(which, |port| port.message_interrupt(id))
    }

    fn interrupted(&self, which: InterruptLock, routine: impl FnOnce(&Port) -> bool) -> bool {
        let inner = self.inner();
        if lock(&inner.connected).is_none() {
            return false;
        }
        let old = inner.acquire_interrupt(which);
        let ours = routine(self.port());
        // SAFETY: acquired just now.
        unsafe { inner.release_interrupt(which, old) };
        ours
    }

    /// The memory that a device reaches at `physical`.
    ///
    /// # Safety
    /// Addresses of ordinary memory lead wherever they were made from: the memory must still be there.
    #[must_use]
    pub unsafe fn device_view(&self, physical: u64, bytes: usize) -> Option<NonNull<u8>> {
        if let Some(address) = dma::from_ordinary(physical) {
            let one_page = bytes <= dma::rest_of_page(address);
            return NonNull::new(address as *mut u8).filter(|_| one_page);
        }
        lock(&self.inner().blocks).memory_at(physical, bytes)
    }

    /// The bytes of an address range, as the device has them.
    #[must_use]
    pub fn range(&self, number: usize) -> Option<NonNull<c_void>> {
        self.inner().ranges.get(number).map(|range| NonNull::from(&range[..]).cast())
    }

    /// What the adapter looks like, to look at and change.
    pub fn hardware(&self) -> MutexGuard<'_, Hardware> {
        lock(&self.inner().hardware)
    }

    /// What the miniport has said so far.
    #[must_use]
    pub fn record(&self) -> Record {
        lock(&self.inner().record).clone()
    }

    /// The same, and forgets it.
    #[must_use]
    pub fn take_record(&self) -> Record {
        std::mem::take(&mut lock(&self.inner().record))
    }

    /// Waits until no DPC and no work is due or running. Timers that are set may go off later.
    ///
    /// # Panics
    /// If that is not so after a minute.
    pub fn settle(&self) {
        let inner = self.inner();
        let began = Instant::now();
        let busy = |due: &mut Due| due.dpc || due.work || due.in_dpc || due.in_work;
        let due = inner
            .changed
            .wait_timeout_while(lock(&inner.due), PATIENCE, busy)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        assert!(began.elapsed() < PATIENCE, "DPCs or work without end");
        drop(due);
    }

    /// Waits until `what` is so, and answers whether it ever was.
    pub fn wait_until(&self, patience: Duration, what: impl Fn(&Self) -> bool) -> bool {
        let began = Instant::now();
        while !what(self) {
            if began.elapsed() > patience {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

#[derive(Default)]
struct Waiting {
    done: Mutex<bool>,
    changed: Condvar,
}

/// # Safety
/// The command is one of [`Adapter::command`]'s.
unsafe fn woken(command: NonNull<Command>) {
    // SAFETY: its sender waits, and with it `Waiting`, until the flag is up and the lock released.
    let waiting = unsafe { &*(command.as_ref().context as *const Waiting) };
    let mut done = lock(&waiting.done);
    *done = true;
    waiting.changed.notify_all();
}

fn port_of(inner: &Inner) -> Option<&Port> {
    // SAFETY: dropped only after the threads have ended.
    unsafe { inner.port.load(Acquire).as_ref() }
}

/// DPCs and timers.
fn run_dpcs(inner: &Inner) {
    let mut due = lock(&inner.due);
    while !due.stop {
        let now = Instant::now();
        let timer = due.timer.is_some_and(|at| at <= now);
        if timer {
            due.timer = None;
        }
        let dpc = std::mem::take(&mut due.dpc);
        if dpc || timer {
            due.in_dpc = true;
            drop(due);
            if let Some(port) = port_of(inner) {
                irql::raised(DISPATCH_LEVEL, || {
                    if dpc {
                        irql::outside(true, || port.run_dpcs());
                    }
                    if timer {
                        irql::outside(true, || port.run_timers());
                    }
                });
            }
            due = lock(&inner.due);
            due.in_dpc = false;
            inner.changed.notify_all();
            continue;
        }
        let wait = due.timer.map_or(Duration::from_secs(3600), |at| at.saturating_duration_since(now));
        due = inner.changed.wait_timeout(due, wait).unwrap_or_else(std::sync::PoisonError::into_inner).0;
    }
}

/// Work items.
fn run_work(inner: &Inner) {
    let mut due = lock(&inner.due);
    while !due.stop {
        if std::mem::take(&mut due.work) {
            due.in_work = true;
            drop(due);
            if let Some(port) = port_of(inner) {
                irql::outside(false, || port.run_work());
            }
            due = lock(&inner.due);
            due.in_work = false;
            inner.changed.notify_all();
            continue;
        }
        due = inner.changed.wait(due).unwrap_or_else(std::sync::PoisonError::into_inner);
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        if let Some(port) = &self.port {
            port.stop();
        }
        lock(&self.inner().due).stop = true;
        self.inner().changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.port = None;
        if let Some(watch) = irql::watcher() {
            watch.forgets(self.inner.as_ptr().addr(), size_of::<Inner>());
        }
        // SAFETY: made from a box; port and threads, its only users, are gone.
        drop(unsafe { Box::from_raw(self.inner.as_ptr()) });
    }
}
