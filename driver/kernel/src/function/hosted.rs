//! The miniport of an adapter.

use alloc::boxed::Box;
use core::mem::MaybeUninit;

use sluice_chain::try_box;
use sluice_miniport_ram::Bank;
use sluice_miniport_virtio_blk::pci::resources::Resources;
use sluice_shim::{
    enumeration::descriptors::{self, bus},
    miniport::Hw,
    storport::{SrbKind, srb::Address},
};
use wdk_sys::{NTSTATUS, STATUS_INSUFFICIENT_RESOURCES};

use super::{
    fdo::{Fdo, Rest},
    fdo_power::Power,
    kind::Kind,
    port::adapter as port,
    virtio,
};
use crate::{
    nt::{identity::Settings, irql::Passive, string::utf16},
    volume::MAX_TRANSFER,
};

/// The miniport, in use. Its units' lines go before it does.
pub(crate) enum Hosted {
    /// Disks in memory.
    Ram(Bank),
    /// A virtio block device.
    Virtio(virtio::Hosted),
    /// One that is linked to us.
    Linked(port::Hosted),
}

/// What happens to a unit.
#[derive(Clone, Copy, Debug)]
pub(in crate::function) enum UnitNews {
    /// Its driver starts it.
    Started,
    /// It has been taken away without notice.
    Pulled,
    /// Its driver has left it.
    Removed,
    /// Its power is set.
    Power(Power),
}

impl Hosted {
    /// Starts it.
    ///
    /// # Errors
    /// What it says, or that memory has run out; nothing is left behind.
    #[inline(never)]
    pub(crate) fn start(
        kind: Kind,
        fdo: &Fdo,
        resources: Resources,
        at: Passive<'_>,
    ) -> Result<Box<Self>, NTSTATUS> {
        // First of all: one that has been started is not dropped.
        let place = try_box(MaybeUninit::<Self>::uninit()).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        let hosted = match kind {
            Kind::Ram => Self::Ram(ram(&fdo.settings(at))),
            Kind::Virtio => Self::Virtio(virtio::Hosted::start(fdo, resources, at)?),
            Kind::Linked(linked) => Self::Linked(port::Hosted::start(linked, fdo, resources, at)?),
        };
        Ok(Box::write(place, hosted))
    }

    /// A way to the unit at `address`. `None` if the adapter cannot have one there, or if memory has run out.
    ///
    /// # Safety
    /// The unit's requests come back before this goes.
    pub(crate) unsafe fn unit(&self, address: Address) -> Option<Hw> {
        match self {
            // SAFETY: the caller's contract.
            Self::Ram(bank) => Some(Hw::of(unsafe { core::ptr::NonNull::from(bank).as_ref() })),
            // SAFETY: the caller's contract.
            Self::Virtio(virtio) => Some(unsafe { virtio.unit() }),
            // SAFETY: the caller's contract.
            Self::Linked(port) => unsafe { port.unit(address) },
        }
    }

    /// The unit is there no more: what waits for it in the port is answered.
    pub(crate) fn unit_gone(&self, address: Address) {
        if let Self::Linked(port) = self {
            port.unit_gone(address);
        }
    }

    /// What it says of itself.
    pub(crate) fn descriptor(&self) -> descriptors::Adapter {
        let ours = descriptors::Adapter {
            max_transfer: MAX_TRANSFER,
            // A buffer need not begin on a page, and then lies on one more.
            max_pages: MAX_TRANSFER / 4096 + 1,
            alignment_mask: 0,
            bus: bus::VIRTUAL,
            srb_kind: SrbKind::Extended,
        };
        match self {
            Self::Ram(_) => ours,
            Self::Virtio(virtio) => virtio.descriptor(),
            Self::Linked(port) => port.descriptor().unwrap_or(ours),
        }
    }

    /// Before its units are asked: what the settings say now. One call at a time.
    pub(crate) fn refresh(&self, settings: &Settings) {
        if let Self::Ram(bank) = self {
            bank.populate(settings.number(&mut utf16!("Units")).unwrap_or(1) as usize);
        }
    }

    /// How many buses it has, and how many targets may be on each.
    pub(crate) fn extent(&self) -> (u8, u8) {
        match self {
            Self::Ram(_) | Self::Virtio(_) => (1, 1),
            Self::Linked(port) => port.extent(),
        }
    }

    /// Whether it can be stopped, to be started again later. PASSIVE_LEVEL.
    pub(crate) fn can_stop(&self) -> bool {
        match self {
            Self::Ram(_) => true,
            Self::Virtio(_) => false,
            Self::Linked(port) => port.can_rest(),
        }
    }

    /// Whether it can go on with these resources.
    pub(crate) fn has(&self, resources: &Resources) -> bool {
        match self {
            Self::Virtio(virtio) => virtio.has(resources),
            Self::Ram(_) => true,
            Self::Linked(port) => port.has(resources),
        }
    }

    /// The adapter has been pulled out: nothing that the miniport has is waited for.
    pub(crate) fn surprise_remove(&self) {
        match self {
            Self::Ram(_) => {}
            Self::Virtio(virtio) => virtio.surprise_remove(),
            Self::Linked(port) => port.surprise_remove(),
        }
    }

    /// The device is about to lose its power, or its place; its units hold back what comes, and nothing is under way. A miniport
    /// that will not be told has nothing to do. RAM disks have no device.
    pub(super) fn rest(&self, why: Rest, at: Passive<'_>) {
        match self {
            Self::Ram(_) => {}
            // Stopping cannot fail.
            Self::Virtio(virtio) => drop(virtio.power(false)),
            Self::Linked(port) => port.rest(why, at),
        }
    }

    /// It has it again.
    ///
    /// # Errors
    /// What the device or the miniport says; its units then have nothing but errors.
    pub(super) fn wake(&self, why: Rest, at: Passive<'_>) -> Result<(), NTSTATUS> {
        match self {
            Self::Ram(_) => Ok(()),
            Self::Virtio(virtio) => virtio.power(true),
            Self::Linked(port) => port.wake(why, at),
        }
    }

    /// A unit's life and power, which only some miniports hear of.
    pub(super) fn hears_of_units(&self) -> bool {
        matches!(self, Self::Linked(_))
    }

    /// Tells it of the unit at `address`.
    pub(super) fn tell(&self, address: Address, what: UnitNews, at: Passive<'_>) {
        if let Self::Linked(port) = self {
            port.tell(address, what, at);
        }
    }

    /// Ends it. Its units have gone.
    pub(crate) fn stop(&mut self, at: Passive<'_>) {
        match self {
            Self::Ram(_) => {}
            Self::Virtio(virtio) => virtio.stop(at),
            Self::Linked(port) => port.stop(at),
        }
    }
}

/// As large as the settings say, with sectors as they say.
fn ram(settings: &Settings) -> Bank {
    let sector = settings.number(&mut utf16!("SectorSize")).filter(|size| matches!(size, 512 | 4096));
    let sector = sector.unwrap_or(512);
    let megabytes = settings.number(&mut utf16!("Megabytes")).unwrap_or(64).max(1);
    Bank::new((u64::from(megabytes) << 20) / u64::from(sector), sector, SrbKind::Extended)
}
