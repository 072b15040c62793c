//! Small volumes without room, also such whose map is most of them: I/O ends in any order, power fails, and nothing may wait
//! for ever, or do work without end. More seeds: `FROM=200 COUNT=800 cargo test --profile sim -p sluice-mapped --test crowded`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use fastrand::Rng;
use sluice_mapped::{
    Options, Volume,
    disk::Disk,
    io::{DeviceIo, DeviceOp, Error, Request},
    layout::Layout,
    units::BLOCK,
};
#[path = "support/memory.rs"]
mod memory;

use memory::{Memory, sealer};

fn contents(number: u64) -> Vec<u8> {
    (0..BLOCK as u64 / 8).flat_map(|i| (number << 16 | i).to_le_bytes()).collect()
}
struct Rig {
    disk: Memory,
    volume: Box<Volume>,
    layout: Layout,
    options: Options,
    random: Rng,
    ios: Vec<DeviceIo>,
    under_way: usize,
    slow: u32,
    name: String,
}
impl Rig {
    fn pull(&mut self) {
        while let Some(io) = self.volume.next_io() {
            self.ios.push(io);
        }
    }
    fn step(&mut self) -> bool {
        self.pull();
        if self.ios.is_empty() {
            return false;
        }
        // Writes and flushes rather late.
        let mut at = self.random.usize(..self.ios.len());
        for _ in 0..self.slow {
            if matches!(self.ios[at].op, DeviceOp::Read { .. }) {
                break;
            }
            at = self.random.usize(..self.ios.len());
        }
        let io = self.ios.swap_remove(at);
        match io.op {
            DeviceOp::Read { offset, length, mut buffer } => {
                let r = self.disk.read(offset, &mut buffer[..length]);
                self.volume.complete(io.id, r, Some(buffer));
            }
            DeviceOp::Write { offset, length, data } => {
                let r = self.disk.write(offset, &data[..length]);
                drop(data);
                self.volume.complete(io.id, r, None);
            }
            DeviceOp::Flush => self.volume.complete(io.id, Ok(()), None),
            DeviceOp::Discard { offset, length } => {
                let r = self.disk.discard(offset, length);
                self.volume.complete(io.id, r, None);
            }
        }
        true
    }
    fn take(&mut self) -> (u64, u64) {
        let (mut ok, mut full) = (0, 0);
        while let Some(done) = self.volume.next_done() {
            self.under_way -= 1;
            match done.result {
                Ok(()) => ok += 1,
                Err(Error::NoSpace) => full += 1,
                Err(e) => panic!(
                    "{}: {e:?} failed {} {:?}",
                    self.name,
                    self.volume.has_failed(),
                    self.volume.usage()
                ),
            }
        }
        (ok, full)
    }
    fn submit(&mut self, r: Request) {
        self.under_way += 1;
        self.volume.submit(0, r).unwrap();
    }
    fn settle(&mut self, depth: usize) -> (u64, u64) {
        let mut sum = (0, 0);
        let mut steps = 0u64;
        loop {
            let (a, b) = self.take();
            sum.0 += a;
            sum.1 += b;
            if self.under_way <= depth {
                return sum;
            }
            steps += 1;
            assert!(
                steps < 300_000,
                "{}: endless: {:?} {:?}",
                self.name,
                self.volume.usage(),
                self.volume.stats()
            );
            if !self.step() {
                let (a, b) = self.take();
                sum.0 += a;
                sum.1 += b;
                assert!(
                    self.under_way <= depth,
                    "{}: HANG with {} under way: {:?} {:?}",
                    self.name,
                    self.under_way,
                    self.volume.usage(),
                    self.volume.stats()
                );
                return sum;
            }
        }
    }
    fn crash(&mut self) {
        // Some of what is on its way arrives.
        for _ in 0..self.random.usize(..20) {
            if !self.step() {
                break;
            }
        }
        for io in self.ios.drain(..) {
            if let DeviceOp::Write { offset, length, data } = io.op
                && self.random.bool()
            {
                self.disk.write(offset, &data[..length]).unwrap();
            }
        }
        self.under_way = 0;
        self.volume = Volume::open(&mut self.disk, self.layout, sealer(), self.options)
            .unwrap_or_else(|e| panic!("{}: open: {e:?}", self.name));
    }
}
fn run(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let segment = [64u64 << 10, 64 << 10, 128 << 10, 256 << 10, 1 << 20][random.usize(..5)];
    let sector = [512, 4096][random.usize(..2)];
    let count = [24u64, 30, 48, 100, 300][random.usize(..if segment > 128 << 10 { 3 } else { 5 })];
    let journal = [64u64 << 10, 256 << 10, 1 << 20][random.usize(..3)];
    let cache = [256usize << 10, 512 << 10, 1 << 20, 4 << 20][random.usize(..4)];
    let mut device = count * segment + journal + (1 << 20) + 8192;
    let spread = [1u64, 1, 7, 300, 816, 816 * 170][random.usize(..6)];
    let blocks = (count * segment / 4096 * 4) * spread;
    let layout = loop {
        match Layout::new(device, sector, blocks.min(1 << 36), journal, segment) {
            Ok(l) => break l,
            Err(_) => device += segment / 4,
        }
    };
    device = device.max(layout.copy_b + (1 << 20));
    let mut disk = Memory(vec![0; device as usize]);
    Volume::format(&mut disk, &layout, &sealer()).unwrap();
    let level = if random.bool() { None } else { Some(1) };
    let options = Options {
        discard: random.bool(),
        write_back: random.bool(),
        ..Options::new(cache, [0, 1 << 12, 1 << 16][random.usize(..3)], level)
    };
    let name = format!(
        "seed {seed} segment {segment} sector {sector} segments {} journal {journal} cache {cache} spread {spread} blocks {}",
        layout.segments, layout.blocks
    );
    let volume =
        Volume::open(&mut disk, layout, sealer(), options).unwrap_or_else(|e| panic!("{name}: first {e:?}"));
    let slow = random.u32(..4);
    let mut rig = Rig { disk, volume, layout, options, random, ios: Vec::new(), under_way: 0, slow, name };
    let most = layout.blocks / spread;
    let depth = [1, 16, 100, 250][rig.random.usize(..4)].min(cache / 4096 / 8);
    let mut full = 0;
    let (mut oks, mut fulls) = (0, 0);
    while full < most {
        for _ in 0..64.min(most - full) {
            let offset = full * spread * 4096;
            let c = rig.random.u64(..1 << 40);
            rig.submit(Request::Write { offset, buffer: contents(c), fua: false });
            full += 1;
            let (_, b) = rig.settle(depth);
            fulls += b;
        }
        if fulls > 0 {
            break;
        }
    }
    rig.settle(0);
    let full = full.max(1);
    for _ in 0..8 {
        let (wr, di, fl) = [(80, 0, 5), (60, 30, 5), (40, 50, 5), (97, 0, 0)][rig.random.usize(..4)];
        let hot = if rig.random.bool() { full } else { (full / 10).max(1) };
        for i in 0..(full * 2).min(3000) {
            let block = rig.random.u64(..hot) * spread;
            let k = rig.random.u32(..100);
            let c = rig.random.u64(..1 << 40);
            let r = if k < wr {
                Request::Write { offset: block * 4096, buffer: contents(c), fua: c.is_multiple_of(16) }
            } else if k < wr + di {
                Request::Discard { offset: block * 4096, length: 4096 }
            } else if k < wr + di + fl {
                Request::Flush
            } else if k == 99 && i % 8 == 0 {
                Request::Checkpoint
            } else if k == 98 && i % 64 == 0 {
                Request::Compact
            } else {
                Request::Read { offset: block * 4096, buffer: vec![0; 4096] }
            };
            rig.submit(r);
            oks += rig.settle(depth).0;
        }
        if rig.random.bool() {
            rig.crash();
        } else {
            rig.settle(0);
        }
    }
    rig.settle(0);
    rig.submit(Request::Checkpoint);
    rig.settle(0);
    while rig.step() {}
    let problems = rig.volume.check(&mut rig.disk, |_, _| {}).unwrap().problems;
    assert_eq!(problems, 0, "{}", rig.name);
    assert!(oks > 0, "{}", rig.name);
}
#[test]
fn what_has_no_room_goes_on_or_says_so() {
    let number = |name: &str, usual: u64| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
    };
    let (from, count) = (number("FROM", 0), number("COUNT", 12));
    (from..from + count).for_each(run);
}
