#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use alloc::{vec, vec::Vec};

use crate::{
    scsi::{
        ioctl::code,
        pass_through::{Data, PassThrough, Wrong},
    },
    storport::{ScsiStatus, SrbFlags},
};

const MOST: u32 = 4096;

fn parse(input: &[u8], room: usize, most: u32) -> Result<PassThrough, Wrong> {
    PassThrough::parse(code::SCSI_PASS_THROUGH, input, room, most)
}

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
        let request = parse(&inquiry(wide), 132, MOST).unwrap();
        assert_eq!(request.cdb(), [0x12, 0, 0, 0, 36, 0]);
        assert_eq!((request.direction, request.timeout), (SrbFlags::DATA_IN, 10));
        assert_eq!((request.data.clone(), request.sense.clone()), (Data::Buffer(96..132), 64..82));
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
        assert_eq!(parse(&whole[..length], 132, MOST), Err(Wrong::Size));
        assert_eq!(parse(&whole, length, MOST), Err(Wrong::Size));
    }
    let wrong = |at: usize, value: u8| {
        let mut b = inquiry(true);
        b[at] = value;
        parse(&b, 132, MOST).unwrap_err()
    };
    assert_eq!(wrong(0, 55), Wrong::Size);
    for (at, value) in [(6, 0), (6, 17), (8, 3), (12, 37), (13, 17), (24, 97), (24, 55), (28, 1), (31, 128)] {
        assert_eq!(wrong(at, value), Wrong::Field, "{at} = {value}");
    }
    for (at, value) in [(32, 55), (32, 115), (35, 255), (7, 69)] {
        assert_eq!(wrong(at, value), Wrong::Field, "{at} = {value}");
    }
    assert_eq!(parse(&whole, 131, MOST), Err(Wrong::Field), "no room for what is to be read");
    assert_eq!(parse(&whole, 132, 35), Err(Wrong::Field), "longer than the adapter takes");
}

#[test]
fn what_is_written_must_have_been_sent() {
    let mut b = inquiry(true);
    b[8] = 0;
    assert_eq!(parse(&b, 4096, MOST), Err(Wrong::Field));
    b.resize(132, 7);
    let request = parse(&b, 82, MOST).unwrap();
    assert_eq!((request.direction, request.data.clone()), (SrbFlags::DATA_OUT, Data::Buffer(96..132)));
    assert_eq!(request.answer(&mut b, ScsiStatus::GOOD, 36, &[]), 56);
    b[8] = 2;
    assert_eq!(parse(&b, 131, MOST), Err(Wrong::Field));
    let either = parse(&b, 132, MOST).unwrap().direction;
    assert!(either.contains(SrbFlags::DATA_IN) && either.contains(SrbFlags::DATA_OUT));
}

#[test]
fn without_data_or_sense_their_places_do_not_matter() {
    let mut b = inquiry(true);
    (b[7], b[12]) = (0, 0);
    b[24..36].fill(0xFF);
    let request = parse(&b, 56, MOST).unwrap();
    assert_eq!(
        (request.direction, request.data.clone(), request.sense.clone()),
        (SrbFlags(0), Data::Buffer(0..0), 0..0)
    );
    assert_eq!(request.answer(&mut b, ScsiStatus::GOOD, 0, &[1, 2]), 56);
}

/// READ(16) of 512 bytes in the extended form, by a program of either kind, with 18 bytes of sense at `at`, and the data at `data`.
fn extended(wide: bool, data: u32, sense: u8) -> Vec<u8> {
    let mut b = vec![0; 64];
    let (size, pointer, cdb) = if wide { (64, 48, 56) } else { (52, 44, 48) };
    (b[4], b[8], b[17], b[18], b[20], b[28], b[37]) = (size, 16, 18, 1, 10, sense, 2);
    b[pointer..pointer + 4].copy_from_slice(&data.to_le_bytes());
    b.resize(cdb + 16, 0);
    (b[cdb], b[cdb + 13]) = (0x88, 1);
    b
}

#[test]
fn the_extended_forms_are_understood() {
    for wide in [true, false] {
        let b = extended(wide, 160, 96);
        let request = PassThrough::parse(code::SCSI_PASS_THROUGH_EX, &b, 672, MOST).unwrap();
        assert_eq!((request.cdb().len(), request.cdb()[0], request.timeout), (16, 0x88, 10));
        assert_eq!((request.direction, &request.data), (SrbFlags::DATA_IN, &Data::Buffer(160..672)));
        let mut buffer = vec![0; 672];
        assert_eq!(request.answer(&mut buffer, ScsiStatus::CHECK_CONDITION, 512, &[7; 20]), 672);
        assert_eq!(
            (buffer[16], buffer[17], buffer[37], buffer[96..115].to_vec()),
            (2, 18, 2, [[7; 18].to_vec(), vec![0]].concat())
        );
        for (at, value) in [(0, 1), (4, 63), (8, 0), (8, 33), (18, 3), (18, 4), (28, 60), (39, 1)] {
            let mut wrong = b.clone();
            wrong[at] = value;
            let parsed = PassThrough::parse(code::SCSI_PASS_THROUGH_EX, &wrong, 672, MOST);
            assert!(parsed.is_err(), "{at} = {value}: {parsed:?}");
        }
        for short in 0..b.len() {
            assert!(PassThrough::parse(code::SCSI_PASS_THROUGH_EX, &b[..short], 672, MOST).is_err());
        }
    }
}

#[test]
fn data_in_both_ways_is_refused() {
    let mut b = extended(true, 160, 96);
    (b[18], b[33], b[41]) = (2, 2, 1);
    assert_eq!(PassThrough::parse(code::SCSI_PASS_THROUGH_EX, &b, 1024, MOST), Err(Wrong::Field));
    b[33] = 0;
    let request = PassThrough::parse(code::SCSI_PASS_THROUGH_EX, &b, 1024, MOST);
    // Either way: the memory is read, too, and the input has none there.
    assert_eq!(request, Err(Wrong::Field));
    b.resize(1024, 0);
    let request = PassThrough::parse(code::SCSI_PASS_THROUGH_EX, &b, 1024, MOST).unwrap();
    assert_eq!(request.data, Data::Buffer(160..672));
}

#[test]
fn the_direct_forms_name_memory_of_the_program() {
    for wide in [true, false] {
        let mut b = inquiry(wide);
        let at = if wide { 24 } else { 20 };
        b[at..at + 4].copy_from_slice(&0x7654_3210u32.to_le_bytes());
        let request = PassThrough::parse(code::SCSI_PASS_THROUGH_DIRECT, &b, 96, MOST).unwrap();
        assert_eq!((&request.data, request.data.length()), (&Data::Program(0x7654_3210, 36), 36));
        assert_eq!(request.answer(&mut b, ScsiStatus::GOOD, 36, &[]), usize::from(b[0]));
        let b = extended(wide, 0x7654_3210, 96);
        let request = PassThrough::parse(code::SCSI_PASS_THROUGH_DIRECT_EX, &b, 128, MOST).unwrap();
        assert_eq!(request.data, Data::Program(0x7654_3210, 512));
    }
}
