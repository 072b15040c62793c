//! The miniport of an adapter, on its shim adapter.

use alloc::boxed::Box;
use core::ptr::NonNull;

use sluice_chain::try_box;
use sluice_miniport_ram::Bank;
use sluice_shim::{
    adapter::Adapter,
    enumeration::descriptors::{self, bus},
    miniport::Hw,
    storport::SrbKind,
};

use super::kind::Kind;
use crate::{
    nt::{identity::Settings, irql::Passive, string::utf16},
    platform::Kernel,
    volume::MAX_TRANSFER,
};

/// An adapter in use. Its units go before it does.
pub(crate) struct Hosted {
    // Dropped in this order: the adapter calls the miniport.
    adapter: Box<Adapter>,
    parts: Box<Parts>,
}

struct Parts {
    platform: Kernel,
    miniport: Miniport,
}

/// What it drives.
enum Miniport {
    Ram(Bank),
}

impl Miniport {
    fn new(kind: Kind, settings: &Settings) -> Self {
        match kind {
            Kind::Ram => {
                let sector =
                    settings.number(&mut utf16!("SectorSize")).filter(|size| matches!(size, 512 | 4096));
                let sector = sector.unwrap_or(512);
                let megabytes = settings.number(&mut utf16!("Megabytes")).unwrap_or(64).max(1);
                let sectors = (u64::from(megabytes) << 20) / u64::from(sector);
                Self::Ram(Bank::new(sectors, sector, SrbKind::Extended))
            }
        }
    }

    fn hw(&'static self) -> Hw {
        match self {
            Self::Ram(bank) => Hw::of(bank),
        }
    }
}

impl Hosted {
    /// Starts the miniport. `None` when memory has run out; nothing is left behind.
    pub(crate) fn start(kind: Kind, settings: &Settings) -> Option<Box<Self>> {
        let parts = try_box(Parts { platform: Kernel::uninit(), miniport: Miniport::new(kind, settings) })?;
        // SAFETY: boxed, so it stays where it is; dropped after the adapter that borrows it.
        let borrowed: &'static Parts = unsafe { NonNull::from(&*parts).as_ref() };
        let adapter = try_box(Adapter::new(borrowed.miniport.hw(), &borrowed.platform))?;
        // SAFETY: once, at its final address; `settle` is called before it goes.
        unsafe { parts.platform.initialize(&adapter) };
        try_box(Self { adapter, parts })
    }

    /// The shim adapter, for units that go before this does.
    ///
    /// # Safety
    /// The caller sees to that.
    pub(crate) unsafe fn adapter(&self) -> &'static Adapter {
        // SAFETY: boxed, so it stays where it is until this is dropped.
        unsafe { NonNull::from(&*self.adapter).as_ref() }
    }

    /// What it says of itself.
    pub(crate) fn descriptor(&self) -> descriptors::Adapter {
        let bus = match self.parts.miniport {
            Miniport::Ram(_) => bus::VIRTUAL,
        };
        descriptors::Adapter {
            max_transfer: MAX_TRANSFER,
            // A buffer need not begin on a page, and then lies on one more.
            max_pages: MAX_TRANSFER / 4096 + 1,
            alignment_mask: 0,
            bus,
            srb_kind: self.adapter.srb_kind(),
        }
    }

    /// Before its units are asked: what the settings say now. One call at a time.
    pub(crate) fn refresh(&self, settings: &Settings) {
        match &self.parts.miniport {
            Miniport::Ram(bank) => {
                let units = settings.number(&mut utf16!("Units")).unwrap_or(1);
                bank.populate(units as usize);
            }
        }
    }

    /// How many targets may be on its bus.
    pub(crate) fn targets(&self) -> u8 {
        match self.parts.miniport {
            Miniport::Ram(_) => 1,
        }
    }

    /// Lets whoever completed the last request of a unit, and the DPC that answered it, run out.
    pub(crate) fn settle(&self, at: Passive<'_>) {
        while !self.adapter.is_idle() {
            self.parts.platform.settle(at);
        }
        self.parts.platform.settle(at);
    }
}
