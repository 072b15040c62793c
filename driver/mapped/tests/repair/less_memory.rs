//! Opened after a crash with less memory than it had: with checkpoints in the middle of the journal, or not at all.

use sluice_mapped::{OpenError, Volume, io::Request, units::BLOCK};

use crate::bench::{Bench, contents};

fn settle(bench: &mut Bench, volume: &mut Volume) {
    volume.drive(&mut bench.disk);
    while let Some(done) = volume.next_done() {
        done.result.unwrap();
    }
    bench.ask(volume, Request::Flush).unwrap();
}

/// Frames that each change many leaves. Whatever the cache is, and so wherever between two frames it is as full as it may be: the
/// volume opens, and everything is there; or memory has run out, and it opens with more.
#[test]
fn the_journal_is_applied_with_any_cache_or_memory_runs_out() {
    let mut filled = Bench::formatted(true);
    filled.cache = 8 << 20;
    let mut volume = filled.open(0).unwrap();
    for turn in 0..12 {
        // In each turn the leaves of 50 blocks far from one another. Then half of them are discarded: each turn in one frame.
        for i in 0..50 {
            let (block, number) = ((turn * 50 + i) * 1000, turn * 50 + i);
            let (offset, buffer) = (block * BLOCK as u64, contents(number));
            volume.submit(0, Request::Write { offset, buffer, fua: false }).unwrap();
            filled.model.insert(block, number);
        }
        settle(&mut filled, &mut volume);
    }
    filled.ask(&mut volume, Request::Checkpoint).unwrap();
    let before = volume.stats().checkpoints;
    for turn in 0..6 {
        for i in 0..50 {
            let block = (turn * 50 + i) * 1000;
            let discard = Request::Discard { offset: block * BLOCK as u64, length: BLOCK as u64 };
            volume.submit(0, discard).unwrap();
            filled.model.remove(&block);
        }
        settle(&mut filled, &mut volume);
    }
    assert_eq!(volume.stats().checkpoints, before, "all of it is in the journal");
    drop(volume);
    let (mut opened, mut on_the_way, mut refused) = (0, 0, 0);
    for pages in (64..700).step_by(9) {
        let mut bench = filled.clone();
        bench.cache = pages * BLOCK;
        match bench.open(0) {
            Ok(volume) => {
                opened += 1;
                on_the_way += usize::from(volume.stats().checkpoints > 1);
            }
            Err(error) => {
                assert_eq!(error, OpenError::NoMemory, "{pages} pages");
                refused += 1;
                bench.cache = 8 << 20;
            }
        }
        bench.assert_good(&format!("{pages} pages"));
    }
    assert!(
        opened > on_the_way && on_the_way > 0 && refused > 0,
        "{opened} opened, {on_the_way} with more than one checkpoint, {refused} refused"
    );
}
