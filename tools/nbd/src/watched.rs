//! A volume whose requests are counted.

use std::{io, sync::Arc};

use sluice_engine::volume::Kind;
use sluice_statistics::{Operations, Volume as Told, uuid};

use crate::{
    handover::Handover,
    publish,
    stages::{Stages, Teller},
    volume::Volume,
};

/// What others are told a volume is.
pub(crate) struct Served {
    uuid: String,
    path: String,
    export: String,
    mapped: bool,
    writable: bool,
}

impl Served {
    pub(crate) fn new(given: &Handover) -> Self {
        Self {
            uuid: uuid(&given.uuid),
            path: given.path.clone(),
            export: given.name.clone(),
            mapped: matches!(given.kind, Kind::Mapped(_)),
            writable: given.write,
        }
    }
}

/// What has been counted of a volume, for whoever asks.
pub(crate) struct Tallies {
    served: Served,
    bytes: u64,
    operations: Operations,
    stages: Arc<Stages>,
    tell: Teller,
}

impl Tallies {
    pub(crate) fn volume(&self) -> Told {
        let Served { uuid, path, export, mapped, writable } = &self.served;
        Told {
            uuid: uuid.clone(),
            path: path.clone(),
            export: export.clone(),
            kind: if *mapped { "mapped" } else { "in_place" }.into(),
            volume_bytes: self.bytes,
            writable: *writable,
            operations: self.operations.all(),
            stages: self.stages.all(*mapped),
            mapped: (self.tell)(),
        }
    }
}

/// See above.
pub(crate) struct Watched {
    volume: Box<dyn Volume>,
    tallies: Arc<Tallies>,
}

impl Watched {
    pub(crate) fn new(volume: Box<dyn Volume>, served: Served, stages: Arc<Stages>, tell: Teller) -> Self {
        let bytes = volume.size();
        let operations = Operations::default();
        let tallies = Arc::new(Tallies { served, bytes, operations, stages, tell });
        publish::add(Arc::clone(&tallies));
        Self { volume, tallies }
    }

    fn operations(&self) -> &Operations {
        &self.tallies.operations
    }
}

impl Volume for Watched {
    fn size(&self) -> u64 {
        self.volume.size()
    }

    fn discards(&self) -> bool {
        self.volume.discards()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.operations().read.serve(into.len() as u64, || self.volume.read(offset, into))
    }

    fn write(&self, offset: u64, bytes: &[u8], fua: bool) -> io::Result<()> {
        self.operations().write.serve(bytes.len() as u64, || self.volume.write(offset, bytes, fua))
    }

    fn flush(&self) -> io::Result<()> {
        self.operations().flush.serve(0, || self.volume.flush())
    }

    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        self.operations().discard.serve(length, || self.volume.discard(offset, length))
    }

    fn extents(&self, offset: u64, length: u64) -> io::Result<Option<Vec<(u64, bool)>>> {
        self.volume.extents(offset, length)
    }

    fn close(&self) -> io::Result<()> {
        self.volume.close()
    }
}
