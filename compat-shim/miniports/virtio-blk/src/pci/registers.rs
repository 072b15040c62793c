//! The registers (4.1.4.3 to 4.1.4.6), and the transport made of them.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::{Function, Place, Places};
use crate::{
    memory::DeviceAddress,
    pieces::Pieces,
    spec::CONFIG,
    transport::{Continuity, Failure, Rings, Transport},
};

/// Offset and width of a register of the common configuration.
type Register = (u32, u8);

const DEVICE_FEATURE_SELECT: Register = (0, 4);
const DEVICE_FEATURE: Register = (4, 4);
const DRIVER_FEATURE_SELECT: Register = (8, 4);
const DRIVER_FEATURE: Register = (12, 4);
const CONFIG_VECTOR: Register = (16, 2);
const NUM_QUEUES: Register = (18, 2);
const STATUS: Register = (20, 1);
const GENERATION: Register = (21, 1);
const QUEUE_SELECT: Register = (22, 2);
const QUEUE_SIZE: Register = (24, 2);
const QUEUE_VECTOR: Register = (26, 2);
const QUEUE_ENABLE: Register = (28, 2);
const QUEUE_NOTIFY_OFF: Register = (30, 2);
const QUEUE_DESC: u32 = 32;
const QUEUE_DRIVER: u32 = 40;
const QUEUE_DEVICE: u32 = 48;

/// No message; also what a device says that has none left (4.1.5.1.2).
const NO_VECTOR: u32 = 0xFFFF;
/// Looks at the status after a reset (4.1.4.3.2): each takes about a microsecond on a bus.
const LOOKS: u32 = 1_000_000;
/// Vendor and device (PCI 3.0, 6.2.1), all ones where nothing answers.
const IDENTITY: u8 = 0x00;
/// COMMAND, with the bit that lets the device read and write memory (PCI 3.0, 6.2.2).
const COMMAND: u8 = 0x04;
const BUS_MASTER: u32 = 1 << 2;
/// Queues whose place for notifications is kept.
const QUEUES: usize = 64;
/// No such place.
const NOWHERE: u32 = u32::MAX;

/// A device behind a PCI function.
#[derive(Debug)]
pub struct Pci<F> {
    function: F,
    places: Places,
    /// By queue: where it is notified, in bytes from the structure's start.
    notify: [AtomicU32; QUEUES],
}

impl<F: Function> Pci<F> {
    /// The device behind `function`, as far as its capabilities make one.
    ///
    /// # Errors
    /// [`Failure::Legacy`].
    pub fn new(function: F) -> Result<Self, Failure> {
        let places = Places::find(&function)?;
        Ok(Self { function, places, notify: [const { AtomicU32::new(NOWHERE) }; QUEUES] })
    }

    /// The function.
    pub fn function(&self) -> &F {
        &self.function
    }

    /// Reads, and by that clears, what a line interrupt was for: a queue, the configuration (4.1.4.5). All ones come from a
    /// device that is not there.
    pub fn interrupt_status(&self) -> (bool, bool) {
        let status = self.read_at(&self.places.isr, 0, 1) & 0xFF;
        (status != 0xFF && status & 1 != 0, status != 0xFF && status & 2 != 0)
    }

    /// The message by which a queue interrupts; message 0 is the configuration's.
    pub fn message_of(&self, queue: u16) -> u16 {
        match self.function.messages() {
            0 | 1 => 0,
            count => 1 + queue % (count - 1),
        }
    }

    fn read_at(&self, place: &Place, offset: u32, width: u8) -> u32 {
        self.function.read(place.bar, u64::from(place.offset) + u64::from(offset), width)
    }

    fn read(&self, (offset, width): Register) -> u32 {
        self.read_at(&self.places.common, offset, width)
    }

    fn write(&self, (offset, width): Register, value: u32) {
        let place = &self.places.common;
        self.function.write(place.bar, u64::from(place.offset) + u64::from(offset), width, value);
    }

    /// In halves, which every device takes (4.1.3.1).
    fn write_address(&self, offset: u32, address: DeviceAddress) {
        self.write((offset, 4), address.0 as u32);
        self.write((offset + 4, 4), (address.0 >> 32) as u32);
    }

    fn command(&self, change: impl Fn(u32) -> u32) {
        // STATUS, in the upper half, is cleared by ones: it is written as zeros.
        self.function.set_config(COMMAND, change(self.function.config(COMMAND) & 0xFFFF));
    }

    /// Sets a message and sees whether the device has taken it.
    fn set_vector(&self, register: Register, message: u16) -> Result<(), Failure> {
        let wanted = if self.function.messages() == 0 { NO_VECTOR } else { u32::from(message) };
        self.write(register, wanted);
        if self.read(register) == wanted { Ok(()) } else { Err(Failure::Queues) }
    }
}

/// The width of the configuration's field at `at` (5.2.4), which is the width to read it by (4.1.3.1).
fn width_at(at: usize) -> usize {
    match at {
        16 | 26 | 34 => 2,
        18 | 19 | 24 | 25 | 32 | 33 | 56.. => 1,
        _ => 4,
    }
}

impl<F: Function> Transport for Pci<F> {
    fn reset(&self) -> Result<Continuity, Failure> {
        if self.function.config(IDENTITY) == u32::MAX {
            return Err(Failure::Gone); // and could not be asked for as long as the looks below would take
        }
        self.write(STATUS, 0);
        if (0..LOOKS).any(|_| {
            core::hint::spin_loop();
            self.read(STATUS) == 0
        }) {
            self.command(|command| command | BUS_MASTER);
            return Ok(Continuity::Kept);
        }
        // It may go on as if nothing had been: at least it does so without our memory.
        self.command(|command| command & !BUS_MASTER);
        Err(Failure::Reset)
    }

    fn status(&self) -> u8 {
        self.read(STATUS) as u8
    }

    fn set_status(&self, status: u8) {
        self.write(STATUS, u32::from(status));
    }

    fn features(&self) -> Result<u64, Failure> {
        let half = |select: u32| {
            self.write(DEVICE_FEATURE_SELECT, select);
            u64::from(self.read(DEVICE_FEATURE))
        };
        Ok(half(0) | half(1) << 32)
    }

    fn accept(&self, features: u64) -> Result<(), Failure> {
        for (select, half) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.write(DRIVER_FEATURE_SELECT, select);
            self.write(DRIVER_FEATURE, half);
        }
        Ok(())
    }

    fn configuration(&self, into: &mut [u8; CONFIG]) -> Result<(), Failure> {
        let mut at = 0;
        while at < CONFIG {
            let width = width_at(at);
            let value = if (at + width) as u64 <= u64::from(self.places.device.length) {
                self.read_at(&self.places.device, at as u32, width as u8)
            } else {
                0 // it does not have that
            };
            into[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            at += width;
        }
        Ok(())
    }

    fn generation(&self) -> u32 {
        self.read(GENERATION)
    }

    fn queue_size(&self, queue: u16) -> u16 {
        if u32::from(queue) >= self.read(NUM_QUEUES) || usize::from(queue) >= QUEUES {
            return 0;
        }
        self.write(QUEUE_SELECT, u32::from(queue));
        self.read(QUEUE_SIZE) as u16
    }

    fn enable(&self, queue: u16, rings: &Rings) -> Result<(), Failure> {
        if queue == 0 {
            self.set_vector(CONFIG_VECTOR, 0)?;
        }
        self.write(QUEUE_SELECT, u32::from(queue));
        let (place, multiplier) = &self.places.notify;
        let offset = u64::from(self.read(QUEUE_NOTIFY_OFF)) * u64::from(*multiplier);
        if offset + 2 > u64::from(place.length) || !offset.is_multiple_of(2) {
            return Err(Failure::Queues);
        }
        if let Some(kept) = self.notify.get(usize::from(queue)) {
            kept.store(offset as u32, Relaxed); // less than the structure's length
        }
        self.write(QUEUE_SIZE, u32::from(rings.size));
        self.set_vector(QUEUE_VECTOR, self.message_of(queue))?;
        self.write_address(QUEUE_DESC, rings.descriptors.device());
        self.write_address(QUEUE_DRIVER, rings.driver.device());
        self.write_address(QUEUE_DEVICE, rings.device.device());
        self.write(QUEUE_ENABLE, 1);
        Ok(())
    }

    fn notify(&self, queue: u16) {
        let offset = self.notify.get(usize::from(queue)).map_or(NOWHERE, |kept| kept.load(Relaxed));
        if offset != NOWHERE {
            let (place, _) = &self.places.notify;
            let at = u64::from(place.offset) + u64::from(offset);
            self.function.write(place.bar, at, 2, u32::from(queue));
        }
    }

    fn processor(&self) -> usize {
        self.function.processor()
    }

    fn reach(&self, start: *const u8, length: usize, pieces: &mut Pieces<'_>) -> bool {
        self.function.reach(start, length, pieces)
    }
}
