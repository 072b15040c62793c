#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use alloc::{string::String, vec, vec::Vec};

use super::{
    descriptors::{self, Adapter, NoAnswer, ROOM, bus},
    identifiers::{self, Text},
    luns,
    profile::Profile,
};
use crate::storport::{SrbKind, srb::Address};

const ADAPTER: Adapter = Adapter {
    max_transfer: 1 << 20,
    max_pages: 257,
    alignment_mask: 3,
    bus: bus::VIRTUAL,
    srb_kind: SrbKind::Extended,
};

fn standard() -> Vec<u8> {
    let mut data = vec![0, 0x80, 6, 2, 31, 0, 0, 2];
    data.extend_from_slice(b"Sluice  RAM, disk \\     1a\x07 ");
    data
}

/// A vendor's name of five bytes, and an NAA name of the target.
const PAGE_83: &[u8] =
    b"\0\x83\0\x15\x02\x01\0\x05Name1\x01\x23\0\x08\x30\0\0\0\x53\x75\x69\x63beyond the page";

fn unit() -> Profile {
    Profile::new(&standard(), b"\0\x80\0\x04A123and more", PAGE_83).unwrap()
}

fn strings(text: &Text) -> Vec<String> {
    let all = String::from_utf16(text.as_units()).unwrap();
    all.split('\0').map(String::from).collect()
}

#[test]
fn every_identifier_is_as_documented_and_holds_no_character_that_plug_and_play_dies_of() {
    assert_eq!(strings(&identifiers::device(&unit())), ["SCSI\\DiskSluice__RAM__disk_______1a__", ""]);
    assert_eq!(
        strings(&identifiers::hardware(&unit())),
        [
            "SCSI\\DiskSluice__RAM__disk_______1a__",
            "SCSI\\DiskSluice__RAM__disk_______",
            "SCSI\\DiskSluice__",
            "SCSI\\Sluice__RAM__disk_______1",
            "Sluice__RAM__disk_______1",
            "GenDisk",
            "",
            ""
        ]
    );
    assert_eq!(strings(&identifiers::compatible(&unit())), ["SCSI\\Disk", "SCSI\\RAW", "", ""]);
    let address = Address { path: 0, target: 12, lun: 255 };
    assert_eq!(strings(&identifiers::instance(address)), ["000cff", ""]);
    assert_eq!(strings(&identifiers::location(address)), ["Bus Number 0, Target Id 12, LUN 255", ""]);
    assert_eq!(strings(&identifiers::description(&unit())), ["Sluice RAM, disk \\ SCSI Disk Device", ""]);
}

#[test]
fn the_longest_identifiers_fit_and_end_and_no_byte_of_a_unit_gets_through_that_may_not() {
    for kind in 0..31 {
        for byte in 0..=255 {
            let mut data = vec![byte; 36];
            data[0] = kind;
            let unit = Profile::new(&data, &[], &[]).unwrap();
            let hardware = identifiers::hardware(&unit);
            assert!(hardware.as_units().ends_with(&[0, 0]));
            assert!(strings(&hardware).len() >= 7, "{:?}", strings(&hardware));
            for text in [hardware, identifiers::device(&unit), identifiers::compatible(&unit)] {
                let legal =
                    |unit: &u16| *unit == 0 || (0x21..0x7F).contains(unit) && *unit != u16::from(b',');
                assert!(text.as_units().iter().all(legal), "{:?}", strings(&text));
                assert_eq!(text.as_units().last(), Some(&0));
            }
        }
    }
}

#[test]
fn where_no_unit_is_there_is_no_profile() {
    assert!(Profile::new(&standard()[..35], &[], &[]).is_none());
    for first in [0x20, 0x60, 0x7F, 0x1F] {
        let mut data = standard();
        data[0] = first;
        assert!(Profile::new(&data, &[], &[]).is_none(), "{first:#x}");
    }
}

#[test]
fn designators_end_with_their_page_and_none_is_taken_that_is_cut_off() {
    let names: Vec<_> = unit().designators().map(|one| one.identifier.to_vec()).collect();
    assert_eq!(names, [b"Name1".to_vec(), b"\x30\0\0\0\x53\x75\x69\x63".to_vec()]);
    for length in 0..PAGE_83.len() {
        let cut = Profile::new(&standard(), &[], &PAGE_83[..length]).unwrap();
        let whole = [13, 25].iter().filter(|end| length >= **end).count();
        assert_eq!(cut.designators().count(), whole, "{length}");
    }
    let stranger = Profile::new(&standard(), PAGE_83, b"\0\x80\0\x04A123").unwrap();
    assert!(stranger.designators().next().is_none() && stranger.serial().is_empty());
    assert!(unit().is_same(&unit()) && !unit().is_same(&stranger));
}

fn ask(id: u32, kind: u32, room: usize, unit: Option<&Profile>) -> Result<Vec<u8>, NoAnswer> {
    let query: Vec<u8> = [id, kind, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut into = [0; ROOM];
    descriptors::answer(&query, room, &ADAPTER, unit, &mut into).map(|length| into[..length].to_vec())
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().unwrap())
}

#[test]
fn the_adapter_describes_itself_to_whoever_asks_it_or_its_unit() {
    let adapter = ask(1, 0, 64, None).unwrap();
    assert_eq!(adapter.len(), 32);
    assert_eq!([0, 4, 8, 12, 16].map(|at| word(&adapter, at)), [32, 32, 1 << 20, 257, 3]);
    assert_eq!(adapter[20..], [0, 0, 1, 0, 14, 0, 0, 0, 0, 0, 1, 1]);
    assert_eq!(ask(1, 0, 64, Some(&unit())).unwrap(), adapter);
    assert_eq!(ask(0, 0, 64, None), Err(NoAnswer::Unknown), "an adapter is no device");
}

#[test]
fn a_unit_describes_itself() {
    let device = ask(0, 0, ROOM, Some(&unit())).unwrap();
    assert_eq!((word(&device, 0), word(&device, 4) as usize), (40, device.len()));
    assert_eq!(device[8..12], [0, 0, 1, 1]);
    let text = |at: usize| {
        let from = word(&device, at) as usize;
        let length = device[from..].iter().position(|byte| *byte == 0).unwrap();
        device[from..from + length].to_vec()
    };
    assert_eq!((text(12), text(16)), (b"Sluice  ".to_vec(), b"RAM, disk \\     ".to_vec()));
    assert_eq!((text(20), text(24)), (b"1a\x07 ".to_vec(), b"A123".to_vec()));
    assert_eq!((word(&device, 28), word(&device, 32)), (14, 36));
    assert_eq!(device[36..72], standard());
    let nameless = Profile::new(&standard(), &[], &[]).unwrap();
    assert_eq!(word(&ask(0, 0, ROOM, Some(&nameless)).unwrap(), 24), 0, "no serial number, no offset");
}

#[test]
fn a_units_names_are_those_of_its_page() {
    let names = ask(2, 0, ROOM, Some(&unit())).unwrap();
    assert_eq!([0, 4, 8].map(|at| word(&names, at)), [13, names.len() as u32, 2]);
    assert_eq!([12, 16, 20, 24].map(|at| word(&names, at)), [2, 1, 24 << 16 | 5, 0]);
    assert_eq!(&names[28..33], b"Name1");
    assert_eq!([36, 40, 44, 48].map(|at| word(&names, at)), [1, 3, 8, 2]);
    assert_eq!(names.len(), 60);
    let nameless = Profile::new(&standard(), &[], &[]).unwrap();
    assert_eq!(ask(2, 0, ROOM, Some(&nameless)), Err(NoAnswer::Unknown));
}

#[test]
fn the_largest_page_of_names_fits() {
    let mut page = vec![0, 0x83, 0, 255];
    page.extend([0x01, 0x01, 0, 1, 7].repeat(51));
    let crowded = Profile::new(&standard(), &[], &page).unwrap();
    let names = ask(2, 0, ROOM + 1, Some(&crowded)).unwrap();
    assert_eq!((word(&names, 4) as usize, word(&names, 8)), (12 + 51 * 20, 51));
}

#[test]
fn a_query_may_be_short_or_strange() {
    for length in 0..8 {
        let mut into = [0; ROOM];
        let short = descriptors::answer(&[0; 8][..length], 64, &ADAPTER, None, &mut into);
        assert_eq!(short, Err(NoAnswer::Query));
    }
    assert_eq!(ask(1, 0, 7, None), Err(NoAnswer::Room));
    assert_eq!(ask(1, 0, 8, None).unwrap().len(), 8, "the head alone says how much there is");
    assert_eq!(ask(1, 1, 0, None), Ok(Vec::new()), "it exists");
    assert_eq!(ask(1, 2, 64, None), Err(NoAnswer::Unknown));
    for id in (3..64).chain([u32::MAX]) {
        assert_eq!(ask(id, 1, 64, Some(&unit())), Err(NoAnswer::Unknown));
    }
}

#[test]
fn report_luns_is_believed_as_far_as_it_reaches() {
    let mut answer = vec![0, 0, 0, 40, 0, 0, 0, 0];
    for entry in [[0, 0], [0, 7], [0x40, 200], [0x41, 0], [0xC1, 1]] {
        answer.extend_from_slice(&entry);
        answer.extend_from_slice(&[0; 6]);
    }
    let found = |answer: &[u8]| luns::units(answer).collect::<Vec<_>>();
    assert_eq!(found(&answer), [0, 7, 200], "units beyond a byte and of other kinds are left out");
    assert_eq!(found(&answer[..23]), [0]);
    answer[3] = 16;
    assert_eq!(found(&answer), [0, 7]);
    answer[..4].fill(0xFF);
    assert_eq!(found(&answer), [0, 7, 200]);
    for length in 0..answer.len() {
        let _ = found(&answer[..length]);
    }
}
