//! How the engine of a mapped volume is opened: at the beginning, and again after a write has failed.

use std::{io, sync::Arc};

use sluice_engine::{keys::VolumeKey, volume};
use sluice_mapped::{Options, Volume as Engine, layout::Layout, seal::Sealer};
use sluice_xts::{Backend, wipe_stack};

use crate::image::Image;

/// Bytes of memory for metadata pages.
const CACHE: usize = 32 << 20;

pub(crate) struct Opening {
    pub(crate) mapped: volume::Mapped,
    pub(crate) uuid: [u8; 16],
    pub(crate) key: VolumeKey,
    pub(crate) image: Arc<Image>,
    pub(crate) write_back: bool,
}

impl Opening {
    /// Opens it, after a crash or not.
    pub(crate) fn open(&self) -> io::Result<Box<Engine>> {
        let problem = |what: String| io::Error::other(what);
        self.image.forget()?;
        let mapped = &self.mapped;
        let layout = Layout::of(mapped).map_err(|error| problem(format!("the header: {error:?}")))?;
        let sealer = Sealer::new(self.key.as_bytes(), &self.uuid, mapped.encrypted, Backend::detect());
        let sealer = sealer.map_err(|error| problem(format!("the key: {error:?}")))?;
        let index = mapped.index_bytes.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let options = Options {
            discard: mapped.discard,
            write_back: self.write_back,
            ..Options::new(CACHE, index, mapped.level)
        };
        let engine = Engine::open(&mut &*self.image, layout, sealer, options);
        wipe_stack();
        engine.map_err(|error| problem(format!("the volume does not open ({error:?}); see `sluice check`")))
    }
}
