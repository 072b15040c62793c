//! A disk in memory, and a volume's keys.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use sluice_mapped::{disk::Disk, io::DeviceError, seal::Sealer};
use sluice_xts::Backend;

#[derive(Clone)]
pub(crate) struct Memory(pub(crate) Vec<u8>);

impl Disk for Memory {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        buffer.copy_from_slice(&self.0[offset as usize..offset as usize + buffer.len()]);
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.0[offset as usize..offset as usize + buffer.len()].copy_from_slice(buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }

    /// What it gives back from then on is anybody's guess.
    fn discard(&mut self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.0[offset as usize..(offset + length) as usize].fill(0xdd);
        Ok(())
    }
}

pub(crate) fn sealer() -> Sealer {
    Sealer::new(&core::array::from_fn(|i| i as u8), &[2; 16], true, Backend::detect_xmm()).unwrap()
}
