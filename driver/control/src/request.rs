//! What callers send.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
use zeroize::Zeroize;

use crate::{VERSION, code};

/// Names a disk.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct DiskRequest {
    /// [`VERSION`].
    pub version: u32,
    /// The number that the driver has given it ([`crate::DiskEntry::id`]).
    pub disk: u32,
}

impl DiskRequest {
    /// About disk number `disk`.
    #[must_use]
    pub const fn new(disk: u32) -> Self {
        Self { version: VERSION, disk }
    }
}

/// Brings the key of one key slot. Wiped when dropped; never shown.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct UnlockRequest {
    /// [`VERSION`].
    pub version: u32,
    /// The disk's number.
    pub disk: u32,
    /// The key slot, 0 to 7.
    pub slot: u32,
    /// Zero.
    pub reserved: u32,
    /// The slot's unwrapping key.
    pub key: [u8; 32],
}

const _: () = assert!(size_of::<DiskRequest>() == 8 && size_of::<UnlockRequest>() == 48);

impl UnlockRequest {
    /// Unlocks disk `disk` with slot `slot`.
    #[must_use]
    pub const fn new(disk: u32, slot: u32, key: [u8; 32]) -> Self {
        Self { version: VERSION, disk, slot, reserved: 0, key }
    }
}

impl Drop for UnlockRequest {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl core::fmt::Debug for UnlockRequest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("UnlockRequest")
            .field("disk", &self.disk)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

/// A request that has been understood.
#[derive(Debug)]
pub enum Request {
    /// [`code::LIST`].
    List,
    /// [`code::READ_HEADER`] of a disk.
    ReadHeader(u32),
    /// [`code::UNLOCK`].
    Unlock(UnlockRequest),
    /// [`code::UNLOCK_OPEN`] of a disk.
    UnlockOpen(u32),
    /// [`code::LOCK`] of a disk.
    Lock(u32),
    /// [`code::STATISTICS`] of a disk.
    Statistics(u32),
}

/// Why a request is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// No such control code.
    Code,
    /// The input is not as long as the code's structure.
    Length,
    /// The structure is of another version.
    Version,
}

impl Request {
    /// Understands the input of control code `code`. Total.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn parse(code: u32, input: &[u8]) -> Result<Self, RequestError> {
        match code {
            code::LIST if input.is_empty() => Ok(Self::List),
            code::LIST => Err(RequestError::Length),
            code::READ_HEADER => disk(input).map(Self::ReadHeader),
            code::UNLOCK_OPEN => disk(input).map(Self::UnlockOpen),
            code::LOCK => disk(input).map(Self::Lock),
            code::STATISTICS => disk(input).map(Self::Statistics),
            code::UNLOCK => {
                let request = UnlockRequest::read_from_bytes(input).map_err(|_| RequestError::Length)?;
                if request.version != VERSION {
                    return Err(RequestError::Version);
                }
                Ok(Self::Unlock(request))
            }
            _ => Err(RequestError::Code),
        }
    }
}

fn disk(input: &[u8]) -> Result<u32, RequestError> {
    let request = DiskRequest::read_from_bytes(input).map_err(|_| RequestError::Length)?;
    if request.version == VERSION { Ok(request.disk) } else { Err(RequestError::Version) }
}
