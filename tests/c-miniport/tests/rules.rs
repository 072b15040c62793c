//! The rules that all runs of the miniports are held against are noticed when they are broken: here, by this test in the
//! place of a miniport. Alone in its process, since rules are the process's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::ffi::c_void;

use sluice_c_miniport::{
    hosted::{Hosted, Parameters},
    miniports::PLAIN,
};
use sluice_port::types::{LockHandle, StorDpc};

unsafe extern "system" {
    fn StorPortNotification(
        kind: u32,
        extension: *mut c_void,
        a0: usize,
        a1: usize,
        a2: usize,
        a3: usize,
        a4: usize,
        a5: usize,
        a6: usize,
        a7: usize,
    );
}

/// A routine that is never called.
unsafe extern "system" fn routine(_: *mut c_void, _: *mut c_void, _: *mut c_void, _: *mut c_void) {}

const INITIALIZE_DPC: u32 = 0x1001;
const ACQUIRE: u32 = 0x1003;
const RELEASE: u32 = 0x1004;
const DPC_LOCK: usize = 1;
const START_IO_LOCK: usize = 2;

#[test]
fn what_is_against_the_rules_is_seen() {
    let hosted = Hosted::start(&PLAIN[0], &Parameters::default()).unwrap();
    let extension = hosted.port().extension();
    let tell = |kind: u32, words: [usize; 3]| {
        // SAFETY: as C would, with what each notification takes.
        unsafe { StorPortNotification(kind, extension, words[0], words[1], words[2], 0, 0, 0, 0, 0) };
    };
    // SAFETY: integers and pointers, for which any bytes are valid.
    let mut dpcs: [StorDpc; 2] = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut handles: [LockHandle; 2] = unsafe { std::mem::zeroed() };
    let [first, second] = dpcs.each_mut().map(|dpc| std::ptr::from_mut(dpc) as usize);
    let [one, other] = handles.each_mut().map(|handle| std::ptr::from_mut(handle) as usize);
    for dpc in [first, second] {
        tell(INITIALIZE_DPC, [dpc, routine as *const () as usize, 0]);
    }

    tell(ACQUIRE, [DPC_LOCK, first, one]);
    tell(ACQUIRE, [DPC_LOCK, second, other]);
    tell(RELEASE, [other, 0, 0]);
    tell(RELEASE, [one, 0, 0]);
    assert_eq!(Hosted::broken(), Vec::<&str>::new(), "in order");
    tell(ACQUIRE, [DPC_LOCK, second, one]);
    tell(ACQUIRE, [DPC_LOCK, first, other]);
    assert_eq!(Hosted::broken(), ["lock.order"]);
    tell(RELEASE, [other, 0, 0]);
    tell(RELEASE, [one, 0, 0]);

    tell(ACQUIRE, [DPC_LOCK, first, one]);
    tell(ACQUIRE, [START_IO_LOCK, 0, other]);
    tell(RELEASE, [one, 0, 0]);
    assert_eq!(Hosted::broken(), ["irql.release"], "the IRQL falls while the other lock is held");
    tell(RELEASE, [other, 0, 0]);
    let _ = Hosted::broken();

    tell(ACQUIRE, [DPC_LOCK, first, one]);
    let _ = hosted.scsi(&[0; 6], Vec::new(), false);
    assert!(Hosted::broken().contains(&"lock.kept"), "held while something outside is called");
    tell(RELEASE, [one, 0, 0]);
    let _ = (Hosted::broken(), sluice_port_host::violations());
}
