//! Recovery codes: made by us, written down by somebody, typed in years later.
//!
//! 160 random bits and 10 bits of SHA-256 over them, in base 32: 34 letters and digits, in groups. The alphabet
//! is Crockford's: no I, L, O, U; case does not matter; what looks like 0 or 1 is taken for it.

use sha2::{Digest, Sha256};
use zeroize::Zeroize;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BYTES: usize = 20;
/// 160 bits of secret in 32 characters, then 2 of checksum.
const CHARACTERS: usize = 34;
const GROUP: usize = 6;

/// Length of the printed form, with hyphens.
pub const RECOVERY_TEXT: usize = CHARACTERS + (CHARACTERS - 1) / GROUP;

/// A recovery code. Wiped when dropped; never shown but by [`Self::write`].
#[derive(PartialEq, Eq)]
pub struct RecoveryCode([u8; BYTES]);

impl Drop for RecoveryCode {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl RecoveryCode {
    /// A new code of the caller's random bytes, which are wiped.
    pub fn from_random(bytes: &mut [u8; BYTES]) -> Self {
        let code = Self(*bytes);
        bytes.zeroize();
        code
    }

    /// The secret that a slot's key is derived from.
    pub fn secret(&self) -> &[u8] {
        &self.0
    }

    /// The printed form, ASCII.
    pub fn write(&self) -> [u8; RECOVERY_TEXT] {
        let mut text = [b'-'; RECOVERY_TEXT];
        let mut places = (0..RECOVERY_TEXT).filter(|at| (at + 1) % (GROUP + 1) != 0);
        for digit in self.digits() {
            if let Some(place) = places.next().and_then(|at| text.get_mut(at)) {
                *place = ALPHABET[usize::from(digit)];
            }
        }
        text
    }

    /// Reads a typed code. `None` if it is too short or long, has a strange character, or was mistyped.
    pub fn read(text: &str) -> Option<Self> {
        let mut digits = [0u8; CHARACTERS];
        let mut count = 0;
        for character in text.bytes().filter(|byte| !matches!(byte, b'-' | b' ' | b'\t' | b'\r' | b'\n')) {
            let plain = match character.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            };
            let digit = ALPHABET.iter().position(|&letter| letter == plain)?;
            *digits.get_mut(count)? = digit as u8;
            count += 1;
        }
        let mut code = Self([0; BYTES]);
        for (index, bit) in (0..BYTES * 8).map(|bit| (bit / 8, digits[bit / 5] >> (4 - bit % 5) & 1)) {
            code.0[index] = code.0[index] << 1 | bit;
        }
        let good = count == CHARACTERS && code.digits().eq(digits);
        digits.zeroize();
        good.then_some(code)
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        let hash: [u8; 32] = Sha256::digest(self.0).into();
        let secret = (0..32).map(|digit| five_bits(&self.0, digit));
        secret.chain([hash[0] >> 3, hash[1] >> 3])
    }
}

fn five_bits(bytes: &[u8; BYTES], digit: usize) -> u8 {
    (digit * 5..digit * 5 + 5).fold(0, |value, bit| value << 1 | bytes[bit / 8] >> (7 - bit % 8) & 1)
}
