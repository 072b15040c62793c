//! The image or block device under a volume, used by several threads at once.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Mutex, PoisonError},
};

use rustix::fs::FallocateFlags;
use sluice_mapped::{disk::Disk, io::DeviceError, units::SECTOR};

/// Sectors that were written, by their place.
type Written = BTreeMap<u64, Box<[u8]>>;

/// An image. One that is only looked at keeps in memory what opening its volume writes.
pub(crate) struct Image {
    file: File,
    shadow: Option<Mutex<Written>>,
}

impl Image {
    pub(crate) fn new(file: File, write: bool) -> Self {
        Self { file, shadow: (!write).then(|| Mutex::new(Written::new())) }
    }

    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)?;
        if let Some(shadow) = &self.shadow {
            let written = shadow.lock().unwrap_or_else(PoisonError::into_inner);
            for (at, sector) in written.range(offset..offset + into.len() as u64) {
                into[(at - offset) as usize..][..SECTOR].copy_from_slice(sector);
            }
        }
        Ok(())
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let Some(shadow) = &self.shadow else { return self.file.write_all_at(bytes, offset) };
        let mut written = shadow.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, sector) in (offset..).step_by(SECTOR).zip(bytes.chunks_exact(SECTOR)) {
            written.insert(at, sector.into());
        }
        Ok(())
    }

    /// Makes durable what has been written.
    pub(crate) fn flush(&self) -> io::Result<()> {
        if self.shadow.is_some() { Ok(()) } else { self.file.sync_data() }
    }

    /// Gives a range back to the file system or the device.
    pub(crate) fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        if self.shadow.is_some() {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&self.file, flags, offset, length)?)
    }
}

/// As opening a volume uses it.
impl Disk for &Image {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        Image::read(self, offset, buffer).map_err(|_| DeviceError)
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        Image::write(self, offset, buffer).map_err(|_| DeviceError)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Image::flush(self).map_err(|_| DeviceError)
    }

    fn discard(&mut self, offset: u64, length: u64) -> Result<(), DeviceError> {
        Image::discard(self, offset, length).map_err(|_| DeviceError)
    }
}
