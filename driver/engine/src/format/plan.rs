//! In which order a header is written.
//!
//! A disk is trusted to have done what was flushed, and nothing more: between two flushes each 512-byte block of a
//! copy may be written or not. So only one copy is ever in the writing, and the other one is good.

use super::{
    probe::{Copy, OtherCopy, Probe},
    raw::COPY_BYTES,
};

/// One step. Steps are taken in order, and none after one that failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Write these bytes at this byte of the disk.
    Write(u64, &'a [u8; COPY_BYTES]),
    /// Wait until everything written is on the medium.
    Flush,
}

/// Nothing may be written to a disk on which no good header was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoGoodHeader;

/// The steps that put `bytes`, a changed header of the same volume, in the place of the good one that was found.
///
/// # Errors
/// [`NoGoodHeader`].
pub fn update<'a>(found: &Probe<'_>, bytes: &'a [u8; COPY_BYTES]) -> Result<[Step<'a>; 4], NoGoodHeader> {
    match found {
        Probe::Valid { header, .. } => Ok(replace(found, header.copy_b_offset(), bytes)),
        _ => Err(NoGoodHeader),
    }
}

/// The steps that put `bytes`, a header of the same volume whose copy B lies where `bytes` say, in the place of the
/// good one that was found. For a volume whose disk has become larger: `copy_b_offset` must be where copy B lies on a
/// disk of its size now ([`super::copy_b_offset`]).
///
/// Until copy A is whole, the old copies stand: A, whether it is the one in use or an older one, says where the other
/// is, and that is not touched. While A is being written it is good for nothing, and then copy B is searched by the size
/// of the disk: there the new one is, flushed. In the other order nothing would lead to a good copy. What the old copy
/// B leaves behind is found by nobody: A says another place, and the size of the disk does as well.
///
/// # Errors
/// [`NoGoodHeader`].
pub fn grow<'a>(
    found: &Probe<'_>,
    copy_b_offset: u64,
    bytes: &'a [u8; COPY_BYTES],
) -> Result<[Step<'a>; 4], NoGoodHeader> {
    match found {
        Probe::Valid { header, .. } if header.copy_b_offset() != copy_b_offset => {
            Ok([Step::Write(copy_b_offset, bytes), Step::Flush, Step::Write(0, bytes), Step::Flush])
        }
        _ => update(found, bytes),
    }
}

/// The steps that make the other copy like the good one; `None` if it is.
///
/// # Errors
/// [`NoGoodHeader`].
pub fn repair<'a>(found: &Probe<'a>) -> Result<Option<[Step<'a>; 2]>, NoGoodHeader> {
    match found {
        Probe::Valid { other: OtherCopy::Same, .. } => Ok(None),
        Probe::Valid { header, from, .. } => {
            let bytes = zerocopy::transmute_ref!(header.raw());
            let place = match from {
                Copy::A => header.copy_b_offset(),
                Copy::B => 0,
            };
            Ok(Some([Step::Write(place, bytes), Step::Flush]))
        }
        _ => Err(NoGoodHeader),
    }
}

/// The steps that put `bytes` over whatever was found: for a new volume, or one that comes from a backup. The
/// caller has made sure that this is wanted. Until the first copy is whole, what was there stands; then a copy of
/// each is there, of which [`super::probe`] takes the one at the beginning.
pub fn replace<'a>(found: &Probe<'_>, copy_b_offset: u64, bytes: &'a [u8; COPY_BYTES]) -> [Step<'a>; 4] {
    let place = |copy| match copy {
        Copy::A => 0,
        Copy::B => copy_b_offset,
    };
    let [first, second] = update_order(found).map(place);
    [Step::Write(first, bytes), Step::Flush, Step::Write(second, bytes), Step::Flush]
}

/// In which order the copies are written, each flushed before the next: first the one that is not in use, so that
/// the one in use stays good until its successor is.
fn update_order(probe: &Probe<'_>) -> [Copy; 2] {
    match probe {
        Probe::Valid { from: Copy::B, .. } => [Copy::A, Copy::B],
        _ => [Copy::B, Copy::A],
    }
}
