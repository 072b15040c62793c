//! What a disk takes of UNMAP, by its own words.

use alloc::{vec, vec::Vec};

use crate::scsi::{
    answers::{Identity, Limits, page, vital},
    provisioning::{PAGE, most_unmapped, tells},
};

const LIMITS: Limits = Limits {
    max_transfer: 0,
    max_unmap_blocks: 0xffff,
    max_unmap_descriptors: 1,
    unmap_granularity: 1,
    max_write_same: 0,
    reads_zeros: true,
};

/// A page as our own units answer it.
fn asked(code: u8, limits: &Limits) -> Vec<u8> {
    let (vendor, product, revision) = (b"SLUICE  ", b"TEST DISK       ", b"1.0 ");
    let identity = Identity { vendor, product, revision, serial: b"1", name: 1 };
    let mut buffer = vec![0; PAGE];
    let length = vital(code, &identity, limits, &mut buffer, PAGE as u16).unwrap();
    buffer.truncate(length);
    buffer
}

fn most(limits: &Limits) -> u32 {
    most_unmapped(&asked(page::LIMITS, limits), &asked(page::PROVISIONING, limits))
}

#[test]
fn the_limit_is_the_disks_and_a_multiple_of_what_it_unmaps_together() {
    assert_eq!(most(&LIMITS), 0xffff);
    assert_eq!(most(&Limits { max_unmap_blocks: u32::MAX, ..LIMITS }), u32::MAX);
    assert_eq!(most(&Limits { unmap_granularity: 8, ..LIMITS }), 0xfff8);
    assert_eq!(most(&Limits { unmap_granularity: 0, ..LIMITS }), 0xffff);
    // Nothing could be unmapped otherwise.
    assert_eq!(most(&Limits { unmap_granularity: 0x1_0000, ..LIMITS }), 0xffff);
}

#[test]
fn a_disk_that_does_not_say_that_it_takes_unmap_takes_none() {
    assert_eq!(most(&Limits { max_unmap_blocks: 0, ..LIMITS }), 0);
    assert_eq!(most(&Limits { max_unmap_descriptors: 0, ..LIMITS }), 0);
    let (limits, provisioning) = (asked(page::LIMITS, &LIMITS), asked(page::PROVISIONING, &LIMITS));
    let mut without = provisioning.clone();
    without[5] &= 0x7f;
    assert_eq!(most_unmapped(&limits, &without), 0);
    assert_eq!(most_unmapped(&provisioning, &limits), 0, "pages in each other's place");
    for short in 0..28 {
        assert_eq!(most_unmapped(&limits[..short], &provisioning), 0, "{short} bytes");
    }
    assert_eq!(most_unmapped(&limits[..28], &provisioning), 0xffff, "older disks end here");
    let mut lies = limits;
    lies[3] = 16;
    assert_eq!(most_unmapped(&lies, &provisioning), 0, "what a page says is not its own does not count");
}

#[test]
fn pages_are_asked_for_only_if_the_disk_lists_them() {
    assert!(tells(&asked(page::SUPPORTED, &LIMITS)));
    assert!(!tells(&[0, 0, 0, 3, 0x00, 0x80, page::LIMITS]));
    assert!(!tells(&[0, 0, 0, 1, 0x00, page::LIMITS, page::PROVISIONING]), "behind its end");
    assert!(!tells(&[]));
}
