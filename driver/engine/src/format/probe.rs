//! What a disk is, from the two copies of the header as they were read.

use zerocopy::{FromBytes, IntoBytes};

use super::{
    copy_b_offset,
    header::{Header, Problem},
    raw::{COPY_BYTES, MAGIC, RawHeader},
};

/// Which copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// At byte 0.
    A,
    /// Near the end.
    B,
}

/// A copy as it was read.
#[derive(Clone, Copy, Debug)]
pub enum CopyRead<'a> {
    /// Its bytes.
    Bytes(&'a [u8; COPY_BYTES]),
    /// The disk could not read it.
    Unreadable,
    /// The disk is too small to have it.
    Absent,
}

/// What a disk is.
#[derive(Clone, Copy, Debug)]
pub enum Probe<'a> {
    /// No trace of a header: not a Sluice disk.
    None,
    /// A good header.
    Valid {
        /// The newer of the good copies.
        header: Header<'a>,
        /// Which that is.
        from: Copy,
        /// How the other one is.
        other: OtherCopy,
    },
    /// A Sluice disk that cannot be used as it is. Nothing may be written to it.
    Damaged(Damage),
    /// Copy A could not be read, and B is not good: it may be a Sluice disk.
    Unreadable,
}

/// How the copy that is not used is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherCopy {
    /// The same.
    Same,
    /// Good but older: a change was interrupted.
    Older,
    /// Good but of another volume: formatting was interrupted. Or of this one, with the same number but other
    /// contents: two changes that did not know of each other.
    Foreign,
    /// Not good.
    Bad(Problem),
    /// Not to be read.
    Unreadable,
}

/// Why a Sluice disk cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// No copy is good; what is wrong with the first and the second.
    NoGoodCopy,
    /// It needs a newer version of Sluice.
    Newer,
    /// The header is good, but not for this disk.
    Misfit(Problem),
}

/// Copy B as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Second {
    /// The disk is too small to have it.
    Absent,
    /// The disk could not read it at this offset.
    Unreadable(u64),
    /// It was read at this offset.
    Read(u64),
}

impl Second {
    /// Where it lies, if anywhere.
    #[must_use]
    pub fn offset(self) -> Option<u64> {
        match self {
            Self::Absent => None,
            Self::Unreadable(offset) | Self::Read(offset) => Some(offset),
        }
    }

    /// With the bytes that were read.
    #[must_use]
    pub fn with(self, bytes: &[u8; COPY_BYTES]) -> CopyRead<'_> {
        match self {
            Self::Absent => CopyRead::Absent,
            Self::Unreadable(_) => CopyRead::Unreadable,
            Self::Read(_) => CopyRead::Bytes(bytes),
        }
    }
}

/// Reads copy B of a disk of `disk_bytes` into `bytes`: from where a good copy A says; else from where it lies on a disk of
/// this size; and if there is none of A's volume, from where a damaged copy A says: the disk may have grown since, and
/// whatever damaged A may have left that. What lies at the end of a disk that has grown may be another volume's, which was
/// there before. `read` answers whether the disk could.
pub fn read_second(
    a: CopyRead<'_>,
    disk_bytes: u64,
    bytes: &mut [u8; COPY_BYTES],
    mut read: impl FnMut(u64, &mut [u8; COPY_BYTES]) -> bool,
) -> Second {
    let mut look = |offset: u64| match read(offset, bytes) {
        true => {
            let good = raw(CopyRead::Bytes(bytes)).filter(|found| is_good(found));
            (Second::Read(offset), good.map(|found| found.uuid))
        }
        false => (Second::Unreadable(offset), None),
    };
    let lies_on_it =
        |offset: &u64| offset.checked_add(COPY_BYTES as u64).is_some_and(|end| end <= disk_bytes);
    if let Some(a) = raw(a).filter(|a| is_good(a)) {
        let recorded = Some(a.copy_b_offset.get()).filter(lies_on_it);
        return recorded.map_or(Second::Absent, |offset| look(offset).0);
    }
    let Some(usual) = copy_b_offset(disk_bytes) else { return Second::Absent };
    let (found, volume) = look(usual);
    let Some(a) = raw(a).filter(|a| a.magic == MAGIC && volume != Some(a.uuid)) else { return found };
    let hint = Some(a.copy_b_offset.get()).filter(lies_on_it);
    let hint =
        hint.filter(|&at| at != usual && at >= COPY_BYTES as u64 && at.is_multiple_of(COPY_BYTES as u64));
    match hint.map(&mut look) {
        None => found,
        Some((second, Some(other))) if volume.is_none() || other == a.uuid => second,
        // It is not there either: what lies where it should counts.
        Some(_) => look(usual).0,
    }
}

fn is_good(copy: &RawHeader) -> bool {
    Header::check(copy).is_ok()
}

/// Judges both copies of a disk's header.
pub fn probe<'a>(a: CopyRead<'a>, b: CopyRead<'a>, disk_bytes: u64, disk_sector_size: u32) -> Probe<'a> {
    let good = |copy| raw(copy).and_then(|raw| Header::check(raw).ok());
    let (header, from, other) = match (good(a), good(b)) {
        (Some(a), Some(b)) => choose(a, b),
        (Some(header), None) => (header, Copy::A, bad(b)),
        (None, Some(header)) => (header, Copy::B, bad(a)),
        (None, None) => return none_good(a, b),
    };
    match header.fits(disk_bytes, disk_sector_size) {
        Ok(()) => Probe::Valid { header, from, other },
        Err(problem) => Probe::Damaged(Damage::Misfit(problem)),
    }
}

/// Of two good copies, the newer; of two volumes' copies, A: formatting writes B first, so it was interrupted and
/// the old volume stands.
fn choose<'a>(a: Header<'a>, b: Header<'a>) -> (Header<'a>, Copy, OtherCopy) {
    if a.raw().as_bytes() == b.raw().as_bytes() {
        (a, Copy::A, OtherCopy::Same)
    } else if a.uuid() != b.uuid() || a.sequence() == b.sequence() {
        (a, Copy::A, OtherCopy::Foreign)
    } else if a.sequence() > b.sequence() {
        (a, Copy::A, OtherCopy::Older)
    } else {
        (b, Copy::B, OtherCopy::Older)
    }
}

fn none_good<'a>(a: CopyRead<'a>, b: CopyRead<'a>) -> Probe<'a> {
    let newer = |copy| raw(copy).is_some_and(|raw| Header::check(raw).err() == Some(Problem::Newer));
    if newer(a) || newer(b) {
        Probe::Damaged(Damage::Newer)
    } else if is_trace(a) || is_trace(b) {
        Probe::Damaged(Damage::NoGoodCopy)
    } else if matches!(a, CopyRead::Unreadable) {
        // Where A can be read and shows no trace, a bad sector at B's place is an ordinary disk's bad sector.
        Probe::Unreadable
    } else {
        Probe::None
    }
}

fn bad(copy: CopyRead<'_>) -> OtherCopy {
    match raw(copy) {
        Some(raw) => OtherCopy::Bad(Header::check(raw).err().unwrap_or(Problem::Inconsistent)),
        None => OtherCopy::Unreadable,
    }
}

/// Whether a copy that is not good was one of ours: most of the magic is there (by chance once in 10^10), or all
/// else is.
fn is_trace(copy: CopyRead<'_>) -> bool {
    raw(copy).is_some_and(|raw| {
        let alike = raw.magic.iter().zip(&MAGIC).filter(|(a, b)| a == b).count();
        alike >= 5 || raw.checksum == raw.computed_checksum()
    })
}

fn raw(copy: CopyRead<'_>) -> Option<&RawHeader> {
    match copy {
        CopyRead::Bytes(bytes) => RawHeader::ref_from_bytes(bytes).ok(),
        CopyRead::Unreadable | CopyRead::Absent => None,
    }
}
