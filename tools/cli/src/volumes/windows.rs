//! Windows' disks and volumes. Not to be tried but on a Windows machine.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io,
    os::windows::{ffi::OsStringExt, fs::OpenOptionsExt, io::AsRawHandle},
    ptr,
};

use sluice_control::DiskEntry;
use windows_sys::Win32::{
    Devices::DeviceAndDriverInstallation::{
        DIGCF_DEVICEINTERFACE, DIGCF_PRESENT, HDEVINFO, SP_DEVICE_INTERFACE_DATA,
        SP_DEVICE_INTERFACE_DETAIL_DATA_W, SP_DEVINFO_DATA, SPDRP_PHYSICAL_DEVICE_OBJECT_NAME,
        SetupDiDestroyDeviceInfoList, SetupDiEnumDeviceInterfaces, SetupDiGetClassDevsW,
        SetupDiGetDeviceInterfaceDetailW, SetupDiGetDeviceRegistryPropertyW,
    },
    Foundation::{ERROR_MORE_DATA, INVALID_HANDLE_VALUE},
    Storage::FileSystem::{
        FindFirstVolumeW, FindNextVolumeW, FindVolumeClose, IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS,
    },
    System::{
        IO::DeviceIoControl,
        Ioctl::{
            FSCTL_DISMOUNT_VOLUME, FSCTL_LOCK_VOLUME, GUID_DEVINTERFACE_DISK, IOCTL_DISK_UPDATE_PROPERTIES,
            IOCTL_STORAGE_GET_DEVICE_NUMBER,
        },
    },
};

use super::extents;
use crate::failure::Failure;

/// A disk, open for questions only.
pub(crate) struct Device(File);

impl Device {
    /// The disk whose physical device object has the name that the driver gave.
    pub(crate) fn of(disk: &DiskEntry) -> Option<Self> {
        let name = disk.name.get(..disk.name_length as usize).filter(|name| !name.is_empty())?;
        let interfaces = Interfaces::of_disks()?;
        let path = (0..).map_while(|index| interfaces.get(index)).find_map(|(object, path)| {
            let is_it = object.as_slice() == name;
            path.filter(|_| is_it)
        })?;
        open(&OsString::from_wide(&path), false).ok().map(Self)
    }

    /// The volumes with an extent on it.
    pub(crate) fn volumes(&self) -> Result<Vec<Volume>, Failure> {
        // STORAGE_DEVICE_NUMBER: type, number, partition.
        let mut answer = [0; 12];
        ask(&self.0, IOCTL_STORAGE_GET_DEVICE_NUMBER, &mut answer).map_err(|source| Failure::Io {
            what: "find the number of",
            path: "the disk".into(),
            source,
        })?;
        let [_, _, _, _, number @ .., _, _, _, _] = answer;
        let number = u32::from_le_bytes(number);
        let on_it = Names::new().filter(|name| lies_on(name, number));
        on_it
            .map(|name| match open(name.as_ref(), true) {
                Ok(file) => Ok(Volume { name, file }),
                Err(source) => Err(Failure::Open { path: name.into(), source }),
            })
            .collect()
    }

    /// IOCTL_DISK_UPDATE_PROPERTIES.
    pub(crate) fn update_properties(&self) -> bool {
        ask(&self.0, IOCTL_DISK_UPDATE_PROPERTIES, &mut []).is_ok()
    }
}

/// A volume, open. Its lock, once taken, ends when it is dropped.
pub(crate) struct Volume {
    name: String,
    file: File,
}

impl Volume {
    /// `\\?\Volume{...}`
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Writes out what the file system keeps back, as far as it can; dismounting does so once more.
    pub(crate) fn flush(&self) {
        let _ = self.file.sync_all();
    }

    /// FSCTL_LOCK_VOLUME: fails while somebody else has a file open.
    pub(crate) fn lock(&self) -> io::Result<()> {
        ask(&self.file, FSCTL_LOCK_VOLUME, &mut []).map(drop)
    }

    /// FSCTL_DISMOUNT_VOLUME: files that are open fail from now on.
    pub(crate) fn dismount(&self) -> io::Result<()> {
        ask(&self.file, FSCTL_DISMOUNT_VOLUME, &mut []).map(drop)
    }
}

/// Whether the volume `name` has an extent on disk `number`. One that does not say (a CD drive, say) has none.
fn lies_on(name: &str, number: u32) -> bool {
    /// More than a volume of dynamic disks can have.
    const MOST: usize = 4096;
    let Ok(volume) = open(name.as_ref(), false) else { return false };
    let mut room = 16;
    while room <= MOST {
        let mut answer = vec![0; extents::FIRST + room * extents::SIZE];
        match ask(&volume, IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS, &mut answer) {
            Ok(length) => return extents::touch(answer.get(..length).unwrap_or(&[]), number),
            Err(error) if error.raw_os_error() == Some(ERROR_MORE_DATA.cast_signed()) => room *= 4,
            Err(_) => return false,
        }
    }
    false
}

/// Opens a device or volume, to read and write or for questions only; others may have it open too.
fn open(path: &std::ffi::OsStr, to_use: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    if to_use {
        options.read(true).write(true);
    } else {
        options.access_mode(0);
    }
    options.open(path)
}

fn ask(file: &File, code: u32, answer: &mut [u8]) -> io::Result<usize> {
    let mut written = 0;
    // SAFETY: an open handle, a buffer of the length given, no overlapped operation.
    let done = unsafe {
        DeviceIoControl(
            file.as_raw_handle().cast(),
            code,
            ptr::null(),
            0,
            answer.as_mut_ptr().cast(),
            answer.len() as u32,
            &raw mut written,
            ptr::null_mut(),
        )
    };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(written as usize) }
}

/// The system's volumes, by name.
struct Names {
    search: windows_sys::Win32::Foundation::HANDLE,
    next: Option<String>,
}

/// Units of a volume's name with its zero: `\\?\Volume{GUID}\` has 50.
const NAME_UNITS: usize = 64;

impl Names {
    fn new() -> Self {
        let mut name = [0; NAME_UNITS];
        // SAFETY: a buffer of the length given.
        let search = unsafe { FindFirstVolumeW(name.as_mut_ptr(), name.len() as u32) };
        let next = (search != INVALID_HANDLE_VALUE).then(|| volume_name(&name));
        Self { search, next }
    }
}

/// Up to the zero, and without the backslash that would make it the root directory.
fn volume_name(units: &[u16]) -> String {
    let units = units.split(|unit| *unit == 0).next().unwrap_or(&[]);
    String::from_utf16_lossy(units).trim_end_matches('\\').to_owned()
}

impl Iterator for Names {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let now = self.next.take()?;
        let mut name = [0; NAME_UNITS];
        // SAFETY: a search that has begun; a buffer of the length given.
        let more = unsafe { FindNextVolumeW(self.search, name.as_mut_ptr(), name.len() as u32) } != 0;
        self.next = more.then(|| volume_name(&name));
        Some(now)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        if self.search != INVALID_HANDLE_VALUE {
            // SAFETY: a search that has begun, ended once.
            unsafe { FindVolumeClose(self.search) };
        }
    }
}

/// The disks that are present, as SetupAPI lists them.
struct Interfaces(HDEVINFO);

impl Interfaces {
    fn of_disks() -> Option<Self> {
        let flags = DIGCF_PRESENT | DIGCF_DEVICEINTERFACE;
        // SAFETY: a GUID; no enumerator, no window.
        let set =
            unsafe { SetupDiGetClassDevsW(&GUID_DEVINTERFACE_DISK, ptr::null(), ptr::null_mut(), flags) };
        (set != INVALID_HANDLE_VALUE as HDEVINFO).then_some(Self(set))
    }

    /// The name of a disk's physical device object (empty if it has none), and the path to open it by. `None` behind
    /// the last one.
    fn get(&self, index: u32) -> Option<(Vec<u16>, Option<Vec<u16>>)> {
        let mut interface = SP_DEVICE_INTERFACE_DATA {
            cbSize: size_of::<SP_DEVICE_INTERFACE_DATA>() as u32,
            ..Default::default()
        };
        let mut device =
            SP_DEVINFO_DATA { cbSize: size_of::<SP_DEVINFO_DATA>() as u32, ..Default::default() };
        // In words, so that the structure in front is aligned. A path has at most 32767 units, in practice some 100.
        let mut detail = vec![0_u32; 1024];
        detail[0] = size_of::<SP_DEVICE_INTERFACE_DETAIL_DATA_W>() as u32;
        let mut name = [0_u16; 64];
        // SAFETY: a live set; structures and buffers of the sizes that they and the calls say.
        let (found, named) = unsafe {
            if SetupDiEnumDeviceInterfaces(
                self.0,
                ptr::null(),
                &GUID_DEVINTERFACE_DISK,
                index,
                &raw mut interface,
            ) == 0
            {
                return None;
            }
            let found = SetupDiGetDeviceInterfaceDetailW(
                self.0,
                &raw const interface,
                detail.as_mut_ptr().cast(),
                size_of_val(&detail[..]) as u32,
                ptr::null_mut(),
                &raw mut device,
            ) != 0;
            let named = found
                && SetupDiGetDeviceRegistryPropertyW(
                    self.0,
                    &raw const device,
                    SPDRP_PHYSICAL_DEVICE_OBJECT_NAME,
                    ptr::null_mut(),
                    name.as_mut_ptr().cast(),
                    size_of_val(&name) as u32,
                    ptr::null_mut(),
                ) != 0;
            (found, named)
        };
        // The path lies behind `cbSize`.
        let units = detail.iter().skip(1).flat_map(|word| [*word as u16, (*word >> 16) as u16]);
        let path = found.then(|| units.take_while(|unit| *unit != 0).collect());
        let name =
            if named { name.iter().copied().take_while(|unit| *unit != 0).collect() } else { Vec::new() };
        Some((name, path))
    }
}

impl Drop for Interfaces {
    fn drop(&mut self) {
        // SAFETY: a live set, given up once.
        unsafe { SetupDiDestroyDeviceInfoList(self.0) };
    }
}
