//! A unit's line to its adapter: the shim unit, and all the memory that its I/O will ever need.

use alloc::{boxed::Box, vec::Vec};
use core::ptr::NonNull;

use sluice_chain::{Chain, try_box};
use sluice_shim::{request::Request, spare::Spares, unit::Unit};

use super::{hosted::Hosted, pdo::Pdo};
use crate::{
    completion::Callers,
    nt::irql::Passive,
    volume::{REQUESTS, add_buffers},
};

/// Memory for lists of ranges to discard, as they come and as stages see them: most have one range, and the longest that
/// a command can name has 64 KiB.
const LISTS: [(usize, usize); 2] = [(8, 1 << 12), (1, 128 << 10)];

/// The line.
pub(crate) struct Line {
    // Dropped in this order: the unit uses all the rest.
    unit: Box<Unit>,
    _callers: Box<Callers>,
    _memory: Vec<Vec<u128>>,
    hosted: &'static Hosted,
}

impl Line {
    /// Sets up everything for `pdo`. The size of a sector is not known yet. `None` when memory has run out.
    ///
    /// # Safety
    /// The line is closed before `hosted` goes.
    pub(crate) unsafe fn new(pdo: &'static Pdo, hosted: &'static Hosted) -> Option<Box<Self>> {
        let callers = try_box(Callers::new(pdo))?;
        // SAFETY: boxed, so it stays where it is; dropped after the unit that borrows it. The rest is the caller's.
        let (host, adapter) = unsafe { (NonNull::from(&*callers).as_ref(), hosted.adapter()) };
        let [(small_count, small), (large_count, large)] = LISTS;
        let (mut memory, mut spares) = (Vec::new(), Spares::new(small, large));
        add_buffers(&mut memory, &mut spares, false, small_count, small)?;
        add_buffers(&mut memory, &mut spares, true, large_count, large)?;
        let mut requests = Vec::new();
        requests.try_reserve_exact(REQUESTS).ok()?;
        requests.resize_with(REQUESTS, || Request::new([0; 4]));
        let unit = Unit::new(adapter, host, Chain::new(), 0, requests, spares).at(pdo.address);
        try_box(Self { unit: try_box(unit)?, _callers: callers, _memory: memory, hosted })
    }

    /// The unit, to submit to.
    pub(crate) fn unit(&self) -> &Unit {
        &self.unit
    }

    /// The adapter that it is on.
    pub(crate) fn hosted(&self) -> &Hosted {
        self.hosted
    }

    /// As [`Hosted::settle`]. Nobody may be inside any more.
    pub(crate) fn settle(&self, at: Passive<'_>) {
        self.hosted.settle(at);
    }
}
