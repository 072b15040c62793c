//! The miniport behind the real shim, with its engine on a thread and a disk in memory below.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::sync::{Arc, Mutex};

use sluice_chain::{Flags, Status};
use sluice_miniport_mapped::Engine;
use sluice_shim::scsi::{cdb::BlockRange, unmap};
use sluice_user_host::Operation;

mod support;

use support::{Hosted, Memory, SECTOR, VOLUME, bytes, formatted, good, parts, range};

fn try_host(memory: &Memory) -> Option<Hosted> {
    support::host(memory, Engine::turn)
}

fn host(memory: &Memory) -> Hosted {
    try_host(memory).unwrap()
}

#[test]
fn what_is_written_is_read_with_many_requests_at_once_and_after_opening_again() {
    let memory = formatted();
    let mut expected = vec![0; VOLUME as usize];
    for round in 0..3 {
        let hosted = host(&memory);
        let mut whole = vec![1; VOLUME as usize];
        for (i, piece) in whole.chunks_mut(1 << 20).enumerate() {
            assert!(good(&hosted.disk.read((i << 11) as u64, piece)));
        }
        assert!(whole == expected, "round {round}");
        let mut tickets = Vec::new();
        for i in 0..200u64 {
            let (sector, sectors) = (i * 61 + round, 1 + (i as usize * 13) % 60);
            let data = bytes(sector, round, sectors);
            expected[range(sector * SECTOR as u64, data.len())].copy_from_slice(&data);
            tickets.push(hosted.disk.start(Operation::write(sector, data)));
            if i % 8 == 7 {
                tickets.drain(..).for_each(|ticket| assert!(good(&ticket.wait().0)));
            }
        }
        drop(tickets);
        assert!(good(&hosted.disk.flush()));
        assert!(good(&hosted.disk.verify(0, 64 << 10)));
        hosted.close();
    }
}

#[test]
fn discards_read_as_zeros_and_mistakes_are_refused() {
    let memory = formatted();
    let hosted = host(&memory);
    assert!(good(&hosted.disk.write(0, &bytes(0, 1, 64), Flags::FUA)));
    let mut list = vec![0; 40];
    unmap::write([BlockRange { lba: 8, blocks: 16 }, BlockRange { lba: 32, blocks: 8 }], &mut list).unwrap();
    assert!(good(&hosted.disk.discard(list)));
    let mut read = vec![1; 64 * SECTOR];
    assert!(good(&hosted.disk.read(0, &mut read)));
    let mut expected = bytes(0, 1, 64);
    expected[8 * SECTOR..24 * SECTOR].fill(0);
    expected[32 * SECTOR..40 * SECTOR].fill(0);
    assert!(read == expected);
    let end = VOLUME / SECTOR as u64;
    assert!(good(&hosted.disk.read(end - 8, &mut read[..4096])));
    assert!(!good(&hosted.disk.read(end - 7, &mut read[..4096])));
    assert!(!good(&hosted.disk.write(end, &read[..4096], Flags::default())));
    hosted.close();
}

/// Many more long requests than there are long buffers, lists of more ranges than the engine has at once, and one that is
/// wrong among them.
#[test]
fn what_finds_no_buffer_waits_and_lists_of_many_ranges_are_carried_out() {
    const LONG: usize = 1 << 20;
    let memory = formatted();
    let hosted = host(&memory);
    let sectors = VOLUME as usize / SECTOR;
    let mut expected = bytes(0, 5, sectors);
    let start = |offset: usize, data: &[u8]| {
        hosted.disk.start(Operation::write((offset / SECTOR) as u64, data.to_vec()))
    };
    for length in [LONG, LONG / 4, 4096] {
        let tickets = expected.chunks(length).take(32).enumerate();
        let tickets: Vec<_> = tickets.map(|(i, piece)| start(i * length, piece)).collect();
        tickets.into_iter().for_each(|ticket| assert!(good(&ticket.wait().0), "{length}"));
    }
    // Each even block, in two lists at once.
    let block = |number: usize| BlockRange { lba: number as u64 * 8, blocks: 8 };
    let list = |ranges: &[BlockRange]| {
        let mut list = vec![0; 8 + 16 * ranges.len()];
        unmap::write(ranges.iter().copied(), &mut list).unwrap();
        list
    };
    let even: Vec<_> = (0..sectors / 8).step_by(2).map(block).collect();
    let (front, back) = even.split_at(even.len() / 2);
    std::thread::scope(|scope| {
        for half in [front, back] {
            let (disk, list) = (&hosted.disk, list(half));
            scope.spawn(move || assert!(good(&disk.discard(list))));
        }
    });
    expected.chunks_mut(8192).for_each(|two| two[..4096].fill(0));
    let mut read = vec![1; LONG];
    let mut assert_reads = |expected: &[u8]| {
        for (i, piece) in expected.chunks(LONG).enumerate() {
            assert!(good(&hosted.disk.read((i * LONG / SECTOR) as u64, &mut read)));
            assert!(read == piece, "{i}");
        }
    };
    assert_reads(&expected);
    // One behind the end, and nothing before the list is wrong in itself.
    let mut ranges: Vec<_> = (0..300).map(|i| block(2 * i)).collect();
    ranges[150] = BlockRange { lba: sectors as u64, blocks: 8 };
    assert!(!good(&hosted.disk.discard(list(&ranges))));
    assert_reads(&expected);
    hosted.close();
}

#[test]
fn damage_is_a_medium_error_and_other_blocks_go_on() {
    let memory = formatted();
    let hosted = host(&memory);
    assert!(good(&hosted.disk.write(0, &bytes(0, 1, 8), Flags::default())));
    assert!(good(&hosted.disk.flush()));
    assert!(good(&hosted.disk.write(800, &bytes(800, 1, 8), Flags::default())));
    hosted.close();
    let first = parts().0.segment_start(sluice_mapped::units::Segment(0)).0 as usize;
    let mut damaged = 0;
    for at in (first..first + (256 << 10)).step_by(SECTOR).map(|sector| sector + 100) {
        let copy = Memory(Arc::new(Mutex::new(memory.0.lock().unwrap().clone())));
        copy.0.lock().unwrap()[at] ^= 0xff;
        // What lies there may as well be a page that opening needs.
        let Some(hosted) = try_host(&copy) else { continue };
        let [one, other] = [0, 800].map(|sector| {
            let mut read = vec![0; 4096];
            let answered = good(&hosted.disk.read(sector, &mut read));
            assert!(!answered || read == bytes(sector, 1, 8), "what is damaged is never shown");
            answered
        });
        // Both, if a page that leads to both is damaged.
        damaged += usize::from(one != other);
        hosted.close();
    }
    assert!(damaged > 0, "no byte was found that belongs to a block");
}

#[test]
fn the_map_says_which_blocks_hold_data() {
    let hosted = host(&formatted());
    let told = |sector, room| {
        let (answer, bytes) = hosted.disk.start(Operation::status(sector, room)).wait();
        assert!(good(&answer), "{answer:?}");
        let length = 4 + u32::from_be_bytes(bytes[..4].try_into().unwrap());
        assert_eq!(length, answer.transferred);
        let list: Vec<(u64, u32, u8)> = bytes[8..length as usize]
            .chunks(16)
            .map(|one| {
                let first = u64::from_be_bytes(one[..8].try_into().unwrap());
                (first, u32::from_be_bytes(one[8..12].try_into().unwrap()), one[12])
            })
            .collect();
        list
    };
    let all = (VOLUME / SECTOR as u64) as u32;
    assert_eq!(told(0, 512), [(0, all, 1)], "a new volume is one hole");
    assert!(good(&hosted.disk.write(16, &bytes(16, 1, 24), Flags::default())));
    assert_eq!(told(0, 512), [(0, 16, 1), (16, 24, 0), (40, all - 40, 1)]);
    assert_eq!(told(20, 40), [(20, 20, 0), (40, all - 40, 1)]);
    assert_eq!(told(20, 24), [(20, 20, 0)]);
    assert_eq!(told(u64::from(all) - 8, 512), [(u64::from(all) - 8, 8, 1)]);
    // What is all zeros is a hole again.
    let zeros = hosted.disk.start(Operation::write_same(16, vec![0; 512], 24 * 512)).wait().0;
    assert!(good(&zeros));
    assert_eq!(told(0, 512), [(0, all, 1)]);
    let beyond = hosted.disk.start(Operation::status(u64::from(all), 512)).wait().0;
    assert_eq!(beyond.status, Status::DEVICE);
    hosted.close();
}
