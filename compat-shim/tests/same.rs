//! WRITE SAME: a sector for many, through a chain that changes all data.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "of `support`")]

mod support;

use std::sync::Arc;

use sluice_chain::{Chain, Status};
use sluice_checker::Disk;
use sluice_miniport_ram::Ram;
use sluice_user_host::{Operation, Setup};
use support::{KINDS, SECTOR, Xor, mask};

#[test]
fn each_sector_is_written_through_the_chain() {
    for kind in KINDS {
        for changed in [false, true] {
            let ram = Arc::new(Ram::new(4096, SECTOR, kind).unwrap());
            let mut chain = Chain::new();
            if changed {
                chain.push_owned(Box::new(Xor)).unwrap();
            }
            let disk = Disk::new(Arc::clone(&ram), SECTOR, chain, &Setup::default());
            let pattern: Vec<u8> = (0..SECTOR).map(|at| at as u8 ^ 0x5A).collect();
            for (first, sector, sectors) in
                [(0, pattern.clone(), 1), (8, pattern.clone(), 100), (200, Vec::new(), 70)]
            {
                let length = sectors * SECTOR;
                let (answer, back) = disk.start(Operation::write_same(first, sector.clone(), length)).wait();
                assert_eq!((answer.status, &back), (Status::OK, &sector), "the caller's sector is only read");
                let mut read = vec![1; length as usize];
                assert_eq!(disk.read(first, &mut read).status, Status::OK);
                let wanted = if sector.is_empty() { vec![0; SECTOR as usize] } else { sector };
                assert!(read.chunks(SECTOR as usize).all(|one| one == wanted));
                if changed {
                    // Below the chain no two sectors are the same, and none is the caller's.
                    let plain = Disk::new(Arc::clone(&ram), SECTOR, Chain::new(), &Setup::default());
                    assert_eq!(plain.read(first, &mut read).status, Status::OK);
                    for (index, byte) in read.iter().enumerate() {
                        assert_eq!(*byte, wanted[index % SECTOR as usize] ^ mask(first, index));
                    }
                }
            }
        }
    }
}

#[test]
fn what_no_private_memory_holds_or_no_sector_says_is_refused() {
    let setup = Setup { small: (4096, 1), large: (8192, 1), ..Setup::default() };
    let ram = Arc::new(Ram::new(64, SECTOR, KINDS[0]).unwrap());
    let disk = Disk::new(ram, SECTOR, Chain::new(), &setup);
    let refused = |operation| assert_eq!(disk.start(operation).wait().0.status, Status::INVALID);
    refused(Operation::write_same(0, vec![0; 512], 8192 + 512));
    refused(Operation::write_same(0, vec![0; 511], 512));
    refused(Operation::write_same(0, vec![0; 512], 100));
    let most = disk.start(Operation::write_same(0, vec![7; 512], 8192)).wait().0;
    assert_eq!((most.status, most.transferred), (Status::OK, 8192));
}
