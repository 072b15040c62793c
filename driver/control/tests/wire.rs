//! Hostile and honest buffers.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use sluice_control::{
    DiskEntry, DiskRequest, ListWriter, Request, RequestError, UnlockRequest, VERSION, code, entries,
};
use zerocopy::{FromZeros, IntoBytes};

#[test]
fn only_the_exact_length_and_version_is_understood() {
    for control in [code::READ_HEADER, code::UNLOCK_OPEN, code::LOCK, code::STATISTICS] {
        let honest = DiskRequest::new(7);
        assert!(Request::parse(control, honest.as_bytes()).is_ok());
        for length in (0..64).filter(|&length| length != 8) {
            assert_eq!(Request::parse(control, &vec![0; length]).unwrap_err(), RequestError::Length);
        }
        let newer = DiskRequest { version: VERSION + 1, disk: 7 };
        assert_eq!(Request::parse(control, newer.as_bytes()).unwrap_err(), RequestError::Version);
    }
    let unlock = UnlockRequest::new(3, 2, [9; 32]);
    let Ok(Request::Unlock(parsed)) = Request::parse(code::UNLOCK, unlock.as_bytes()) else { panic!() };
    assert_eq!((parsed.disk, parsed.slot, parsed.key), (3, 2, [9; 32]));
    let open = Request::parse(code::UNLOCK_OPEN, DiskRequest::new(7).as_bytes());
    assert!(matches!(open, Ok(Request::UnlockOpen(7))), "a request without a key names its disk");
    for length in (0..100).filter(|&length| length != 48) {
        assert_eq!(Request::parse(code::UNLOCK, &vec![1; length]).unwrap_err(), RequestError::Length);
    }
    assert_eq!(Request::parse(code::LIST, &[0]).unwrap_err(), RequestError::Length);
    assert_eq!(Request::parse(0x22_0000, &[]).unwrap_err(), RequestError::Code);
}

#[test]
fn a_key_is_not_shown() {
    let shown = format!("{:?}", UnlockRequest::new(1, 0, [0xab; 32]));
    assert!(!shown.contains("171") && !shown.to_lowercase().contains("ab"), "{shown}");
}

#[test]
fn a_list_that_does_not_fit_says_how_much_there_is() {
    let mut entry = DiskEntry::new_zeroed();
    for room in 0..700 {
        let mut buffer = vec![0xee; room];
        let Some(mut list) = ListWriter::new(&mut buffer) else {
            assert!(room < 16);
            continue;
        };
        for id in 0..3 {
            entry.id = id;
            list.push(&entry);
        }
        let length = list.finish();
        let (total, found) = entries(&buffer[..length]).unwrap();
        let ids: Vec<u32> = found.map(|entry| entry.id).collect();
        assert_eq!(total, 3);
        assert_eq!(ids.len(), ((room - 16) / 184).min(3));
        assert!(ids.iter().zip(0..).all(|(id, expected)| *id == expected));
        assert!(buffer[length..].iter().all(|&byte| byte == 0xee));
    }
}

#[test]
fn a_list_that_lies_gives_no_more_than_there_is() {
    let mut list = vec![0; 16 + 184];
    ListWriter::new(&mut list).unwrap().finish();
    list[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(entries(&list).unwrap().1.count(), 1);
    list[4] = 1;
    assert!(entries(&list).is_none());
    assert!(entries(&list[..15]).is_none());
}
