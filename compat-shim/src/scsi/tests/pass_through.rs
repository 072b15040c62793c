#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use alloc::{vec, vec::Vec};

use crate::{
    scsi::pass_through::{PassThrough, Wrong},
    storport::{ScsiStatus, SrbFlags},
};

const MOST: u32 = 4096;

/// INQUIRY by a program of either kind: 36 bytes at 96, sense at 64.
fn inquiry(wide: bool) -> Vec<u8> {
    let mut b = vec![0; 96];
    let (size, data, sense, cdb) = if wide { (56, 24, 32, 36) } else { (44, 20, 24, 28) };
    (b[0], b[6], b[7], b[8], b[12], b[16]) = (size, 6, 18, 1, 36, 10);
    (b[data], b[sense]) = (96, 64);
    b[cdb..cdb + 6].copy_from_slice(&[0x12, 0, 0, 0, 36, 0]);
    b
}

#[test]
fn programs_of_both_kinds_are_understood() {
    for wide in [true, false] {
        let request = PassThrough::parse(&inquiry(wide), 132, MOST).unwrap();
        assert_eq!(request.cdb(), [0x12, 0, 0, 0, 36, 0]);
        assert_eq!((request.direction, request.timeout), (SrbFlags::DATA_IN, 10));
        assert_eq!((request.data.clone(), request.sense.clone()), (96..132, 64..82));
        let mut buffer = vec![0; 132];
        assert_eq!(request.answer(&mut buffer, ScsiStatus::GOOD, 20, &[]), 116);
        assert_eq!((buffer[2], buffer[7], buffer[12]), (0, 0, 20));
        let sense: Vec<u8> = (1..=40).collect();
        assert_eq!(request.answer(&mut buffer, ScsiStatus::CHECK_CONDITION, 0, &sense), 96);
        assert_eq!((buffer[2], buffer[7], &buffer[64..83]), (2, 18, &[&sense[..18], &[0][..]].concat()[..]));
    }
}

#[test]
fn nothing_outside_the_buffer_is_named() {
    let whole = inquiry(true);
    for length in 0..56 {
        assert_eq!(PassThrough::parse(&whole[..length], 132, MOST), Err(Wrong::Size));
        assert_eq!(PassThrough::parse(&whole, length, MOST), Err(Wrong::Size));
    }
    let wrong = |at: usize, value: u8| {
        let mut b = inquiry(true);
        b[at] = value;
        PassThrough::parse(&b, 132, MOST).unwrap_err()
    };
    assert_eq!(wrong(0, 55), Wrong::Size);
    for (at, value) in [(6, 0), (6, 17), (8, 3), (12, 37), (13, 17), (24, 97), (24, 55), (28, 1), (31, 128)] {
        assert_eq!(wrong(at, value), Wrong::Field, "{at} = {value}");
    }
    for (at, value) in [(32, 55), (32, 115), (35, 255), (7, 69)] {
        assert_eq!(wrong(at, value), Wrong::Field, "{at} = {value}");
    }
    assert_eq!(PassThrough::parse(&whole, 131, MOST), Err(Wrong::Field), "no room for what is to be read");
    assert_eq!(PassThrough::parse(&whole, 132, 35), Err(Wrong::Field), "longer than the adapter takes");
}

#[test]
fn what_is_written_must_have_been_sent() {
    let mut b = inquiry(true);
    b[8] = 0;
    assert_eq!(PassThrough::parse(&b, 4096, MOST), Err(Wrong::Field));
    b.resize(132, 7);
    let request = PassThrough::parse(&b, 82, MOST).unwrap();
    assert_eq!((request.direction, request.data.clone()), (SrbFlags::DATA_OUT, 96..132));
    assert_eq!(request.answer(&mut b, ScsiStatus::GOOD, 36, &[]), 56);
    b[8] = 2;
    assert_eq!(PassThrough::parse(&b, 131, MOST), Err(Wrong::Field));
    let either = PassThrough::parse(&b, 132, MOST).unwrap().direction;
    assert!(either.contains(SrbFlags::DATA_IN) && either.contains(SrbFlags::DATA_OUT));
}

#[test]
fn without_data_or_sense_their_places_do_not_matter() {
    let mut b = inquiry(true);
    (b[7], b[12]) = (0, 0);
    b[24..36].fill(0xFF);
    let request = PassThrough::parse(&b, 56, MOST).unwrap();
    assert_eq!((request.direction, request.data.clone(), request.sense.clone()), (SrbFlags(0), 0..0, 0..0));
    assert_eq!(request.answer(&mut b, ScsiStatus::GOOD, 0, &[1, 2]), 56);
}
