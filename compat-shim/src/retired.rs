//! Memory that nobody may touch: an SRB that was completed, a request's private memory when it has none.
//!
//! With the feature `checked`, which tests switch on, it is filled with a pattern, and looked at before it is used
//! again: a miniport that writes there has kept what is not its any more. One that reads there finds no SRB. Without
//! the feature nothing is done.

/// What lies there.
#[cfg(feature = "checked")]
const PATTERN: u8 = 0xDB;

/// Nobody may touch `bytes` from now on.
#[inline]
pub(crate) fn retire(bytes: &mut [u8]) {
    #[cfg(feature = "checked")]
    bytes.fill(PATTERN);
    #[cfg(not(feature = "checked"))]
    let _ = bytes;
}

/// Whether nobody has.
#[inline]
pub(crate) fn is_untouched(bytes: &[u8]) -> bool {
    #[cfg(feature = "checked")]
    return bytes.iter().all(|byte| *byte == PATTERN);
    #[cfg(not(feature = "checked"))]
    {
        let _ = bytes;
        true
    }
}
