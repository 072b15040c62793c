//! Pieces on their way, up or down.

use std::ops::Range;

use sluice_xts::Xts256;
use zeroize::Zeroizing;

use crate::{
    convert::{
        Disk,
        record::{Place, Record, UNIT, Way},
    },
    failure::Failure,
};

/// Bytes that are read, encrypted and written at once.
const CHUNK: u64 = 1 << 20;
/// Most bytes that are made durable at once.
const PIECE: u64 = 64 << 20;
/// What a disk writes whole.
const BLOCK: usize = 512;

/// A disk, and the key of what lies on it.
pub(crate) struct Shift<'a> {
    pub disk: &'a dyn Disk,
    pub cipher: &'a Xts256,
    pub place: Place,
}

impl Shift<'_> {
    /// Encrypts bytes of the volume from `at` on.
    pub(crate) fn encrypt(&self, at: u64, bytes: &mut [u8]) -> Result<(), Failure> {
        let done =
            self.cipher.encrypt_in_place(at / self.place.sector as u64, self.place.sector, bytes.into());
        done.map_err(|_| self.out_of_range())
    }

    /// Decrypts them.
    pub(crate) fn decrypt(&self, at: u64, bytes: &mut [u8]) -> Result<(), Failure> {
        let done =
            self.cipher.decrypt_in_place(at / self.place.sector as u64, self.place.sector, bytes.into());
        done.map_err(|_| self.out_of_range())
    }

    /// Places are whole sectors, which the header's check has made sure of.
    fn out_of_range(&self) -> Failure {
        Failure::Conversion { path: self.disk.path().into(), what: "its record makes no sense" }
    }

    /// Moves one piece, and makes that durable. False: there is none left.
    pub(crate) fn step(&self, record: &mut Record) -> Result<bool, Failure> {
        let Some(piece) = self.next(record) else { return Ok(false) };
        let mut buffer = Zeroizing::new(vec![0; CHUNK.min(piece.end - piece.start) as usize]);
        for at in piece.clone().step_by(CHUNK as usize) {
            let chunk = &mut buffer[..CHUNK.min(piece.end - at) as usize];
            match record.way {
                Way::Encrypt => {
                    self.disk.read(at, chunk)?;
                    self.encrypt(at, chunk)?;
                    self.disk.write(at + self.place.shift, chunk)?;
                }
                Way::Decrypt => {
                    self.disk.read(at + self.place.shift, chunk)?;
                    self.decrypt(at, chunk)?;
                    self.disk.write(at, chunk)?;
                }
            }
        }
        self.disk.flush()?;
        let was = record.position;
        record.position = match record.way {
            Way::Encrypt => piece.start,
            Way::Decrypt => piece.end,
        };
        let written = record.write(self.disk).and_then(|()| self.disk.flush());
        // Whoever goes on after an error goes on from where the disk may be.
        written.inspect_err(|_| record.position = was).map(|()| true)
    }

    /// The next piece, in bytes of the volume: no longer than the gap.
    fn next(&self, record: &Record) -> Option<Range<u64>> {
        let (at, step) = (record.position, self.place.shift.min(PIECE));
        let piece = match record.way {
            Way::Encrypt => (at.saturating_sub(1) / step * step).max(UNIT)..at,
            Way::Decrypt => at..((at / step + 1) * step).min(self.place.volume),
        };
        (!piece.is_empty()).then_some(piece)
    }

    /// Whether the gap is where the record says: whatever lies in it lies elsewhere too. It does after every crash; it does not
    /// if something else has written to the disk, or if the record is not the newest, and then nothing may move.
    pub(crate) fn verify(&self, record: &Record) -> Result<(), Failure> {
        let (at, shift) = (record.position, self.place.shift);
        // Nearer to either end than that, something of no worth may lie in it.
        let (mut at, end) = (at.max(shift + UNIT), (at + shift).min(self.place.volume));
        while at < end {
            let length = CHUNK.min(end - at) as usize;
            let read = |from| {
                let mut bytes = Zeroizing::new(vec![0; length]);
                self.disk.read(from, &mut bytes).map(|()| bytes)
            };
            let (mut below, here, above) = (read(at - shift)?, read(at)?, read(at + shift)?);
            self.encrypt(at - shift, &mut below)?;
            let mut moved = here.clone();
            self.encrypt(at, &mut moved)?;
            let pairs = |a: &[u8], b: &[u8]| -> Vec<bool> {
                a.chunks(BLOCK).zip(b.chunks(BLOCK)).map(|(a, b)| a == b).collect()
            };
            let (has_come, has_gone) = (pairs(&here, &below), pairs(&moved, &above));
            if has_come.iter().zip(&has_gone).any(|(come, gone)| !come && !gone) {
                return Err(Failure::Conversion {
                    path: self.disk.path().into(),
                    what: "something else has been written to the disk where it stopped, or its record is an old one",
                });
            }
            at += length as u64;
        }
        Ok(())
    }
}
