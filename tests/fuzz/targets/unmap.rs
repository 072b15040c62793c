//! A parameter list of UNMAP: what is understood can be written, and is understood again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_shim::scsi::unmap::{DESCRIPTOR, HEADER, UnmapList, write};

fuzz_target!(|bytes: &[u8]| {
    let Ok(list) = UnmapList::parse(bytes) else { return };
    assert!(list.is_empty() || HEADER + DESCRIPTOR * list.len() <= bytes.len());
    let mut copy = vec![0xAA; HEADER + DESCRIPTOR * list.len()];
    let length = write(list.ranges(), &mut copy).expect("there is room for as many as were parsed");
    assert_eq!(usize::from(length), copy.len());
    let again = UnmapList::parse(&copy).expect("our own list");
    assert!(again.ranges().eq(list.ranges()));
});
