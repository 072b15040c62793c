//! A disk that is encrypted where it lies, or decrypted again: what it holds moves up or down by the volume's offset, piece by
//! piece, and at every moment all of it is there.
//!
//! ```text
//!   record   what lies on the disk while it is under way: the header, marked as not to be used, and how far it has come
//!   shift    the pieces on their way; what must be true of the disk before the next may move
//!   contents how far partitions and file systems reach, when the end is given up
//!   life     how it begins, goes on and ends, each in an order that a crash cannot harm
//! ```
//!
//! ```text
//!   0     H                x                x + S                     V + S   copy B
//!   ├ mark ┼─ plain, in place ─┼── the gap, free ──┼─ encrypted, S further up ──┼ ... ┼ mark, mark, progress x 2, head ┤
//! ```
//!
//! Everything follows from one number, the *position* x. Bytes H to x of what the disk holds are plain, in their place; from x
//! on they are encrypted, S bytes further up. Between lie S bytes that hold nothing which is not also elsewhere. Encrypting
//! moves the piece below x up into the gap, and makes x smaller; decrypting moves the piece above the gap down into it, and
//! makes x larger. So a piece never overwrites what it is made of, and needs no journal: it is flushed, then the position is
//! written and flushed, and then the next may move. The first H bytes lie apart, in the *head*: in their place is the mark.
//!
//! docs/format.md says it byte by byte.

pub(crate) mod contents;
pub(crate) mod life;
pub(crate) mod record;
pub(crate) mod shift;
#[cfg(test)]
mod tests;

use std::path::Path;

use sluice_engine::format::{CopyRead, Damage};

use crate::{
    convert::record::Mark,
    failure::Failure,
    image::{Copies, Image},
};

/// What a conversion needs of a disk or image.
pub(crate) trait Disk {
    /// For messages.
    fn path(&self) -> &Path;

    /// Its size.
    fn bytes(&self) -> u64;

    /// Fills `into` from byte `offset`.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Failure>;

    /// Writes bytes at byte `offset`. Before [`Self::flush`], any of its 512-byte blocks may be lost.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure>;

    /// Waits until everything written is on the medium.
    fn flush(&self) -> Result<(), Failure>;

    /// Makes a file `bytes` long, all or nothing. Answers false for a device, which keeps its size.
    fn resize(&self, bytes: u64) -> Result<bool, Failure>;
}

impl Disk for Image {
    fn path(&self) -> &Path {
        &self.path
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Failure> {
        Image::read(self, offset, into)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        Image::write(self, offset, bytes)
    }

    fn flush(&self) -> Result<(), Failure> {
        Image::flush(self)
    }

    fn resize(&self, bytes: u64) -> Result<bool, Failure> {
        let Some(file) = self.regular_file() else { return Ok(false) };
        let resized = file.set_len(bytes).and_then(|()| file.sync_all());
        resized.map(|()| true).map_err(|e| Failure::io("change the size of", &self.path, e))
    }
}

/// Why a volume without a good header has none: it may be no volume yet, or no longer.
pub(crate) fn why(image: &Image, copies: &Copies, damage: Damage) -> Failure {
    let path = image.path.clone();
    match record::find(image) {
        Ok(Some(record)) => {
            return Failure::UnderWay { path, encrypted: record.encrypted(), total: record.place.volume };
        }
        Err(failure) => return failure,
        Ok(None) => {}
    }
    let filling = [copies.read_a(image.bytes), copies.read_b()].into_iter().any(|copy| match copy {
        CopyRead::Bytes(copy) => record::unmarked(copy).is_some_and(|(mark, _)| mark == Mark::Filling),
        _ => false,
    });
    if filling { Failure::Unfilled { path } } else { Failure::Damaged { path, damage } }
}
