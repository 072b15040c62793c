//! What opens a volume.
//!
//! ```text
//!   secret ──Argon2id──► 32 bytes ──HKDF(uuid, slot)──► Kek ──AES-256-KW──► VolumeKey
//!                                                                            ├─ data key, tweak key
//!                                                                            └─HKDF(purpose)─► header MAC, ...
//! ```

#[cfg(feature = "kdf")]
mod kdf;
mod recovery;

use aes_kw::KekAes256;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

use crate::format::RawHeader;

#[cfg(feature = "kdf")]
pub use kdf::{KdfError, derive_kek, key_file_secret};
pub use recovery::{RECOVERY_TEXT, RecoveryCode};

/// The key of a volume: the data key, then the tweak key. Wiped when dropped; never shown, never copied.
pub struct VolumeKey([u8; 64]);

impl VolumeKey {
    /// Zeros, to be filled by [`crate::format::Header::unlock`].
    pub const fn zeroed() -> Self {
        Self([0; 64])
    }

    /// A new key of the caller's random bytes, which are wiped.
    pub fn from_random(bytes: &mut [u8; 64]) -> Self {
        let key = Self(*bytes);
        bytes.zeroize();
        key
    }

    /// The bytes, for the cipher.
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// Makes it zeros.
    pub fn wipe(&mut self) {
        self.0.zeroize();
    }
}

impl Drop for VolumeKey {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// The key that wraps the volume key in one slot. Wiped when dropped; never shown.
pub struct Kek([u8; 32]);

impl Kek {
    /// The key as derived, or as it came from a program. The given bytes are wiped.
    pub fn from_bytes(bytes: &mut [u8; 32]) -> Self {
        let kek = Self(*bytes);
        bytes.zeroize();
        kek
    }

    /// The bytes, to hand to the driver.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Kek {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Why a slot does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Nothing is in it.
    EmptySlot,
    /// The secret is not this slot's.
    WrongKey,
    /// The slot opens, but the header is not the one that was written with this key.
    Tampered,
}

/// Wraps the volume key (RFC 3394).
pub(crate) fn wrap(kek: &Kek, key: &VolumeKey) -> [u8; 72] {
    let mut wrapped = [0; 72];
    // Fails only for lengths that do not fit each other, and these do.
    let result = KekAes256::try_from(&kek.0[..]).and_then(|kek| kek.wrap(&key.0, &mut wrapped));
    debug_assert!(result.is_ok());
    wrapped
}

/// Unwraps the volume key. Apart, as the next: their schedules together would be much of a kernel stack.
#[inline(never)]
pub(crate) fn unwrap(kek: &Kek, wrapped: &[u8; 72], key: &mut VolumeKey) -> Result<(), KeyError> {
    // From the slice, so that no copy of the key is made on the way.
    KekAes256::try_from(&kek.0[..])
        .and_then(|kek| kek.unwrap(wrapped, &mut key.0))
        .map_err(|_| KeyError::WrongKey)
}

/// The header's MAC.
#[inline(never)]
pub(crate) fn header_mac(key: &VolumeKey, raw: &RawHeader) -> [u8; 32] {
    let mut mac_key = subkey(&key.0, &raw.uuid, &[b"sluice header mac v1"]);
    // HMAC takes keys of any length.
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(&mac_key) else { return [0; 32] };
    mac_key.zeroize();
    raw.each_part(&mut |part| mac.update(part), true);
    mac.finalize().into_bytes().into()
}

/// A key for one purpose (HKDF-SHA256, RFC 5869).
pub(crate) fn subkey(secret: &[u8], salt: &[u8; 16], purpose: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    // Fails only for more than 255 * 32 bytes.
    let result = Hkdf::<Sha256>::new(Some(salt), secret).expand_multi_info(purpose, &mut out);
    debug_assert!(result.is_ok());
    out
}
