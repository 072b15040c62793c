//! A miniport's parameters, below its service's key: `Parameters\Device` for all of its adapters, `Parameters\Device<n>`
//! for one; and what is below its adapter's hardware key. A key that is not there is not made. PASSIVE_LEVEL, all of it.

use core::{
    mem::{offset_of, size_of},
    ptr,
};

use sluice_port::services::{RegistryError, RegistryKey};
use wdk_sys::{
    HANDLE, KEY_READ, KEY_VALUE_PARTIAL_INFORMATION, KEY_WRITE, NTSTATUS, OBJ_CASE_INSENSITIVE,
    OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, PLUGPLAY_REGKEY_DEVICE, STATUS_BUFFER_OVERFLOW,
    STATUS_BUFFER_TOO_SMALL, UNICODE_STRING,
    ntddk::{IoOpenDeviceRegistryKey, ZwClose, ZwOpenKey, ZwQueryValueKey, ZwSetValueKey},
};

use super::adapter::Host;
use crate::nt::is_success;

/// Longest path and longest name, in UTF-16 units.
const PATH: usize = 300;
const NAME: usize = 64;
/// Longest value, in bytes: a kibibyte of text.
const VALUE: usize = 2048;
const REG_SZ: u32 = 1;
const REG_MULTI_SZ: u32 = 7;

/// UTF-16 in the making.
struct Text<const N: usize> {
    units: [u16; N],
    length: usize,
}

impl<const N: usize> Text<N> {
    const fn new() -> Self {
        Self { units: [0; N], length: 0 }
    }

    fn push(&mut self, unit: u16) -> Option<()> {
        *self.units.get_mut(self.length)? = unit;
        self.length += 1;
        Some(())
    }

    fn ascii(&mut self, text: &[u8]) -> Option<()> {
        text.iter().try_for_each(|byte| self.push(u16::from(*byte)))
    }

    fn counted(&mut self) -> UNICODE_STRING {
        let bytes = (self.length * size_of::<u16>()) as u16;
        UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: self.units.as_mut_ptr() }
    }
}

/// Where a key lies, from the hardware key on for those below that. `None`: too long a path.
fn path(host: &Host, key: RegistryKey<'_>) -> Option<Text<PATH>> {
    let mut path = Text::new();
    if let RegistryKey::Hardware(name) = key {
        return path.ascii(name).map(|()| path);
    }
    host.linked.path.iter().try_for_each(|unit| path.push(*unit))?;
    path.ascii(b"\\Parameters\\Device")?;
    match key {
        RegistryKey::AllAdapters | RegistryKey::Hardware(_) => {}
        RegistryKey::Adapter => {
            let digits = [host.number / 100, host.number / 10 % 10, host.number % 10];
            let skip = digits.iter().take(2).take_while(|digit| **digit == 0).count();
            digits.iter().skip(skip).try_for_each(|digit| path.push(u16::from(b'0' + digit)))?;
        }
    }
    Some(path)
}

/// A key, while it is open.
struct Key(HANDLE);

impl Key {
    fn open(host: &Host, key: RegistryKey<'_>, access: u32) -> Option<Self> {
        let mut path = path(host, key)?;
        let mut name = path.counted();
        let root = if matches!(key, RegistryKey::Hardware(_)) { Some(Self::hardware(host)?) } else { None };
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
            RootDirectory: root.as_ref().map_or(ptr::null_mut(), |root| root.0),
            ObjectName: &raw mut name,
            Attributes: OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE,
            ..OBJECT_ATTRIBUTES::default()
        };
        let mut key: HANDLE = ptr::null_mut();
        // SAFETY: PASSIVE_LEVEL by contract; name and attributes live until it returns.
        let status = unsafe { ZwOpenKey(&raw mut key, access, &raw mut attributes) };
        is_success(status).then_some(Self(key))
    }

    fn hardware(host: &Host) -> Option<Self> {
        let ([_, physical, _], mut key) = (host.devices, ptr::null_mut());
        // SAFETY: attached, so the physical device is there; PASSIVE_LEVEL by contract.
        let status = unsafe {
            IoOpenDeviceRegistryKey(physical.as_ptr(), PLUGPLAY_REGKEY_DEVICE, KEY_READ, &raw mut key)
        };
        is_success(status).then_some(Self(key))
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: opened, and closed once.
        let _ = unsafe { ZwClose(self.0) };
    }
}

/// `KEY_VALUE_PARTIAL_INFORMATION` with room behind it.
#[repr(C, align(8))]
struct Answer([u8; offset_of!(KEY_VALUE_PARTIAL_INFORMATION, Data) + VALUE]);

/// See [`sluice_port::services::Services::read_registry`]. Not inlined: the answer takes 2 KiB of stack.
#[inline(never)]
pub(super) fn read(
    host: &Host,
    key: RegistryKey<'_>,
    name: &[u8],
    kind: u32,
    data: &mut [u8],
) -> Result<u32, RegistryError> {
    const DATA: usize = offset_of!(KEY_VALUE_PARTIAL_INFORMATION, Data);
    const PARTIAL: i32 = wdk_sys::_KEY_VALUE_INFORMATION_CLASS::KeyValuePartialInformation;
    let key = Key::open(host, key, KEY_READ).ok_or(RegistryError::NotFound)?;
    let mut text = Text::<NAME>::new();
    text.ascii(name).ok_or(RegistryError::NotFound)?;
    let (mut answer, mut length) = (Answer([0; DATA + VALUE]), 0);
    // SAFETY: an open key; name and buffer live until it returns. PASSIVE_LEVEL by contract.
    let status: NTSTATUS = unsafe {
        let (place, room) = (answer.0.as_mut_ptr().cast(), answer.0.len() as u32);
        ZwQueryValueKey(key.0, &mut text.counted(), PARTIAL, place, room, &raw mut length)
    };
    if matches!(status, STATUS_BUFFER_OVERFLOW | STATUS_BUFFER_TOO_SMALL) {
        return Err(RegistryError::Failed);
    }
    let word = |at: usize| {
        answer.0.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_le_bytes(*word))
    };
    let (is, bytes) = (word(4), word(8) as usize);
    let value = answer.0.get(DATA..).and_then(|data| data.get(..bytes)).unwrap_or(&[]);
    if !is_success(status) || is != kind {
        return Err(RegistryError::NotFound);
    }
    let is_text = matches!(kind, REG_SZ | REG_MULTI_SZ);
    let wanted = if is_text { value.len() / 2 } else { value.len() };
    let room = data.get_mut(..wanted).ok_or(RegistryError::TooSmall(wanted as u32))?;
    let step = if is_text { 2 } else { 1 };
    for (to, from) in room.iter_mut().zip(value.iter().step_by(step)) {
        *to = *from;
    }
    Ok(wanted as u32)
}

/// See [`sluice_port::services::Services::write_registry`].
#[inline(never)]
pub(super) fn write(
    host: &Host,
    key: RegistryKey<'_>,
    name: &[u8],
    kind: u32,
    data: &[u8],
) -> Result<(), RegistryError> {
    let key = Key::open(host, key, KEY_WRITE).ok_or(RegistryError::Failed)?;
    let mut text = Text::<NAME>::new();
    text.ascii(name).ok_or(RegistryError::Failed)?;
    let (mut wide, mut bytes) = ([0u8; VALUE], data.len());
    let step = if matches!(kind, REG_SZ | REG_MULTI_SZ) { 2 } else { 1 };
    bytes = bytes.checked_mul(step).filter(|bytes| *bytes <= VALUE).ok_or(RegistryError::Failed)?;
    for (to, from) in wide.iter_mut().step_by(step).zip(data) {
        *to = *from;
    }
    // SAFETY: an open key; name and data live until it returns. PASSIVE_LEVEL by contract.
    let status =
        unsafe { ZwSetValueKey(key.0, &mut text.counted(), 0, kind, wide.as_mut_ptr().cast(), bytes as u32) };
    if is_success(status) { Ok(()) } else { Err(RegistryError::Failed) }
}
