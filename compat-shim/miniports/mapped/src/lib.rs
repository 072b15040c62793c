//! The miniport of mapped volumes: SRBs become requests of the engine, which runs on a thread of its host.
//!
//! ```text
//!   HwStartIo, any processor ──► waiting ──► the engine's thread: front ──► Volume ──► Device ──► the disk below
//!   RequestComplete          ◄───────────────────────────────── front ◄── Volume ◄── Device ◄──┘
//! ```
//!
//! Whoever sends an SRB never waits for the engine. The thread is the only one that touches the volume, so that needs no
//! lock.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod buffers;
mod engine;
mod front;

use sluice_shim::{
    miniport::{Inbox, Miniport, Srb},
    storport::SrbKind,
};

pub use engine::{Device, Ended, Engine};

/// How the engine's thread hears that there is something to do.
pub trait Wake: Sync {
    /// Up to DISPATCH_LEVEL.
    fn wake(&self);
}

/// The miniport: what has been sent, and has not been taken by the engine's thread.
pub struct Mapped<W> {
    waiting: Inbox,
    thread: W,
}

impl<W: Wake> Mapped<W> {
    /// A miniport that wakes `thread` for each SRB.
    pub fn new(thread: W) -> Self {
        Self { waiting: Inbox::new(), thread }
    }

    /// Whom it wakes.
    pub fn thread(&self) -> &W {
        &self.thread
    }

    /// The one that has waited longest. For the engine's thread.
    pub(crate) fn next(&self) -> Option<Srb> {
        self.waiting.next()
    }
}

impl<W: Wake> Miniport for Mapped<W> {
    fn srb_kind(&self) -> SrbKind {
        SrbKind::Extended
    }

    fn start_io(&self, srb: Srb) {
        self.waiting.put(srb);
        self.thread.wake();
    }
}
