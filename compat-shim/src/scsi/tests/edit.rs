//! Answers as devices give them, and what becomes of them.

use alloc::{vec, vec::Vec};

use proptest::prelude::*;

use crate::scsi::{
    cdb::Form,
    edit::{Edit, FRONT, Volume},
    lba_status,
};

const IN_PLACE: Volume = Volume { mapped: false, discards: true, sector_size: 512, longest: 1 << 20 };
const MAPPED: Volume = Volume { mapped: true, ..IN_PLACE };
const QUIET: Volume = Volume { discards: false, ..IN_PLACE };

fn edited(edit: Edit, volume: &Volume, answer: &[u8], room: usize) -> Vec<u8> {
    let mut buffer = vec![0xEE; room];
    buffer[..answer.len()].copy_from_slice(answer);
    let length = edit.apply(volume, &mut buffer, answer.len());
    assert!(length <= room && buffer[length.max(answer.len())..].iter().all(|byte| *byte == 0xEE));
    buffer.truncate(length);
    buffer
}

#[test]
fn copies_are_hidden_and_a_mapped_volumes_pages_shown() {
    let listed = [0, 0, 0, 4, 0x00, 0x80, 0x83, 0x8F];
    assert_eq!(edited(Edit::Pages, &IN_PLACE, &listed, 64), [0, 0, 0, 3, 0x00, 0x80, 0x83]);
    let with = [0, 0, 0, 5, 0x00, 0x80, 0x83, 0xB0, 0xB2];
    assert_eq!(edited(Edit::Pages, &MAPPED, &listed, 64), with);
    assert_eq!(edited(Edit::Pages, &MAPPED, &with, 64), with);
    // As much as there is room for, and the whole length told.
    assert_eq!(edited(Edit::Pages, &MAPPED, &listed, 8), with[..8]);
    assert_eq!(edited(Edit::Pages, &MAPPED, &listed[..2], 8), listed[..2]);
}

#[test]
fn limits_are_cut_down_to_ours() {
    let mut page = [0_u8; 64];
    (page[1], page[3], page[5]) = (0xB0, 60, 8);
    page[8..12].copy_from_slice(&0xFFFF_u32.to_be_bytes());
    page[20..24].copy_from_slice(&77_u32.to_be_bytes());
    page[44] = 9;
    let said = edited(Edit::Limits, &IN_PLACE, &page, 64);
    assert_eq!((said[4] & 1, said[5], said[44]), (1, 0, 0));
    assert_eq!(said[8..12], 2048_u32.to_be_bytes());
    assert_eq!(said[36..44], 2048_u64.to_be_bytes());
    assert_eq!(said[20..24], 77_u32.to_be_bytes());
    assert_eq!(edited(Edit::Limits, &QUIET, &page, 64)[20..36], [0; 16]);
    page[8..12].fill(0); // no limit
    assert_eq!(edited(Edit::Limits, &IN_PLACE, &page, 64)[8..12], 2048_u32.to_be_bytes());
    let b2 = [0, 0xB2, 0, 4, 0, 0xFF, 2, 0];
    assert_eq!(edited(Edit::Limits, &IN_PLACE, &b2, 64), b2, "another page is left alone");
    assert_eq!(edited(Edit::Provisioning, &IN_PLACE, &b2, 64), [0, 0xB2, 0, 4, 0, 0x80, 2, 0]);
    assert_eq!(edited(Edit::Provisioning, &QUIET, &b2, 64), [0, 0xB2, 0, 4, 0, 0, 0, 0]);
}

#[test]
fn mode_pages_say_write_protected_or_cached() {
    // A block descriptor, then pages 01, 0A with a subpage, and 08.
    let mut six = vec![0, 0, 0x10, 8];
    six.extend([0; 8]);
    six.extend([0x01, 2, 0, 0, 0x4A, 1, 0, 3, 9, 9, 9, 0x08, 18, 0, 0]);
    let said = edited(Edit::WriteProtect(Form::Six), &IN_PLACE, &six, 64);
    assert_eq!((said[2], &said[3..]), (0x90, &six[3..]));
    let cache = |changeable| Edit::WriteCache { form: Form::Six, changeable };
    assert_eq!(edited(cache(false), &MAPPED, &six, 64)[25], 0x04);
    six[25] = 0x05;
    assert_eq!(edited(cache(true), &MAPPED, &six, 64)[25], 0x01);
    let ten = [0, 12, 0, 0, 0, 0, 0, 0, 0x08, 18, 1, 0];
    let cache = Edit::WriteCache { form: Form::Ten, changeable: false };
    assert_eq!(edited(cache, &MAPPED, &ten, 64)[10], 5);
    assert_eq!(edited(Edit::WriteProtect(Form::Ten), &MAPPED, &ten, 64)[3], 0x80);
    assert_eq!(edited(cache, &MAPPED, &ten[..10], 64), ten[..10]);
}

#[test]
fn properties_of_a_mapped_volume_are_its_own() {
    let said = edited(Edit::MaximumTransfer, &IN_PLACE, &[0xFF; 32], 64);
    assert_eq!((&said[8..12], &said[12..]), (&(1_u32 << 20).to_le_bytes()[..], &[0xFF; 20][..]));
    assert_eq!(edited(Edit::TrimProperty, &MAPPED, &[0; 12], 64)[8], 1);
    let thin = edited(Edit::ProvisioningProperty, &MAPPED, &[0; 40], 64);
    assert_eq!((thin[8], &thin[16..20]), (0x23, &4096_u32.to_le_bytes()[..]));
    assert_eq!(edited(Edit::ProvisioningProperty, &IN_PLACE, &[0xFF; 40], 64)[8], 0xE1);
    assert_eq!(edited(Edit::ProvisioningProperty, &QUIET, &[0xFF; 40], 64)[8], 0xE0);
    let cache = edited(Edit::WriteCacheProperty, &MAPPED, &[0xFF; 28], 64);
    assert_eq!((cache[8], cache[12], cache[16], cache[24], cache[25], cache[26]), (2, 2, 1, 1, 0, 0));
    let aligned = edited(Edit::AlignmentProperty, &MAPPED, &[0xFF; 28], 64);
    assert_eq!((&aligned[20..24], &aligned[24..28]), (&4096_u32.to_le_bytes()[..], &[0; 4][..]));
}

const ALL: [Edit; 12] = [
    Edit::MaximumTransfer,
    Edit::Pages,
    Edit::Limits,
    Edit::Provisioning,
    Edit::WriteProtect(Form::Six),
    Edit::WriteProtect(Form::Ten),
    Edit::WriteCache { form: Form::Six, changeable: false },
    Edit::WriteCache { form: Form::Ten, changeable: true },
    Edit::ProvisioningProperty,
    Edit::AlignmentProperty,
    Edit::TrimProperty,
    Edit::WriteCacheProperty,
];

proptest! {
    #[test]
    fn any_bytes_can_be_edited(bytes: Vec<u8>, room in 0..FRONT, mapped: bool, discards: bool, sector_size: u32) {
        let volume = Volume { mapped, discards, sector_size, longest: 1 << 20 };
        let bytes = &bytes[..bytes.len().min(room)];
        for edit in ALL {
            let said = edited(edit, &volume, bytes, room);
            prop_assert!(edit == Edit::Pages || said.len() == bytes.len());
        }
    }
}

#[test]
fn stretches_with_and_without_data_are_told_in_turn() {
    let mut answer = [0xEE; 8 + 3 * 16];
    let holds = [true, true, false, true];
    let written = lba_status::write(3, 8, holds.into_iter(), &mut answer);
    assert_eq!(written, answer.len());
    assert_eq!(answer[..8], [0, 0, 0, 4 + 48, 0, 0, 0, 0]);
    let told: Vec<_> = answer[8..]
        .chunks(16)
        .map(|one| {
            let first = u64::from_be_bytes(one[..8].try_into().unwrap());
            (first, u32::from_be_bytes(one[8..12].try_into().unwrap()), one[12], one[13..] == [0; 3])
        })
        .collect();
    assert_eq!(told, [(3, 13, 0, true), (16, 8, 1, true), (24, 8, 0, true)]);
    // Less room: the list ends earlier, and the length says so.
    let mut short = [0xEE; 8 + 2 * 16 + 5];
    assert_eq!(lba_status::write(3, 8, holds.into_iter(), &mut short), 40);
    assert_eq!((short[3], &short[40..]), (36, &[0xEE; 5][..]));
    assert_eq!(lba_status::write(0, 8, holds.into_iter(), &mut [0; 7]), 0);
    assert_eq!(lba_status::write(0, 8, holds.into_iter(), &mut [0; 23]), 8);
}
