//! What may be registered together, and what becomes of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]

use std::{ffi::c_void, ptr};

use sluice_chain::{
    Chain, Io, Outcome, Slot, StageTable, Status, Verdict,
    abi::{ABI_VERSION, HostTable, MAX_STAGES, Needs},
    registration::{EVERY_DISK, Kind, Outside, Place, Refused, Registration},
    registry::{MAX_OUTSIDE, MAX_REGISTRATIONS, Registry},
};

unsafe extern "C" fn pass(_context: *const c_void, _io: *mut Io) -> Verdict {
    Verdict::CONTINUE
}
unsafe extern "C" fn done(_context: *const c_void, _io: *mut Io) -> Verdict {
    Verdict::DONE
}
unsafe extern "C" fn detach(_context: *const c_void) {
    unreachable!("a chain does not detach what is not its own");
}
unsafe extern "C" fn now() -> u64 {
    0
}
unsafe extern "C" fn resume(_io: *mut Io, _verdict: Verdict) {}
static HOST: HostTable = HostTable { size: size_of::<HostTable>() as u32, reserved: 0, now, resume };

fn table(name: &str) -> StageTable {
    let mut padded = [0; 16];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    StageTable {
        size: size_of::<StageTable>() as u32,
        version: ABI_VERSION,
        name: padded,
        needs: Needs::default(),
        reserved: 0,
        request: pass,
        completion: pass,
        detach,
    }
}

fn registration(table: &StageTable) -> Registration {
    Registration {
        size: size_of::<Registration>() as u32,
        kind: Kind::OBSERVER,
        place: Place::ABOVE,
        altitude: 7,
        disk: 3,
        reserved: 0,
        table,
        context: ptr::null(),
    }
}

fn outside(name: &str, disk: u32, place: Place, altitude: u32) -> Outside {
    let table = table(name);
    let registration = Registration { disk, place, altitude, ..registration(&table) };
    // SAFETY: a registration and a table that are right.
    unsafe { Outside::read(&raw const registration) }.unwrap()
}

/// The kernel's suite under Wine has the wrong ones, one by one; here is what it cannot send.
#[test]
fn a_registration_is_read_as_it_is_written() {
    let good = table("sixteen letters!");
    let read = |registration: &Registration| {
        // SAFETY: tables of this test.
        unsafe { Outside::read(registration) }.map(|outside| outside.table.name)
    };
    assert_eq!(read(&registration(&good)), Ok(*b"sixteen letters!"));
    let hole = StageTable { name: *b"a\0b\0\0\0\0\0\0\0\0\0\0\0\0\0", ..good };
    assert_eq!(read(&registration(&hole)), Err(Refused::Name));
    let transformer = StageTable { needs: Needs::SPARE_ON_WRITE, ..good };
    assert_eq!(read(&registration(&transformer)), Err(Refused::Needs));
    let kind = Kind::TRANSFORMER;
    assert!(read(&Registration { kind, ..registration(&transformer) }).is_ok());
}

#[test]
fn names_and_places_are_taken_on_the_disks_that_they_share() {
    let mut registry = Registry::new();
    let first = registry.add(&outside("a", 1, Place::ABOVE, 10)).unwrap();
    for (name, disk, place, altitude, refused) in [
        ("a", 1, Place::BELOW, 99, Refused::SameName),
        ("a", EVERY_DISK, Place::BELOW, 99, Refused::SameName),
        ("b", 1, Place::ABOVE, 10, Refused::SameAltitude),
        ("b", EVERY_DISK, Place::ABOVE, 10, Refused::SameAltitude),
    ] {
        assert_eq!(registry.add(&outside(name, disk, place, altitude)), Err(refused));
    }
    registry.add(&outside("a", 2, Place::ABOVE, 10)).unwrap();
    registry.add(&outside("b", 1, Place::BELOW, 10)).unwrap();
    // One that is leaving enters nothing, and holds its place until it has left.
    assert!(registry.part(first).is_ok());
    assert_eq!(registry.part(first).err(), Some(Refused::NotRegistered));
    assert_eq!(registry.observers(1).into_iter().flatten().count(), 1);
    assert_eq!(registry.add(&outside("a", 1, Place::ABOVE, 10)), Err(Refused::SameName));
    registry.stay(first);
    assert_eq!(registry.observers(1).into_iter().flatten().count(), 2);
    registry.part(first).unwrap();
    registry.remove(first);
    let again = registry.add(&outside("a", 1, Place::ABOVE, 10)).unwrap();
    assert!(again > first, "a handle is used once");
    assert_eq!(registry.part(first).err(), Some(Refused::NotRegistered));
    assert_eq!(registry.lines().count(), 3);
}

#[test]
fn no_disk_has_more_than_a_chain_takes() {
    let mut registry = Registry::new();
    for n in 0..MAX_OUTSIDE as u32 {
        registry.add(&outside(&format!("one {n}"), 1, Place::ABOVE, n)).unwrap();
    }
    for disk in [1, EVERY_DISK] {
        assert_eq!(registry.add(&outside("more", disk, Place::BELOW, 0)), Err(Refused::TooMany));
    }
    let mut disk = 1;
    while registry.lines().count() < MAX_REGISTRATIONS {
        disk += 1;
        registry.add(&outside("other", disk, Place::ABOVE, 0)).unwrap();
    }
    assert_eq!(registry.add(&outside("other", disk + 1, Place::ABOVE, 0)), Err(Refused::TooMany));
}

#[test]
fn a_stage_that_changes_data_is_found_by_name_and_side_alone() {
    let mut registry = Registry::new();
    let kind = Kind::TRANSFORMER;
    let handle = registry.add(&Outside { kind, ..outside("xor", EVERY_DISK, Place::BELOW, 0) }).unwrap();
    let name = table("xor").name;
    assert_eq!(registry.transformer(5, &name, Place::BELOW).map(|found| found.0), Some(handle));
    assert!(registry.transformer(5, &name, Place::ABOVE).is_none());
    assert!(registry.transformer(5, &table("xo").name, Place::BELOW).is_none());
    assert_eq!(registry.observers(5).into_iter().flatten().count(), 0);
}

fn slot(handle: u64, outside: &Outside) -> Box<Slot> {
    // SAFETY: the functions here use no context.
    unsafe { Slot::outside(handle, outside) }.unwrap()
}

fn names(chain: &Chain) -> Vec<String> {
    let text = |slot: &Slot| String::from_utf8_lossy(slot.name()).trim_end_matches('\0').to_owned();
    chain.slots().map(text).collect()
}

#[test]
fn a_chain_keeps_the_order_of_sides_and_altitudes() {
    let mut chain = Chain::new();
    chain.insert(slot(1, &outside("below 5", 1, Place::BELOW, 5))).unwrap();
    chain.insert(slot(2, &outside("above 5", 1, Place::ABOVE, 5))).unwrap();
    for own in ["own 1", "own 2"] {
        // SAFETY: no context.
        unsafe { chain.push(StageTable { detach: nothing, ..table(own) }, ptr::null()) }.unwrap();
    }
    chain.insert(slot(3, &outside("below 9", 1, Place::BELOW, 9))).unwrap();
    chain.insert(slot(4, &outside("above 9", 1, Place::ABOVE, 9))).unwrap();
    assert_eq!(names(&chain), ["above 9", "above 5", "own 1", "own 2", "below 9", "below 5"]);
    assert!(chain.holds(3).is_some() && chain.holds(5).is_none());
    assert!(chain.remove(2).is_some() && chain.remove(2).is_none());
    assert_eq!(names(&chain), ["above 9", "own 1", "own 2", "below 9", "below 5"]);
    for handle in 10.. {
        let altitude = handle as u32;
        if chain.insert(slot(handle, &outside("more", 1, Place::ABOVE, altitude))).is_err() {
            break;
        }
    }
    assert_eq!(chain.slots().count(), MAX_STAGES);
}

unsafe extern "C" fn nothing(_context: *const c_void) {}

fn io() -> Io {
    Io::idle(&raw const HOST)
}

/// Resumed before the function has returned; a second time means nothing.
unsafe extern "C" fn early(context: *const c_void, io: *mut Io) -> Verdict {
    // SAFETY: the context is the verdict; the I/O is this call's.
    unsafe {
        assert!(!Chain::take_back(io, *context.cast::<Verdict>()));
        assert!(!Chain::take_back(io, Verdict::DONE));
    }
    Verdict::PENDING
}

unsafe extern "C" fn keep(_context: *const c_void, _io: *mut Io) -> Verdict {
    Verdict::PENDING
}

#[test]
fn an_io_is_resumed_before_or_after_its_function_returns() {
    for (verdict, early_outcome, status) in [
        (Verdict::CONTINUE, Outcome::Through, Status::OK),
        (Verdict(77), Outcome::Ended, Status::INTERNAL),
        (Verdict::PENDING, Outcome::Ended, Status::INTERNAL),
        (Verdict(u32::MAX), Outcome::Ended, Status::INTERNAL),
    ] {
        let mut stage = outside("resumed", 1, Place::ABOVE, 5);
        (stage.table.request, stage.context) = (early, ptr::from_ref(&verdict).cast());
        let mut chain = Chain::new();
        chain.insert(slot(1, &stage)).unwrap();
        let mut io = io();
        for _ in 0..2 {
            io.status = Status::OK;
            assert_eq!(chain.request(&mut io), early_outcome);
            assert_eq!(io.status, status);
        }
        stage.table.request = keep;
        chain.remove(1);
        chain.insert(slot(1, &stage)).unwrap();
        io.status = Status::OK;
        assert_eq!(chain.request(&mut io), Outcome::Pending);
        // SAFETY: the stage has kept it.
        assert!(unsafe { Chain::take_back(&raw mut io, verdict) });
        assert_eq!(chain.resume(&mut io, verdict), early_outcome);
        assert_eq!(io.status, status);
    }
}

#[test]
fn who_looks_cannot_say_that_the_io_is_done() {
    for (kind, status) in [(Kind::OBSERVER, Status::INTERNAL), (Kind::TRANSFORMER, Status::OK)] {
        let mut looks = outside("looks", 1, Place::ABOVE, 5);
        (looks.kind, looks.table.request) = (kind, done);
        let mut chain = Chain::new();
        chain.insert(slot(1, &looks)).unwrap();
        let mut io = io();
        assert_eq!(chain.request(&mut io), Outcome::Ended);
        assert_eq!(io.status, status);
    }
}
