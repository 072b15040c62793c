//! A volume in place: each request is encrypted or decrypted on the thread that brings it. Nothing is shared.
//!
//! The I/O is that thread's as well: it has to wait for it in any case, and has one at a time. With io_uring it would make a
//! system call to begin it and one to wait, instead of one for both.

use std::{cell::RefCell, io, sync::Arc};

use sluice_engine::{keys::VolumeKey, volume};
use sluice_xts::{Backend, Xts256};

use crate::{
    flushes::{Flushes, Moment},
    image::Image,
    losses::Losses,
    stages::Stages,
    volume::Volume,
};

/// Bytes that are encrypted at once: they stay in the processor's cache until they are written.
const PIECE: usize = 256 * 1024;

thread_local! {
    /// What is written: the client's bytes are not ours to change.
    static BOUNCE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(crate) struct InPlace {
    place: volume::InPlace,
    cipher: Xts256,
    image: Image,
    flushes: Flushes,
    losses: Arc<Losses>,
    stages: Arc<Stages>,
}

impl InPlace {
    pub(crate) fn new(
        place: volume::InPlace,
        key: &VolumeKey,
        image: Image,
        losses: Arc<Losses>,
        stages: Arc<Stages>,
    ) -> io::Result<Self> {
        let cipher = Xts256::new(key.as_bytes(), Backend::detect());
        let cipher = cipher.map_err(|error| io::Error::other(format!("the key: {error:?}")))?;
        Ok(Self { place, cipher, image, flushes: Flushes::default(), losses, stages })
    }

    /// Where a byte of the volume lies.
    fn on_image(&self, offset: u64) -> u64 {
        self.place.first_sector * u64::from(self.place.sector_size) + offset
    }

    fn flush_since(&self, since: Moment) -> io::Result<()> {
        let flush = || self.stages.device_flush.time(0, || self.image.flush());
        self.flushes.flush(since, flush, || self.losses.note())
    }

    fn sector(&self, offset: u64) -> u64 {
        offset / u64::from(self.place.sector_size)
    }
}

fn failed(error: sluice_xts::Error) -> io::Error {
    io::Error::other(format!("the cipher: {error:?}"))
}

impl Volume for InPlace {
    fn size(&self) -> u64 {
        self.place.sectors * u64::from(self.place.sector_size)
    }

    fn discards(&self) -> bool {
        // Who sees the disk would see what is free.
        false
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let unit = self.place.sector_size as usize;
        for (at, piece) in (offset..).step_by(PIECE).zip(into.chunks_mut(PIECE)) {
            let length = piece.len();
            self.stages.device_read.time(length, || self.image.read(self.on_image(at), piece))?;
            let decrypt = || self.cipher.decrypt_in_place(self.sector(at), unit, piece.into());
            self.stages.decrypt.time(length, decrypt).map_err(failed)?;
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8], fua: bool) -> io::Result<()> {
        let unit = self.place.sector_size as usize;
        let begun = self.flushes.now();
        BOUNCE.with_borrow_mut(|bounce| {
            for (at, piece) in (offset..).step_by(PIECE).zip(bytes.chunks(PIECE)) {
                bounce.resize(piece.len(), 0);
                let target = bounce.as_mut_slice().into();
                let encrypt = || self.cipher.encrypt(self.sector(at), unit, piece.into(), target);
                self.stages.encrypt.time(piece.len(), encrypt).map_err(failed)?;
                let write = || self.image.write(self.on_image(at), bounce);
                self.stages.device_write.time(piece.len(), write)?;
            }
            if fua { self.flush_since(begun) } else { Ok(()) }
        })
    }

    fn flush(&self) -> io::Result<()> {
        self.flush_since(self.flushes.now())
    }

    fn discard(&self, _offset: u64, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn extents(&self, _offset: u64, _length: u64) -> io::Result<Option<Vec<(u64, bool)>>> {
        Ok(None)
    }

    fn close(&self) -> io::Result<()> {
        self.flush()
    }
}
