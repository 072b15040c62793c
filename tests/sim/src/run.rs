//! One run: the steps of a trace, one after the other, with the device at work in between.

use sluice_mapped::{
    io::{DeviceOp, Done, Error, Request},
    units::{BLOCK, SECTOR},
};

use crate::{
    content,
    device::Device,
    figures::Figures,
    keys::Keys,
    model::{Change, Model, NEVER, Time},
    plan::{Mode, Plan},
    prng::Prng,
    recovery::Afterwards,
    subject::{Steer, Subject},
    workload::Step,
};

/// What went wrong, or that it cannot go on.
#[derive(Debug)]
pub enum Stop {
    /// The subject is wrong.
    Wrong(String),
    /// A lying device damaged the volume beyond opening, and it said so: nothing is left to test.
    Refused,
}

impl From<String> for Stop {
    fn from(what: String) -> Self {
        Self::Wrong(what)
    }
}

/// A request that has not ended.
struct Outstanding {
    user: u64,
    submit: Time,
    kind: Kind,
    /// I/O errors by the device before it was submitted.
    errors: u64,
    /// There is no reason to fail for want of space.
    fits: bool,
}

/// What a request is about.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Read { offset: u64, length: usize },
    Write { change: Change, fua: bool },
    Discard { change: Change },
    Flush,
}

/// Most device events that a volume may need to come to rest.
const REST: u64 = 300_000;

/// A run under way.
pub struct Run<S> {
    pub(crate) plan: Plan,
    pub(crate) mode: Mode,
    pub(crate) device: Device,
    pub(crate) model: Model,
    pub(crate) volume: Option<S>,
    pub(crate) afterwards: Option<Afterwards>,
    /// What the keys may be instead: a change of them was not acknowledged.
    pub(crate) keys_perhaps: Option<Keys>,
    /// What was done.
    pub figures: Figures,
    /// The step being done, by its number in the whole trace.
    pub step: usize,
    /// Print everything that happens.
    pub verbose: bool,
    outstanding: Vec<Outstanding>,
    users: u64,
    /// I/O errors by the device before the volume was opened.
    pub(crate) errors_before: u64,
    /// Corruptions by the device before it was formatted.
    pub(crate) corruptions_before: u64,
    /// The volume takes no more writes.
    pub(crate) stopped: bool,
}

impl<S: Subject> Run<S> {
    /// A run of `plan`, before its first step. In [`Mode::Exhaustive`], up to `bound` pending writes land in every
    /// combination.
    pub fn new(seed: u64, plan: Plan, mode: Mode, bound: u32) -> Self {
        let mut device = Device::new(plan.setup.device, plan.setup.sector, Prng::new(seed, 6));
        if plan.noise {
            device.scribble();
        }
        device.manners(plan.order, plan.stall);
        device.misbehave(plan.faults);
        let model = Model::new(S::volume_size(&plan.setup), mode == Mode::Corrupt);
        let afterwards = (mode == Mode::Exhaustive).then(|| Afterwards::new(&plan, bound));
        Self {
            plan,
            mode,
            device,
            model,
            volume: None,
            afterwards,
            keys_perhaps: None,
            figures: Figures { runs: 1, ..Figures::default() },
            step: 0,
            verbose: false,
            outstanding: Vec::new(),
            users: 0,
            errors_before: 0,
            corruptions_before: 0,
            stopped: false,
        }
    }

    /// Does the steps numbered in `trace`.
    ///
    /// # Errors
    /// What went wrong.
    pub fn go(&mut self, seed: u64, trace: &[(usize, Step)]) -> Result<(), Stop> {
        self.format(&mut Prng::new(seed, 7))?;
        for (number, step) in trace {
            self.step = *number;
            self.figures.steps += 1;
            // Each step has its own luck, so that leaving one out does not change the others'.
            let mut rng = Prng::new(seed, 1000 + *number as u64);
            if self.stopped && rng.chance(1, 4) {
                self.power_fails(&mut rng)?;
            }
            self.meanwhile(&mut rng)?;
            self.tell(|| format!("step {number}: {step}"));
            self.step(*step, &mut rng)?;
        }
        Ok(())
    }

    /// Adds what the device did.
    pub fn finish(&mut self) -> Figures {
        let counts = self.device.counts;
        self.figures.device_writes = counts.writes;
        self.figures.device_bytes = counts.bytes;
        self.figures.device_flushes = counts.flushes;
        self.figures.io_errors = counts.errors;
        self.figures.corruptions = counts.corruptions;
        self.figures
    }

    /// One step.
    fn step(&mut self, step: Step, rng: &mut Prng) -> Result<(), Stop> {
        if step.end() > S::volume_size(&self.plan.setup) {
            // The growth that made room for it has been left out.
            return Ok(());
        }
        match step {
            Step::Read { .. } | Step::Write { .. } | Step::Discard { .. } | Step::Flush => {
                self.request(step, false)?;
            }
            Step::Steer(steer) => {
                self.steer(steer)?;
            }
            Step::Rest => self.rest()?,
            Step::Reopen { crash } => {
                self.close()?;
                if crash {
                    self.power_fails(rng)?;
                } else {
                    self.recover(rng)?;
                }
            }
            Step::Crash { events } => {
                for _ in 0..events {
                    if !self.advance()? {
                        break;
                    }
                }
                self.power_fails(rng)?;
            }
            Step::Format => {
                self.volume = None;
                self.format(rng)?;
            }
            Step::Grow => {
                self.close()?;
                self.grow(rng)?;
            }
            Step::Rekey(change) => {
                self.close()?;
                self.rekey(change, rng)?;
            }
            Step::Empty => self.empty()?,
        }
        Ok(())
    }

    /// The device works, as much as the plan and luck have it.
    fn meanwhile(&mut self, rng: &mut Prng) -> Result<(), Stop> {
        let events = match rng.below(40) {
            0 => 500,
            1..4 => rng.below(50),
            _ => rng.below(2 * self.plan.pace + 1),
        };
        for _ in 0..events {
            if !self.advance()? {
                break;
            }
        }
        while self.outstanding.len() >= self.plan.depth {
            self.must_advance()?;
        }
        Ok(())
    }

    /// Submits a request. `fits`: it may not fail for want of space.
    fn request(&mut self, step: Step, fits: bool) -> Result<(), Stop> {
        let reads = self.outstanding.iter().filter(|o| matches!(o.kind, Kind::Read { .. }));
        let reads = reads.map(|o| o.submit).min().unwrap_or(NEVER);
        let submit = self.model.tick();
        let (kind, request) = match step {
            Step::Read { offset, length } => {
                let buffer = vec![0x55; length as usize];
                (Kind::Read { offset, length: length as usize }, Request::Read { offset, buffer })
            }
            Step::Write { offset, length, fua, content, mix } => {
                let mut buffer = vec![0; length as usize];
                mix.fill(content, offset, &mut buffer);
                let change = self.model.write(self.step, offset, &buffer, reads);
                self.figures.written += u64::from(length);
                (Kind::Write { change, fua }, Request::Write { offset, buffer, fua })
            }
            Step::Discard { offset, length } => {
                let change = self.model.discard(self.step, offset, length, reads);
                (Kind::Discard { change }, Request::Discard { offset, length })
            }
            _ => (Kind::Flush, Request::Flush),
        };
        self.users += 1;
        let user = self.users;
        self.outstanding.push(Outstanding { user, submit, kind, errors: self.device.counts.errors, fits });
        self.volume()?.submit(user, request);
        self.pump()
    }

    /// Gives the device what the volume wants, and takes what has ended, until there is neither.
    pub(crate) fn pump(&mut self) -> Result<(), Stop> {
        loop {
            let Some(volume) = &mut self.volume else { return Ok(()) };
            if let Some(io) = volume.next_io() {
                if matches!(io.op, DeviceOp::Write { .. } | DeviceOp::Discard { .. }) {
                    self.try_afterwards()?;
                }
                self.tell(|| format!("    to the device: {}: {}", io.id.0, describe(&io.op)));
                self.device.start(io)?;
            } else if let Some(done) = volume.next_done() {
                self.done(done)?;
            } else {
                return Ok(());
            }
        }
    }

    /// The device completes one I/O. False if it has none.
    pub(crate) fn advance(&mut self) -> Result<bool, Stop> {
        if self.device.flush_flies() {
            self.try_afterwards()?;
        }
        let Some(completed) = self.device.advance() else { return Ok(false) };
        self.tell(|| format!("    device ended: {}: {:?}", completed.id.0, completed.result));
        self.volume()?.complete(completed.id, completed.result, completed.buffer);
        self.pump()?;
        Ok(true)
    }

    /// The same, when something is outstanding that cannot end otherwise.
    fn must_advance(&mut self) -> Result<(), Stop> {
        if self.advance()? {
            return Ok(());
        }
        let kinds: Vec<_> = self.outstanding.iter().map(|o| o.kind).collect();
        Err(Stop::Wrong(format!("stuck: no device I/O is under way, and these have not ended: {kinds:?}")))
    }

    /// Waits until nothing is outstanding, and the volume wants nothing any more.
    pub(crate) fn rest(&mut self) -> Result<(), Stop> {
        self.pump()?;
        for _ in 0..REST {
            if self.outstanding.is_empty() && self.device.busy() == 0 {
                return Ok(());
            }
            self.must_advance()?;
        }
        Err(Stop::Wrong(format!("the volume does not come to rest within {REST} device I/Os")))
    }

    /// A request ended: did it end rightly?
    fn done(&mut self, done: Done) -> Result<(), Stop> {
        let Some(index) = self.outstanding.iter().position(|o| o.user == done.user) else {
            return Err(Stop::Wrong(format!("a request ended that is not outstanding: {}", done.user)));
        };
        let request = self.outstanding.swap_remove(index);
        self.tell(|| format!("  ended: {:?}: {:?}", request.kind, done.result));
        if let Err(error) = done.result {
            self.excuse(&request, error)?;
        }
        let good = done.result.is_ok();
        match request.kind {
            Kind::Read { offset, length } if good => {
                let buffer = done.buffer.unwrap_or_default();
                if buffer.len() != length {
                    let got = buffer.len();
                    return Err(Stop::Wrong(format!(
                        "a read of {length} bytes ended with a buffer of {got}"
                    )));
                }
                self.compare(offset, &buffer, request.submit)?;
            }
            Kind::Read { .. } => {}
            Kind::Write { change, fua } => self.model.end(change, good, good && fua),
            Kind::Discard { change } => self.model.end(change, good, false),
            Kind::Flush if good => self.model.flushed(request.submit),
            Kind::Flush => {}
        }
        Ok(())
    }

    /// Whether what was read may be there.
    fn compare(&mut self, offset: u64, buffer: &[u8], since: Time) -> Result<(), Stop> {
        for (index, bytes) in buffer.chunks_exact(SECTOR).enumerate() {
            let at = offset as usize + index * SECTOR;
            let print = content::print(bytes);
            if !self.model.may_read(at / BLOCK, at % BLOCK / SECTOR, print, since) {
                let versions = &self.model.blocks[at / BLOCK].versions;
                let steps: Vec<_> =
                    versions.iter().map(|v| self.model.changes[v.change as usize].step).collect();
                return Err(Stop::Wrong(format!(
                    "a read of {offset} +{} found at byte {at} (block {}) what may not be there{}; \
                     steps that wrote the block since the last opening: {steps:?}",
                    buffer.len(),
                    at / BLOCK,
                    if print == content::ZERO { " (zeros)" } else { "" },
                )));
            }
        }
        Ok(())
    }

    /// Whether there is a reason for an error.
    fn excuse(&mut self, request: &Outstanding, error: Error) -> Result<(), Stop> {
        let lies = self.lies();
        let changes = !matches!(request.kind, Kind::Read { .. });
        let excused = match error {
            Error::Range => false,
            Error::NoSpace => {
                self.figures.no_space += 1;
                let writes = matches!(request.kind, Kind::Write { .. });
                let used = self.model.in_use() * BLOCK as u64;
                // What is damaged cannot be emptied: it keeps its space.
                writes && (lies || !request.fits && used >= S::guaranteed(&self.plan.setup))
            }
            // What a failed flush forgot is found missing by whoever reads it.
            Error::Medium => {
                lies || self.device.counts.errors > request.errors || self.device.counts.forgotten > 0
            }
            Error::Write => changes && (lies || self.device.counts.errors > self.errors_before),
        };
        if !excused {
            let kind = request.kind;
            return Err(Stop::Wrong(format!("{kind:?} ended with {error:?} for no reason")));
        }
        self.stopped |= error == Error::Write;
        self.figures.failed += u64::from(error != Error::NoSpace);
        Ok(())
    }

    /// Everything is made durable, and the volume let go.
    fn close(&mut self) -> Result<(), Stop> {
        self.rest()?;
        self.request(Step::Flush, false)?;
        self.rest()?;
        self.steer(Steer::Close)?;
        self.rest()?;
        self.volume = None;
        Ok(())
    }

    /// Discards everything; then there must be space again.
    fn empty(&mut self) -> Result<(), Stop> {
        let length = S::volume_size(&self.plan.setup);
        for step in [
            Step::Discard { offset: 0, length },
            Step::Flush,
            Step::Steer(Steer::Checkpoint),
            Step::Steer(Steer::Clean),
            Step::Steer(Steer::Checkpoint),
        ] {
            self.rest()?;
            match step {
                Step::Steer(steer) => self.steer(steer)?,
                request => self.request(request, false)?,
            }
        }
        self.rest()?;
        let mix = content::Mix { duplicate: 0, pool: 1, compressible: 0, zero: 0 };
        let length = length.min(64 << 10) as u32;
        self.request(Step::Write { offset: 0, length, fua: false, content: 1, mix }, true)?;
        self.rest()
    }

    /// Advice.
    fn steer(&mut self, steer: Steer) -> Result<(), Stop> {
        self.volume()?.steer(steer);
        self.pump()
    }

    /// The volume, which is open between steps.
    fn volume(&mut self) -> Result<&mut S, Stop> {
        self.volume.as_mut().ok_or_else(|| Stop::Wrong("the simulator lost the volume".to_owned()))
    }

    /// Prints what happens, if that is wanted.
    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            println!("{}", what());
        }
    }

    /// Whether the device has corrupted anything since it was formatted.
    pub(crate) fn lies(&self) -> bool {
        self.device.counts.corruptions > self.corruptions_before
    }

    /// What was outstanding will not end any more.
    pub(crate) fn forget_requests(&mut self) {
        self.outstanding.clear();
    }
}

/// A device I/O, for the reader.
fn describe(op: &DeviceOp) -> String {
    match op {
        DeviceOp::Read { offset, length, .. } => format!("read {offset} +{length}"),
        DeviceOp::Write { offset, length, .. } => format!("write {offset} +{length}"),
        DeviceOp::Flush => "flush".to_owned(),
        DeviceOp::Discard { offset, length } => format!("discard {offset} +{length}"),
    }
}
