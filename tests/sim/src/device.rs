//! The device: what was flushed stays; anything else may stay, go, or tear at 512 bytes when power fails.
//!
//! ```text
//!   start ─► in flight ─► complete ─► visible, pending ─► flush completes ─► durable
//!                 └──────────────────────┴── power fails: all, nothing or some sectors of it
//! ```

use std::{collections::HashSet, sync::Arc};

use sluice_mapped::{
    io::{Buffer, DeviceError, DeviceIo, DeviceOp, IoId},
    units::SECTOR,
};

use crate::{
    plan::{Faults, Order},
    prng::Prng,
};

/// A write that is not durable.
#[derive(Clone)]
struct Pending {
    offset: u64,
    data: Vec<u8>,
    /// The number of its completion. Flushes submitted later than that make it durable.
    done: u64,
}

/// An I/O that the device has been given.
struct Flight {
    id: IoId,
    op: DeviceOp,
    /// Completions before it was given.
    mark: u64,
    /// Not before so many events.
    hold: u64,
}

/// An I/O that ended.
pub struct Completed {
    /// Its name.
    pub id: IoId,
    /// How it ended.
    pub result: Result<(), DeviceError>,
    /// A read's buffer.
    pub buffer: Option<Buffer>,
}

/// How much of a write that was pending is there after a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    /// Nothing.
    Nothing,
    /// All of it.
    All,
    /// The first half of its sectors.
    Front,
    /// The second half of its sectors.
    Back,
    /// Sectors chosen by this seed.
    Some(u64),
}

/// What the device has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Writes.
    pub writes: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Flushes.
    pub flushes: u64,
    /// Writes that it had completed and forgot in a flush that failed.
    pub forgotten: u64,
    /// I/O errors given.
    pub errors: u64,
    /// Bits flipped, writes lost and misplaced.
    pub corruptions: u64,
}

/// A device of a few MiB.
pub struct Device {
    sector: u64,
    durable: Vec<u8>,
    visible: Vec<u8>,
    /// Completed writes, in the order of completion.
    pending: Vec<Pending>,
    flying: Vec<Flight>,
    spare: Vec<Vec<u8>>,
    completions: u64,
    events: u64,
    order: Order,
    stall: u32,
    faults: Faults,
    quiet: bool,
    bad: HashSet<u64>,
    /// Where it was written last: targets of corruption.
    recent: Vec<(u64, u32)>,
    rng: Prng,
    /// What was written since it was last the same as its twin: see [`Self::aftermath`].
    changed: Option<Vec<(u64, usize)>>,
    /// What it has done.
    pub counts: Counts,
}

impl Device {
    /// A device of `bytes`, filled with zeros.
    pub fn new(bytes: u64, sector: u32, rng: Prng) -> Self {
        Self {
            sector: sector.into(),
            durable: vec![0; bytes as usize],
            visible: vec![0; bytes as usize],
            pending: Vec::new(),
            flying: Vec::new(),
            spare: Vec::new(),
            completions: 0,
            events: 0,
            order: Order::First,
            stall: 0,
            faults: Faults::NONE,
            quiet: false,
            bad: HashSet::new(),
            recent: Vec::new(),
            rng,
            changed: None,
            counts: Counts::default(),
        }
    }

    /// Fills it with what an earlier owner might have left.
    pub fn scribble(&mut self) {
        self.rng.fill(&mut self.durable);
        self.visible.copy_from_slice(&self.durable);
    }

    /// It grows; what is new was never written, and may be anything.
    pub fn extend(&mut self, bytes: u64) {
        let from = self.durable.len();
        self.durable.resize(from + bytes as usize, 0);
        self.rng.fill(&mut self.durable[from..]);
        self.visible.extend_from_slice(&self.durable[from..]);
    }

    /// How it orders, and how often it holds something back.
    pub fn manners(&mut self, order: Order, stall: u32) {
        (self.order, self.stall) = (order, stall);
    }

    /// How it misbehaves.
    pub fn misbehave(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Whether it behaves for a while. Bad sectors are mended.
    pub fn behave(&mut self, well: bool) {
        self.quiet = well;
        self.bad.clear();
    }

    /// I/Os it has been given.
    pub fn busy(&self) -> usize {
        self.flying.len()
    }

    /// Writes that a power failure may lose.
    pub fn at_risk(&self) -> usize {
        self.pending.len() + self.flying.iter().filter(|f| matches!(f.op, DeviceOp::Write { .. })).count()
    }

    /// Takes an I/O.
    ///
    /// # Errors
    /// What is wrong with it: it does not lie on the device, or is not aligned to its sectors.
    pub fn start(&mut self, io: DeviceIo) -> Result<(), String> {
        match &io.op {
            DeviceOp::Read { offset, length, buffer } => self.fits(*offset, *length, buffer.len())?,
            DeviceOp::Write { offset, length, data } => {
                self.fits(*offset, *length, data.len())?;
                self.wrote(*offset, *length);
            }
            DeviceOp::Discard { offset, length } => self.fits(*offset, *length as usize, *length as usize)?,
            DeviceOp::Flush => self.counts.flushes += 1,
        }
        if self.flying.iter().any(|flight| flight.id == io.id) {
            return Err(format!("device I/O {} is outstanding already", io.id.0));
        }
        // Flushes are the slow ones.
        let one_of = if matches!(io.op, DeviceOp::Flush) { self.stall.div_ceil(10) } else { self.stall };
        let held = one_of != 0 && self.rng.chance(1, one_of.into());
        let hold = if held { self.events + self.rng.scale(5, 5000) } else { 0 };
        self.flying.push(Flight { id: io.id, op: io.op, mark: self.completions, hold });
        Ok(())
    }

    /// Completes one of the I/Os it has been given; which one is up to it. `None` if there are none.
    pub fn advance(&mut self) -> Option<Completed> {
        if self.flying.is_empty() {
            return None;
        }
        self.events += 1;
        let index = self.choose();
        let flight = self.flying.remove(index);
        let (result, buffer) = match flight.op {
            DeviceOp::Read { offset, length, mut buffer } => {
                let result = self.read(offset, &mut buffer[..length]);
                (result, Some(buffer))
            }
            DeviceOp::Write { offset, length, data } => (self.write(offset, &data[..length]), None),
            DeviceOp::Flush => (self.flush(flight.mark), None),
            DeviceOp::Discard { offset, length } => {
                self.discard(offset, length);
                (Ok(()), None)
            }
        };
        Some(Completed { id: flight.id, result, buffer })
    }

    /// Whether the next [`Self::advance`] could make something durable.
    pub fn flush_flies(&self) -> bool {
        self.flying.iter().any(|flight| matches!(flight.op, DeviceOp::Flush))
    }

    /// Reads what is visible.
    ///
    /// # Errors
    /// The device chose to fail.
    pub fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.counts.reads += 1;
        self.flip();
        let first = offset / SECTOR as u64;
        let sectors = (buffer.len() / SECTOR) as u64;
        if self.happens(self.faults.bad_sector) {
            self.bad.insert(first + self.rng.below(sectors));
        }
        let bad = !self.bad.is_empty() && (first..first + sectors).any(|s| self.bad.contains(&s));
        if bad || self.happens(self.faults.read) {
            self.counts.errors += 1;
            self.rng.fill(&mut buffer[..16]);
            return Err(DeviceError);
        }
        let from = offset as usize;
        buffer.copy_from_slice(&self.visible[from..from + buffer.len()]);
        // Writes in flight over the same sectors may be seen already.
        for flight in &self.flying {
            let DeviceOp::Write { offset: at, length, data } = &flight.op else { continue };
            let (start, end) = (offset.max(*at), (offset + buffer.len() as u64).min(at + *length as u64));
            let mut sector = start;
            while sector < end {
                if self.rng.chance(1, 2) {
                    let (to, from) = ((sector - offset) as usize, (sector - at) as usize);
                    buffer[to..to + SECTOR].copy_from_slice(&data[from..from + SECTOR]);
                }
                sector += SECTOR as u64;
            }
        }
        Ok(())
    }

    /// Writes: visible, not durable.
    ///
    /// # Errors
    /// The device chose to fail; some sectors may have been written.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.completions += 1;
        self.flip();
        if self.happens(self.faults.write) {
            self.counts.errors += 1;
            let landing = Landing::Some(self.rng.any());
            for (at, sector) in landed(landing, offset, data) {
                self.settle(at, sector);
            }
            return Err(DeviceError);
        }
        if self.corrupts(self.faults.lost) {
            return Ok(());
        }
        let mut target = offset;
        if self.corrupts(self.faults.misplaced)
            && let Some((elsewhere, _)) = self.somewhere()
            && elsewhere + data.len() as u64 <= self.visible.len() as u64
        {
            target = elsewhere;
        }
        self.settle(target, data);
        Ok(())
    }

    /// Makes everything that completed before `mark` durable.
    ///
    /// # Errors
    /// The device chose to fail, and forgot some of it for good.
    fn flush(&mut self, mark: u64) -> Result<(), DeviceError> {
        if self.happens(self.faults.flush) {
            self.counts.errors += 1;
            let mut index = 0;
            while index < self.pending.len() {
                if self.rng.chance(1, 2) {
                    let gone = self.pending.remove(index);
                    self.counts.forgotten += 1;
                    self.show_durable(gone.offset, gone.data.len());
                    self.spare.push(gone.data);
                } else {
                    index += 1;
                }
            }
            return Err(DeviceError);
        }
        let count = self.pending.partition_point(|write| write.done <= mark);
        for write in self.pending.drain(..count) {
            let at = write.offset as usize;
            if let Some(changed) = &mut self.changed {
                changed.push((write.offset, write.data.len()));
            }
            self.durable[at..at + write.data.len()].copy_from_slice(&write.data);
            self.spare.push(write.data);
        }
        Ok(())
    }

    /// Power fails: each pending write lands as `landing` says. It is asked in the order of completion; writes in
    /// flight come last.
    pub fn crash(&mut self, mut landing: impl FnMut(usize, &mut Prng) -> Landing) {
        let pending = std::mem::take(&mut self.pending);
        let completed = pending.len();
        for (index, write) in pending.iter().enumerate() {
            let how = landing(index, &mut self.rng);
            self.land(how, write.offset, &write.data);
        }
        for write in pending {
            self.show_durable(write.offset, write.data.len());
            self.spare.push(write.data);
        }
        for (index, flight) in std::mem::take(&mut self.flying).into_iter().enumerate() {
            if let DeviceOp::Write { offset, length, data } = flight.op {
                let how = landing(completed + index, &mut self.rng);
                self.land(how, offset, &data[..length]);
                self.show_durable(offset, length);
            }
        }
    }

    /// Makes `twin` what this device would be after a power failure; this one goes on. Only what has changed in either
    /// since the last time is copied.
    pub fn aftermath(&mut self, twin: &mut Self, mut landing: impl FnMut(usize) -> Landing) {
        match (self.changed.replace(Vec::new()), twin.changed.replace(Vec::new())) {
            (Some(here), Some(there)) => {
                for (offset, length) in here.into_iter().chain(there) {
                    let range = offset as usize..offset as usize + length;
                    twin.durable[range.clone()].copy_from_slice(&self.durable[range.clone()]);
                    twin.visible[range.clone()].copy_from_slice(&self.durable[range]);
                }
            }
            _ => {
                twin.durable.copy_from_slice(&self.durable);
                twin.visible.copy_from_slice(&self.durable);
            }
        }
        twin.pending.clear();
        twin.flying.clear();
        let flying = self.flying.iter().filter_map(|flight| match &flight.op {
            DeviceOp::Write { offset, length, data } => Some((*offset, &data[..*length])),
            _ => None,
        });
        let pending = self.pending.iter().map(|write| (write.offset, &write.data[..]));
        for (index, (offset, data)) in pending.chain(flying).enumerate() {
            twin.land(landing(index), offset, data);
            twin.show_durable(offset, data.len());
        }
    }

    /// Notes that a range is not what it was.
    fn change(&mut self, offset: u64, length: usize) {
        if let Some(changed) = &mut self.changed {
            changed.push((offset, length));
        }
    }

    /// Writes the sectors that land into what is durable.
    fn land(&mut self, how: Landing, offset: u64, data: &[u8]) {
        self.change(offset, data.len());
        if how == Landing::All {
            let at = offset as usize;
            self.durable[at..at + data.len()].copy_from_slice(data);
            return;
        }
        for (at, sector) in landed(how, offset, data) {
            self.durable[at as usize..at as usize + SECTOR].copy_from_slice(sector);
        }
    }

    /// A write is there to be seen.
    fn settle(&mut self, offset: u64, data: &[u8]) {
        self.change(offset, data.len());
        let at = offset as usize;
        self.visible[at..at + data.len()].copy_from_slice(data);
        if !self.bad.is_empty() {
            let first = offset / SECTOR as u64;
            for sector in first..first + (data.len() / SECTOR) as u64 {
                self.bad.remove(&sector);
            }
        }
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(data);
        self.pending.push(Pending { offset, data: copy, done: self.completions });
    }

    /// A discarded range may keep its contents, or turn to zeros.
    fn discard(&mut self, offset: u64, length: u64) {
        self.completions += 1;
        if self.rng.chance(1, 2) {
            let zeros = vec![0; length as usize];
            self.settle(offset, &zeros);
        }
    }

    /// Forgets what was visible but not durable.
    fn show_durable(&mut self, offset: u64, length: usize) {
        let at = offset as usize;
        self.visible[at..at + length].copy_from_slice(&self.durable[at..at + length]);
    }

    /// Counts a write that begins.
    fn wrote(&mut self, offset: u64, length: usize) {
        self.counts.writes += 1;
        self.counts.bytes += length as u64;
        if self.faults.corruptions > 0 {
            if self.recent.len() > 1000 {
                self.recent.swap_remove(0);
            }
            self.recent.push((offset, length as u32));
        }
    }

    /// The I/O that completes next.
    fn choose(&mut self) -> usize {
        let now = self.events;
        let free = |flight: &Flight| flight.hold <= now;
        let all = self.flying.len();
        if !self.flying.iter().any(free) {
            return 0;
        }
        let start = match self.order {
            Order::First => 0,
            Order::Last => return self.flying.iter().rposition(free).unwrap_or(0),
            Order::Any => self.rng.below(all as u64) as usize,
        };
        (0..all).map(|step| (start + step) % all).find(|index| free(&self.flying[*index])).unwrap_or(0)
    }

    /// Whether a range lies on the device and its sectors.
    fn fits(&self, offset: u64, length: usize, buffer: usize) -> Result<(), String> {
        let end = offset.saturating_add(length as u64);
        if length == 0 || length > buffer || end > self.visible.len() as u64 {
            return Err(format!("device I/O at {offset} + {length}, buffer of {buffer}, does not fit"));
        }
        if !(offset | length as u64).is_multiple_of(self.sector) {
            return Err(format!("device I/O at {offset} + {length} is not aligned to {} bytes", self.sector));
        }
        Ok(())
    }

    /// Whether a fault that has a rate strikes.
    fn happens(&mut self, rate: u32) -> bool {
        rate != 0 && !self.quiet && self.rng.chance(1, rate.into())
    }

    /// Whether a fault strikes that corrupts.
    fn corrupts(&mut self, rate: u32) -> bool {
        let strikes = self.faults.corruptions > 0 && self.happens(rate);
        if strikes {
            self.faults.corruptions -= 1;
            self.counts.corruptions += 1;
        }
        strikes
    }

    /// Somewhere that was written lately.
    fn somewhere(&mut self) -> Option<(u64, u32)> {
        (!self.recent.is_empty()).then(|| *self.rng.pick(&self.recent))
    }

    /// Perhaps flips bits at rest.
    fn flip(&mut self) {
        if self.faults.flip == 0 || self.recent.is_empty() || !self.corrupts(self.faults.flip) {
            return;
        }
        let Some((offset, length)) = self.somewhere() else { return };
        let sector = offset as usize + self.rng.below(u64::from(length) / SECTOR as u64) as usize * SECTOR;
        if self.rng.chance(1, 2) {
            let (byte, bit) = (sector + self.rng.below(SECTOR as u64) as usize, 1 << self.rng.below(8));
            self.durable[byte] ^= bit;
            self.visible[byte] ^= bit;
        } else {
            self.rng.fill(&mut self.durable[sector..sector + SECTOR]);
            self.show_durable(sector as u64, SECTOR);
        }
    }

    /// The device as recovery sees it: one I/O after the other; power fails after `life` of them.
    pub fn blocking(&mut self, life: Option<u64>) -> Blocking<'_> {
        Blocking { device: self, life, complaint: None }
    }
}

/// The sectors that land.
fn landed(how: Landing, offset: u64, data: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let half = data.len() / SECTOR / 2;
    let mut rng = Prng::new(if let Landing::Some(seed) = how { seed } else { 0 }, 5);
    // Sparse, even or dense.
    let density = rng.between(1, 7);
    data.chunks_exact(SECTOR).enumerate().filter_map(move |(index, sector)| {
        let lands = match how {
            Landing::Nothing => false,
            Landing::All => true,
            Landing::Front => index < half,
            Landing::Back => index >= half,
            Landing::Some(_) => rng.chance(density, 8),
        };
        lands.then_some((offset + (index * SECTOR) as u64, sector))
    })
}

/// See [`Device::blocking`].
pub struct Blocking<'a> {
    device: &'a mut Device,
    life: Option<u64>,
    /// An I/O that no device would take, if there was one.
    pub complaint: Option<String>,
}

impl Blocking<'_> {
    /// Whether power has failed.
    pub fn is_dead(&self) -> bool {
        self.life == Some(0)
    }

    /// One I/O less to live.
    fn live(&mut self) -> Result<(), DeviceError> {
        match &mut self.life {
            Some(0) => Err(DeviceError),
            Some(left) => {
                *left -= 1;
                if *left == 0 { Err(DeviceError) } else { Ok(()) }
            }
            None => Ok(()),
        }
    }

    /// Whether an I/O fits.
    fn fits(&mut self, offset: u64, length: usize) -> Result<(), DeviceError> {
        self.device.fits(offset, length, length).map_err(|complaint| {
            self.complaint.get_or_insert(complaint);
            DeviceError
        })
    }
}

impl sluice_mapped::disk::Disk for Blocking<'_> {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.fits(offset, buffer.len())?;
        self.live()?;
        self.device.read(offset, buffer)
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.fits(offset, buffer.len())?;
        if self.is_dead() {
            return Err(DeviceError);
        }
        self.device.wrote(offset, buffer.len());
        if self.live().is_err() {
            // It was under way when power failed.
            let op = DeviceOp::Write { offset, length: buffer.len(), data: Arc::from(buffer) };
            let mark = self.device.completions;
            self.device.flying.push(Flight { id: IoId(u32::MAX), op, mark, hold: 0 });
            return Err(DeviceError);
        }
        self.device.write(offset, buffer)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.live()?;
        self.device.counts.flushes += 1;
        let mark = self.device.completions;
        self.device.flush(mark)
    }
}
