//! A volume on a file or a block device.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use sluice_backend::{Backend, OpenError};
use sluice_engine::format::{
    COPY_BYTES, CopyRead, Damage, Header, Probe, Second, plan::Step, probe, read_second,
};

use crate::failure::Failure;

/// An open disk or image, locked against other programs of ours if it is of this machine.
pub(crate) struct Image {
    backend: Backend,
    /// As it was named: a path or a URI.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Bytes of a sector, if the device says; a file has none of its own.
    pub sector_size: Option<u32>,
}

/// A copy of the header, read or not.
type CopyBytes = Option<Box<[u8; COPY_BYTES]>>;

/// Both copies of the header.
pub(crate) struct Copies {
    a: CopyBytes,
    b: Box<[u8; COPY_BYTES]>,
    second: Second,
}

impl Image {
    /// Opens it; for writing, nobody else of us may have it open, for reading nobody may be writing.
    pub(crate) fn open(path: &Path, write: bool) -> Result<Self, Failure> {
        // One request at a time: a command does one thing after the other.
        let backend = Backend::open(path, write, 1).map_err(|error| match error {
            OpenError::WriteProtected => Failure::WriteProtected { path: path.into() },
            OpenError::InUse => Failure::InUse { path: path.into() },
            OpenError::Size(error) => Failure::io("find the size of", path, error),
            OpenError::Failed(source) => Failure::Open { path: path.into(), source },
        })?;
        let (bytes, sector_size) = (backend.bytes(), backend.sector_size());
        Ok(Self { backend, path: path.into(), bytes, sector_size })
    }

    /// What it lies on, with the lock on that.
    #[cfg(unix)]
    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The file that it is. None if it is a device or a server's disk, whose size is theirs.
    pub(crate) fn regular_file(&self) -> Option<&File> {
        if self.sector_size.is_some() { None } else { self.backend.file() }
    }

    /// What is read from now on comes from the medium, not from memory, as far as the system lets that be said.
    pub(crate) fn forget(&self) {
        self.backend.forget();
    }

    /// Fills `into` from byte `offset`.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Failure> {
        self.backend.read(offset, into).map_err(|e| Failure::io("read", &self.path, e))
    }

    /// Writes bytes at byte `offset`.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.backend.write(offset, bytes).map_err(|e| Failure::io("write to", &self.path, e))
    }

    /// Waits until everything written is on the medium.
    pub(crate) fn flush(&self) -> Result<(), Failure> {
        self.backend.flush().map_err(|e| Failure::io("flush", &self.path, e))
    }

    /// Gives back what a range takes. What it holds is no longer needed.
    pub(crate) fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        self.backend.discard(offset, length)
    }

    /// Makes sure that a range of a sparse file can be written. What it holds stays.
    pub(crate) fn reserve(&self, offset: u64, length: u64) -> Result<(), Failure> {
        self.backend.reserve(offset, length).map_err(|e| Failure::io("write to", &self.path, e))
    }

    /// Takes the steps of a plan in order, and reads back what was written.
    pub(crate) fn carry_out(&self, steps: &[Step<'_>]) -> Result<(), Failure> {
        let failed = |what, error| Failure::io(what, &self.path, error);
        let writes = || {
            steps.iter().filter_map(|step| match step {
                Step::Write(offset, bytes) => Some((*offset, *bytes)),
                Step::Flush => None,
            })
        };
        // That the disk is full is found out before the first byte is changed.
        for (offset, bytes) in writes() {
            self.backend.reserve(offset, bytes.len() as u64).map_err(|e| failed("write to", e))?;
        }
        for step in steps {
            match step {
                Step::Write(offset, bytes) => self.write(*offset, *bytes)?,
                Step::Flush => self.flush()?,
            }
        }
        for (offset, bytes) in writes() {
            let mut found = [0; COPY_BYTES];
            self.read(offset, &mut found)?;
            if found != *bytes {
                return Err(Failure::ReadBack { path: self.path.clone() });
            }
        }
        Ok(())
    }

    /// Reads both copies of the header.
    pub(crate) fn copies(&self) -> Copies {
        let read = |offset, bytes: &mut [u8; COPY_BYTES]| self.read(offset, bytes).is_ok();
        let (mut first, mut b) = (Box::new([0; COPY_BYTES]), Box::new([0; COPY_BYTES]));
        let fits = self.bytes >= COPY_BYTES as u64;
        let a = (fits && read(0, &mut first)).then_some(first);
        let second = read_second(as_read(&a, fits), self.bytes, &mut b, read);
        Copies { a, b, second }
    }

    /// Finds the header.
    pub(crate) fn header<'a>(&self, copies: &'a Copies) -> Result<(Header<'a>, Probe<'a>), Failure> {
        let path = self.path.clone();
        match self.probe(copies) {
            Probe::None => Err(Failure::NotSluice { path }),
            Probe::Damaged(damage) => Err(crate::convert::why(self, copies, damage)),
            Probe::Unreadable => Err(Failure::Unreadable { path }),
            found @ Probe::Valid { header, .. } => Ok((header, found)),
        }
    }

    /// Judges what was read. A file takes the sector size that its header says.
    pub(crate) fn probe<'a>(&self, copies: &'a Copies) -> Probe<'a> {
        let (a, b) = (copies.read_a(self.bytes), copies.read_b());
        let judge = |sector_size| probe(a, b, self.bytes, sector_size);
        match (self.sector_size, judge(self.sector_size.unwrap_or(512))) {
            (None, Probe::Damaged(Damage::Misfit(sluice_engine::format::Problem::SectorSize { volume }))) => {
                judge(volume)
            }
            (_, found) => found,
        }
    }
}

impl Copies {
    pub(crate) fn read_a(&self, disk_bytes: u64) -> CopyRead<'_> {
        as_read(&self.a, disk_bytes >= COPY_BYTES as u64)
    }

    pub(crate) fn read_b(&self) -> CopyRead<'_> {
        self.second.with(&self.b)
    }
}

fn as_read(bytes: &CopyBytes, there: bool) -> CopyRead<'_> {
    match bytes {
        Some(bytes) => CopyRead::Bytes(bytes),
        None if there => CopyRead::Unreadable,
        None => CopyRead::Absent,
    }
}
