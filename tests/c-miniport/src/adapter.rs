//! The adapter that `plain` drives, played: its registers, its rings in the driver's memory, its disk. See `plain/adapter.h`.

use std::{
    ptr::NonNull,
    sync::{
        Mutex,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release, SeqCst},
        },
    },
    time::Duration,
};

/// Vendor and device in configuration space.
pub const IDENTITY: [u8; 4] = [0x4C, 0x53, 0x43, 0x55];
/// Bytes of a block.
pub const BLOCK: u64 = 512;
const SIGNATURE: u32 = 0x4154_4C53;
const ENABLE: u32 = 1;
const BUSY: u32 = 1;
const ENTRIES: u32 = 16;
const SEGMENTS: usize = 32;
/// Most queues.
pub const QUEUES: usize = 4;

const READ: u16 = 1;
const WRITE: u16 = 2;
const FLUSH: u16 = 3;
const ZERO: u16 = 4;

/// The registers, as the driver maps them.
#[repr(C)]
#[derive(Debug)]
struct Registers {
    identity: AtomicU32,
    control: AtomicU32,
    queues: AtomicU32,
    block_size: AtomicU32,
    blocks: AtomicU64,
    rings: AtomicU64,
    doorbells: [AtomicU32; QUEUES],
    status: AtomicU32,
}

const _: () = assert!(std::mem::offset_of!(Registers, status) == 0x30);

/// What the registers hold before a driver comes.
#[must_use]
pub fn at_first(queues: u32, blocks: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [SIGNATURE, 0, queues, BLOCK as u32] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(blocks.to_le_bytes());
    bytes
}

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
    registers: NonNull<Registers>,
    disk: Mutex<Vec<u8>>,
    /// Blocks that cannot be read or written.
    pub bad: Mutex<Vec<u64>>,
}

// SAFETY: the registers are atomics.
unsafe impl Send for Adapter {}
// SAFETY: as above.
unsafe impl Sync for Adapter {}

impl Adapter {
    /// With so many blocks, and its registers where the driver has mapped them.
    ///
    /// # Safety
    /// `registers` leads to a page that stays for as long as the adapter, and that is only used as registers are.
    pub unsafe fn new(registers: NonNull<u8>, blocks: u64) -> Self {
        let disk = Mutex::new(vec![0; (blocks * BLOCK) as usize]);
        Self { registers: registers.cast(), disk, bad: Mutex::default() }
    }

    fn registers(&self) -> &Registers {
        // SAFETY: `new`'s contract.
        unsafe { self.registers.as_ref() }
    }

    /// What is on the disk.
    pub fn disk(&self) -> Vec<u8> {
        self.disk.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Works until `stop` is true, looking at the doorbells every now and then: in a process nobody hears them ring.
    pub fn run(&self, bus: &dyn Bus, stop: &AtomicBool) {
        while !stop.load(Acquire) {
            let mut idle = true;
            for queue in 0..self.registers().queues.load(Relaxed) {
                self.registers().status.store(BUSY, SeqCst);
                let worked = self.look(bus, queue);
                self.registers().status.store(0, SeqCst);
                if worked {
                    bus.interrupt(queue);
                    idle = false;
                }
            }
            if idle {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    /// Carries out a queue's next command; whether there was one.
    fn look(&self, bus: &dyn Bus, queue: u32) -> bool {
        let registers = self.registers();
        if registers.control.load(SeqCst) & ENABLE == 0 {
            return false;
        }
        let rung = registers.doorbells[queue as usize].load(Acquire);
        let place = registers.rings.load(Relaxed) + u64::from(queue) * size_of::<Ring>() as u64;
        let ring = bus.memory(place, size_of::<Ring>()).cast::<Ring>();
        // SAFETY: the driver shares this memory for as long as the adapter is enabled or busy, and does not touch a
        // command between its doorbell and its completion.
        unsafe {
            let completed = &(*ring).completed;
            let number = completed.load(Relaxed);
            if number == rung {
                return false;
            }
            let index = (number % ENTRIES) as usize;
            let command = (&raw const (*ring).commands[index]).read();
            let answer = self.carry_out(bus, &command);
            (&raw mut (*ring).completions[index]).write(answer);
            completed.store(number.wrapping_add(1), Release);
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
