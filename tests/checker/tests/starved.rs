//! Each allocation of setting something up fails in turn: an error, and nothing left behind. What is set up needs no more
//! memory for anything it is asked.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::sync::{Arc, Mutex};

use sluice_chain::{Chain, Flags, Status};
use sluice_checker::{Disk, heap, platform};
use sluice_engine::volume::InPlace;
use sluice_mapped::{
    Options, Volume,
    disk::Disk as Medium,
    io::{DeviceError, DeviceIo, DeviceOp, Request},
    layout::Layout,
    seal::Sealer,
};
use sluice_miniport_mapped::{Device, Ended, Engine};
use sluice_miniport_ram::Ram;
use sluice_miniport_virtio_blk as virtio;
use sluice_shim::{
    scsi::{cdb::BlockRange, unmap},
    storport::SrbKind,
};
use sluice_user_host::{Executor, Operation, Setup};
use sluice_virtio_model::{Behaviour, Line, Task};
use sluice_xts::Backend;

const SECTOR: u32 = 512;
const KEY: [u8; 64] = {
    let mut key = [0; 64];
    let mut at = 0;
    while at < 64 {
        key[at] = at as u8;
        at += 1;
    }
    key
};

#[test]
fn a_ram_disk() {
    let set_up = || Ram::new(64, SECTOR, SrbKind::Extended);
    let count = heap::each_in_turn(set_up, |ram, lacked| assert_eq!(ram.is_none(), lacked));
    assert!(count > 0);
}

fn chain() -> Result<Chain, ()> {
    let place = InPlace { sector_size: SECTOR, first_sector: 16, sectors: 1024 };
    place.chain(&KEY, Backend::detect_xmm()).map_err(drop)
}

#[test]
fn the_chain_of_a_volume_in_place() {
    let count = heap::each_in_turn(chain, |chain, lacked| assert_eq!(chain.is_err(), lacked));
    assert!(count >= 2, "{count}");
}

/// What the chain, the shim and a miniport do for an I/O they do without the heap: this thread does all of it.
#[test]
fn an_encrypted_volume_in_use() {
    let ram = Arc::new(Ram::new(2048, SECTOR, SrbKind::Extended).unwrap());
    let setup = Setup { requests: 4, executor: Executor::Inline, ..Setup::default() };
    let disk = Disk::new(ram, SECTOR, chain().unwrap(), &setup);
    let data: Vec<u8> = (0..64 * 512).map(|at| (at % 251) as u8).collect();
    let mut back = vec![0; data.len()];
    assert_eq!(disk.read(0, &mut back).status, Status::OK, "what a thread has once, it has now");
    for first in [0, 100, 700] {
        let both = heap::without(|| {
            let wrote = disk.write(first, &data, Flags::FUA).status;
            [wrote, disk.read(first, &mut back).status]
        });
        assert_eq!(both, [Status::OK; 2]);
        assert_eq!(back, data);
    }
    let beyond = heap::without(|| disk.write(1020, &data, Flags::default()).status);
    assert_eq!(beyond, Status::OUT_OF_RANGE);
    let list = unmap_list(8, 8);
    let others = [
        Operation::write_same(40, vec![7; 512], 4096),
        Operation::verify(0, 4096),
        Operation::flush(),
        Operation::discard(list),
    ];
    for operation in others {
        // Being started takes memory of the host, which is ours and not the driver's.
        let ticket = disk.start(operation);
        let status = heap::without(|| {
            disk.run_until_idle();
            ticket.answer().map(|answer| answer.status)
        });
        assert_eq!(status, Some(Status::OK));
    }
}

fn unmap_list(first: u64, blocks: u32) -> Vec<u8> {
    let mut list = vec![0; unmap::HEADER + unmap::DESCRIPTOR];
    unmap::write([BlockRange { lba: first, blocks }], &mut list).unwrap();
    list
}

#[test]
fn a_virtio_device() {
    for packed in [false, true] {
        let line = Line::new(Behaviour::new(packed), 1 << 20);
        let settings = virtio::Settings {
            queues: 1,
            descriptors: 16,
            requests: 8,
            waiting: 8,
            copy: 4096,
            ..virtio::Settings::default()
        };
        let set_up = || {
            let shared = &mut line.0.shared();
            virtio::Device::<Line, Task>::new(line.clone(), platform(), shared, settings)
        };
        let count = heap::each_in_turn(set_up, |device, lacked| assert_eq!(device.is_none(), lacked));
        assert!(count > 5, "{count}");
    }
}

const DEVICE: usize = 24 << 20;

/// The bytes, and whether any was written.
#[derive(Clone)]
struct Memory(Arc<Mutex<(Vec<u8>, bool)>>);

impl Medium for Memory {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        buffer.copy_from_slice(&self.0.lock().unwrap().0[offset as usize..][..buffer.len()]);
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        let mut memory = self.0.lock().unwrap();
        memory.1 = true;
        memory.0[offset as usize..][..buffer.len()].copy_from_slice(buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// Takes nothing: what the engine is made with.
struct Idle;

impl Device for Idle {
    fn start(&mut self, io: DeviceIo) -> Result<(), DeviceIo> {
        Err(io)
    }

    fn ended(&mut self) -> Option<Ended> {
        None
    }

    fn is_idle(&self) -> bool {
        true
    }
}

fn parts() -> Option<(Layout, Sealer)> {
    let layout = Layout::new(DEVICE as u64, 512, 2048, 256 << 10, 64 << 10).unwrap();
    Some((layout, Sealer::new(&KEY, &[3; 16], true, Backend::detect_xmm()).ok()?))
}

fn options() -> Options {
    Options::new(1 << 20, 1 << 18, Some(1))
}

/// Does what a volume asks of its device until it has answered so many requests.
fn settle(volume: &mut Volume, memory: &mut Memory, mut left: usize) {
    while left > 0 {
        while let Some(DeviceIo { id, op }) = volume.next_io() {
            let (result, buffer) = match op {
                DeviceOp::Read { offset, length, mut buffer } => {
                    (memory.read(offset, &mut buffer[..length]), Some(buffer))
                }
                DeviceOp::Write { offset, length, data } => (memory.write(offset, &data[..length]), None),
                DeviceOp::Flush | DeviceOp::Discard { .. } => (Ok(()), None),
            };
            volume.complete(id, result, buffer);
        }
        while let Some(done) = volume.next_done() {
            assert!(done.result.is_ok());
            left -= 1;
        }
    }
}

/// Writes what will have to be replayed: the volume is not closed.
fn fill(memory: &mut Memory) {
    let (layout, sealer) = parts().unwrap();
    let mut volume = Volume::open(memory, layout, sealer, options()).unwrap();
    for turn in 0..48_u64 {
        let word = |at: u64| (at ^ turn << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        let buffer: Vec<u8> = (0..8192).flat_map(word).collect();
        let offset = turn * 65536;
        assert!(volume.submit(turn, Request::Write { offset, buffer, fua: false }).is_ok());
        settle(&mut volume, memory, 1);
    }
    assert!(volume.submit(0, Request::Flush).is_ok());
    settle(&mut volume, memory, 1);
}

#[test]
fn a_mapped_volume() {
    let mut memory = Memory(Arc::new(Mutex::new((vec![0; DEVICE], false))));
    let format = || {
        let (layout, sealer) = parts()?;
        Volume::format(&mut memory.clone(), &layout, &sealer).ok()
    };
    let count = heap::each_in_turn(format, |formatted, lacked| assert_eq!(formatted.is_none(), lacked));
    assert!(count > 0);
    fill(&mut memory);
    let (used, _) = memory.0.lock().unwrap().clone();
    let open = || {
        let mut now = memory.0.lock().unwrap();
        if std::mem::take(&mut now.1) {
            now.0.copy_from_slice(&used);
        }
        drop(now);
        let (layout, sealer) = parts()?;
        let volume = Volume::open(&mut memory, layout, sealer, options()).ok()?;
        Engine::new(volume, Idle, 16, SECTOR)
    };
    let mut refused = 0;
    let count = heap::each_in_turn(open, |engine, lacked| {
        // What is only a hint (the index that was kept) may be done without.
        assert!(lacked || engine.is_some());
        refused += u64::from(engine.is_none());
    });
    assert!(refused > 50 && refused > count / 2, "{refused} of {count}");
}
