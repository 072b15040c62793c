//! Several RAM disks as the units of one target, that come and go while the adapter runs.

use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicU8, Ordering},
};

use alloc::boxed::Box;
use sluice_chain::try_box;
use sluice_shim::{
    miniport::{Miniport, Srb},
    scsi::sense::Refusal,
    storport::SrbKind,
};

use crate::Ram;

/// The adapter. A disk that was there once keeps its bytes until the adapter goes.
#[derive(Debug)]
pub struct Bank {
    kind: SrbKind,
    sectors: u64,
    sector_size: u32,
    /// Set once each, freed with the bank.
    disks: [AtomicPtr<Ram>; Self::MOST],
    present: AtomicU8,
}

impl Bank {
    /// Most disks at once.
    pub const MOST: usize = 8;

    /// An adapter without a disk; each will have this size.
    #[must_use]
    pub const fn new(sectors: u64, sector_size: u32, kind: SrbKind) -> Self {
        let disks = [const { AtomicPtr::new(ptr::null_mut()) }; Self::MOST];
        Self { kind, sectors, sector_size, disks, present: AtomicU8::new(0) }
    }

    /// From now on the units 0 to `wanted - 1` are there, and no others. Answers how many there are: fewer if memory has run
    /// out. One call at a time. PASSIVE_LEVEL (as the allocator allows).
    pub fn populate(&self, wanted: usize) -> usize {
        let made = (0..wanted.min(Self::MOST)).take_while(|number| self.make(*number)).count();
        self.present.store(made as u8, Ordering::Release);
        for disk in (0..made).filter_map(|number| self.disk(number)) {
            disk.units.store(made as u8, Ordering::Relaxed);
        }
        made
    }

    /// Sees to it that the disk exists.
    fn make(&self, number: usize) -> bool {
        let Some(place) = self.disks.get(number) else { return false };
        if !place.load(Ordering::Acquire).is_null() {
            return true;
        }
        let made = Ram::new(self.sectors, self.sector_size, self.kind)
            .and_then(|ram| try_box(Ram { number: number as u8, ..ram }));
        let Some(made) = made else { return false };
        place.store(Box::into_raw(made), Ordering::Release);
        true
    }

    fn disk(&self, number: usize) -> Option<&Ram> {
        // SAFETY: made from a box by `make`, freed with the bank only.
        NonNull::new(self.disks.get(number)?.load(Ordering::Acquire)).map(|disk| unsafe { disk.as_ref() })
    }

    /// The disk that an SRB is for, if it is there now.
    fn present(&self, number: u8) -> Option<&Ram> {
        self.disk(usize::from(number)).filter(|_| number < self.present.load(Ordering::Acquire))
    }
}

impl Miniport for Bank {
    fn srb_kind(&self) -> SrbKind {
        self.kind
    }

    fn start_io(&self, mut srb: Srb) {
        let mut view = srb.view();
        match self.present(view.address().lun) {
            Some(ram) => {
                // SAFETY: the shim's SRBs name memory that stays mapped until they are completed.
                unsafe { ram.execute(&mut view) };
                srb.complete();
            }
            None => srb.refuse(Refusal::NoDevice),
        }
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        for place in &mut self.disks {
            let disk = core::mem::replace(place.get_mut(), ptr::null_mut());
            if !disk.is_null() {
                // SAFETY: made by `make`, and nobody borrows the bank any more.
                drop(unsafe { Box::from_raw(disk) });
            }
        }
    }
}
