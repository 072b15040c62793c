//! The control device of the Windows driver.

use sluice_control::DiskEntry;
#[cfg(windows)]
use sluice_control::{DEVICE_PATH, Refusal, Statistics, code};

use crate::failure::Failure;
#[cfg(windows)]
pub(crate) use windows::Driver;

/// There is no driver here.
#[cfg(not(windows))]
pub(crate) struct Driver(std::convert::Infallible);

#[cfg(not(windows))]
impl Driver {
    pub(crate) fn open() -> Result<Self, Failure> {
        Err(Failure::NoDriver)
    }
    pub(crate) fn list(&self) -> Result<Vec<DiskEntry>, Failure> {
        match self.0 {}
    }
    pub(crate) fn header(&self, _disk: u32) -> Result<Box<[u8; sluice_control::HEADER_BYTES]>, Failure> {
        match self.0 {}
    }
    pub(crate) fn unlock(&self, _disk: u32, _slot: u32, _key: &[u8; 32]) -> Result<bool, Failure> {
        match self.0 {}
    }
    pub(crate) fn unlock_open(&self, _disk: u32) -> Result<(), Failure> {
        match self.0 {}
    }
    pub(crate) fn lock(&self, _disk: u32) -> Result<(), Failure> {
        match self.0 {}
    }
    pub(crate) fn statistics(&self, _disk: u32) -> Result<Box<sluice_control::Statistics>, Failure> {
        match self.0 {}
    }
}

/// The disk that people call `name`: a number, or a UUID. Without a name the only one in `state`.
pub(crate) fn find(driver: &Driver, name: Option<&str>, state: u32) -> Result<DiskEntry, Failure> {
    let Some(name) = name else {
        let mut disks: Vec<_> = driver.list()?.into_iter().filter(|disk| disk.state == state).collect();
        return match (disks.pop(), disks.len()) {
            (Some(disk), 0) => Ok(disk),
            (last, others) => Err(Failure::WhichDisk(others + usize::from(last.is_some()))),
        };
    };
    let number = name.parse().ok();
    let wanted = name.to_ascii_lowercase();
    let is_it = |disk: &DiskEntry| Some(disk.id) == number || crate::output::uuid(&disk.uuid) == wanted;
    driver.list()?.into_iter().find(is_it).ok_or_else(|| Failure::NoSuchDisk(name.into()))
}

#[cfg(windows)]
mod windows {
    use std::{fs::File, io, os::windows::io::AsRawHandle, ptr};

    use sluice_control::{DiskRequest, HEADER_BYTES, UnlockRequest, entries};
    use windows_sys::Win32::System::IO::DeviceIoControl;
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;

    /// The driver's control device, open.
    pub(crate) struct Driver(File);

    impl Driver {
        /// Opens it; takes an administrator.
        pub(crate) fn open() -> Result<Self, Failure> {
            let opened = std::fs::OpenOptions::new().read(true).write(true).open(DEVICE_PATH);
            opened.map(Self).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => Failure::NoDriver,
                _ => Failure::Open { path: DEVICE_PATH.into(), source },
            })
        }

        /// The disks that the driver filters.
        pub(crate) fn list(&self) -> Result<Vec<DiskEntry>, Failure> {
            let mut room = 16;
            loop {
                let mut answer = vec![0; 16 + room * size_of::<DiskEntry>()];
                let length = self.ask(code::LIST, &[], &mut answer)?;
                let (total, disks) = entries(answer.get(..length).unwrap_or(&[])).ok_or_else(|| {
                    Failure::Driver("it speaks another version; update the driver or sluice".into())
                })?;
                let disks: Vec<_> = disks.collect();
                if disks.len() >= total as usize {
                    return Ok(disks);
                }
                room = total as usize + 4;
            }
        }

        /// A disk's header.
        pub(crate) fn header(&self, disk: u32) -> Result<Box<[u8; HEADER_BYTES]>, Failure> {
            let mut answer = Box::new([0; HEADER_BYTES]);
            self.ask(code::READ_HEADER, DiskRequest::new(disk).as_bytes(), &mut answer[..])?;
            Ok(answer)
        }

        /// Tries a slot's key; `false` if it is not the slot's.
        pub(crate) fn unlock(&self, disk: u32, slot: u32, key: &[u8; 32]) -> Result<bool, Failure> {
            let request = UnlockRequest::new(disk, slot, *key);
            match self.try_ask(code::UNLOCK, request.as_bytes(), &mut []) {
                Ok(_) => Ok(true),
                Err(error) if refusal(&error) == Some(Refusal::WrongKey) => Ok(false),
                Err(error) if refusal(&error) == Some(Refusal::Tampered) => Err(Failure::Tampered),
                Err(error) => Err(failure(error)),
            }
        }

        /// Unlocks a disk that is not encrypted.
        pub(crate) fn unlock_open(&self, disk: u32) -> Result<(), Failure> {
            match self.try_ask(code::UNLOCK_OPEN, DiskRequest::new(disk).as_bytes(), &mut []) {
                Err(error) if refusal(&error) == Some(Refusal::Tampered) => Err(Failure::Tampered),
                done => done.map(drop).map_err(failure),
            }
        }

        /// Locks a disk.
        pub(crate) fn lock(&self, disk: u32) -> Result<(), Failure> {
            self.ask(code::LOCK, DiskRequest::new(disk).as_bytes(), &mut []).map(drop)
        }

        /// A disk's counters.
        pub(crate) fn statistics(&self, disk: u32) -> Result<Box<Statistics>, Failure> {
            let mut answer = Box::new(Statistics::new_zeroed());
            self.ask(code::STATISTICS, DiskRequest::new(disk).as_bytes(), answer.as_mut_bytes())?;
            if answer.version == sluice_control::VERSION {
                Ok(answer)
            } else {
                Err(Failure::Driver("it speaks another version; update the driver or sluice".into()))
            }
        }

        fn ask(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Failure> {
            self.try_ask(code, input, output).map_err(failure)
        }

        fn try_ask(&self, code: u32, input: &[u8], output: &mut [u8]) -> io::Result<usize> {
            let mut written = 0;
            // SAFETY: an open handle, buffers of the lengths given, no overlapped operation.
            let done = unsafe {
                DeviceIoControl(
                    self.0.as_raw_handle().cast(),
                    code,
                    input.as_ptr().cast(),
                    input.len() as u32,
                    output.as_mut_ptr().cast(),
                    output.len() as u32,
                    &raw mut written,
                    ptr::null_mut(),
                )
            };
            if done == 0 { Err(io::Error::last_os_error()) } else { Ok(written as usize) }
        }
    }

    fn refusal(error: &io::Error) -> Option<Refusal> {
        error.raw_os_error().and_then(|code| Refusal::from_win32(code.cast_unsigned()))
    }

    fn failure(error: io::Error) -> Failure {
        Failure::Driver(match refusal(&error) {
            Some(Refusal::WrongState) => "the disk is not in a state in which this can be done".into(),
            Some(Refusal::InUse) => "a page file lies on the disk".into(),
            Some(Refusal::NoSuchDisk) => "the disk has gone".into(),
            Some(Refusal::NoMemory) => "memory has run out".into(),
            Some(Refusal::Kind) => "it cannot host this volume on this disk".into(),
            Some(Refusal::Device) => {
                "the disk reports errors where the volume's root, journal or map lies".into()
            }
            Some(Refusal::Damaged) => "the volume's metadata is damaged; `sluice check` says where".into(),
            Some(Refusal::DiskFull) => "the disk has no room for what opening the volume must write".into(),
            Some(Refusal::NotEncrypted) => "the volume is not encrypted: leave the key out".into(),
            Some(Refusal::Encrypted) => "the volume is encrypted: it takes a key".into(),
            Some(Refusal::NoStage) => {
                "the volume's data has passed a stage of another driver, which is not registered".into()
            }
            Some(Refusal::Version | Refusal::Code | Refusal::Length) => {
                "it speaks another version; update the driver or sluice".into()
            }
            _ => error.to_string(),
        })
    }
}
