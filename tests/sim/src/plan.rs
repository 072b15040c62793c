//! What a seed chooses besides the trace: geometry, manners of the device, faults.

use std::fmt;

use crate::{keys::Keys, prng::Prng, subject::Setup};

/// Bytes.
const MIB: u64 = 1 << 20;

/// What a run puts the subject through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Crashes. The device obeys: no errors. Nothing but what the promises allow may be seen.
    Crash,
    /// Crashes and I/O errors, for once or for longer. Errors may be passed on; afterwards all is as after a crash.
    Errors,
    /// Crashes, and a device that lies: flipped bits, lost and misplaced writes. Right data, or an error.
    Corrupt,
    /// A short run, with a crash at every device write, in every way up to a bound.
    Exhaustive,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Crash, Self::Errors, Self::Corrupt, Self::Exhaustive];
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crash => "crash",
            Self::Errors => "errors",
            Self::Corrupt => "corrupt",
            Self::Exhaustive => "exhaustive",
        })
    }
}

/// In which order a device completes what it has been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As it came.
    First,
    /// The newest first.
    Last,
    /// Any.
    Any,
}

/// How often the device misbehaves: `1` of so many I/Os, 0 never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A read fails once.
    pub read: u32,
    /// A read fails, and the sector stays bad until it is written or the device is mended.
    pub bad_sector: u32,
    /// A write fails, having written part or none of it.
    pub write: u32,
    /// A flush fails, and some of what it should have made durable is gone.
    pub flush: u32,
    /// A write is reported done and never happens.
    pub lost: u32,
    /// A write goes somewhere else.
    pub misplaced: u32,
    /// Bits of something written earlier flip.
    pub flip: u32,
    /// At most so many corruptions in a run.
    pub corruptions: u32,
}

impl Faults {
    /// None: the device is mended.
    pub const NONE: Self =
        Self { read: 0, bad_sector: 0, write: 0, flush: 0, lost: 0, misplaced: 0, flip: 0, corruptions: 0 };
}

/// What a seed chose.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The volume and the device.
    pub setup: Setup,
    /// The device's order.
    pub order: Order,
    /// One I/O of so many is held back for long; 0 none.
    pub stall: u32,
    /// Device events between two steps, about.
    pub pace: u64,
    /// Requests outstanding at most.
    pub depth: usize,
    /// One recovery of so many is struck by a crash itself.
    pub crash_in_recovery: u64,
    /// What is on the device before it is formatted for the first time.
    pub noise: bool,
    /// How the device misbehaves.
    pub faults: Faults,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64, mode: Mode) -> Self {
        let mut rng = Prng::new(seed, 1);
        let short = mode == Mode::Exhaustive;
        let device = if short { 8 * MIB } else { rng.scale(6 * MIB, 32 * MIB) & !4095 };
        let journal =
            (64 << 10) << if short { 0 } else { rng.below((device / (4 * MIB)).ilog2() as u64 + 3) };
        // Headers and journal apart, for at least 26 segments.
        let segment_top = ((device / MIB - 2) * MIB - journal) / 26;
        let volume = match rng.below(4) {
            0 => device / 4,
            1 => device / 2,
            2 => device - 2 * MIB,
            _ => device * 2,
        } & !4095;
        let memory = if short || rng.chance(3, 4) { device / 8 } else { 16 * MIB };
        let setup = Setup {
            identity: rng.any(),
            device,
            sector: if rng.chance(3, 4) { 512 } else { 4096 },
            volume,
            segment: 1 << if short { 16 } else { rng.between(16, segment_top.ilog2().into()) },
            journal: journal as u32,
            memory: rng.scale(MIB / 2, memory),
            dedup: rng.chance(7, 8),
            compress: rng.chance(3, 4),
            encrypt: rng.chance(3, 4),
            keys: Keys::new(seed),
            mutant: None,
        };
        Self {
            setup,
            order: *rng.pick(&[Order::First, Order::Last, Order::Any, Order::Any]),
            stall: *rng.pick(&[0, 5, 20, 100]),
            pace: *rng.pick(&[1, 2, 4, 16]),
            depth: rng.scale(1, if short { 8 } else { 64 }) as usize,
            crash_in_recovery: rng.between(2, 6),
            noise: rng.chance(1, 4),
            faults: faults(mode, &mut rng),
        }
    }
}

/// The faults of a mode.
fn faults(mode: Mode, rng: &mut Prng) -> Faults {
    let rate = |rng: &mut Prng| if rng.chance(1, 2) { rng.scale(30, 2000) as u32 } else { 0 };
    match mode {
        Mode::Crash | Mode::Exhaustive => Faults::NONE,
        Mode::Errors => Faults {
            read: rate(rng),
            bad_sector: rate(rng),
            write: rate(rng),
            flush: rate(rng),
            ..Faults::NONE
        },
        Mode::Corrupt => {
            let kind = rng.below(4);
            let some = rng.scale(10, 400) as u32;
            let of = |which: u64| if kind == which || kind == 3 { some } else { 0 };
            Faults {
                lost: of(0),
                misplaced: of(1),
                flip: of(2),
                corruptions: rng.between(1, 5) as u32,
                ..Faults::NONE
            }
        }
    }
}
