//! A disk in memory, as a miniport: the device under tests and measurements, in user mode and in the kernel.
//!
//! It answers every SRB before `HwStartIo` returns, allocates nothing after it has been made, and takes no lock:
//! requests for the same blocks at the same time get what the memory gives, as on a real disk.
//!
//! ```text
//!   memory    the bytes
//!   commands  SRB functions and CDBs, and their answers
//!   bank      several disks on one adapter, that come and go
//! ```
#![no_std]

extern crate alloc;

mod bank;
mod commands;
mod memory;

pub use bank::Bank;
use core::sync::atomic::{AtomicU8, Ordering};
use memory::Memory;
use sluice_shim::{
    miniport::{Miniport, Srb},
    storport::{SrbKind, SrbView, srb::Address},
};

/// The miniport and its disk.
#[derive(Debug)]
pub struct Ram {
    memory: Memory,
    sector_size: u32,
    sectors: u64,
    kind: SrbKind,
    /// Its unit number.
    number: u8,
    /// Units that the target reports.
    units: AtomicU8,
}

impl Ram {
    /// A disk of zeros. `None` if the sector size is not 512 or 4096, the size is zero or does not fit memory.
    /// PASSIVE_LEVEL (as the allocator allows).
    #[must_use]
    pub fn new(sectors: u64, sector_size: u32, kind: SrbKind) -> Option<Self> {
        let known = matches!(sector_size, 512 | 4096);
        let bytes = usize::try_from(sectors.checked_mul(u64::from(sector_size))?).ok()?;
        let memory = if known { Memory::zeroed(bytes)? } else { return None };
        Some(Self { memory, sector_size, sectors, kind, number: 0, units: AtomicU8::new(1) })
    }

    /// Where it answers: as its number says, on the first target.
    fn address(&self) -> Address {
        Address { lun: self.number, ..Address::default() }
    }

    fn units(&self) -> u8 {
        self.units.load(Ordering::Relaxed)
    }

    /// Number of sectors.
    #[must_use]
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Size of a sector in bytes.
    #[must_use]
    pub fn sector_size(&self) -> u32 {
        self.sector_size
    }

    /// The disk's bytes from `offset` on, past every port and chain: for tests. Answers how many were copied.
    pub fn peek(&self, offset: u64, bytes: &mut [u8]) -> usize {
        self.memory.read(offset, bytes.into())
    }

    /// Carries an SRB out and puts the answer into it, without handing it back: `HwStartIo` but for its last
    /// step. Up to DISPATCH_LEVEL.
    ///
    /// # Safety
    /// The buffers that the SRB names (data, sense) are mapped for the lengths that it names.
    pub unsafe fn execute(&self, srb: &mut SrbView) {
        // SAFETY: the caller's contract.
        unsafe { commands::execute(self, srb) };
    }
}

impl Miniport for Ram {
    fn srb_kind(&self) -> SrbKind {
        self.kind
    }

    fn start_io(&self, mut srb: Srb) {
        // SAFETY: the shim's SRBs name memory that stays mapped until they are completed.
        unsafe { self.execute(&mut srb.view()) };
        srb.complete();
    }
}
