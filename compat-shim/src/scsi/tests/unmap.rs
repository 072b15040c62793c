//! UNMAP's parameter list.

use alloc::vec::Vec;

use proptest::prelude::*;

use crate::scsi::{
    cdb::BlockRange,
    unmap::{DESCRIPTOR, HEADER, MAX_DESCRIPTORS, UnmapError, UnmapList, length, write},
};

fn one() -> [u8; 24] {
    let mut list = [0; 24];
    let range = BlockRange { lba: 5, blocks: 6 };
    assert_eq!(write([range], &mut list), Some(24));
    list
}

#[test]
fn lying_lengths_are_refused() {
    let lie = |at: usize, value: u16| {
        let mut list = one();
        list[at..at + 2].copy_from_slice(&value.to_be_bytes());
        UnmapList::parse(&list).map(|list| list.len())
    };
    assert_eq!(lie(0, 22), Ok(1));
    assert_eq!(lie(0, 23), Err(UnmapError::Length), "more than there is");
    assert_eq!(lie(0, u16::MAX), Err(UnmapError::Length));
    assert_eq!(lie(0, 21), Err(UnmapError::Length), "less than the descriptors");
    assert_eq!(lie(2, 17), Err(UnmapError::Length));
    assert_eq!(lie(2, u16::MAX), Err(UnmapError::Length));
    assert_eq!(lie(2, 15), Ok(0), "a descriptor cut short");
    assert_eq!(UnmapList::parse(&one()[..7]).map(|_| ()), Err(UnmapError::Short));
    assert!(UnmapList::parse(&[]).unwrap().is_empty());
}

#[test]
fn a_list_that_does_not_fit_is_not_written() {
    let range = BlockRange { lba: 5, blocks: 6 };
    assert_eq!(write([range, range], &mut one()), None);
    assert_eq!(write([], &mut [0; 7]), None);
    assert_eq!(write([], &mut [0xFF; 8]), Some(8));
    assert_eq!(length(MAX_DESCRIPTORS), Some((HEADER + MAX_DESCRIPTORS * DESCRIPTOR) as u16));
    assert_eq!(length(MAX_DESCRIPTORS + 1), None);
}

proptest! {
    #[test]
    fn written_lists_parse_back(ranges in proptest::collection::vec(any::<(u64, u32)>(), 0..50)) {
        let ranges: Vec<_> = ranges.into_iter().map(|(lba, blocks)| BlockRange { lba, blocks }).collect();
        let mut list = [0xAA; HEADER + 50 * DESCRIPTOR];
        let written = write(ranges.iter().copied(), &mut list).unwrap();
        prop_assert_eq!(Some(written), length(ranges.len()));
        let parsed = UnmapList::parse(&list[..usize::from(written)]).unwrap();
        prop_assert_eq!(parsed.ranges().collect::<Vec<_>>(), ranges);
    }

    #[test]
    fn no_list_shows_more_than_it_holds(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(list) = UnmapList::parse(&bytes) {
            prop_assert!(list.is_empty() || HEADER + list.len() * DESCRIPTOR <= bytes.len());
            prop_assert_eq!(list.ranges().len(), list.len());
        }
    }
}
