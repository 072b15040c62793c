//! The RAM disk, asked by SRBs of both kinds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::ffi::c_void;

use sluice_miniport_ram::Ram;
use sluice_shim::{
    scsi::sense::Sense,
    storport::{
        SrbFlags, SrbFunction, SrbKind, SrbStatus,
        srb::{Address, SrbRequest, SrbStorage},
    },
};

const KINDS: [SrbKind; 2] = [SrbKind::Legacy, SrbKind::Extended];
const SECTORS: u64 = 1 << 10;

struct Answer {
    status: SrbStatus,
    moved: usize,
    sense: Option<Sense>,
}

fn ram(kind: SrbKind) -> Ram {
    Ram::new(SECTORS, 512, kind).unwrap()
}

fn send(ram: &Ram, kind: SrbKind, request: SrbRequest<'_>, data: &mut [u8]) -> Answer {
    let mut sense = [0; 32];
    let request = SrbRequest { sense_buffer: sense.as_mut_ptr(), sense_length: 32, ..request }.with_data(
        SrbFlags::DATA_IN,
        if data.is_empty() { std::ptr::null_mut() } else { data.as_mut_ptr().cast::<c_void>() },
        data.len() as u32,
    );
    let mut srb = SrbStorage::new();
    let mut view = srb.filled(kind, &request).unwrap();
    // SAFETY: the SRB names `data` and `sense`.
    unsafe { ram.execute(&mut view) };
    let status = view.srb_status();
    Answer {
        status: status.code(),
        moved: view.data_transfer_length() as usize,
        sense: status.has_sense().then(|| Sense::parse(&sense).unwrap()),
    }
}

fn command(ram: &Ram, kind: SrbKind, cdb: &[u8], data: &mut [u8]) -> Answer {
    send(ram, kind, SrbRequest::command(cdb), data)
}

/// READ (`write` false) or WRITE in each form that can say it.
fn forms(write: bool, lba: u64, blocks: u32, kind: SrbKind) -> Vec<Vec<u8>> {
    let pick = |read: u8, written: u8| if write { written } else { read };
    let (a, n) = (lba.to_be_bytes(), blocks.to_be_bytes());
    let mut six = vec![pick(0x08, 0x0A), a[5] & 0x1F, a[6], a[7], n[3], 0];
    if blocks == 256 {
        six[4] = 0;
    }
    let mut forms = vec![
        vec![pick(0x28, 0x2A), 0, a[4], a[5], a[6], a[7], 0, n[2], n[3], 0],
        vec![pick(0xA8, 0xAA), 0, a[4], a[5], a[6], a[7], n[0], n[1], n[2], n[3], 0, 0],
        [&[pick(0x88, 0x8A), 0][..], &a, &n, &[0, 0]].concat(),
    ];
    if blocks <= 256 && lba < 1 << 21 {
        forms.push(six);
    }
    if kind == SrbKind::Extended {
        let service = if write { 0x0B } else { 0x09 };
        let mut long = vec![0x7F, 0, 0, 0, 0, 0, 0, 24, 0, service, 0, 0];
        long.extend(a);
        long.extend([0; 8]);
        long.extend(n);
        forms.push(long);
    }
    forms
}

#[test]
fn every_form_of_read_and_write_moves_the_same_blocks() {
    for kind in KINDS {
        for (lba, blocks) in [(0, 1), (5, 2), (100, 256), (SECTORS - 1, 1), (SECTORS - 300, 300)] {
            for (turn, write) in forms(true, lba, blocks, kind).into_iter().enumerate() {
                let ram = ram(kind);
                let mut data: Vec<u8> =
                    (0..blocks * 512).map(|n| (n / 512 + n * 7) as u8 ^ turn as u8).collect();
                let answer = command(&ram, kind, &write, &mut data);
                assert_eq!((answer.status, answer.moved), (SrbStatus::SUCCESS, data.len()), "{write:x?}");
                for read in forms(false, lba, blocks, kind) {
                    let mut back = vec![0; data.len()];
                    let answer = command(&ram, kind, &read, &mut back);
                    assert_eq!((answer.status, answer.moved), (SrbStatus::SUCCESS, data.len()), "{read:x?}");
                    assert!(back == data, "{write:x?} {read:x?}");
                }
                let mut raw = vec![0; data.len()];
                assert_eq!(ram.peek(lba * 512, &mut raw), data.len());
                assert!(raw == data);
            }
        }
    }
}

#[test]
fn no_block_beyond_the_end_is_touched() {
    for kind in KINDS {
        let ram = ram(kind);
        for (lba, blocks) in [(SECTORS, 1), (SECTORS - 1, 2), (u64::from(u32::MAX), 1), (0, 2000)] {
            for cdb in [forms(false, lba, blocks, kind), forms(true, lba, blocks, kind)].concat() {
                if cdb.len() == 6 {
                    continue;
                }
                let answer = command(&ram, kind, &cdb, &mut vec![0; 512 * blocks as usize]);
                assert_eq!((answer.status, answer.moved), (SrbStatus::ERROR, 0), "{cdb:x?}");
                assert_eq!(answer.sense, Some(Sense::new(5, 0x21, 0)), "{cdb:x?}");
            }
        }
        let mut far = [0x88, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 2, 0, 0];
        assert_eq!(command(&ram, kind, &far, &mut [0; 1024]).sense, Some(Sense::new(5, 0x21, 0)));
        far[0] = 0x8F; // VERIFY
        assert_eq!(command(&ram, kind, &far, &mut []).sense, Some(Sense::new(5, 0x21, 0)));
        far[0] = 0x91; // SYNCHRONIZE CACHE
        assert_eq!(command(&ram, kind, &far, &mut []).sense, Some(Sense::new(5, 0x21, 0)));
    }
}

#[test]
fn less_room_than_blocks_is_refused_and_more_is_told() {
    for kind in KINDS {
        let ram = ram(kind);
        let two = [0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0];
        assert_eq!(command(&ram, kind, &two, &mut [0; 1023]).sense, Some(Sense::new(5, 0x24, 0)));
        assert_eq!(command(&ram, kind, &two, &mut []).sense, Some(Sense::new(5, 0x24, 0)));
        let mut more = [7; 2000];
        let answer = command(&ram, kind, &two, &mut more);
        assert_eq!((answer.status, answer.moved), (SrbStatus::DATA_OVERRUN, 1024));
        assert!(more[..1024].iter().all(|byte| *byte == 0) && more[1024..].iter().all(|byte| *byte == 7));
        let none = [0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(command(&ram, kind, &none, &mut []).status, SrbStatus::SUCCESS, "no blocks are no error");
    }
}

#[test]
fn it_says_what_it_is() {
    for kind in KINDS {
        let ram = ram(kind);
        let mut data = [0; 255];
        let answer = command(&ram, kind, &[0x12, 0, 0, 0, 36, 0], &mut data[..36]);
        assert_eq!((answer.status, answer.moved), (SrbStatus::SUCCESS, 36));
        assert_eq!(&data[8..16], b"Sluice  ");
        let mut capacity = [0; 8];
        command(&ram, kind, &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], &mut capacity);
        assert_eq!(capacity, [0, 0, 3, 0xFF, 0, 0, 2, 0]);
        let mut capacity = [0; 32];
        let sixteen = [0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
        assert_eq!(command(&ram, kind, &sixteen, &mut capacity).moved, 32);
        assert_eq!((&capacity[..12], capacity[14]), (&[0, 0, 0, 0, 0, 0, 3, 0xFF, 0, 0, 2, 0][..], 0xC0));
        for page in [0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2] {
            let answer = command(&ram, kind, &[0x12, 1, page, 0, 255, 0], &mut data);
            assert!(answer.moved >= 8 && answer.moved == usize::from(data[3]) + 4, "page {page:x}");
            assert_eq!(data[1], page);
        }
        for cdb in [[0x12, 1, 0xC0, 0, 255, 0], [0x12, 0, 0x80, 0, 255, 0], [0x1A, 0, 0x0A, 0, 255, 0]] {
            assert_eq!(command(&ram, kind, &cdb, &mut data).sense, Some(Sense::new(5, 0x24, 0)), "{cdb:x?}");
        }
        assert_eq!(command(&ram, kind, &[0x1A, 0, 0x08, 0, 255, 0], &mut data).moved, 24);
        assert_eq!(command(&ram, kind, &[0x5A, 0, 0x3F, 0, 0, 0, 0, 0, 255, 0], &mut data).moved, 28);
        let luns = [0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0];
        assert_eq!(command(&ram, kind, &luns, &mut data).moved, 16);
        assert_eq!(command(&ram, kind, &[0x03, 0, 0, 0, 18, 0], &mut data).moved, 18);
        for cdb in [[0x00, 0, 0, 0, 0, 0], [0x1B, 0, 0, 0, 1, 0]] {
            let answer = command(&ram, kind, &cdb, &mut []);
            assert_eq!((answer.status, answer.moved), (SrbStatus::SUCCESS, 0));
        }
    }
}

#[test]
fn what_it_does_not_have_is_refused() {
    for kind in KINDS {
        let ram = ram(kind);
        for operation in 0..=0xFF_u8 {
            let known = [
                0x00, 0x03, 0x08, 0x0A, 0x12, 0x1A, 0x1B, 0x25, 0x28, 0x2A, 0x2F, 0x35, 0x42, 0x5A, 0x88,
                0x8A, 0x8F, 0x91, 0xA0, 0xA8, 0xAA, 0xAF,
            ];
            if known.contains(&operation) {
                continue;
            }
            let mut cdb = [0; 16];
            cdb[0] = operation;
            let answer = command(&ram, kind, &cdb, &mut [0; 512]);
            assert_eq!((answer.status, answer.moved), (SrbStatus::ERROR, 0), "{operation:x}");
            let sense = answer.sense.unwrap();
            assert!(sense.key == 5 && matches!(sense.asc, 0x20 | 0x24), "{operation:x}: {sense:?}");
        }
        let protected = [0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0];
        assert_eq!(command(&ram, kind, &protected, &mut [0; 512]).sense, Some(Sense::new(5, 0x24, 0)));
        let compare = [0x2F, 0x02, 0, 0, 0, 0, 0, 0, 1, 0];
        assert_eq!(command(&ram, kind, &compare, &mut [0; 512]).sense, Some(Sense::new(5, 0x24, 0)));
        let elsewhere = SrbRequest {
            address: Address { path: 0, target: 0, lun: 1 },
            ..SrbRequest::command(&[0x00, 0, 0, 0, 0, 0])
        };
        assert_eq!(send(&ram, kind, elsewhere, &mut []).status, SrbStatus::NO_DEVICE);
        for (function, status) in [
            (SrbFunction::FLUSH, SrbStatus::SUCCESS),
            (SrbFunction::SHUTDOWN, SrbStatus::SUCCESS),
            (SrbFunction::RESET_BUS, SrbStatus::SUCCESS),
            (SrbFunction::RESET_DEVICE, SrbStatus::SUCCESS),
            (SrbFunction::RESET_LOGICAL_UNIT, SrbStatus::SUCCESS),
            (SrbFunction::WMI, SrbStatus::INVALID_REQUEST),
            (SrbFunction::DUMP_POINTERS, SrbStatus::INVALID_REQUEST),
        ] {
            assert_eq!(
                send(&ram, kind, SrbRequest::function(function), &mut []).status,
                status,
                "{function:?}"
            );
        }
    }
}

#[test]
fn unmap_is_all_or_nothing_and_reads_zeros() {
    for kind in KINDS {
        let ram = ram(kind);
        let fill = forms(true, 0, 32, kind).remove(0);
        command(&ram, kind, &fill, &mut [9; 32 * 512]);
        let unmap = |ranges: &[(u64, u32)]| {
            let mut list = vec![0; 8];
            list[..2].copy_from_slice(&(16 * ranges.len() as u16 + 6).to_be_bytes());
            list[2..4].copy_from_slice(&(16 * ranges.len() as u16).to_be_bytes());
            for (lba, blocks) in ranges {
                list.extend([&lba.to_be_bytes()[..], &blocks.to_be_bytes(), &[0; 4]].concat());
            }
            let length = (list.len() as u16).to_be_bytes();
            command(&ram, kind, &[0x42, 0, 0, 0, 0, 0, 0, length[0], length[1], 0], &mut list)
        };
        let zero = |sector: u64| {
            let mut raw = [1; 512];
            ram.peek(sector * 512, &mut raw);
            raw.iter().all(|byte| *byte == 0)
        };
        assert_eq!(unmap(&[(3, 2), (SECTORS, 1)]).sense, Some(Sense::new(5, 0x21, 0)));
        assert!(!zero(3), "one range is not on the disk: none is unmapped");
        assert_eq!(unmap(&[(3, 2), (9, 0), (SECTORS - 1, 1)]).status, SrbStatus::SUCCESS);
        assert!(!zero(2) && zero(3) && zero(4) && !zero(5) && !zero(9));
        assert_eq!(unmap(&[(0, 1); 64]).status, SrbStatus::SUCCESS);
        assert_eq!(unmap(&[(0, 1); 65]).sense, Some(Sense::new(5, 0x1A, 0)), "more than it said it takes");
        let short = [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0];
        assert_eq!(command(&ram, kind, &short, &mut [0; 8]).sense, Some(Sense::new(5, 0x1A, 0)));
        let anchored = [0x42, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(command(&ram, kind, &anchored, &mut []).sense, Some(Sense::new(5, 0x24, 0)));
    }
}
