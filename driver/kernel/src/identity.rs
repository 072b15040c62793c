//! Whose disk is it? The header is read when the disk starts, and kept while the disk is there.

use alloc::boxed::Box;
use core::cell::UnsafeCell;

use sluice_chain::{Chain, try_box, try_zeros};
use sluice_engine::{
    format::{COPY_BYTES, CopyRead, Damage, Header, Probe as Found, Problem, RawHeader, probe, read_second},
    keys::{Kek, KeyError, VolumeKey},
    volume::{InPlace, Kind},
};
use sluice_miniport_lower::Lower;
use sluice_xts::Backend;
use wdk_sys::{NTSTATUS, STATUS_DISK_CORRUPT_ERROR, STATUS_INSUFFICIENT_RESOURCES, STATUS_REVISION_MISMATCH};

use crate::{
    child_io::Below,
    disk::{Disk, DiskState},
    mapped::{Hosted, Start},
    nt::{event::TurnGuard, irql::Passive},
    probe::{Adapter, Capacity, Probe, Silence},
    stages,
    volume::{Miniport, REQUESTS, Volume},
};
use sluice_control::Refusal;

/// What is known of a disk. Changed with the disk's turn only.
pub(crate) struct Identity {
    /// How large the disk is.
    pub(crate) capacity: Capacity,
    /// A good header, if it has one.
    pub(crate) header: Option<Box<[u8; COPY_BYTES]>>,
    /// What the adapter below takes.
    pub(crate) adapter: Adapter,
    /// What went wrong last, or 0.
    pub(crate) last_error: NTSTATUS,
}

/// The identity behind the disk's turn.
pub(crate) struct IdentityCell(UnsafeCell<Identity>);

impl IdentityCell {
    /// Nothing is known yet.
    pub(crate) const fn new() -> Self {
        let capacity = Capacity {
            sector_size: 512,
            sectors: 0,
            physical_exponent: 0,
            lowest_aligned: 0,
            provisioned: false,
        };
        Self(UnsafeCell::new(Identity { capacity, header: None, adapter: Adapter::LEAST, last_error: 0 }))
    }

    /// What is known, for whoever has the disk's turn.
    #[expect(clippy::mut_from_ref, reason = "the guard is what is borrowed: one exists at a time")]
    pub(crate) fn with<'a>(&'a self, _turn: &'a mut TurnGuard<'_>) -> &'a mut Identity {
        // SAFETY: the guard proves the turn, and is borrowed exclusively for as long as the result lives.
        unsafe { &mut *self.0.get() }
    }
}

impl Identity {
    /// The header, checked again: it is short work, and the type then says so.
    pub(crate) fn header(&self) -> Option<Header<'_>> {
        let raw = zerocopy::FromBytes::ref_from_bytes(&self.header.as_deref()?[..]).ok();
        raw.and_then(|raw: &RawHeader| Header::check(raw).ok())
    }
}

impl Disk {
    /// Reads the header and sets the disk's state. Called when the disk has started.
    pub(crate) fn identify(&self, at: Passive<'_>) {
        let mut turn = self.turn.take(at);
        // A disk that is stopped and started again (resources rebalanced) keeps what it is.
        if self.state() == DiskState::Plain {
            self.read_identity(&mut turn, at);
        }
    }

    /// Tries again to read a header that could not be read: a passing fault, or too little memory at the start.
    pub(crate) fn identify_again(&self, turn: &mut TurnGuard<'_>, at: Passive<'_>) {
        if self.state() == DiskState::Unreadable {
            self.read_identity(turn, at);
        }
    }

    fn read_identity(&self, turn: &mut TurnGuard<'_>, at: Passive<'_>) {
        let ask = Probe::new(self.lower(), at);
        let identity = self.identity.with(turn);
        identity.adapter = ask.adapter();
        let (state, error) = match read_headers(&ask, identity) {
            Ok(found) => found,
            // Nothing in it: nothing of ours.
            Err(Silence::NoMedium) => (DiskState::Plain, 0),
            Err(Silence::Failed(status)) => (DiskState::Unreadable, status),
        };
        identity.last_error = error;
        if let Some(header) = identity.header() {
            let mapped = matches!(header.kind(), Kind::Mapped(_));
            self.set_place(place(header), mapped, identity.capacity);
        }
        self.set_state(state);
    }

    /// Unlocks the disk: with a slot and its key, or one that is not encrypted without.
    ///
    /// # Errors
    /// The disk stays as it was.
    pub(crate) fn unlock(
        &'static self,
        key: Option<(u32, &mut [u8; 32])>,
        at: Passive<'_>,
    ) -> Result<(), Refusal> {
        let kek = key.map(|(slot, key)| (slot, Kek::from_bytes(key)));
        let mut turn = self.turn.take(at);
        // It may have been formatted since it started, or have had no medium then.
        if matches!(self.state(), DiskState::Plain | DiskState::Unreadable) {
            self.read_identity(&mut turn, at);
        }
        let identity = self.identity.with(&mut turn);
        if self.state() != DiskState::Locked {
            return Err(Refusal::WrongState);
        }
        let header = identity.header().ok_or(Refusal::WrongState)?;
        let volume_key = volume_key(&header, kek.as_ref())?;
        let (sector, adapter) = (header.sector_size(), identity.adapter);
        let (mut chain, miniport) = match header.kind() {
            Kind::InPlace(place) => {
                let chain = place.chain(volume_key.as_bytes(), Backend::detect_xmm());
                let below = Below { device: self.lower(), kind: adapter.kind };
                (chain.map_err(|_| Refusal::NoMemory)?, Miniport::Lower(Lower(below)))
            }
            Kind::Mapped(mapped) => {
                let start = Start::new(&mapped, &header.uuid(), &volume_key)?;
                drop(volume_key);
                // SAFETY: the device below stays while this driver is attached to it, which outlasts its volume.
                let hosted = unsafe { Hosted::open(self.lower(), adapter, start, REQUESTS, at) }?;
                (Chain::new(), Miniport::Mapped(hosted))
            }
        };
        let mapped = matches!(miniport, Miniport::Mapped(_));
        stages::join(self.id, header.foreign_stage(), mapped, &mut chain)?;
        let volume = Volume::start(self, chain, sector, miniport);
        self.open_volume(volume.map_err(|_| Refusal::NoMemory)?);
        identity.last_error = 0;
        Ok(())
    }

    /// Locks the disk: what is under way is finished, then the key is wiped.
    ///
    /// # Errors
    /// The disk stays as it was.
    pub(crate) fn lock(&self, at: Passive<'_>) -> Result<(), Refusal> {
        let turn = self.turn.take(at);
        if self.state() != DiskState::Unlocked {
            return Err(Refusal::WrongState);
        }
        self.lock_now(&turn, at)
    }

    /// As [`Self::lock`], of a disk that has a volume in use, whatever has become of the device.
    pub(crate) fn lock_now(&self, _turn: &TurnGuard<'_>, at: Passive<'_>) -> Result<(), Refusal> {
        if self.holds_paging_file() && self.state() == DiskState::Unlocked {
            return Err(Refusal::InUse);
        }
        // From here on new requests are refused as those of a locked disk.
        self.set_state(DiskState::Locked);
        self.close_volume(at);
        Ok(())
    }
}

/// The volume's key, on the heap, so that no copy stays behind on a stack. A volume that is not encrypted has it in its
/// header. Who brings a key for that, or none for another, takes the disk for what it is not.
fn volume_key(header: &Header<'_>, kek: Option<&(u32, Kek)>) -> Result<Box<VolumeKey>, Refusal> {
    let mut key = try_box(VolumeKey::zeroed()).ok_or(Refusal::NoMemory)?;
    let unlocked = match (header.is_open(), kek) {
        (true, None) => header.open(&mut key),
        (false, Some((slot, kek))) => header.unlock(*slot as usize, kek, &mut key),
        (true, Some(_)) => return Err(Refusal::NotEncrypted),
        (false, None) => return Err(Refusal::Encrypted),
    };
    unlocked.map_err(|error| match error {
        KeyError::EmptySlot => Refusal::NoSuchSlot,
        KeyError::WrongKey => Refusal::WrongKey,
        KeyError::Tampered => Refusal::Tampered,
    })?;
    Ok(key)
}

/// Where the volume lies. A mapped one has no place; its size is what a locked disk shows.
fn place(header: Header<'_>) -> InPlace {
    match header.kind() {
        Kind::InPlace(place) => place,
        Kind::Mapped(mapped) => {
            let sectors = mapped.volume_bytes / u64::from(mapped.sector_size.max(1));
            InPlace { sector_size: mapped.sector_size, first_sector: 0, sectors }
        }
    }
}

/// Reads both copies and judges them.
fn read_headers(ask: &Probe<'_>, identity: &mut Identity) -> Result<(DiskState, NTSTATUS), Silence> {
    let no_memory = Silence::Failed(STATUS_INSUFFICIENT_RESOURCES);
    let capacity = ask.capacity()?;
    identity.capacity = capacity;
    // Sectors of other sizes cannot hold a volume; a disk smaller than its header has no header either.
    let whole = (COPY_BYTES as u64).is_multiple_of(u64::from(capacity.sector_size.max(1)));
    if capacity.sector_size < 512 || !whole || capacity.bytes() < COPY_BYTES as u64 {
        return Ok((DiskState::Plain, 0));
    }
    let mut buffers =
        [try_zeros::<COPY_BYTES>().ok_or(no_memory)?, try_zeros::<COPY_BYTES>().ok_or(no_memory)?];
    let [first, second] = &mut buffers;
    let a = match ask.read(capacity, 0, &mut first[..]) {
        Ok(()) => CopyRead::Bytes(first),
        Err(Silence::NoMedium) => return Err(Silence::NoMedium),
        Err(Silence::Failed(_)) => CopyRead::Unreadable,
    };
    let found = read_second(a, capacity.bytes(), second, |offset, into| {
        ask.read(capacity, offset, &mut into[..]).is_ok()
    });
    let b = found.with(second);
    Ok(match probe(a, b, capacity.bytes(), capacity.sector_size) {
        Found::None => (DiskState::Plain, 0),
        Found::Unreadable => (DiskState::Unreadable, wdk_sys::STATUS_DEVICE_DATA_ERROR),
        Found::Damaged(Damage::Newer) => (DiskState::Damaged, STATUS_REVISION_MISMATCH),
        Found::Damaged(Damage::Misfit(Problem::DiskTooSmall { .. })) => {
            (DiskState::Damaged, wdk_sys::STATUS_NONEXISTENT_SECTOR)
        }
        Found::Damaged(_) => (DiskState::Damaged, STATUS_DISK_CORRUPT_ERROR),
        Found::Valid { header, .. } => {
            let mut kept = try_zeros::<COPY_BYTES>().ok_or(no_memory)?;
            kept.copy_from_slice(zerocopy::IntoBytes::as_bytes(header.raw()));
            identity.header = Some(kept);
            (DiskState::Locked, 0)
        }
    })
}

/// A header for programs, which need its slots' parameters; it holds no secret in the clear.
pub(crate) fn copy_header(disk: &Disk, into: &mut [u8], at: Passive<'_>) -> Result<usize, Refusal> {
    let mut turn = disk.turn.take(at);
    let identity = disk.identity.with(&mut turn);
    let header = identity.header().ok_or(Refusal::WrongState)?;
    let place = into.get_mut(..COPY_BYTES).ok_or(Refusal::NoRoom)?;
    place.copy_from_slice(zerocopy::IntoBytes::as_bytes(header.raw()));
    Ok(COPY_BYTES)
}
