//! What cannot be repaired: what is said of it, and what becomes of it when it is written again.

use sluice_mapped::{
    OpenError, Problem, Tree,
    io::{Error, Request},
    units::{BLOCK, Block, Chunk},
};

use crate::{
    bench::{Bench, contents},
    flip_chunk, flip_page,
};

/// Somebody reads a file, cannot, and puts it back from a backup: where it was, and elsewhere.
#[test]
fn what_could_not_be_read_can_be_written_again_as_it_was() {
    let mut bench = Bench::filled(true);
    flip_chunk(&mut bench, 35);
    let mut volume = bench.open(1 << 16).unwrap();
    assert_eq!(bench.read(&mut volume, 35), Err(Error::Medium));
    for block in [700, 35] {
        bench.write(&mut volume, block, 36);
        assert!(bench.read(&mut volume, block).unwrap() == contents(36), "{block}");
    }
    let report = volume.check(&mut bench.disk, |_, _| {}).unwrap();
    assert_eq!(report.problems, 0, "{:?}", report.named);
}

/// The same, with the volume closed in between; found by reading, and by repairing.
#[test]
fn what_was_found_damaged_is_still_known_after_reopening() {
    for repairing in [false, true] {
        for block in [35, 38] {
            let mut bench = Bench::filled(true);
            flip_chunk(&mut bench, block);
            if repairing {
                let (_, remaining) = bench.repair().unwrap();
                assert!(remaining.named.contains(&Problem::Lost(Block(block))), "{:?}", remaining.named);
            } else {
                let mut volume = bench.open(1 << 16).unwrap();
                assert_eq!(bench.read(&mut volume, block), Err(Error::Medium));
                bench.ask(&mut volume, Request::Close).unwrap();
            }
            let mut volume = bench.open(1 << 16).unwrap();
            volume.drive(&mut bench.disk);
            bench.write(&mut volume, 700, block + 1);
            assert!(bench.read(&mut volume, 700).unwrap() == contents(block + 1));
            // The other stays as it is until it is written, or repaired.
            assert_eq!(bench.read(&mut volume, block), Err(Error::Medium));
            let mut repaired = bench.clone();
            assert_eq!(repaired.repair().unwrap().1.problems, 0, "it has a twin now");
            repaired.assert_good("the twin");
            bench.write(&mut volume, block, block + 1);
            assert_eq!(volume.stats().shared, 1, "the good one is shared");
            bench.assert_good("written");
        }
    }
}

/// A block leads to a number that the table has not reached; then it does, and the block is discarded.
#[test]
fn a_number_behind_the_table_is_not_given_away() {
    let mut bench = Bench::filled(true);
    let mut volume = bench.open(0).unwrap();
    bench.ask(&mut volume, Request::Checkpoint).unwrap();
    let size = u64::from_le_bytes(bench.root()[48..56].try_into().unwrap());
    for (block, behind) in [(301, 2), (302, 0), (303, 900)] {
        bench.set_chunk(block, Some(size + behind));
    }
    let strays = [(301, 2), (302, 0), (303, 900)]
        .map(|(block, behind)| Problem::Stray(Block(block), Chunk(size + behind)));
    for writes in 0.. {
        let mut tried = bench.dies_after(writes);
        let ended = tried.repair();
        let mut bench = tried.revived();
        let (_, remaining) = bench.repair().unwrap();
        let lost = [301, 302, 303].map(|block| Problem::Lost(Block(block)));
        assert_eq!(remaining.named, lost, "{writes}");
        let mut volume = bench.open(0).unwrap();
        for block in 1000..1010 {
            bench.write(&mut volume, block, block);
        }
        for block in 301..304 {
            assert_eq!(bench.read(&mut volume, block), Err(Error::Medium));
            let discard = Request::Discard { offset: block * BLOCK as u64, length: BLOCK as u64 };
            bench.ask(&mut volume, discard).unwrap();
        }
        bench.ask(&mut volume, Request::Checkpoint).unwrap();
        bench.assert_good(&format!("after {writes} writes"));
        if let Ok((repaired, _)) = ended {
            assert_eq!(repaired.named[1..], strays, "{:?}", repaired.named);
            break;
        }
    }
}

#[test]
fn more_than_a_segment_holds_is_refused() {
    let mut bench = Bench::filled(false);
    let chunk = bench.chunk(1);
    let place = bench.chunk_place(chunk);
    bench.edit(Tree::Table, 0, 0, &|page| {
        for entry in page[..146 * 28].chunks_exact_mut(28).filter(|entry| entry[24] > 0) {
            entry[16..22].copy_from_slice(&place.to_le_bytes()[..6]);
        }
    });
    let before = bench.revived();
    assert!(matches!(bench.repair(), Err(OpenError::Overlap(_))));
    assert!(bench.revived().disk == before.disk);
    bench.open(0).unwrap();
}

#[test]
fn blocks_behind_a_lost_page_of_the_table_are_named() {
    let mut bench = Bench::filled(true);
    let mut volume = bench.open(0).unwrap();
    bench.ask(&mut volume, Request::Checkpoint).unwrap();
    flip_page(&mut bench, Tree::Table, 0);
    let mut volume = bench.open(0).unwrap();
    let report = volume.check(&mut bench.disk, |_, _| {}).unwrap();
    let lost = report.named.iter().filter(|problem| matches!(problem, Problem::Lost(_))).count();
    assert_eq!(lost, bench.model.len(), "{:?}", report.named);
}
