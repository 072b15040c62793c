//! Repairing: damage of every kind that can be repaired, and of every kind that cannot.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod bench;
mod lost;
mod salvaged;

use bench::{Bench, FANOUT, contents};
use sluice_mapped::{
    OpenError, Problem, Tree,
    io::{Error, Request},
    layout::Layout,
    units::{BLOCK, Block, Chunk, Segment},
};
#[cfg(feature = "mutants")]
use sluice_mapped::{Options, Volume};

/// Damage that can be repaired, and what it is called when it is.
type Damage = (&'static str, fn(&mut Bench), fn(&Problem) -> bool);

const REPAIRABLE: &[Damage] = &[
    (
        "a leaf of the space tree",
        |bench| flip_page(bench, Tree::Space, 0),
        |problem| *problem == Problem::SpacePage(0, 0),
    ),
    (
        "an inner page of the space tree",
        |bench| flip_page(bench, Tree::Space, 1),
        |problem| *problem == Problem::SpacePage(1, 0),
    ),
    ("the list of page segments", flip_list, |problem| *problem == Problem::List),
    ("live segments said to be free", say_free, |problem| {
        matches!(problem, Problem::Live(Segment(_), 0, 1..))
    }),
    ("more live bytes than a segment holds", say_too_full, |problem| {
        matches!(problem, Problem::Live(Segment(_), u32::MAX, 0))
    }),
    ("too few references", too_few_references, |problem| matches!(problem, Problem::References(_, 1, 2))),
    ("too many references", too_many_references, |problem| matches!(problem, Problem::References(_, 9, 2))),
    ("a chunk without references", forgotten_block, |problem| {
        matches!(problem, Problem::References(_, 1, 0))
    }),
    (
        "the number of chunks",
        |bench| less_in_root(bench, 64),
        |problem| matches!(problem, Problem::Chunks(..)),
    ),
    (
        "the number of blocks",
        |bench| less_in_root(bench, 72),
        |problem| matches!(problem, Problem::Mapped(..)),
    ),
    ("a chunk with a twin", |bench| flip_chunk(bench, 3), |problem| matches!(problem, Problem::Twin(..))),
    (
        "a compressed chunk with a twin",
        |bench| flip_chunk(bench, 105),
        |problem| matches!(problem, Problem::Twin(..)),
    ),
];

fn flip_page(bench: &mut Bench, tree: Tree, level: u8) {
    let place = bench.place(tree, level, 0);
    bench.flip(place + 1234);
}

fn flip_list(bench: &mut Bench) {
    let root = bench.root();
    let list = u64::from_le_bytes(root[80..88].try_into().unwrap());
    bench.flip(list);
}

fn flip_chunk(bench: &mut Bench, block: u64) {
    let chunk = bench.chunk(block);
    let place = bench.chunk_place(chunk);
    bench.flip(place + 20);
}

fn say_free(bench: &mut Bench) {
    bench.edit(Tree::Space, 0, 0, &|page| page.fill(0));
}

fn say_too_full(bench: &mut Bench) {
    // The last of its segments: nothing is there.
    bench.edit(Tree::Space, 0, 0, &|page| page[4092..].fill(0xff));
}

fn too_few_references(bench: &mut Bench) {
    // Blocks 10 and 50.
    let chunk = bench.chunk(10);
    bench.set_references(chunk, |said| said - 1);
}

fn too_many_references(bench: &mut Bench) {
    let chunk = bench.chunk(11);
    bench.set_references(chunk, |said| said + 7);
}

fn forgotten_block(bench: &mut Bench) {
    bench.set_chunk(30, None);
    bench.model.remove(&30);
}

fn less_in_root(bench: &mut Bench, at: usize) {
    bench.edit_root(|root| root[at] -= 1);
}

#[test]
fn of_a_volume_in_which_nothing_is_wrong_nothing_is_repaired() {
    for encrypted in [false, true] {
        let mut bench = Bench::filled(encrypted);
        let (repaired, remaining) = bench.repair().unwrap();
        assert_eq!((repaired.problems, remaining.problems), (0, 0), "{:?}", repaired.named);
        assert_eq!((remaining.blocks, remaining.chunks), (76, 57));
        bench.assert_good("nothing was wrong");
    }
}

#[test]
fn what_can_be_derived_is_repaired() {
    for encrypted in [false, true] {
        for (what, damage, named) in REPAIRABLE {
            let mut bench = Bench::filled(encrypted);
            damage(&mut bench);
            let (repaired, remaining) = bench.repair().unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert!(repaired.named.iter().any(named), "{what}: {:?}", repaired.named);
            assert_eq!(remaining.problems, 0, "{what}: {:?}", remaining.named);
            bench.assert_good(what);
            // What is free again can be filled.
            let mut volume = bench.open(1 << 16).unwrap();
            for block in 1000..1300 {
                bench.write(&mut volume, block, block);
            }
            bench.assert_good(what);
        }
    }
}

/// Everything at once, and power fails after each write.
#[test]
fn a_crash_at_any_moment_leaves_what_can_be_repaired() {
    let mut damaged = Bench::filled(true);
    for (what, damage, _) in REPAIRABLE {
        // What cannot be changed once the other is damaged.
        if !what.contains("space tree") {
            damage(&mut damaged);
        }
    }
    flip_page(&mut damaged, Tree::Space, 0);
    for writes in 0.. {
        let what = format!("after {writes} writes");
        let mut bench = damaged.dies_after(writes);
        let ended = bench.repair();
        let mut again = bench.revived();
        let (repaired, remaining) = again.repair().unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(remaining.problems, 0, "{what}: {:?}", remaining.named);
        again.assert_good(&what);
        if ended.is_ok() {
            assert_eq!(repaired.problems, 0, "{:?}", repaired.named);
            assert!(writes > 10, "{writes}");
            break;
        }
    }
}

/// Where the volume opened before, it opens after a crash in the middle of repairing, and nothing is missing.
#[test]
fn a_crash_does_not_close_what_was_open() {
    let mut damaged = Bench::filled(true);
    for damage in [too_few_references, too_many_references, forgotten_block] {
        damage(&mut damaged);
    }
    flip_chunk(&mut damaged, 3);
    damaged.model.remove(&3);
    damaged.model.remove(&43);
    for writes in 0.. {
        let mut bench = damaged.dies_after(writes);
        let ended = bench.repair().is_ok();
        let mut bench = bench.revived();
        let mut volume = bench.open(0).unwrap();
        bench.assert_readable(&mut volume, &format!("after {writes} writes"));
        if ended {
            break;
        }
    }
}

#[test]
fn without_a_page_that_says_what_lies_where_nothing_is_changed() {
    for (tree, level) in
        [(Tree::Table, 0), (Tree::Table, 2), (Tree::Table, 3), (Tree::Map, 1), (Tree::Map, 2)]
    {
        let mut bench = Bench::filled(true);
        flip_page(&mut bench, tree, level);
        flip_list(&mut bench);
        // A copy of the root record that opening would mend.
        let [first, _] = bench.layout.roots(0);
        bench.flip(first);
        let mut tried = bench.revived();
        let refused = tried.open_rebuilding().err();
        assert_eq!(refused, Some(OpenError::Irreplaceable(tree, level, 0)));
        assert!(tried.disk == bench.revived().disk, "{tree:?} {level}");
    }
}

/// Blocks 0 to 59 have lost the leaf of the map; block 5000 has another.
#[test]
fn with_a_lost_leaf_of_the_map_references_are_only_raised() {
    let mut bench = Bench::filled(false);
    let (few, many) = (bench.chunk(5000), bench.chunk(20));
    bench.set_chunk(5001, Some(few));
    let mut volume = bench.open(0).unwrap();
    bench.ask(&mut volume, Request::Checkpoint).unwrap();
    flip_page(&mut bench, Tree::Map, 0);
    let before = bench.open(0).unwrap().usage();
    let (repaired, remaining) = bench.repair().unwrap();
    assert_eq!(repaired.named, [Problem::References(Chunk(few), 1, 2)]);
    assert!(remaining.named.contains(&Problem::MapPage(Block(0), 816)));
    let kept = remaining.named.contains(&Problem::References(Chunk(many), 1, 0));
    assert!(kept, "{:?}", remaining.named);
    let mut volume = bench.open(0).unwrap();
    assert_eq!(volume.usage().chunks, before.chunks, "none was freed");
    assert!(bench.read(&mut volume, 5001).unwrap() == contents(77));
    assert_eq!(bench.read(&mut volume, 20), Err(Error::Medium));
    bench.write(&mut volume, 6000, 7);
    assert!(bench.read(&mut volume, 6000).unwrap() == contents(7));
}

#[test]
fn a_chunk_without_a_twin_stays_lost_until_its_block_is_written() {
    let mut bench = Bench::filled(true);
    flip_chunk(&mut bench, 35);
    flip_chunk(&mut bench, 3);
    let lost = bench.chunk(35);
    let (repaired, remaining) = bench.repair().unwrap();
    assert!(matches!(repaired.named[..], [Problem::Twin(..)]), "{:?}", repaired.named);
    assert_eq!(remaining.named, [Problem::Damaged(Chunk(lost)), Problem::Lost(Block(35))]);
    let mut volume = bench.open(0).unwrap();
    assert_eq!(bench.read(&mut volume, 35), Err(Error::Medium));
    bench.write(&mut volume, 35, 400);
    bench.assert_good("written");
}

#[test]
fn both_twins_damaged_are_both_lost() {
    let mut bench = Bench::filled(true);
    flip_chunk(&mut bench, 3);
    flip_chunk(&mut bench, 103);
    let (repaired, remaining) = bench.repair().unwrap();
    assert_eq!(repaired.problems, 0, "{:?}", repaired.named);
    let lost: Vec<_> = remaining.named.iter().filter(|one| matches!(one, Problem::Lost(_))).collect();
    assert_eq!(lost, [3, 43, 103].map(|block| Problem::Lost(Block(block))).iter().collect::<Vec<_>>());
}

/// 300 and 302 lead to a number that the table has free, 301 to one beyond its end.
#[test]
fn blocks_without_a_chunk_stay_lost_and_harm_no_others() {
    let mut bench = Bench::filled(true);
    let mut volume = bench.open(0).unwrap();
    bench.ask(&mut volume, Request::Discard { offset: 5000 * BLOCK as u64, length: BLOCK as u64 }).unwrap();
    bench.ask(&mut volume, Request::Checkpoint).unwrap();
    bench.model.remove(&5000);
    let free = 40;
    assert!((0..60).all(|block| bench.chunk(block) != free));
    for (block, chunk) in [(300, free), (301, 1_000_000), (302, free)] {
        bench.set_chunk(block, Some(chunk));
    }
    let mut unrepaired = bench.clone();
    let before = unrepaired.open(0).unwrap().check(&mut unrepaired.disk, |_, _| {}).unwrap();
    assert!(before.named.contains(&Problem::NoChunk(Block(302), Chunk(free))), "{:?}", before.named);
    let (repaired, remaining) = bench.repair().unwrap();
    assert!(repaired.named.contains(&Problem::Kept(Chunk(free))), "{:?}", repaired.named);
    let lost = [300, 302].map(|block| Problem::Lost(Block(block)));
    let stray = Problem::Stray(Block(301), Chunk(1_000_000));
    assert!(repaired.named.contains(&stray), "{:?}", repaired.named);
    let stray = Problem::Lost(Block(301));
    assert_eq!(remaining.named, [stray, Problem::Damaged(Chunk(free)), lost[0], lost[1]]);
    let again = bench.repair().unwrap().0;
    assert_eq!(again.problems, 0, "{:?}", again.named);
    let mut volume = bench.open(0).unwrap();
    for block in 1000..1200 {
        bench.write(&mut volume, block, block);
    }
    assert_eq!(bench.read(&mut volume, 300), Err(Error::Medium));
    bench.write(&mut volume, 300, 500);
    bench.ask(&mut volume, Request::Discard { offset: 302 * BLOCK as u64, length: BLOCK as u64 }).unwrap();
    bench.assert_readable(&mut volume, "the others");
    let left = volume.check(&mut bench.disk, |_, _| {}).unwrap();
    assert_eq!(left.named, [stray]);
}

/// 44 leaves of the space tree are gone, and the smallest cache may hold 38 changed pages.
#[test]
fn more_damaged_pages_than_the_cache_holds() {
    let layout = Layout::new(45_000 << 16, 512, 1 << 20, 512 << 10, 64 << 10).unwrap();
    let mut damaged = Bench::of(layout, [3, 5, 2], true);
    let mut volume = damaged.open(0).unwrap();
    for block in 0..20 {
        damaged.write(&mut volume, block, block + 1);
    }
    damaged.ask(&mut volume, Request::Checkpoint).unwrap();
    damaged.write(&mut volume, 20, 21);
    damaged.cache = 0;
    let leaf = damaged.place(Tree::Space, 0, 0);
    let leaves = u64::from(layout.segments).div_ceil(1024);
    assert_eq!(leaves, 44);
    damaged.edit(Tree::Space, 1, 0, &|page| {
        for (i, reference) in page.chunks_exact_mut(24).take(leaves as usize).enumerate() {
            reference[..8].copy_from_slice(&(leaf + 512 * i as u64).to_le_bytes());
            reference[8] = 1;
        }
    });
    assert_eq!(damaged.open(0).err(), Some(OpenError::Space));
    // And the list knows less than these places hold.
    for writes in 0.. {
        let mut bench = damaged.dies_after(writes);
        let ended = bench.repair();
        if let Ok((repaired, remaining)) = &ended {
            assert_eq!((repaired.problems, remaining.problems), (leaves + 1, 0), "{:?}", repaired.named);
            assert!(writes > 8, "a checkpoint on the way: {writes}");
            bench.revived().assert_good("repaired");
            break;
        }
        let mut again = bench.revived();
        assert_eq!(again.repair().unwrap().1.problems, 0);
        again.assert_good(&format!("after {writes} writes"));
    }
}

/// Wrong counts in more leaves of the table than may be changed at once.
#[test]
fn more_wrong_counts_than_the_cache_holds() {
    let mut bench = Bench::formatted(false);
    let mut volume = bench.open(0).unwrap();
    let chunks = 146 * 60;
    for first in (0..chunks).step_by(146) {
        let buffer: Vec<u8> = (first..first + 146).flat_map(|number| contents(2 * number + 2)).collect();
        let offset = first * BLOCK as u64;
        bench.ask(&mut volume, Request::Write { offset, buffer, fua: false }).unwrap();
        bench.model.extend((first..first + 146).map(|number| (number, 2 * number + 2)));
    }
    bench.ask(&mut volume, Request::Checkpoint).unwrap();
    drop(volume);
    for chunk in (7..chunks).step_by(146) {
        bench.set_references(chunk, |said| said + 1);
        bench.set_chunk(chunk + 1, None);
        bench.model.remove(&(chunk + 1));
    }
    bench.cache = 0;
    let (repaired, remaining) = bench.repair().unwrap();
    assert_eq!((repaired.problems, remaining.problems), (121, 0), "and the number of blocks");
    bench.assert_good("repaired");
}

/// Whatever is damaged: what can be read is what was written, and repairing twice repairs nothing more.
#[test]
fn anything_may_be_damaged() {
    let filled = Bench::filled(true);
    let (mut refused, mut repairs, mut lost) = (0, 0, 0);
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bench = filled.clone();
        for _ in 0..rng.usize(1..20) {
            bench.damage(&mut rng);
        }
        let Ok((repaired, remaining)) = bench.repair() else {
            refused += 1;
            continue;
        };
        repairs += usize::from(repaired.problems > 0);
        let again = bench.repair().unwrap_or_else(|error| panic!("{seed}: {error:?}"));
        assert_eq!((again.0.named, again.1.named), (vec![], remaining.named.clone()), "{seed}");
        let mut volume = bench.open(0).unwrap_or_else(|error| panic!("{seed}: {error:?}"));
        for (block, number) in bench.model.clone() {
            match bench.read(&mut volume, block) {
                // The last frame is not known to be durable: damaged, it counts as torn.
                Ok(read) => assert!(
                    read == contents(number) || (block == 59 && read == contents(20)),
                    "{seed}: {block}"
                ),
                Err(_) => {
                    lost += 1;
                    assert!(remaining.problems > 0, "{seed}: {block}");
                }
            }
        }
    }
    assert!(
        refused > 20 && repairs > 20 && lost > 20,
        "{refused} refused, {repairs} repaired, {lost} blocks lost"
    );
}

/// Without encryption, everybody can make tags: trees, places and counts may then be anything.
#[cfg(feature = "mutants")]
#[test]
fn what_somebody_has_forged_does_no_harm() {
    let mut opened = 0;
    for encrypted in [false, true] {
        let filled = Bench::filled(encrypted);
        for seed in 0..300 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bench = filled.clone();
            for _ in 0..rng.usize(1..30) {
                bench.damage(&mut rng);
            }
            let (sealer, options) = (bench.sealer().credulous(), Options::new(1 << 18, 1 << 16, Some(1)));
            let volume = Volume::open_rebuilding(&mut bench.disk, bench.layout, sealer, options);
            let Ok((mut volume, mut repaired)) = volume else { continue };
            opened += 1;
            let _ = volume.repair(&mut bench.disk, &mut repaired, |_, _| {});
            for block in 0..80 {
                let buffer = contents(block + 1000);
                let write = Request::Write { offset: block * BLOCK as u64, buffer, fua: false };
                let _ = bench.ask(&mut volume, write);
            }
        }
    }
    assert!(opened > 100, "{opened}");
}

/// References of all pages, inner ones with them, fit the fan-out that the helpers assume.
#[test]
fn the_helpers_read_the_trees_as_they_are() {
    let mut bench = Bench::filled(true);
    for (tree, depth) in [Tree::Map, Tree::Table, Tree::Space].into_iter().zip(bench.depths) {
        for level in 0..depth {
            let page = bench.page(tree, level, 0);
            bench.edit(tree, level, 0, &|same| assert!(same == page));
        }
    }
    assert_eq!(FANOUT as usize * 24, 4080);
    bench.assert_good("sealed again");
}
