//! Metadata pages: a cache that holds few of them, segments that hold few of them.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use fastrand::Rng;
use sluice_mapped::{
    Options, Volume,
    io::{Error, Request},
    layout::Layout,
    units::BLOCK,
};
#[path = "support/memory.rs"]
mod memory;

use memory::{Memory, sealer};

/// Blocks that a leaf of the map leads to, and leaves that a page above them does.
const LEAF: u64 = 816;
const FANOUT: u64 = 170;

fn volume(device: usize, blocks: u64, segment: u64, cache: usize) -> (Memory, Box<Volume>, Layout) {
    let layout = Layout::new(device as u64, 512, blocks, 1 << 20, segment).unwrap();
    let mut disk = Memory(vec![0; device]);
    Volume::format(&mut disk, &layout, &sealer()).unwrap();
    let volume = Volume::open(&mut disk, layout, sealer(), Options::new(cache, 1 << 16, None)).unwrap();
    (disk, volume, layout)
}

fn write(block: u64, content: u64) -> Request {
    let buffer = (0..BLOCK as u64 / 8).flat_map(|i| (content << 16 | i).to_le_bytes()).collect();
    Request::Write { offset: block * BLOCK as u64, buffer, fua: false }
}

fn ask(volume: &mut Volume, disk: &mut Memory, request: Request) -> Result<(), Error> {
    volume.submit(0, request).unwrap();
    volume.drive(disk);
    volume.next_done().unwrap().result
}

#[test]
fn a_checkpoint_fits_the_smallest_cache_when_every_leaf_has_a_page_above_of_its_own() {
    for (segment, cache) in [(64 << 10, 256 << 10), (256 << 10, 256 << 10), (1 << 20, 512 << 10)] {
        let apart = LEAF * FANOUT;
        let (mut disk, mut volume, _) = volume(48 << 20, 200 * apart, segment, cache);
        let mut random = Rng::with_seed(1);
        for _ in 0..100 {
            for _ in 0..40 {
                let block = random.u64(..200) * apart + random.u64(..8);
                volume.submit(0, write(block, random.u64(..100))).unwrap();
            }
            volume.drive(&mut disk);
            for _ in 0..40 {
                assert_eq!(volume.next_done().unwrap().result, Ok(()));
            }
        }
    }
}

/// Nobody cleans a volume that has room, so in each segment of pages one stays that is not changed again.
#[test]
fn thousands_of_segments_hold_a_page_each() {
    let (mut disk, mut volume, layout) = volume(360 << 20, 8000 * LEAF, 64 << 10, 8 << 20);
    for leaf in 0..8000 {
        assert_eq!(ask(&mut volume, &mut disk, write(leaf * LEAF, 1)), Ok(()));
        assert_eq!(ask(&mut volume, &mut disk, Request::Checkpoint), Ok(()));
    }
    let usage = volume.usage();
    assert!(usage.segments - usage.free_segments > 3500, "{usage:?}");
    Volume::open(&mut disk, layout, sealer(), Options::new(8 << 20, 1 << 16, None)).unwrap();
}

/// The list of them must fit an extent: before it does not, those with few pages are emptied.
#[test]
fn more_segments_of_pages_than_can_be_listed_become_fewer() {
    const LEAVES: u64 = 26_000;
    let (mut disk, mut volume, layout) = volume(1200 << 20, LEAVES * LEAF, 64 << 10, 8 << 20);
    for leaf in 0..LEAVES {
        assert_eq!(
            ask(&mut volume, &mut disk, write(leaf * LEAF, 1)),
            Ok(()),
            "{leaf}: {:?}",
            volume.usage()
        );
        assert_eq!(ask(&mut volume, &mut disk, Request::Checkpoint), Ok(()));
    }
    assert!(volume.stats().segments_cleaned > 100, "{:?}", volume.stats());
    Volume::open(&mut disk, layout, sealer(), Options::new(8 << 20, 1 << 16, None)).unwrap();
}
