//! Compaction, and what the device is told of free segments.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use sluice_mapped::{
    Options, Volume,
    io::{DeviceError, DeviceIo, DeviceOp, Done, Error, Request},
    layout::Layout,
    seal::Sealer,
    units::BLOCK,
};
use sluice_xts::Backend;

const DEVICE: usize = 40 << 20;
const SEGMENT: u64 = 64 << 10;
const BLOCKS: u64 = 4000;

/// A device that knows which segments hold nothing that it would have to keep.
struct Device {
    bytes: Vec<u8>,
    discarded: Vec<bool>,
    takes_discards: bool,
    discards: usize,
}

fn layout() -> Layout {
    Layout::new(DEVICE as u64, 512, BLOCKS, 256 << 10, SEGMENT).unwrap()
}

fn sealer() -> Sealer {
    Sealer::new(&core::array::from_fn(|i| i as u8), &[2; 16], true, Backend::detect_xmm()).unwrap()
}

fn segment_at(offset: u64) -> Option<usize> {
    layout().segment_of(sluice_mapped::units::Address(offset)).map(|segment| segment.0 as usize)
}

impl sluice_mapped::disk::Disk for Device {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        buffer.copy_from_slice(&self.bytes[offset as usize..offset as usize + buffer.len()]);
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.bytes[offset as usize..offset as usize + buffer.len()].copy_from_slice(buffer);
        if let Some(segment) = segment_at(offset) {
            self.discarded[segment] = false;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }

    fn discard(&mut self, offset: u64, length: u64) -> Result<(), DeviceError> {
        if !self.takes_discards {
            self.discards += 1;
            return Err(DeviceError);
        }
        assert_eq!(length, SEGMENT);
        self.discards += 1;
        self.discarded[segment_at(offset).unwrap()] = true;
        // What it gives back from now on is anybody's guess.
        self.bytes[offset as usize..(offset + length) as usize].fill(0xdd);
        Ok(())
    }
}

fn device() -> Device {
    let segments = layout().segments as usize;
    let mut device = Device {
        bytes: vec![0; DEVICE],
        discarded: vec![false; segments],
        takes_discards: true,
        discards: 0,
    };
    Volume::format(&mut device, &layout(), &sealer()).unwrap();
    device
}

fn open(device: &mut Device, discard: bool) -> Box<Volume> {
    let options = Options { discard, ..Options::new(2 << 20, 1 << 17, None) };
    Volume::open(device, layout(), sealer(), options).unwrap()
}

fn ask(volume: &mut Volume, device: &mut Device, request: Request) -> Done {
    volume.submit(0, request).unwrap();
    volume.drive(device);
    volume.next_done().unwrap()
}

fn block(number: u64) -> Vec<u8> {
    (0..BLOCK as u64 / 8).flat_map(|i| (number << 16 | i).to_le_bytes()).collect()
}

fn write(volume: &mut Volume, device: &mut Device, at: u64, number: u64) {
    let buffer = block(number);
    ask(volume, device, Request::Write { offset: at * BLOCK as u64, buffer, fua: false }).result.unwrap();
}

/// Every third block is kept of all that have been written.
fn sparse(discard: bool) -> (Device, Box<Volume>) {
    let mut device = device();
    let mut volume = open(&mut device, discard);
    (0..BLOCKS).for_each(|at| write(&mut volume, &mut device, at, at));
    for at in (0..BLOCKS).filter(|at| at % 3 != 0) {
        let discard = Request::Discard { offset: at * BLOCK as u64, length: BLOCK as u64 };
        ask(&mut volume, &mut device, discard).result.unwrap();
    }
    ask(&mut volume, &mut device, Request::Checkpoint).result.unwrap();
    (device, volume)
}

fn verify(volume: &mut Volume, device: &mut Device) {
    for at in 0..BLOCKS {
        let buffer = vec![0; BLOCK];
        let done = ask(volume, device, Request::Read { offset: at * BLOCK as u64, buffer });
        let expected = if at % 3 == 0 { block(at) } else { vec![0; BLOCK] };
        assert!(done.result.is_ok() && done.buffer.unwrap()[..] == expected[..], "block {at}");
    }
    assert_eq!(volume.check(device, |_, _| {}).unwrap().problems, 0);
}

#[test]
fn compaction_leaves_hardly_more_segments_than_what_is_live_fills() {
    let (mut device, mut volume) = sparse(false);
    let before = volume.usage();
    assert!(volume.sparse_segments() > 200, "{}", volume.sparse_segments());
    ask(&mut volume, &mut device, Request::Compact).result.unwrap();
    let usage = volume.usage();
    let used = usage.segments - usage.free_segments;
    // Three streams that are being filled, and pages with gaps.
    let ideal = usage.live_bytes.div_ceil(SEGMENT - 2 * BLOCK as u64);
    assert!(used <= ideal * 11 / 10 + 5, "{used} segments in use, {ideal} would do");
    assert!(usage.free_segments > before.free_segments + 150);
    assert_eq!((usage.chunks, usage.data_bytes), (before.chunks, before.data_bytes));
    assert_eq!(device.discards, 0, "the device is not to be told");
    verify(&mut volume, &mut device);
    let mut volume = open(&mut device, false);
    verify(&mut volume, &mut device);
    // Nothing more to gain, nothing more done.
    let cleaned = volume.stats().cleaned;
    ask(&mut volume, &mut device, Request::Compact).result.unwrap();
    assert!(volume.stats().cleaned - cleaned < 4 * SEGMENT, "{}", volume.stats().cleaned - cleaned);
}

#[test]
fn the_device_is_told_of_all_that_is_free_and_of_nothing_else() {
    let (mut device, mut volume) = sparse(true);
    ask(&mut volume, &mut device, Request::Compact).result.unwrap();
    let told = device.discarded.iter().filter(|told| **told).count() as u64;
    assert_eq!(told, volume.usage().free_segments);
    assert_eq!(volume.stats().discarded, device.discards as u64 * SEGMENT);
    verify(&mut volume, &mut device);
    drop(volume);
    let mut volume = open(&mut device, true);
    verify(&mut volume, &mut device);
}

#[test]
fn a_device_that_takes_no_discards_is_not_bothered_again() {
    let (mut device, mut volume) = sparse(false);
    drop(volume);
    device.takes_discards = false;
    volume = open(&mut device, true);
    ask(&mut volume, &mut device, Request::Compact).result.unwrap();
    assert!((1..=4).contains(&device.discards), "{}", device.discards);
    verify(&mut volume, &mut device);
}

#[test]
fn a_segment_is_not_filled_while_the_device_is_being_told() {
    let mut device = device();
    let mut volume = open(&mut device, true);
    // Discards are held back; everything else is done at once.
    let mut held: Vec<DeviceIo> = Vec::new();
    let (mut told, mut full) = (0, false);
    for round in 0..30_000u64 {
        let (at, number) = (round * 7919 % BLOCKS, round + 1);
        let buffer = block(number);
        volume.submit(0, Request::Write { offset: at * BLOCK as u64, buffer, fua: false }).unwrap();
        while let Some(io) = volume.next_io() {
            let DeviceIo { id, op } = io;
            match op {
                DeviceOp::Discard { offset, length } => {
                    held.push(DeviceIo { id, op: DeviceOp::Discard { offset, length } })
                }
                DeviceOp::Write { offset, length, data } => {
                    let segment = segment_at(offset);
                    let busy = held.iter().any(|io| {
                        matches!(io.op, DeviceOp::Discard { offset, .. } if segment_at(offset) == segment)
                    });
                    assert!(segment.is_none() || !busy, "written while it was being discarded");
                    let written = sluice_mapped::disk::Disk::write(&mut device, offset, &data[..length]);
                    drop(data);
                    volume.complete(id, written, None);
                }
                DeviceOp::Read { offset, length, mut buffer } => {
                    let read = sluice_mapped::disk::Disk::read(&mut device, offset, &mut buffer[..length]);
                    volume.complete(id, read, Some(buffer));
                }
                DeviceOp::Flush => volume.complete(id, Ok(()), None),
            }
        }
        assert!(held.len() <= 4);
        if round % 50 == 49 {
            for io in held.drain(..) {
                let DeviceOp::Discard { offset, length } = io.op else { continue };
                let result = sluice_mapped::disk::Disk::discard(&mut device, offset, length);
                told += 1;
                volume.complete(io.id, result, None);
            }
        }
        while let Some(done) = volume.next_done() {
            full |= done.result == Err(Error::NoSpace);
        }
    }
    assert!(told > 100 && !full, "{told} discards, full: {full}");
    for io in held.drain(..) {
        volume.complete(io.id, Ok(()), None);
    }
    volume.drive(&mut device);
    assert_eq!(volume.check(&mut device, |_, _| {}).unwrap().problems, 0);
}
