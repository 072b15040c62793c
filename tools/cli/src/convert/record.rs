//! What lies on the disk while a conversion is under way.
//!
//! The *mark* is the header that the volume will have, or has had, with one bit more: a feature without which the volume must
//! not be touched. So whatever knows only finished volumes refuses it, and the key slots are there from the first moment.

use std::mem::offset_of;

use sha2::{Digest, Sha256};
use sluice_engine::{
    format::{
        COPY_BYTES, CopyRead, Damage, Header, Probe, Problem, RawHeader, Second, copy_b_offset, probe,
        read_second,
    },
    volume::Kind,
};
use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use crate::{convert::Disk, failure::Failure};

/// Bytes of a copy of the header, of each record, and of the head.
pub(crate) const UNIT: u64 = COPY_BYTES as u64;
/// Units in use at copy B's place and behind it: the mark, the mark again, the position twice, the head.
pub(crate) const UNITS: u64 = 5;

/// Why a volume must not be touched, as a bit of the header's field `incompatible`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is being converted in place.
    Converting = 1,
    /// It is being filled from another disk.
    Filling = 2,
}

/// A copy of the header.
pub(crate) type HeaderCopy = [u8; COPY_BYTES];

/// A sealed header that nobody uses: with the mark, and otherwise as it was. The MAC stays that of the header without it.
pub(crate) fn marked(header: &HeaderCopy, mark: Mark) -> HeaderCopy {
    with_features(header, mark as u32)
}

/// The mark of a copy, and the header as it is without; `None` if there is none, or the header would not be good.
pub(crate) fn unmarked(copy: &HeaderCopy) -> Option<(Mark, Box<HeaderCopy>)> {
    let raw: &RawHeader = zerocopy::transmute_ref!(copy);
    let mark = [Mark::Converting, Mark::Filling].into_iter().find(|m| *m as u32 == raw.incompatible.get())?;
    if raw.checksum != checksum(copy, offset_of!(RawHeader, checksum)) {
        return None;
    }
    let header = Box::new(with_features(copy, 0));
    let raw: &RawHeader = zerocopy::transmute_ref!(&*header);
    Header::check(raw).is_ok().then_some((mark, header))
}

fn with_features(header: &HeaderCopy, incompatible: u32) -> HeaderCopy {
    let mut copy = *header;
    let raw: &mut RawHeader = zerocopy::transmute_mut!(&mut copy);
    raw.incompatible.set(incompatible);
    let sum = checksum(&copy, offset_of!(RawHeader, checksum));
    copy[offset_of!(RawHeader, checksum)..][..32].copy_from_slice(&sum);
    copy
}

/// SHA-256 of a unit with the 32 bytes at `at` as zeros.
fn checksum(unit: &HeaderCopy, at: usize) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(&unit[..at]);
    hash.update([0; 32]);
    hash.update(&unit[at + 32..]);
    hash.finalize().into()
}

/// Where things lie, by the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Bytes of a sector.
    pub sector: usize,
    /// S: how far the data moves.
    pub shift: u64,
    /// V: bytes of the volume.
    pub volume: u64,
    /// Where copy B of the header will be, or was, and the records are.
    pub copy_b: u64,
    /// Bytes of the disk when the header was made.
    pub disk: u64,
}

impl Place {
    /// `None` if a volume of this header cannot be converted: it is mapped, or has no room for the records.
    pub(crate) fn of(header: &Header<'_>) -> Option<Self> {
        let Kind::InPlace(_) = header.kind() else { return None };
        let place = Self {
            sector: header.sector_size() as usize,
            shift: header.data_offset(),
            volume: header.volume_bytes(),
            copy_b: header.copy_b_offset(),
            disk: header.raw().disk_bytes.get(),
        };
        (place.volume > UNIT && place.copy_b + UNITS * UNIT <= place.disk).then_some(place)
    }

    /// Where the mark lies once more.
    pub(crate) fn spare_at(&self) -> u64 {
        self.copy_b + UNIT
    }

    fn progress_at(&self, sequence: u64) -> u64 {
        self.copy_b + (2 + sequence % 2) * UNIT
    }

    /// Where the first bytes of the volume lie, as they are encrypted.
    pub(crate) fn head_at(&self) -> u64 {
        self.copy_b + 4 * UNIT
    }

    /// Behind everything.
    pub(crate) fn records_end(&self) -> u64 {
        self.copy_b + UNITS * UNIT
    }
}

/// Which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Encrypt = 1,
    Decrypt = 2,
}

const MAGIC: [u8; 8] = *b"\xf5SLCONV\n";

/// How far it has come.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
pub(super) struct RawProgress {
    pub(super) magic: [u8; 8],
    pub(super) version: U32,
    pub(super) way: U32,
    pub(super) uuid: [u8; 16],
    pub(super) sequence: U64,
    pub(super) position: U64,
    pub(super) checksum: [u8; 32],
    pub(super) reserved: [u8; COPY_BYTES - 80],
}

const _: () = {
    // 8 + 2*4 + 16 + 2*8
    assert!(offset_of!(RawProgress, checksum) == 48);
    assert!(size_of::<RawProgress>() == COPY_BYTES);
};

/// A conversion under way.
pub(crate) struct Record {
    /// The header that the volume will have, or has had.
    pub header: Box<HeaderCopy>,
    pub place: Place,
    pub way: Way,
    /// x: below it everything is plain.
    pub position: u64,
    sequence: u64,
}

impl Record {
    /// One that begins.
    pub(crate) fn new(header: &HeaderCopy, place: Place, way: Way) -> Self {
        let position = match way {
            Way::Encrypt => place.volume,
            Way::Decrypt => UNIT,
        };
        Self { header: Box::new(*header), place, way, position, sequence: 0 }
    }

    /// The header, checked when the record was found or made.
    pub(crate) fn header(&self) -> Option<Header<'_>> {
        Header::check(zerocopy::transmute_ref!(&*self.header)).ok()
    }

    /// Bytes that are encrypted, of those that the volume has.
    pub(crate) fn encrypted(&self) -> u64 {
        if self.position == UNIT { self.place.volume } else { self.place.volume - self.position }
    }

    /// Writes the position over the older of the two.
    pub(crate) fn write(&mut self, disk: &dyn Disk) -> Result<(), Failure> {
        self.sequence += 1;
        let mut raw = RawProgress::new_zeroed();
        raw.magic = MAGIC;
        raw.version.set(1);
        raw.way.set(self.way as u32);
        raw.uuid = self.raw_header().uuid;
        raw.sequence.set(self.sequence);
        raw.position.set(self.position);
        let sum = checksum(zerocopy::transmute_ref!(&raw), offset_of!(RawProgress, checksum));
        raw.checksum = sum;
        disk.write(self.place.progress_at(self.sequence), raw.as_bytes())
    }

    fn raw_header(&self) -> &RawHeader {
        zerocopy::transmute_ref!(&*self.header)
    }

    /// Takes what a copy of the position says, if it is good, of this conversion, and newer.
    fn take(&mut self, bytes: &HeaderCopy) {
        let raw: &RawProgress = zerocopy::transmute_ref!(bytes);
        let way = [Way::Encrypt, Way::Decrypt].into_iter().find(|way| *way as u32 == raw.way.get());
        let Some(way) = way.filter(|_| raw.magic == MAGIC && raw.version.get() == 1) else { return };
        let position = raw.position.get();
        let good = raw.checksum == checksum(bytes, offset_of!(RawProgress, checksum))
            && raw.uuid == self.raw_header().uuid
            && (UNIT..=self.place.volume).contains(&position)
            && position.is_multiple_of(self.place.sector as u64);
        if good && raw.sequence.get() > self.sequence {
            (self.way, self.position, self.sequence) = (way, position, raw.sequence.get());
        }
    }
}

/// The conversion that is under way on a disk. A volume with a good header has none: it is finished.
pub(crate) fn find(disk: &dyn Disk) -> Result<Option<Record>, Failure> {
    let Some(header) = find_mark(disk) else { return Ok(None) };
    let damaged = |what| Failure::Conversion { path: disk.path().into(), what };
    let checked = Header::check(zerocopy::transmute_ref!(&*header)).ok();
    let Some(place) = checked.and_then(|header| Place::of(&header)) else {
        return Err(damaged("its record makes no sense"));
    };
    if place.disk > disk.bytes() {
        let damage = Damage::Misfit(Problem::DiskTooSmall { needed: place.disk });
        return Err(Failure::Damaged { path: disk.path().into(), damage });
    }
    if place.disk < disk.bytes() {
        return Err(damaged("the disk has become larger since it began; make it as large as it was"));
    }
    let mut record = Record::new(&header, place, Way::Encrypt);
    for slot in [0, 1] {
        let mut bytes = [0; COPY_BYTES];
        // One that is being written when the power fails is not good, and then nothing has moved since the other.
        if disk.read(place.progress_at(slot), &mut bytes).is_ok() {
            record.take(&bytes);
        }
    }
    if record.sequence == 0 {
        return Err(damaged("neither copy of the record of how far it has come is good"));
    }
    Ok(Some(record))
}

/// Bytes of a plain image that has grown for a conversion which never began: it ended before the mark was there. Behind them
/// lie nothing but zeros and its records.
pub(crate) fn not_begun(disk: &dyn Disk) -> Result<Option<u64>, Failure> {
    let bytes = disk.bytes();
    // When it begins to grow, the mark is the last of it.
    let places = [copy_b_offset(bytes).map(|copy_b| copy_b + UNIT), bytes.checked_sub(UNIT)];
    for at in places.into_iter().flatten() {
        let mut spare = [0; COPY_BYTES];
        disk.read(at, &mut spare)?;
        let Some((Mark::Converting, header)) = unmarked(&spare) else { continue };
        let place =
            Header::check(zerocopy::transmute_ref!(&*header)).ok().and_then(|header| Place::of(&header));
        let end = at + UNIT;
        let fits = |place: &Place| place.spare_at() == at && (place.disk == bytes || end == bytes);
        let Some(place) = place.filter(fits) else { continue };
        let behind = (place.records_end().min(bytes), bytes);
        if is_zero(disk, place.volume, place.copy_b)? && is_zero(disk, behind.0, behind.1)? {
            return Ok(Some(place.volume));
        }
    }
    Ok(None)
}

/// Before another volume is made: what a conversion left behind copy B's place would count again if its header were damaged.
pub(crate) fn forget(disk: &dyn Disk, copy_b: u64) -> Result<(), Failure> {
    let mut spare = [0; COPY_BYTES];
    if disk.read(copy_b + UNIT, &mut spare).is_ok() && unmarked(&spare).is_some() {
        disk.write(copy_b + UNIT, &[0; COPY_BYTES])?;
        disk.flush()?;
    }
    Ok(())
}

/// Whether bytes `from` to `to` of the disk are all zeros.
pub(crate) fn is_zero(disk: &dyn Disk, from: u64, to: u64) -> Result<bool, Failure> {
    const CHUNK: u64 = 1 << 20;
    let mut buffer = vec![0; CHUNK.min(to.saturating_sub(from)) as usize];
    for at in (from..to).step_by(CHUNK as usize) {
        let chunk = &mut buffer[..CHUNK.min(to - at) as usize];
        disk.read(at, chunk)?;
        if chunk.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The header of the conversion under way, from whichever copy of the mark is good.
fn find_mark(disk: &dyn Disk) -> Option<Box<HeaderCopy>> {
    let bytes = disk.bytes();
    let read = |offset, into: &mut HeaderCopy| disk.read(offset, into).is_ok();
    let (mut first, mut second, mut spare) = ([0; COPY_BYTES], [0; COPY_BYTES], [0; COPY_BYTES]);
    let a = if bytes < UNIT {
        CopyRead::Absent
    } else if read(0, &mut first) {
        CopyRead::Bytes(&first)
    } else {
        CopyRead::Unreadable
    };
    let found = read_second(a, bytes, &mut second, read);
    let b = found.with(&second);
    let seen = probe(a, b, bytes, 512);
    if matches!(seen, Probe::Valid { .. } | Probe::Damaged(Damage::Misfit(_))) {
        return None;
    }
    let converting = |copy: CopyRead<'_>| match copy {
        CopyRead::Bytes(copy) => unmarked(copy).filter(|(mark, _)| *mark == Mark::Converting),
        _ => None,
    };
    // A trace of a mark that is being written, or cannot be read; without one, what lies behind is left over.
    let trace = !matches!(seen, Probe::None) || matches!(found, Second::Unreadable(_));
    let behind = found.offset().map(|at| at + UNIT).filter(|_| trace);
    let spare =
        || behind.filter(|&at| read(at, &mut spare)).and_then(|_| converting(CopyRead::Bytes(&spare)));
    converting(a).or_else(|| converting(b)).or_else(spare).map(|(_, header)| header)
}
