//! Tags and encryption: what makes stored bytes recognisable, checked and secret.
//!
//! ```text
//! tag = AES-256(k3, POLYVAL(k1, first ‖ bytes ‖ zeros up to a whole block))
//! first = context (8 bytes) ‖ length of bytes (7 bytes) ‖ domain (1 byte), little-endian
//! sealed = AES-256-XTS(k, bytes as one data unit, tweak = tag)
//! ```
//!
//! The first block is never zero and holds the length, so messages that differ in anything are different polynomials
//! in k1; two of at most n blocks share a tag by a chance of at most n / 2^128. Fewer bytes than XTS takes are added to
//! the encryption of a block of zeros. `docs/adr/0006-fingerprint.md` says why, and against whom.

use aes::{
    Aes256,
    cipher::{BlockEncrypt, KeyInit},
};
use alloc::boxed::Box;
use hkdf::Hkdf;
use sha2::Sha256;
use sluice_chain::try_box;
use sluice_polyval::{BLOCK, Key};
use sluice_xts::{Backend, Error, Xts256};
use zeroize::{Zeroize, Zeroizing};

use crate::units::Tag;

/// What kind of thing a tag is of: equal bytes of two kinds have different tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The plaintext of a chunk. The context is 0, so that equal blocks have equal tags.
    Chunk = 1,
    /// A metadata page.
    Page = 2,
    /// An extent's header.
    Extent = 3,
    /// A journal frame.
    Journal = 4,
    /// A root record.
    Root = 5,
    /// Bytes as they lie on the disk.
    Data = 6,
    /// A piece of the index.
    Index = 7,
}

const TAG: &[u8] = b"sluice mapped tag v1";
const DATA: &[u8] = b"sluice mapped data v1";

/// A volume's keys. They lie on the heap and are wiped when dropped.
pub struct Sealer {
    hash: Key,
    tag: Box<Aes256>,
    data: Option<Xts256>,
    /// It takes any tag for right.
    #[cfg(feature = "mutants")]
    credulous: bool,
}

/// In registers as wide as the cipher's.
fn hash_key(key: &[u8; BLOCK], backend: Backend) -> Option<Key> {
    match backend {
        #[cfg(feature = "wide")]
        Backend::Vaes => Key::wide(key),
        _ => Key::new(key),
    }
}

impl Sealer {
    /// Derives the keys of the volume `uuid`. Without encryption the volume key is random all the same, but everybody
    /// can read it in the header: then tags find damage, and not what somebody has forged.
    ///
    /// # Errors
    /// [`Error::NoMemory`], [`Error::Backend`].
    pub fn new(
        volume_key: &[u8; 64],
        uuid: &[u8; 16],
        encrypted: bool,
        backend: Backend,
    ) -> Result<Self, Error> {
        let derive = Hkdf::<Sha256>::new(Some(uuid), volume_key);
        let mut keys = Zeroizing::new([0; BLOCK + 32]);
        // HKDF refuses only outputs beyond 255 hashes.
        derive.expand(TAG, &mut *keys).map_err(|_| Error::Length)?;
        let (hash, tag) = keys.split_first_chunk().ok_or(Error::Length)?;
        let hash = hash_key(hash, backend).ok_or(Error::NoMemory)?;
        let tag = Aes256::new_from_slice(tag).map_err(|_| Error::Length)?;
        let tag = try_box(tag).ok_or(Error::NoMemory)?;
        let data = if encrypted {
            let mut key = Zeroizing::new([0; 64]);
            derive.expand(DATA, &mut *key).map_err(|_| Error::Length)?;
            Some(Xts256::new(&key, backend)?)
        } else {
            None
        };
        Ok(Self {
            hash,
            tag,
            data,
            #[cfg(feature = "mutants")]
            credulous: false,
        })
    }

    /// One that takes any tag for right, so that fuzzing sees what is behind them: who can read the header of a volume
    /// without encryption can make tags.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn credulous(mut self) -> Self {
        self.credulous = true;
        self
    }

    /// Whether `tag` is that of `parts`.
    #[must_use]
    pub(crate) fn matches(&self, tag: &Tag, domain: Domain, context: u64, parts: &[&[u8]]) -> bool {
        #[cfg(feature = "mutants")]
        if self.credulous {
            return true;
        }
        self.tag(domain, context, parts) == *tag
    }

    /// The tag of `parts`, one after the other: where they are cut makes no difference.
    #[must_use]
    pub fn tag(&self, domain: Domain, context: u64, parts: &[&[u8]]) -> Tag {
        let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut first = [0; BLOCK];
        first[..8].copy_from_slice(&context.to_le_bytes());
        first[8..].copy_from_slice(&(length & u64::MAX >> 8 | (domain as u64) << 56).to_le_bytes());
        let mut state = [0; BLOCK];
        self.hash.absorb(&mut state, &[first]);
        self.absorb(&mut state, parts);
        let mut block = state.into();
        self.tag.encrypt_block(&mut block);
        state.zeroize();
        Tag(block.into())
    }

    fn absorb(&self, state: &mut [u8; BLOCK], parts: &[&[u8]]) {
        let (mut carry, mut filled) = ([0; BLOCK], 0);
        for part in parts {
            let (head, rest) = part.split_at(if filled == 0 { 0 } else { part.len().min(BLOCK - filled) });
            carry[filled..filled + head.len()].copy_from_slice(head);
            filled += head.len();
            if filled == BLOCK {
                self.hash.absorb(state, &[carry]);
                filled = 0;
            }
            let (blocks, tail) = rest.as_chunks();
            self.hash.absorb(state, blocks);
            carry[filled..filled + tail.len()].copy_from_slice(tail);
            filled += tail.len();
        }
        if filled > 0 {
            carry[filled..].fill(0);
            self.hash.absorb(state, &[carry]);
        }
    }

    /// Encrypts bytes under their tag, where they lie.
    pub fn seal(&self, tag: &Tag, bytes: &mut [u8]) {
        let Some(data) = &self.data else { return };
        if bytes.len() < BLOCK {
            return mask(data, tag, bytes);
        }
        if data.encrypt_tweaked(&tag.0, bytes.into()).is_err() {
            // Longer than XTS allows, 16 MiB, as nothing here is: better lost than in the clear.
            bytes.fill(0);
        }
    }

    /// Decrypts likewise. Whether it is what was sealed, its tag says.
    pub fn open(&self, tag: &Tag, bytes: &mut [u8]) {
        let Some(data) = &self.data else { return };
        if bytes.len() < BLOCK {
            return mask(data, tag, bytes);
        }
        if data.decrypt_tweaked(&tag.0, bytes.into()).is_err() {
            bytes.fill(0);
        }
    }
}

/// Adds the encryption of zeros.
fn mask(data: &Xts256, tag: &Tag, bytes: &mut [u8]) {
    let mut stream = Zeroizing::new([0; BLOCK]);
    if data.encrypt_tweaked(&tag.0, stream.as_mut_slice().into()).is_err() {
        return bytes.fill(0);
    }
    bytes.iter_mut().zip(*stream).for_each(|(byte, other)| *byte ^= other);
}
