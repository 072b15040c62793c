//! The header against damage, crashes and headers that nobody should have written.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use sluice_chain::registration::Place;
use sluice_engine::{
    format::{
        COPY_BYTES, Copy, CopyRead, Damage, Draft, DraftError, ForeignStage, Geometry, Header, NewVolume,
        OtherCopy, Probe, Problem, RawHeader, Second, SlotKind, SlotSecret, copy_b_offset,
        plan::{self, NoGoodHeader, Step},
        probe, read_second,
    },
    keys::{Kek, KeyError, VolumeKey},
    volume::{Kind, Mapped},
};
use zerocopy::{FromBytes, IntoBytes};

type Bytes = [u8; COPY_BYTES];
/// A field, and how somebody without a key changes it.
type Case = (&'static str, fn(&mut RawHeader));

const MIB: u64 = 1 << 20;
const DISK: u64 = 5 * MIB + 12_288;
const B: u64 = 4 * MIB;

fn key() -> VolumeKey {
    VolumeKey::from_random(&mut std::array::from_fn(|i| i as u8))
}

fn kek(byte: u8) -> Kek {
    Kek::from_bytes(&mut [byte; 32])
}

fn secret(label: &str) -> SlotSecret<'_> {
    let kind = SlotKind::Passphrase;
    SlotSecret { kind, memory_kib: 64, iterations: 1, lanes: 1, salt: [3; 32], label, created: 77 }
}

fn draft(uuid: u8) -> Draft {
    let geometry = Geometry::for_disk(DISK, 512).unwrap();
    let volume =
        NewVolume { geometry, mapped: None, stage: None, uuid: [uuid; 16], label: "a label", created: 99 };
    let mut draft = Draft::new(&volume).unwrap();
    draft.fill(0, &secret("first"), &kek(1), &key()).unwrap();
    draft
}

fn header() -> Bytes {
    *draft(7).seal(&key())
}

/// The same volume with one slot more.
fn changed(header: &Bytes) -> Bytes {
    let mut draft = Draft::of(checked(header)).unwrap();
    let slot = draft.free_slot().unwrap();
    draft.fill(slot, &secret("second"), &kek(2), &key()).unwrap();
    *draft.seal(&key())
}

fn checked(bytes: &Bytes) -> Header<'_> {
    Header::check(RawHeader::ref_from_bytes(bytes).unwrap()).unwrap()
}

fn judge<'a>(a: &'a Bytes, b: &'a Bytes) -> Probe<'a> {
    probe(CopyRead::Bytes(a), CopyRead::Bytes(b), DISK, 512)
}

/// Changes fields and makes the checksum fit again, as somebody may who has no key.
fn forged(bytes: &Bytes, change: impl FnOnce(&mut RawHeader)) -> Bytes {
    let mut raw = RawHeader::read_from_bytes(bytes).unwrap();
    change(&mut raw);
    raw.checksum = [0; 32];
    raw.checksum = <sha2::Sha256 as sha2::Digest>::digest(raw.as_bytes()).into();
    raw.as_bytes().try_into().unwrap()
}

#[test]
fn what_was_put_in_comes_out() {
    let bytes = header();
    let header = checked(&bytes);
    assert_eq!((header.uuid(), header.sequence(), header.label()), ([7; 16], 1, "a label"));
    assert_eq!((header.data_offset(), header.copy_b_offset(), header.volume_bytes()), (MIB, B, 3 * MIB));
    let Kind::InPlace(place) = header.kind() else { panic!("it was made in place") };
    assert_eq!((place.first_sector, place.sectors, place.sector_size), (2048, 6144, 512));
    let slots: Vec<_> = header.slots().map(|slot| (slot.index, slot.kind, slot.label().to_owned())).collect();
    assert_eq!(slots, [(0, SlotKind::Passphrase, "first".to_owned())]);
    let mut opened = VolumeKey::zeroed();
    header.unlock(0, &kek(1), &mut opened).unwrap();
    assert_eq!(opened.as_bytes(), key().as_bytes());
    for (slot, wrong) in [(0, KeyError::WrongKey), (1, KeyError::EmptySlot), (8, KeyError::EmptySlot)] {
        assert_eq!(header.unlock(slot, &kek(9), &mut opened), Err(wrong));
    }
    assert_eq!(opened.as_bytes(), &[0; 64], "a key is left after a wrong one");
}

fn mapped() -> Mapped {
    Mapped {
        sector_size: 4096,
        volume_bytes: 1 << 40,
        copy_b_offset: B,
        journal_bytes: 64 << 10,
        segment_bytes: 128 << 10,
        index_bytes: Some(1 << 20),
        index_area: 64 << 10,
        discard: true,
        level: Some(-3),
        encrypted: true,
    }
}

fn mapped_header(mapped: Mapped) -> Bytes {
    let geometry = Geometry::for_disk(DISK, mapped.sector_size).unwrap();
    let volume = NewVolume {
        geometry,
        mapped: Some(mapped),
        stage: None,
        uuid: [8; 16],
        label: "mapped",
        created: 99,
    };
    let mut draft = Draft::new(&volume).unwrap();
    draft.leave_open(&key());
    *draft.seal(&key())
}

#[test]
fn a_mapped_volume_comes_out_as_it_was_put_in() {
    let plain = Mapped { index_bytes: None, level: None, encrypted: false, ..mapped() };
    for mapped in [mapped(), plain] {
        let bytes = mapped_header(mapped);
        let header = checked(&bytes);
        assert_eq!(header.kind(), Kind::Mapped(mapped));
        assert_eq!((header.volume_bytes(), header.data_offset()), (1 << 40, MIB));
        let mut opened = VolumeKey::zeroed();
        let secret = if mapped.encrypted { Err(KeyError::WrongKey) } else { Ok(()) };
        assert_eq!(header.open(&mut opened), secret);
        let expected = if mapped.encrypted { [0; 64] } else { *key().as_bytes() };
        assert_eq!(opened.as_bytes(), &expected);
        let in_header = bytes.windows(64).any(|window| window == key().as_bytes());
        assert_eq!(in_header, !mapped.encrypted, "the key of an encrypted volume lies in its header");
    }
    let forged = forged(&mapped_header(plain), |raw| raw.label[0] = b'X');
    assert_eq!(checked(&forged).open(&mut VolumeKey::zeroed()), Err(KeyError::Tampered));
}

#[test]
fn numbers_of_a_mapped_volume_that_contradict_each_other_are_refused() {
    let good = mapped_header(mapped());
    let cases: [Case; 9] = [
        ("cipher without its stage", |raw| raw.stages = [3, 4, 2, 0, 0, 0, 0, 0]),
        ("stages in another order", |raw| raw.stages = [4, 3, 1, 2, 0, 0, 0, 0]),
        ("no place", |raw| raw.stages = [3, 4, 1, 0, 0, 0, 0, 0]),
        ("data elsewhere", |raw| raw.data_offset = (2 * MIB).into()),
        ("a piece of a block", |raw| raw.volume_bytes = 4608.into()),
        ("too large", |raw| raw.volume_bytes = ((1 << 48) + 4096).into()),
        ("an odd journal", |raw| raw.journal_bytes = 65537.into()),
        ("a journal past 2^64", |raw| raw.journal_bytes = (u64::MAX - 4095).into()),
        ("an odd segment", |raw| raw.segment_bytes = (3 << 16).into()),
    ];
    for (what, change) in cases {
        let bytes = forged(&good, change);
        let raw = RawHeader::ref_from_bytes(&bytes).unwrap();
        assert_eq!(Header::check(raw).err(), Some(Problem::Inconsistent), "{what}");
    }
    let newer = forged(&good, |raw| raw.kind = 3.into());
    assert_eq!(Header::check(RawHeader::ref_from_bytes(&newer).unwrap()).err(), Some(Problem::Newer));
}

#[test]
fn copy_b_lies_where_a_partition_table_does_not() {
    assert_eq!(copy_b_offset(3 * MIB - 1), None);
    for (disk, offset) in
        [(3 * MIB, 2 * MIB), (4 * MIB - 512, 2 * MIB), (4 * MIB, 3 * MIB), (1 << 40, (1 << 40) - MIB)]
    {
        assert_eq!(copy_b_offset(disk), Some(offset));
        // A GPT's second copy takes the last 33 sectors.
        assert!(offset + COPY_BYTES as u64 <= disk - 33 * 4096);
    }
}

#[test]
fn a_disk_that_cannot_hold_a_volume_is_refused() {
    use sluice_engine::format::{GeometryError, MAX_VOLUME_BYTES};
    let made = |disk, sector| Geometry::for_disk(disk, sector).map(|geometry| geometry.volume_bytes);
    assert_eq!(made(3 * MIB, 4096), Ok(MIB));
    assert_eq!(made(3 * MIB - 1, 512), Err(GeometryError::TooSmall));
    assert_eq!(made(0, 512), Err(GeometryError::TooSmall));
    assert_eq!(made(MAX_VOLUME_BYTES + 2 * MIB, 512), Ok(MAX_VOLUME_BYTES));
    assert_eq!(made(MAX_VOLUME_BYTES + 3 * MIB, 512), Err(GeometryError::TooLarge));
    assert_eq!(made(u64::MAX, 512), Err(GeometryError::TooLarge));
    assert_eq!(made(DISK, 1024), Err(GeometryError::SectorSize));
}

#[test]
fn any_wrong_byte_in_one_copy_is_survived() {
    let good = header();
    for at in 0..COPY_BYTES {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good;
            bad[at] ^= flip;
            for (a, b, from) in [(&bad, &good, Copy::B), (&good, &bad, Copy::A)] {
                match judge(a, b) {
                    Probe::Valid { header, from: found, other: OtherCopy::Bad(_) } => {
                        assert_eq!((header.raw().as_bytes(), found), (&good[..], from), "byte {at}");
                    }
                    other => panic!("byte {at} ^ {flip:#x}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_wrong_byte_in_both_copies_is_reported_and_nothing_may_be_written() {
    let good = header();
    for at in 0..COPY_BYTES {
        // In the same place, in another one, and in the magic of the second copy.
        for also in [at, (at * 31 + 17) % COPY_BYTES, at % 8] {
            let (mut a, mut b) = (good, good);
            a[at] ^= 0x40;
            b[also] ^= 0x02;
            let found = judge(&a, &b);
            assert!(matches!(found, Probe::Damaged(Damage::NoGoodCopy)), "bytes {at}, {also}: {found:?}");
            assert_eq!(plan::update(&found, &good).err(), Some(NoGoodHeader));
            assert_eq!(plan::repair(&found).err(), Some(NoGoodHeader));
        }
    }
}

/// A disk's two copies, and what a crash can leave of a write: any of its 512-byte blocks, old or new.
#[derive(Clone)]
struct Medium {
    a: Bytes,
    b: Bytes,
}

impl Medium {
    fn write(&mut self, offset: u64, bytes: &Bytes, blocks: u32) {
        let copy = match offset {
            0 => &mut self.a,
            B => &mut self.b,
            other => panic!("a write at {other}"),
        };
        for block in (0..8).filter(|block| blocks >> block & 1 != 0) {
            let range = block * 512..(block + 1) * 512;
            copy[range.clone()].copy_from_slice(&bytes[range]);
        }
    }

    /// Every state in which a crash can leave the medium during `steps`.
    fn crashes(&self, steps: &[Step<'_>]) -> Vec<Self> {
        let (mut durable, mut states) = (self.clone(), vec![self.clone()]);
        let mut pending = None;
        for step in steps {
            match *step {
                Step::Write(offset, bytes) => {
                    assert!(pending.is_none(), "two writes without a flush between them");
                    pending = Some((offset, bytes));
                    states.extend((0..256).map(|blocks| {
                        let mut torn = durable.clone();
                        torn.write(offset, bytes, blocks);
                        torn
                    }));
                }
                Step::Flush => {
                    let (offset, bytes) = pending.take().unwrap();
                    durable.write(offset, bytes, 0xff);
                }
            }
        }
        assert!(pending.is_none(), "the last write is not flushed");
        states.push(durable);
        states
    }
}

/// Crashes everywhere in an update: the header is then the old or the new one, never damaged.
fn crash_update(before: &Medium, old: &Bytes, new: &Bytes) -> usize {
    let found = judge(&before.a, &before.b);
    let states = before.crashes(&plan::update(&found, new).unwrap());
    for state in &states {
        let Probe::Valid { header, .. } = judge(&state.a, &state.b) else { panic!("no good copy") };
        let now = header.raw().as_bytes();
        assert!(now == old || now == new, "neither the old nor the new header");
        header.unlock(0, &kek(1), &mut VolumeKey::zeroed()).unwrap();
    }
    let last = states.last().unwrap();
    assert!(last.a == *new && last.b == *new);
    states.len()
}

#[test]
fn a_crash_anywhere_in_an_update_leaves_a_good_header() {
    let old = header();
    let new = changed(&old);
    let newest = changed(&new);
    let mut damaged = new;
    damaged[700] ^= 1;
    let states = [
        crash_update(&Medium { a: old, b: old }, &old, &new),
        // Left by a crash in the update before, in both orders, and with one copy damaged.
        crash_update(&Medium { a: old, b: new }, &new, &newest),
        crash_update(&Medium { a: new, b: old }, &new, &newest),
        crash_update(&Medium { a: new, b: damaged }, &new, &newest),
        crash_update(&Medium { a: damaged, b: new }, &new, &newest),
    ];
    assert_eq!(states, [514; 5], "the start, 256 ways to tear each of two writes, the end");
}

#[test]
fn a_crash_anywhere_in_a_repair_leaves_the_good_copy() {
    let good = header();
    let mut bad = good;
    bad[0] = 0;
    for before in [Medium { a: good, b: bad }, Medium { a: bad, b: good }] {
        let steps = plan::repair(&judge(&before.a, &before.b)).unwrap().unwrap();
        for state in before.crashes(&steps) {
            let Probe::Valid { header, .. } = judge(&state.a, &state.b) else { panic!("no good copy") };
            assert_eq!(header.raw().as_bytes(), good);
        }
    }
    assert!(plan::repair(&judge(&good, &good)).unwrap().is_none());
}

#[test]
fn a_crash_anywhere_while_formatting_leaves_the_old_volume_or_the_new() {
    let (old, new) = (*draft(1).seal(&key()), *draft(2).seal(&key()));
    let before = Medium { a: old, b: old };
    let found = judge(&old, &old);
    for state in before.crashes(&plan::replace(&found, B, &new)) {
        let Probe::Valid { header, .. } = judge(&state.a, &state.b) else { panic!("no good copy") };
        let now = header.raw().as_bytes();
        assert!(now == old || now == new);
    }
    // On a disk without a header: none, damaged while the first copy is written, or the new one.
    let blank = Medium { a: [0; COPY_BYTES], b: [0; COPY_BYTES] };
    let found = judge(&blank.a, &blank.b);
    assert!(matches!(found, Probe::None));
    for state in blank.crashes(&plan::replace(&found, B, &new)) {
        if let Probe::Valid { header, .. } = judge(&state.a, &state.b) {
            assert_eq!(header.raw().as_bytes(), new);
        }
    }
}

#[test]
fn a_disk_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let (good, blank) = (header(), [0; COPY_BYTES]);
    let both = |a, b| probe(a, b, DISK, 512);
    let (good, blank) = (CopyRead::Bytes(&good), CopyRead::Bytes(&blank));
    let failed = CopyRead::Unreadable;
    assert!(matches!(both(failed, good), Probe::Valid { from: Copy::B, other: OtherCopy::Unreadable, .. }));
    assert!(matches!(both(good, failed), Probe::Valid { from: Copy::A, other: OtherCopy::Unreadable, .. }));
    assert!(matches!(both(failed, failed), Probe::Unreadable));
    assert!(matches!(both(blank, failed), Probe::None));
    assert!(matches!(both(failed, blank), Probe::Unreadable));
    assert!(matches!(both(blank, blank), Probe::None));
    assert!(matches!(both(blank, CopyRead::Absent), Probe::None));
}

#[test]
fn a_disk_of_another_size_or_sector_is_refused() {
    let good = header();
    let at = |bytes, sector| {
        let (a, b) = (CopyRead::Bytes(&good), CopyRead::Absent);
        match probe(a, b, bytes, sector) {
            Probe::Damaged(Damage::Misfit(problem)) => Some(problem),
            Probe::Valid { .. } => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(at(DISK, 512), None);
    assert_eq!(at(DISK * 2, 512), None, "a disk that has grown");
    assert_eq!(at(B + 4095, 512), Some(Problem::DiskTooSmall { needed: B + 4096 }));
    assert_eq!(at(DISK, 4096), Some(Problem::SectorSize { volume: 512 }));
    // Where copy B is looked for: where A says, although the disk has another size.
    let second = |a, bytes| read_second(a, bytes, &mut [0; COPY_BYTES], |_, _| true).offset();
    assert_eq!(second(CopyRead::Bytes(&good), DISK * 2), Some(B));
    assert_eq!(second(CopyRead::Bytes(&good), B + 4095), None);
    assert_eq!(second(CopyRead::Unreadable, DISK * 2), Some(9 * MIB));
}

#[test]
fn copy_b_is_found_on_a_disk_that_has_grown_although_copy_a_is_torn() {
    let good = header();
    let look = |a: &[u8; COPY_BYTES], lies: &[u64]| {
        let mut found = [0; COPY_BYTES];
        let second = read_second(CopyRead::Bytes(a), DISK * 2, &mut found, |offset, into| {
            into.copy_from_slice(if lies.contains(&offset) { &good } else { &[0xa5; COPY_BYTES] });
            true
        });
        (second, found == good)
    };
    let mut torn = good;
    torn[2048..2560].fill(0);
    assert_eq!(look(&torn, &[B]), (Second::Read(B), true));
    assert_eq!(look(&torn, &[]), (Second::Read(9 * MIB), false));
    // Growing had written it to its new place.
    assert_eq!(look(&torn, &[B, 9 * MIB]), (Second::Read(9 * MIB), true));
    // What another volume has left there, which had the whole disk, counts only if there is nothing better.
    let other = *draft(8).seal(&key());
    for (at_b, uuid) in [(good, 7), (other, 8), ([0xa5; COPY_BYTES], 8)] {
        let mut found = [0; COPY_BYTES];
        read_second(CopyRead::Bytes(&torn), DISK * 2, &mut found, |offset, into| {
            into.copy_from_slice(if offset == B { &at_b } else { &other });
            true
        });
        assert_eq!(checked(&found).uuid(), [uuid; 16]);
    }
    for lie in [0, B + 1, B + 512, DISK * 2, DISK * 2 - 4095, u64::MAX - 4095, u64::MAX] {
        torn[72..80].copy_from_slice(&lie.to_le_bytes());
        assert_eq!(look(&torn, &[B]), (Second::Read(9 * MIB), false), "{lie}");
    }
}

#[test]
fn the_stage_that_all_data_has_passed_is_named_and_nonsense_there_is_refused() {
    let good = header();
    assert_eq!(checked(&good).foreign_stage(), None);
    let named = |name: &[u8; 16], place: u32| {
        forged(&good, |raw| {
            raw.incompatible = 4.into();
            raw.stage_name = *name;
            raw.stage_place = place.into();
        })
    };
    for place in [Place::ABOVE, Place::BELOW] {
        let wanted = ForeignStage::new("xor", place);
        let copy = named(b"xor\0\0\0\0\0\0\0\0\0\0\0\0\0", place.0);
        assert_eq!(checked(&copy).foreign_stage(), wanted);
        assert_eq!(wanted.map(|stage| stage.name().to_owned()).as_deref(), Some("xor"));
    }
    let refused = |copy: &Bytes| Header::check(RawHeader::ref_from_bytes(copy).unwrap()).err();
    let long = [b'x'; 16];
    for (name, place) in
        [(&long, 0), (&long, 3), (&[0; 16], 1), (b"xor\0x\0\0\0\0\0\0\0\0\0\0\0", 1), (&[0x80; 16], 1)]
    {
        let copy = named(name, place);
        assert_eq!(refused(&copy), Some(Problem::Inconsistent), "{name:?} {place}");
    }
    // Nothing is below the chain of a mapped volume.
    let below = forged(&mapped_header(mapped()), |raw| {
        raw.incompatible = 4.into();
        raw.stage_name = long;
        raw.stage_place = 2.into();
    });
    assert_eq!(refused(&below), Some(Problem::Inconsistent));
    assert_eq!(ForeignStage::new("", Place::ABOVE), None);
    assert_eq!(ForeignStage::new("seventeen letters", Place::ABOVE), None);
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let good = header();
    let newer = forged(&good, |raw| raw.version = 2.into());
    let feature = forged(&good, |raw| raw.incompatible = 8.into());
    for copy in [newer, feature] {
        let found = judge(&copy, &copy);
        assert!(matches!(found, Probe::Damaged(Damage::Newer)), "{found:?}");
        assert_eq!(plan::update(&found, &good).err(), Some(NoGoodHeader));
    }
    // A version that nobody wrote is damage.
    let mut bad = good;
    bad[8] = 9;
    assert!(matches!(judge(&bad, &bad), Probe::Damaged(Damage::NoGoodCopy)));
    // What may be ignored is.
    let compatible = forged(&good, |raw| raw.compatible = 4.into());
    assert!(matches!(judge(&compatible, &compatible), Probe::Valid { .. }));
}

#[test]
fn a_header_without_the_key_is_not_believed() {
    let good = header();
    let cases: [Case; 5] = [
        ("label", |raw| raw.label[0] = b'X'),
        ("sequence", |raw| raw.sequence = 900.into()),
        ("slot label", |raw| raw.slots[0].label[0] = b'X'),
        ("slot cost", |raw| raw.slots[0].memory_kib = 8.into()),
        ("reserved", |raw| raw.reserved2[100] = 1),
    ];
    for (what, change) in cases {
        let bytes = forged(&good, change);
        let mut opened = VolumeKey::zeroed();
        assert_eq!(checked(&bytes).unlock(0, &kek(1), &mut opened), Err(KeyError::Tampered), "{what}");
        assert_eq!(opened.as_bytes(), &[0; 64]);
    }
}

#[test]
fn numbers_that_contradict_each_other_are_refused() {
    let good = header();
    let cases: [Case; 13] = [
        ("version 0", |raw| raw.version = 0.into()),
        ("kind", |raw| raw.kind = 2.into()),
        ("encryption left out", |raw| raw.stages = [2, 0, 0, 0, 0, 0, 0, 0]),
        ("cipher", |raw| raw.cipher = 0.into()),
        ("stages", |raw| raw.stages = [2, 1, 0, 0, 0, 0, 0, 0]),
        ("sector size", |raw| raw.sector_size = 1024.into()),
        ("data over copy A", |raw| raw.data_offset = 512.into()),
        ("data over copy B", |raw| raw.volume_bytes = (3 * MIB + 512).into()),
        ("no data", |raw| raw.volume_bytes = 0.into()),
        ("a piece of a sector", |raw| raw.volume_bytes = (3 * MIB - 1).into()),
        ("an end past 2^64", |raw| raw.data_offset = (u64::MAX - 511).into()),
        ("copy B past the disk", |raw| raw.copy_b_offset = DISK.into()),
        ("copy B past 2^64", |raw| raw.copy_b_offset = (u64::MAX - 511).into()),
    ];
    for (what, change) in cases {
        let bytes = forged(&good, change);
        let raw = RawHeader::ref_from_bytes(&bytes).unwrap();
        assert_eq!(Header::check(raw).err(), Some(Problem::Inconsistent), "{what}");
    }
}

#[test]
fn the_newer_copy_counts_and_histories_are_not_mixed() {
    let old = header();
    let new = changed(&old);
    let from = |a: &Bytes, b: &Bytes| match judge(a, b) {
        Probe::Valid { header, from, other } => (header.raw().as_bytes() == new, from, other),
        found => panic!("{found:?}"),
    };
    assert_eq!(from(&old, &new), (true, Copy::B, OtherCopy::Older));
    assert_eq!(from(&new, &old), (true, Copy::A, OtherCopy::Older));
    assert_eq!(from(&new, &new), (true, Copy::A, OtherCopy::Same));
    // The same number, but another change.
    let mut draft = Draft::of(checked(&old)).unwrap();
    draft.fill(5, &secret("elsewhere"), &kek(2), &key()).unwrap();
    let branch = *draft.seal(&key());
    assert_eq!(from(&new, &branch), (true, Copy::A, OtherCopy::Foreign));
}

#[test]
fn slots_are_filled_and_emptied_whole() {
    let first = header();
    let second = changed(&first);
    let mut draft = Draft::of(checked(&second)).unwrap();
    assert_eq!(draft.fill(1, &secret(""), &kek(3), &key()), Err(DraftError::SlotInUse));
    assert_eq!(draft.fill(8, &secret(""), &kek(3), &key()), Err(DraftError::NoSuchSlot));
    let long = "ä".repeat(33);
    assert_eq!(draft.fill(2, &secret(&long), &kek(3), &key()), Err(DraftError::Label));
    assert_eq!(draft.clear(2), Err(DraftError::NoSuchSlot));
    draft.clear(0).unwrap();
    assert_eq!(draft.clear(1), Err(DraftError::LastSlot));
    let bytes = *draft.seal(&key());
    assert!(bytes[2048..2304].iter().all(|&byte| byte == 0), "the slot is not wiped");
    let mut opened = VolumeKey::zeroed();
    checked(&bytes).unlock(1, &kek(2), &mut opened).unwrap();
    assert_eq!(checked(&bytes).unlock(0, &kek(1), &mut opened), Err(KeyError::EmptySlot));
}

proptest::proptest! {
    /// Bytes that look like a header, with anything in them, are judged without a panic, and never written over.
    #[test]
    fn anything_is_judged(
        changes in proptest::collection::vec((0..COPY_BYTES, proptest::num::u8::ANY), 0..40),
        disk in 0..DISK * 2,
        sector in proptest::sample::select(vec![0u32, 1, 512, 520, 4096, u32::MAX]),
        right_checksum in proptest::bool::ANY,
    ) {
        let mut bytes = header();
        for (at, value) in changes {
            bytes[at] = value;
        }
        if right_checksum {
            bytes = forged(&bytes, |_| {});
        }
        let copy = CopyRead::Bytes(&bytes);
        let mut outside = 0;
        let _ = read_second(copy, disk, &mut [0; COPY_BYTES], |offset, _| {
            outside += u32::from(offset.checked_add(COPY_BYTES as u64).is_none_or(|end| end > disk));
            true
        });
        proptest::prop_assert_eq!(outside, 0);
        if let Probe::Valid { header, .. } = probe(copy, copy, disk, sector) {
            let end = match header.kind() {
                Kind::InPlace(place) => {
                    (place.first_sector + place.sectors) * u64::from(place.sector_size)
                }
                Kind::Mapped(mapped) => MIB + mapped.journal_bytes + mapped.segment_bytes,
            };
            proptest::prop_assert!(end <= header.copy_b_offset() && header.copy_b_offset() < disk);
            let _ = header.slots().count();
        }
    }
}
