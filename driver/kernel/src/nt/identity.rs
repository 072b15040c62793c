//! What the PnP manager knows of a device, and the settings that its INF has put into the registry.

use core::{
    mem::{offset_of, size_of},
    ptr::{self, NonNull},
};

use wdk_sys::{
    DEVICE_OBJECT, HANDLE, KEY_READ, KEY_VALUE_PARTIAL_INFORMATION, PLUGPLAY_REGKEY_DEVICE, REG_DWORD,
    UNICODE_STRING,
    ntddk::{IoGetDeviceProperty, IoOpenDeviceRegistryKey, ZwClose, ZwQueryValueKey},
};

use super::{irql::Passive, is_success};

/// Longest property that is looked at, in UTF-16 units. A list of hardware identifiers is cut there.
const ROOM: usize = 256;

/// A string or a list of strings.
pub(crate) struct Text {
    units: [u16; ROOM],
    length: usize,
}

impl Text {
    /// Whether one of its strings is `wanted`, whatever the case.
    pub(crate) fn has(&self, wanted: &str) -> bool {
        let units = self.units.get(..self.length).unwrap_or(&[]);
        units.split(|unit| *unit == 0).any(|one| {
            one.len() == wanted.len()
                && one.iter().zip(wanted.bytes()).all(|(unit, byte)| {
                    u8::try_from(*unit).is_ok_and(|unit| unit.eq_ignore_ascii_case(&byte))
                })
        })
    }
}

/// A property of `pdo` (`DEVICE_REGISTRY_PROPERTY`) that is text; `None` if it has none, or a longer one than there is
/// room for.
///
/// # Safety
/// `pdo` is a live physical device object.
pub(crate) unsafe fn property(pdo: NonNull<DEVICE_OBJECT>, which: i32, _: Passive<'_>) -> Option<Text> {
    let (mut text, mut bytes) = (Text { units: [0; ROOM], length: 0 }, 0);
    // SAFETY: the caller's contract; PASSIVE_LEVEL by the token; a buffer of the length given.
    let status = unsafe {
        let room = size_of::<[u16; ROOM]>() as u32;
        IoGetDeviceProperty(pdo.as_ptr(), which, room, text.units.as_mut_ptr().cast(), &raw mut bytes)
    };
    text.length = (bytes as usize / size_of::<u16>()).min(ROOM);
    is_success(status).then_some(text)
}

/// A property of `pdo` that is a number.
///
/// # Safety
/// `pdo` is a live physical device object.
pub(crate) unsafe fn number(pdo: NonNull<DEVICE_OBJECT>, which: i32, _: Passive<'_>) -> Option<u32> {
    let (mut value, mut bytes) = (0u32, 0);
    // SAFETY: the caller's contract; PASSIVE_LEVEL by the token; a buffer of the length given.
    let status = unsafe {
        let room = size_of::<u32>() as u32;
        IoGetDeviceProperty(pdo.as_ptr(), which, room, (&raw mut value).cast(), &raw mut bytes)
    };
    (is_success(status) && bytes as usize == size_of::<u32>()).then_some(value)
}

/// The device's own key (`HKR` of an INF's `.HW` section), for as long as it is read.
pub(crate) struct Settings(Option<HANDLE>);

impl Settings {
    /// Opens it. A device without one has no settings.
    ///
    /// # Safety
    /// `pdo` is a live physical device object.
    pub(crate) unsafe fn of(pdo: NonNull<DEVICE_OBJECT>, _: Passive<'_>) -> Self {
        let mut key: HANDLE = ptr::null_mut();
        // SAFETY: the caller's contract; PASSIVE_LEVEL by the token.
        let status =
            unsafe { IoOpenDeviceRegistryKey(pdo.as_ptr(), PLUGPLAY_REGKEY_DEVICE, KEY_READ, &raw mut key) };
        Self(is_success(status).then_some(key))
    }

    /// A REG_DWORD.
    pub(crate) fn number(&self, name: &mut UNICODE_STRING) -> Option<u32> {
        const PARTIAL: i32 = wdk_sys::_KEY_VALUE_INFORMATION_CLASS::KeyValuePartialInformation;
        const LENGTH: usize = offset_of!(KEY_VALUE_PARTIAL_INFORMATION, Data) + size_of::<u32>();
        let (key, mut answer, mut length) = (self.0?, [0u32; LENGTH / 4], 0);
        // SAFETY: an open key; the name is valid, the buffer has the length given. PASSIVE_LEVEL, as it was opened there.
        let status = unsafe {
            let into = answer.as_mut_ptr().cast();
            ZwQueryValueKey(key, name, PARTIAL, into, LENGTH as u32, &raw mut length)
        };
        // TitleIndex, Type, DataLength, Data.
        let [_, kind, bytes, value] = answer;
        (is_success(status) && kind == REG_DWORD && bytes == size_of::<u32>() as u32).then_some(value)
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        if let Some(key) = self.0 {
            // SAFETY: opened by `of`, closed once; PASSIVE_LEVEL, as it was opened there.
            let _ = unsafe { ZwClose(key) };
        }
    }
}
