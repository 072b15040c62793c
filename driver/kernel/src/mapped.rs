//! A mapped volume in the driver: a miniport whose engine has a thread of its own.
//!
//! ```text
//!   unit ► miniport ──(waiting, bell)──► thread: engine ► below ──IRPs──► the disk
//!   unit ◄ DPC ◄──── SRB completed ────┘              ◄──(back, bell)──┘
//! ```

use alloc::boxed::Box;
use core::{
    cell::UnsafeCell,
    ptr::NonNull,
    sync::atomic::{AtomicBool, Ordering},
};

use sluice_chain::try_box;
use sluice_control::Refusal;
use sluice_engine::{keys::VolumeKey, volume as header};
use sluice_mapped::{OpenError, Options, Volume, layout::Layout, seal::Sealer};
use sluice_miniport_mapped::{Engine, Mapped, Wake};
use sluice_xts::{Backend, wipe_stack};
use wdk_sys::{DEVICE_OBJECT, PVOID};

use crate::{
    below::{Below, OneByOne, Returns},
    nt::{
        event::Event,
        irql::Passive,
        thread::{self, Thread},
    },
    probe::{Adapter, Probe},
};

/// Bytes of memory for metadata pages.
const CACHE: usize = 32 << 20;
/// How long the thread waits for the disk before it looks again.
const PATIENCE_MS: u32 = 500;

/// What a volume is opened from.
pub(crate) struct Start {
    pub(crate) layout: Layout,
    pub(crate) sealer: Sealer,
    pub(crate) options: Options,
}

impl Start {
    /// What the header says, with the volume's key.
    ///
    /// # Errors
    /// [`Refusal::Damaged`], [`Refusal::NoMemory`].
    pub(crate) fn new(mapped: &header::Mapped, uuid: &[u8; 16], key: &VolumeKey) -> Result<Self, Refusal> {
        let layout = Layout::of(mapped).map_err(|_| Refusal::Damaged)?;
        let sealer = Sealer::new(key.as_bytes(), uuid, mapped.encrypted, Backend::detect_xmm());
        wipe_stack();
        let index = mapped.index_bytes.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(Self {
            layout,
            sealer: sealer.map_err(|_| Refusal::NoMemory)?,
            options: Options { discard: mapped.discard, ..Options::new(CACHE, index, mapped.level) },
        })
    }
}

/// A volume that is open, and all that belongs to it. The order of the fields is the order in which they may go.
pub(crate) struct Hosted {
    host: Box<Host>,
    _returns: Box<Returns>,
}

impl Hosted {
    /// Opens it on the device below, for so many requests at once.
    ///
    /// # Errors
    /// Why it could not be; nothing is left behind.
    ///
    /// # Safety
    /// `lower` lives as long as the value does.
    pub(crate) unsafe fn open(
        lower: NonNull<DEVICE_OBJECT>,
        adapter: Adapter,
        mut start: Start,
        requests: usize,
        at: Passive<'_>,
    ) -> Result<Self, Refusal> {
        // What memory from the pool has by itself is all that is promised to the device.
        if adapter.alignment > 0xf {
            return Err(Refusal::Kind);
        }
        let sector = start.layout.sector;
        // A volume that is to tell its disk what is free does not, if that takes no UNMAP.
        let unmapped =
            if start.options.discard { Probe::with(lower, adapter, at).most_unmapped() } else { 0 };
        start.options.discard = unmapped > 0;
        let returns = try_box(Returns::new()).ok_or(Refusal::NoMemory)?;
        // SAFETY: boxed, so it stays where it is, and dropped after everything that borrows it.
        let shared: &'static Returns = unsafe { NonNull::from(&*returns).as_ref() };
        // SAFETY: initialized once, where it stays; the device is the caller's promise.
        let below = unsafe {
            shared.bell.initialize();
            Below::new(lower, adapter, [sector, unmapped], shared)
        };
        let below = below.ok_or(Refusal::NoMemory)?;
        let host = try_box(Host::new(shared, (below, start), requests, sector)).ok_or(Refusal::NoMemory)?;
        // SAFETY: once, boxed.
        unsafe { host.open(at)? };
        Ok(Self { host, _returns: returns })
    }

    /// The miniport.
    pub(crate) fn miniport(&self) -> &Mapped<Bell> {
        &self.host.miniport
    }
}

/// Wakes the engine's thread.
pub(crate) struct Bell(&'static Returns);

impl Wake for Bell {
    fn wake(&self) {
        self.0.bell.set();
    }
}

/// The miniport and its thread.
struct Host {
    miniport: Mapped<Bell>,
    sector: u32,
    requests: usize,
    /// For the thread, which takes it.
    start: UnsafeCell<Option<(Below, Start)>>,
    /// Set when `outcome` says how opening has ended.
    opened: Event,
    outcome: UnsafeCell<Result<(), Refusal>>,
    stop: AtomicBool,
    thread: UnsafeCell<Option<Thread>>,
}

// SAFETY: `start` is the thread's from its creation on, `outcome` until `opened` is set; `thread` is touched by whoever has
// the disk's turn. The rest is for everybody.
unsafe impl Sync for Host {}
// SAFETY: as above.
unsafe impl Send for Host {}

impl Host {
    /// Not usable before [`Self::open`].
    fn new(returns: &'static Returns, start: (Below, Start), requests: usize, sector: u32) -> Self {
        Self {
            miniport: Mapped::new(Bell(returns)),
            sector,
            requests,
            start: UnsafeCell::new(Some(start)),
            opened: Event::uninit(),
            outcome: UnsafeCell::new(Err(Refusal::NoMemory)),
            stop: AtomicBool::new(false),
            thread: UnsafeCell::new(None),
        }
    }

    /// Starts the thread, and waits until it has opened the volume.
    ///
    /// # Errors
    /// Why it could not.
    ///
    /// # Safety
    /// Once, at the address where it stays until it is dropped.
    unsafe fn open(&self, at: Passive<'_>) -> Result<(), Refusal> {
        let context = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: initialized once by the caller's contract, before anybody else knows of it. The thread ends before the
        // value does: `drop` waits for it.
        unsafe {
            self.opened.initialize();
            let thread = Thread::start(run, context, at).map_err(|_| Refusal::NoMemory)?;
            *self.thread.get() = Some(thread);
        }
        self.opened.wait(at);
        // SAFETY: the thread has written it and set the event.
        unsafe { *self.outcome.get() }
    }

    fn bell(&self) -> &'static Event {
        &self.miniport.thread().0.bell
    }

    /// The thread's life.
    fn live(&self, at: Passive<'_>) {
        // SAFETY: this is the thread, which alone takes it.
        let start = unsafe { (*self.start.get()).take() };
        let engine = match start {
            Some((below, start)) => self.open_engine(below, start, at),
            None => Err(Refusal::NoMemory),
        };
        // SAFETY: nobody looks before the event is set.
        unsafe { *self.outcome.get() = engine.as_ref().map(|_| ()).map_err(|refusal| *refusal) };
        self.opened.set();
        let Ok(mut engine) = engine else { return };
        loop {
            self.bell().clear();
            if self.stop.load(Ordering::Acquire) {
                engine.close();
            }
            engine.turn(&self.miniport);
            if engine.is_closed() {
                return;
            }
            if engine.is_idle() {
                self.bell().wait(at);
            } else {
                // The disk wakes it; should that be missed, nothing hangs.
                self.bell().wait_at_most(PATIENCE_MS, at);
            }
        }
    }

    // A frame of its own, gone when the volume is open: it holds what is large.
    #[inline(never)]
    fn open_engine(
        &self,
        mut below: Below,
        start: Start,
        at: Passive<'_>,
    ) -> Result<Box<Engine<Below>>, Refusal> {
        let Start { layout, sealer, options } = start;
        let mut medium = OneByOne { below: &mut below, at };
        let volume = Volume::open(&mut medium, layout, sealer, options).map_err(|error| match error {
            OpenError::NoMemory => Refusal::NoMemory,
            OpenError::Device => Refusal::Device,
            OpenError::NoSpace => Refusal::DiskFull,
            OpenError::NoRoot
            | OpenError::Larger
            | OpenError::RootLost
            | OpenError::List
            | OpenError::Space
            | OpenError::Page
            | OpenError::Irreplaceable(..)
            | OpenError::Overlap(_)
            | OpenError::Journal(_) => Refusal::Damaged,
        })?;
        let engine = Engine::new(volume, below, self.requests, self.sector);
        engine.and_then(try_box).ok_or(Refusal::NoMemory)
    }
}

impl Drop for Host {
    /// Has the thread finish what is under way, make a checkpoint and end. PASSIVE_LEVEL.
    fn drop(&mut self) {
        let Some(thread) = self.thread.get_mut().take() else { return };
        self.stop.store(true, Ordering::Release);
        self.bell().set();
        // SAFETY: volumes are put together and taken apart at PASSIVE_LEVEL.
        thread.join(unsafe { Passive::assume() });
    }
}

/// The thread's routine.
unsafe extern "C" fn run(context: PVOID) {
    // SAFETY: a system thread begins at PASSIVE_LEVEL.
    let at = unsafe { Passive::assume() };
    // SAFETY: `open` passes the host, which waits for this thread before it goes.
    unsafe { (*context.cast::<Host>()).live(at) };
    thread::end(at);
}
