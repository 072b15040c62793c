//! Neither the miniport nor its engine allocates anything while a volume is open, also when requests must wait for buffers.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::hint::black_box;

use sluice_shim::scsi::{cdb::BlockRange, unmap};
use sluice_user_host::Operation;

#[path = "../../../../driver/mapped/tests/support/counting.rs"]
mod counting;
mod support;

use counting::{counted, watched};
use support::{SECTOR, VOLUME, bytes, formatted, good, host, range};

const MIB: usize = 1 << 20;

/// A list of `count` ranges of a block each, every second block from `first` on.
fn list(first: u64, count: usize) -> Vec<u8> {
    let mut list = vec![0; unmap::HEADER + count * unmap::DESCRIPTOR];
    let ranges = (0..count as u64).map(|i| BlockRange { lba: first + i * 16, blocks: 8 });
    unmap::write(ranges, &mut list).unwrap();
    list
}

#[test]
fn nothing_is_allocated_while_a_volume_is_open() {
    watched(|| drop(black_box(Box::new(1))));
    assert_eq!(counted(), 1, "allocations are counted");
    let memory = formatted();
    let hosted = host(&memory, |engine, miniport| watched(|| engine.turn(miniport))).unwrap();
    let mut expected = vec![0; VOLUME as usize];
    for round in 0..12u64 {
        // More of the longest than there are buffers, and short ones behind them.
        let mut tickets = Vec::new();
        for i in 0..8 {
            let sector = i * (MIB / SECTOR) as u64;
            let data = bytes(sector, round, MIB / SECTOR);
            expected[range(sector * SECTOR as u64, MIB)].copy_from_slice(&data);
            tickets.push(hosted.disk.start(Operation::write(sector, data)));
            tickets.push(hosted.disk.start(Operation::read(sector, (1 << 20) - 512)));
        }
        for i in 0..200 {
            let (sector, sectors) = (i * 61 + round, 1 + (i as usize * 13) % 100);
            let data = bytes(sector, round + 1, sectors);
            expected[range(sector * SECTOR as u64, data.len())].copy_from_slice(&data);
            tickets.push(hosted.disk.start(Operation::write(sector, data)));
            if i % 10 == 0 {
                tickets.push(hosted.disk.start(Operation::flush()));
            }
        }
        // More ranges than are in the engine at once.
        for first in [0, 8192] {
            tickets.push(hosted.disk.start(Operation::discard(list(first, 250))));
            for i in 0..250 {
                expected[range((first + i * 16) * SECTOR as u64, 4096)].fill(0);
            }
        }
        assert!(tickets.into_iter().all(|ticket| good(&ticket.wait().0)));
        let mut whole = vec![1; VOLUME as usize];
        for (i, piece) in whole.chunks_mut(MIB).enumerate() {
            assert!(good(&hosted.disk.read((i * MIB / SECTOR) as u64, piece)));
        }
        assert!(whole == expected, "round {round}");
    }
    hosted.close();
    assert_eq!(counted(), 0, "allocations");
}
