//! A volume as clients use it. Many threads call at once.

use std::{io, sync::Arc};

use sluice_engine::volume::Kind;
use sluice_xts::wipe_stack;

use crate::{
    handover::Handover,
    image::Image,
    in_place::InPlace,
    losses::Losses,
    mapped::Mapped,
    opening::Opening,
    stages::{Stages, Teller},
    watched::{Served, Watched},
};

/// See above. Offsets and lengths are multiples of the sector, or of 512 bytes on a mapped volume: nbdkit's filter sees to
/// that.
pub(crate) trait Volume: Send + Sync {
    /// Bytes.
    fn size(&self) -> u64;

    /// Whether it has use for what is no longer needed.
    fn discards(&self) -> bool;

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// With `fua`, durable when it returns.
    fn write(&self, offset: u64, bytes: &[u8], fua: bool) -> io::Result<()>;

    /// Everything that has been written before becomes durable.
    fn flush(&self) -> io::Result<()>;

    /// Blocks that lie wholly in the range read as zeros afterwards, and take no space.
    fn discard(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Which bytes hold data, from `offset` on: lengths, and whether they do, one after the other, of at most `length` bytes.
    /// `None` if nobody can say.
    fn extents(&self, offset: u64, length: u64) -> io::Result<Option<Vec<(u64, bool)>>>;

    /// No request comes any more; everything becomes durable.
    fn close(&self) -> io::Result<()>;
}

/// Opens what has been handed over.
pub(crate) fn open(given: Handover, losses: &Arc<Losses>) -> io::Result<Box<dyn Volume>> {
    let served = Served::new(&given);
    let stages = Arc::new(Stages::default());
    let Handover { image, kind, uuid, key, write, write_back, io, .. } = given;
    let image = Image::new(image, write);
    let (volume, tell): (Box<dyn Volume>, Teller) = match kind {
        Kind::InPlace(place) => (
            Box::new(InPlace::new(place, &key, image, Arc::clone(losses), Arc::clone(&stages))?),
            Box::new(|| None),
        ),
        Kind::Mapped(mapped) => {
            let opening = Opening { mapped, uuid, key, image: Arc::new(image), write_back };
            let volume = Mapped::open(opening, io, Arc::clone(losses), &stages)?;
            let tell = volume.teller();
            (Box::new(volume), tell)
        }
    };
    wipe_stack();
    Ok(Box::new(Watched::new(volume, served, stages, tell)))
}
