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

use crossbeam_queue::ArrayQueue;
use sluice_shim::{
    miniport::{Miniport, Srb},
    scsi::sense::Refusal,
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
    waiting: ArrayQueue<Srb>,
    thread: W,
}

impl<W: Wake> Mapped<W> {
    /// A miniport that is sent at most `requests` SRBs at once, and wakes `thread` for each.
    pub fn new(requests: usize, thread: W) -> Self {
        Self { waiting: ArrayQueue::new(requests.max(1)), thread }
    }

    /// Whom it wakes.
    pub fn thread(&self) -> &W {
        &self.thread
    }

    /// The one that has waited longest.
    pub(crate) fn next(&self) -> Option<Srb> {
        self.waiting.pop()
    }
}

impl<W: Wake> Miniport for Mapped<W> {
    fn srb_kind(&self) -> SrbKind {
        SrbKind::Extended
    }

    fn start_io(&self, srb: Srb) {
        match self.waiting.push(srb) {
            Ok(()) => self.thread.wake(),
            Err(srb) => srb.refuse(Refusal::Busy),
        }
    }
}
