//! A unit's line to its miniport: the shim's adapter and unit, and all the memory that its I/O will ever need.

use alloc::{boxed::Box, vec::Vec};
use core::{
    ptr::NonNull,
    sync::atomic::{AtomicBool, Ordering},
};

use sluice_chain::{Chain, try_box};
use sluice_shim::{adapter::Adapter, request::Request, spare::Spares, unit::Unit};

use super::{hosted::Hosted, pdo::Pdo};
use crate::{
    completion::Callers,
    nt::irql::Passive,
    platform::Kernel,
    stages,
    volume::{REQUESTS, add_buffers},
};

/// Memory for lists of ranges to discard, as they come and as stages see them: most have one range, and the longest that
/// a command can name has 64 KiB.
const LISTS: [(usize, usize); 2] = [(8, 1 << 12), (1, 128 << 10)];

/// The line.
pub(crate) struct Line {
    // Dropped in this order: each uses those after it.
    unit: Box<Unit>,
    adapter: Box<Adapter>,
    parts: Box<Parts>,
    _memory: Vec<Vec<u128>>,
    hosted: &'static Hosted,
    watched: AtomicBool,
}

struct Parts {
    platform: Kernel,
    callers: Callers,
}

impl Line {
    /// Sets up everything for `pdo`, whose turn the caller has. The size of a sector is not known yet. `None` when memory has run
    /// out, or if the adapter cannot have a unit there.
    ///
    /// # Safety
    /// The line is closed before `hosted` goes.
    pub(crate) unsafe fn new(pdo: &'static Pdo, hosted: &'static Hosted) -> Option<Box<Self>> {
        let parts = try_box(Parts { platform: Kernel::uninit(), callers: Callers::new(pdo) })?;
        // SAFETY: boxed, so it stays where it is; dropped after the adapter and the unit that borrow it.
        let borrowed: &'static Parts = unsafe { NonNull::from(&*parts).as_ref() };
        // SAFETY: the caller's contract.
        let adapter = try_box(Adapter::new(unsafe { hosted.unit(pdo.address)? }, &borrowed.platform))?;
        // SAFETY: as above, dropped after the unit.
        let host: &'static Adapter = unsafe { NonNull::from(&*adapter).as_ref() };
        // SAFETY: once, at their final address; `settle` is called before the adapter goes.
        unsafe {
            parts.platform.initialize(host);
            parts.callers.initialize();
        }
        let [(small_count, small), (large_count, large)] = LISTS;
        let (mut memory, mut spares) = (Vec::new(), Spares::new(small, large));
        add_buffers(&mut memory, &mut spares, false, small_count, small)?;
        add_buffers(&mut memory, &mut spares, true, large_count, large)?;
        let mut requests = Vec::new();
        requests.try_reserve_exact(REQUESTS).ok()?;
        requests.resize_with(REQUESTS, || Request::new([0; 4]));
        let mut chain = Chain::new();
        stages::join(pdo.id, None, false, &mut chain).ok()?;
        let watched = AtomicBool::new(chain.slots().next().is_some());
        let unit = Unit::new(host, &borrowed.callers, chain, 0, requests, spares).at(pdo.address);
        try_box(Self { unit: try_box(unit)?, adapter, parts, _memory: memory, hosted, watched })
    }

    /// The unit, to submit to.
    pub(crate) fn unit(&self) -> &Unit {
        &self.unit
    }

    /// Changes the chain while no request is under way. Only with the unit's turn.
    pub(crate) fn change_chain<R>(&self, at: Passive<'_>, change: impl FnOnce(&mut Chain) -> R) -> R {
        self.parts.callers.change_chain(&self.unit, at, |chain| {
            let result = change(chain);
            self.watched.store(chain.slots().next().is_some(), Ordering::Release);
            result
        })
    }

    /// Whether there are stages in the chain: without a look at it, since it may be changing. What is described meanwhile is
    /// described again when it starts, or looked at again before the miniport gets it as it came.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    /// The miniport at its end.
    pub(crate) fn hosted(&self) -> &Hosted {
        self.hosted
    }

    /// Lets whoever completed the last request, and the DPC that answered it, run out. Nobody may be inside any more.
    pub(crate) fn settle(&self, at: Passive<'_>) {
        while !self.adapter.is_idle() {
            self.parts.platform.settle(at);
        }
        self.parts.platform.settle(at);
    }
}
