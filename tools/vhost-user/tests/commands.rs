//! Commands that units do not send, past the shim, on QEMU's storage daemon.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod support;

use sluice_miniport_virtio_blk::{commands::inquire, request::Outcome};
use sluice_shim::scsi::{cdb::Command, sense::Refusal};
use sluice_vhost_user::Format;
use support::{Direct, EXPORT, FORMATS, Image, MIB, settings};

/// WRITE SAME(16): UNMAP is bit 3, NDOB bit 0.
fn write_same(flags: u8, lba: u64, blocks: u32) -> Vec<u8> {
    [&[0x93, flags][..], &lba.to_be_bytes(), &blocks.to_be_bytes(), &[0, 0]].concat()
}

fn write(lba: u64, blocks: u32) -> Vec<u8> {
    [&[0x8A, 0][..], &lba.to_be_bytes(), &blocks.to_be_bytes(), &[0, 0]].concat()
}

#[test]
fn zeros_are_written_without_their_bytes() {
    for format in FORMATS {
        let image = Image::new("zeros", format, 4 * MIB);
        let daemon = image.serve(EXPORT);
        let disk = Direct::new(daemon.socket(), settings());
        for at in 0..16 {
            assert_eq!(disk.send(&write(at * 512, 512), vec![3; 256 << 10]).0, Outcome::Moved(256 << 10));
        }
        // A MiB kept, one that may be unmapped, and the last sector from "all up to the end".
        assert_eq!(disk.send(&write_same(0, 2048, 2048), vec![0; 512]).0, Outcome::Moved(512));
        assert_eq!(disk.send(&write_same(9, 4096, 2048), vec![]).0, Outcome::Moved(0));
        assert_eq!(disk.send(&write_same(1, 8191, 0), vec![]).0, Outcome::Moved(0));
        let refused = |outcome, refusal| assert_eq!(outcome, Outcome::Refused(refusal));
        refused(disk.send(&write_same(0, 0, 8), vec![3; 512]).0, Refusal::InvalidField);
        refused(disk.send(&write_same(1, 8191, 2), vec![]).0, Refusal::OutOfRange);
        refused(disk.send(&write_same(3, 0, 8), vec![]).0, Refusal::InvalidField);
        assert_eq!(disk.send(&[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0], vec![]).0, Outcome::Moved(0));
        drop(disk);
        daemon.stop().unwrap();
        let mut expected = vec![3; 4 << 20];
        expected[1 << 20..3 << 20].fill(0);
        expected[8191 * 512..].fill(0);
        image.holds(&expected);
    }
}

#[test]
fn the_disk_says_what_it_is() {
    let image = Image::new("identity", Format::Raw, 4 * MIB);
    let daemon = image.serve(EXPORT);
    let disk = Direct::new(daemon.socket(), settings());
    let facts = disk.device.facts();
    let page = |page: u8| {
        let cdb = [0x12, 1, page, 0, 255, 0];
        let (outcome, mut data) = disk.send(&cdb, vec![0; 255]);
        let length = match outcome {
            Outcome::Moved(length) => length as usize,
            Outcome::Serial(serial) => {
                let Ok(Command::Inquiry(inquiry)) = Command::parse(&cdb) else { panic!("{cdb:?}") };
                inquire(&inquiry, &facts, &serial, &mut data).unwrap()
            }
            Outcome::Refused(refusal) => panic!("page {page:x}: {refusal:?}"),
        };
        data[..length].to_vec()
    };
    let (outcome, data) = disk.send(&[0x12, 0, 0, 0, 36, 0], vec![0; 36]);
    assert_eq!((outcome, &data[8..16]), (Outcome::Moved(36), &b"VirtIO  "[..]));
    // The daemon's answer to GET_ID is the name of its export's kind.
    assert_eq!(page(0x80)[4..], *b"vhost_user_blk");
    let name = page(0x83);
    assert_eq!((&name[4..8], name[8] >> 4, name.len()), (&[1, 3, 0, 8][..], 3, 16));
    let limits = page(0xB0);
    assert_eq!(limits[8..12], facts.transfer_blocks().to_be_bytes());
    assert_eq!(limits[20..24], facts.discard.unwrap().blocks.to_be_bytes());
    assert_eq!(page(0xB1)[4..6], [0, 1]);
    assert_eq!(page(0xB2)[5] >> 7, 1);
    assert_eq!(page(0), [0, 0, 0, 6, 0, 0x80, 0x83, 0xB0, 0xB1, 0xB2]);
    let (outcome, data) = disk.send(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], vec![0; 8]);
    assert_eq!((outcome, &data[..]), (Outcome::Moved(8), &[0, 0, 0x1F, 0xFF, 0, 0, 2, 0][..]));
    let capacity = [&[0x9E, 0x10][..], &[0; 11], &[32, 0, 0]].concat();
    let (outcome, data) = disk.send(&capacity, vec![0; 32]);
    assert_eq!((outcome, &data[..8]), (Outcome::Moved(32), &8191_u64.to_be_bytes()[..]));
    assert_eq!(data[14] >> 6, 2, "provisioned, and no promise of zeros");
    let (outcome, data) = disk.send(&[0x1A, 8, 8, 0, 64, 0], vec![0; 64]);
    assert!(matches!(outcome, Outcome::Moved(24)) && data[6] & 4 != 0, "{outcome:?}: it has a cache");
}
