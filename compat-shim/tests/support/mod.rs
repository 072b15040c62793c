//! Stages and miniports to try the shim with.

#![allow(dead_code, reason = "each test binary uses some of it")]
#![allow(unreachable_pub, reason = "a module of several binaries, not a crate")]

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use sluice_chain::{
    Chain, Direction, Io, Payload, Stage, StageIo, StageTable, Status, Verdict,
    abi::{ABI_VERSION, Needs},
    bytes::{Source, Target},
};
use sluice_miniport_ram::Ram;
use sluice_shim::{
    miniport::{Miniport, Srb},
    scsi::cdb::Command,
    storport::SrbKind,
};

pub const SECTOR: u32 = 512;
pub const KINDS: [SrbKind; 2] = [SrbKind::Legacy, SrbKind::Extended];

/// Waits until `condition` holds; a hang becomes a failure.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(30), "still not: {what}");
        thread::yield_now();
    }
}

/// A generator of numbers that a seed repeats (splitmix64, Steele and others 2014).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// What [`Xor`] lays over byte `index` of an I/O at `sector`.
pub fn mask(sector: u64, index: usize) -> u8 {
    let (at, byte) = (sector + index as u64 / u64::from(SECTOR), index as u64 % u64::from(SECTOR));
    (at.wrapping_mul(37) ^ byte.wrapping_mul(11)) as u8 ^ 0xA5
}

fn masked(from: Source<'_>, mut to: Target<'_>, sector: u64, skip: usize) {
    assert!(from.len() <= to.len());
    for index in 0..from.len() {
        // SAFETY: inside both.
        unsafe {
            let byte = from.as_ptr().add(index).read_volatile();
            to.as_mut_ptr().add(index).write_volatile(byte ^ mask(sector, skip + index));
        }
    }
}

/// Changes all data, as an encrypting stage does.
pub struct Xor;

impl Stage for Xor {
    const NAME: &'static str = "xor";
    const NEEDS: Needs = Needs::SPARE_ON_WRITE;

    fn request(&self, io: &mut StageIo<'_>) -> Verdict {
        let sector = io.sector();
        if io.direction() != Direction::WRITE {
            return Verdict::CONTINUE;
        }
        match io.write_payload() {
            Some(Payload::Caller { mut segments, mut private }) => {
                let mut done = 0;
                while let Some(source) = segments.next_source() {
                    let length = source.len();
                    // SAFETY: inside `private`, which is as long as the segments.
                    let part = unsafe { Target::from_raw(private.as_mut_ptr().add(done), length) };
                    masked(source, part, sector, done);
                    done += length;
                }
                assert_eq!(done, private.len());
            }
            Some(Payload::Private(mut bytes)) => {
                let source = unsafe { Source::from_raw(bytes.as_mut_ptr(), bytes.len()) };
                masked(source, bytes.reborrow(), sector, 0);
            }
            None => return io.finish(Status::INTERNAL),
        }
        Verdict::CONTINUE
    }

    fn completion(&self, io: &mut StageIo<'_>) -> Verdict {
        if io.direction() == Direction::READ && io.status() == Status::OK {
            let (sector, mut left, mut done) = (io.sector(), io.transferred() as usize, 0);
            let mut segments = io.read_targets();
            while let Some(mut target) = segments.next_target() {
                let length = left.min(target.len());
                let source = unsafe { Source::from_raw(target.as_mut_ptr(), length) };
                masked(source, target, sector, done);
                (left, done) = (left - length, done + length);
            }
        }
        Verdict::CONTINUE
    }
}

/// Moves everything `0` sectors up, as a placing stage does.
pub struct Place(pub u64);

impl Stage for Place {
    const NAME: &'static str = "place";
    const NEEDS: Needs = Needs(0);

    fn request(&self, io: &mut StageIo<'_>) -> Verdict {
        let moved = io.sector() + self.0;
        match io.direction() {
            Direction::READ | Direction::WRITE | Direction::VERIFY => io.set_sector(moved),
            Direction::DISCARD => {
                for extent in io.extents() {
                    extent.sector = extent.sector.wrapping_add(self.0);
                }
            }
            _ => {}
        }
        Verdict::CONTINUE
    }

    fn completion(&self, io: &mut StageIo<'_>) -> Verdict {
        let moved = io.sector().wrapping_sub(self.0);
        if matches!(io.direction(), Direction::READ | Direction::WRITE | Direction::VERIFY) {
            io.set_sector(moved);
        }
        Verdict::CONTINUE
    }
}

/// Counts what passes.
#[derive(Clone, Default)]
pub struct Recorder(pub Arc<[AtomicU32; 2]>);

impl Recorder {
    pub fn seen(&self) -> (u32, u32) {
        (self.0[0].load(Ordering::SeqCst), self.0[1].load(Ordering::SeqCst))
    }
}

impl Stage for Recorder {
    const NAME: &'static str = "recorder";
    const NEEDS: Needs = Needs(0);

    fn request(&self, _io: &mut StageIo<'_>) -> Verdict {
        self.0[0].fetch_add(1, Ordering::SeqCst);
        Verdict::CONTINUE
    }

    fn completion(&self, _io: &mut StageIo<'_>) -> Verdict {
        self.0[1].fetch_add(1, Ordering::SeqCst);
        Verdict::CONTINUE
    }
}

/// Ends everything at one sector with a status.
pub struct EndsAt(pub u64, pub Status);

impl Stage for EndsAt {
    const NAME: &'static str = "ends";
    const NEEDS: Needs = Needs(0);

    fn request(&self, io: &mut StageIo<'_>) -> Verdict {
        if io.sector() == self.0 { io.finish(self.1) } else { Verdict::CONTINUE }
    }
}

/// Keeps I/Os and has another thread resume them.
pub struct Keeper {
    down: bool,
    up: bool,
    /// Resume inside the call already, before it answers PENDING, one time in so many; 0 for never.
    at_once: u64,
    turn: AtomicU64,
    to: mpsc::Sender<Kept>,
}

struct Kept(*mut Io);
// SAFETY: a stage may resume from any thread.
unsafe impl Send for Kept {}

impl Keeper {
    /// The thread ends with the chain.
    pub fn push(chain: &mut Chain, down: bool, up: bool, at_once: u64) {
        let (to, from) = mpsc::channel();
        thread::spawn(move || {
            while let Ok(Kept(io)) = from.recv() {
                // SAFETY: kept, and given back once.
                unsafe { ((*(*io).host).resume)(io, Verdict::CONTINUE) };
            }
        });
        let keeper = Box::new(Self { down, up, at_once, turn: AtomicU64::new(0), to });
        let table = StageTable {
            size: size_of::<StageTable>() as u32,
            version: ABI_VERSION,
            name: *b"keeper\0\0\0\0\0\0\0\0\0\0",
            needs: Needs(0),
            reserved: 0,
            request: keeper_request,
            completion: keeper_completion,
            detach: keeper_detach,
        };
        // SAFETY: the context is what the functions expect; `detach` frees it.
        unsafe { chain.push(table, Box::into_raw(keeper).cast()) }.unwrap();
    }

    fn keep(&self, io: *mut Io) -> Verdict {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        if self.at_once != 0 && turn.is_multiple_of(self.at_once) {
            // SAFETY: as in the thread.
            unsafe { ((*(*io).host).resume)(io, Verdict::CONTINUE) };
        } else {
            self.to.send(Kept(io)).unwrap();
        }
        Verdict::PENDING
    }
}

unsafe extern "C" fn keeper_request(context: *const std::ffi::c_void, io: *mut Io) -> Verdict {
    let keeper = unsafe { &*context.cast::<Keeper>() };
    if keeper.down { keeper.keep(io) } else { Verdict::CONTINUE }
}

unsafe extern "C" fn keeper_completion(context: *const std::ffi::c_void, io: *mut Io) -> Verdict {
    let keeper = unsafe { &*context.cast::<Keeper>() };
    if keeper.up { keeper.keep(io) } else { Verdict::CONTINUE }
}

unsafe extern "C" fn keeper_detach(context: *const std::ffi::c_void) {
    drop(unsafe { Box::from_raw(context.cast_mut().cast::<Keeper>()) });
}

/// A RAM disk that holds its requests back until it is told to go on.
pub struct Gate {
    pub ram: Ram,
    holding: AtomicBool,
    held: Mutex<VecDeque<Srb>>,
    /// First blocks of the commands that came, in their order.
    pub log: Mutex<Vec<u64>>,
}

impl Gate {
    pub fn new(sectors: u64, kind: SrbKind, holding: bool) -> Arc<Self> {
        Arc::new(Self {
            ram: Ram::new(sectors, SECTOR, kind).unwrap(),
            holding: AtomicBool::new(holding),
            held: Mutex::default(),
            log: Mutex::default(),
        })
    }

    pub fn hold(&self, holding: bool) {
        self.holding.store(holding, Ordering::SeqCst);
    }

    pub fn held(&self) -> usize {
        self.held.lock().unwrap().len()
    }

    /// Carries out and completes the request held for the longest.
    pub fn release_oldest(&self) -> bool {
        let srb = self.held.lock().unwrap().pop_front();
        srb.map(|srb| self.finish(srb)).is_some()
    }

    pub fn release_newest(&self) -> bool {
        let srb = self.held.lock().unwrap().pop_back();
        srb.map(|srb| self.finish(srb)).is_some()
    }

    pub fn open(&self) {
        self.hold(false);
        while self.release_oldest() {}
    }

    pub fn finish(&self, mut srb: Srb) {
        let mut view = srb.view();
        // SAFETY: the shim's SRB.
        unsafe { self.ram.execute(&mut view) };
        srb.complete();
    }
}

impl Miniport for Gate {
    fn srb_kind(&self) -> SrbKind {
        self.ram.srb_kind()
    }

    fn start_io(&self, mut srb: Srb) {
        match Command::parse(srb.view().cdb()) {
            Ok(Command::Read(transfer) | Command::Write(transfer)) => {
                self.log.lock().unwrap().push(transfer.range.lba);
            }
            _ => self.log.lock().unwrap().push(u64::MAX),
        }
        let mut held = self.held.lock().unwrap();
        if self.holding.load(Ordering::SeqCst) {
            held.push_back(srb);
        } else {
            drop(held);
            self.finish(srb);
        }
    }
}

/// A miniport that does what a closure does.
pub struct Scripted<F>(pub SrbKind, pub F);

impl<F: Fn(Srb) + Sync> Miniport for Scripted<F> {
    fn srb_kind(&self) -> SrbKind {
        self.0
    }

    fn start_io(&self, srb: Srb) {
        (self.1)(srb);
    }
}

/// An UNMAP parameter list as it should be.
pub fn unmap_list(ranges: &[(u64, u32)]) -> Vec<u8> {
    let mut list = vec![0; 8];
    list[..2].copy_from_slice(&(16 * ranges.len() as u16 + 6).to_be_bytes());
    list[2..4].copy_from_slice(&(16 * ranges.len() as u16).to_be_bytes());
    for (lba, blocks) in ranges {
        list.extend_from_slice(&lba.to_be_bytes());
        list.extend_from_slice(&blocks.to_be_bytes());
        list.extend_from_slice(&[0; 4]);
    }
    list
}
