//! The real thing: the mapped volume of the engine, with its header.

use sluice_engine::{
    format::{
        COPY_BYTES, CopyRead, Draft, Geometry, Header, NewVolume, Probe, plan, probe, second_copy_offset,
    },
    keys::VolumeKey,
    volume::{Kind, Mapped as Recorded},
};
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

fn key(setup: &Setup) -> VolumeKey {
    let mut key = [0x5a; 64];
    key[..8].copy_from_slice(&setup.identity.to_le_bytes());
    VolumeKey::from_random(&mut key)
}

fn uuid(setup: &Setup) -> [u8; 16] {
    let mut uuid = [7; 16];
    uuid[..8].copy_from_slice(&setup.identity.to_le_bytes());
    uuid
}

fn sealer(setup: &Setup) -> Result<Sealer, String> {
    Sealer::new(key(setup).as_bytes(), &uuid(setup), setup.encrypt, Backend::detect())
        .map_err(|error| format!("sealer: {error:?}"))
}

/// What the header is to say.
fn recorded(setup: &Setup) -> Result<Recorded, String> {
    let Layout { sector, blocks, journal_bytes, segment_bytes, copy_b, .. } = layout(setup)?;
    Ok(Recorded {
        sector_size: sector,
        volume_bytes: blocks * BLOCK as u64,
        copy_b_offset: copy_b,
        journal_bytes,
        segment_bytes,
        index_bytes: setup.dedup.then_some(setup.memory / 4),
        level: setup.compress.then_some(1),
        encrypted: setup.encrypt,
    })
}

/// Finds the header as the driver does, and lets `then` look at it.
fn look<T>(
    disk: &mut dyn Disk,
    setup: &Setup,
    then: impl FnOnce(&mut dyn Disk, &Probe<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let mut read = |offset| {
        let mut bytes = [0; COPY_BYTES];
        disk.read(offset, &mut bytes).ok().map(|()| bytes)
    };
    let a = read(0);
    let a = a.as_ref().map_or(CopyRead::Unreadable, CopyRead::Bytes);
    let offset = second_copy_offset(a, setup.device).ok_or("no place for copy B")?;
    let b = read(offset);
    let b = b.as_ref().map_or(CopyRead::Unreadable, CopyRead::Bytes);
    then(disk, &probe(a, b, setup.device, setup.sector))
}

/// The volume's header.
struct Found<'a> {
    header: Header<'a>,
    mapped: Recorded,
}

impl<'a> Found<'a> {
    fn new(probe: &Probe<'a>, setup: &Setup) -> Result<Self, String> {
        let Probe::Valid { header, .. } = *probe else { return Err(format!("header: {probe:?}")) };
        match header.kind() {
            Kind::Mapped(mapped) if header.uuid() == uuid(setup) => Ok(Self { header, mapped }),
            _ => Err("the header is another volume's".to_owned()),
        }
    }
}

fn layout_of(mapped: &Recorded) -> Result<Layout, String> {
    Layout::of(mapped).map_err(|error| format!("the header's layout: {error:?}"))
}

/// Writes a header as a plan says.
fn carry_out(disk: &mut dyn Disk, steps: &[plan::Step<'_>]) -> Result<(), String> {
    for step in steps {
        let done = match step {
            plan::Step::Write(offset, bytes) => disk.write(*offset, &bytes[..]),
            plan::Step::Flush => disk.flush(),
        };
        done.map_err(|DeviceError| "the device failed".to_owned())?;
    }
    Ok(())
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
    const GROWS: bool = true;

    fn volume_size(setup: &Setup) -> u64 {
        layout(setup).map_or(0, |layout| layout.blocks * BLOCK as u64)
    }

    fn format(disk: &mut dyn Disk, setup: &Setup) -> Result<(), String> {
        Volume::format(disk, &layout(setup)?, &sealer(setup)?)
            .map_err(|error| format!("format: {error:?}"))?;
        let geometry =
            Geometry::for_disk(setup.device, setup.sector).map_err(|error| format!("{error:?}"))?;
        let mapped = Some(recorded(setup)?);
        let volume = NewVolume { geometry, mapped, uuid: uuid(setup), label: "", created: 0 };
        let mut draft = Draft::new(&volume).map_err(|error| format!("header: {error:?}"))?;
        draft.leave_open(&key(setup));
        look(disk, setup, |disk, found| {
            carry_out(disk, &plan::replace(found, geometry.copy_b_offset, draft.seal(&key(setup))))
        })
    }

    fn open(disk: &mut dyn Disk, setup: &Setup) -> Result<Self, String> {
        let layout = look(disk, setup, |_, found| layout_of(&Found::new(found, setup)?.mapped))?;
        let volume = Volume::open(disk, layout, sealer(setup)?, options(setup));
        volume.map(|volume| Self { volume }).map_err(|error| format!("open: {error:?}"))
    }

    fn repair(disk: &mut dyn Disk, setup: &Setup) -> Result<(Self, Option<String>), String> {
        let layout = look(disk, setup, |_, found| layout_of(&Found::new(found, setup)?.mapped))?;
        let (mut volume, mut repaired) =
            Volume::open_rebuilding(disk, layout, sealer(setup)?, options(setup))
                .map_err(|error| format!("open to repair: {error:?}"))?;
        let remaining = volume.repair(disk, &mut repaired, |_, _| {});
        let remaining = remaining.map_err(|error| format!("repair: {error:?}"))?;
        let some = repaired.named.iter().chain(&remaining.named).take(4).collect::<Vec<_>>();
        let what = format!("{} repaired, {} remain: {some:?}", repaired.problems, remaining.problems);
        Ok((Self { volume }, (!some.is_empty()).then_some(what)))
    }

    fn grow(disk: &mut dyn Disk, setup: &Setup) -> Result<(), String> {
        let sealer = sealer(setup)?;
        look(disk, setup, |disk, found| {
            let Found { header, mapped } = Found::new(found, setup)?;
            let Recorded { volume_bytes, copy_b_offset, .. } = recorded(setup)?;
            let larger = Recorded { volume_bytes, copy_b_offset, ..mapped };
            Volume::begin_growth(disk, &layout_of(&mapped)?, &layout_of(&larger)?, &sealer)
                .map_err(|error| format!("{error:?}"))?;
            let mut draft = Draft::of(header).map_err(|error| format!("header: {error:?}"))?;
            draft.remap(&larger, setup.device).map_err(|error| format!("header: {error:?}"))?;
            let steps = plan::grow(found, larger.copy_b_offset, draft.seal(&key(setup)));
            carry_out(disk, &steps.map_err(|error| format!("{error:?}"))?)
        })
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
