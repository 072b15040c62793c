//! `STOR_STATUS_*`: what StorPort's extended functions return.

/// A `ULONG` status. Values as in `storport.h`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorStatus(pub u32);

#[allow(missing_docs, reason = "each is the WDK's STOR_STATUS_ constant of the same name")]
impl StorStatus {
    pub const SUCCESS: Self = Self(0x0000_0000);
    pub const UNSUCCESSFUL: Self = Self(0xC100_0001);
    pub const NOT_IMPLEMENTED: Self = Self(0xC100_0002);
    pub const INSUFFICIENT_RESOURCES: Self = Self(0xC100_0003);
    pub const BUFFER_TOO_SMALL: Self = Self(0xC100_0004);
    pub const ACCESS_DENIED: Self = Self(0xC100_0005);
    pub const INVALID_PARAMETER: Self = Self(0xC100_0006);
    pub const INVALID_DEVICE_REQUEST: Self = Self(0xC100_0007);
    pub const INVALID_IRQL: Self = Self(0xC100_0008);
    pub const INVALID_DEVICE_STATE: Self = Self(0xC100_0009);
    pub const INVALID_BUFFER_SIZE: Self = Self(0xC100_000A);
    pub const UNSUPPORTED_VERSION: Self = Self(0xC100_000B);
    pub const BUSY: Self = Self(0xC100_000C);
    pub const THROTTLED_REQUEST: Self = Self(0xC100_000D);
    pub const TIMEOUT: Self = Self(0xC100_000E);
    pub const INVALID_DATA: Self = Self(0xC100_000F);
}
