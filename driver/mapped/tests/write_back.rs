//! A volume that answers changes once they are in memory: what is asked of the device, and when.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use sluice_mapped::{
    Options, Volume,
    disk::Disk as _,
    io::{DeviceIo, DeviceOp, Done, Request},
    layout::Layout,
    units::BLOCK,
};

#[path = "support/memory.rs"]
mod memory;

use memory::{Memory, sealer};

const DEVICE: usize = 16 << 20;

struct Rig {
    disk: Memory,
    volume: Box<Volume>,
}

fn open(disk: &mut Memory) -> Box<Volume> {
    let layout = Layout::new(DEVICE as u64, 512, 1024, 256 << 10, 64 << 10).unwrap();
    if disk.0.iter().all(|&byte| byte == 0) {
        Volume::format(disk, &layout, &sealer()).unwrap();
    }
    let options = Options { write_back: true, ..Options::new(1 << 20, 1 << 16, Some(1)) };
    Volume::open(disk, layout, sealer(), options).unwrap()
}

impl Rig {
    fn new() -> Self {
        let mut disk = Memory(vec![0; DEVICE]);
        let volume = open(&mut disk);
        Self { disk, volume }
    }

    fn write(&mut self, block: u64, fill: u8, fua: bool) {
        let buffer = vec![fill; BLOCK];
        self.volume.submit(0, Request::Write { offset: block * BLOCK as u64, buffer, fua }).unwrap();
    }

    /// Carries out what the device is asked; answers how many writes and flushes that were.
    fn carry_out(&mut self) -> (usize, usize) {
        let (mut writes, mut flushes) = (0, 0);
        while let Some(DeviceIo { id, op }) = self.volume.next_io() {
            let buffer = match op {
                DeviceOp::Read { offset, length, mut buffer } => {
                    self.disk.read(offset, &mut buffer[..length]).unwrap();
                    Some(buffer)
                }
                DeviceOp::Write { offset, length, data } => {
                    self.disk.write(offset, &data[..length]).unwrap();
                    writes += 1;
                    None
                }
                DeviceOp::Flush => {
                    flushes += 1;
                    None
                }
                DeviceOp::Discard { .. } => None,
            };
            self.volume.complete(id, Ok(()), buffer);
        }
        (writes, flushes)
    }

    fn read(&mut self, block: u64) -> u8 {
        let buffer = vec![0xee; BLOCK];
        self.volume.submit(1, Request::Read { offset: block * BLOCK as u64, buffer }).unwrap();
        self.carry_out();
        let Done { result, buffer, .. } = self.volume.next_done().unwrap();
        result.unwrap();
        buffer.unwrap()[17]
    }
}

#[test]
fn a_write_is_answered_and_read_before_the_device_hears_of_it() {
    let mut rig = Rig::new();
    for block in 0..20 {
        rig.write(block, 3 + block as u8, false);
        assert_eq!(rig.volume.next_done().unwrap().result, Ok(()));
    }
    assert!(rig.volume.holds_back());
    assert_eq!(rig.carry_out(), (0, 0));
    assert_eq!(rig.read(7), 10);

    rig.volume.write_out();
    // All of them: an extent, and the frame that speaks of it.
    assert_eq!(rig.carry_out(), (2, 0));
    assert!(!rig.volume.holds_back());
    rig.volume.write_out();
    assert_eq!(rig.carry_out(), (0, 0));
}

#[test]
fn a_flush_and_fua_wait_for_all_that_came_before() {
    for fua in [false, true] {
        let mut rig = Rig::new();
        rig.write(1, 11, false);
        rig.volume.next_done().unwrap().result.unwrap();
        if fua {
            rig.write(2, 12, true);
        } else {
            rig.volume.submit(0, Request::Flush).unwrap();
        }
        assert!(rig.volume.next_done().is_none());
        let (writes, flushes) = rig.carry_out();
        assert!(writes >= 2 && flushes == 1, "{writes} {flushes}");
        assert_eq!(rig.volume.next_done().unwrap().result, Ok(()));

        // As after a crash.
        rig.volume = open(&mut rig.disk);
        assert_eq!(rig.read(1), 11);
        assert_eq!(rig.read(2), if fua { 12 } else { 0 });
    }
}

#[test]
fn what_was_held_back_is_gone_after_a_crash_and_the_volume_is_whole() {
    let mut rig = Rig::new();
    rig.write(1, 11, true);
    rig.carry_out();
    rig.volume.next_done().unwrap().result.unwrap();
    rig.write(1, 12, false);
    rig.volume.next_done().unwrap().result.unwrap();
    rig.volume = open(&mut rig.disk);
    assert_eq!(rig.read(1), 11);
}

#[test]
fn many_writes_share_what_goes_to_the_device() {
    let mut rig = Rig::new();
    let mut writes = 0;
    for turn in 0..1000_u64 {
        rig.write(turn % 700, (turn % 200) as u8 + 1, false);
        writes += rig.carry_out().0;
        rig.volume.next_done().unwrap().result.unwrap();
    }
    assert!(writes < 100, "{writes}");
}
