//! A volume on a file or a block device.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use sluice_engine::format::{COPY_BYTES, Copy, CopyRead, Damage, Header, Probe, probe, second_copy_offset};

use crate::failure::Failure;

/// An open disk or image, locked against other programs of ours.
pub(crate) struct Image {
    file: File,
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
    b: CopyBytes,
    b_offset: Option<u64>,
}

impl Image {
    /// Opens it; for writing, nobody else of us may have it open, for reading nobody may be writing.
    pub(crate) fn open(path: &Path, write: bool) -> Result<Self, Failure> {
        let file =
            OpenOptions::new().read(true).write(write).open(path).map_err(|source| match source.kind() {
                io::ErrorKind::ReadOnlyFilesystem => Failure::WriteProtected { path: path.into() },
                io::ErrorKind::PermissionDenied if write && std::fs::File::open(path).is_ok() => {
                    Failure::WriteProtected { path: path.into() }
                }
                _ => Failure::Open { path: path.into(), source },
            })?;
        match if write { file.try_lock() } else { file.try_lock_shared() } {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Failure::InUse { path: path.into() }),
            // Devices that cannot be locked are guarded by the system's own means.
            Err(TryLockError::Error(_)) => {}
        }
        let bytes = (&file).seek(SeekFrom::End(0)).map_err(|e| Failure::io("find the size of", path, e))?;
        let sector_size = sector_size(&file);
        Ok(Self { file, path: path.into(), bytes, sector_size })
    }

    /// Fills `into` from byte `offset`.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Failure> {
        read_at(&self.file, offset, into).map_err(|e| Failure::io("read", &self.path, e))
    }

    /// Writes `bytes` at byte `offset` and waits until they are durable.
    pub(crate) fn write_durably(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        write_at(&self.file, offset, bytes).map_err(|e| Failure::io("write to", &self.path, e))?;
        self.file.sync_all().map_err(|e| Failure::io("flush", &self.path, e))
    }

    /// Reads both copies of the header.
    pub(crate) fn copies(&self) -> Copies {
        let read = |offset| {
            let mut bytes = Box::new([0; COPY_BYTES]);
            self.read(offset, &mut bytes[..]).ok().map(|()| bytes)
        };
        let a = if self.bytes >= COPY_BYTES as u64 { read(0) } else { None };
        let b_offset = second_copy_offset(as_read(&a, self.bytes >= COPY_BYTES as u64), self.bytes);
        let b = b_offset.and_then(read);
        Copies { a, b, b_offset }
    }

    /// Finds the header.
    pub(crate) fn header<'a>(&self, copies: &'a Copies) -> Result<(Header<'a>, Probe<'a>), Failure> {
        let path = self.path.clone();
        match self.probe(copies) {
            Probe::None => Err(Failure::NotSluice { path }),
            Probe::Damaged(damage) => Err(Failure::Damaged { path, damage }),
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

    /// Writes a new header over both copies, in an order in which one is good at any moment.
    pub(crate) fn write_header(
        &self,
        bytes: &[u8; COPY_BYTES],
        b: u64,
        order: [Copy; 2],
    ) -> Result<(), Failure> {
        for copy in order {
            self.write_durably(if copy == Copy::A { 0 } else { b }, bytes)?;
        }
        Ok(())
    }
}

impl Copies {
    pub(crate) fn read_a(&self, disk_bytes: u64) -> CopyRead<'_> {
        as_read(&self.a, disk_bytes >= COPY_BYTES as u64)
    }

    pub(crate) fn read_b(&self) -> CopyRead<'_> {
        as_read(&self.b, self.b_offset.is_some())
    }
}

fn as_read(bytes: &CopyBytes, there: bool) -> CopyRead<'_> {
    match bytes {
        Some(bytes) => CopyRead::Bytes(bytes),
        None if there => CopyRead::Unreadable,
        None => CopyRead::Absent,
    }
}

#[cfg(unix)]
fn sector_size(file: &File) -> Option<u32> {
    rustix::fs::ioctl_blksszget(file).ok()
}

#[cfg(unix)]
fn read_at(file: &File, offset: u64, into: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, offset)
}

#[cfg(unix)]
fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

/// On Windows a disk's sector size takes an IOCTL that images do not have; 512-byte requests suit both, and a
/// header that says otherwise is believed.
#[cfg(windows)]
fn sector_size(_file: &File) -> Option<u32> {
    None
}

#[cfg(windows)]
fn read_at(file: &File, mut offset: u64, mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, into, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => (into, offset) = (&mut into[count..], offset + count as u64),
        }
    }
    Ok(())
}

#[cfg(windows)]
fn write_at(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => (bytes, offset) = (&bytes[count..], offset + count as u64),
        }
    }
    Ok(())
}
