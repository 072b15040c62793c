//! The adapter that `plain` drives, played: its registers, its rings in the driver's memory, its disk. See `plain/adapter.h`.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering::{Acquire, Relaxed, Release}},
    },
    time::Duration,
};

/// Vendor and device in configuration space.
pub const IDENTITY: [u8; 4] = [0x4C, 0x53, 0x43, 0x55];
/// Bytes of a block.
pub const BLOCK: u64 = 512;
const SIGNATURE: u32 = 0x4154_4C53;
const ENABLE: u32 = 1;
const ENTRIES: u32 = 16;
const SEGMENTS: usize = 32;
/// Most queues.
pub const QUEUES: usize = 4;

const READ: u16 = 1;
const WRITE: u16 = 2;
const FLUSH: u16 = 3;
const ZERO: u16 = 4;

/// The registers, as the driver maps them.
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct Registers {
    identity: AtomicU32,
    control: AtomicU32,
    queues: AtomicU32,
    block_size: AtomicU32,
    blocks: AtomicU64,
    rings: AtomicU64,
    doorbells: [AtomicU32; QUEUES],
    rest: [AtomicU32; (4096 - 0x20) / 4 - QUEUES],
}

const _: () = assert!(size_of::<Registers>() == 4096);

#[repr(C)]
#[derive(Clone, Copy)]
struct Segment {
    address: u64,
    length: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Command {
    block: u64,
    blocks: u32,
    operation: u16,
    tag: u16,
    count: u64,
    segments: [Segment; SEGMENTS],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Completion {
    tag: u16,
    failed: u16,
    bytes: u32,
}

#[repr(C)]
struct Ring {
    completed: AtomicU32,
    reserved: u32,
    completions: [Completion; ENTRIES as usize],
    commands: [Command; ENTRIES as usize],
}

const _: () = assert!(size_of::<Ring>() == 8 + ENTRIES as usize * (8 + 24 + 16 * SEGMENTS));

/// What the adapter sees of the machine around it.
pub trait Bus: Sync {
    /// Where `length` bytes at a physical address are in this process; they stay there while the adapter is enabled.
    fn memory(&self, physical: u64, length: usize) -> *mut u8;
    /// Interrupts with a message.
    fn interrupt(&self, message: u32);
}

/// The adapter.
#[derive(Debug)]
pub struct Adapter {
    /// To be mapped by the driver.
    pub registers: Box<Registers>,
    disk: Mutex<Vec<u8>>,
    /// Blocks that cannot be read or written.
    pub bad: Mutex<Vec<u64>>,
}

impl Adapter {
    /// With so many queues and blocks.
    pub fn new(queues: u32, blocks: u64) -> Self {
        let registers = Registers {
            identity: SIGNATURE.into(),
            control: 0.into(),
            queues: queues.into(),
            block_size: (BLOCK as u32).into(),
            blocks: blocks.into(),
            rings: 0.into(),
            doorbells: Default::default(),
            rest: [const { AtomicU32::new(0) }; (4096 - 0x20) / 4 - QUEUES],
        };
        let disk = Mutex::new(vec![0; (blocks * BLOCK) as usize]);
        Self { registers: Box::new(registers), disk, bad: Mutex::default() }
    }

    /// What is on the disk.
    pub fn disk(&self) -> Vec<u8> {
        self.disk.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Works until `stop` is true, looking at the doorbells every now and then: in a process nobody hears them ring.
    pub fn run(&self, bus: &dyn Bus, stop: &std::sync::atomic::AtomicBool) {
        let mut seen = [0u32; QUEUES];
        while !stop.load(Acquire) {
            let mut idle = true;
            for queue in 0..self.registers.queues.load(Relaxed) {
                idle &= !self.look(bus, queue, &mut seen[queue as usize]);
            }
            if idle {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    /// Carries out what a queue has got since; whether there was anything.
    fn look(&self, bus: &dyn Bus, queue: u32, seen: &mut u32) -> bool {
        let rung = self.registers.doorbells[queue as usize].load(Acquire);
        if self.registers.control.load(Acquire) & ENABLE == 0 || rung == 0 {
            *seen = rung.min(*seen);
            return false;
        }
        if rung == *seen {
            return false;
        }
        let place = self.registers.rings.load(Relaxed) + u64::from(queue) * size_of::<Ring>() as u64;
        let ring = bus.memory(place, size_of::<Ring>()).cast::<Ring>();
        while *seen != rung {
            let index = (*seen % ENTRIES) as usize;
            // SAFETY: the driver shares this memory for as long as it enables the adapter, and does not touch a command
            // between its doorbell and its completion.
            unsafe {
                let command = (&raw const (*ring).commands[index]).read();
                let completed = &(*ring).completed;
                let answer = self.carry_out(bus, &command);
                let number = completed.load(Relaxed);
                (&raw mut (*ring).completions[(number % ENTRIES) as usize]).write(answer);
                completed.store(number.wrapping_add(1), Release);
            }
            *seen = seen.wrapping_add(1);
            bus.interrupt(queue);
        }
        true
    }

    fn carry_out(&self, bus: &dyn Bus, command: &Command) -> Completion {
        let bytes = u64::from(command.blocks) * BLOCK;
        let mut disk = self.disk.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let bad = self.bad.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let touched = command.block..command.block + u64::from(command.blocks);
        let failed = bad.iter().any(|block| touched.contains(block));
        let start = (command.block * BLOCK) as usize;
        let done = match command.operation {
            _ if failed => None,
            READ => disk.get(start..start + bytes as usize).map(|data| scatter(bus, command, data)),
            WRITE => disk.get_mut(start..start + bytes as usize).map(|data| gather(bus, command, data)),
            FLUSH => Some(0),
            ZERO => zero(bus, command, &mut disk),
            _ => None,
        };
        Completion { tag: command.tag, failed: done.is_none().into(), bytes: done.unwrap_or(0) }
    }
}

fn segments<'a>(bus: &'a dyn Bus, command: &'a Command) -> impl Iterator<Item = (*mut u8, usize)> + 'a {
    let used = command.segments.iter().take(command.count as usize);
    used.map(|segment| (bus.memory(segment.address, segment.length as usize), segment.length as usize))
}

fn scatter(bus: &dyn Bus, command: &Command, data: &[u8]) -> u32 {
    let mut done = 0;
    for (place, length) in segments(bus, command) {
        let part = &data[done..data.len().min(done + length)];
        // SAFETY: the driver has named this memory, which stays until the command is completed.
        unsafe { place.copy_from_nonoverlapping(part.as_ptr(), part.len()) };
        done += part.len();
    }
    done as u32
}

fn gather(bus: &dyn Bus, command: &Command, data: &mut [u8]) -> u32 {
    let mut done = 0;
    for (place, length) in segments(bus, command) {
        let part = length.min(data.len() - done);
        // SAFETY: as in `scatter`.
        unsafe { place.copy_to_nonoverlapping(data[done..].as_mut_ptr(), part) };
        done += part;
    }
    done as u32
}

/// UNMAP: the segments hold its parameter list (SBC-3 5.28).
fn zero(bus: &dyn Bus, command: &Command, disk: &mut [u8]) -> Option<u32> {
    let mut list = vec![0; segments(bus, command).map(|(_, length)| length).sum()];
    let length = gather(bus, command, &mut list);
    for range in list.get(8..)?.chunks_exact(16) {
        let block = u64::from_be_bytes(range[..8].try_into().ok()?);
        let blocks = u64::from(u32::from_be_bytes(range[8..12].try_into().ok()?));
        disk.get_mut((block * BLOCK) as usize..((block + blocks) * BLOCK) as usize)?.fill(0);
    }
    Some(length)
}
