//! Fails on purpose, at a command that only the feedback of coverage leads to quickly.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_shim::scsi::cdb::Command;

fuzz_target!(|cdb: &[u8]| {
    assert!(!matches!(Command::parse(cdb), Ok(Command::Unmap { anchor: true, .. })), "the canary sings");
});
