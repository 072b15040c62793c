//! The power fails at every change, with every part of what was not flushed, and again while it goes on.

use sluice_engine::{
    format::{CopyRead, Draft, Geometry, Header, NewVolume, Probe, probe, read_second},
    keys::VolumeKey,
};
use sluice_xts::{Backend, Xts256};

use super::disk::{BLOCK, Model, ModelDisk};
use crate::{
    convert::{
        Disk, life,
        record::{self, HeaderCopy, Place, UNIT, Way},
        shift::Shift,
    },
    failure::Failure,
};

const MIB: u64 = 1 << 20;

/// A disk, what is on it, and what it is to become.
pub(super) struct Case {
    pub(super) header: HeaderCopy,
    pub(super) place: Place,
    pub(super) cipher: Xts256,
    pub(super) plain: Vec<u8>,
    pub(super) is_file: bool,
    /// The finished volume.
    encrypted: Model,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Plain,
    Volume,
    Refused,
}

/// A small generator: the same seed gives the same run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

impl Case {
    pub(super) fn new(sector: u32, shift: u64, volume: u64, disk: u64, is_file: bool) -> Self {
        let mut key = [0; 64];
        key.iter_mut().enumerate().for_each(|(i, byte)| *byte = i as u8 ^ 0x5a);
        let key = VolumeKey::from_random(&mut key);
        let copy_b_offset = disk / MIB * MIB - MIB;
        let geometry = Geometry {
            disk_bytes: disk,
            sector_size: sector,
            copy_b_offset,
            data_offset: shift,
            volume_bytes: volume,
        };
        let new = NewVolume { geometry, mapped: None, stage: None, uuid: [7; 16], label: "case", created: 0 };
        let mut draft = Draft::new(&new).unwrap();
        let header = *draft.seal(&key);
        let place = Place::of(&Header::check(zerocopy::transmute_ref!(&header)).unwrap()).unwrap();
        let cipher = Xts256::new(key.as_bytes(), Backend::detect()).unwrap();
        // Some of it is zeros, and some is twice there: what is equal must not be taken for what has moved.
        let mut dice = Dice(volume ^ shift);
        let mut plain: Vec<u8> = (0..volume).map(|_| dice.below(256) as u8).collect();
        plain.chunks_mut(BLOCK).for_each(|block| match dice.below(4) {
            0 => block.fill(0),
            1 => block.fill(7),
            _ => {}
        });
        let mut case = Self { header, place, cipher, plain, is_file, encrypted: Model::new(0, is_file) };
        case.encrypted = case.volume();
        case
    }

    pub(super) fn plain_disk(&self) -> Model {
        let mut model = Model::new(self.place.disk, self.is_file);
        model.put(0, &self.plain);
        if !self.is_file {
            // What is given up.
            model.put(self.place.volume, &[0xee; BLOCK]);
            model.put(self.place.disk - BLOCK as u64, &[0xdd; BLOCK]);
        }
        model.settle();
        model
    }

    /// The finished volume, made without any of what is tested here.
    pub(super) fn volume(&self) -> Model {
        let mut model = Model::new(self.place.disk, self.is_file);
        let mut data = self.plain.clone();
        self.cipher.encrypt_in_place(0, self.place.sector, data.as_mut_slice().into()).unwrap();
        model.put(self.place.shift, &data);
        model.put(0, &self.header);
        model.put(self.place.copy_b, &self.header);
        model.settle();
        model
    }

    pub(super) fn begin_with(&self, way: Way) -> Model {
        match way {
            Way::Encrypt => self.plain_disk(),
            Way::Decrypt => self.volume(),
        }
    }

    /// Whether a disk is what it should be in the end, and durably.
    pub(super) fn is_done(&self, model: &Model, way: Way, from_plain: bool) -> bool {
        let durable = model.after_crash(|_, _| 0);
        self.is_there(model, way, from_plain) && self.is_there(&durable, way, from_plain)
    }

    fn is_there(&self, model: &Model, way: Way, from_plain: bool) -> bool {
        match way {
            Way::Encrypt => model.bytes() == self.place.disk && model.blocks() == self.encrypted.blocks(),
            // A file has been cut off, unless it was plain already.
            Way::Decrypt => {
                let cut = !self.is_file || model.bytes() == self.place.volume;
                (cut || from_plain) && model.has(0, &self.plain)
            }
        }
    }

    pub(super) fn shift<'a>(&'a self, disk: &'a dyn Disk) -> Shift<'a> {
        Shift { disk, cipher: &self.cipher, place: self.place }
    }

    /// What the command does.
    pub(super) fn convert(&self, disk: &ModelDisk, way: Way) -> Result<(), Failure> {
        let shift = self.shift(disk);
        let mut record = match record::find(disk)? {
            Some(mut record) => {
                assert!(record.header == self.header.into() && record.place == self.place);
                life::resume(&shift, &mut record, way)?;
                record
            }
            None => match (self.seen(disk), way) {
                (Seen::Volume, Way::Encrypt) => return life::tidy(disk, self.place, &self.header),
                (Seen::Plain, Way::Decrypt) => return Ok(()),
                (Seen::Refused, _) => {
                    let what = "neither plain, nor a volume, nor between";
                    return Err(Failure::Conversion { path: disk.path().into(), what });
                }
                _ => life::begin(&shift, &self.header, way)?,
            },
        };
        assert!(life::go_on(&shift, &mut record, |_| true)?);
        Ok(())
    }

    /// What a reader of finished volumes, such as the driver, takes it for.
    fn seen(&self, disk: &ModelDisk) -> Seen {
        let (mut a, mut b) = ([0; 4096], [0; 4096]);
        let bytes = disk.bytes();
        if bytes < UNIT || disk.read(0, &mut a).is_err() {
            return Seen::Plain;
        }
        let second = read_second(CopyRead::Bytes(&a), bytes, &mut b, |at, into| disk.read(at, into).is_ok());
        match probe(CopyRead::Bytes(&a), second.with(&b), bytes, self.place.sector as u32) {
            Probe::None => Seen::Plain,
            Probe::Valid { .. } => Seen::Volume,
            Probe::Damaged(_) | Probe::Unreadable => Seen::Refused,
        }
    }

    /// A disk as a power failure has left it: taken for a volume only if it is one, for plain only if it is.
    fn judge(&self, model: &Model) {
        let (taken, _) = model.run(None, |disk| Ok((self.seen(disk), record::find(disk)?.is_some())));
        match taken.unwrap() {
            (Seen::Volume, under_way) => {
                assert!(!under_way);
                let mut encrypted = vec![0; self.plain.len()];
                self.encrypted.get(self.place.shift, &mut encrypted);
                assert!(model.has(self.place.shift, &encrypted), "half a volume passes for one");
            }
            (Seen::Plain, under_way) => {
                assert!(!under_way && model.has(0, &self.plain), "half a volume passes for a plain disk");
            }
            (Seen::Refused, under_way) => assert!(under_way, "nobody knows what it is"),
        }
    }

    /// How many changes converting takes.
    pub(super) fn changes(&self, way: Way) -> u64 {
        let (result, model) = self.begin_with(way).run(None, |disk| self.convert(disk, way));
        result.unwrap();
        assert!(self.is_done(&model, way, false));
        model.changes
    }

    /// Every way to leave the open blocks, or some of too many.
    fn crashes(model: &Model, dice: &mut Dice, most: u64, mut each: impl FnMut(Model)) {
        let blocks = model.open_blocks();
        let ways = blocks.iter().try_fold(1u64, |all, (_, states)| all.checked_mul(states.len() as u64));
        if let Some(ways) = ways.filter(|ways| *ways <= most) {
            for way in 0..ways {
                let mut rest = way;
                each(model.after_crash(|_, states| {
                    let choice = rest % states as u64;
                    rest /= states as u64;
                    choice as usize
                }));
            }
            return;
        }
        each(model.after_crash(|_, _| 0));
        each(model.after_crash(|_, states| states - 1));
        for _ in 0..most / 8 {
            each(model.after_crash(|_, states| dice.below(states as u64) as usize));
        }
    }
}

/// Sector, shift and volume.
const SMALL: [(u32, u64, u64); 3] =
    [(512, 4096, 5 * 4096 + 1024), (4096, 8192, 5 * 4096), (512, 4096 + 512, 4 * 4096 - 512)];

#[test]
fn whatever_a_crash_leaves_it_goes_on_to_the_same_end() {
    for (sector, shift, volume) in SMALL {
        for (way, is_file) in
            [(Way::Encrypt, true), (Way::Encrypt, false), (Way::Decrypt, true), (Way::Decrypt, false)]
        {
            let case = Case::new(sector, shift, volume, 3 * MIB, is_file);
            let mut dice = Dice(1);
            for left in 0..case.changes(way) {
                let (failed, model) = case.begin_with(way).run(Some(left), |disk| case.convert(disk, way));
                assert!(failed.is_err());
                Case::crashes(&model, &mut dice, 512, |crashed| {
                    case.judge(&crashed);
                    let (result, end) = crashed.run(None, |disk| case.convert(disk, way));
                    result.unwrap_or_else(|e| panic!("{way:?}, {left} changes, {e}"));
                    assert!(case.is_done(&end, way, false), "{way:?} {sector} after {left} changes");
                });
            }
        }
    }
}

#[test]
fn it_crashes_again_and_again_and_turns_round() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let sector = [512, 4096][dice.below(2) as usize];
        let units = |dice: &mut Dice, bound| dice.below(bound) * u64::from(sector);
        let shift = 4096 + units(&mut dice, 8);
        let volume = 8192 + units(&mut dice, 40);
        let case = Case::new(sector, shift, volume, 3 * MIB + 4096 * dice.below(100), dice.below(2) == 0);
        let mut way = [Way::Encrypt, Way::Decrypt][dice.below(2) as usize];
        let mut model = case.begin_with(way);
        for _ in 0..dice.below(12) {
            let left = dice.below(60);
            let (result, after) = model.run(Some(left), |disk| case.convert(disk, way));
            model = after.after_crash(|_, states| dice.below(states as u64) as usize);
            if result.is_ok() {
                assert!(case.is_done(&model, way, true), "seed {seed}");
                model = case.begin_with(way);
            }
            case.judge(&model);
            if dice.below(3) == 0 {
                way = if way == Way::Encrypt { Way::Decrypt } else { Way::Encrypt };
            }
            // Cut off at the last moment. Growing it again is not tested here.
            if model.bytes() < case.place.disk {
                model = case.begin_with(way);
            }
        }
        let (result, end) = model.run(None, |disk| case.convert(disk, way));
        result.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert!(case.is_done(&end, way, true), "seed {seed}");
    }
}

#[test]
fn real_sizes_come_through_too() {
    for (sector, shift, disk) in [(512, MIB, 5 * MIB + 1536), (4096, 2 * MIB, 6 * MIB)] {
        for way in [Way::Encrypt, Way::Decrypt] {
            let case = Case::new(sector, shift, disk / MIB * MIB - MIB - shift, disk, false);
            let mut dice = Dice(disk);
            for left in 0..case.changes(way) {
                let (_, model) = case.begin_with(way).run(Some(left), |disk| case.convert(disk, way));
                let crashed = model.after_crash(|_, states| dice.below(states as u64) as usize);
                case.judge(&crashed);
                let (result, end) = crashed.run(None, |disk| case.convert(disk, way));
                result.unwrap();
                assert!(case.is_done(&end, way, false), "{way:?} after {left} changes");
            }
        }
    }
}

/// An image that has grown for nothing is as large as before, for the next attempt.
#[test]
fn what_has_not_begun_is_forgotten() {
    let case = Case::new(512, 4096, 8 * 4096, 3 * MIB, true);
    let (mut dice, mut known) = (Dice(5), 0);
    for left in 0..case.changes(Way::Encrypt) {
        let (_, model) = case.plain_disk().run(Some(left), |disk| case.convert(disk, Way::Encrypt));
        Case::crashes(&model, &mut dice, 256, |crashed| {
            let (state, _) = crashed.run(None, |disk| Ok((case.seen(disk), record::not_begun(disk)?)));
            if let (Seen::Plain, found) = state.unwrap() {
                assert!(found.is_none_or(|bytes| bytes == case.place.volume));
                known += u32::from(found.is_some());
                // It has been used since, with its new size.
                let mut used = crashed;
                used.put(case.place.copy_b - 512, &[1; BLOCK]);
                let (found, _) = used.run(None, |disk| record::not_begun(disk));
                assert!(found.unwrap().is_none());
            }
        });
    }
    assert!(known > 10, "{known}");
}

/// Does the above see anything? On a disk whose flushes do nothing it must.
#[test]
fn a_disk_that_lies_about_flushes_is_found_out() {
    for way in [Way::Encrypt, Way::Decrypt] {
        let case = Case::new(512, 4096, 8 * 4096, 3 * MIB, false);
        let (mut dice, mut lost) = (Dice(3), 0);
        for left in 0..case.changes(way) {
            let mut liar = case.begin_with(way);
            liar.lies = true;
            let (_, model) = liar.run(Some(left), |disk| case.convert(disk, way));
            Case::crashes(&model, &mut dice, 64, |mut crashed| {
                crashed.lies = false;
                let (result, end) = crashed.run(None, |disk| case.convert(disk, way));
                lost += u32::from(result.is_err() || !case.is_done(&end, way, false));
            });
        }
        assert!(lost > 10, "{way:?}: {lost}");
    }
}
