//! Many threads, a random mix of everything, and a model that knows what each sector must hold.
//!
//! `SLUICE_SEED` repeats a run, `SLUICE_TURNS` makes it longer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "tests play the parts of hosts and miniports, some of them badly"
)]

mod support;

use std::{
    sync::{Arc, Mutex, atomic::Ordering, mpsc},
    thread::{self, JoinHandle},
};

use sluice_chain::{Chain, Status};
use sluice_checker::Disk;
use sluice_miniport_ram::Ram;
use sluice_shim::{
    miniport::{Miniport, Srb},
    storport::SrbKind,
};
use sluice_user_host::{Executor, Operation, Setup, Ticket};
use support::{Keeper, Place, Random, Recorder, SECTOR, Xor, mask, unmap_list};

/// Callers at once.
const THREADS: u64 = 3;
/// Sectors of each caller.
const REGION: u64 = 512;
/// Slots of a region; a caller has at most one operation under way in each.
const SLOTS: u64 = 8;
const SLOT: u64 = REGION / SLOTS;
const OFFSET: u64 = 64;

/// A device that answers some requests at once and others later, out of order, from its own threads.
struct Restless {
    ram: Ram,
    random: Mutex<Random>,
    to: Vec<Mutex<mpsc::Sender<Srb>>>,
}

impl Restless {
    fn new(kind: SrbKind, seed: u64) -> (Arc<Self>, Vec<JoinHandle<()>>) {
        let (to, from): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::channel::<Srb>()).unzip();
        let ram = Ram::new(OFFSET + THREADS * REGION, SECTOR, kind).unwrap();
        let to = to.into_iter().map(Mutex::new).collect();
        let device = Arc::new(Self { ram, random: Mutex::new(Random(seed)), to });
        let workers = from
            .into_iter()
            .map(|from| {
                let device = Arc::downgrade(&device);
                thread::spawn(move || {
                    while let Ok(first) = from.recv() {
                        let Some(device) = device.upgrade() else { return };
                        let mut batch: Vec<_> = [first].into_iter().chain(from.try_iter().take(3)).collect();
                        while let Some(srb) = batch.pop() {
                            device.finish(srb);
                        }
                    }
                })
            })
            .collect();
        (device, workers)
    }

    fn finish(&self, mut srb: Srb) {
        // SAFETY: the shim's SRB.
        unsafe { self.ram.execute(&mut srb.view()) };
        srb.complete();
    }
}

impl Miniport for Restless {
    fn srb_kind(&self) -> SrbKind {
        self.ram.srb_kind()
    }

    fn start_io(&self, srb: Srb) {
        let choice = self.random.lock().unwrap().below(3) as usize;
        match self.to.get(choice) {
            Some(to) => to.lock().unwrap().send(srb).unwrap(),
            None => self.finish(srb),
        }
    }
}

/// What an operation under way does to its slot when it succeeds.
enum Effect {
    Holds(usize),
    Becomes(usize, Vec<u8>),
    Nothing,
}

struct UnderWay<'d> {
    ticket: Ticket<'d>,
    effect: Effect,
    cancelled: bool,
}

/// One caller: its region, and what that must hold.
struct Caller<'d> {
    disk: &'d Disk,
    random: Random,
    first: u64,
    changed: bool,
    model: Vec<u8>,
    slots: Vec<Option<UnderWay<'d>>>,
    seed: u64,
}

impl<'d> Caller<'d> {
    fn new(disk: &'d Disk, seed: u64, number: u64, changed: bool) -> Self {
        let first = number * REGION;
        let mut model: Vec<u8> = vec![0; (REGION * u64::from(SECTOR)) as usize];
        zeros(&mut model, first, changed);
        let random = Random(seed ^ number << 32);
        Self { disk, random, first, changed, model, slots: (0..SLOTS).map(|_| None).collect(), seed }
    }

    fn turn(&mut self) {
        let slot = self.random.below(SLOTS);
        match self.slots[slot as usize].take() {
            None => self.slots[slot as usize] = Some(self.begin(slot)),
            Some(mut way) if self.random.below(8) == 0 => {
                way.cancelled |= way.ticket.cancel();
                self.slots[slot as usize] = Some(way);
            }
            Some(way) => self.end(way),
        }
    }

    fn begin(&mut self, slot: u64) -> UnderWay<'d> {
        let within = self.random.below(SLOT);
        let sectors = 1 + self.random.below(SLOT - within);
        let (sector, length) = (self.first + slot * SLOT + within, sectors as usize * SECTOR as usize);
        let at = ((slot * SLOT + within) * u64::from(SECTOR)) as usize;
        let (operation, effect) = match self.random.below(10) {
            0..4 => (Operation::read(sector, length as u32), Effect::Holds(at)),
            4..8 => {
                let data = self.random.bytes(length);
                (Operation::write(sector, data.clone()), Effect::Becomes(at, data))
            }
            8 => {
                let mut gone = vec![0; length];
                zeros(&mut gone, sector, self.changed);
                (Operation::discard(unmap_list(&[(sector, sectors as u32)])), Effect::Becomes(at, gone))
            }
            _ if self.random.below(2) == 0 => (Operation::flush(), Effect::Nothing),
            _ => (Operation::verify(sector, length as u32), Effect::Nothing),
        };
        UnderWay { ticket: self.disk.start(operation), effect, cancelled: false }
    }

    fn end(&mut self, way: UnderWay<'_>) {
        let (answer, buffer) = way.ticket.wait();
        let expected = if way.cancelled { Status::CANCELLED } else { Status::OK };
        assert_eq!(answer.status, expected, "seed {}", self.seed);
        if way.cancelled {
            return;
        }
        match way.effect {
            Effect::Holds(at) => {
                assert_eq!(answer.transferred as usize, buffer.len());
                let same = buffer == self.model[at..at + buffer.len()];
                assert!(same, "seed {}: {} bytes at {at} of the region", self.seed, buffer.len());
            }
            Effect::Becomes(at, data) => self.model[at..at + data.len()].copy_from_slice(&data),
            Effect::Nothing => {}
        }
    }

    fn settle(&mut self) {
        for slot in 0..SLOTS as usize {
            if let Some(way) = self.slots[slot].take() {
                self.end(way);
            }
        }
        let (answer, all) =
            self.disk.start(Operation::read(self.first, (REGION * u64::from(SECTOR)) as u32)).wait();
        assert!(answer.status == Status::OK && all == self.model, "seed {}: at the end", self.seed);
    }
}

/// What zeros on the device read as.
fn zeros(bytes: &mut [u8], sector: u64, changed: bool) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = if changed { mask(sector, index) } else { 0 };
    }
}

fn environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

fn run(seed: u64, turns: u64) {
    let mut random = Random(seed);
    let kind = if random.below(2) == 0 { SrbKind::Legacy } else { SrbKind::Extended };
    let (device, workers) = Restless::new(kind, seed);
    let changed = random.below(3) > 0;
    let counted = Recorder::default();
    let mut chain = Chain::new();
    chain.push_owned(Box::new(counted.clone())).unwrap();
    if random.below(2) == 0 {
        Keeper::push(&mut chain, true, random.below(2) == 0, 3);
    }
    if changed {
        chain.push_owned(Box::new(Xor)).unwrap();
    }
    if random.below(2) == 0 {
        Keeper::push(&mut chain, random.below(2) == 0, true, 0);
    }
    chain.push_owned(Box::new(Place(OFFSET))).unwrap();
    let setup = Setup {
        requests: 1 + random.below(12) as usize,
        small: (4096, random.below(4) as usize),
        large: (REGION as usize * SECTOR as usize, 1 + random.below(2) as usize),
        executor: if random.below(2) == 0 { Executor::Inline } else { Executor::Thread },
        ..Setup::default()
    };
    let disk = Disk::new(device, SECTOR, chain, &setup);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let disk = &disk;
            scope.spawn(move || {
                let mut caller = Caller::new(disk, seed, number, changed);
                for _ in 0..turns {
                    caller.turn();
                }
                caller.settle();
            });
        }
    });
    assert_eq!(disk.adapter().faults().not_owned.load(Ordering::Relaxed), 0, "seed {seed}");
    drop(disk);
    let (down, up) = counted.seen();
    assert_eq!(down, up, "seed {seed}: what went down came up");
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

#[test]
fn a_random_mix_agrees_with_the_model() {
    let (seed, turns) = (environment("SLUICE_SEED", 1), environment("SLUICE_TURNS", 400));
    for seed in seed..seed + 24 {
        run(seed, turns);
    }
}
