//! A volume behind the real shim: its engine on a thread, and a disk in memory below.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
};

use sluice_chain::{Chain, Status};
use sluice_checker::Disk;
use sluice_mapped::{
    Options, Volume,
    disk::Disk as Medium,
    io::{DeviceError, DeviceIo, DeviceOp},
    layout::Layout,
    seal::Sealer,
};
use sluice_miniport_mapped::{Device, Ended, Engine, Mapped, Wake};
use sluice_user_host::{Answer, Setup};
use sluice_xts::Backend;

pub(crate) const DEVICE: usize = 24 << 20;
pub(crate) const VOLUME: u64 = 8 << 20;
pub(crate) const SECTOR: usize = 512;

#[derive(Clone)]
pub(crate) struct Memory(pub(crate) Arc<Mutex<Vec<u8>>>);

pub(crate) fn range(offset: u64, length: usize) -> Range<usize> {
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
pub(crate) struct Queue {
    memory: Memory,
    under_way: VecDeque<DeviceIo>,
}

impl Queue {
    pub(crate) fn new(memory: &Memory) -> Self {
        Self { memory: memory.clone(), under_way: VecDeque::with_capacity(4) }
    }
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
pub(crate) struct Waker(OnceLock<Thread>);

impl Wake for Waker {
    fn wake(&self) {
        self.0.get().map(Thread::unpark);
    }
}

/// A volume in use.
pub(crate) struct Hosted {
    pub(crate) disk: Disk,
    miniport: Arc<Mapped<Waker>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

pub(crate) fn parts() -> (Layout, Sealer) {
    let layout = Layout::new(DEVICE as u64, 512, VOLUME / 4096, 256 << 10, 64 << 10).unwrap();
    let key = core::array::from_fn(|i| i as u8);
    (layout, Sealer::new(&key, &[3; 16], true, Backend::detect_xmm()).unwrap())
}

/// What the engine's thread does each time it is woken.
pub(crate) type Turn = fn(&mut Engine<Queue>, &Mapped<Waker>);

/// Opens a volume. `None` if that cannot be.
pub(crate) fn host(memory: &Memory, turn: Turn) -> Option<Hosted> {
    let (layout, sealer) = parts();
    let options = Options::new(1 << 20, 1 << 18, Some(1));
    let volume = Volume::open(&mut memory.clone(), layout, sealer, options).ok()?;
    let setup = Setup::default();
    let miniport = Arc::new(Mapped::new(Waker::default()));
    let mut engine = Engine::new(volume, Queue::new(memory), setup.requests, SECTOR as u32).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (seen, asked) = (Arc::clone(&miniport), Arc::clone(&stop));
    let thread = thread::spawn(move || {
        while !engine.is_closed() {
            if asked.load(Ordering::Acquire) {
                engine.close();
            }
            turn(&mut engine, &seen);
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
    pub(crate) fn close(self) {
        drop(self.disk);
        self.stop.store(true, Ordering::Release);
        self.miniport.thread().wake();
        assert!(self.thread.join().unwrap() >= 1, "closing makes a checkpoint");
    }
}

pub(crate) fn formatted() -> Memory {
    let mut memory = Memory(Arc::new(Mutex::new(vec![0; DEVICE])));
    let (layout, sealer) = parts();
    Volume::format(&mut memory, &layout, &sealer).unwrap();
    memory
}

/// Bytes that differ from sector to sector and round to round, and compress.
pub(crate) fn bytes(sector: u64, round: u64, sectors: usize) -> Vec<u8> {
    (0..sectors as u64)
        .flat_map(|i| [(sector + i) * 31 + round * 7; SECTOR / 8])
        .flat_map(u64::to_le_bytes)
        .collect()
}

pub(crate) fn good(answer: &Answer) -> bool {
    answer.status == Status::OK
}
