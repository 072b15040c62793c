//! The miniport on a device that obeys, with rings of either kind in every way to use them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::sync::Arc;

use sluice_miniport_virtio_blk::{
    Device, Settings,
    pci::Pci,
    request::{Asked, Outcome, Range},
    spec::{blk, feature},
    transport::{Failure, Transport},
};
use sluice_shim::{platform::Platform, scsi::sense::Refusal};
use sluice_virtio_model::{Behaviour, Line, Task, Tasks, pci::Card};

fn platform() -> &'static dyn Platform {
    sluice_checker::platform()
}

fn settings() -> Settings {
    Settings {
        queues: 2,
        descriptors: 16,
        requests: 16,
        waiting: 64,
        pieces: 6,
        copy: 4096,
        patience: 2,
        without: 0,
    }
}

/// A device and its requests.
struct Bench<T: Transport> {
    device: Device<T, Task>,
    line: Line,
    tasks: Tasks,
    next: usize,
}

impl<T: Transport> Bench<T> {
    fn over(line: Line, transport: T, settings: Settings) -> Self {
        let device = Device::new(transport, platform(), &mut line.0.shared(), settings).unwrap();
        Self { device, line, tasks: Tasks::default(), next: 0 }
    }

    fn start(&mut self, asked: Asked, data: Vec<u8>) -> usize {
        self.start_ranges(asked, vec![], data)
    }

    fn start_ranges(&mut self, asked: Asked, ranges: Vec<Range>, data: Vec<u8>) -> usize {
        let number = self.next;
        self.next += 1;
        self.device.start(Task { number, asked, ranges, data, tasks: Arc::clone(&self.tasks) });
        number
    }

    /// Lets the device work until nothing is left to do.
    fn settle(&mut self, keep: usize, random: &mut fastrand::Rng) {
        loop {
            let queues = self.line.0.run(keep, &mut |limit| random.usize(0..limit));
            if queues.is_empty() {
                return;
            }
            queues.into_iter().for_each(|queue| self.device.interrupt(queue));
        }
    }

    fn ended(&self) -> Vec<(usize, Outcome, Vec<u8>)> {
        std::mem::take(&mut self.tasks.lock().unwrap())
    }

    /// The only one that has ended.
    fn one(&self) -> (Outcome, Vec<u8>) {
        let mut ended = self.ended();
        assert_eq!(ended.len(), 1);
        let (_, outcome, data) = ended.pop().unwrap();
        (outcome, data)
    }
}

fn bench(packed: bool, settings: Settings) -> Bench<Line> {
    let line = Line::new(Behaviour::new(packed), 1 << 20);
    let bench = Bench::over(line.clone(), line, settings);
    bench.device.reset().unwrap();
    bench
}

/// Reads and writes that may wait, in any order of their answers, against a copy of the disk.
fn exercise<T: Transport>(bench: &mut Bench<T>, seed: u64, turns: usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut copy = bench.line.0.disk();
    for turn in 0..turns {
        // Of each round every request has its own sixteenth of the disk.
        let mut round = std::collections::HashMap::new();
        for part in 0..random.usize(1..=16) {
            let bytes = random.usize(0..=8) * 512;
            let sector = part * 128 + random.usize(0..120);
            let range = sector * 512..sector * 512 + bytes;
            let (block, deliver) = (sector as u64, random.u8(..) > 20);
            let number = if random.bool() {
                random.fill(&mut copy[range.clone()]);
                let asked = Asked::Write { block, bytes: bytes as u32, durable: random.bool() };
                bench.start(asked, copy[range.clone()].to_vec())
            } else {
                let read = Asked::Read { block, bytes: bytes as u32, deliver };
                bench.start(read, vec![0xEE; bytes])
            };
            round.insert(number, (range, deliver));
            if random.u8(..) < 40 {
                bench.settle(random.usize(0..4), &mut random);
            }
        }
        bench.settle(0, &mut random);
        for (number, outcome, data) in bench.ended() {
            let (range, deliver) = round.remove(&number).unwrap();
            if matches!(outcome, Outcome::Moved(0)) && !deliver && !range.is_empty() {
                assert!(data.iter().all(|byte| *byte == 0xEE), "only looked at, and yet delivered");
                continue;
            }
            assert_eq!(outcome, Outcome::Moved(range.len() as u32), "turn {turn}");
            assert!(data == copy[range], "turn {turn}");
        }
        assert!(round.is_empty(), "turn {turn}: {} never ended", round.len());
    }
    assert!(bench.line.0.disk() == copy);
}

#[test]
fn both_rings_in_every_way_move_the_same_blocks() {
    for packed in [false, true] {
        for without in
            [0, feature::INDIRECT_DESC, feature::EVENT_IDX, feature::INDIRECT_DESC | feature::EVENT_IDX]
        {
            for (descriptors, requests) in [(16, 16), (4, 16), (8, 3)] {
                let settings = Settings { without, descriptors, requests, ..settings() };
                exercise(&mut bench(packed, settings), u64::from(descriptors) + without, 150);
            }
        }
    }
}

#[test]
fn a_packed_ring_of_a_size_that_is_no_power_of_two() {
    let behaviour = Behaviour { sizes: vec![13, 5], ..Behaviour::new(true) };
    let line = Line::new(behaviour, 1 << 20);
    for without in [0, feature::INDIRECT_DESC] {
        let mut bench = Bench::over(line.clone(), line.clone(), Settings { without, ..settings() });
        bench.device.reset().unwrap();
        assert_eq!(bench.device.facts().pieces, 3, "what the smaller takes");
        exercise(&mut bench, 5, 300);
    }
}

#[test]
fn a_device_behind_pci_registers() {
    for (packed, messages) in [(false, 3), (true, 3), (false, 1), (false, 0)] {
        let line = Line::new(Behaviour::new(packed), 1 << 20);
        let pci = Pci::new(Card::new(line.clone(), messages)).unwrap();
        let mut bench = Bench::over(line, pci, settings());
        bench.device.reset().unwrap();
        assert_eq!(bench.device.queues(), 2);
        exercise(&mut bench, 6, 100);
    }
}

#[test]
fn durable_is_a_write_and_then_a_flush() {
    for packed in [false, true] {
        let mut bench = bench(packed, settings());
        let mut random = fastrand::Rng::with_seed(0);
        bench.start(Asked::Write { block: 1, bytes: 512, durable: true }, vec![1; 512]);
        bench.settle(0, &mut random);
        assert_eq!(bench.one().0, Outcome::Moved(512));
        assert_eq!(bench.line.0.done(), [blk::OUT, blk::FLUSH]);

        // A device that writes through needs none, and a flush is done at once.
        bench.line.0.behave(|behaviour| behaviour.offered &= !feature::FLUSH);
        bench.device.reset().unwrap();
        bench.start(Asked::Write { block: 1, bytes: 512, durable: true }, vec![1; 512]);
        bench.settle(0, &mut random);
        assert_eq!(bench.one().0, Outcome::Moved(512));
        bench.start(Asked::Flush, vec![]);
        assert_eq!(bench.one().0, Outcome::Moved(0));
        assert_eq!(bench.line.0.done(), [blk::OUT, blk::FLUSH, blk::OUT]);
    }
}

#[test]
fn ranges_and_the_serial_number() {
    let mut bench = bench(true, settings());
    let mut random = fastrand::Rng::with_seed(0);
    bench.start(Asked::Write { block: 0, bytes: 4096, durable: false }, vec![1; 4096]);
    bench.settle(0, &mut random);
    let ranges = [(1, 1), (0, 0), (3, 2)].map(|(block, blocks)| Range { block, blocks });
    bench.start_ranges(Asked::Discard, ranges.to_vec(), vec![]);
    bench.start_ranges(Asked::Zero { unmap: true }, vec![Range { block: 7, blocks: 1 }], vec![]);
    bench.start(Asked::Identify, vec![]);
    bench.settle(0, &mut random);
    let ended = bench.ended();
    assert!(
        ended.iter().any(|(_, outcome, _)| *outcome == Outcome::Serial(*b"model-01\0\0\0\0\0\0\0\0\0\0\0\0"))
    );
    let disk = bench.line.0.disk();
    let kept: Vec<usize> = (0..8).filter(|sector| disk[sector * 512] == 1).collect();
    assert_eq!(kept, [0, 2, 5, 6]);
    assert_eq!(bench.line.0.done()[1..].iter().filter(|kind| **kind == blk::DISCARD).count(), 1);
}

#[test]
fn a_transfer_that_does_not_fit_is_refused() {
    let mut bench = bench(false, Settings { pieces: 1, ..settings() });
    bench.start(Asked::Read { block: 0, bytes: 8192, deliver: true }, vec![0; 8192]);
    assert_eq!(bench.one().0, Outcome::Refused(Refusal::InvalidField));
    bench.start(Asked::Read { block: 0, bytes: 4096, deliver: true }, vec![0; 512]);
    assert_eq!(bench.one().0, Outcome::Refused(Refusal::InvalidField));
    assert_eq!(bench.device.facts().transfer, 4096);
}

#[test]
fn a_request_that_is_kept_ends_with_a_reset() {
    let mut bench = bench(false, settings());
    bench.start(Asked::Flush, vec![]);
    for _ in 0..2 {
        bench.device.tick();
    }
    assert!(bench.ended().is_empty());
    bench.device.tick();
    assert_eq!(bench.one().0, Outcome::Refused(Refusal::Aborted));
    assert!(bench.device.is_running());
}

#[test]
fn a_device_that_only_asks_for_resets_is_given_up() {
    let bench = bench(false, settings());
    for _ in 0..50 {
        bench.line.0.behave(|behaviour| behaviour.needs_reset = true);
        bench.device.configuration_changed();
    }
    assert!(!bench.device.is_running());
    bench.device.reset().unwrap();
    assert!(bench.device.is_running(), "whoever asks may try again");
}

#[test]
fn devices_that_cannot_be_used_say_why() {
    let mut bench = bench(false, settings());
    let mut fails = |change: &dyn Fn(&mut Behaviour), failure| {
        let right = Behaviour::new(false);
        bench.line.0.behave(|behaviour| change(behaviour));
        assert_eq!(bench.device.reset(), Err(failure));
        bench.start(Asked::Flush, vec![]);
        assert_eq!(bench.one().0, Outcome::Refused(Refusal::NotReady));
        bench.line.0.behave(|behaviour| *behaviour = right);
        bench.device.reset().unwrap();
    };
    fails(&|behaviour| behaviour.offered &= !feature::VERSION_1, Failure::Legacy);
    fails(&|behaviour| behaviour.stubborn = true, Failure::Features);
    fails(&|behaviour| behaviour.deaf = true, Failure::Reset);
    fails(&|behaviour| behaviour.restless = true, Failure::Unfit);
    fails(&|behaviour| behaviour.configuration[20..24].copy_from_slice(&[0, 3, 0, 0]), Failure::Unfit);
    // The disk has been one of 512 bytes a block: whoever uses it counts in these.
    fails(&|behaviour| behaviour.configuration[20..24].copy_from_slice(&[0, 16, 0, 0]), Failure::Unfit);
    fails(&|behaviour| behaviour.sizes[0] = 0, Failure::Queues);
    fails(&|behaviour| behaviour.sizes[0] = 3, Failure::Queues);
}

#[test]
fn sizes_of_nothing_and_of_everything() {
    let mut bench = bench(false, settings());
    bench.line.0.behave(|behaviour| behaviour.configuration[..8].fill(0));
    bench.device.configuration_changed();
    assert_eq!(bench.device.facts().blocks, 0);
    bench.start(Asked::Read { block: 0, bytes: 512, deliver: true }, vec![0; 512]);
    assert_eq!(bench.one().0, Outcome::Refused(Refusal::OutOfRange));
    bench.line.0.behave(|behaviour| behaviour.configuration[..8].fill(0xFF));
    bench.device.configuration_changed();
    assert_eq!(bench.device.facts().blocks, u64::MAX);
    // Beyond its end the device says so itself.
    bench.start(Asked::Read { block: u64::MAX - 2, bytes: 512, deliver: true }, vec![0; 512]);
    bench.settle(0, &mut fastrand::Rng::with_seed(0));
    assert_eq!(bench.one().0, Outcome::Refused(Refusal::Medium));
    // seg_max 0 is one piece.
    bench.line.0.behave(|behaviour| behaviour.configuration[12..16].fill(0));
    bench.device.configuration_changed();
    assert_eq!(bench.device.facts().pieces, 1);
    assert!(bench.device.is_running());
}

#[test]
fn what_was_not_flushed_when_the_device_went_fails_one_flush() {
    let mut bench = bench(false, settings());
    let one = |bench: &mut Bench<Line>, asked, data| {
        bench.start(asked, data);
        bench.settle(0, &mut fastrand::Rng::with_seed(0));
        bench.one().0
    };
    let write = |bench: &mut Bench<Line>| {
        let asked = Asked::Write { block: 0, bytes: 512, durable: false };
        assert_eq!(one(bench, asked, vec![1; 512]), Outcome::Moved(512));
    };
    let flush = |bench: &mut Bench<Line>| one(bench, Asked::Flush, vec![]);
    write(&mut bench);
    assert_eq!(flush(&mut bench), Outcome::Moved(0));
    bench.line.0.behave(|behaviour| behaviour.replaced = true);
    bench.device.reset().unwrap();
    assert_eq!(flush(&mut bench), Outcome::Moved(0), "all was flushed");
    write(&mut bench);
    bench.device.reset().unwrap();
    assert_eq!(flush(&mut bench), Outcome::Moved(0), "the same device went on");
    write(&mut bench);
    bench.line.0.behave(|behaviour| behaviour.replaced = true);
    bench.device.reset().unwrap();
    assert_eq!(flush(&mut bench), Outcome::Refused(Refusal::Hardware));
    assert_eq!(flush(&mut bench), Outcome::Moved(0));
}

/// A host that gives as much memory as the settings say gives enough.
#[test]
fn the_memory_that_settings_name_suffices() {
    let smallest =
        Settings { queues: 0, descriptors: 4, requests: 1, pieces: 1, copy: 1, ..Settings::default() };
    let odd = Settings { descriptors: 100, requests: 7, pieces: 3, copy: 513, ..Settings::default() };
    for settings in [Settings::default(), smallest, odd] {
        let line = Line::new(Behaviour::new(false), settings.bytes());
        let made = |settings| {
            Device::<Line, Task>::new(line.clone(), platform(), &mut line.0.shared(), settings).is_some()
        };
        assert!(made(settings), "{settings:?}");
        let more = Settings { copy: settings.copy + 4096, ..settings };
        assert!(!made(more), "{more:?} has as much");
    }
}
