//! A device as recovery, checking and formatting use it: one thing after the other.

use crate::io::DeviceError;

/// A device that answers at once. Offsets and lengths are multiples of its sector.
pub trait Disk {
    /// Fills `buffer`.
    ///
    /// # Errors
    /// The device could not read it.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError>;

    /// Writes `buffer`. Not durable before [`Self::flush`].
    ///
    /// # Errors
    /// The device could not write it.
    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError>;

    /// Makes every write so far durable.
    ///
    /// # Errors
    /// The device could not.
    fn flush(&mut self) -> Result<(), DeviceError>;

    /// Is told that a range's contents are no longer needed.
    ///
    /// # Errors
    /// It cannot do anything with that. It is not told again.
    fn discard(&mut self, _offset: u64, _length: u64) -> Result<(), DeviceError> {
        Err(DeviceError)
    }
}
