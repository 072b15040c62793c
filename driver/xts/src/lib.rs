//! AES-256-XTS (IEEE 1619-2018) over memory that others may change.
//!
//! A *data unit* is the stretch of bytes that one tweak covers: here a sector. Units are numbered from 0 and the
//! number, as a 128-bit little-endian integer, is the tweak before encryption (clause 5.1).
//!
//! ```text
//!   lib        which backend, arguments checked, units one after the other
//!   unit       one data unit: whole blocks, then ciphertext stealing (5.3.2) for a partial one
//!   aesni      x86-64 AES instructions on XMM registers, allowed in kernel mode at any time: keys, first tweaks
//!   xmm        the same: the blocks
//!   vaes       512-bit vectors (feature `vaes`): four blocks an instruction
//!   portable   the `aes` crate: constant-time without AES instructions, or the target's own
//!   stack      wiping what a key left there
//! ```
//!
//! Nothing here branches on, or indexes by, key or data. Expanded keys lie on the heap and are wiped
//! when dropped, so that moving a cipher leaves no copy behind; where they were made on the stack, it is wiped.
#![no_std]

extern crate alloc;

#[cfg(target_arch = "x86_64")]
mod aesni;
mod portable;
mod stack;
mod unit;
#[cfg(all(target_arch = "x86_64", feature = "vaes"))]
mod vaes;
#[cfg(target_arch = "x86_64")]
mod xmm;

#[cfg(target_arch = "x86_64")]
use alloc::boxed::Box;

use sluice_chain::{
    bytes::{Source, Target},
    try_box,
};

pub use stack::wipe_stack;

/// A block of AES.
pub(crate) const BLOCK: usize = 16;

/// Longest data unit: 2^20 blocks (IEEE 1619-2018 5.1).
pub const MAX_UNIT: usize = BLOCK << 20;

/// What does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The `aes` crate. Constant-time on any processor.
    Portable,
    /// AES instructions on XMM registers.
    AesNi,
    /// AES instructions on ZMM registers. In kernel mode only while the extended state is saved.
    Vaes,
}

impl Backend {
    /// The best that touches no register beyond XMM: what a kernel may use at any time.
    #[must_use]
    pub fn detect_xmm() -> Self {
        #[cfg(target_arch = "x86_64")]
        if aesni::available() {
            return Self::AesNi;
        }
        Self::Portable
    }

    /// The best that this program has been built with and this machine can run. User mode.
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(all(target_arch = "x86_64", feature = "vaes"))]
        if vaes::available() {
            return Self::Vaes;
        }
        Self::detect_xmm()
    }
}

/// Why a cipher could not be made, or did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Both halves of the key are equal (refused as FIPS 140 demands: XTS is then weaker).
    EqualHalves,
    /// This processor, or this build, lacks the backend.
    Backend,
    /// Memory has run out.
    NoMemory,
    /// The unit is shorter than a block or longer than [`MAX_UNIT`].
    Unit,
    /// Source and target differ in length, or it is no whole number of units, or the unit numbers overflow.
    Length,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Encrypt,
    Decrypt,
}

/// AES-256-XTS with one key.
pub struct Xts256 {
    keys: Keys,
}

enum Keys {
    Portable(portable::Keys),
    #[cfg(target_arch = "x86_64")]
    AesNi(Box<aesni::Keys>),
    #[cfg(all(target_arch = "x86_64", feature = "vaes"))]
    Vaes(Box<vaes::Keys>),
}

impl Xts256 {
    /// A cipher for `key`: the data key, then the tweak key, 32 bytes each.
    ///
    /// # Errors
    /// [`Error::EqualHalves`], [`Error::Backend`], [`Error::NoMemory`].
    pub fn new(key: &[u8; 64], backend: Backend) -> Result<Self, Error> {
        let (halves, _) = key.as_chunks::<32>();
        let [data, tweak] = halves else { return Err(Error::Backend) };
        let difference = data.iter().zip(tweak).fold(0, |all, (a, b)| all | (a ^ b));
        if difference == 0 {
            return Err(Error::EqualHalves);
        }
        let keys = match backend {
            Backend::Portable => Keys::Portable(portable::Keys::new(data, tweak).ok_or(Error::NoMemory)?),
            #[cfg(target_arch = "x86_64")]
            Backend::AesNi if aesni::available() => {
                let mut keys = try_box(aesni::Keys::zeroed()).ok_or(Error::NoMemory)?;
                keys.expand(data, tweak);
                Keys::AesNi(keys)
            }
            #[cfg(all(target_arch = "x86_64", feature = "vaes"))]
            Backend::Vaes if vaes::available() => {
                let mut keys = try_box(vaes::Keys::zeroed()).ok_or(Error::NoMemory)?;
                keys.expand(data, tweak);
                Keys::Vaes(keys)
            }
            _ => return Err(Error::Backend),
        };
        Ok(Self { keys })
    }

    /// Encrypts data units `first`, `first + 1`, ... of `unit` bytes each. The source is read once; it may
    /// change meanwhile.
    ///
    /// # Errors
    /// [`Error::Unit`], [`Error::Length`]; the target is then untouched.
    pub fn encrypt(
        &self,
        first: u64,
        unit: usize,
        source: Source<'_>,
        target: Target<'_>,
    ) -> Result<(), Error> {
        self.run(Way::Encrypt, first, unit, source, target)
    }

    /// Decrypts likewise.
    ///
    /// # Errors
    /// [`Error::Unit`], [`Error::Length`]; the target is then untouched.
    pub fn decrypt(
        &self,
        first: u64,
        unit: usize,
        source: Source<'_>,
        target: Target<'_>,
    ) -> Result<(), Error> {
        self.run(Way::Decrypt, first, unit, source, target)
    }

    /// Encrypts where it lies.
    ///
    /// # Errors
    /// [`Error::Unit`], [`Error::Length`]; the target is then untouched.
    pub fn encrypt_in_place(&self, first: u64, unit: usize, target: Target<'_>) -> Result<(), Error> {
        let source = source_of(&target);
        self.run(Way::Encrypt, first, unit, source, target)
    }

    /// Decrypts where it lies.
    ///
    /// # Errors
    /// [`Error::Unit`], [`Error::Length`]; the target is then untouched.
    pub fn decrypt_in_place(&self, first: u64, unit: usize, target: Target<'_>) -> Result<(), Error> {
        let source = source_of(&target);
        self.run(Way::Decrypt, first, unit, source, target)
    }

    /// Encrypts one data unit, where it lies, under a tweak that is no number.
    ///
    /// # Errors
    /// [`Error::Unit`]; the target is then untouched.
    pub fn encrypt_tweaked(&self, tweak: &[u8; BLOCK], target: Target<'_>) -> Result<(), Error> {
        self.one(Way::Encrypt, tweak, target)
    }

    /// Decrypts likewise.
    ///
    /// # Errors
    /// [`Error::Unit`]; the target is then untouched.
    pub fn decrypt_tweaked(&self, tweak: &[u8; BLOCK], target: Target<'_>) -> Result<(), Error> {
        self.one(Way::Decrypt, tweak, target)
    }

    fn one(&self, way: Way, tweak: &[u8; BLOCK], mut target: Target<'_>) -> Result<(), Error> {
        if !(BLOCK..=MAX_UNIT).contains(&target.len()) {
            return Err(Error::Unit);
        }
        let (bytes, unit) = (target.as_mut_ptr(), target.len());
        match &self.keys {
            // SAFETY: the target's range by its type's contract. The backend runs on this machine, because its
            // keys could only be made after `available()`.
            Keys::Portable(keys) => unsafe { unit::tweaked(keys, way, tweak, unit, bytes) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Keys::AesNi(keys) => unsafe { unit::tweaked(&**keys, way, tweak, unit, bytes) },
            #[cfg(all(target_arch = "x86_64", feature = "vaes"))]
            // SAFETY: as above.
            Keys::Vaes(keys) => unsafe { unit::tweaked(&**keys, way, tweak, unit, bytes) },
        }
        Ok(())
    }

    fn run(
        &self,
        way: Way,
        first: u64,
        unit: usize,
        source: Source<'_>,
        mut target: Target<'_>,
    ) -> Result<(), Error> {
        if !(BLOCK..=MAX_UNIT).contains(&unit) {
            return Err(Error::Unit);
        }
        let units = source.len() / unit;
        let whole = source.len() == target.len() && units * unit == source.len();
        if !whole || first.checked_add(units as u64).is_none() {
            return Err(Error::Length);
        }
        let (from, to) = (source.as_ptr(), target.as_mut_ptr());
        match &self.keys {
            // SAFETY: both ranges hold `units * unit` bytes by their types' contracts, and are equal or apart:
            // a source made of the target itself, or borrowed beside it. The backend runs on this machine,
            // because its keys could only be made after `available()`.
            Keys::Portable(keys) => unsafe { unit::run(keys, way, first, unit, units, from, to) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Keys::AesNi(keys) => unsafe { unit::run(&**keys, way, first, unit, units, from, to) },
            #[cfg(all(target_arch = "x86_64", feature = "vaes"))]
            // SAFETY: as above.
            Keys::Vaes(keys) => unsafe { unit::run(&**keys, way, first, unit, units, from, to) },
        }
        Ok(())
    }
}

/// The target's own bytes as a source that outlives the borrow: the two are used by one call only, which allows
/// them to be equal.
fn source_of<'a>(target: &Target<'a>) -> Source<'a> {
    let source = target.as_source();
    // SAFETY: the target's range stays readable for 'a.
    unsafe { Source::from_raw(source.as_ptr(), source.len()) }
}
