//! Records that are damaged, of another disk, or not the newest; disks that somebody else has written to.

use sluice_engine::format::{Damage, Problem};

use super::{
    crash::Case,
    disk::{BLOCK, Model},
};
use crate::{
    convert::{
        life,
        record::{self, RawProgress, UNIT, Way},
    },
    failure::Failure,
};

const MIB: u64 = 1 << 20;

fn case() -> Case {
    Case::new(512, 4096, 10 * 4096, 3 * MIB, false)
}

/// Stopped after three pieces.
fn half(case: &Case, way: Way) -> Model {
    after(case, way, 3)
}

fn after(case: &Case, way: Way, pieces: u32) -> Model {
    let (result, model) = case.begin_with(way).run(None, |disk| {
        let shift = case.shift(disk);
        let mut record = life::begin(&shift, &case.header, way)?;
        let mut moved = 0;
        life::go_on(&shift, &mut record, |_| {
            moved += 1;
            moved <= pieces
        })
    });
    assert!(!result.unwrap());
    model
}

fn changed(model: &Model, change: impl FnOnce(&mut Model)) -> Model {
    let mut model = model.clone();
    change(&mut model);
    model.settle();
    model
}

/// Going on must fail so, and change nothing.
fn refuses(case: &Case, model: &Model, expected: impl Fn(&Failure) -> bool) {
    for way in [Way::Encrypt, Way::Decrypt] {
        let (result, after) = model.run(None, |disk| case.convert(disk, way));
        let failure = result.unwrap_err();
        assert!(expected(&failure), "{failure}");
        assert!(after.read_all() == model.read_all(), "{way:?} changed something");
    }
}

#[test]
fn what_it_says_of_itself() {
    let case = case();
    for (way, position) in [(Way::Encrypt, 7 * 4096), (Way::Decrypt, 4 * 4096)] {
        let (found, _) = half(&case, way).run(None, |disk| record::find(disk));
        let found = found.unwrap().unwrap();
        assert_eq!((found.way, found.position), (way, position));
        assert_eq!(found.encrypted(), case.place.volume - position);
    }
}

#[test]
fn one_mark_is_enough() {
    let case = case();
    let model = half(&case, Way::Encrypt);
    let ruin = [0, case.place.copy_b, case.place.spare_at()];
    for good in ruin {
        let damaged = changed(&model, |model| {
            for at in ruin.into_iter().filter(|at| *at != good) {
                // The magic stays: the place still looks like one.
                model.put(at + 1024, &[0x11; BLOCK]);
            }
        });
        let (result, end) = damaged.run(None, |disk| case.convert(disk, Way::Encrypt));
        result.unwrap();
        assert!(case.is_done(&end, Way::Encrypt, false), "{good}");
        let mut unreadable = model.clone();
        ruin.into_iter().filter(|at| *at != good).for_each(|at| unreadable.spoil(at..at + UNIT));
        let (found, _) = unreadable.run(None, |disk| record::find(disk));
        assert!(found.unwrap().is_some(), "{good}");
    }
}

#[test]
fn an_old_record_moves_nothing() {
    let case = case();
    for way in [Way::Encrypt, Way::Decrypt] {
        let model = half(&case, way);
        let put_back = |from: u32| {
            let mut records = [0; 2 * UNIT as usize];
            after(&case, way, from).get(case.place.copy_b + 2 * UNIT, &mut records);
            changed(&model, |model| model.put(case.place.copy_b + 2 * UNIT, &records))
        };
        // The last piece once more: nothing has moved since.
        let (result, end) = put_back(2).run(None, |disk| case.convert(disk, way));
        result.unwrap();
        assert!(case.is_done(&end, way, false));
        let old = put_back(1);
        refuses(&case, &old, |failure| matches!(failure, Failure::Conversion { .. }));
        let none = changed(&old, |model| {
            model.put(case.place.copy_b + 2 * UNIT, &[0; BLOCK]);
            model.put(case.place.copy_b + 3 * UNIT, &[0; BLOCK]);
        });
        refuses(&case, &none, |failure| matches!(failure, Failure::Conversion { .. }));
    }
}

#[test]
fn a_disk_that_somebody_else_has_written_to_is_left_alone() {
    let case = case();
    let model = half(&case, Way::Encrypt);
    let x = 7 * 4096;
    for at in [x, x + 2048, x + 4096 - BLOCK as u64] {
        let written = changed(&model, |model| model.put(at, &[0x33; BLOCK]));
        refuses(&case, &written, |failure| matches!(failure, Failure::Conversion { .. }));
    }
}

#[test]
fn a_disk_of_another_size_is_left_alone() {
    let case = case();
    let model = half(&case, Way::Decrypt);
    for larger in [BLOCK as u64, MIB, 100 * MIB] {
        let grown = changed(&model, |model| model.resize(3 * MIB + larger));
        refuses(&case, &grown, |failure| matches!(failure, Failure::Conversion { .. }));
    }
    let cut = changed(&model, |model| model.resize(3 * MIB - BLOCK as u64));
    let too_small = |failure: &Failure| {
        matches!(failure, Failure::Damaged { damage: Damage::Misfit(Problem::DiskTooSmall { .. }), .. })
    };
    refuses(&case, &cut, too_small);
}

#[test]
fn bad_sectors_stop_it_and_lose_nothing() {
    for way in [Way::Encrypt, Way::Decrypt] {
        let case = case();
        let at = match way {
            Way::Encrypt => 2 * 4096 + 512,
            Way::Decrypt => 8 * 4096 + 512,
        };
        let mut disk = case.begin_with(way);
        disk.spoil(at..at + 1);
        let (result, stopped) = disk.run(None, |disk| case.convert(disk, way));
        assert!(matches!(result, Err(Failure::Io { what: "read", .. })));
        // It may be what is read before anything moves, too: it goes back all the way.
        let back = if way == Way::Encrypt { Way::Decrypt } else { Way::Encrypt };
        let mut healed = stopped.clone();
        healed.heal();
        for way in [way, back] {
            let (result, end) = healed.run(None, |disk| case.convert(disk, way));
            result.unwrap();
            assert!(case.is_done(&end, way, false), "{way:?}");
        }
    }
}

#[test]
fn a_volume_in_a_volume_is_not_bared() {
    let mut case = case();
    let inner = Case::new(512, 4096, 2 * 4096, 3 * MIB, false);
    case.plain[..4096].copy_from_slice(&inner.header);
    let model = case.volume();
    let (result, after) = model.run(None, |disk| case.convert(disk, Way::Decrypt));
    assert!(matches!(result, Err(Failure::Unconvertible { .. })));
    assert!(after.read_all() == model.read_all());
}

/// Whatever is put in the place of a record, it is judged, and nothing moves by it.
#[test]
fn records_that_somebody_has_made_up() {
    let case = case();
    let model = half(&case, Way::Encrypt);
    let mut dice = super::crash::Dice(11);
    for _ in 0..2000 {
        let garbled = changed(&model, |model| {
            let unit = dice.below(4);
            let at = if unit == 3 { 0 } else { case.place.copy_b + unit * UNIT };
            let mut bytes = vec![0; BLOCK];
            model.get(at, &mut bytes);
            for _ in 0..=dice.below(3) {
                bytes[dice.below(96) as usize] = dice.below(256) as u8;
            }
            model.put(at, &bytes);
        });
        let (result, end) = garbled.run(None, |disk| case.convert(disk, Way::Encrypt));
        match result {
            Ok(()) => assert!(case.is_done(&end, Way::Encrypt, false)),
            Err(_) => assert!(end.read_all() == garbled.read_all()),
        }
    }
}

/// `docs/format.md` and the type say the same.
#[test]
fn the_table_is_the_type() {
    use std::mem::offset_of;
    macro_rules! rows {
        ($($field:ident)*) => {{
            let value = <RawProgress as zerocopy::FromZeros>::new_zeroed();
            [$(format!(
                "| {} | {} | {} |",
                stringify!($field),
                offset_of!(RawProgress, $field),
                size_of_val(&value.$field),
            )),*]
        }};
    }
    let text = include_str!("../../../../../docs/format.md");
    let (_, table) = text.split_once("| field | offset | size | meaning |").unwrap();
    let lines: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    let rows = rows!(magic version way uuid sequence position checksum reserved);
    assert_eq!(lines.len(), rows.len());
    for (line, row) in lines.iter().zip(&rows) {
        assert!(line.starts_with(row.as_str()), "{line} is not {row}");
    }
}
