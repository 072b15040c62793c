//! The control device's buffers, from a program to the driver and back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_control::{DiskEntry, Request, code, entries};

const CODES: [u32; 7] =
    [code::LIST, code::READ_HEADER, code::UNLOCK, code::UNLOCK_OPEN, code::LOCK, code::STATISTICS, 0];

fuzz_target!(|buffer: &[u8]| {
    for code in CODES {
        match Request::parse(code, buffer) {
            Ok(Request::Unlock(unlock)) => {
                assert_eq!(code, code::UNLOCK);
                assert!(buffer.windows(unlock.key.len()).any(|part| part == unlock.key));
            }
            Ok(Request::UnlockOpen(disk)) => {
                assert_eq!(code, code::UNLOCK_OPEN);
                assert!(buffer.ends_with(&disk.to_le_bytes()));
            }
            _ => {}
        }
    }
    assert!(Request::parse(0, buffer).is_err(), "a code that does not exist");
    if let Some((_, found)) = entries(buffer) {
        assert!(found.count() * size_of::<DiskEntry>() <= buffer.len());
    }
});
