//! What the volume may hold: for each block, every version that could still be seen.

use sluice_mapped::units::{BLOCK, SECTOR};

use crate::content::{self, Print, Prints, ZERO};

/// One tick for each event.
pub type Time = u64;

/// Later than everything.
pub const NEVER: Time = Time::MAX;

/// Sectors in a block.
pub const SECTORS: usize = BLOCK / SECTOR;

/// A write or discard, by its place in [`Model::changes`].
pub type Change = u32;

/// What is known of a write or discard.
#[derive(Clone, Copy, Debug)]
pub struct Lived {
    /// When it was submitted.
    pub submit: Time,
    /// When it ended; [`NEVER`] as long as it has not.
    pub end: Time,
    /// It was acknowledged. If it failed, any of its blocks may hold it.
    pub good: bool,
    /// It was acknowledged as durable.
    pub durable: bool,
    /// The step that it was.
    pub step: usize,
}

/// What a change left in a block.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// The change.
    pub change: Change,
    /// The sectors it covers, the first in the lowest bit.
    pub mask: u8,
    /// Their contents; nothing in the others.
    pub prints: Prints,
}

/// A block.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What it held after the last recovery.
    pub base: Prints,
    /// What was written since, in the order of submission.
    pub versions: Vec<Version>,
    /// It was reported as damaged, so that nothing is known of `base`.
    pub wild: bool,
    /// What it held before `base`; kept only where the device lies.
    pub older: Vec<Version>,
}

/// What the volume may hold.
pub struct Model {
    /// Its blocks.
    pub blocks: Vec<History>,
    /// Changes since the last recovery.
    pub changes: Vec<Lived>,
    /// Blocks with versions.
    pub touched: Vec<u32>,
    /// Everything acknowledged before then is durable.
    pub floor: Time,
    /// Keep what a lying device may bring back.
    pub remember: bool,
    now: Time,
}

impl Model {
    /// An empty volume.
    pub fn new(bytes: u64, remember: bool) -> Self {
        Self {
            blocks: vec![History::default(); bytes as usize / BLOCK],
            changes: Vec::new(),
            touched: Vec::new(),
            floor: 0,
            remember,
            now: 1,
        }
    }

    /// There are more blocks now, of zeros.
    pub fn grow(&mut self, bytes: u64) {
        self.blocks.resize(bytes as usize / BLOCK, History::default());
    }

    /// Now; the next now is later.
    pub fn tick(&mut self) -> Time {
        self.now += 1;
        self.now
    }

    /// A write was submitted. `reads` is when the oldest outstanding read was.
    pub fn write(&mut self, step: usize, offset: u64, data: &[u8], reads: Time) -> Change {
        let change = self.change(step);
        let mut done = 0;
        while done < data.len() {
            let at = offset as usize + done;
            let first = at % BLOCK / SECTOR;
            let take = (BLOCK - at % BLOCK).min(data.len() - done);
            let mut version = Version { change, mask: 0, prints: [ZERO; SECTORS] };
            for (sector, bytes) in data[done..done + take].chunks_exact(SECTOR).enumerate() {
                version.mask |= 1 << (first + sector);
                version.prints[first + sector] = content::print(bytes);
            }
            self.push(at / BLOCK, version, reads);
            done += take;
        }
        change
    }

    /// A discard was submitted: the whole blocks in it become zeros.
    pub fn discard(&mut self, step: usize, offset: u64, length: u64, reads: Time) -> Change {
        let change = self.change(step);
        let first = (offset as usize).div_ceil(BLOCK);
        for block in first..(offset + length) as usize / BLOCK {
            self.push(block, Version { change, mask: 0xff, prints: [ZERO; SECTORS] }, reads);
        }
        change
    }

    /// A change ended.
    pub fn end(&mut self, change: Change, good: bool, durable: bool) {
        let now = self.tick();
        let lived = &mut self.changes[change as usize];
        (lived.end, lived.good, lived.durable) = (now, good, durable);
        if durable {
            self.floor = self.floor.max(lived.submit);
        }
    }

    /// Everything acknowledged before `submit` is durable: a flush submitted then has completed.
    pub fn flushed(&mut self, submit: Time) {
        self.floor = self.floor.max(submit);
    }

    /// Whether a read submitted at `since` that ends now may find `print` in a sector.
    pub fn may_read(&self, block: usize, sector: usize, print: Print, since: Time) -> bool {
        let history = &self.blocks[block];
        let covering = || {
            let versions = history.versions.iter().filter(move |v| v.mask & (1 << sector) != 0);
            versions.map(|v| (v, &self.changes[v.change as usize]))
        };
        let overwritten = covering().filter(|(_, l)| l.good && l.end < since).map(|(_, l)| l.submit).max();
        if overwritten.is_none() && (history.wild || history.base[sector] == print) {
            return true;
        }
        let need = overwritten.unwrap_or(0);
        covering().any(|(version, lived)| lived.end > need && version.prints[sector] == print)
    }

    /// Blocks that may hold something else than zeros.
    pub fn in_use(&self) -> u64 {
        let used = |h: &&History| {
            h.wild
                || h.base.iter().any(|p| *p != ZERO)
                || h.versions.iter().any(|v| v.prints.iter().any(|p| *p != ZERO))
        };
        self.blocks.iter().filter(used).count() as u64
    }

    /// A recovery showed `block` to hold `prints`, or to be damaged: there is no other past any more.
    pub fn collapse(&mut self, block: usize, found: Option<Prints>) {
        let history = &mut self.blocks[block];
        if self.remember {
            let base = Version { change: 0, mask: 0xff, prints: history.base };
            history.older.push(base);
            history.older.append(&mut history.versions);
        }
        history.versions.clear();
        history.wild = found.is_none();
        history.base = found.unwrap_or_default();
    }

    /// Every block has been collapsed that was touched.
    pub fn begin_epoch(&mut self) {
        self.touched.clear();
        self.changes.clear();
        self.floor = 0;
    }

    /// A change begins.
    fn change(&mut self, step: usize) -> Change {
        let submit = self.tick();
        self.changes.push(Lived { submit, end: NEVER, good: false, durable: false, step });
        (self.changes.len() - 1) as Change
    }

    /// One more version of a block.
    fn push(&mut self, block: usize, version: Version, reads: Time) {
        let history = &mut self.blocks[block];
        if history.versions.is_empty() {
            self.touched.push(block as u32);
        }
        if history.versions.len() >= 8 {
            // What a durable version has overwritten is never seen again.
            let horizon = self.floor.min(reads);
            let last = |v: &&Version| {
                let lived = &self.changes[v.change as usize];
                v.mask == 0xff && lived.good && lived.end < horizon
            };
            let past =
                history.versions.iter().filter(last).map(|v| self.changes[v.change as usize].submit).max();
            if let Some(past) = past {
                if self.remember {
                    history.older.extend(history.versions.iter().copied());
                    history.older.push(Version { change: 0, mask: 0xff, prints: history.base });
                }
                history.versions.retain(|v| self.changes[v.change as usize].end >= past);
            }
        }
        history.versions.push(version);
    }
}
