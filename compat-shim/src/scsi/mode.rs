//! The parameter list of MODE SELECT (SPC-5 6.12, 7.5), as far as it must be understood to be let through.

use super::cdb::Form;

/// The caching page (SBC-4 6.5.6).
pub const CACHING: u8 = 0x08;
/// The informational exceptions control page (SPC-5 7.5.11): failure prediction.
pub const INFORMATIONAL_EXCEPTIONS: u8 = 0x1C;

/// Whether a MODE SELECT changes nothing but caching and failure prediction: what Windows' disk class driver
/// sends. A block descriptor, which could change the size of the medium, is not let through, nor is any page
/// cut short. Look at a private copy: the sender's may change.
#[must_use]
pub fn changes_only_caching(list: &[u8], form: Form) -> bool {
    let header = if form == Form::Six { 4 } else { 8 };
    let Some((head, mut pages)) = list.split_at_checked(header) else {
        return list.is_empty(); // a list of no bytes changes nothing
    };
    let descriptors = if form == Form::Six { &head[3..4] } else { &head[6..8] };
    if descriptors.iter().any(|byte| *byte != 0) {
        return false;
    }
    while let Some(&code) = pages.first() {
        // Bit 6 marks a subpage, which neither page has; bit 7 is reserved here.
        if !matches!(code & 0x7F, CACHING | INFORMATIONAL_EXCEPTIONS) {
            return false;
        }
        let Some(rest) = pages.get(1).and_then(|length| pages.get(2 + usize::from(*length)..)) else {
            return false;
        };
        pages = rest;
    }
    true
}
