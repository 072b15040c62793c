//! The index: what it finds, what it forgets, and that it forgets the right things first.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::HashSet;

use proptest::prelude::*;
use sluice_mapped::{
    index::{Index, is_hook},
    units::{Chunk, Tag},
};

/// Tags as sealing makes them: noise. One for each number.
fn tag(number: u64) -> Tag {
    let mix = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(z ^ (z >> 31))
    };
    Tag((mix(number * 2) << 64 | mix(number * 2 + 1)).to_le_bytes())
}

fn finds(index: &Index, number: u64) -> bool {
    index.candidates(&tag(number)).any(|chunk| chunk == Chunk(number))
}

/// An index of `capacity` entries with chunks 0 to `count`.
fn filled(capacity: usize, count: u64) -> Index {
    let mut index = Index::new(capacity * 8).unwrap();
    (0..count).for_each(|number| index.insert(&tag(number), Chunk(number)));
    index
}

const CAPACITY: usize = 1 << 17;

/// How many of a hundred thousand chunks are no longer found at a load in percent.
fn lost_of_100_000(percent: u64) -> u64 {
    let count = CAPACITY as u64 * percent / 100;
    let index = filled(CAPACITY, count);
    let lost = (0..count).filter(|number| !finds(&index, *number)).count() as u64;
    lost * 100_000 / count
}

#[test]
fn all_are_found_up_to_seven_tenths_and_nearly_all_when_full() {
    for (percent, most_lost) in [(50, 0), (70, 0), (80, 50), (90, 1000), (95, 2500), (100, 5000)] {
        let lost = lost_of_100_000(percent);
        println!("{percent} % full: {lost} of 100000 lost");
        assert!(lost <= most_lost, "{percent} % full: {lost} of 100000 lost");
    }
}

#[test]
fn beyond_its_size_hooks_stay_and_the_rest_is_the_newest() {
    for times in [2, 4, 6] {
        let count = CAPACITY as u64 * times;
        let index = filled(CAPACITY, count);
        assert_eq!(index.used(), CAPACITY);
        let (hooks, others): (Vec<u64>, Vec<u64>) = (0..count).partition(|number| is_hook(&tag(*number)));
        let lost = hooks.iter().filter(|number| !finds(&index, **number)).count();
        assert!(lost * 1000 <= hooks.len(), "{times} times: {lost} of {} hooks lost", hooks.len());
        // What else there is room for is among the newest.
        let room = CAPACITY - hooks.len();
        let newest = &others[others.len() - room / 2..];
        let found = newest.iter().filter(|number| finds(&index, **number)).count();
        println!(
            "{times} times: {lost} of {} hooks lost, {found} of the newest {}",
            hooks.len(),
            newest.len()
        );
        assert!(found * 100 >= newest.len() * 80, "{times} times: {found} of the newest {}", newest.len());
    }
}

#[test]
fn far_beyond_its_size_three_quarters_are_hooks_and_the_rest_is_new() {
    let index = filled(1 << 10, 1 << 19);
    let hooks = (0..1 << 19).filter(|number| is_hook(&tag(*number))).count();
    assert!((15_900..16_900).contains(&hooks), "one in 32, not {hooks}");
    let kept = (0..1 << 19).filter(|number| finds(&index, *number));
    let (hooks, others): (Vec<u64>, Vec<u64>) = kept.partition(|number| is_hook(&tag(*number)));
    assert_eq!((hooks.len(), others.len()), (768, 256));
    let newest = others.iter().filter(|number| **number >= (1 << 19) - 1024).count();
    assert!(newest * 10 >= others.len() * 9, "{newest} of {} are of the last 1024", others.len());
}

#[test]
fn wrong_chunks_are_rare() {
    let index = filled(CAPACITY, CAPACITY as u64);
    let wrong: usize =
        (1 << 32..(1 << 32) + (1 << 20)).map(|number| index.candidates(&tag(number)).count()).sum();
    // Sixteen entries of 24 bits each: one in 2^20.
    assert!(wrong < 12, "{wrong} of a million");
}

#[test]
fn an_entry_noted_again_is_the_newest_and_is_there_once() {
    let mut index = Index::new(64).unwrap();
    let plain: Vec<u64> = (0..).filter(|number| !is_hook(&tag(*number))).take(9).collect();
    plain[..8].iter().for_each(|number| index.insert(&tag(*number), Chunk(*number)));
    index.insert(&tag(plain[0]), Chunk(plain[0]));
    assert_eq!((index.used(), index.candidates(&tag(plain[0])).count()), (8, 1));
    index.insert(&tag(plain[8]), Chunk(plain[8]));
    assert!(finds(&index, plain[0]) && finds(&index, plain[8]) && !finds(&index, plain[1]));
}

/// All entries, as they are kept.
fn kept(index: &Index) -> Vec<u8> {
    let mut bytes = vec![0; index.buckets() * 64];
    assert_eq!(index.keep(0, &mut bytes), index.buckets());
    bytes
}

#[test]
fn what_was_kept_is_found_again_and_rubbish_does_no_harm() {
    let index = filled(1 << 12, 3 << 10);
    let bytes = kept(&index);
    let mut other = Index::new(8 << 12).unwrap();
    // In pieces, the last first; the one behind the end is none.
    for first in [600, 300, 100, 0] {
        other.restore(first, bytes.get(first * 64..).unwrap_or(&[]));
    }
    assert_eq!((other.used(), kept(&other)), (index.used(), bytes));
    assert!((0..3 << 10).all(|number| finds(&other, number)));
    let rubbish = (0u64..4000).flat_map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    other.restore(3, &rubbish.collect::<Vec<_>>());
    for number in 0..10_000 {
        other.insert(&tag(number), Chunk(number));
        assert!(finds(&other, number) || !is_hook(&tag(number)));
        other.remove(&tag(number / 2), Chunk(number / 2));
    }
    let entries = kept(&other).chunks(8).filter(|entry| **entry != [0; 8]).count();
    assert_eq!(other.used(), entries);
}

#[test]
fn what_is_noted_before_the_kept_comes_back_stays_in_front() {
    let old = filled(8, 8);
    let mut index = Index::new(64).unwrap();
    let plain: Vec<u64> = (8..).filter(|number| !is_hook(&tag(*number))).take(3).collect();
    plain.iter().for_each(|number| index.insert(&tag(*number), Chunk(*number)));
    index.restore(0, &kept(&old));
    assert_eq!(index.used(), 8);
    assert!(plain.iter().all(|number| finds(&index, *number)));
    index.insert(&tag(100), Chunk(100));
    assert!(plain.iter().all(|number| finds(&index, *number)), "the oldest went");
}

#[test]
fn the_largest_chunk_number_is_kept() {
    let mut index = filled(64, 0);
    index.insert(&tag(1), Chunk((1 << 40) - 2));
    assert!(index.candidates(&tag(1)).eq([Chunk((1 << 40) - 2)]));
}

proptest! {
    #[test]
    fn with_room_for_all_it_is_a_set(
        bytes in 0..20_000usize, steps in prop::collection::vec((any::<bool>(), 0..60u64, 0..3u64), 0..400),
    ) {
        let mut index = Index::new(bytes).unwrap();
        let mut again = Index::new(bytes).unwrap();
        let mut set = HashSet::new();
        for (insert, number, copy) in steps {
            // Up to three chunks of one tag.
            let chunk = Chunk(number * 3 + copy);
            if insert {
                set.insert((number, chunk));
                index.insert(&tag(number), chunk);
                again.insert(&tag(number), chunk);
            } else {
                set.remove(&(number, chunk));
                index.remove(&tag(number), chunk);
                again.remove(&tag(number), chunk);
            }
        }
        prop_assert_eq!(kept(&index), kept(&again), "one history, one index");
        for number in 0..60 {
            for chunk in index.candidates(&tag(number)) {
                prop_assert!(set.contains(&(number, chunk)), "nothing that was not noted, or was removed");
            }
        }
        // 180 entries at most, in so many buckets that two never overflow.
        if bytes > 10_000 {
            prop_assert_eq!(index.used(), set.len());
            for (number, chunk) in set {
                prop_assert!(index.candidates(&tag(number)).any(|found| found == chunk));
            }
        }
    }
}
