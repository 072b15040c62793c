//! An open volume allocates nothing, whatever it is asked: reads, writes of parts of blocks, discards, flushes, more at once
//! than it takes, with checkpoints and the cleaner at work, compression, encryption and de-duplication.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::{hint::black_box, ops::Range};

use fastrand::Rng;
use sluice_mapped::{
    Options, Stats, Volume,
    codec::Compressor,
    disk::Disk,
    io::{DeviceError, DeviceIo, DeviceOp, Done, Request},
    layout::Layout,
    limits::REQUESTS,
    seal::Sealer,
    units::BLOCK,
};
use sluice_xts::Backend;

#[path = "support/counting.rs"]
mod counting;

use counting::{counted, watched};

const DEVICE: usize = 24 << 20;
const SECTOR: usize = 512;
const VOLUME: usize = 36 << 20;

struct Memory(Vec<u8>);

fn range(offset: u64, length: usize) -> Range<usize> {
    offset as usize..offset as usize + length
}

impl Disk for Memory {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        buffer.copy_from_slice(&self.0[range(offset, buffer.len())]);
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.0[range(offset, buffer.len())].copy_from_slice(buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// A volume, its disk, and what should be in it.
struct Rig {
    volume: Box<Volume>,
    disk: Memory,
    flying: Vec<DeviceIo>,
    random: Rng,
    expected: Vec<u8>,
    /// Requests not answered.
    left: usize,
    /// Requests that were given back.
    refused: usize,
    failed: usize,
    /// Of a thousand device I/Os, how many fail.
    errors: u32,
    /// How often nothing was under way although requests were.
    idle: u32,
}

impl Rig {
    fn new(level: Option<i32>, encrypted: bool) -> Self {
        let layout = Layout::new(DEVICE as u64, 512, (VOLUME / BLOCK) as u64, 256 << 10, 64 << 10).unwrap();
        let sealer = || {
            let key = core::array::from_fn(|i| i as u8);
            Sealer::new(&key, &[2; 16], encrypted, Backend::detect_xmm()).unwrap()
        };
        let mut disk = Memory(vec![0; DEVICE]);
        Volume::format(&mut disk, &layout, &sealer()).unwrap();
        // Fewer pages than there are, and an index for some of the chunks.
        let options = Options::new(64 * BLOCK, 8 << 10, level);
        let volume = Volume::open(&mut disk, layout, sealer(), options).unwrap();
        let expected = vec![0; VOLUME];
        let random = Rng::with_seed(5);
        Self {
            volume,
            disk,
            flying: Vec::new(),
            random,
            expected,
            left: 0,
            refused: 0,
            failed: 0,
            errors: 0,
            idle: 0,
        }
    }

    /// Blocks of four kinds: zeros, what repeats elsewhere, what compresses, and noise.
    fn data(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        for block in bytes.chunks_mut(BLOCK) {
            match self.random.u32(..8) {
                0 => {}
                1..3 => Rng::with_seed(self.random.u64(..300)).fill(block),
                3..5 => {
                    let word = self.random.u64(..).to_le_bytes();
                    block.chunks_mut(24).for_each(|part| {
                        let length = part.len().min(8);
                        part[..length].copy_from_slice(&word[..length]);
                    });
                }
                _ => self.random.fill(block),
            }
        }
        bytes
    }

    fn submit(&mut self, request: Request) {
        let change = match &request {
            Request::Write { offset, buffer, .. } => Some((range(*offset, buffer.len()), buffer.clone())),
            Request::Discard { offset, length } => {
                let (from, to) = (offset.next_multiple_of(4096), (offset + length) / 4096 * 4096);
                (from < to).then(|| (from as usize..to as usize, vec![0; (to - from) as usize]))
            }
            _ => None,
        };
        if watched(|| self.volume.submit(7, request)).is_err() {
            self.refused += 1;
            return;
        }
        self.left += 1;
        if let Some((range, bytes)) = change {
            self.expected[range].copy_from_slice(&bytes);
        }
    }

    fn submit_any(&mut self) {
        let blocks = (VOLUME / BLOCK) as u64;
        let long = self.random.u32(..12) == 0;
        let sectors = if long { self.random.usize(1..=512) } else { self.random.usize(1..=24) };
        let whole = self.random.bool();
        let length = if whole { sectors.div_ceil(8) * BLOCK } else { sectors * SECTOR };
        // Half of the volume is written more often than the rest.
        let among = if self.random.bool() { blocks } else { blocks / 2 };
        let block = self.random.u64(..among);
        let within = if whole { 0 } else { self.random.u64(..8) * SECTOR as u64 };
        let offset = (block * BLOCK as u64 + within).min((VOLUME - length) as u64);
        let request = match self.random.u32(..20) {
            0..9 => Request::Write { offset, buffer: self.data(length), fua: self.random.u32(..8) == 0 },
            9..17 => Request::Read { offset, buffer: vec![1; length] },
            17..19 => Request::Discard { offset, length: length as u64 },
            _ => Request::Flush,
        };
        self.submit(request);
    }

    fn end(&mut self, io: DeviceIo) {
        let fails = self.random.u32(..1000) < self.errors;
        let result = if fails { Err(DeviceError) } else { Ok(()) };
        let buffer = match io.op {
            DeviceOp::Read { offset, length, mut buffer } => {
                self.disk.read(offset, &mut buffer[..length]).unwrap();
                Some(buffer)
            }
            DeviceOp::Write { offset, length, data } => {
                self.disk.write(offset, &data[..length]).unwrap();
                None
            }
            DeviceOp::Flush | DeviceOp::Discard { .. } => None,
        };
        watched(|| self.volume.complete(io.id, result, buffer));
    }

    /// Until no more than `most` requests are unanswered.
    fn settle(&mut self, most: usize) {
        for turn in 0.. {
            assert!(
                turn < 300_000,
                "no end with {} left: {:?} {:?}",
                self.left,
                self.volume.usage(),
                self.volume.stats()
            );
            while let Some(io) = watched(|| self.volume.next_io()) {
                self.flying.push(io);
            }
            while let Some(done) = watched(|| self.volume.next_done()) {
                self.left -= 1;
                self.failed += usize::from(done.result.is_err());
            }
            if self.left <= most {
                return;
            }
            self.idle = if self.flying.is_empty() { self.idle + 1 } else { 0 };
            assert!(self.idle < 100, "stuck with {} left: {:?}", self.left, self.volume.usage());
            // Several at once, in any order.
            for _ in 0..self.random.usize(1..8) {
                if self.flying.is_empty() {
                    break;
                }
                let next = self.random.usize(..self.flying.len());
                let io = self.flying.swap_remove(next);
                self.end(io);
            }
        }
    }

    fn work(&mut self, requests: usize) {
        for _ in 0..requests {
            let depth = self.random.usize(1..300);
            // Seldom deep: it takes long to get there.
            let depth = if self.random.u32(..20) == 0 { depth } else { depth % 24 };
            while self.left < depth {
                self.submit_any();
            }
            self.settle(depth / 2);
        }
        self.settle(0);
    }

    /// What is in it is what was written.
    fn compare(&mut self) {
        // What is still on its way may be what a read waits for.
        while let Some(io) = self.flying.pop() {
            self.end(io);
        }
        for offset in (0..VOLUME).step_by(1 << 20) {
            self.submit(Request::Read { offset: offset as u64, buffer: vec![1; 1 << 20] });
            let read = loop {
                while let Some(io) = watched(|| self.volume.next_io()) {
                    self.end(io);
                }
                if let Some(Done { buffer, result: Ok(()), .. }) = watched(|| self.volume.next_done()) {
                    break buffer.unwrap();
                }
            };
            self.left -= 1;
            assert!(read == self.expected[range(offset as u64, 1 << 20)], "what is read at {offset}");
        }
    }
}

fn assert_busy(before: &Stats, after: &Stats) {
    assert!(after.checkpoints > before.checkpoints + 20, "{after:?}");
    assert!(after.segments_cleaned > before.segments_cleaned + 20, "{after:?}");
    assert!(after.cleaned > before.cleaned, "{after:?}");
    assert!(after.shared > before.shared + 100, "{after:?}");
}

#[test]
fn nothing_is_allocated_while_a_volume_is_open() {
    watched(|| drop(black_box(Box::new(1))));
    assert_eq!(counted(), 1, "allocations of Rust's are counted");
    watched(|| drop(Compressor::new(1)));
    assert!(counted() > 0, "allocations of zstd's are counted");
    let mut pages = 0;
    for (level, encrypted) in [(Some(1), true), (Some(12), false)] {
        let mut rig = Rig::new(level, encrypted);
        let before = rig.volume.stats();
        rig.work(600);
        assert_busy(&before, &rig.volume.stats());
        pages += rig.volume.stats().page_reads - before.page_reads;
        assert_eq!((rig.failed, rig.refused), (0, 0));
        rig.compare();
        // More than it takes at once, and then a device that fails.
        (0..2 * REQUESTS).for_each(|_| rig.submit_any());
        rig.settle(0);
        assert_eq!((rig.failed, rig.refused), (0, REQUESTS));
        rig.submit(Request::Checkpoint);
        rig.settle(0);
        rig.errors = 5;
        rig.work(100);
        assert!(rig.failed > 0 && rig.volume.has_failed());
        assert_eq!(counted(), 0, "allocations at level {level:?}");
    }
    assert!(pages > 50, "only {pages} pages were read");
}
