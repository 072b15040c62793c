//! Sense data of any bytes, and the blocks in it moved.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_shim::scsi::sense::{Sense, key, rebase};

fuzz_target!(|input: (u32, Vec<u8>)| {
    let (offset, mut bytes) = (u64::from(input.0), input.1);
    let before = Sense::parse(&bytes);
    rebase(&mut bytes, offset);
    let after = Sense::parse(&bytes);
    let Some(before) = before else {
        assert_eq!(after, None);
        return;
    };
    let about_blocks = matches!(before.key, key::MEDIUM_ERROR | key::RECOVERED_ERROR | key::HARDWARE_ERROR);
    let information = match before.information {
        Some(block) if about_blocks => block.checked_sub(offset),
        other => other,
    };
    assert_eq!(after, Some(Sense { information, ..before }));
    if let Some(again) = Sense::parse(&before.fixed()) {
        assert_eq!((again.key, again.asc, again.ascq), (before.key, before.asc, before.ascq));
    }
});
