//! The real thing: the mapped volume of the engine.

use sluice_mapped::{
    Options, Volume,
    disk::Disk,
    io::{Buffer, DeviceError, DeviceIo, Done, IoId, Request},
    layout::{JOURNAL_LEAST, Layout, SEGMENTS_LEAST},
    limits::PAGES_LEAST,
    mutants::{MUTANTS, Mutant},
    seal::Sealer,
    units::BLOCK,
};
use sluice_xts::Backend;

use crate::{
    plan::Mode,
    subject::{Mutant as SimMutant, Setup, Steer, Subject},
};

/// `user` of the requests that this adapter makes itself.
const OWN: u64 = u64::MAX;

/// A mapped volume.
pub struct Mapped {
    volume: Box<Volume>,
}

fn layout(setup: &Setup) -> Result<Layout, String> {
    let journal = u64::from(setup.journal).max(JOURNAL_LEAST).next_multiple_of(BLOCK as u64);
    let room = setup.device.saturating_sub((3 << 20) + journal);
    let mut segment = u64::from(setup.segment).clamp(64 << 10, 64 << 20).next_power_of_two();
    while segment > 64 << 10 && room / segment < u64::from(SEGMENTS_LEAST) {
        segment /= 2;
    }
    let blocks = (setup.volume / BLOCK as u64).max(1);
    Layout::new(setup.device, setup.sector, blocks, journal, segment)
        .map_err(|error| format!("layout: {error:?}"))
}

fn sealer(setup: &Setup) -> Result<Sealer, String> {
    let mut key = [0x5a; 64];
    key[..8].copy_from_slice(&setup.identity.to_le_bytes());
    let mut uuid = [7; 16];
    uuid[..8].copy_from_slice(&setup.identity.to_le_bytes());
    Sealer::new(&key, &uuid, setup.encrypt, Backend::detect()).map_err(|error| format!("sealer: {error:?}"))
}

fn options(setup: &Setup) -> Options {
    Options {
        cache_bytes: (setup.memory as usize / 2).max(PAGES_LEAST * BLOCK),
        index_bytes: if setup.dedup { (setup.memory as usize / 4).max(4096) } else { 0 },
        level: setup.compress.then_some(1),
        mutant: setup.mutant.and_then(mistake),
    }
}

fn mistake(name: &str) -> Option<Mutant> {
    MUTANTS.iter().find(|(known, _)| *known == name).map(|(_, mutant)| *mutant)
}

/// Where each mistake of the engine can be noticed.
const fn mode(mistake: Mutant) -> Mode {
    match mistake {
        Mutant::ChunkUnchecked | Mutant::PageUnchecked => Mode::Corrupt,
        // A crash must hit the moment in which a root record is written: every moment is tried.
        Mutant::OneRootSlot => Mode::Exhaustive,
        _ => Mode::Crash,
    }
}

const fn all() -> [SimMutant; MUTANTS.len()] {
    let mut all = [SimMutant { name: "", mode: Mode::Crash }; MUTANTS.len()];
    let mut i = 0;
    while i < MUTANTS.len() {
        all[i] = SimMutant { name: MUTANTS[i].0, mode: mode(MUTANTS[i].1) };
        i += 1;
    }
    all
}

impl Subject for Mapped {
    const MUTANTS: &'static [SimMutant] = &all();

    fn volume_size(setup: &Setup) -> u64 {
        layout(setup).map_or(0, |layout| layout.blocks * BLOCK as u64)
    }

    fn format(disk: &mut dyn Disk, setup: &Setup) -> Result<(), String> {
        Volume::format(disk, &layout(setup)?, &sealer(setup)?).map_err(|error| format!("format: {error:?}"))
    }

    fn open(disk: &mut dyn Disk, setup: &Setup) -> Result<Self, String> {
        let volume = Volume::open(disk, layout(setup)?, sealer(setup)?, options(setup));
        volume.map(|volume| Self { volume }).map_err(|error| format!("open: {error:?}"))
    }

    fn check(&mut self, disk: &mut dyn Disk) -> Result<bool, String> {
        let report = self.volume.check(disk, |_, _| {}).map_err(|error| format!("check: {error:?}"))?;
        let some = &report.named[..report.named.len().min(4)];
        if report.problems == 0 { Ok(true) } else { Err(format!("{} problems: {some:?}", report.problems)) }
    }

    fn submit(&mut self, user: u64, request: Request) {
        self.volume.submit(user, request);
    }

    fn next_io(&mut self) -> Option<DeviceIo> {
        self.volume.next_io()
    }

    fn complete(&mut self, id: IoId, result: Result<(), DeviceError>, buffer: Option<Buffer>) {
        self.volume.complete(id, result, buffer);
    }

    fn next_done(&mut self) -> Option<Done> {
        loop {
            let done = self.volume.next_done()?;
            if done.user != OWN {
                return Some(done);
            }
        }
    }

    fn steer(&mut self, steer: Steer) {
        match steer {
            Steer::Checkpoint | Steer::Close => self.volume.submit(OWN, Request::Checkpoint),
            Steer::Clean => {}
        }
    }
}
