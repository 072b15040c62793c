//! From a secret to a slot's unwrapping key. User mode only: it is meant to be slow and to take much memory.

use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::format::RawSlot;

use super::{Kek, subkey};

/// Why nothing was derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KdfError {
    /// The slot names a derivation that this version does not know, or a cost that Argon2id does not allow.
    Parameters,
    /// Not enough memory for the slot's cost.
    NoMemory,
}

/// Derives the unwrapping key of slot `index` of volume `uuid`, at the cost that `slot` records. Takes as long
/// as that says.
///
/// # Errors
/// See [`KdfError`].
pub fn derive_kek(secret: &[u8], slot: &RawSlot, uuid: &[u8; 16], index: usize) -> Result<Kek, KdfError> {
    const ARGON2ID: u32 = 1;
    let (memory, passes, lanes) = (slot.memory_kib.get(), slot.iterations.get(), slot.lanes.get());
    // A header may come from anywhere: 4 GiB, 64 passes and 64 lanes are more than we ever choose.
    let sane = memory <= 4 << 20 && passes <= 64 && lanes <= 64;
    if slot.kdf.get() != ARGON2ID || !sane {
        return Err(KdfError::Parameters);
    }
    let params = Params::new(memory, passes, lanes, Some(32)).map_err(|_| KdfError::Parameters)?;
    let mut blocks = alloc::vec::Vec::new();
    blocks.try_reserve_exact(params.block_count()).map_err(|_| KdfError::NoMemory)?;
    blocks.resize(params.block_count(), argon2::Block::new());
    let mut derived = [0; 32];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let result = argon2.hash_password_into_with_memory(secret, &slot.salt, &mut derived, &mut blocks[..]);
    for block in &mut blocks {
        AsMut::<[u64]>::as_mut(block).zeroize();
    }
    result.map_err(|_| KdfError::Parameters)?;
    let mut kek = subkey(&derived, uuid, &[b"sluice key slot v1", &[index as u8]]);
    derived.zeroize();
    Ok(Kek::from_bytes(&mut kek))
}

/// The secret of a key file: its contents, hashed so that a file of any length will do.
pub fn key_file_secret(contents: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"sluice key file v1");
    hash.update(contents);
    hash.finalize().into()
}
