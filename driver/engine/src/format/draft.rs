//! A header to be written: a new one, or a changed one.

use alloc::boxed::Box;

use sluice_chain::try_box;
use zerocopy::IntoBytes;

use crate::{
    keys::{Kek, VolumeKey, header_mac, wrap},
    volume::Mapped,
};

use super::{
    geometry::Geometry,
    header::{ForeignStage, Header, IN_PLACE, SlotKind},
    raw::{COPY_BYTES, LABEL_BYTES, MAGIC, RawHeader, RawSlot, STAGE, VERSION},
};

/// What a new volume in place is, or with `mapped`, a mapped one. All randomness comes from the caller.
#[derive(Clone, Debug)]
pub struct NewVolume<'a> {
    /// Where it lies.
    pub geometry: Geometry,
    /// How it is mapped; where it lies is then said here.
    pub mapped: Option<Mapped>,
    /// The stage of another driver that all data passes.
    pub stage: Option<ForeignStage>,
    /// Its UUID, random.
    pub uuid: [u8; 16],
    /// Its label; at most 64 bytes.
    pub label: &'a str,
    /// Seconds since 1970-01-01 UTC, or 0.
    pub created: u64,
}

/// What goes into a key slot, beside the volume key.
#[derive(Clone, Debug)]
pub struct SlotSecret<'a> {
    /// What the secret is.
    pub kind: SlotKind,
    /// Argon2id memory in KiB.
    pub memory_kib: u32,
    /// Argon2id passes.
    pub iterations: u32,
    /// Argon2id lanes.
    pub lanes: u32,
    /// Argon2id salt, random.
    pub salt: [u8; 32],
    /// Its label; at most 64 bytes.
    pub label: &'a str,
    /// Seconds since 1970-01-01 UTC, or 0.
    pub created: u64,
}

/// Why a change cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DraftError {
    /// There is no such slot.
    NoSuchSlot,
    /// The slot is in use.
    SlotInUse,
    /// All slots are in use.
    NoFreeSlot,
    /// It is the last slot: without it nobody could open the volume any more.
    LastSlot,
    /// A label of more than 64 bytes.
    Label,
    /// The volume is one in place.
    NotMapped,
    /// Memory has run out.
    NoMemory,
}

/// A header under change. Nothing is valid until [`Self::seal`] has been called.
pub struct Draft {
    raw: Box<RawHeader>,
}

impl Draft {
    /// A new volume without any key slot.
    ///
    /// # Errors
    /// [`DraftError::Label`], [`DraftError::NoMemory`].
    pub fn new(volume: &NewVolume<'_>) -> Result<Self, DraftError> {
        let mut raw = try_box(RawHeader::blank()).ok_or(DraftError::NoMemory)?;
        let geometry = volume.geometry;
        raw.magic = MAGIC;
        raw.version.set(VERSION);
        raw.uuid = volume.uuid;
        raw.kind.set(IN_PLACE);
        raw.cipher.set(1);
        raw.sector_size.set(geometry.sector_size);
        raw.disk_bytes.set(geometry.disk_bytes);
        raw.copy_b_offset.set(geometry.copy_b_offset);
        raw.data_offset.set(geometry.data_offset);
        raw.volume_bytes.set(geometry.volume_bytes);
        raw.stages = [1, 2, 0, 0, 0, 0, 0, 0];
        if let Some(mapped) = volume.mapped {
            mapped.record(&mut raw);
        }
        if let Some(stage) = volume.stage {
            raw.incompatible.set(STAGE);
            raw.stage_name = stage.name;
            raw.stage_place.set(stage.place.0);
        }
        raw.created.set(volume.created);
        raw.label = label(volume.label)?;
        Ok(Self { raw })
    }

    /// A change of an existing header.
    ///
    /// # Errors
    /// [`DraftError::NoMemory`].
    pub fn of(header: Header<'_>) -> Result<Self, DraftError> {
        Ok(Self { raw: try_box(header.raw().clone()).ok_or(DraftError::NoMemory)? })
    }

    /// Changes how a mapped volume is mapped, on a disk that has `disk_bytes` now.
    ///
    /// # Errors
    /// [`DraftError::NotMapped`].
    pub fn remap(&mut self, mapped: &Mapped, disk_bytes: u64) -> Result<(), DraftError> {
        if self.raw.kind.get() != super::MAPPED {
            return Err(DraftError::NotMapped);
        }
        mapped.record(&mut self.raw);
        self.raw.disk_bytes.set(disk_bytes);
        Ok(())
    }

    /// Leaves the volume key of a volume without cipher in the header.
    pub fn leave_open(&mut self, key: &VolumeKey) {
        if self.raw.cipher.get() == 0 {
            self.raw.open_key = *key.as_bytes();
        }
    }

    /// The volume's UUID.
    pub fn uuid(&self) -> [u8; 16] {
        self.raw.uuid
    }

    /// The first slot that is not in use.
    ///
    /// # Errors
    /// [`DraftError::NoFreeSlot`].
    pub fn free_slot(&self) -> Result<usize, DraftError> {
        self.raw.slots.iter().position(|slot| slot.kind.get() == 0).ok_or(DraftError::NoFreeSlot)
    }

    /// Fills slot `index` with the volume key wrapped by `kek`, which the caller has derived from the secret for
    /// just this slot.
    ///
    /// # Errors
    /// [`DraftError::NoSuchSlot`], [`DraftError::SlotInUse`], [`DraftError::Label`].
    pub fn fill(
        &mut self,
        index: usize,
        secret: &SlotSecret<'_>,
        kek: &Kek,
        key: &VolumeKey,
    ) -> Result<(), DraftError> {
        let slot = self.raw.slots.get_mut(index).ok_or(DraftError::NoSuchSlot)?;
        if slot.kind.get() != 0 {
            return Err(DraftError::SlotInUse);
        }
        slot.label = label(secret.label)?;
        slot.kind.set(secret.kind.number());
        slot.kdf.set(1);
        slot.memory_kib.set(secret.memory_kib);
        slot.iterations.set(secret.iterations);
        slot.lanes.set(secret.lanes);
        slot.salt = secret.salt;
        slot.created.set(secret.created);
        slot.wrapped_key = wrap(kek, key);
        Ok(())
    }

    /// Empties slot `index`: its bytes become zeros.
    ///
    /// # Errors
    /// [`DraftError::NoSuchSlot`], [`DraftError::LastSlot`].
    pub fn clear(&mut self, index: usize) -> Result<(), DraftError> {
        let used = self.raw.slots.iter().filter(|slot| slot.kind.get() != 0).count();
        let slot = self.raw.slots.get_mut(index).filter(|slot| slot.kind.get() != 0);
        let slot = slot.ok_or(DraftError::NoSuchSlot)?;
        if used == 1 {
            return Err(DraftError::LastSlot);
        }
        slot.as_mut_bytes().fill(0);
        Ok(())
    }

    /// Gives slot `index` new contents, as one change.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn refill(
        &mut self,
        index: usize,
        secret: &SlotSecret<'_>,
        kek: &Kek,
        key: &VolumeKey,
    ) -> Result<(), DraftError> {
        let slot: &mut RawSlot = self.raw.slots.get_mut(index).ok_or(DraftError::NoSuchSlot)?;
        slot.as_mut_bytes().fill(0);
        self.fill(index, secret, kek, key)
    }

    /// Makes it valid: the next sequence number, the MAC, the checksum. Answers the bytes for both copies.
    pub fn seal(&mut self, key: &VolumeKey) -> &[u8; COPY_BYTES] {
        let next = self.raw.sequence.get().saturating_add(1);
        self.raw.sequence.set(next);
        self.raw.mac = header_mac(key, &self.raw);
        self.raw.checksum = self.raw.computed_checksum();
        zerocopy::transmute_ref!(&*self.raw)
    }
}

fn label(text: &str) -> Result<[u8; LABEL_BYTES], DraftError> {
    let mut bytes = [0; LABEL_BYTES];
    bytes.get_mut(..text.len()).ok_or(DraftError::Label)?.copy_from_slice(text.as_bytes());
    Ok(bytes)
}
