//! The PCI function under a virtio device, as the kernel shows it.

use core::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use sluice_miniport_virtio_blk::{
    pci::{
        Function,
        resources::{BARS, Resources},
    },
    pieces::Pieces,
};

use crate::nt::{bus::Bus, dma, irql::Passive, processor, registers::Registers};

/// The function, with its BARs mapped.
pub(crate) struct Card {
    bus: Bus,
    bars: [Option<Registers>; BARS],
    /// It finds memory at physical addresses.
    direct: bool,
    messages: AtomicU16,
    /// It has been pulled out: nobody asks it anything any more.
    gone: AtomicBool,
}

impl Card {
    /// Maps the memory among `resources` that is its BARs'. `None` if that cannot be done.
    ///
    /// # Safety
    /// The PnP manager has given the resources to the device that is behind `bus`, which is this driver's.
    pub(crate) unsafe fn new(bus: Bus, resources: &Resources, direct: bool, at: Passive<'_>) -> Option<Self> {
        let windows = resources.windows(|offset| bus.read(offset));
        let mut bars = [const { None }; BARS];
        for (bar, window) in bars.iter_mut().zip(windows) {
            if let Some(window) = window {
                // SAFETY: the caller's contract.
                *bar = Some(unsafe { Registers::map(window.physical, window.length, at)? });
            }
        }
        Some(Self { bus, bars, direct, messages: AtomicU16::new(0), gone: AtomicBool::new(false) })
    }

    /// So many messages are connected. Before the device is started.
    pub(crate) fn set_messages(&self, count: u16) {
        self.messages.store(count, Ordering::Release);
    }

    /// Lets the device be.
    pub(crate) fn leave(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Whether it has been pulled out.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn bar(&self, bar: u8) -> Option<&Registers> {
        if self.is_gone() { None } else { self.bars.get(usize::from(bar))?.as_ref() }
    }
}

impl Function for Card {
    fn config(&self, offset: u8) -> u32 {
        if self.is_gone() { u32::MAX } else { self.bus.read(offset) }
    }

    fn set_config(&self, offset: u8, value: u32) {
        if !self.is_gone() {
            self.bus.write(offset, value);
        }
    }

    fn bar_length(&self, bar: u8) -> u64 {
        self.bar(bar).map_or(0, Registers::length)
    }

    fn read(&self, bar: u8, offset: u64, width: u8) -> u32 {
        self.bar(bar).map_or(u32::MAX, |registers| registers.read(offset, width))
    }

    fn write(&self, bar: u8, offset: u64, width: u8, value: u32) {
        self.bar(bar).map(|registers| registers.write(offset, width, value));
    }

    fn messages(&self) -> u16 {
        self.messages.load(Ordering::Acquire)
    }

    fn processor(&self) -> usize {
        processor::current() as usize
    }

    fn reach(&self, start: *const u8, length: usize, pieces: &mut Pieces<'_>) -> bool {
        self.direct && pieces.add_pages(start.expose_provenance(), length, dma::physical)
    }
}
