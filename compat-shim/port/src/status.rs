//! NTSTATUS, as far as the port gives one.

/// An NTSTATUS.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NtStatus(pub u32);

#[allow(missing_docs, reason = "each is the WDK's STATUS_ constant of the same name")]
impl NtStatus {
    pub const SUCCESS: Self = Self(0x0000_0000);
    pub const UNSUCCESSFUL: Self = Self(0xC000_0001);
    pub const INFO_LENGTH_MISMATCH: Self = Self(0xC000_0004);
    pub const INVALID_PARAMETER: Self = Self(0xC000_000D);
    pub const NO_SUCH_DEVICE: Self = Self(0xC000_000E);
    pub const DEVICE_NOT_READY: Self = Self(0xC000_00A3);
    pub const REVISION_MISMATCH: Self = Self(0xC000_0059);
    pub const INSUFFICIENT_RESOURCES: Self = Self(0xC000_009A);
    pub const NOT_SUPPORTED: Self = Self(0xC000_00BB);
    pub const ADAPTER_HARDWARE_ERROR: Self = Self(0xC000_00C2);
    pub const INVALID_DEVICE_STATE: Self = Self(0xC000_0184);
    pub const DEVICE_CONFIGURATION_ERROR: Self = Self(0xC000_0182);

    /// Whether it is a success.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 < 0x8000_0000
    }

    /// `Ok` for a success.
    ///
    /// # Errors
    /// Itself, if it is none.
    pub const fn ok(self) -> Result<(), Self> {
        if self.is_success() { Ok(()) } else { Err(self) }
    }
}
