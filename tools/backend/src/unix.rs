//! Files and block devices of Linux.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{self, IoSliceMut, Seek, SeekFrom},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

use rustix::{
    fs::{FallocateFlags, OFlags},
    io::{Errno, ReadWriteFlags},
};

/// How to open it. With O_EXCL a block device that is mounted cannot be opened for writing (open(2)).
pub(super) fn options(path: &Path, write: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(write);
    if write && path.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device()) {
        options.custom_flags(OFlags::EXCL.bits().cast_signed());
    }
    options
}

/// Whether a file is what a loop device shows, which something may have mounted. The kernel locks no such file.
pub(super) fn is_looped(file: &File) -> bool {
    let Ok(own) = file.metadata() else { return false };
    if !own.is_file() {
        return false;
    }
    std::fs::read_dir("/sys/block").into_iter().flatten().flatten().any(|device| {
        let behind = std::fs::read(device.path().join("loop/backing_file")).unwrap_or_default();
        let behind = Path::new(OsStr::from_bytes(behind.strip_suffix(b"\n").unwrap_or(&behind)));
        behind.metadata().is_ok_and(|behind| (behind.dev(), behind.ino()) == (own.dev(), own.ino()))
    })
}

/// Size in bytes, and bytes of a sector of a device; a file has no sectors of its own.
pub(super) fn size(mut file: &File) -> io::Result<(u64, Option<u32>)> {
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok((file.seek(SeekFrom::End(0))?, rustix::fs::ioctl_blksszget(file).ok()))
}

pub(super) fn read_at(file: &File, offset: u64, into: &mut [u8]) -> io::Result<()> {
    file.read_exact_at(into, offset)
}

/// Reads what lies in the page cache; `false` if not all of it does, or the kernel cannot tell (preadv2(2)).
#[cfg(target_os = "linux")]
pub(super) fn read_now(file: &File, offset: u64, into: &mut [u8]) -> bool {
    let length = into.len();
    let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(into)], offset, ReadWriteFlags::NOWAIT);
    read == Ok(length)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read_now(_file: &File, _offset: u64, _into: &mut [u8]) -> bool {
    false
}

/// Whether it lies on tmpfs, where the kernel cannot tell, and need not.
#[cfg(target_os = "linux")]
pub(super) fn is_in_memory(file: &File) -> bool {
    const TMPFS_MAGIC: u64 = 0x0102_1994; // statfs(2)
    rustix::fs::fstatfs(file).is_ok_and(|found| found.f_type as u64 == TMPFS_MAGIC)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_in_memory(_file: &File) -> bool {
    false
}

pub(super) fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// A file becomes sparse there, and a device is told (fallocate(2)). Not all can.
pub(super) fn discard(file: &File, _is_disk: bool, offset: u64, length: u64) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(file, flags, offset, length)?)
}

/// Makes sure that a range of a sparse file can be written. What it holds stays.
pub(super) fn reserve(file: &File, offset: u64, length: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, offset, length) {
        Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(error.into()),
        // Devices, and file systems that cannot: the write itself will tell.
        _ => Ok(()),
    }
}
