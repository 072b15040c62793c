//! Growing, with a crash after each write.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::collections::BTreeMap;

use sluice_mapped::{
    OpenError, Options, Volume,
    disk::Disk,
    io::{DeviceError, Error, Request},
    layout::Layout,
    seal::Sealer,
    units::{BLOCK, SECTOR},
};
use sluice_xts::Backend;

/// Map, table and space tree with 1, 2 and 1 levels,
fn small() -> Layout {
    Layout::new(4 << 20, 512, 800, 512 << 10, 64 << 10).unwrap()
}

/// and with 3, 4 and 2.
fn large() -> Layout {
    Layout::new(300 << 20, 512, 1 << 20, 512 << 10, 64 << 10).unwrap()
}

/// Sectors that were written; what was not holds anything.
#[derive(Clone, Default)]
struct Sparse {
    sectors: BTreeMap<u64, [u8; SECTOR]>,
    /// Writes until power fails.
    left: Option<usize>,
    writes: usize,
}

impl Disk for Sparse {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        for (at, sector) in (offset..).step_by(SECTOR).zip(buffer.chunks_exact_mut(SECTOR)) {
            match self.sectors.get(&at) {
                Some(bytes) => sector.copy_from_slice(bytes),
                None => sector.fill((at >> 9) as u8 | 1),
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        if self.left == Some(self.writes) {
            return Err(DeviceError);
        }
        self.writes += 1;
        for (at, sector) in (offset..).step_by(SECTOR).zip(buffer.chunks_exact(SECTOR)) {
            self.sectors.insert(at, sector.try_into().unwrap());
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

impl Sparse {
    fn dies_after(&self, writes: usize) -> Self {
        Self { left: Some(writes), writes: 0, ..self.clone() }
    }

    fn revived(&self) -> Self {
        Self { left: None, writes: 0, ..self.clone() }
    }
}

fn sealer() -> Sealer {
    Sealer::new(&core::array::from_fn(|i| i as u8), &[2; 16], true, Backend::detect_xmm()).unwrap()
}

fn open(disk: &mut Sparse, layout: Layout) -> Result<Box<Volume>, OpenError> {
    Volume::open(disk, layout, sealer(), Options::new(1 << 18, 1 << 16, Some(1)))
}

fn ask(volume: &mut Volume, disk: &mut Sparse, request: Request) -> Result<Option<Vec<u8>>, Error> {
    volume.submit(0, request).unwrap();
    volume.drive(disk);
    let done = volume.next_done().unwrap();
    done.result.map(|()| done.buffer)
}

fn write(volume: &mut Volume, disk: &mut Sparse, block: u64, byte: u8) {
    let buffer = vec![byte; BLOCK];
    ask(volume, disk, Request::Write { offset: block * BLOCK as u64, buffer, fua: true }).unwrap();
}

fn read(volume: &mut Volume, disk: &mut Sparse, block: u64) -> u8 {
    let request = Request::Read { offset: block * BLOCK as u64, buffer: vec![0; BLOCK] };
    ask(volume, disk, request).unwrap().unwrap()[BLOCK - 1]
}

/// Blocks 0 to 59 hold their number (block 0 is a hole, then): the first 40 in the trees, the others in the journal.
fn filled() -> Sparse {
    let mut disk = Sparse::default();
    Volume::format(&mut disk, &small(), &sealer()).unwrap();
    let mut volume = open(&mut disk, small()).unwrap();
    for block in 0..60 {
        if block == 40 {
            ask(&mut volume, &mut disk, Request::Checkpoint).unwrap();
        }
        write(&mut volume, &mut disk, block, block as u8);
    }
    disk
}

fn assert_filled(disk: &mut Sparse, layout: Layout, what: &str) -> Box<Volume> {
    let mut volume = open(disk, layout).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    for block in 0..60 {
        assert_eq!(read(&mut volume, disk, block), block as u8, "{what}");
    }
    let report = volume.check(disk, |_, _| {}).unwrap();
    assert_eq!((report.problems, report.blocks), (0, 59), "{what}: {:?}", report.named);
    volume
}

#[test]
fn trees_become_deeper_and_keep_what_they_hold() {
    let mut disk = filled();
    Volume::begin_growth(&mut disk, &small(), &large(), &sealer()).unwrap();
    let mut volume = assert_filled(&mut disk, large(), "grown");
    let last = large().blocks - 1;
    write(&mut volume, &mut disk, last, 77);
    assert_eq!(volume.usage().segments, u64::from(large().segments));
    let mut volume = open(&mut disk, large()).unwrap();
    assert_eq!((read(&mut volume, &mut disk, last), read(&mut volume, &mut disk, 59)), (77, 59));
}

#[test]
fn the_blocks_alone_may_grow() {
    let mut disk = filled();
    let wide = Layout { blocks: 1 << 36, ..small() };
    disk.writes = 0;
    Volume::begin_growth(&mut disk, &small(), &wide, &sealer()).unwrap();
    assert_eq!(disk.writes, 0, "nothing moves");
    let mut volume = open(&mut disk, wide).unwrap();
    write(&mut volume, &mut disk, (1 << 36) - 1, 1);
    let mut volume = open(&mut disk, wide).unwrap();
    assert_eq!((read(&mut volume, &mut disk, (1 << 36) - 1), read(&mut volume, &mut disk, 59)), (1, 59));
}

#[test]
fn a_crash_after_any_write_leaves_a_volume_that_opens() {
    let filled = filled();
    for writes in 0.. {
        let mut disk = filled.dies_after(writes);
        let prepared = Volume::begin_growth(&mut disk, &small(), &large(), &sealer());
        let what = format!("after {writes} writes of the preparation");
        assert_filled(&mut disk.revived(), small(), &what);
        if prepared.is_ok() {
            break;
        }
    }
    let mut prepared = filled.revived();
    Volume::begin_growth(&mut prepared, &small(), &large(), &sealer()).unwrap();
    for writes in 0.. {
        let mut disk = prepared.dies_after(writes);
        let opened = open(&mut disk, large());
        assert_filled(&mut disk.revived(), large(), &format!("after {writes} writes of the opening"));
        if opened.is_ok() {
            assert_eq!(writes, 4, "pages, their list, the root record twice");
            break;
        }
    }
}

#[test]
fn a_volume_that_has_grown_is_refused_with_its_old_size() {
    let mut disk = filled();
    Volume::begin_growth(&mut disk, &small(), &large(), &sealer()).unwrap();
    drop(open(&mut disk, large()).unwrap());
    let fewer_blocks = Layout { blocks: large().blocks - 1, ..large() };
    let fewer_segments = Layout { segments: large().segments - 1, ..large() };
    for less in [small(), fewer_blocks, fewer_segments] {
        let mut disk = disk.dies_after(0);
        assert_eq!(open(&mut disk, less).err(), Some(OpenError::Larger));
        let back = Volume::begin_growth(&mut disk, &large(), &less, &sealer());
        assert_eq!(back, Err(OpenError::Larger));
        assert_eq!(disk.writes, 0);
    }
}

/// A device that was put back from a backup, beyond whose end a later life of the volume has left its root records.
#[test]
fn root_records_that_lie_at_the_new_places_are_not_believed() {
    let backup = filled();
    let mut later = backup.clone();
    Volume::begin_growth(&mut later, &small(), &large(), &sealer()).unwrap();
    let mut volume = open(&mut later, large()).unwrap();
    for byte in 100..110 {
        write(&mut volume, &mut later, 5, byte);
        ask(&mut volume, &mut later, Request::Checkpoint).unwrap();
    }
    let mut disk = backup.clone();
    let beyond = later.sectors.range(small().copy_b + (16 << 10)..);
    disk.sectors.extend(beyond.map(|(at, sector)| (*at, *sector)));
    Volume::begin_growth(&mut disk, &small(), &large(), &sealer()).unwrap();
    assert_filled(&mut disk, large(), "grown again");
}

/// The first copy of the newest root record is damaged: the second is left behind.
#[test]
fn no_root_record_stays_behind() {
    let filled = filled();
    for slot in [0, 1] {
        let mut disk = filled.clone();
        let [first, _] = small().roots(slot);
        disk.sectors.insert(first, [0; SECTOR]);
        Volume::begin_growth(&mut disk, &small(), &large(), &sealer()).unwrap();
        assert_filled(&mut disk, large(), "grown");
    }
}
