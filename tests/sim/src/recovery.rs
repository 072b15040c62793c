//! Power failures, and what is found afterwards.

use sluice_mapped::{
    io::{Error, Request},
    units::{BLOCK, SECTOR},
};

use crate::{
    content::{self, Prints},
    device::{Device, Landing},
    keys::Keys,
    model::{Model, SECTORS},
    oracle::{self, Found},
    plan::{Mode, Plan},
    prng::Prng,
    run::{Run, Stop},
    subject::{Setup, Subject},
};

/// Blocks of a request that reads back.
const AT_ONCE: usize = 32;

/// A power failure in [`Mode::Exhaustive`], tried out on a twin of the device while the run goes on.
pub struct Afterwards {
    twin: Device,
    bound: u32,
    rng: Prng,
}

impl Afterwards {
    /// Tries all combinations of `bound` writes.
    pub(crate) fn new(plan: &Plan, bound: u32) -> Self {
        let rng = Prng::new(plan.setup.identity, 8);
        Self { twin: Device::new(plan.setup.device, plan.setup.sector, rng.clone()), bound, rng }
    }

    /// With a twin that has seen nothing.
    pub(crate) fn anew(self, plan: &Plan) -> Self {
        let twin = Device::new(plan.setup.device, plan.setup.sector, self.rng.clone());
        Self { twin, ..self }
    }
}

impl<S: Subject> Run<S> {
    /// Power fails now, and comes back.
    pub(crate) fn power_fails(&mut self, rng: &mut Prng) -> Result<(), Stop> {
        self.volume = None;
        self.crash(rng);
        self.recover(rng)
    }

    /// Power fails.
    pub(crate) fn crash(&mut self, rng: &mut Prng) {
        self.figures.crashes += 1;
        let count = self.device.at_risk();
        self.tell(|| format!("power fails; {count} writes are not durable"));
        let mut manner = manner(rng, count);
        self.device.crash(|index, rng| manner(index, rng));
    }

    /// Makes a new volume, perhaps not at the first attempt.
    pub(crate) fn format(&mut self, rng: &mut Prng) -> Result<(), Stop> {
        self.device.behave(true);
        self.crash(rng);
        self.figures.crashes -= 1;
        self.plan.setup.identity = rng.any();
        self.plan.setup.keys = Keys::new(self.plan.setup.identity);
        self.keys_perhaps = None;
        let mut life = rng.chance(1, 3).then(|| rng.scale(1, 40));
        loop {
            let mut disk = self.device.blocking(life);
            let formatted = S::format(&mut disk, &self.plan.setup);
            let dead = disk.is_dead();
            if let Some(complaint) = disk.complaint.take() {
                return Err(Stop::Wrong(complaint));
            }
            match formatted {
                _ if dead => {
                    life = None;
                    self.figures.nested += 1;
                    self.crash(rng);
                    // Whatever is there now must be something or nothing, but no reason to fall over.
                    drop(S::open(&mut self.device.blocking(None), &self.plan.setup));
                }
                Ok(()) => break,
                Err(error) => return Err(Stop::Wrong(format!("cannot format: {error}"))),
            }
        }
        self.model = Model::new(S::volume_size(&self.plan.setup), self.mode == Mode::Corrupt);
        self.corruptions_before = self.device.counts.corruptions;
        if rng.chance(1, 2) {
            self.crash(rng);
        }
        self.recover(rng)
    }

    /// The device grows, and the volume, perhaps not at the first attempt.
    pub(crate) fn grow(&mut self, rng: &mut Prng) -> Result<(), Stop> {
        self.know_keys();
        self.device.extend(Setup::GROWTH);
        self.plan.setup = self.plan.setup.grown(1);
        let mut life = rng.chance(1, 2).then(|| rng.scale(1, 40));
        loop {
            let mut disk = self.device.blocking(life);
            let grown = S::grow(&mut disk, &self.plan.setup);
            let dead = disk.is_dead();
            if let Some(complaint) = disk.complaint.take() {
                return Err(Stop::Wrong(complaint));
            }
            match grown {
                _ if dead => {
                    life = None;
                    self.figures.nested += 1;
                    self.crash(rng);
                    if rng.chance(1, 2) {
                        self.opens_somehow()?;
                    }
                }
                Ok(()) => break,
                Err(_) if self.lies() => {
                    self.figures.refused += 1;
                    return Err(Stop::Refused);
                }
                Err(error) => return Err(Stop::Wrong(format!("cannot grow: {error}"))),
            }
        }
        self.figures.growths += 1;
        self.model.grow(S::volume_size(&self.plan.setup));
        self.recover(rng)
    }

    /// What an interrupted growth left opens: as it was, or grown.
    fn opens_somehow(&mut self) -> Result<(), Stop> {
        let opened = S::open(&mut self.device.blocking(None), &self.plan.setup);
        self.figures.recoveries += u64::from(opened.is_ok());
        match opened {
            Err(error) if !self.lies() => {
                Err(Stop::Wrong(format!("cannot be opened after half a growth: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Opens the volume, judges what is there, and goes on from that.
    pub(crate) fn recover(&mut self, rng: &mut Prng) -> Result<(), Stop> {
        self.forget_requests();
        let mut volume = self.open(rng)?;
        self.device.behave(true);
        let lies = self.lies();
        let mut verified = false;
        if rng.chance(1, 4) {
            self.figures.checks += 1;
            let mut disk = self.device.blocking(None);
            let checked = volume.check(&mut disk);
            if let Some(complaint) = disk.complaint.take() {
                return Err(Stop::Wrong(complaint));
            }
            match checked {
                Ok(all) => verified = all,
                Err(_) if lies => {}
                Err(error) => return Err(Stop::Wrong(format!("check after recovery: {error}"))),
            }
        }
        let blocks = interesting(&self.model, rng);
        let found = read_back(&mut volume, &mut self.device, &blocks)?;
        self.figures.judged += found.len() as u64;
        let damaged = found.iter().filter(|f| f.prints.is_none()).count() as u64;
        self.figures.damaged += damaged;
        if damaged > 0 && verified {
            let what =
                format!("{damaged} blocks cannot be read after recovery, but check has found nothing wrong");
            return Err(Stop::Wrong(what));
        }
        if damaged > 0 && !lies {
            return Err(Stop::Wrong(format!(
                "{damaged} blocks cannot be read after recovery, for no reason"
            )));
        }
        self.figures.believed += oracle::judge(&self.model, &found, !lies)?;
        for block in found {
            self.model.collapse(block.block as usize, block.prints);
        }
        self.model.begin_epoch();
        self.device.behave(false);
        self.stopped = false;
        self.volume = Some(volume);
        self.pump()
    }

    /// Opens the volume; power may fail meanwhile, and the device may.
    fn open(&mut self, rng: &mut Prng) -> Result<S, Stop> {
        for attempt in 0u64.. {
            self.device.behave(attempt > 3);
            let mortal = attempt < 3 && rng.chance(1, self.plan.crash_in_recovery);
            let life = mortal.then(|| rng.scale(1, 300));
            let errors = self.device.counts.errors;
            self.look_at_keys();
            let mut disk = self.device.blocking(life);
            let repairs = (self.figures.recoveries + attempt) % 6 == 5;
            let opened = if repairs {
                S::repair(&mut disk, &self.plan.setup)
            } else {
                S::open(&mut disk, &self.plan.setup).map(|volume| (volume, None))
            };
            let dead = disk.is_dead();
            if let Some(complaint) = disk.complaint.take() {
                return Err(Stop::Wrong(complaint));
            }
            match opened {
                _ if dead => {
                    self.figures.nested += 1;
                    self.crash(rng);
                }
                Ok((_, Some(repaired))) if self.device.counts.errors == errors && !self.lies() => {
                    return Err(Stop::Wrong(format!("after a crash: {repaired}")));
                }
                Ok((volume, _)) => {
                    self.figures.repairs += u64::from(repairs);
                    // If the device failed meanwhile, the volume may be open for reading only.
                    self.errors_before = errors;
                    if self.device.counts.errors == errors {
                        // Both copies of the header were read, and opening has flushed them.
                        self.keys_perhaps = None;
                    }
                    self.figures.recoveries += 1;
                    self.tell(|| "opened".to_owned());
                    return Ok(volume);
                }
                Err(_) if self.device.counts.errors > errors => {}
                Err(_) if self.lies() => {
                    self.figures.refused += 1;
                    return Err(Stop::Refused);
                }
                Err(error) => return Err(Stop::Wrong(format!("cannot be opened: {error}"))),
            }
        }
        Err(Stop::Refused)
    }

    /// In [`Mode::Exhaustive`], what if power failed now?
    pub(crate) fn try_afterwards(&mut self) -> Result<(), Stop> {
        let Some(mut afterwards) = self.afterwards.take() else { return Ok(()) };
        let result = self.try_landings(&mut afterwards);
        self.afterwards = Some(afterwards);
        result
    }

    /// Every combination of landings, up to the bound.
    fn try_landings(&mut self, afterwards: &mut Afterwards) -> Result<(), Stop> {
        let count = self.device.at_risk();
        // Of many, the newest in all combinations; the others land all or not at all.
        let free = count.min(afterwards.bound as usize);
        let fixed = count - free;
        let rest: &[Landing] = if fixed == 0 { &[Landing::All] } else { &[Landing::All, Landing::Nothing] };
        for others in rest {
            for set in 0..1u32 << free {
                let landing = |index: usize| match index.checked_sub(fixed) {
                    None => *others,
                    Some(bit) if set & (1 << bit) != 0 => Landing::All,
                    Some(_) => Landing::Nothing,
                };
                self.try_landing(afterwards, landing)?;
            }
            for torn in fixed..count {
                for half in [Landing::Front, Landing::Back] {
                    for neighbours in [Landing::All, Landing::Nothing] {
                        let landing = |index: usize| match index {
                            _ if index == torn => half,
                            _ if index < fixed => *others,
                            _ => neighbours,
                        };
                        self.try_landing(afterwards, landing)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// One combination.
    fn try_landing(
        &mut self,
        afterwards: &mut Afterwards,
        landing: impl Fn(usize) -> Landing,
    ) -> Result<(), Stop> {
        let Afterwards { twin, rng, .. } = afterwards;
        self.figures.crashes += 1;
        self.device.aftermath(twin, landing);
        if rng.chance(1, 8) {
            // A second failure, during recovery.
            let life = rng.scale(1, 60);
            drop(S::open(&mut twin.blocking(Some(life)), &self.plan.setup));
            let mut manner = manner(rng, twin.at_risk());
            twin.crash(|index, rng| manner(index, rng));
            self.figures.nested += 1;
        }
        let mut volume = open_twin::<S>(twin, &self.plan.setup)?;
        self.figures.recoveries += 1;
        if rng.chance(1, 8) {
            self.figures.checks += 1;
            volume.check(&mut twin.blocking(None)).map_err(|e| format!("check after recovery: {e}"))?;
        }
        let mut blocks = self.model.touched.clone();
        blocks.sort_unstable();
        let found = read_back(&mut volume, twin, &blocks)?;
        self.figures.judged += found.len() as u64;
        self.figures.believed += oracle::judge(&self.model, &found, true)?;
        Ok(())
    }
}

/// Opens a volume on a device that does nothing wrong.
fn open_twin<S: Subject>(twin: &mut Device, setup: &Setup) -> Result<S, String> {
    let mut disk = twin.blocking(None);
    let opened = S::open(&mut disk, setup);
    match (disk.complaint.take(), opened) {
        (Some(complaint), _) => Err(complaint),
        (None, Err(error)) => Err(format!("cannot be opened: {error}")),
        (None, Ok(volume)) => Ok(volume),
    }
}

/// The blocks that are worth reading back: all that were touched, and some others, now and then all.
fn interesting(model: &Model, rng: &mut Prng) -> Vec<u32> {
    let all = model.blocks.len() as u32;
    if rng.chance(1, 8) {
        return (0..all).collect();
    }
    let mut blocks = model.touched.clone();
    for _ in 0..8 {
        let first = rng.below(all.into()) as u32;
        blocks.extend(first..(first + 16).min(all));
    }
    blocks.sort_unstable();
    blocks.dedup();
    blocks
}

/// Reads blocks, in ascending order, from a volume that has nothing else to do.
fn read_back<S: Subject>(volume: &mut S, device: &mut Device, blocks: &[u32]) -> Result<Vec<Found>, String> {
    let mut found = Vec::with_capacity(blocks.len());
    let adjoin = |a: &u32, b: &u32| *a + 1 == *b;
    for range in blocks.chunk_by(adjoin).flat_map(|run| run.chunks(AT_ONCE)) {
        if let Some(bytes) = read(volume, device, range[0], range.len())? {
            let each = range.iter().zip(bytes.chunks_exact(BLOCK));
            found.extend(each.map(|(block, bytes)| Found { block: *block, prints: Some(prints(bytes)) }));
            continue;
        }
        // Which of them is it?
        for block in range {
            let bytes = read(volume, device, *block, 1)?;
            found.push(Found { block: *block, prints: bytes.as_deref().map(prints) });
        }
    }
    Ok(found)
}

/// Reads a range. `None` is a medium error.
fn read<S: Subject>(
    volume: &mut S,
    device: &mut Device,
    first: u32,
    count: usize,
) -> Result<Option<Box<[u8]>>, String> {
    let buffer = vec![0x55; count * BLOCK];
    volume.submit(0, Request::Read { offset: u64::from(first) * BLOCK as u64, buffer });
    loop {
        while let Some(io) = volume.next_io() {
            device.start(io)?;
        }
        if let Some(done) = volume.next_done() {
            return match (done.result, done.buffer) {
                (Ok(()), Some(buffer)) if buffer.len() == count * BLOCK => Ok(Some(buffer.into())),
                (Err(Error::Medium), _) => Ok(None),
                (result, _) => Err(format!("reading back ended with {result:?}, or without its buffer")),
            };
        }
        let Some(completed) = device.advance() else {
            return Err("stuck while reading back".to_owned());
        };
        volume.complete(completed.id, completed.result, completed.buffer);
    }
}

/// A block's fingerprints.
fn prints(block: &[u8]) -> Prints {
    let mut prints = [0; SECTORS];
    for (print, sector) in prints.iter_mut().zip(block.chunks_exact(SECTOR)) {
        *print = content::print(sector);
    }
    prints
}

/// How the pending writes of a power failure land: a manner for all of them.
fn manner(rng: &mut Prng, count: usize) -> impl FnMut(usize, &mut Prng) -> Landing + use<> {
    let kind = rng.below(8);
    let one = rng.below(count as u64) as usize;
    move |index, rng| {
        let torn = Landing::Some(rng.any());
        match kind {
            0 => Landing::Nothing,
            1 => Landing::All,
            2 => *rng.pick(&[Landing::All, Landing::Nothing]),
            3 => *rng.pick(&[Landing::All, Landing::Nothing, torn]),
            4 if index == one => *rng.pick(&[Landing::Nothing, torn]),
            4 => Landing::All,
            5 if index == one => *rng.pick(&[Landing::All, torn]),
            5 => Landing::Nothing,
            // Up to one of them, or from one of them on.
            6 | 7 if index == one => torn,
            6 if index < one => Landing::All,
            7 if index > one => Landing::All,
            _ => Landing::Nothing,
        }
    }
}
