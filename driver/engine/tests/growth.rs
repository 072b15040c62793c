//! A header whose second copy moves, because the disk has become larger: a crash anywhere leaves one that is found.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::collections::BTreeMap;

use sluice_engine::{
    format::{
        COPY_BYTES, CopyRead, Draft, DraftError, Geometry, Header, NewVolume, Probe, RawHeader,
        plan::{self, NoGoodHeader, Step},
        probe, read_second,
    },
    keys::VolumeKey,
    volume::{Kind, Mapped},
};
use zerocopy::{FromBytes, IntoBytes};

type Bytes = [u8; COPY_BYTES];

const MIB: u64 = 1 << 20;
const SMALL: u64 = 8 * MIB + 512;
const LARGE: u64 = 11 * MIB + 4096;
const OLD_B: u64 = 7 * MIB;
const NEW_B: u64 = 10 * MIB;

/// What lies where copies have been written; 0xa5 elsewhere.
#[derive(Clone)]
struct Disk(BTreeMap<u64, Bytes>);

impl Disk {
    fn new(a: Bytes, b: Bytes) -> Self {
        Self([(0, a), (OLD_B, b)].into())
    }

    fn at(&self, offset: u64) -> Bytes {
        self.0.get(&offset).copied().unwrap_or([0xa5; COPY_BYTES])
    }

    /// What is found on it now, as the driver and the command do it.
    fn look<T>(&self, then: impl FnOnce(&Probe<'_>) -> T) -> T {
        let a = self.at(0);
        let mut b = [0; COPY_BYTES];
        let second = read_second(CopyRead::Bytes(&a), LARGE, &mut b, |offset, into| {
            *into = self.at(offset);
            true
        });
        then(&probe(CopyRead::Bytes(&a), second.with(&b), LARGE, 512))
    }

    /// The header that counts.
    fn header(&self) -> Option<Bytes> {
        self.look(|found| match found {
            Probe::Valid { header, .. } => Some(header.raw().as_bytes().try_into().unwrap()),
            _ => None,
        })
    }

    /// Every state in which a crash can leave it during `steps`.
    fn crashes(&self, steps: &[Step<'_>]) -> Vec<Self> {
        let (mut durable, mut states) = (self.clone(), vec![self.clone()]);
        for step in steps {
            let Step::Write(offset, bytes) = *step else { continue };
            for blocks in 0..256u32 {
                let mut torn = durable.at(offset);
                for block in (0..8).filter(|block| blocks >> block & 1 != 0) {
                    let range = block * 512..(block + 1) * 512;
                    torn[range.clone()].copy_from_slice(&bytes[range]);
                }
                states.push(durable.clone());
                states.last_mut().unwrap().0.insert(offset, torn);
            }
            durable.0.insert(offset, *bytes);
        }
        states.push(durable);
        states
    }
}

fn key() -> VolumeKey {
    VolumeKey::from_random(&mut [9; 64])
}

fn checked(bytes: &Bytes) -> Header<'_> {
    Header::check(RawHeader::ref_from_bytes(bytes).unwrap()).unwrap()
}

fn mapped() -> Mapped {
    Mapped {
        sector_size: 512,
        volume_bytes: 64 * MIB,
        copy_b_offset: OLD_B,
        journal_bytes: 64 << 10,
        segment_bytes: 64 << 10,
        index_bytes: None,
        index_area: 64 << 10,
        discard: true,
        level: Some(1),
        encrypted: true,
    }
}

fn small() -> Bytes {
    let geometry = Geometry::for_disk(SMALL, 512).unwrap();
    let volume = NewVolume {
        geometry,
        mapped: Some(mapped()),
        stage: None,
        uuid: [8; 16],
        label: "grows",
        created: 99,
    };
    *Draft::new(&volume).unwrap().seal(&key())
}

fn changed(header: &Bytes, mapped: &Mapped, disk_bytes: u64) -> Bytes {
    let mut draft = Draft::of(checked(header)).unwrap();
    draft.remap(mapped, disk_bytes).unwrap();
    *draft.seal(&key())
}

#[test]
fn a_crash_anywhere_in_a_growth_leaves_the_old_header_or_the_new() {
    let old = small();
    let newer = changed(&old, &Mapped { level: Some(3), ..mapped() }, SMALL);
    let mut bad = newer;
    bad[700] ^= 1;
    // As they should be; left by a crash in a change, in both orders; with the other copy damaged.
    for (a, b, counts) in [(old, old, old), (old, newer, newer), (newer, old, newer), (newer, bad, newer)] {
        let disk = Disk::new(a, b);
        let larger = Mapped { volume_bytes: 128 * MIB, copy_b_offset: NEW_B, ..mapped() };
        let grown = changed(&counts, &larger, LARGE);
        assert_eq!(checked(&grown).kind(), Kind::Mapped(larger));
        let steps = disk.look(|found| plan::grow(found, NEW_B, &grown).unwrap());
        assert!(matches!(steps, [Step::Write(..), Step::Flush, Step::Write(..), Step::Flush]));
        let states = disk.crashes(&steps);
        assert_eq!(states.len(), 514);
        for state in &states {
            let now = state.header().expect("no good copy is found");
            assert!(now == counts || now == grown, "neither the old nor the new header");
        }
        let last = states.last().unwrap();
        assert!([last.at(0), last.at(NEW_B)] == [grown; 2]);
    }
}

#[test]
fn a_copy_that_does_not_move_is_changed_as_ever() {
    let old = small();
    let grown = changed(&old, &Mapped { volume_bytes: 128 * MIB, ..mapped() }, SMALL);
    let (was, now) = (Disk::new(old, old), Disk::new(old, grown));
    for (disk, first) in [(was, OLD_B), (now, 0)] {
        let steps = disk.look(|found| plan::grow(found, OLD_B, &grown).unwrap());
        assert!(matches!(steps[0], Step::Write(offset, _) if offset == first));
        assert!(disk.crashes(&steps).iter().skip(1).all(|state| state.0.len() == 2));
    }
}

#[test]
fn nothing_grows_without_a_good_header_or_in_place() {
    let lost = Disk::new([0xa5; COPY_BYTES], small());
    let steps = lost.look(|found| plan::grow(found, NEW_B, &small()).err());
    assert_eq!(steps, Some(NoGoodHeader), "copy B is not where it is searched on the larger disk");
    let geometry = Geometry::for_disk(SMALL, 512).unwrap();
    let volume = NewVolume { geometry, mapped: None, stage: None, uuid: [8; 16], label: "", created: 0 };
    assert_eq!(Draft::new(&volume).unwrap().remap(&mapped(), LARGE), Err(DraftError::NotMapped));
}
