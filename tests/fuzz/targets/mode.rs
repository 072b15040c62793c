//! MODE SELECT's parameters: what is let through has no block descriptor and only pages that we know.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_shim::scsi::{
    cdb::Form,
    mode::{CACHING, INFORMATIONAL_EXCEPTIONS, changes_only_caching},
};

fuzz_target!(|list: &[u8]| {
    for (form, header) in [(Form::Six, 4), (Form::Ten, 8)] {
        if changes_only_caching(list, form) && !list.is_empty() {
            assert!(list.len() >= header);
            assert_eq!(
                if header == 4 { u16::from(list[3]) } else { u16::from_be_bytes([list[6], list[7]]) },
                0
            );
            assert!(
                list.get(header)
                    .is_none_or(|code| { matches!(code & 0x7F, CACHING | INFORMATIONAL_EXCEPTIONS) })
            );
        }
    }
});
