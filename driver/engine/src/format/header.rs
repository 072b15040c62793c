//! A copy of the header that has been checked.

use crate::{
    keys::{Kek, KeyError, VolumeKey, header_mac, unwrap},
    volume::{ENCRYPT, InPlace, Kind, Mapped, PLACE},
};

use sluice_xts::wipe_stack;

use super::raw::{MAGIC, RawHeader, RawSlot, SLOTS, STAGE, VERSION};
use sluice_chain::registration::{Place, is_name};

/// A header whose checksum, version and numbers make sense together. It has not been authenticated: that takes
/// the key ([`Self::unlock`]).
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    raw: &'a RawHeader,
}

/// Why a copy is no header that we can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It does not begin like one.
    Magic,
    /// Its bytes have changed since it was written.
    Checksum,
    /// It was written by a newer version, with what this one does not know.
    Newer,
    /// Its numbers contradict each other.
    Inconsistent,
    /// The disk is smaller than the header says: cut off, or a copy of a larger one.
    DiskTooSmall {
        /// Bytes that the header needs.
        needed: u64,
    },
    /// The disk's sectors are not the volume's.
    SectorSize {
        /// Bytes of the volume's.
        volume: u32,
    },
}

impl<'a> Header<'a> {
    /// Checks a copy.
    ///
    /// # Errors
    /// See [`Problem`].
    pub fn check(raw: &'a RawHeader) -> Result<Self, Problem> {
        if raw.magic != MAGIC {
            return Err(Problem::Magic);
        }
        // First: a version that nobody wrote says nothing. Its place, and the magic's, stay in every version.
        if raw.computed_checksum() != raw.checksum {
            return Err(Problem::Checksum);
        }
        if raw.version.get() > VERSION {
            return Err(Problem::Newer);
        }
        if raw.incompatible.get() & !STAGE != 0 || raw.read_only_compatible.get() != 0 {
            return Err(Problem::Newer);
        }
        if !matches!(raw.kind.get(), IN_PLACE | MAPPED) {
            return Err(Problem::Newer);
        }
        let header = Self { raw };
        if header.is_consistent() { Ok(header) } else { Err(Problem::Inconsistent) }
    }

    /// Checks it against the disk that it was found on.
    ///
    /// # Errors
    /// [`Problem::DiskTooSmall`], [`Problem::SectorSize`].
    pub fn fits(&self, disk_bytes: u64, disk_sector_size: u32) -> Result<(), Problem> {
        let needed = self.copy_b_offset() + super::COPY_BYTES as u64;
        if needed > disk_bytes {
            return Err(Problem::DiskTooSmall { needed });
        }
        let volume = self.sector_size();
        if volume == disk_sector_size { Ok(()) } else { Err(Problem::SectorSize { volume }) }
    }

    /// What the driver relies on when it turns sectors into places. A header that passed the checksum was
    /// written by a program, but by which?
    fn is_consistent(&self) -> bool {
        let raw = self.raw;
        let b = raw.copy_b_offset.get();
        raw.version.get() == VERSION
            && matches!(raw.sector_size.get(), 512 | 4096)
            && b.checked_add(super::COPY_BYTES as u64).is_some_and(|end| end <= raw.disk_bytes.get())
            && self.foreign_stage().is_none_or(|stage| stage.fits(raw.kind.get()))
            && match raw.kind.get() {
                MAPPED => Mapped::of(raw).is_consistent(raw),
                _ => self.is_consistent_in_place(),
            }
    }

    fn is_consistent_in_place(&self) -> bool {
        let raw = self.raw;
        let (data, volume, b) = (raw.data_offset.get(), raw.volume_bytes.get(), raw.copy_b_offset.get());
        let sector = u64::from(raw.sector_size.get());
        raw.cipher.get() == 1
            && raw.stages == [ENCRYPT, PLACE, 0, 0, 0, 0, 0, 0]
            && data >= super::COPY_BYTES as u64
            && volume > 0
            && volume <= super::MAX_VOLUME_BYTES
            && [data, volume, b].iter().all(|bytes| bytes.is_multiple_of(sector))
            && data.checked_add(volume).is_some_and(|end| end <= b)
    }

    /// The bytes.
    pub fn raw(&self) -> &'a RawHeader {
        self.raw
    }

    /// The volume's UUID.
    pub fn uuid(&self) -> [u8; 16] {
        self.raw.uuid
    }

    /// Grows with every change.
    pub fn sequence(&self) -> u64 {
        self.raw.sequence.get()
    }

    /// Bytes of a sector.
    pub fn sector_size(&self) -> u32 {
        self.raw.sector_size.get()
    }

    /// Bytes of the volume.
    pub fn volume_bytes(&self) -> u64 {
        self.raw.volume_bytes.get()
    }

    /// Where the volume begins on the disk, in bytes.
    pub fn data_offset(&self) -> u64 {
        self.raw.data_offset.get()
    }

    /// Where copy B lies, in bytes.
    pub fn copy_b_offset(&self) -> u64 {
        self.raw.copy_b_offset.get()
    }

    /// The volume's label.
    pub fn label(&self) -> &'a str {
        text(&self.raw.label)
    }

    /// What kind of volume it is, and where it lies.
    pub fn kind(&self) -> Kind {
        if self.raw.kind.get() == MAPPED {
            return Kind::Mapped(Mapped::of(self.raw));
        }
        let size = u64::from(self.sector_size());
        Kind::InPlace(InPlace {
            sector_size: self.sector_size(),
            first_sector: self.data_offset() / size,
            sectors: self.volume_bytes() / size,
        })
    }

    /// The stage of another driver without which the data means nothing, if there is one.
    pub fn foreign_stage(&self) -> Option<ForeignStage> {
        let there = self.raw.incompatible.get() & STAGE != 0;
        there.then(|| ForeignStage { name: self.raw.stage_name, place: Place(self.raw.stage_place.get()) })
    }

    /// Whether it opens without a secret: nothing is encrypted.
    pub fn is_open(&self) -> bool {
        self.raw.cipher.get() == 0
    }

    /// Puts the volume key of a volume without cipher into `key`.
    ///
    /// # Errors
    /// [`KeyError::WrongKey`] for an encrypted volume; [`KeyError::Tampered`]. `key` is then zeros.
    pub fn open(&self, key: &mut VolumeKey) -> Result<(), KeyError> {
        key.wipe();
        if !self.is_open() {
            return Err(KeyError::WrongKey);
        }
        *key = VolumeKey::from_random(&mut { self.raw.open_key });
        let authentic = header_mac(key, self.raw) == self.raw.mac;
        wipe_stack();
        authentic.then_some(()).ok_or(KeyError::Tampered).inspect_err(|_| key.wipe())
    }

    /// Key slot `index`, if it is in use.
    pub fn slot(&self, index: usize) -> Option<Slot<'a>> {
        let raw = self.raw.slots.get(index)?;
        Some(Slot { kind: SlotKind::of(raw.kind.get())?, index, raw, uuid: &self.raw.uuid })
    }

    /// The slots in use.
    pub fn slots(&self) -> impl Iterator<Item = Slot<'a>> + use<'a> {
        let header = *self;
        (0..SLOTS).filter_map(move |index| header.slot(index))
    }

    /// Opens slot `index` with its unwrapping key and puts the volume key into `key`. Checks that the header is
    /// the one that the key's owner wrote.
    ///
    /// # Errors
    /// [`KeyError`]; `key` is then zeros.
    pub fn unlock(&self, index: usize, kek: &Kek, key: &mut VolumeKey) -> Result<(), KeyError> {
        let slot = self.slot(index).ok_or(KeyError::EmptySlot)?;
        let result = unwrap(kek, &slot.raw.wrapped_key, key).and_then(|()| {
            let authentic = header_mac(key, self.raw) == self.raw.mac;
            authentic.then_some(()).ok_or(KeyError::Tampered)
        });
        wipe_stack();
        result.inspect_err(|_| key.wipe())
    }
}

/// A stage of another driver that changes all data of a volume: it is never opened without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignStage {
    /// Under which name it is registered.
    pub name: [u8; 16],
    /// On which side of the volume's own stages.
    pub place: Place,
}

impl ForeignStage {
    /// A stage of this name; `None` if no stage can have it.
    pub fn new(name: &str, place: Place) -> Option<Self> {
        let mut padded = [0; 16];
        padded.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        is_name(&padded).then_some(Self { name: padded, place })
    }

    /// Its name as text.
    pub fn name(&self) -> &str {
        text(&self.name)
    }

    /// Whether a volume of this kind can have it: nothing is below the chain of a mapped one.
    fn fits(&self, kind: u32) -> bool {
        is_name(&self.name) && (self.place == Place::ABOVE || self.place == Place::BELOW && kind == IN_PLACE)
    }
}

/// As in [`RawHeader::kind`].
pub(super) const IN_PLACE: u32 = 1;
pub(crate) const MAPPED: u32 = 2;

/// What a slot's secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// Typed by somebody.
    Passphrase,
    /// The contents of a file.
    KeyFile,
    /// Made by us, written down.
    RecoveryCode,
}

impl SlotKind {
    fn of(number: u32) -> Option<Self> {
        [Self::Passphrase, Self::KeyFile, Self::RecoveryCode].into_iter().find(|kind| kind.number() == number)
    }

    /// As in [`RawSlot::kind`].
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Passphrase => 1,
            Self::KeyFile => 2,
            Self::RecoveryCode => 3,
        }
    }
}

/// A key slot in use.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// What its secret is.
    pub kind: SlotKind,
    /// Which slot.
    pub index: usize,
    /// Its bytes.
    pub raw: &'a RawSlot,
    /// The volume's UUID, which takes part in the derivation.
    pub uuid: &'a [u8; 16],
}

impl<'a> Slot<'a> {
    /// Its label.
    pub fn label(&self) -> &'a str {
        text(&self.raw.label)
    }
}

/// A label's text up to the first zero; nothing if it is not UTF-8.
fn text(label: &[u8]) -> &str {
    let end = label.iter().position(|&byte| byte == 0).unwrap_or(label.len());
    label.get(..end).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or("")
}
