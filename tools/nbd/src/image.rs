//! The image, device or server's disk under a volume, used by several threads at once.

use std::{
    fs::File,
    io,
    sync::{Mutex, PoisonError},
};

use sluice_backend::{Backend, Overlay};
use sluice_mapped::{
    disk::Disk,
    io::{DeviceError, DeviceOp},
};

/// An image. One that is only looked at keeps in memory what opening its volume writes.
pub(crate) struct Image {
    backend: Backend,
    shadow: Option<Mutex<Overlay>>,
    /// A flush has failed that an engine asked for.
    broken: Mutex<bool>,
}

impl Image {
    pub(crate) fn new(backend: Backend, write: bool) -> Self {
        Self { backend, shadow: (!write).then(Mutex::default), broken: Mutex::new(false) }
    }

    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, into)?;
        self.cover(offset, into);
        Ok(())
    }

    /// Whether the system only copies it into its memory, and not much of it.
    pub(crate) fn is_short(&self, op: &DeviceOp) -> bool {
        const MUCH: usize = 64 << 10;
        let short = matches!(op, DeviceOp::Write { length, .. } if *length <= MUCH);
        short && self.backend.file().is_some()
    }

    /// Reads, if that does not have to be waited for; if it has to be, `None`.
    pub(crate) fn read_now(&self, offset: u64, into: &mut [u8]) -> Option<io::Result<()>> {
        let result = self.backend.read_now(offset, into)?;
        self.cover(offset, into);
        Some(result)
    }

    fn cover(&self, offset: u64, into: &mut [u8]) {
        if let Some(shadow) = &self.shadow {
            shadow.lock().unwrap_or_else(PoisonError::into_inner).cover(offset, into);
        }
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let Some(shadow) = &self.shadow else { return self.backend.write(offset, bytes) };
        shadow.lock().unwrap_or_else(PoisonError::into_inner).write(offset, bytes);
        Ok(())
    }

    /// The file or device itself, if that is all it is.
    pub(crate) fn writable_file(&self) -> Option<&File> {
        if self.shadow.is_some() { None } else { self.backend.file() }
    }

    /// What becomes of a mapped volume whose image fails.
    pub(crate) fn after_failure(&self) -> &'static str {
        match self.backend.file() {
            Some(_) => "The volume takes no writes until one works again.",
            // What a server forgot with its connection, it may yet carry out.
            None => {
                "The volume takes no more writes; when the cause is gone, stop `sluice serve` and start it again."
            }
        }
    }

    /// Makes durable what has been written.
    pub(crate) fn flush(&self) -> io::Result<()> {
        if self.shadow.is_some() { Ok(()) } else { self.backend.flush() }
    }

    /// The same for an engine, which may ask for several at once. The system tells an error once, to one of them: after that,
    /// none succeeds any more until the volume is opened again.
    pub(crate) fn flush_for_engine(&self) -> io::Result<()> {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if *broken {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        self.flush().inspect_err(|_| *broken = true)
    }

    /// Likewise, of a flush that has ended elsewhere.
    pub(crate) fn flushed_for_engine(&self, result: io::Result<()>) -> io::Result<()> {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let was_broken = *broken;
        *broken |= result.is_err();
        if was_broken { Err(io::Error::from_raw_os_error(libc::EIO)) } else { result }
    }

    /// What is read from now on is what the medium has. When a flush fails, the system keeps in memory what did not get there,
    /// and says no more of it: recovery would take it for durable, and build on it.
    pub(crate) fn forget(&self) -> io::Result<()> {
        self.flush()?;
        self.backend.forget();
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        Ok(())
    }

    /// Gives a range back to the file system or the device.
    pub(crate) fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        if self.shadow.is_some() { Ok(()) } else { self.backend.discard(offset, length) }
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
