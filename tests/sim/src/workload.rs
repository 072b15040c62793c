//! The trace of a run: what is asked of the volume, and what befalls it. The seed decides it before the run begins, so
//! a step can be left out without changing the others.

use std::fmt;

use sluice_mapped::units::{BLOCK, SECTOR};

use crate::{content::Mix, keys::KeyChange, plan::Mode, prng::Prng, subject::Steer};

/// One step.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Read a range.
    Read {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
    },
    /// Write a range.
    Write {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
        /// Durable when acknowledged.
        fua: bool,
        /// What is written: see [`Mix::fill`].
        content: u64,
        /// How contents are chosen.
        mix: Mix,
    },
    /// Discard a range.
    Discard {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Flush.
    Flush,
    /// Advice.
    Steer(Steer),
    /// Wait until nothing is outstanding.
    Rest,
    /// Close, and open again. If `crash`, power fails in between.
    Reopen {
        /// Power fails in between.
        crash: bool,
    },
    /// Power fails after so many more device events.
    Crash {
        /// Device events.
        events: u32,
    },
    /// Format the device again, over what is there.
    Format,
    /// The device grows, and the volume.
    Grow,
    /// The volume is closed, one of its keys changed, and opened again.
    Rekey(KeyChange),
    /// Discard everything; the volume must come to take new data again.
    Empty,
}

impl Step {
    /// The byte after the last that it touches.
    pub fn end(&self) -> u64 {
        match self {
            Self::Read { offset, length } | Self::Write { offset, length, .. } => offset + u64::from(*length),
            Self::Discard { offset, length } => offset + length,
            _ => 0,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { offset, length } => write!(f, "read     {offset:>9} +{length}"),
            Self::Write { offset, length, fua, .. } => {
                write!(f, "write    {offset:>9} +{length}{}", if *fua { " FUA" } else { "" })
            }
            Self::Discard { offset, length } => write!(f, "discard  {offset:>9} +{length}"),
            Self::Flush => write!(f, "flush"),
            Self::Steer(steer) => write!(f, "{}", format!("{steer:?}").to_lowercase()),
            Self::Rest => write!(f, "rest"),
            Self::Reopen { crash: true } => write!(f, "close, power failure, open"),
            Self::Reopen { crash: false } => write!(f, "close, open"),
            Self::Crash { events } => write!(f, "power failure after {events} device events"),
            Self::Grow => write!(f, "grow"),
            Self::Rekey(change) => write!(f, "{change}"),
            Self::Format => write!(f, "format"),
            Self::Empty => write!(f, "discard all, then write"),
        }
    }
}

/// What a phase of a trace is about.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// A bit of everything.
    Mixed,
    /// From front to back, large writes, so that the device fills up.
    Fill,
    /// Small random overwrites.
    Overwrite,
    /// The same small part overwritten whole, again and again, with what is new each time: segments die as they are
    /// filled, and near 100 % the cleaner is on their heels.
    Churn,
    /// Small writes, each flushed or FUA.
    Sync,
    /// Mostly discards.
    Discard,
    /// Mostly reads.
    Read,
}

/// Makes a trace.
struct Maker {
    rng: Prng,
    volume: u64,
    /// What the volume will be when it has grown once, twice, ...
    growth: Vec<u64>,
    largest: u64,
    /// It has keys.
    keys: bool,
    /// Where most of it happens: first byte, bytes.
    hot: (u64, u64),
    mix: Mix,
    fill: u64,
    trace: Vec<Step>,
}

/// The trace of a seed: `steps` steps on a volume that has at first the first of `sizes`, and then grows to the others;
/// whether it has `keys` that can be changed.
pub fn trace(seed: u64, mode: Mode, sizes: &[u64], keys: bool, steps: usize) -> Vec<Step> {
    let mut rng = Prng::new(seed, 4);
    let short = mode == Mode::Exhaustive;
    let mix = Mix::new(&mut rng);
    let largest = if short { 32 << 10 } else { rng.scale(4 << 10, 1 << 20) };
    let (volume, growth) = (sizes[0], sizes[1..].iter().rev().copied().collect());
    let mut maker =
        Maker { rng, volume, growth, largest, keys, hot: (0, volume), mix, fill: 0, trace: Vec::new() };
    let crash_each = maker.rng.scale(10, 200);
    while maker.trace.len() < steps {
        let phase = maker.phase(short);
        let length = if short { steps as u64 } else { maker.rng.scale(8, 200) };
        for _ in 0..length {
            maker.step(phase);
            if !short && maker.rng.chance(1, crash_each) {
                maker.calamity();
            }
        }
    }
    maker.trace.truncate(steps);
    maker.trace.push(if short { Step::Rest } else { Step::Reopen { crash: maker.rng.chance(1, 2) } });
    if short && keys {
        // The second and third find what an interrupted one has left.
        (0..3).for_each(|_| maker.trace.push(Step::Rekey(KeyChange::new(&mut maker.rng))));
    }
    if !short && maker.rng.chance(1, 3) {
        maker.trace.push(Step::Empty);
        maker.trace.push(Step::Reopen { crash: true });
    }
    maker.trace
}

impl Maker {
    /// Begins a phase: what it is about, and where.
    fn phase(&mut self, short: bool) -> Phase {
        if self.rng.chance(1, 3) {
            self.mix = Mix::new(&mut self.rng);
        }
        let least = (64 << 10).min(self.volume);
        let span = self.rng.scale(least, if short { 256 << 10 } else { self.volume }).min(self.volume);
        self.hot = (self.rng.below((self.volume - span) / SECTOR as u64 + 1) * SECTOR as u64, span);
        if short {
            return Phase::Mixed;
        }
        let phases = [
            Phase::Mixed,
            Phase::Fill,
            Phase::Overwrite,
            Phase::Churn,
            Phase::Sync,
            Phase::Discard,
            Phase::Read,
        ];
        let phase = phases[self.rng.weighted(&[8, 3, 5, 4, 3, 1, 1])];
        if matches!(phase, Phase::Churn) {
            self.hot.1 = self.hot.1.min(self.rng.scale(least, 1 << 20));
            self.mix.duplicate = 0;
            self.mix.zero = 0;
        }
        phase
    }

    /// One step of a phase.
    fn step(&mut self, phase: Phase) {
        //                            read write discard flush checkpoint clean rest
        let weights: [u32; 7] = match phase {
            Phase::Mixed => [20, 60, 6, 6, 2, 1, 2],
            Phase::Fill => [2, 200, 1, 2, 1, 1, 0],
            Phase::Overwrite => [5, 100, 1, 2, 1, 1, 1],
            Phase::Churn => [1, 100, 1, 1, 1, 1, 0],
            Phase::Sync => [5, 50, 2, 50, 1, 1, 1],
            Phase::Discard => [10, 20, 50, 5, 1, 1, 1],
            Phase::Read => [100, 10, 1, 1, 1, 0, 1],
        };
        let step = match self.rng.weighted(&weights) {
            0 => {
                let (offset, length) = self.range(self.largest);
                Step::Read { offset, length: length as u32 }
            }
            1 => self.write(phase),
            2 => {
                let most = if self.rng.chance(1, 20) { self.volume } else { self.largest };
                let (offset, length) = self.range(most);
                Step::Discard { offset, length }
            }
            3 => Step::Flush,
            4 => Step::Steer(Steer::Checkpoint),
            5 => Step::Steer(Steer::Clean),
            _ => Step::Rest,
        };
        self.trace.push(step);
    }

    /// A write.
    fn write(&mut self, phase: Phase) -> Step {
        let (offset, length) = match phase {
            Phase::Fill => {
                let length = self.rng.scale(SECTOR as u64, 1 << 20) & !(SECTOR as u64 - 1);
                let offset = if self.fill + length > self.volume { 0 } else { self.fill };
                self.fill = offset + length;
                (offset, length.min(self.volume))
            }
            Phase::Overwrite | Phase::Sync => self.range(BLOCK as u64),
            Phase::Churn => (self.hot.0 & !(BLOCK as u64 - 1), self.hot.1 & !(BLOCK as u64 - 1)),
            _ => self.range(self.largest),
        };
        let fua = self.rng.chance(1, if matches!(phase, Phase::Sync) { 4 } else { 40 });
        Step::Write { offset, length: length as u32, fua, content: self.rng.any(), mix: self.mix }
    }

    /// A range of at most `most` bytes; most of them begin in the hot part, and on a block.
    fn range(&mut self, most: u64) -> (u64, u64) {
        let grain = if self.rng.chance(3, 4) { BLOCK as u64 } else { SECTOR as u64 };
        let most = most.max(grain);
        let length = match self.rng.below(4) {
            0 | 1 => grain,
            2 => self.rng.scale(grain, most.min(16 * grain)) / grain * grain,
            _ => self.rng.scale(grain, most) / grain * grain,
        }
        .min(self.volume);
        let (first, span) = if self.rng.chance(9, 10) { self.hot } else { (0, self.volume) };
        let offset = (first + self.rng.below(span)) / grain * grain;
        (offset.min(self.volume - length), length)
    }

    /// Power fails, or the volume is closed, or formatted.
    fn calamity(&mut self) {
        let step = match self.rng.below(20) {
            0 => Step::Format,
            1..3 => Step::Reopen { crash: false },
            3 => Step::Reopen { crash: true },
            4 if !self.growth.is_empty() => {
                self.volume = self.growth.pop().unwrap_or(self.volume);
                Step::Grow
            }
            5..8 if self.keys => Step::Rekey(KeyChange::new(&mut self.rng)),
            _ => Step::Crash { events: self.rng.scale(1, 300) as u32 - 1 },
        };
        self.trace.push(step);
        // What a recovery left unfinished shows when the next failure is near.
        while self.rng.chance(1, 3) {
            for _ in 0..self.rng.between(1, 3) {
                self.step(Phase::Sync);
            }
            self.trace.push(Step::Crash { events: self.rng.below(6) as u32 });
        }
    }
}
