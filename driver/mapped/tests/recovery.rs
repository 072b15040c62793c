//! Opening a volume whose root records or journal are not as the last run left them.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::ops::Range;

use sluice_mapped::{
    OpenError, Options, Volume,
    disk::Disk,
    io::{DeviceError, Request},
    layout::{JOURNAL_START, Layout},
    seal::Sealer,
    units::BLOCK,
};
use sluice_xts::Backend;

const DEVICE: usize = 16 << 20;

#[derive(Clone)]
struct Memory {
    bytes: Vec<u8>,
    /// A sector that cannot be read until it is written.
    bad: Option<u64>,
    writes: usize,
}

fn range(offset: u64, length: usize) -> Range<usize> {
    offset as usize..offset as usize + length
}

impl Disk for Memory {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        if self.bad.is_some_and(|bad| range(offset, buffer.len()).contains(&(bad as usize))) {
            return Err(DeviceError);
        }
        buffer.copy_from_slice(&self.bytes[range(offset, buffer.len())]);
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.bad = self.bad.filter(|bad| !range(offset, buffer.len()).contains(&(*bad as usize)));
        self.writes += 1;
        self.bytes[range(offset, buffer.len())].copy_from_slice(buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

fn layout() -> Layout {
    Layout::new(DEVICE as u64, 512, 1024, 256 << 10, 64 << 10).unwrap()
}

fn sealer() -> Sealer {
    Sealer::new(&core::array::from_fn(|i| i as u8), &[2; 16], true, Backend::detect_xmm()).unwrap()
}

fn open(disk: &mut Memory) -> Result<Box<Volume>, OpenError> {
    Volume::open(disk, layout(), sealer(), Options::new(1 << 20, 1 << 16, None))
}

fn formatted() -> (Memory, Box<Volume>) {
    let mut disk = Memory { bytes: vec![0; DEVICE], bad: None, writes: 0 };
    Volume::format(&mut disk, &layout(), &sealer()).unwrap();
    let volume = open(&mut disk).unwrap();
    (disk, volume)
}

fn ask(volume: &mut Volume, disk: &mut Memory, request: Request) -> Option<Vec<u8>> {
    volume.submit(0, request).unwrap();
    volume.drive(disk);
    let done = volume.next_done().unwrap();
    done.result.unwrap();
    done.buffer
}

fn write(volume: &mut Volume, disk: &mut Memory, byte: u8) {
    let buffer = vec![byte; BLOCK];
    ask(volume, disk, Request::Write { offset: 0, buffer, fua: true });
}

fn read(volume: &mut Volume, disk: &mut Memory) -> u8 {
    ask(volume, disk, Request::Read { offset: 0, buffer: vec![0; BLOCK] }).unwrap()[BLOCK - 1]
}

/// A disk with a root record, one later by one, and one later by two in the slot of the first; that slot's places; and
/// what lay there at first.
fn three_roots() -> (Memory, [Range<usize>; 2], Vec<u8>) {
    let (mut disk, mut volume) = formatted();
    let mut states = Vec::new();
    for byte in 1..=3 {
        write(&mut volume, &mut disk, byte);
        ask(&mut volume, &mut disk, Request::Checkpoint);
        states.push(disk.bytes.clone());
    }
    let slot = (0..2)
        .map(|slot| layout().roots(slot).map(|offset| range(offset, BLOCK)))
        .find(|[place, _]| states[1][place.clone()] != states[2][place.clone()])
        .unwrap();
    let first = states[0][slot[0].clone()].to_vec();
    (disk, slot, first)
}

#[test]
fn the_newest_root_record_is_believed_in_whichever_copy_it_is() {
    let (disk, slot, first) = three_roots();
    let newest = disk.bytes[slot[0].clone()].to_vec();
    for old in 0..2 {
        for damage in [&first[..], &[0; BLOCK]] {
            let mut disk = disk.clone();
            disk.bytes[slot[old].clone()].copy_from_slice(damage);
            let mut volume = open(&mut disk).unwrap();
            assert_eq!(read(&mut volume, &mut disk), 3);
            // A crash in the checkpoint that opening makes must find it in either copy.
            assert!(slot.iter().all(|place| disk.bytes[place.clone()] == newest));
        }
    }
}

#[test]
fn a_root_record_that_cannot_be_read_is_written_again() {
    let (disk, slot, first) = three_roots();
    for (bad, other) in [(0, 1), (1, 0)] {
        let mut disk = disk.clone();
        disk.bad = Some(slot[bad].start as u64);
        // What cannot be read is newer than the other copy: nobody has believed it yet, nobody may later.
        disk.bytes[slot[other].clone()].copy_from_slice(&first);
        let mut volume = open(&mut disk).unwrap();
        assert_eq!((read(&mut volume, &mut disk), disk.bad), (3, None));
    }
    // Neither copy: it cannot be known what was there.
    let mut disk = disk;
    disk.bytes[slot[0].clone()].fill(0);
    (disk.bad, disk.writes) = (Some(slot[1].start as u64), 0);
    assert_eq!((open(&mut disk).err(), disk.writes), (Some(OpenError::Device), 0));
}

#[test]
fn a_damaged_frame_that_was_durable_is_reported_and_nothing_is_written() {
    let (mut disk, mut volume) = formatted();
    for byte in 1..=4 {
        write(&mut volume, &mut disk, byte);
    }
    drop(volume);
    let frames: Vec<usize> =
        (0..4).map(|i| JOURNAL_START as usize + i * 512).filter(|&at| disk.bytes[at + 16] != 0).collect();
    assert_eq!(frames.len(), 4);
    for (i, &frame) in frames.iter().enumerate() {
        let mut disk = disk.clone();
        (disk.bytes[frame + 100], disk.writes) = (!disk.bytes[frame + 100], 0);
        if i < 3 {
            let lsn = u64::from_le_bytes(disk.bytes[frame + 16..frame + 24].try_into().unwrap());
            assert_eq!((open(&mut disk).err(), disk.writes), (Some(OpenError::Journal(lsn)), 0));
        } else {
            // Nothing tells that the last one was durable.
            let mut volume = open(&mut disk).unwrap();
            assert_eq!(read(&mut volume, &mut disk), 3);
        }
    }
}

#[test]
fn a_volume_does_not_go_back_to_an_older_root_record_when_both_copies_of_the_newest_are_damaged() {
    let (mut disk, mut volume) = formatted();
    write(&mut volume, &mut disk, 1);
    ask(&mut volume, &mut disk, Request::Checkpoint);
    drop(volume);
    let before = disk.bytes.clone();
    let mut volume = open(&mut disk).unwrap();
    write(&mut volume, &mut disk, 2);
    drop(volume);
    let slot = (0..2)
        .map(|slot| layout().roots(slot).map(|offset| range(offset, BLOCK)))
        .find(|[place, _]| before[place.clone()] != disk.bytes[place.clone()])
        .unwrap();
    for place in slot {
        disk.bytes[place.start + 1000] ^= 1;
    }
    disk.writes = 0;
    assert_eq!((open(&mut disk).err(), disk.writes), (Some(OpenError::RootLost), 0));
}
