//! Why the driver refuses: one table for the driver, which answers with the NTSTATUS, and for the program, which
//! is told the Win32 error that Windows makes of it.

use crate::RequestError;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The key does not unwrap the slot.
    WrongKey,
    /// The slot is empty, damaged or of a kind that this driver does not know.
    NoSuchSlot,
    /// The key unwraps the slot, but the header has been tampered with.
    Tampered,
    /// No disk has this number (any more).
    NoSuchDisk,
    /// The disk is not in a state in which this can be done.
    WrongState,
    /// The disk is in use: a paging file lies on it.
    InUse,
    /// There is no such control code.
    Code,
    /// The message has the wrong length.
    Length,
    /// The message has another version.
    Version,
    /// The buffer for the answer is too small.
    NoRoom,
    /// Memory has run out.
    NoMemory,
    /// The volume is of a kind that this driver cannot host.
    Kind,
    /// The disk reports errors.
    Device,
    /// The volume's metadata is damaged.
    Damaged,
    /// The disk has no room for what opening must write.
    DiskFull,
    /// A key was given, and the volume is not encrypted.
    NotEncrypted,
    /// No key was given, and the volume is encrypted.
    Encrypted,
    /// The stage of another driver that the volume's data has passed is not registered.
    NoStage,
}

impl Refusal {
    /// Every refusal: the NTSTATUS (ntstatus.h) and the Win32 error that RtlNtStatusToDosError makes of it.
    const TABLE: [(Self, u32, u32); 18] = [
        (Self::WrongKey, 0xc000_006a, 86), // STATUS_WRONG_PASSWORD, ERROR_INVALID_PASSWORD
        (Self::NoSuchSlot, 0xc000_0225, 1168), // STATUS_NOT_FOUND, ERROR_NOT_FOUND
        (Self::Tampered, 0xc000_0032, 1393), // STATUS_DISK_CORRUPT_ERROR, ERROR_DISK_CORRUPT
        (Self::NoSuchDisk, 0xc000_0034, 2), // STATUS_OBJECT_NAME_NOT_FOUND, ERROR_FILE_NOT_FOUND
        (Self::WrongState, 0xc000_0184, 22), // STATUS_INVALID_DEVICE_STATE, ERROR_BAD_COMMAND
        (Self::InUse, 0x8000_0011, 170),   // STATUS_DEVICE_BUSY, ERROR_BUSY
        (Self::Code, 0xc000_0010, 1),      // STATUS_INVALID_DEVICE_REQUEST, ERROR_INVALID_FUNCTION
        (Self::Length, 0xc000_0004, 24),   // STATUS_INFO_LENGTH_MISMATCH, ERROR_BAD_LENGTH
        (Self::Version, 0xc000_0059, 1306), // STATUS_REVISION_MISMATCH, ERROR_REVISION_MISMATCH
        (Self::NoRoom, 0xc000_0023, 122),  // STATUS_BUFFER_TOO_SMALL, ERROR_INSUFFICIENT_BUFFER
        (Self::NoMemory, 0xc000_009a, 1450), // STATUS_INSUFFICIENT_RESOURCES, ERROR_NO_SYSTEM_RESOURCES
        (Self::Kind, 0xc000_00bb, 50),     // STATUS_NOT_SUPPORTED, ERROR_NOT_SUPPORTED
        (Self::Device, 0xc000_0185, 1117), // STATUS_IO_DEVICE_ERROR, ERROR_IO_DEVICE
        (Self::Damaged, 0xc000_0102, 1392), // STATUS_FILE_CORRUPT_ERROR, ERROR_FILE_CORRUPT
        (Self::DiskFull, 0xc000_007f, 112), // STATUS_DISK_FULL, ERROR_DISK_FULL
        (Self::NotEncrypted, 0xc000_0291, 6007), // STATUS_FILE_NOT_ENCRYPTED, ERROR_FILE_NOT_ENCRYPTED
        (Self::Encrypted, 0xc000_0293, 6002), // STATUS_FILE_ENCRYPTED, ERROR_FILE_ENCRYPTED
        (Self::NoStage, 0xc000_007a, 127), // STATUS_PROCEDURE_NOT_FOUND, ERROR_PROC_NOT_FOUND
    ];

    /// What the driver completes the IRP with. Not a warning or success: nothing is copied back to the caller.
    pub fn nt_status(self) -> i32 {
        let entry = Self::TABLE.iter().find(|entry| entry.0 == self);
        entry.map_or(0xc000_0001, |entry| entry.1) as i32 // STATUS_UNSUCCESSFUL cannot occur: see the test
    }

    /// The refusal behind what GetLastError answers.
    pub fn from_win32(error: u32) -> Option<Self> {
        Self::TABLE.iter().find(|entry| entry.2 == error).map(|entry| entry.0)
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Code => Self::Code,
            RequestError::Length => Self::Length,
            RequestError::Version => Self::Version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_own_status_and_error() {
        for (index, (refusal, status, error)) in Refusal::TABLE.into_iter().enumerate() {
            assert_eq!(refusal as usize, index, "the table misses one or has another order");
            assert_eq!(refusal.nt_status(), status as i32);
            assert_eq!(Refusal::from_win32(error), Some(refusal));
        }
        assert_eq!(Refusal::TABLE.len(), Refusal::NoStage as usize + 1);
        assert_eq!(Refusal::from_win32(5), None);
    }
}
