//! A mapped volume with bytes changed, looked into, opened, checked, read, written and opened again: root records, journal frames,
//! extents, the pages of every tree, the list of page segments, records, chunks. Tags are believed, as if whoever changed
//! the bytes had made them anew, or not.
//!
//! Input: whether tags are believed (u8), then changes of six bytes each: which sector that is not empty (u16), where in it
//! (u16), what to do (u8: set, add, or set eight bytes from here on), value (u8).
#![no_main]

use std::{ops::ControlFlow, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use sluice_mapped::{
    Options, Volume,
    disk::Disk,
    inspect::{Inspector, Tree},
    io::{DeviceError, Request},
    layout::Layout,
    seal::Sealer,
    units::{BLOCK, Block, Chunk, Segment},
};
use sluice_xts::Backend;

const DEVICE: u64 = 6 << 20;
const SECTOR: usize = 512;
const BLOCKS: u64 = 256;

#[derive(Clone)]
struct Memory(Vec<u8>);

impl Memory {
    fn at(&mut self, offset: u64, length: usize) -> Result<&mut [u8], DeviceError> {
        let start = usize::try_from(offset).map_err(|_| DeviceError)?;
        let end = start.checked_add(length).ok_or(DeviceError)?;
        self.0.get_mut(start..end).ok_or(DeviceError)
    }
}

impl Disk for Memory {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        buffer.copy_from_slice(self.at(offset, buffer.len())?);
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.at(offset, buffer.len())?.copy_from_slice(buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

fn layout() -> Layout {
    Layout::new(DEVICE, SECTOR as u32, BLOCKS, 256 << 10, 64 << 10)
        .and_then(|layout| layout.keeping(1 << 16))
        .expect("6 MiB hold a volume")
}

/// Without encryption: what lies on the disk are the structures themselves.
fn sealer() -> Sealer {
    Sealer::new(&[9; 64], &[7; 16], false, Backend::Portable).expect("memory")
}

fn options() -> Options {
    Options { discard: true, ..Options::new(1 << 20, 1 << 16, Some(1)) }
}

fn ask(volume: &mut Volume, disk: &mut Memory, request: Request) {
    assert!(volume.submit(0, request).is_ok());
    volume.drive(disk);
    assert!(volume.next_done().is_some(), "no answer");
}

fn write(volume: &mut Volume, disk: &mut Memory, block: u64, value: u8) {
    let bytes: Vec<u8> = (0..BLOCK).map(|i| value.wrapping_mul((i / 7) as u8) ^ (i >> 5) as u8).collect();
    let offset = block % BLOCKS * BLOCK as u64;
    ask(volume, disk, Request::Write { offset, buffer: bytes, fua: value % 3 == 0 });
}

/// A volume with a checkpoint, a journal behind it, blocks shared, overwritten and discarded; and its sectors that are not
/// empty.
static GOOD: LazyLock<(Memory, Vec<usize>)> = LazyLock::new(|| {
    let mut disk = Memory(vec![0; DEVICE as usize]);
    Volume::format(&mut disk, &layout(), &sealer()).expect("a good disk");
    let mut volume = Volume::open(&mut disk, layout(), sealer(), options()).expect("a new volume");
    for i in 0..60 {
        write(&mut volume, &mut disk, u64::from(i) * 3, i / 2);
        if i == 40 {
            ask(&mut volume, &mut disk, Request::Checkpoint);
        }
    }
    ask(&mut volume, &mut disk, Request::Close);
    ask(&mut volume, &mut disk, Request::Discard { offset: 8 << 12, length: 9 << 12 });
    let used = disk.0.chunks(SECTOR).enumerate().filter(|(_, sector)| sector.iter().any(|byte| *byte != 0));
    let used = used.map(|(index, _)| index * SECTOR).collect();
    (disk, used)
});

fn change(disk: &mut Memory, used: &[usize], change: &[u8; 6]) {
    let [a, b, c, d, what, value] = *change;
    let sector = used[usize::from(u16::from_le_bytes([a, b])) % used.len()];
    let at = sector + usize::from(u16::from_le_bytes([c, d])) % SECTOR;
    match what % 3 {
        0 => disk.0[at] = value,
        1 => disk.0[at] = disk.0[at].wrapping_add(value),
        _ => disk.0[at..(at + 8).min(sector + SECTOR)].fill(value),
    }
}

/// Every view of it, until there are too many lines.
fn look(disk: &mut Memory, sealer: Sealer) {
    // Of all views together: the last still have theirs when the first are as long as they should be.
    let mut left = 4000u32;
    let mut line = || {
        left = left.saturating_sub(1);
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut inspector = Inspector::new(disk, layout(), sealer).expect("memory");
    let _ = (inspector.root(), inspector.applied().is_ok());
    let _ = inspector.journal(|frame| {
        let _ = frame.body.as_ref().map(|body| body.counts());
        line()
    });
    let _ = inspector.map(Block(0), BLOCKS, |_| line());
    for tree in [Tree::Map, Tree::Table, Tree::Space] {
        let _ = inspector.tree(tree, |_| line());
    }
    let _ = inspector.index(|_| line());
    let _ = inspector.segments(|_| line());
    for segment in (0..layout().segments).step_by(7).chain(0..3) {
        let _ = inspector.segment(Segment(segment), |_| line());
    }
    for chunk in [0, 7, 1 << 39] {
        let _ = inspector.chunk(Chunk(chunk));
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&believe, changes)) = input.split_first() else { return };
    let (good, used) = &*GOOD;
    let mut disk = good.clone();
    for one in changes.as_chunks().0 {
        change(&mut disk, used, one);
    }
    let sealer = || if believe % 2 == 0 { sealer().credulous() } else { sealer() };
    let before = disk.0.clone();
    look(&mut disk, sealer());
    assert!(disk.0 == before, "looking has changed something");
    for round in 0..1 {
        let mut volume = if believe & 2 == 0 {
            let Ok(volume) = Volume::open(&mut disk, layout(), sealer(), options()) else { return };
            volume
        } else {
            let opened = Volume::open_rebuilding(&mut disk, layout(), sealer(), options(), |_, _| {});
            let Ok((mut volume, mut repaired)) = opened else { return };
            let _ = volume.repair(&mut disk, &mut repaired, |_, _| {});
            volume
        };
        let _ = volume.check(&mut disk, |_, _| {});
        let _ = volume.usage();
        for first in (0..BLOCKS).step_by(64) {
            let buffer = vec![0; 64 * BLOCK];
            ask(&mut volume, &mut disk, Request::Read { offset: first * BLOCK as u64, buffer });
        }
        for i in 0..8 {
            write(&mut volume, &mut disk, u64::from(i) * 5, 100 + i + round);
        }
        ask(&mut volume, &mut disk, Request::Discard { offset: 0, length: BLOCKS * BLOCK as u64 / 2 });
        ask(&mut volume, &mut disk, Request::Compact);
        ask(&mut volume, &mut disk, Request::Close);
    }
});
