//! The miniport behind the real shim, with its engine on a thread and a disk in memory below.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
};

use sluice_chain::{Chain, Flags, Status};
use sluice_mapped::{
    Options, Volume,
    disk::Disk as Medium,
    io::{DeviceError, DeviceIo, DeviceOp},
    layout::Layout,
    seal::Sealer,
};
use sluice_miniport_mapped::{Device, Ended, Engine, Mapped, Wake};
use sluice_shim::scsi::{cdb::BlockRange, unmap};
use sluice_user_host::{Answer, Disk, Operation, Setup};
use sluice_xts::Backend;

const DEVICE: usize = 24 << 20;
const VOLUME: u64 = 8 << 20;
const SECTOR: usize = 512;

#[derive(Clone)]
struct Memory(Arc<Mutex<Vec<u8>>>);

fn range(offset: u64, length: usize) -> Range<usize> {
    offset as usize..offset as usize + length
}

impl Medium for Memory {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        buffer.copy_from_slice(&self.0.lock().unwrap()[range(offset, buffer.len())]);
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.0.lock().unwrap()[range(offset, buffer.len())].copy_from_slice(buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// Takes four I/Os at once, and ends the last one first.
struct Queue {
    memory: Memory,
    under_way: VecDeque<DeviceIo>,
}

impl Device for Queue {
    fn start(&mut self, io: DeviceIo) -> Result<(), DeviceIo> {
        if self.under_way.len() == 4 {
            return Err(io);
        }
        self.under_way.push_back(io);
        Ok(())
    }

    fn ended(&mut self) -> Option<Ended> {
        let DeviceIo { id, op } = self.under_way.pop_back()?;
        let (result, buffer) = match op {
            DeviceOp::Read { offset, length, mut buffer } => {
                (self.memory.read(offset, &mut buffer[..length]), Some(buffer))
            }
            DeviceOp::Write { offset, length, data } => (self.memory.write(offset, &data[..length]), None),
            DeviceOp::Flush | DeviceOp::Discard { .. } => (Ok(()), None),
        };
        Some(Ended { id, result, buffer })
    }

    fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }
}

#[derive(Default)]
struct Waker(OnceLock<Thread>);

impl Wake for Waker {
    fn wake(&self) {
        self.0.get().map(Thread::unpark);
    }
}

/// A volume in use.
struct Hosted {
    disk: Disk,
    miniport: Arc<Mapped<Waker>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

fn parts() -> (Layout, Sealer) {
    let layout = Layout::new(DEVICE as u64, 512, VOLUME / 4096, 256 << 10, 64 << 10).unwrap();
    let key = core::array::from_fn(|i| i as u8);
    (layout, Sealer::new(&key, &[3; 16], true, Backend::detect_xmm()).unwrap())
}

fn host(memory: &Memory) -> Hosted {
    try_host(memory).unwrap()
}

fn try_host(memory: &Memory) -> Option<Hosted> {
    let (layout, sealer) = parts();
    let options = Options::new(1 << 20, 1 << 18, Some(1));
    let volume = Volume::open(&mut memory.clone(), layout, sealer, options).ok()?;
    let setup = Setup::default();
    let miniport = Arc::new(Mapped::new(setup.requests, Waker::default()));
    let queue = Queue { memory: memory.clone(), under_way: VecDeque::new() };
    let mut engine = Engine::new(volume, queue, setup.requests, SECTOR as u32).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (seen, asked) = (Arc::clone(&miniport), Arc::clone(&stop));
    let thread = thread::spawn(move || {
        while !engine.is_closed() {
            if asked.load(Ordering::Acquire) {
                engine.close();
            }
            engine.turn(&seen);
            if !engine.is_closed() {
                thread::park();
            }
        }
        engine.volume().stats().checkpoints
    });
    miniport.thread().0.set(thread.thread().clone()).unwrap();
    let disk = Disk::new(Arc::clone(&miniport), SECTOR as u32, Chain::new(), &setup);
    Some(Hosted { disk, miniport, stop, thread })
}

impl Hosted {
    fn close(self) {
        drop(self.disk);
        self.stop.store(true, Ordering::Release);
        self.miniport.thread().wake();
        assert!(self.thread.join().unwrap() >= 1, "closing makes a checkpoint");
    }
}

fn formatted() -> Memory {
    let mut memory = Memory(Arc::new(Mutex::new(vec![0; DEVICE])));
    let (layout, sealer) = parts();
    Volume::format(&mut memory, &layout, &sealer).unwrap();
    memory
}

/// Bytes that differ from sector to sector and round to round, and compress.
fn bytes(sector: u64, round: u64, sectors: usize) -> Vec<u8> {
    (0..sectors as u64)
        .flat_map(|i| [(sector + i) * 31 + round * 7; SECTOR / 8])
        .flat_map(u64::to_le_bytes)
        .collect()
}

fn good(answer: &Answer) -> bool {
    answer.status == Status::OK
}

#[test]
fn what_is_written_is_read_with_many_requests_at_once_and_after_opening_again() {
    let memory = formatted();
    let mut expected = vec![0; VOLUME as usize];
    for round in 0..3 {
        let hosted = host(&memory);
        let mut whole = vec![1; VOLUME as usize];
        for (i, piece) in whole.chunks_mut(1 << 20).enumerate() {
            assert!(good(&hosted.disk.read((i << 11) as u64, piece)));
        }
        assert!(whole == expected, "round {round}");
        let mut tickets = Vec::new();
        for i in 0..200u64 {
            let (sector, sectors) = (i * 61 + round, 1 + (i as usize * 13) % 60);
            let data = bytes(sector, round, sectors);
            expected[range(sector * SECTOR as u64, data.len())].copy_from_slice(&data);
            tickets.push(hosted.disk.start(Operation::write(sector, data)));
            if i % 8 == 7 {
                tickets.drain(..).for_each(|ticket| assert!(good(&ticket.wait().0)));
            }
        }
        drop(tickets);
        assert!(good(&hosted.disk.flush()));
        assert!(good(&hosted.disk.verify(0, 64 << 10)));
        hosted.close();
    }
}

#[test]
fn discards_read_as_zeros_and_mistakes_are_refused() {
    let memory = formatted();
    let hosted = host(&memory);
    assert!(good(&hosted.disk.write(0, &bytes(0, 1, 64), Flags::FUA)));
    let mut list = vec![0; 40];
    unmap::write([BlockRange { lba: 8, blocks: 16 }, BlockRange { lba: 32, blocks: 8 }], &mut list).unwrap();
    assert!(good(&hosted.disk.discard(list)));
    let mut read = vec![1; 64 * SECTOR];
    assert!(good(&hosted.disk.read(0, &mut read)));
    let mut expected = bytes(0, 1, 64);
    expected[8 * SECTOR..24 * SECTOR].fill(0);
    expected[32 * SECTOR..40 * SECTOR].fill(0);
    assert!(read == expected);
    let end = VOLUME / SECTOR as u64;
    assert!(good(&hosted.disk.read(end - 8, &mut read[..4096])));
    assert!(!good(&hosted.disk.read(end - 7, &mut read[..4096])));
    assert!(!good(&hosted.disk.write(end, &read[..4096], Flags::default())));
    hosted.close();
}

#[test]
fn damage_is_a_medium_error_and_other_blocks_go_on() {
    let memory = formatted();
    let hosted = host(&memory);
    assert!(good(&hosted.disk.write(0, &bytes(0, 1, 8), Flags::default())));
    assert!(good(&hosted.disk.flush()));
    assert!(good(&hosted.disk.write(800, &bytes(800, 1, 8), Flags::default())));
    hosted.close();
    let first = parts().0.segment_start(sluice_mapped::units::Segment(0)).0 as usize;
    let mut damaged = 0;
    for at in (first..first + (256 << 10)).step_by(SECTOR).map(|sector| sector + 100) {
        let copy = Memory(Arc::new(Mutex::new(memory.0.lock().unwrap().clone())));
        copy.0.lock().unwrap()[at] ^= 0xff;
        // What lies there may as well be a page that opening needs.
        let Some(hosted) = try_host(&copy) else { continue };
        let [one, other] = [0, 800].map(|sector| {
            let mut read = vec![0; 4096];
            let answered = good(&hosted.disk.read(sector, &mut read));
            assert!(!answered || read == bytes(sector, 1, 8), "what is damaged is never shown");
            answered
        });
        // Both, if a page that leads to both is damaged.
        damaged += usize::from(one != other);
        hosted.close();
    }
    assert!(damaged > 0, "no byte was found that belongs to a block");
}
