//! What lies under a volume: a file, a block device, or the disk of an NBD server.
//!
//! ```text
//!   Backend   opened from what somebody names: a path or a URI
//!     unix, windows   files and devices, locked against other programs of ours
//!     nbd             a server's disk: its connections, and what a broken one may have taken with it
//!       library       libnbd, loaded when it is needed: the only unsafe code for Unix
//!   Overlay   sectors in front of a backend that is only looked at
//! ```
//!
//! There is no lock over NBD: two who write to the same server's disk destroy it, and nothing here can tell.
#![forbid(unsafe_op_in_unsafe_fn)]

#[cfg(unix)]
mod nbd;
mod overlay;
#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

pub use overlay::Overlay;

/// Schemes of what is a URI. A file of such a name is meant by `./nbd:...`.
const SCHEMES: [&str; 6] = ["nbd:", "nbds:", "nbd+unix:", "nbds+unix:", "nbd+vsock:", "nbds+vsock:"];

/// An open file, device or server's disk. Many threads may use it at once.
#[derive(Debug)]
pub struct Backend {
    lower: Lower,
    bytes: u64,
    sector_size: Option<u32>,
    /// Nothing of it is ever waited for.
    in_memory: bool,
}

#[derive(Debug)]
enum Lower {
    File(File),
    #[cfg(unix)]
    Nbd(nbd::Disk),
}

/// Why it could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// It can only be read.
    WriteProtected,
    /// Another program has it open, or it is mounted.
    InUse,
    /// Its size is not known.
    Size(io::Error),
    /// Everything else.
    Failed(io::Error),
}

/// Whether a name is the URI of an NBD server.
#[must_use]
pub fn is_uri(name: &Path) -> bool {
    let name = name.to_str().unwrap_or_default().to_ascii_lowercase();
    SCHEMES.iter().any(|scheme| name.starts_with(scheme))
}

impl Backend {
    /// Opens what `name` says, a path or a URI. For writing, nobody else of us may have it open; for reading, nobody may be
    /// writing. Of a server, so many requests are to be under way at once.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(name: &Path, write: bool, at_once: usize) -> Result<Self, OpenError> {
        if is_uri(name) { Self::connect(name, write, at_once) } else { Self::open_file(name, write) }
    }

    #[cfg(unix)]
    fn connect(name: &Path, write: bool, at_once: usize) -> Result<Self, OpenError> {
        let disk = nbd::Disk::open(name.to_str().unwrap_or_default(), write, at_once)?;
        let (bytes, sector_size) = (disk.bytes(), disk.sector_size());
        Ok(Self { lower: Lower::Nbd(disk), bytes, sector_size, in_memory: false })
    }

    #[cfg(not(unix))]
    fn connect(_name: &Path, _write: bool, _at_once: usize) -> Result<Self, OpenError> {
        let what = "NBD servers are reached by libnbd, which does not exist on this system";
        Err(OpenError::Failed(io::Error::new(io::ErrorKind::Unsupported, what)))
    }

    fn open_file(path: &Path, write: bool) -> Result<Self, OpenError> {
        // The superuser may write to a file that forbids it; whoever forbade it did not mean that.
        if write && path.metadata().is_ok_and(|metadata| metadata.permissions().readonly()) {
            return Err(OpenError::WriteProtected);
        }
        let file = system::options(path, write).open(path).map_err(|source| match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => OpenError::WriteProtected,
            io::ErrorKind::ResourceBusy => OpenError::InUse,
            io::ErrorKind::PermissionDenied if write && File::open(path).is_ok() => OpenError::WriteProtected,
            _ => OpenError::Failed(source),
        })?;
        match if write { file.try_lock() } else { file.try_lock_shared() } {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse),
            // Devices that cannot be locked are guarded by the system's own means.
            Err(TryLockError::Error(_)) => {}
        }
        if write && system::is_looped(&file) {
            return Err(OpenError::InUse);
        }
        Self::of(file).map_err(OpenError::Size)
    }

    /// What is open already, and locked by whoever opened it.
    ///
    /// # Errors
    /// Its size is not known.
    pub fn of(file: File) -> io::Result<Self> {
        let (bytes, sector_size) = system::size(&file)?;
        let in_memory = system::is_in_memory(&file);
        Ok(Self { lower: Lower::File(file), bytes, sector_size, in_memory })
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of a sector, if a device or a server says; a file has none of its own.
    #[must_use]
    pub fn sector_size(&self) -> Option<u32> {
        self.sector_size
    }

    /// The file or device, with the lock on it; a server's disk is none.
    #[must_use]
    pub fn file(&self) -> Option<&File> {
        match &self.lower {
            Lower::File(file) => Some(file),
            #[cfg(unix)]
            Lower::Nbd(_) => None,
        }
    }

    /// Fills `into` from byte `offset`.
    ///
    /// # Errors
    /// The system's.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match &self.lower {
            Lower::File(file) => system::read_at(file, offset, into),
            #[cfg(unix)]
            Lower::Nbd(disk) => disk.read(offset, into),
        }
    }

    /// The same, if what is wanted lies in memory; `None` if it would have to be waited for, or nobody can say.
    #[must_use]
    pub fn read_now(&self, offset: u64, into: &mut [u8]) -> Option<io::Result<()>> {
        match &self.lower {
            Lower::File(file) if self.in_memory => Some(system::read_at(file, offset, into)),
            Lower::File(file) => system::read_now(file, offset, into).then_some(Ok(())),
            #[cfg(unix)]
            Lower::Nbd(_) => None,
        }
    }

    /// Writes bytes at byte `offset`. Not durable before [`Self::flush`].
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match &self.lower {
            Lower::File(file) => system::write_at(file, offset, bytes),
            #[cfg(unix)]
            Lower::Nbd(disk) => disk.write(offset, bytes),
        }
    }

    /// Waits until everything written is on the medium.
    ///
    /// # Errors
    /// The system's.
    pub fn flush(&self) -> io::Result<()> {
        match &self.lower {
            Lower::File(file) => file.sync_data(),
            #[cfg(unix)]
            Lower::Nbd(disk) => disk.flush(),
        }
    }

    /// What is read from now on comes from the medium, not from memory, as far as the system lets that be said. What has not
    /// been flushed stays.
    pub fn forget(&self) {
        #[cfg(target_os = "linux")]
        if let Some(file) = self.file() {
            let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed); // it is only advice
        }
    }

    /// Gives back what a range takes. What it holds is no longer needed.
    ///
    /// # Errors
    /// The system's; not all can.
    pub fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        match &self.lower {
            Lower::File(file) => system::discard(file, self.sector_size.is_some(), offset, length),
            #[cfg(unix)]
            Lower::Nbd(disk) => disk.discard(offset, length),
        }
    }

    /// Makes sure, where that can be done, that a range of a sparse file can be written. What it holds stays.
    ///
    /// # Errors
    /// There is no room.
    pub fn reserve(&self, offset: u64, length: u64) -> io::Result<()> {
        match &self.lower {
            Lower::File(file) => system::reserve(file, offset, length),
            #[cfg(unix)]
            Lower::Nbd(_) => Ok(()),
        }
    }

    /// Leaves a server; the next request connects again.
    pub fn disconnect(&self) {
        match &self.lower {
            Lower::File(_) => {}
            #[cfg(unix)]
            Lower::Nbd(disk) => disk.disconnect(),
        }
    }

    /// Remembers how it begins: a server that comes back with something else there is not believed.
    ///
    /// # Errors
    /// That could not be read.
    pub fn remember(&self) -> io::Result<()> {
        match &self.lower {
            Lower::File(_) => Ok(()),
            #[cfg(unix)]
            Lower::Nbd(disk) => disk.remember(),
        }
    }
}
