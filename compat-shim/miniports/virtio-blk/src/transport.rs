//! What carries a device to us: PCI in the driver ([`crate::pci`]), vhost-user in tests, a model in memory.

use crate::{
    memory::{DeviceAddress, Part},
    pieces::Pieces,
    spec::CONFIG,
};

/// Why a device cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is older than VIRTIO 1.0.
    Legacy,
    /// It does not take the features that were chosen of its own.
    Features,
    /// Its configuration makes no disk that we could serve, or its blocks have changed their size.
    Unfit,
    /// It has no queue, or none that can be used.
    Queues,
    /// It did not answer a reset. It has been cut off from memory.
    Reset,
    /// It is not there (any more).
    Gone,
    /// It was reset too often without having done anything between.
    Hopeless,
}

/// What a reset may have cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// The same device goes on: what it acknowledged, it still has.
    Kept,
    /// The device had gone, and this is another or the same one started anew: what was not flushed may be lost.
    Broken,
}

/// Where a queue lies (2.6): for a packed ring, the second and third are the event structures.
#[derive(Clone, Copy, Debug)]
pub struct Rings {
    /// Number of descriptors.
    pub size: u16,
    /// Packed rather than split.
    pub packed: bool,
    /// The descriptors.
    pub descriptors: Part,
    /// Written by the driver.
    pub driver: Part,
    /// Written by the device.
    pub device: Part,
}

/// A device, as its transport shows it (2, 3.1, 4). Nothing that it answers is believed.
///
/// The miniport calls `reset` and what follows it in one thread at a time; `notify`, `processor` and `reach` from many.
/// Up to DISPATCH_LEVEL.
pub trait Transport: Send + Sync {
    /// Resets the device and waits until it is reset. However this ends, the device reads and writes no memory of ours
    /// any more when it returns.
    ///
    /// # Errors
    /// [`Failure::Reset`], [`Failure::Gone`].
    fn reset(&self) -> Result<Continuity, Failure>;

    /// The device status (2.1).
    fn status(&self) -> u8;

    /// Writes the device status.
    fn set_status(&self, status: u8);

    /// The features that the device offers.
    ///
    /// # Errors
    /// [`Failure::Gone`].
    fn features(&self) -> Result<u64, Failure>;

    /// Writes the features that are used; the device says what it thinks of them in its status.
    ///
    /// # Errors
    /// [`Failure::Gone`].
    fn accept(&self, features: u64) -> Result<(), Failure>;

    /// Reads the front of the configuration. What the device does not have reads as zeros.
    ///
    /// # Errors
    /// [`Failure::Gone`].
    fn configuration(&self, into: &mut [u8; CONFIG]) -> Result<(), Failure>;

    /// Changes whenever the configuration does (2.5.1).
    fn generation(&self) -> u32;

    /// The most descriptors that a queue can have; 0 if there is no such queue.
    fn queue_size(&self, queue: u16) -> u16;

    /// Sets a queue up and enables it.
    ///
    /// # Errors
    /// [`Failure::Queues`], [`Failure::Gone`].
    fn enable(&self, queue: u16, rings: &Rings) -> Result<(), Failure>;

    /// Tells the device that a queue has something new.
    fn notify(&self, queue: u16);

    /// The processor that this runs on, or any other number that spreads callers over queues.
    fn processor(&self) -> usize {
        0
    }

    /// Names the stretches at which the device finds `length` bytes at `start`; `false` if it cannot reach them all, or
    /// there are more than `pieces` takes. They are then copied.
    fn reach(&self, _start: *const u8, _length: usize, _pieces: &mut Pieces<'_>) -> bool {
        false
    }
}

/// One stretch of memory, for the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Its first byte.
    pub address: DeviceAddress,
    /// Its length in bytes.
    pub length: u32,
    /// The device writes it rather than reads it.
    pub writable: bool,
}
