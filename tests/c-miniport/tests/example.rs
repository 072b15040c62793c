//! The host that `docs/miniports.md` shows, with a miniport that it knows nothing of.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::ffi::c_void;

use sluice_c_miniport::miniports::PLAIN;
use sluice_port_host::Hardware;

#[path = "../../../tools/port-host/examples/host.rs"]
#[allow(dead_code, reason = "its main is a program's")]
mod host;

// SAFETY: no miniport of this package has a name of this kind: `build.rs` hides theirs.
#[unsafe(no_mangle)]
unsafe extern "system" fn DriverEntry(driver: *mut c_void, path: *mut c_void) -> u32 {
    // SAFETY: the caller's contract is the same.
    unsafe { (PLAIN[0].entry)(driver, path) }
}

#[test]
fn it_finds_a_unit_and_uses_it() {
    assert_eq!(host::host(Hardware::default()).unwrap(), 1);
}
