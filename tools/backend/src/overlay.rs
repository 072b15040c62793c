//! Sectors that were written to what is only looked at.

use std::collections::BTreeMap;

/// The smallest thing that is written.
const SECTOR: usize = 512;

/// Sectors in memory, by their place, in front of what lies below them.
#[derive(Debug, Default)]
pub struct Overlay {
    sectors: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    /// Keeps what is written. Place and length are multiples of 512 bytes.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (at, sector) in (offset..).step_by(SECTOR).zip(bytes.chunks_exact(SECTOR)) {
            self.sectors.insert(at, sector.into());
        }
    }

    /// Puts it over what was read below.
    pub fn cover(&self, offset: u64, read: &mut [u8]) {
        for (at, sector) in self.sectors.range(offset..offset + read.len() as u64) {
            read[(at - offset) as usize..][..SECTOR].copy_from_slice(sector);
        }
    }
}
