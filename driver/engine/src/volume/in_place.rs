//! In-place volumes: every sector has its fixed place; stages keep the size.

use sluice_chain::{Chain, try_box};
use sluice_xts::{Backend, Xts256};

use crate::stages::{Encrypt, Place};

/// Where an in-place volume lies. From a validated header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InPlace {
    /// Size of a sector in bytes, 512 or 4096.
    pub sector_size: u32,
    /// First sector of the volume on the device.
    pub first_sector: u64,
    /// Size of the volume in sectors.
    pub sectors: u64,
}

/// Why a chain could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainError {
    /// Memory has run out.
    NoMemory,
    /// The key is not usable for AES-256-XTS (its halves are equal).
    WeakKey,
}

impl InPlace {
    /// The volume's stages, top to bottom: encrypt, place. Wipes its copies of the key when dropped.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn chain(&self, key: &[u8; 64], backend: Backend) -> Result<Chain, ChainError> {
        let cipher = Xts256::new(key, backend).map_err(|_| ChainError::WeakKey)?;
        let mut chain = Chain::new();
        let encrypt = try_box(Encrypt::new(cipher)).ok_or(ChainError::NoMemory)?;
        let place = try_box(Place::new(self.first_sector, self.sectors)).ok_or(ChainError::NoMemory)?;
        chain.push_owned(encrypt).map_err(|_| ChainError::NoMemory)?;
        chain.push_owned(place).map_err(|_| ChainError::NoMemory)?;
        Ok(chain)
    }
}
