//! Files and disks of Windows.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom},
    os::windows::{fs::FileExt, io::AsRawHandle},
    path::Path,
    ptr,
};

use windows_sys::Win32::System::{
    IO::DeviceIoControl,
    Ioctl::{
        DISK_GEOMETRY, GET_LENGTH_INFORMATION, IOCTL_DISK_GET_DRIVE_GEOMETRY, IOCTL_DISK_GET_LENGTH_INFO,
    },
};

pub(super) fn options(_path: &Path, write: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(write);
    options
}

/// Size in bytes, and bytes of a sector of a disk; a file knows neither request.
pub(super) fn size(mut file: &File) -> io::Result<(u64, Option<u32>)> {
    // SAFETY: plain numbers, for which zeros are values.
    let (mut length, mut geometry): (GET_LENGTH_INFORMATION, DISK_GEOMETRY) = unsafe { core::mem::zeroed() };
    // SAFETY: each structure is the one that its request fills.
    let is_disk = unsafe {
        ask(file, IOCTL_DISK_GET_LENGTH_INFO, &mut length)
            && ask(file, IOCTL_DISK_GET_DRIVE_GEOMETRY, &mut geometry)
    };
    if is_disk {
        return Ok((length.Length.cast_unsigned(), Some(geometry.BytesPerSector)));
    }
    Ok((file.seek(SeekFrom::End(0))?, None))
}

/// # Safety
/// The request fills a `T`.
unsafe fn ask<T>(file: &File, code: u32, answer: &mut T) -> bool {
    let (room, mut written) = (size_of::<T>() as u32, 0);
    // SAFETY: an open handle, room for a `T`, no overlapped operation.
    let done = unsafe {
        DeviceIoControl(
            file.as_raw_handle().cast(),
            code,
            ptr::null(),
            0,
            ptr::from_mut(answer).cast(),
            room,
            &raw mut written,
            ptr::null_mut(),
        )
    };
    done != 0 && written == room
}

pub(super) fn read_at(file: &File, mut offset: u64, mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        match file.seek_read(into, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => (into, offset) = (&mut into[count..], offset + count as u64),
        }
    }
    Ok(())
}

pub(super) fn write_at(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.seek_write(bytes, offset)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => (bytes, offset) = (&bytes[count..], offset + count as u64),
        }
    }
    Ok(())
}

/// Files are not made sparse here.
pub(super) fn reserve(_file: &File, _offset: u64, _length: u64) -> io::Result<()> {
    Ok(())
}
