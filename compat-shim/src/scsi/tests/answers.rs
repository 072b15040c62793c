//! What we answer ourselves, against the standards' offsets, and cut short everywhere.

use crate::scsi::{
    answers::{Capacity, Identity, Limits, inquiry, mode_sense, report_luns, vital},
    cdb::{Form, ModeSense},
    mode::changes_only_caching,
};

const CAPACITY: Capacity = Capacity {
    blocks: 1 << 33,
    block_size: 512,
    physical_exponent: 3,
    lowest_aligned: 7,
    provisioned: true,
    reads_zeros: false,
};
const IDENTITY: Identity<'_> = Identity {
    vendor: b"Sluice  ",
    product: b"RAM disk        ",
    revision: b"0.1 ",
    serial: b"0123456789",
    name: 0x5000_0000_0000_0001,
};
const LIMITS: Limits = Limits {
    max_transfer: 2048,
    max_unmap_blocks: u32::MAX,
    max_unmap_descriptors: 256,
    unmap_granularity: 8,
    max_write_same: 0,
    reads_zeros: true,
};

#[test]
fn capacity_says_the_last_block() {
    let mut data = [0xEE; 40];
    assert_eq!(CAPACITY.write_10(&mut data), 8);
    assert_eq!(data[..8], [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 2, 0], "too large for 32 bits");
    let small = Capacity { blocks: 100, block_size: 4096, ..CAPACITY };
    assert_eq!(small.write_10(&mut data), 8);
    assert_eq!(data[..8], [0, 0, 0, 99, 0, 0, 16, 0]);
    assert_eq!(CAPACITY.write_16(&mut data, 32), 32);
    assert_eq!(data[..16], [0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 2, 0, 0, 3, 0x80, 7]);
    assert_eq!(data[16..32], [0; 16]);
    assert_eq!(data[32..], [0xEE; 8]);
}

#[test]
fn inquiry_and_pages() {
    let mut data = [0; 64];
    assert_eq!(inquiry(&IDENTITY, &mut data, 255), 36);
    assert_eq!((data[0], data[4]), (0, 31));
    assert_eq!(&data[8..36], b"Sluice  RAM disk        0.1 ");
    let mut page = |code| vital(code, &IDENTITY, &LIMITS, &mut data, 255).map(|count| data[..count].to_vec());
    assert_eq!(page(0x00).unwrap(), [0, 0, 0, 6, 0, 0x80, 0x83, 0xB0, 0xB1, 0xB2]);
    assert_eq!(page(0x80).unwrap()[3..], *b"\x0A0123456789");
    assert_eq!(page(0x83).unwrap()[3..8], [12, 1, 3, 0, 8]);
    let limits = page(0xB0).unwrap();
    assert_eq!((limits.len(), limits[3]), (64, 60));
    assert_eq!(limits[8..12], 2048_u32.to_be_bytes());
    assert_eq!(limits[20..32], [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 1, 0, 0, 0, 0, 8]);
    assert_eq!(page(0xB1).unwrap()[..6], [0, 0xB1, 0, 60, 0, 1]);
    assert_eq!(page(0xB2).unwrap(), [0, 0xB2, 0, 4, 0, 0x84, 2, 0]);
    assert_eq!(page(0x8F), None);
    for code in [0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2] {
        assert_eq!(page(code).unwrap()[1], code, "every page that 00h lists is there");
    }
}

#[test]
fn mode_sense_shows_the_caching_page() {
    let six =
        ModeSense { page: 8, subpage: 0, control: 0, no_descriptors: true, form: Form::Six, allocation: 255 };
    let mut data = [0; 64];
    assert_eq!(mode_sense(&six, true, false, &mut data), Some(24));
    assert_eq!(data[..7], [23, 0, 0x10, 0, 8, 18, 4]);
    let ten = ModeSense { form: Form::Ten, page: 0x3F, control: 1, ..six };
    assert_eq!(mode_sense(&ten, true, true, &mut data), Some(28));
    assert_eq!(data[..11], [0, 26, 0, 0x90, 0, 0, 0, 0, 8, 18, 0], "nothing is changeable");
    assert_eq!(mode_sense(&ModeSense { page: 1, ..six }, true, false, &mut data), None);
}

#[test]
fn report_luns_lists_units() {
    let mut data = [0; 64];
    assert_eq!(report_luns(2, &mut data, 64), 24);
    assert_eq!((data[3], data[9], data[17]), (16, 0, 1));
}

#[test]
fn answers_are_cut_to_the_smaller_of_buffer_and_allocation() {
    let whole = {
        let mut data = [0; 32];
        CAPACITY.write_16(&mut data, 32);
        data
    };
    for room in 0..40_usize {
        for allocation in 0..40_u32 {
            let mut data = [0xEE; 40];
            let count = CAPACITY.write_16(&mut data[..room], allocation);
            assert_eq!(count, room.min(allocation as usize).min(32));
            assert_eq!(data[..count], whole[..count]);
            assert!(data[count..].iter().all(|byte| *byte == 0xEE));
        }
    }
}

#[test]
fn mode_select_lets_only_caching_and_prediction_through() {
    let caching = |length: u8| {
        let mut list = alloc::vec![0, 0, 0, 0, 8, length];
        list.resize(6 + usize::from(length), 0);
        list
    };
    assert!(changes_only_caching(&caching(18), Form::Six));
    assert!(changes_only_caching(&[0, 0, 0, 0, 0x1C, 2, 0, 0, 8, 1, 0], Form::Six));
    assert!(changes_only_caching(&[0, 0, 0, 0, 0, 0, 0, 0, 0x88, 1, 0], Form::Ten));
    assert!(changes_only_caching(&[], Form::Six));
    assert!(!changes_only_caching(&[0, 0, 0], Form::Six));
    assert!(!changes_only_caching(&caching(18)[..23], Form::Six), "cut short");
    assert!(!changes_only_caching(&[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0], Form::Six), "a block descriptor");
    assert!(!changes_only_caching(&[0, 0, 0, 0, 0, 0, 0, 8, 8, 0], Form::Ten), "a block descriptor");
    assert!(!changes_only_caching(&[0, 0, 0, 0, 8, 0, 0x0A, 0], Form::Six), "another page");
    assert!(!changes_only_caching(&[0, 0, 0, 0, 0x48, 0, 0], Form::Six), "a subpage");
}
