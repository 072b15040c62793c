//! The real thing: the mapped volume of the engine, with its header.

use sluice_engine::{
    format::{
        COPY_BYTES, CopyRead, Draft, Geometry, Header, NewVolume, Probe, SlotKind, SlotSecret, plan, probe,
        read_second,
    },
    keys::{Kek, VolumeKey},
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
    keys::Keys,
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
    let layout = Layout::new(setup.device, setup.sector, blocks, journal, segment);
    // Some keep their index, those for which it does not take what they need for anything else.
    let kept = layout.and_then(|layout| layout.keeping(setup.memory / 4));
    let kept = kept.ok().filter(|_| setup.dedup && setup.identity.is_multiple_of(2));
    kept.map_or(layout, Ok).map_err(|error| format!("layout: {error:?}"))
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

fn sealer(setup: &Setup, key: &VolumeKey) -> Result<Sealer, String> {
    Sealer::new(key.as_bytes(), &uuid(setup), setup.encrypt, Backend::detect())
        .map_err(|error| format!("sealer: {error:?}"))
}

/// What the header is to say.
fn recorded(setup: &Setup) -> Result<Recorded, String> {
    let Layout { sector, blocks, journal_bytes, index_area, segment_bytes, copy_b, .. } = layout(setup)?;
    Ok(Recorded {
        sector_size: sector,
        volume_bytes: blocks * BLOCK as u64,
        copy_b_offset: copy_b,
        journal_bytes,
        segment_bytes,
        index_area,
        discard: discards(setup),
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
    let mut copies = [[0; COPY_BYTES]; 2];
    let [a, b] = &mut copies;
    let a = if disk.read(0, a).is_ok() { CopyRead::Bytes(a) } else { CopyRead::Unreadable };
    let second = read_second(a, setup.device, b, |offset, into| disk.read(offset, into).is_ok());
    then(disk, &probe(a, second.with(b), setup.device, setup.sector))
}

/// The volume's header.
struct Found<'a> {
    header: Header<'a>,
    mapped: Recorded,
    key: VolumeKey,
}

impl<'a> Found<'a> {
    fn new(probe: &Probe<'a>, setup: &Setup) -> Result<Self, String> {
        let Probe::Valid { header, .. } = *probe else { return Err(format!("header: {probe:?}")) };
        match header.kind() {
            Kind::Mapped(mapped) if header.uuid() == uuid(setup) => {
                Ok(Self { header, mapped, key: unlock(&header, setup)? })
            }
            _ => Err("the header is another volume's".to_owned()),
        }
    }
}

/// What unwraps the volume key in a slot. Derived in no time: it is not the derivation that is tested.
fn kek(secret: u64, slot: usize) -> Kek {
    let mut bytes = [slot as u8; 32];
    bytes[..8].copy_from_slice(&secret.to_le_bytes());
    Kek::from_bytes(&mut bytes)
}

/// What goes into a slot beside the key.
fn slot_secret(secret: u64) -> SlotSecret<'static> {
    let mut salt = [0; 32];
    salt[..8].copy_from_slice(&secret.to_le_bytes());
    let kind = SlotKind::KeyFile;
    SlotSecret { kind, memory_kib: 8, iterations: 1, lanes: 1, salt, label: "", created: 0 }
}

/// The volume key, which each of the setup's keys must open, and nothing else may.
fn unlock(header: &Header<'_>, setup: &Setup) -> Result<VolumeKey, String> {
    let mut key = VolumeKey::zeroed();
    if header.is_open() {
        header.open(&mut key).map_err(|error| format!("the open key: {error:?}"))?;
        return Ok(key);
    }
    for (slot, secret) in setup.keys.0.into_iter().enumerate() {
        match secret {
            Some(secret) => header
                .unlock(slot, &kek(secret, slot), &mut key)
                .map_err(|error| format!("key {slot} does not open the volume: {error:?}"))?,
            None if header.slot(slot).is_some() => return Err(format!("key {slot} should not be there")),
            None => {}
        }
    }
    Ok(key)
}

fn layout_of(mapped: &Recorded) -> Result<Layout, String> {
    Layout::of(mapped).map_err(|error| format!("the header's layout: {error:?}"))
}

/// What a volume is opened with, as its header says.
fn look_up(disk: &mut dyn Disk, setup: &Setup) -> Result<(Layout, Sealer), String> {
    look(disk, setup, |_, found| {
        let Found { mapped, key, .. } = Found::new(found, setup)?;
        Ok((layout_of(&mapped)?, sealer(setup, &key)?))
    })
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

/// Puts `draft` in the place of the header that was found.
fn update(
    disk: &mut dyn Disk,
    setup: &Setup,
    found: &Probe<'_>,
    draft: &mut Draft,
    key: &VolumeKey,
) -> Result<(), String> {
    let steps = plan::update(found, draft.seal(key)).map_err(|error| format!("{error:?}"))?;
    let [first, flush, second, last] = steps;
    match setup.mutant {
        Some(USED_COPY_FIRST) => carry_out(disk, &[second, flush, first, last]),
        Some(COPIES_AT_ONCE) => carry_out(disk, &[first, second, last]),
        _ => carry_out(disk, &steps),
    }
}

/// Mistakes in how a header is written: what the engine plans is not what is done.
const USED_COPY_FIRST: &str = "header's used copy first";
const COPIES_AT_ONCE: &str = "header's copies at once";
const KEY_GONE_BEFORE: &str = "key gone before the new one";
const HEADER_MUTANTS: [&str; 3] = [USED_COPY_FIRST, COPIES_AT_ONCE, KEY_GONE_BEFORE];

fn options(setup: &Setup) -> Options {
    Options {
        cache_bytes: (setup.memory as usize / 2).max(PAGES_LEAST * BLOCK),
        index_bytes: if setup.dedup { (setup.memory as usize / 4).max(4096) } else { 0 },
        level: setup.compress.then_some(1),
        discard: discards(setup),
        write_back: setup.identity & 4 != 0,
        mutant: setup.mutant.and_then(mistake),
    }
}

/// Some tell the device what is free.
fn discards(setup: &Setup) -> bool {
    setup.identity & 2 != 0
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

const fn all() -> [SimMutant; MUTANTS.len() + HEADER_MUTANTS.len()] {
    let mut all = [SimMutant { name: "", mode: Mode::Crash }; MUTANTS.len() + HEADER_MUTANTS.len()];
    let mut i = 0;
    while i < MUTANTS.len() {
        all[i] = SimMutant { name: MUTANTS[i].0, mode: mode(MUTANTS[i].1) };
        i += 1;
    }
    while i < all.len() {
        all[i] = SimMutant { name: HEADER_MUTANTS[i - MUTANTS.len()], mode: Mode::Exhaustive };
        i += 1;
    }
    all
}

impl Subject for Mapped {
    const MUTANTS: &'static [SimMutant] = &all();
    const GROWS: bool = true;

    fn rekeys(setup: &Setup) -> bool {
        setup.encrypt
    }

    fn volume_size(setup: &Setup) -> u64 {
        layout(setup).map_or(0, |layout| layout.blocks * BLOCK as u64)
    }

    fn format(disk: &mut dyn Disk, setup: &Setup) -> Result<(), String> {
        let key = key(setup);
        Volume::format(disk, &layout(setup)?, &sealer(setup, &key)?)
            .map_err(|error| format!("format: {error:?}"))?;
        let geometry =
            Geometry::for_disk(setup.device, setup.sector).map_err(|error| format!("{error:?}"))?;
        let mapped = Some(recorded(setup)?);
        let volume = NewVolume { geometry, mapped, stage: None, uuid: uuid(setup), label: "", created: 0 };
        let mut draft = Draft::new(&volume).map_err(|error| format!("header: {error:?}"))?;
        draft.leave_open(&key);
        if let Some(secret) = setup.keys.0[0].filter(|_| setup.encrypt) {
            let filled = draft.fill(0, &slot_secret(secret), &kek(secret, 0), &key);
            filled.map_err(|error| format!("header: {error:?}"))?;
        }
        look(disk, setup, |disk, found| {
            carry_out(disk, &plan::replace(found, geometry.copy_b_offset, draft.seal(&key)))
        })
    }

    fn open(disk: &mut dyn Disk, setup: &Setup) -> Result<Self, String> {
        let (layout, sealer) = look_up(disk, setup)?;
        let volume = Volume::open(disk, layout, sealer, options(setup));
        volume.map(|volume| Self { volume }).map_err(|error| format!("open: {error:?}"))
    }

    fn repair(disk: &mut dyn Disk, setup: &Setup) -> Result<(Self, Option<String>), String> {
        let (layout, sealer) = look_up(disk, setup)?;
        let (mut volume, mut repaired) =
            Volume::open_rebuilding(disk, layout, sealer, options(setup), |_, _| {})
                .map_err(|error| format!("open to repair: {error:?}"))?;
        let remaining = volume.repair(disk, &mut repaired, |_, _| {});
        let remaining = remaining.map_err(|error| format!("repair: {error:?}"))?;
        let some = repaired.named.iter().chain(&remaining.named).take(4).collect::<Vec<_>>();
        let what = format!("{} repaired, {} remain: {some:?}", repaired.problems, remaining.problems);
        Ok((Self { volume }, (!some.is_empty()).then_some(what)))
    }

    fn grow(disk: &mut dyn Disk, setup: &Setup) -> Result<(), String> {
        look(disk, setup, |disk, found| {
            let Found { header, mapped, key } = Found::new(found, setup)?;
            let sealer = sealer(setup, &key)?;
            let Recorded { volume_bytes, copy_b_offset, .. } = recorded(setup)?;
            let larger = Recorded { volume_bytes, copy_b_offset, ..mapped };
            Volume::begin_growth(disk, &layout_of(&mapped)?, &layout_of(&larger)?, &sealer)
                .map_err(|error| format!("{error:?}"))?;
            let mut draft = Draft::of(header).map_err(|error| format!("header: {error:?}"))?;
            draft.remap(&larger, setup.device).map_err(|error| format!("header: {error:?}"))?;
            let steps = plan::grow(found, larger.copy_b_offset, draft.seal(&key));
            carry_out(disk, &steps.map_err(|error| format!("{error:?}"))?)
        })
    }

    fn rekey(disk: &mut dyn Disk, setup: &Setup, keys: &Keys) -> Result<(), String> {
        look(disk, setup, |disk, found| {
            let Found { header, key, .. } = Found::new(found, setup)?;
            let mut draft = Draft::of(header).map_err(|error| format!("header: {error:?}"))?;
            for (slot, (old, new)) in setup.keys.0.into_iter().zip(keys.0).enumerate() {
                let changed = match (old, new) {
                    (None, Some(new)) => draft
                        .free_slot()
                        .and_then(|slot| draft.fill(slot, &slot_secret(new), &kek(new, slot), &key)),
                    (Some(old), Some(new)) if old != new => {
                        if setup.mutant == Some(KEY_GONE_BEFORE) && draft.clear(slot).is_ok() {
                            update(disk, setup, found, &mut draft, &key)?;
                        }
                        draft.refill(slot, &slot_secret(new), &kek(new, slot), &key)
                    }
                    (Some(_), None) => draft.clear(slot),
                    _ => Ok(()),
                };
                changed.map_err(|error| format!("key {slot}: {error:?}"))?;
            }
            update(disk, setup, found, &mut draft, &key)
        })
    }

    fn has_keys(disk: &mut dyn Disk, setup: &Setup) -> bool {
        look(disk, setup, |_, found| Found::new(found, setup).map(drop)).is_ok()
    }

    fn check(&mut self, disk: &mut dyn Disk) -> Result<bool, String> {
        let report = self.volume.check(disk, |_, _| {}).map_err(|error| format!("check: {error:?}"))?;
        let some = &report.named[..report.named.len().min(4)];
        if report.problems == 0 { Ok(true) } else { Err(format!("{} problems: {some:?}", report.problems)) }
    }

    fn submit(&mut self, user: u64, request: Request) {
        // Now and then, as a host does by the clock.
        if user.is_multiple_of(16) {
            self.volume.write_out();
        }
        let taken = self.volume.submit(user, request);
        assert!(taken.is_ok(), "there are far fewer than a volume takes");
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
            Steer::Checkpoint => self.submit(OWN, Request::Checkpoint),
            Steer::Close => self.submit(OWN, Request::Close),
            Steer::Clean => self.submit(OWN, Request::Compact),
        }
    }
}
