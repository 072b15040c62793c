//! The plaintext of a volume, whatever its kind, for reading only.

use sluice_chain::bytes::Target;
use sluice_engine::{format::Header, keys::VolumeKey, volume::Kind};
use sluice_xts::{Backend, Xts256};

use crate::{failure::Failure, image::Image, mapped::ReadOnly};

/// An open volume.
pub(crate) enum Plain<'a> {
    InPlace { image: &'a Image, cipher: Xts256, sector: u32, data_offset: u64, bytes: u64 },
    Mapped(ReadOnly<'a>),
}

impl<'a> Plain<'a> {
    /// Opens it; a mapped one after a crash or not.
    pub(crate) fn open(image: &'a Image, header: &Header<'_>, key: &VolumeKey) -> Result<Self, Failure> {
        match header.kind() {
            Kind::InPlace(place) => Ok(Self::InPlace {
                image,
                cipher: cipher(key)?,
                sector: place.sector_size,
                data_offset: header.data_offset(),
                bytes: header.volume_bytes(),
            }),
            Kind::Mapped(of) => Ok(Self::Mapped(ReadOnly::open(image, header, &of, key)?)),
        }
    }

    /// Fills `into`, 1 MiB at most, from byte `offset` of the volume on. Both are whole sectors.
    pub(crate) fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Failure> {
        match self {
            Self::InPlace { image, cipher, sector, data_offset, bytes } => {
                image.read(*data_offset + offset, into)?;
                let end = offset + into.len() as u64;
                let decrypted = cipher.decrypt_in_place(
                    offset / u64::from(*sector),
                    *sector as usize,
                    Target::from(into),
                );
                decrypted.map_err(|_| Failure::Range { offset, end, size: *bytes })
            }
            Self::Mapped(volume) => volume.read(offset, into),
        }
    }
}

/// The cipher of a volume in place.
pub(crate) fn cipher(key: &VolumeKey) -> Result<Xts256, Failure> {
    Xts256::new(key.as_bytes(), Backend::detect()).map_err(|_| Failure::Tampered)
}
