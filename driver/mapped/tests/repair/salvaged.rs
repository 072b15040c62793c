//! The journal goes on in a leaf of the map that is damaged: only what that leaf alone knew is lost.

use std::collections::BTreeSet;

use sluice_mapped::{
    OpenError, Problem, Tree, Volume,
    io::{Error, Request},
    layout::Layout,
    units::{BLOCK, Block},
};

use crate::{
    bench::{Bench, contents},
    flip_page,
};

const LEAF: u64 = 816;

fn discard(bench: &mut Bench, volume: &mut Volume, block: u64) {
    let discard = Request::Discard { offset: block * BLOCK as u64, length: BLOCK as u64 };
    bench.ask(volume, discard).unwrap();
    bench.model.remove(&block);
}

/// Blocks 59 and 200 to 204 the journal knows, 5000 another leaf.
#[test]
fn what_the_journal_says_is_there_and_the_rest_can_be_written_again() {
    let mut damaged = Bench::filled(true);
    flip_page(&mut damaged, Tree::Map, 0);
    assert_eq!(damaged.open(0).err(), Some(OpenError::Page));
    let known: BTreeSet<u64> = [59, 200, 201, 202, 203, 204].into();
    let lost: Vec<_> = (0..LEAF).filter(|block| !known.contains(block)).collect();
    damaged.model.retain(|block, _| known.contains(block) || *block >= LEAF);
    for writes in 0.. {
        let mut bench = damaged.dies_after(writes);
        let ended = bench.repair();
        let mut bench = bench.revived();
        let (_, remaining) = bench.repair().unwrap_or_else(|error| panic!("{writes}: {error:?}"));
        let named: Vec<_> = lost.iter().map(|block| Problem::Lost(Block(*block))).collect();
        assert_eq!(remaining.named, named, "{writes}");
        let mut volume = bench.open(1 << 16).unwrap();
        bench.assert_readable(&mut volume, &format!("{writes}"));
        for block in &lost {
            assert_eq!(bench.read(&mut volume, *block), Err(Error::Medium));
            if block % 2 == 0 {
                bench.write(&mut volume, *block, 1000 + block);
            } else {
                discard(&mut bench, &mut volume, *block);
            }
        }
        bench.assert_good(&format!("{writes}"));
        if let Ok((repaired, remaining)) = ended {
            assert_eq!(repaired.named[0], Problem::MapLost(Block(0), LEAF));
            assert_eq!(remaining.named, named);
            break;
        }
    }
}

/// Leaves of which each is damaged in its turn, on a device so small that the journal fills places and gives numbers again
/// that only the damaged leaf knew to have become free.
#[test]
fn nothing_else_is_lost_whatever_the_journal_did_meanwhile() {
    let (mut lost, mut kept, mut moved) = (0, 0, 0);
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let layout = Layout::new(7 << 20, 512, 4 * LEAF, 1 << 20, 64 << 10).unwrap();
        let mut bench = Bench::of(layout, [2, 2, 1], true);
        bench.cache = 1 << 20;
        let mut volume = bench.open(1 << 16).unwrap();
        // As much as fits while the cleaner moves what lives; in runs, so that segments die of which one leaf knew everything.
        let mut run = 0;
        let mut write = |bench: &mut Bench, volume: &mut Volume, rng: &mut fastrand::Rng| {
            run = if run % 60 == 59 { rng.u64(..8) * 60 } else { run + 1 + rng.u64(..2).min(58 - run % 60) };
            let (block, number) = (run / 120 * LEAF + run % 120, 2 * rng.u64(..3000) + 1);
            let changed = bench.model.get(&block) != Some(&number);
            bench.write(volume, block, number);
            (block, changed)
        };
        for _ in 0..800 {
            write(&mut bench, &mut volume, &mut rng);
        }
        let before = volume.stats();
        let (mut checkpoints, mut journalled, mut either) = (before.checkpoints, BTreeSet::new(), None);
        for _ in 0..1000 + rng.usize(..500) {
            let (block, changed) = write(&mut bench, &mut volume, &mut rng);
            if changed {
                journalled.insert(block);
            }
            if volume.stats().checkpoints > checkpoints {
                checkpoints = volume.stats().checkpoints;
                journalled.clear();
                either = Some(block);
            }
        }
        moved += volume.stats().segments_cleaned - before.segments_cleaned;
        let leaf = rng.u64(..4);
        if !journalled.iter().any(|block| block / LEAF == leaf) {
            continue;
        }
        let place = bench.place(Tree::Map, 0, leaf);
        bench.flip(place + 77);
        assert_eq!(bench.open(0).err(), Some(OpenError::Page), "{seed}");
        // Less memory than before: there are checkpoints on the way. And power may fail on the way.
        bench.cache = rng.usize(..1 << 20);
        let mut tried = bench.dies_after(rng.usize(..60));
        let _ = tried.repair();
        let mut bench = tried.revived();
        let (_, remaining) = bench.repair().unwrap_or_else(|error| panic!("{seed}: {error:?}"));
        let only_lost = remaining
            .named
            .iter()
            .all(|problem| matches!(problem, Problem::Lost(block) if block.0 / LEAF == leaf));
        assert!(only_lost, "{seed}: {:?}", remaining.named);
        let mut volume = bench.open(1 << 16).unwrap();
        for (block, number) in bench.model.clone() {
            let read = bench.read(&mut volume, block);
            if either == Some(block) && read == Err(Error::Medium) {
                continue;
            }
            if block / LEAF == leaf && !journalled.contains(&block) && either != Some(block) {
                assert_eq!(read, Err(Error::Medium), "{seed}: {block}");
                lost += 1;
            } else {
                assert!(read == Ok(contents(number)), "{seed}: {block}");
                kept += 1;
            }
        }
        for block in leaf * LEAF..(leaf + 1) * LEAF {
            discard(&mut bench, &mut volume, block);
        }
        bench.assert_good(&format!("{seed}"));
    }
    assert!(lost > 1000 && kept > 1000 && moved > 1000, "{lost} lost, {kept} kept, {moved} cleaned");
}
