//! Files and disks of Windows.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom},
    mem::offset_of,
    os::windows::{fs::FileExt, io::AsRawHandle},
    path::Path,
    ptr,
};

use windows_sys::Win32::System::{
    IO::DeviceIoControl,
    Ioctl::{
        DEVICE_DATA_SET_RANGE, DEVICE_DSM_FLAG_TRIM_NOT_FS_ALLOCATED, DEVICE_MANAGE_DATA_SET_ATTRIBUTES,
        DISK_GEOMETRY, FILE_SET_SPARSE_BUFFER, FILE_ZERO_DATA_INFORMATION, FSCTL_SET_SPARSE,
        FSCTL_SET_ZERO_DATA, GET_LENGTH_INFORMATION, IOCTL_DISK_GET_DRIVE_GEOMETRY,
        IOCTL_DISK_GET_LENGTH_INFO, IOCTL_STORAGE_MANAGE_DATA_SET_ATTRIBUTES,
    },
};

pub(super) fn options(_path: &Path, write: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(write);
    options
}

/// There are no loop devices; a virtual disk's file cannot be opened.
pub(super) fn is_looped(_file: &File) -> bool {
    false
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

/// The system does not tell what it has in memory.
pub(super) fn read_now(_file: &File, _offset: u64, _into: &mut [u8]) -> bool {
    false
}

pub(super) fn is_in_memory(_file: &File) -> bool {
    false
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

/// `DeviceDsmAction_Trim` (winioctl.h).
const TRIM: u32 = 1;

/// One range to be trimmed.
#[repr(C)]
struct Trim {
    head: DEVICE_MANAGE_DATA_SET_ATTRIBUTES,
    unused: u32,
    range: DEVICE_DATA_SET_RANGE,
}

/// A file becomes sparse there, and a disk is told. No Windows machine has run this yet.
pub(super) fn discard(file: &File, is_disk: bool, offset: u64, length: u64) -> io::Result<()> {
    let end = offset.checked_add(length).and_then(|end| i64::try_from(end).ok());
    let end = end.ok_or(io::ErrorKind::InvalidInput)?;
    let start = offset.cast_signed();
    if is_disk {
        let head = DEVICE_MANAGE_DATA_SET_ATTRIBUTES {
            Size: size_of::<DEVICE_MANAGE_DATA_SET_ATTRIBUTES>() as u32,
            Action: TRIM,
            // No file system lies on it: the volume takes the whole disk.
            Flags: DEVICE_DSM_FLAG_TRIM_NOT_FS_ALLOCATED,
            DataSetRangesOffset: offset_of!(Trim, range) as u32,
            DataSetRangesLength: size_of::<DEVICE_DATA_SET_RANGE>() as u32,
            ..Default::default()
        };
        let range = DEVICE_DATA_SET_RANGE { StartingOffset: start, LengthInBytes: length };
        // SAFETY: the structure that the request takes, with the range where it says.
        return unsafe {
            tell(file, IOCTL_STORAGE_MANAGE_DATA_SET_ATTRIBUTES, &Trim { head, unused: 0, range })
        };
    }
    let zeros = FILE_ZERO_DATA_INFORMATION { FileOffset: start, BeyondFinalZero: end };
    // SAFETY: each structure is the one that its request takes. A file that is sparse already stays so.
    unsafe {
        tell(file, FSCTL_SET_SPARSE, &FILE_SET_SPARSE_BUFFER { SetSparse: true })?;
        tell(file, FSCTL_SET_ZERO_DATA, &zeros)
    }
}

/// # Safety
/// The request takes a `T`, in which no byte is without a value, and answers nothing.
unsafe fn tell<T>(file: &File, code: u32, what: &T) -> io::Result<()> {
    let mut written = 0;
    // SAFETY: an open handle, a `T`, no overlapped operation.
    let done = unsafe {
        DeviceIoControl(
            file.as_raw_handle().cast(),
            code,
            ptr::from_ref(what).cast(),
            size_of::<T>() as u32,
            ptr::null_mut(),
            0,
            &raw mut written,
            ptr::null_mut(),
        )
    };
    if done != 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Files are not made sparse for this.
pub(super) fn reserve(_file: &File, _offset: u64, _length: u64) -> io::Result<()> {
    Ok(())
}
