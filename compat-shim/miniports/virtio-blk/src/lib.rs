//! The miniport of virtio block devices, written from VIRTIO 1.2: the disks of most virtual machines.
//!
//! ```text
//!   HwStartIo ──► commands ──► device ──► queue ──► ring (split, packed) ──► shared memory ──► the device
//!                  SRB: what     life,     slots,      accounts of what          │
//!                  is asked      resets    waiting     the device has        transport: PCI, vhost-user, a model
//!   RequestComplete ◄── commands ◄── queue ◄── ring ◄────────────────────────────┘ interrupt
//!
//!   memory      the only memory that the device sees, and every access to it
//!   ring        one queue's buffers out and back: split.rs (2.7), packed.rs (2.8)
//!   queue       requests on a ring: headers, payloads (pieces), what comes back, what waits for room
//!   request     whoever asks: what may be asked, and how it ends
//!   ledger      what was acknowledged and is not durable yet
//!   config      features and configuration (5.2.3, 5.2.4) as facts about a disk
//!   device      the device's life: negotiation, interrupts, resets, giving up
//!   commands    SRBs and CDBs to what the device is asked, and its answers to SRBs
//!   transport   what carries a device: a trait
//!   pci         the modern PCI transport (4.1)
//! ```
//!
//! **Where a write goes.** `HwStartIo` takes the lock of the queue of its processor. `commands` says which blocks; `queue`
//! writes the header into the memory of a free slot and lists the pieces: the caller's memory where the device reaches it,
//! else a copy in the slot. `ring` makes them one descriptor (a table, if the device takes that) and tells the device if
//! it wants to be told. When the device gives the slot back, its status is looked at and the SRB is completed, outside the
//! lock. A write with FUA goes on as a flush first: virtio has no FUA. Nothing is allocated after the device was made, and
//! what finds no room waits in its queue.
//!
//! **A device that lies.** The device is believed nothing that leads to memory. Which buffers it has, how long they are and
//! which descriptors belong together stands in our own memory (`ring`, `queue`); indexes, identifiers and lengths from the
//! device are compared with that. Anything else (a buffer that it does not have, more bytes than there were, an index that
//! jumps) resets it; so does a request kept for too long (`tick`). A reset ends all requests as aborted, which class drivers
//! repeat. After [`device`]'s limit of resets that brought nothing it is given up, and requests are told NOT READY.
//!
//! **A device that comes back.** A transport says whether a device that was reset is still the one from before. If it is not,
//! what was acknowledged and not flushed may be lost, and the next flush fails once, so that whoever counts on it hears.
//!
//! **Who hosts it.** `sluice.sys` as the function driver of a PCI adapter (`driver/kernel/src/function/virtio`), which brings
//! [`pci::Function`] and [`transport::Transport::reach`] by physical address; over vhost-user, tests.
//!
//! **What is not there yet.** The legacy interface: of a transitional device the modern one is used, if it has it. FUA by other
//! means, lifetime, secure erase and zones are not there; nor is resetting one queue alone.
#![no_std]

extern crate alloc;

pub mod commands;
pub mod config;
pub mod device;
mod ledger;
pub mod memory;
mod packed;
pub mod pci;
pub mod pieces;
mod queue;
pub mod request;
mod ring;
pub mod spec;
mod split;
pub mod transport;

use sluice_shim::{
    miniport::{Miniport, Srb},
    storport::{SrbFunction, SrbKind},
};

pub use device::{Device, Settings};

/// The miniport: a device asked by SRBs.
pub struct VirtioBlk<T> {
    device: Device<T, Srb>,
    kind: SrbKind,
}

impl<T: transport::Transport> VirtioBlk<T> {
    /// The miniport of `device`, which its host starts by [`Device::reset`].
    pub fn new(device: Device<T, Srb>, kind: SrbKind) -> Self {
        Self { device, kind }
    }

    /// The device, for its interrupts and its host's clock.
    pub fn device(&self) -> &Device<T, Srb> {
        &self.device
    }
}

impl<T: transport::Transport> Miniport for VirtioBlk<T> {
    fn srb_kind(&self) -> SrbKind {
        self.kind
    }

    fn start_io(&self, mut srb: Srb) {
        let resets = [SrbFunction::RESET_BUS, SrbFunction::RESET_DEVICE, SrbFunction::RESET_LOGICAL_UNIT];
        if resets.contains(&srb.view().function()) {
            return match self.device.reset() {
                Ok(()) => srb.succeed(0),
                Err(_) => srb.refuse(sluice_shim::scsi::sense::Refusal::NotReady),
            };
        }
        self.device.start(srb);
    }
}
