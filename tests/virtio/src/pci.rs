//! The model behind the registers of a PCI function (4.1.4).

use std::sync::{Arc, Mutex};

use sluice_miniport_virtio_blk::{
    pci::Function,
    spec::CONFIG,
    transport::{Rings, Transport},
};

use crate::Line;

/// Where the structures lie: BAR 4, at these offsets.
const BAR: u8 = 4;
const COMMON: u64 = 0x100;
const ISR: u64 = 0x200;
const DEVICE: u64 = 0x300;
const NOTIFY: u64 = 0x400;
const LENGTH: u64 = 0x1000;
const MULTIPLIER: u32 = 8;

/// A PCI function.
pub struct Card {
    /// The device behind it.
    pub line: Line,
    /// Its configuration space.
    pub space: Arc<Mutex<[u8; 256]>>,
    registers: Mutex<Registers>,
    /// Messages that the host has set up.
    pub messages: u16,
    /// The status register never becomes zero.
    pub stuck: bool,
}

#[derive(Default)]
struct Registers {
    feature_select: u32,
    driver_select: u32,
    driver_features: u64,
    queue: u16,
    size: u16,
    vector: u16,
    config_vector: u16,
    addresses: [u64; 3],
}

/// A capability list with one structure of each type, and a foreign one before them.
#[must_use]
pub fn space() -> [u8; 256] {
    let mut space = [0; 256];
    space[0..4].copy_from_slice(&[0xF4, 0x1A, 0x42, 0x10]);
    space[6] = 0x10;
    space[0x34] = 0x40;
    space[0x40..0x44].copy_from_slice(&[0x11, 0x50, 0, 0]); // MSI-X
    let places = [(1, COMMON, 56), (3, ISR, 1), (4, DEVICE, CONFIG as u64), (2, NOTIFY, 64)];
    for (index, (kind, offset, length)) in places.into_iter().enumerate() {
        let at = 0x50 + index * 0x18;
        let next = if index == 3 { 0 } else { at as u8 + 0x18 };
        let size = if kind == 2 { 20 } else { 16 };
        space[at..at + 5].copy_from_slice(&[9, next, size, kind, BAR]);
        space[at + 8..at + 12].copy_from_slice(&(offset as u32).to_le_bytes());
        space[at + 12..at + 16].copy_from_slice(&(length as u32).to_le_bytes());
        if kind == 2 {
            space[at + 16..at + 20].copy_from_slice(&MULTIPLIER.to_le_bytes());
        }
    }
    space
}

impl Card {
    /// The device behind `line`, with so many messages.
    #[must_use]
    pub fn new(line: Line, messages: u16) -> Self {
        Self {
            line,
            space: Arc::new(Mutex::new(space())),
            registers: Mutex::default(),
            messages,
            stuck: false,
        }
    }

    /// The message that the configuration's changes and that of the last queue set up use.
    #[must_use]
    pub fn vectors(&self) -> (u16, u16) {
        let registers = self.registers.lock().unwrap();
        (registers.config_vector, registers.vector)
    }

    fn enable(&self, registers: &Registers) {
        let [descriptors, driver, device] = registers.addresses;
        let state = self.line.0.state();
        let packed = state.behaviour.offered >> 34 & 1 == 1;
        let part = |address: u64, length| state.memory.at(address, length).unwrap();
        let size = usize::from(registers.size);
        let rings = Rings {
            size: registers.size,
            packed,
            descriptors: part(descriptors, 16 * size),
            driver: part(driver, 6 + 2 * size),
            device: part(device, 6 + 8 * size),
        };
        drop(state);
        self.line.enable(registers.queue, &rings).unwrap();
    }

    fn common(&self, offset: u64, write: Option<u32>) -> u32 {
        let mut registers = self.registers.lock().unwrap();
        let line = &self.line;
        match (offset, write) {
            (0, Some(value)) => registers.feature_select = value,
            (4, None) => return (line.features().unwrap() >> (32 * registers.feature_select)) as u32,
            (8, Some(value)) => registers.driver_select = value,
            (12, Some(value)) => {
                let shift = 32 * registers.driver_select;
                registers.driver_features |= u64::from(value) << shift;
                if shift == 32 {
                    line.accept(std::mem::take(&mut registers.driver_features)).unwrap();
                }
            }
            (16, Some(value)) => registers.config_vector = value as u16,
            (16, None) => return u32::from(registers.config_vector),
            (18, None) => return 2,
            (20, None) if self.stuck => return 0x0F,
            (20, None) => return u32::from(line.status()),
            (20, Some(0)) => drop(line.reset()),
            (20, Some(value)) => line.set_status(value as u8),
            (21, None) => return line.generation() & 0xFF,
            (22, Some(value)) => registers.queue = value as u16,
            (24, None) => return u32::from(line.queue_size(registers.queue)),
            (24, Some(value)) => registers.size = value as u16,
            (26, Some(value)) => registers.vector = value as u16,
            (26, None) => return u32::from(registers.vector),
            (28, Some(1)) => self.enable(&registers),
            (30, None) => return u32::from(registers.queue),
            (32..56, Some(value)) => {
                let (which, half) = ((offset as usize - 32) / 8, offset as u32 % 8 / 4 * 32);
                let kept = registers.addresses[which] & !(0xFFFF_FFFF << half);
                registers.addresses[which] = kept | u64::from(value) << half;
            }
            _ => panic!("no such register: {offset}, {write:?}"),
        }
        0
    }
}

impl Function for Card {
    fn config(&self, offset: u8) -> u32 {
        let space = self.space.lock().unwrap();
        let at = usize::from(offset & 0xFC);
        u32::from_le_bytes(space[at..at + 4].try_into().unwrap())
    }

    fn set_config(&self, offset: u8, value: u32) {
        assert_eq!(offset, 4, "only COMMAND is ours to write");
        self.space.lock().unwrap()[4..6].copy_from_slice(&value.to_le_bytes()[..2]);
    }

    fn bar_length(&self, bar: u8) -> u64 {
        if bar == BAR { LENGTH } else { 0 }
    }

    fn read(&self, bar: u8, offset: u64, width: u8) -> u32 {
        assert!(bar == BAR && offset + u64::from(width) <= LENGTH && offset.is_multiple_of(u64::from(width)));
        match offset {
            COMMON..ISR => self.common(offset - COMMON, None),
            ISR => 1,
            DEVICE..NOTIFY => {
                let mut bytes = [0; CONFIG];
                self.line.configuration(&mut bytes).unwrap();
                let at = (offset - DEVICE) as usize;
                let mut value = [0; 4];
                value[..usize::from(width)].copy_from_slice(&bytes[at..at + usize::from(width)]);
                u32::from_le_bytes(value)
            }
            _ => panic!("nothing to read at {offset:x}"),
        }
    }

    fn write(&self, bar: u8, offset: u64, width: u8, value: u32) {
        assert!(bar == BAR && offset + u64::from(width) <= LENGTH && offset.is_multiple_of(u64::from(width)));
        match offset {
            COMMON..ISR => drop(self.common(offset - COMMON, Some(value))),
            NOTIFY.. => {
                assert_eq!(offset - NOTIFY, u64::from(value) * u64::from(MULTIPLIER), "notified elsewhere");
                self.line.notify(value as u16);
            }
            _ => panic!("nothing to write at {offset:x}"),
        }
    }

    fn messages(&self) -> u16 {
        self.messages
    }
}
