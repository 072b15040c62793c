//! A mapped volume on a disk or image: made, opened without changing anything, repaired, compacted.

use std::{
    io,
    time::{Duration, Instant},
};

use sluice_backend::Overlay;
use sluice_engine::{format::Header, keys::VolumeKey, volume::Mapped};
use sluice_mapped::{
    OpenError, Options, Report, Tree, Usage, Volume,
    disk::Disk,
    io::{DeviceError, Error, Request},
    layout::Layout,
    seal::Sealer,
};
use sluice_xts::Backend;

use crate::{failure::Failure, image::Image};

/// Bytes of memory for metadata while a command runs.
const CACHE: usize = 256 << 20;
/// Between two looks at how far work has come.
const LOOK: Duration = Duration::from_millis(100);

/// Makes the volume's first root record. The header comes after it.
pub(crate) fn format(
    image: &Image,
    mapped: &Mapped,
    uuid: &[u8; 16],
    key: &VolumeKey,
) -> Result<(), Failure> {
    let (layout, sealer) = parts(image, mapped, uuid, key)?;
    let mut disk = Direct::new(image)?;
    let made = Volume::format(&mut disk, &layout, &sealer);
    made.map_err(|error| disk.failure.unwrap_or(Failure::Mapped { path: image.path.clone(), error }))
}

/// Prepares a volume for a header that says `to` instead of `from`.
pub(crate) fn begin_growth(
    image: &Image,
    from: &Mapped,
    to: &Mapped,
    uuid: &[u8; 16],
    key: &VolumeKey,
) -> Result<(), Failure> {
    let ((from, sealer), (to, _)) = (parts(image, from, uuid, key)?, parts(image, to, uuid, key)?);
    let mut disk = Direct::new(image)?;
    let begun = Volume::begin_growth(&mut disk, &from, &to, &sealer);
    begun.map_err(|error| disk.failure.unwrap_or(Failure::Mapped { path: image.path.clone(), error }))
}

/// Where things lie on it, and its keys.
pub(crate) fn parts(
    image: &Image,
    mapped: &Mapped,
    uuid: &[u8; 16],
    key: &VolumeKey,
) -> Result<(Layout, Sealer), Failure> {
    let layout = Layout::of(mapped).map_err(|error| Failure::Layout { path: image.path.clone(), error })?;
    let sealer = Sealer::new(key.as_bytes(), uuid, mapped.encrypted, Backend::detect());
    Ok((layout, sealer.map_err(|_| Failure::Memory)?))
}

/// What [`repair`] has put right, and what is still wrong.
pub(crate) struct Repaired {
    pub(crate) repaired: Report,
    pub(crate) remaining: Report,
}

/// Repairs what can be, on the image itself. Is told how many chunks of how many have been counted, and then verified.
pub(crate) fn repair(
    image: &Image,
    header: &Header<'_>,
    mapped: &Mapped,
    key: &VolumeKey,
    counted: impl FnMut(u64, u64),
    verified: impl FnMut(u64, u64),
) -> Result<Repaired, Failure> {
    let (layout, sealer) = parts(image, mapped, &header.uuid(), key)?;
    let mut disk = Direct::new(image)?;
    let opened = Volume::open_rebuilding(&mut disk, layout, sealer, Options::new(CACHE, 0, None), counted);
    let repaired = opened.and_then(|(mut volume, mut repaired)| {
        let remaining = volume.repair(&mut disk, &mut repaired, verified)?;
        Ok(Repaired { repaired, remaining })
    });
    repaired.map_err(|error| {
        let unrepaired = Failure::Unrepaired { path: image.path.clone(), error };
        // What could not be read is damage like other damage; what could not be written ends the work.
        if error == OpenError::Device { disk.failure.unwrap_or(unrepaired) } else { unrepaired }
    })
}

/// A mapped volume that is looked at. What opening it would write stays in memory.
pub(crate) struct ReadOnly<'a> {
    volume: Box<Volume>,
    disk: Shadow<'a>,
}

impl<'a> ReadOnly<'a> {
    /// Opens it, after a crash or not.
    pub(crate) fn open(
        image: &'a Image,
        header: &Header<'_>,
        mapped: &Mapped,
        key: &VolumeKey,
    ) -> Result<Self, Failure> {
        let (layout, sealer) = parts(image, mapped, &header.uuid(), key)?;
        let mut disk = Shadow { image, written: Overlay::default() };
        let options = Options::new(CACHE, 0, None);
        let volume = Volume::open(&mut disk, layout, sealer, options)
            .map_err(|error| Failure::Mapped { path: image.path.clone(), error })?;
        Ok(Self { volume, disk })
    }

    /// Fills `into` from byte `offset` of the volume. Both are multiples of 512 bytes, and it is 1 MiB at most.
    pub(crate) fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Failure> {
        let buffer = vec![0; into.len()];
        // One at a time: there is always room for it.
        let _ = self.volume.submit(0, Request::Read { offset, buffer });
        self.volume.drive(&mut self.disk);
        let done = self.volume.next_done();
        match done.map(|done| (done.result, done.buffer)) {
            Some((Ok(()), Some(buffer))) => into.copy_from_slice(&buffer),
            Some((Err(Error::Range), _)) => {
                let end = offset + into.len() as u64;
                return Err(Failure::Range { offset, end, size: end });
            }
            _ => {
                return Err(Failure::Chunk {
                    path: self.disk.image.path.clone(),
                    offset,
                    end: offset + into.len() as u64,
                });
            }
        }
        Ok(())
    }

    /// What it holds.
    pub(crate) fn usage(&self) -> Usage {
        self.volume.usage()
    }

    /// Compares everything with everything. `progress` is told how many chunks of how many have been read.
    pub(crate) fn check(&mut self, progress: impl FnMut(u64, u64)) -> Result<Report, Failure> {
        let path = self.disk.image.path.clone();
        self.volume.check(&mut self.disk, progress).map_err(|error| Failure::Mapped { path, error })
    }
}

/// A new mapped volume that is being filled, on the image itself.
pub(crate) struct Filling<'a> {
    volume: Box<Volume>,
    disk: Direct<'a>,
}

impl<'a> Filling<'a> {
    /// Opens it.
    pub(crate) fn open(
        image: &'a Image,
        mapped: &Mapped,
        uuid: &[u8; 16],
        key: &VolumeKey,
    ) -> Result<Self, Failure> {
        let (layout, sealer) = parts(image, mapped, uuid, key)?;
        let mut disk = Direct::new(image)?;
        let index_bytes = mapped.index_bytes.unwrap_or(0) as usize;
        let options = Options { discard: mapped.discard, ..Options::new(CACHE, index_bytes, mapped.level) };
        let volume = Volume::open(&mut disk, layout, sealer, options)
            .map_err(|error| Failure::Mapped { path: image.path.clone(), error })?;
        Ok(Self { volume, disk })
    }

    /// Writes at byte `offset`, whole sectors, 1 MiB at most.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.ask(Request::Write { offset, buffer: bytes.to_vec(), fua: false })
    }

    /// Everything is durable afterwards.
    pub(crate) fn close(mut self) -> Result<(), Failure> {
        self.ask(Request::Close)
    }

    fn ask(&mut self, request: Request) -> Result<(), Failure> {
        // One at a time: there is always room for it.
        let _ = self.volume.submit(0, request);
        self.volume.drive(&mut self.disk);
        match self.volume.next_done().map(|done| done.result) {
            Some(Ok(())) => Ok(()),
            Some(Err(Error::Write)) if self.disk.failure.is_some() => {
                self.disk.failure.take().map_or(Ok(()), Err)
            }
            // It waits for room that nothing makes, or has none.
            _ => Err(Failure::Full { path: self.disk.image.path.clone() }),
        }
    }
}

/// What [`compact`] has done.
pub(crate) struct Compacted {
    pub(crate) before: Usage,
    pub(crate) after: Usage,
    /// Bytes that the image was told are free.
    pub(crate) discarded: u64,
    /// Why it was told no more.
    pub(crate) refused: Option<io::Error>,
    /// Something could not be read, and stays where it is.
    pub(crate) unreadable: bool,
}

/// Puts together what is stored, on the image itself. `progress` is told how many segments are left of how many.
pub(crate) fn compact(
    image: &Image,
    header: &Header<'_>,
    mapped: &Mapped,
    key: &VolumeKey,
    discard: bool,
    mut progress: impl FnMut(u64, u64),
) -> Result<Compacted, Failure> {
    let (layout, sealer) = parts(image, mapped, &header.uuid(), key)?;
    let mut disk = Direct::new(image)?;
    // With the index of which the header speaks: only that can be kept again at the end.
    let index_bytes = mapped.index_bytes.unwrap_or(0) as usize;
    let options = Options { discard, ..Options::new(CACHE, index_bytes, mapped.level) };
    let mut volume = Volume::open(&mut disk, layout, sealer, options).map_err(|error| {
        let unopened = Failure::Mapped { path: image.path.clone(), error };
        if error == OpenError::Device { disk.failure.take().unwrap_or(unopened) } else { unopened }
    })?;
    let (before, all) = (volume.usage(), volume.sparse_segments());
    let mut looked = Instant::now();
    for request in [Request::Compact, Request::Close] {
        // One at a time: there is always room for it.
        let _ = volume.submit(0, request);
        volume.drive_watched(&mut disk, |volume| {
            // Counting them looks at every segment.
            if looked.elapsed() >= LOOK {
                progress(volume.sparse_segments(), all);
                looked = Instant::now();
            }
        });
        let failure = match volume.next_done().map(|done| done.result) {
            Some(Ok(())) => continue,
            Some(Err(Error::Write)) => disk.failure,
            // It waits for room that nothing makes.
            _ => None,
        };
        return Err(failure.unwrap_or(Failure::NoRoom { path: image.path.clone() }));
    }
    Ok(Compacted {
        before,
        after: volume.usage(),
        discarded: disk.discarded,
        refused: disk.refused,
        unreadable: disk.failure.is_some(),
    })
}

/// Writes go to the image. Keeps the reason of a failure: of the first read that failed, or of the last write.
struct Direct<'a> {
    image: &'a Image,
    failure: Option<Failure>,
    discarded: u64,
    refused: Option<io::Error>,
}

impl<'a> Direct<'a> {
    /// What is read from now on is what the medium has: after a flush that failed, the system may keep in memory what did not
    /// get there.
    fn new(image: &'a Image) -> Result<Self, Failure> {
        image.flush()?;
        image.forget();
        Ok(Self { image, failure: None, discarded: 0, refused: None })
    }

    fn wrote(&mut self, result: Result<(), Failure>) -> Result<(), DeviceError> {
        result.map_err(|failure| {
            self.failure = Some(failure);
            DeviceError
        })
    }
}

impl Disk for Direct<'_> {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let result = self.image.read(offset, buffer);
        self.wrote(result)
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        let result = self.image.write(offset, buffer);
        self.wrote(result)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        let result = self.image.flush();
        self.wrote(result)
    }

    fn discard(&mut self, offset: u64, length: u64) -> Result<(), DeviceError> {
        match self.image.discard(offset, length) {
            Ok(()) => self.discarded += length,
            Err(error) => {
                self.refused = Some(error);
                return Err(DeviceError);
            }
        }
        Ok(())
    }
}

/// Nothing is written at all.
pub(crate) struct Untouched<'a>(pub &'a Image);

impl Disk for Untouched<'_> {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read(offset, buffer).map_err(|_| DeviceError)
    }

    fn write(&mut self, _offset: u64, _buffer: &[u8]) -> Result<(), DeviceError> {
        Err(DeviceError)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Err(DeviceError)
    }
}

/// Writes stay in memory, in front of what the image holds.
struct Shadow<'a> {
    image: &'a Image,
    written: Overlay,
}

impl Disk for Shadow<'_> {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.image.read(offset, buffer).map_err(|_| DeviceError)?;
        self.written.cover(offset, buffer);
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.written.write(offset, buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// Why a volume does not open, and what that means.
pub(crate) fn open_error_text(error: OpenError) -> String {
    match error {
        OpenError::Device => "the device reports errors where its root, journal or map lies".into(),
        OpenError::NoRoot => "no root record of it is good".into(),
        OpenError::RootLost => "both copies of its newest root record are damaged".into(),
        OpenError::List => "the list of its metadata is damaged".into(),
        OpenError::Space => "a page that says how full its segments are is damaged".into(),
        OpenError::Irreplaceable(tree, level, index) => {
            let tree = match tree {
                Tree::Map => "map",
                Tree::Table => "table of chunks",
                Tree::Space => "space tree",
            };
            format!(
                "page {index} on level {level} of its {tree} is damaged, and nothing else says where that lies of which \
                 it spoke"
            )
        }
        OpenError::Overlap(segment) => {
            format!(
                "more is said to lie in its segment {} than fits there: its metadata was not written by sluice",
                segment.0
            )
        }
        OpenError::Page => "a page of its metadata is damaged".into(),
        OpenError::Journal(frame) => {
            format!("frame {frame} of its journal, which had been made durable, is missing or damaged")
        }
        OpenError::NoMemory => "memory has run out".into(),
        OpenError::Larger => {
            "its root record is of a larger volume than its header: the header is an old one".into()
        }
        OpenError::NoSpace => "the disk has no room for what opening must write".into(),
    }
}
