//! UTF-16 literals for the kernel.

use wdk_sys::UNICODE_STRING;

/// A counted string over a zero-terminated UTF-16 literal. The kernel only reads it.
pub(crate) const fn counted(units: &'static [u16]) -> UNICODE_STRING {
    let bytes = (units.len() * 2) as u16;
    UNICODE_STRING { Length: bytes - 2, MaximumLength: bytes, Buffer: units.as_ptr().cast_mut() }
}

/// `utf16!("...")`: an ASCII literal as a [`UNICODE_STRING`].
macro_rules! utf16 {
    ($text:literal) => {{
        static UNITS: [u16; $text.len() + 1] = {
            let (bytes, mut units, mut at) = ($text.as_bytes(), [0; $text.len() + 1], 0);
            while at < bytes.len() {
                units[at] = bytes[at] as u16;
                at += 1;
            }
            units
        };
        $crate::nt::string::counted(&UNITS)
    }};
}
pub(crate) use utf16;
