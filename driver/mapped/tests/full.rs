//! A volume without space: it refuses, goes on, and comes back. It never waits for what nobody does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

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

/// Writes under way at once.
const DEPTH: u64 = 48;

struct Rig {
    disk: Memory,
    volume: Box<Volume>,
    layout: Layout,
    options: Options,
    random: Rng,
}

fn contents(number: u64) -> Vec<u8> {
    (0..BLOCK as u64 / 8).flat_map(|i| (number << 16 | i).to_le_bytes()).collect()
}

impl Rig {
    fn new(device: u64, sector: u32, segment: u64, cache: usize, index: usize, seed: u64) -> Self {
        let layout = Layout::new(device, sector, 4 * device / BLOCK as u64, 256 << 10, segment).unwrap();
        let mut disk = Memory(vec![0; device as usize]);
        Volume::format(&mut disk, &layout, &sealer()).unwrap();
        let options = Options::new(cache, index, None);
        let volume = Volume::open(&mut disk, layout, sealer(), options).unwrap();
        Self { disk, volume, layout, options, random: Rng::with_seed(seed) }
    }

    fn ask(&mut self, request: Request) -> Result<(), Error> {
        self.volume.submit(0, request).unwrap();
        self.volume.drive(&mut self.disk);
        let done = self.volume.next_done().unwrap_or_else(|| panic!("no answer: {:?}", self.volume.usage()));
        assert!(!self.volume.has_failed(), "{:?}", self.volume.usage());
        done.result
    }

    fn write(&mut self, block: u64, content: u64) -> Result<(), Error> {
        let fua = self.random.u32(..8) == 0;
        self.ask(Request::Write { offset: block * BLOCK as u64, buffer: contents(content), fua })
    }

    /// Writes new contents to any of `blocks` blocks, many at once. Whether all were taken.
    fn overwrite(&mut self, blocks: u64, times: u64) -> bool {
        let mut all = true;
        for _ in 0..times / DEPTH {
            for _ in 0..DEPTH {
                let (block, content) = (self.random.u64(..blocks), self.random.u64(..1 << 40));
                let (offset, fua) = (block * BLOCK as u64, self.random.u32(..8) == 0);
                self.volume.submit(0, Request::Write { offset, buffer: contents(content), fua }).unwrap();
            }
            self.volume.drive(&mut self.disk);
            for _ in 0..DEPTH {
                match self.volume.next_done().map(|done| done.result) {
                    Some(Ok(())) => {}
                    Some(Err(Error::NoSpace)) => all = false,
                    other => panic!("{other:?}: {:?}", self.volume.usage()),
                }
            }
        }
        all
    }

    fn reopen(&mut self) {
        self.volume = Volume::open(&mut self.disk, self.layout, sealer(), self.options)
            .unwrap_or_else(|error| panic!("{error:?}"));
    }
}

/// Fills it, overwrites what is there, makes a little room and fills that, again and again.
fn exhaust(mut rig: Rig) {
    let mut full = 0;
    while rig.write(full, full + 1) == Ok(()) {
        full += 1;
    }
    assert!(full > 1000, "{full} blocks");
    for round in 0..6 {
        rig.overwrite(full, full / 2);
        if round % 2 == 0 {
            rig.reopen();
        }
        // Scattered, so that no segment dies by itself.
        for block in (0..full).filter(|block| block % 10 == round) {
            rig.ask(Request::Discard { offset: block * BLOCK as u64, length: BLOCK as u64 }).unwrap();
        }
        assert!(rig.overwrite(full, full / 20), "there is room for {} blocks", full / 20);
    }
    rig.ask(Request::Checkpoint).unwrap();
    assert_eq!(rig.volume.check(&mut rig.disk, |_, _| {}).unwrap().problems, 0);
}

#[test]
fn a_full_volume_goes_on() {
    let shapes = [(512, 64 << 10, 256 << 10), (512, 64 << 10, 4 << 20), (512, 256 << 10, 512 << 10)];
    // Headers take more of a segment with large sectors.
    let of_4096 = [(4096, 64 << 10, 256 << 10), (4096, 128 << 10, 1 << 20)];
    for (seed, (sector, segment, cache)) in (0..).zip(shapes.into_iter().chain(of_4096)) {
        exhaust(Rig::new(20 << 20, sector, segment, cache, 0, seed));
    }
}

#[test]
fn what_is_shared_cannot_make_the_map_outgrow_the_device() {
    let mut rig = Rig::new(10 << 20, 512, 64 << 10, 256 << 10, 64 << 10, 7);
    let mut full = 0;
    while rig.write(full, full + 1) == Ok(()) {
        full += 1;
    }
    // Each of these has a page of the map to itself.
    let blocks = rig.layout.blocks;
    let mut taken = 0;
    for block in (full..blocks).step_by(816) {
        match rig.write(block, 1) {
            Ok(()) => taken += 1,
            Err(Error::NoSpace) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(taken, 0, "the volume is full");
    assert_eq!(rig.write(0, 2), Ok(()), "where the map has an entry it does not grow");
    rig.reopen();
    assert_eq!(rig.volume.check(&mut rig.disk, |_, _| {}).unwrap().problems, 0);
}

#[test]
fn a_compaction_comes_to_its_end_whatever_segments_can_hold() {
    for (sector, segment) in [(512, 64 << 10), (4096, 64 << 10), (4096, 128 << 10)] {
        let mut rig = Rig::new(20 << 20, sector, segment, 256 << 10, 0, 3);
        for block in 0..2000 {
            rig.write(block, block + 1).unwrap();
        }
        let written = rig.volume.stats().device_written;
        for _ in 0..3 {
            rig.ask(Request::Compact).unwrap();
        }
        let moved = rig.volume.stats().device_written - written;
        assert!(moved < 30 << 20, "{moved} bytes");
    }
}
