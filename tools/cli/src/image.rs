//! An image file or a disk: opened so that nobody else changes it meanwhile, read and written at offsets.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use sluice_engine::format::{COPY_BYTES, plan::Step};

use crate::failure::{Failure, Kind, Result};

#[cfg(unix)]
#[path = "image/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "image/windows.rs"]
mod system;

/// What an image is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Reading,
    Writing,
}

/// An open image.
pub(crate) struct Image {
    file: File,
    path: PathBuf,
    bytes: u64,
    sector_size: Option<u32>,
}

impl Image {
    /// Opens and locks an image: alone for writing, together with other readers for reading.
    pub(crate) fn open(path: &Path, purpose: For) -> Result<Self> {
        let failed = |error: &io::Error| Failure::io("open", path, error);
        let metadata = path.metadata().ok();
        if metadata.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            return Err(Failure::new(Kind::File, format!("{} is a directory", path.display())));
        }
        // The superuser may write to a file that forbids it; whoever forbade it did not mean that.
        let forbidden = metadata.is_some_and(|metadata| metadata.permissions().readonly());
        if purpose == For::Writing && forbidden {
            return Err(write_protected(path));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(purpose == For::Writing);
        system::prepare(&mut options, path, purpose == For::Writing);
        let mut file = options.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem => write_protected(path),
            io::ErrorKind::NotFound => failed(&error).hint("an image is made by, for example: truncate -s 10G FILE"),
            io::ErrorKind::PermissionDenied => failed(&error).hint("try it as an administrator"),
            _ => failed(&error),
        })?;
        lock(&file, path, purpose)?;
        let (bytes, sector_size) = match system::device_size(&file) {
            Some(size) => size.map_err(|error| failed(&error))?,
            None => (file.seek(SeekFrom::End(0)).map_err(|error| failed(&error))?, None),
        };
        Ok(Self { file, path: path.to_owned(), bytes, sector_size })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of a sector, if it is a disk.
    pub(crate) fn sector_size(&self) -> Option<u32> {
        self.sector_size
    }

    /// Reads at a byte offset; both offset and length are whole sectors.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.try_read(buffer, offset).map_err(|error| {
            Failure::io(&format!("read {} bytes at byte {offset} of", buffer.len()), &self.path, &error)
        })
    }

    /// The same, for whoever has an answer to an error.
    pub(crate) fn try_read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        system::read_at(&self.file, buffer, offset)
    }

    /// Takes the steps of a plan in order, and reads back what was written.
    pub(crate) fn carry_out(&self, steps: &[Step<'_>]) -> Result<()> {
        let failed = |doing, error: &io::Error| Failure::io(doing, &self.path, error);
        // A full disk is found out before the first byte is changed.
        for step in steps {
            if let Step::Write(offset, bytes) = step {
                let reserved = system::reserve(&self.file, *offset, bytes.len() as u64);
                reserved.map_err(|error| failed("reserve space in", &error))?;
            }
        }
        for step in steps {
            match step {
                Step::Write(offset, bytes) => {
                    let written = system::write_at(&self.file, *bytes, *offset);
                    written.map_err(|error| failed("write the header to", &error))?;
                }
                Step::Flush => self.file.sync_all().map_err(|error| failed("flush", &error))?,
            }
        }
        for step in steps {
            if let Step::Write(offset, bytes) = step {
                let mut found = [0; COPY_BYTES];
                self.read(&mut found, *offset)?;
                if found != **bytes {
                    let message = format!("{} does not hold what was written to it", self.path.display());
                    return Err(Failure::new(Kind::Io, message).hint("the medium is failing; save what is on it"));
                }
            }
        }
        Ok(())
    }
}

fn write_protected(path: &Path) -> Failure {
    Failure::new(Kind::WriteProtected, format!("{} is write-protected", path.display()))
        .hint("make the image or its medium writable, or work on a copy of it")
}

fn lock(file: &File, path: &Path, purpose: For) -> Result<()> {
    let locked = match purpose {
        For::Reading => file.try_lock_shared(),
        For::Writing => file.try_lock(),
    };
    match locked {
        // Not every device can be locked; those have their own protection.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let message = format!("{} is in use by another program", path.display());
            Err(Failure::new(Kind::InUse, message).hint("wait until it has ended, then run the command again"))
        }
    }
}
