//! The engine as its thread runs it.

use alloc::boxed::Box;

use sluice_mapped::{
    Volume,
    io::{Buffer, DeviceError, DeviceIo, IoId, Request},
};
use sluice_shim::scsi::sense::Refusal;

use crate::{Mapped, Wake, front::Front};

/// `user` of what the engine's host asks itself.
const OWN: u64 = u64::MAX;

/// A device I/O that has ended.
pub struct Ended {
    /// Which.
    pub id: IoId,
    /// How.
    pub result: Result<(), DeviceError>,
    /// A read's buffer.
    pub buffer: Option<Buffer>,
}

/// The disk below, several I/Os at once. It wakes the engine's thread when one has ended.
pub trait Device {
    /// Begins an I/O.
    ///
    /// # Errors
    /// As many as it takes are under way: it is given back, to be tried again when one has ended.
    fn start(&mut self, io: DeviceIo) -> Result<(), DeviceIo>;

    /// The next I/O that has ended. A write's data has been dropped by then.
    fn ended(&mut self) -> Option<Ended>;

    /// Whether none is under way.
    fn is_idle(&self) -> bool;
}

/// A volume, its device, and the SRBs between them. One thread has it.
pub struct Engine<D> {
    volume: Box<Volume>,
    device: D,
    front: Front,
    /// What the device had no room for.
    held: Option<DeviceIo>,
    closing: Option<Closing>,
}

/// How far [`Engine::close`] has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// SRBs are under way: what they change belongs into the last checkpoint.
    Wanted,
    /// The volume makes the last checkpoint.
    Asked,
    /// It has.
    Done,
}

impl<D: Device> Engine<D> {
    /// `requests`: SRBs at once, for which it takes memory. `sector`: bytes of the volume's. `None` when memory has run out.
    /// Nothing is allocated later.
    pub fn new(volume: Box<Volume>, device: D, requests: usize, sector: u32) -> Option<Self> {
        Some(Self { volume, device, front: Front::new(requests, sector)?, held: None, closing: None })
    }

    /// The volume.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    /// Does all that can be done now. Called again after every wake.
    pub fn turn<W: Wake>(&mut self, miniport: &Mapped<W>) {
        loop {
            let mut moved = false;
            while let Some(Ended { id, result, buffer }) = self.device.ended() {
                self.volume.complete(id, result, buffer);
                moved = true;
            }
            moved |= self.front.go_on(&mut self.volume);
            while !self.front.is_full()
                && let Some(srb) = miniport.next()
            {
                match self.closing {
                    None => self.front.give(srb, &mut self.volume),
                    Some(_) => srb.refuse(Refusal::NotReady),
                }
                moved = true;
            }
            if self.closing == Some(Closing::Wanted) && self.front.is_idle() {
                self.closing = Some(Closing::Asked);
                // There is room for it: nothing else is in the volume.
                let _ = self.volume.submit(OWN, Request::Close);
            }
            moved |= self.start();
            while let Some(done) = self.volume.next_done() {
                if done.user == OWN {
                    self.closing = Some(Closing::Done);
                } else {
                    self.front.take(done);
                }
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    /// Begins device I/O until there is none to begin or no room; whether any began.
    fn start(&mut self) -> bool {
        let mut any = false;
        while let Some(io) = self.held.take().or_else(|| self.volume.next_io()) {
            if let Err(io) = self.device.start(io) {
                self.held = Some(io);
                break;
            }
            any = true;
        }
        any
    }

    /// Whether it has no SRB, and is not being closed.
    pub fn is_idle(&self) -> bool {
        self.front.is_idle() && self.closing.is_none()
    }

    /// No SRB comes any more: what is under way is finished, a checkpoint made, so that the next opening has nothing to
    /// replay, and the index kept. After this, [`Self::turn`] until [`Self::is_closed`].
    pub fn close(&mut self) {
        self.closing.get_or_insert(Closing::Wanted);
    }

    /// Whether [`Self::close`] has come to its end, and the device has nothing of ours any more. A device that failed
    /// ends it as well.
    pub fn is_closed(&self) -> bool {
        self.closing == Some(Closing::Done) && self.front.is_idle() && self.device.is_idle()
    }
}
