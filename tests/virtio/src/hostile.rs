//! A device that does whatever a string of numbers says: everything that a device can do to its driver.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use sluice_miniport_virtio_blk::{
    Device, Settings,
    request::{Asked, Range},
    spec::blk,
};
use sluice_shim::platform::Platform;

use crate::{
    Behaviour, Chain, Line, Task, Tasks,
    model::{CAPACITY, State},
};

/// Memory for the driver, tight: what it takes beyond its queues lies at the end.
const MEMORY: usize = 96 << 10;
/// Most steps of a run.
const STEPS: usize = 600;

/// How a run went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Requests given to the driver; each has ended once.
    pub requests: usize,
    /// Those that ended well.
    pub well: usize,
    /// The device was given up, or could not be used, in the end.
    pub failed: bool,
}

/// Numbers, until there are none any more; then zeros.
struct Numbers<'a>(&'a mut dyn FnMut() -> Option<u32>, bool);

impl Numbers<'_> {
    fn next(&mut self) -> u32 {
        match (self.0)() {
            Some(number) => number,
            None => {
                self.1 = true;
                0
            }
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit.max(1)
    }
}

/// One run. Panics if a request is lost, ends twice, or comes back with other data than it may.
pub fn run(platform: &'static dyn Platform, numbers: &mut dyn FnMut() -> Option<u32>) -> Report {
    let mut numbers = Numbers(numbers, false);
    let mut behaviour = Behaviour { strict: false, ..Behaviour::new(numbers.next() & 1 == 1) };
    behaviour.offered &= !(u64::from(numbers.next() & 3) << 28); // tables and event indexes, or not
    let line = Line::new(behaviour, MEMORY);
    let settings = Settings {
        queues: 2,
        descriptors: 16,
        requests: 6,
        waiting: 4,
        pieces: 3,
        copy: 2048,
        patience: 1,
        without: 0,
    };
    let device = Device::new(line.clone(), platform, &mut line.0.shared(), settings).unwrap();
    let _ = device.reset();
    let tasks = Tasks::default();
    let mut lengths = Vec::new();
    for _ in 0..STEPS {
        if numbers.1 {
            break;
        }
        step(&device, &line, &tasks, &mut lengths, &mut numbers);
    }
    device.stop();
    check(&tasks, &lengths, device.is_running())
}

fn check(tasks: &Tasks, lengths: &[usize], running: bool) -> Report {
    let ended = tasks.lock().unwrap();
    let mut seen = vec![false; lengths.len()];
    for (number, _, data) in ended.iter() {
        assert!(!std::mem::replace(&mut seen[*number], true), "request {number} ended twice");
        assert_eq!(data.len(), lengths[*number], "request {number} came back with another buffer");
    }
    let lost = seen.iter().position(|seen| !seen);
    assert_eq!(lost, None, "a request never ended");
    let is_well = |outcome| !matches!(outcome, sluice_miniport_virtio_blk::request::Outcome::Refused(_));
    let well = ended.iter().filter(|(_, outcome, _)| is_well(*outcome)).count();
    Report { requests: lengths.len(), well, failed: !running }
}

fn step(
    device: &Device<Line, Task>,
    line: &Line,
    tasks: &Tasks,
    lengths: &mut Vec<usize>,
    numbers: &mut Numbers<'_>,
) {
    match numbers.below(24) {
        0..=7 => {
            let (asked, ranges, length) = asked(numbers);
            let task = Task {
                number: lengths.len(),
                asked,
                ranges,
                data: vec![0xA5; length],
                tasks: Arc::clone(tasks),
            };
            lengths.push(length);
            device.start(task);
        }
        8..=12 => {
            // As it should be, but for the order; now and then nobody is told.
            let keep = numbers.below(4);
            let tell = numbers.below(8) > 0;
            let queues = give_back(line, keep, numbers);
            queues.into_iter().filter(|_| tell).for_each(|queue| device.interrupt(queue));
        }
        13 => device.tick(),
        14 => device.interrupt(numbers.next() as u16 % 4),
        15 => {
            if numbers.below(4) == 0 {
                let _ = device.reset();
            }
        }
        16 | 17 => {
            lie(&mut line.0.state(), numbers);
            device.interrupt(numbers.below(2) as u16);
        }
        18 => scribble(&mut line.0.state(), numbers),
        19 => {
            let at = numbers.below(60);
            let value = numbers.next() as u8;
            line.0.behave(|behaviour| behaviour.configuration[at] = value);
            device.configuration_changed();
        }
        20 => {
            let (what, value) = (numbers.below(8), numbers.next());
            line.0.behave(|behaviour| misbehave(behaviour, what, value));
            device.configuration_changed();
        }
        _ => {
            // All as at the beginning, so that a run does not end early.
            line.0.behave(|behaviour| {
                let packed = behaviour.offered >> 34 & 1 == 1;
                *behaviour = Behaviour { strict: false, ..Behaviour::new(packed) };
            });
            if !device.is_running() {
                let _ = device.reset();
            }
        }
    }
}

fn misbehave(behaviour: &mut Behaviour, what: usize, value: u32) {
    let flag = value & 1 == 1;
    match what {
        0 => behaviour.stubborn = flag,
        1 => behaviour.deaf = flag,
        2 => behaviour.restless = flag,
        3 => behaviour.replaced = flag,
        4 => behaviour.needs_reset = flag,
        5 => behaviour.offered ^= 1 << (value % 40),
        6 => behaviour.sizes[0] = value as u16,
        _ => behaviour.sizes[1] = (value >> 8) as u16 & 31,
    }
}

fn asked(numbers: &mut Numbers<'_>) -> (Asked, Vec<Range>, usize) {
    let block = u64::from(numbers.next()) % CAPACITY;
    let bytes = numbers.below(6) as u32 * 512;
    // Now and then there is less memory than is asked for.
    let length = bytes as usize - if numbers.below(16) == 0 { bytes as usize / 2 } else { 0 };
    match numbers.below(7) {
        0 | 1 => (Asked::Read { block, bytes, deliver: numbers.below(4) > 0 }, vec![], length),
        2 | 3 => (Asked::Write { block, bytes, durable: numbers.below(2) == 0 }, vec![], length),
        4 => (Asked::Flush, vec![], 0),
        5 => (Asked::Discard, vec![Range { block, blocks: 1 }; numbers.below(5)], 0),
        _ => (Asked::Identify, vec![], 0),
    }
}

/// Gives buffers back as a device should, as far as they can be understood.
fn give_back(line: &Line, keep: usize, numbers: &mut Numbers<'_>) -> Vec<u16> {
    let mut state = line.0.state();
    state.take_all();
    while state.taken.len() > keep {
        let one = numbers.below(state.taken.len());
        let (queue, chain) = state.taken.swap_remove(one);
        let status = if numbers.below(6) == 0 { numbers.next() as u8 } else { blk::OK };
        let written = fill(&mut state, &chain, status);
        if let Some(side) = &mut state.sides[usize::from(queue)] {
            side.push(u32::from(chain.id), chain.count, written);
        }
    }
    let sides = state.sides.iter_mut().zip(0_u16..);
    sides.filter_map(|(side, queue)| side.as_mut()?.wanted().then_some(queue)).collect()
}

/// Writes something into all that may be written, and the status into its end.
fn fill(state: &mut State, chain: &Chain, status: u8) -> u32 {
    let mut written = 0_u32;
    let into = chain.segments.iter().filter(|segment| segment.writable);
    let parts: Vec<_> =
        into.filter_map(|s| state.memory.at(s.address, (s.length as usize).min(4096))).collect();
    for part in &parts {
        let bytes = vec![0x77; part.length()];
        part.copy_in(bytes[..].into());
        written += part.length() as u32;
    }
    if let Some(last) = parts.last().filter(|part| part.length() > 0) {
        last.store8(last.length() - 1, status, Relaxed);
    }
    written
}

/// Gives back what it does not have, or wrongly.
fn lie(state: &mut State, numbers: &mut Numbers<'_>) {
    state.take_all();
    let queue = numbers.below(2);
    let (kind, id, length) = (numbers.below(5), numbers.next(), numbers.next());
    let Some(side) = &mut state.sides[queue] else { return };
    let known = state.taken.iter().position(|(of, _)| usize::from(*of) == queue);
    match (kind, known) {
        // Any identifier: small ones are likely to be somebody's.
        (0, _) => side.push(if id & 1 == 0 { id } else { id >> 1 & 15 }, 1, length & 0xFF),
        // Any length.
        (1, Some(at)) => {
            let (_, chain) = state.taken.swap_remove(at);
            side.push(u32::from(chain.id), chain.count, length);
        }
        // Twice.
        (2, Some(at)) => {
            let (_, chain) = state.taken.swap_remove(at);
            side.push(u32::from(chain.id), chain.count, 1);
            side.push(u32::from(chain.id), chain.count, 1);
        }
        // Never.
        (3, Some(at)) => drop(state.taken.swap_remove(at)),
        // An index from nowhere; on a packed ring, flags.
        _ => {
            let rings = side.rings;
            let at = if rings.packed { id as usize % usize::from(rings.size) * 16 + 14 } else { 2 };
            let area = if rings.packed { rings.descriptors } else { rings.device };
            area.store16(at, length as u16, Relaxed);
        }
    }
}

/// Writes anywhere that it can: descriptors, rings, headers, copies.
fn scribble(state: &mut State, numbers: &mut Numbers<'_>) {
    let whole = *state.memory.whole();
    for _ in 0..numbers.below(8) {
        let at = numbers.below(whole.length() / 4) * 4;
        whole.store32(at, numbers.next(), Relaxed);
    }
}
