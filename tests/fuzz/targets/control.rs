//! The control device's buffers, from a program to the driver and back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_control::{DiskEntry, Request, code, entries};

const CODES: [u32; 6] = [code::LIST, code::READ_HEADER, code::UNLOCK, code::LOCK, code::STATISTICS, 0];

fuzz_target!(|buffer: &[u8]| {
    for code in CODES {
        if let Ok(Request::Unlock(unlock)) = Request::parse(code, buffer) {
            assert_eq!(code, code::UNLOCK);
            assert!(buffer.windows(unlock.key.len()).any(|part| part == unlock.key));
        }
    }
    assert!(Request::parse(0, buffer).is_err(), "a code that does not exist");
    if let Some((_, found)) = entries(buffer) {
        assert!(found.count() * size_of::<DiskEntry>() <= buffer.len());
    }
});
