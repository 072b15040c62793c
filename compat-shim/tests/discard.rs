//! UNMAP lists that are right, that lie, and that change while they are looked at.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "tests play the parts of hosts and miniports, some of them badly"
)]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use sluice_chain::{Chain, Flags, Stage, StageIo, Status, Verdict, abi::Needs};
use sluice_checker::Disk;
use sluice_miniport_ram::Ram;
use sluice_shim::storport::SrbKind;
use sluice_user_host::{Operation, Setup};
use support::{KINDS, Place, Random, SECTOR, unmap_list};

const SECTORS: u64 = 256;

/// What a list names, by the standard's words alone (SBC-4 5.35.2); `None` if it is to be refused.
fn named(list: &[u8]) -> Option<Vec<(u64, u32)>> {
    if list.is_empty() {
        return Some(Vec::new());
    }
    if list.len() < 8 {
        return None;
    }
    let field = |at: usize| usize::from(list[at]) << 8 | usize::from(list[at + 1]);
    let (data, blocks) = (field(0), field(2));
    if data + 2 > list.len() || blocks + 6 > data || 8 + blocks > list.len() {
        return None;
    }
    Some(
        list[8..8 + blocks]
            .chunks_exact(16)
            .map(|descriptor| {
                let lba = u64::from_be_bytes(descriptor[..8].try_into().unwrap());
                (lba, u32::from_be_bytes(descriptor[8..12].try_into().unwrap()))
            })
            .collect(),
    )
}

/// Which sectors still hold what [`filled`] wrote.
fn kept(ram: &Ram) -> Vec<bool> {
    let mut raw = vec![0; (SECTORS * u64::from(SECTOR)) as usize];
    assert_eq!(ram.peek(0, &mut raw), raw.len());
    raw.chunks(SECTOR as usize)
        .map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is unmapped whole or not at all");
            sector[0] == 0xEE
        })
        .collect()
}

fn disk(kind: SrbKind, chain: Chain) -> (Arc<Ram>, Disk) {
    let ram = Arc::new(Ram::new(SECTORS, SECTOR, kind).unwrap());
    let disk = Disk::new(Arc::clone(&ram), SECTOR, chain, &Setup::default());
    (ram, disk)
}

fn fill(disk: &Disk) {
    let all = vec![0xEE; (SECTORS * u64::from(SECTOR)) as usize];
    assert_eq!(disk.write(0, &all, Flags::default()).status, Status::OK);
}

#[test]
fn hostile_lists_unmap_what_they_name_or_nothing() {
    let (ram, disk) = disk(SrbKind::Extended, Chain::new());
    let mut random = Random(11);
    let (mut refused, mut carried) = (0, 0);
    for turn in 0..4000 {
        fill(&disk);
        // Right ranges with a few bytes gone wrong, cut or lengthened.
        let mut ranges = Vec::new();
        for _ in 0..random.below(4) {
            ranges.push((random.below(SECTORS - 8), random.below(8) as u32));
        }
        let mut list = unmap_list(&ranges);
        for _ in 0..random.below(3) {
            let at = random.below(list.len() as u64) as usize;
            list[at] = [random.next() as u8, 0, 0xFF, 8, 16, 22][random.below(6) as usize];
        }
        if random.below(4) == 0 {
            let length = random.below(list.len() as u64 + 20) as usize;
            list.resize(length, random.next() as u8);
        }
        let answer = disk.discard(list.clone());
        let kept = kept(&ram);
        let sectors = |ranges: &[(u64, u32)]| -> Option<Vec<bool>> {
            let mut kept = vec![true; SECTORS as usize];
            for (lba, blocks) in ranges {
                let end = lba.checked_add(u64::from(*blocks)).filter(|end| *end <= SECTORS)?;
                kept[*lba as usize..end as usize].fill(false);
            }
            Some(kept)
        };
        match named(&list) {
            None => {
                assert_eq!(answer.status, Status::INVALID, "turn {turn}: {list:?}");
                assert!(kept.iter().all(|kept| *kept));
                refused += 1;
            }
            Some(ranges) => match sectors(&ranges) {
                Some(expected) => {
                    assert_eq!(answer.status, Status::OK, "turn {turn}: {list:?}");
                    assert!(kept == expected, "turn {turn}: {list:?}");
                    carried += 1;
                }
                None => {
                    assert_eq!(answer.status, Status::DEVICE, "turn {turn}: {list:?}");
                    assert_eq!(answer.device.unwrap().sense()[12], 0x21);
                    assert!(kept.iter().all(|kept| *kept));
                }
            },
        }
    }
    assert!(refused > 200 && carried > 1000, "both happen: {refused} {carried}");
}

#[test]
fn lists_of_every_short_length_are_taken_or_refused() {
    let (_, disk) = disk(SrbKind::Legacy, Chain::new());
    for length in 0..64 {
        for byte in [0, 0xFF] {
            let list = vec![byte; length];
            let expected = if named(&list).is_some() { Status::OK } else { Status::INVALID };
            assert_eq!(disk.discard(list).status, expected, "{length} bytes of {byte}");
        }
    }
    // Longer than 16-bit lengths can count, of which the rest is padding.
    let mut list = unmap_list(&[(1, 1)]);
    list.resize(100_000, 0);
    assert_eq!(disk.discard(list).status, Status::OK);
}

#[test]
fn extents_that_a_stage_moved_are_what_the_device_gets() {
    for kind in KINDS {
        let mut chain = Chain::new();
        chain.push_owned(Box::new(Place(100))).unwrap();
        let (ram, disk) = disk(kind, chain);
        for sector in 0..SECTORS - 100 {
            disk.write(sector, &[0xEE; 512], Flags::default());
        }
        assert_eq!(disk.discard(unmap_list(&[(0, 2), (50, 1)])).status, Status::OK);
        let expected: Vec<bool> =
            (0..SECTORS).map(|sector| sector >= 100 && ![100, 101, 150].contains(&sector)).collect();
        assert_eq!(kept(&ram), expected);
    }
}

/// Makes extents too long for the list to hold.
struct TooLong;

impl Stage for TooLong {
    const NAME: &'static str = "too long";
    const NEEDS: Needs = Needs(0);
    fn request(&self, io: &mut StageIo<'_>) -> Verdict {
        for extent in io.extents() {
            extent.count = 1 << 40;
        }
        Verdict::CONTINUE
    }
}

#[test]
fn extents_that_no_list_can_say_are_an_internal_error() {
    let mut chain = Chain::new();
    chain.push_owned(Box::new(TooLong)).unwrap();
    let (ram, disk) = disk(SrbKind::Extended, chain);
    fill(&disk);
    assert_eq!(disk.discard(unmap_list(&[(0, 1)])).status, Status::INTERNAL);
    assert!(kept(&ram).iter().all(|kept| *kept));
}

#[test]
fn a_list_that_changes_under_us_unmaps_what_it_said_at_one_time() {
    let (ram, disk) = disk(SrbKind::Extended, Chain::new());
    for _ in 0..300 {
        fill(&disk);
        // The two lists differ in one byte of the address, one of the count and one of the length.
        let (one, other) = (unmap_list(&[(8, 1), (40, 1)]), unmap_list(&[(24, 2), (40, 1)]));
        let operation = Operation::discard(one.clone());
        let at = operation.buffer.as_ptr() as usize;
        let stop = AtomicBool::new(false);
        let status = std::thread::scope(|scope| {
            let scribbler = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for (list, length) in [(&one, 38), (&other, 22)] {
                        for (index, byte) in list.iter().enumerate() {
                            let byte = if index == 1 { length } else { *byte };
                            // SAFETY: the ticket keeps the buffer until this thread has stopped.
                            unsafe { AtomicU8::from_ptr((at + index) as *mut u8) }
                                .store(byte, Ordering::Relaxed);
                        }
                    }
                }
            });
            let ticket = disk.start(operation);
            while ticket.answer().is_none() {
                std::thread::yield_now();
            }
            stop.store(true, Ordering::Relaxed);
            scribbler.join().unwrap();
            ticket.answer().unwrap().status
        });
        let kept = kept(&ram);
        let gone: Vec<_> = (0..SECTORS).filter(|sector| !kept[*sector as usize]).collect();
        assert!(
            gone.iter().all(|sector| [8, 9, 24, 25, 40].contains(sector)),
            "{gone:?} was in neither list"
        );
        assert!(
            status == Status::OK || (status == Status::INVALID && gone.is_empty()),
            "{status:?} {gone:?}"
        );
    }
}
