//! Stages of other drivers: registered, refused, used under load, and gone while I/O flows.

use std::{fs::File, os::windows::fs::FileExt, thread, time::Duration};

use sluice_control::{DiskEntry, DiskRequest, Refusal, code, state};
use zerocopy::IntoBytes;

use crate::{
    device::{Error, TIMED_OUT},
    disk::{self, Disk},
    driver,
    load::Load,
    report::check,
    stage::*,
};

const ERROR_WRITE_PROTECT: Error = 19;
/// Bytes into the disk at which a formatted volume begins.
const DATA: u64 = 1 << 20;
/// Where nothing else writes.
const AT: u64 = 2 << 20;
const MASK: u8 = 0x5a;

mod status {
    pub(super) const LENGTH: u32 = 0xc000_0004;
    pub(super) const FIELD: u32 = 0xc000_000d;
    pub(super) const REQUEST: u32 = 0xc000_0010;
    pub(super) const SMALL: u32 = 0xc000_0023;
    pub(super) const NAME: u32 = 0xc000_0033;
    pub(super) const NO_DISK: u32 = 0xc000_0034;
    pub(super) const SAME_NAME: u32 = 0xc000_0035;
    pub(super) const TOO_MANY: u32 = 0xc000_0044;
    pub(super) const REVISION: u32 = 0xc000_0059;
    pub(super) const NEEDS: u32 = 0xc000_00bb;
    pub(super) const POINTER: u32 = 0xc000_0141;
    pub(super) const LEVEL: u32 = 0xc000_0148;
    pub(super) const NOT_REGISTERED: u32 = 0xc000_0225;
    pub(super) const SAME_ALTITUDE: u32 = 0xc01c_0011;
}

/// Runs one of them; `image` is the file under the disk.
pub(crate) fn run(name: &str, disk: Disk, image: &str) {
    let outcome = match name {
        "refused" => refused(&disk),
        "watched" => watched(&disk),
        "wrong" => wrong(&disk),
        "flow" => flow(&disk, BELOW),
        "locked" => locked(&disk),
        "unlocked-again" => unlocked_again(&disk),
        "surprise" => surprise(disk),
        "mapped" => mapped(&disk),
        "transformer" => transformer(&disk, if image == "below" { BELOW } else { ABOVE }),
        "transformed" => transformed(&disk, image),
        "leaves" => leaves(&disk),
        _ => Err(TIMED_OUT),
    };
    check(&format!("stage suite {name} ran to its end"), outcome.is_ok(), format!("{outcome:x?}"));
}

/// The driver's number of the disk that came last.
fn own_number() -> Result<DiskEntry, Error> {
    let device = driver::open()?;
    driver::disks(&device)?.pop().ok_or(TIMED_OUT)
}

type Row = (&'static str, u32, fn(&mut Registration));

const ROWS: [Row; 20] = [
    ("shorter than its type", status::LENGTH, |r| r.size = 36),
    ("longer than its type", status::LENGTH, |r| r.size = 48),
    ("with a table of another size", status::LENGTH, |r| r.table_size = 64),
    ("of another major version", status::REVISION, |r| r.version = 0x0002_0000),
    ("of version 0", status::REVISION, |r| r.version = 0),
    ("that is not there", status::POINTER, |r| r.flags = NULL),
    ("without a table", status::POINTER, |r| r.flags = NULL_TABLE),
    ("without a function", status::POINTER, |r| r.flags = NULL_FUNCTION),
    ("at an odd address", status::POINTER, |r| r.flags = MISALIGNED),
    ("without a place for the handle", status::POINTER, |r| r.flags = NULL_HANDLE),
    ("of no kind", status::FIELD, |r| r.kind = 0),
    ("of an unknown kind", status::FIELD, |r| r.kind = 3),
    ("at an unknown place", status::FIELD, |r| r.place = 3),
    ("with a reserved field", status::FIELD, |r| r.reserved = 1),
    ("without a name", status::NAME, |r| r.name = [0; 16]),
    ("with a name that is not ASCII", status::NAME, |r| r.name[0] = 0x80),
    ("that looks and needs memory", status::NEEDS, |r| r.needs = SPARE_ON_WRITE),
    ("that needs what there is not", status::NEEDS, |r| (r.kind, r.needs) = (TRANSFORMER, 2)),
    ("for a disk that there is not", status::NO_DISK, |r| r.disk = 0x7fff_ffff),
    ("from DISPATCH_LEVEL", status::LEVEL, |r| r.flags = AT_DISPATCH),
];

fn refused(disk: &Disk) -> Result<(), Error> {
    let (probes, own) = (Probes::open(&disk.bench)?, own_number()?.id);
    let is = |what: &str, got: u32, want: u32| check(what, got == want, format!("{got:#x}, not {want:#x}"));
    for (name, want, change) in ROWS {
        let mut r = Registration::observer(0, own);
        change(&mut r);
        is(&format!("a registration {name} is refused as such"), probes.register(&r)?.0, want);
    }
    for (what, words, want) in [
        ("with another code", [code::LIST, 4, ABI_VERSION, 32], status::REQUEST),
        ("without a version", [0x8053_2040, 0, ABI_VERSION, 32], status::LENGTH),
        ("of another version", [0x8053_2040, 4, 0x0002_0000, 32], status::REVISION),
        ("without room for it", [0x8053_2040, 4, ABI_VERSION, 31], status::SMALL),
        ("as it should be", [0x8053_2040, 4, ABI_VERSION, 32], 0),
    ] {
        is(&format!("asking for the interface {what}"), probes.interface(words)?, want);
    }
    let from_user = driver::open()?.control(0x8053_2040, &ABI_VERSION.to_le_bytes(), 32);
    let as_unknown = from_user.as_ref().err().copied().and_then(Refusal::from_win32) == Some(Refusal::Code);
    check("a program does not get the interface", as_unknown, format!("{from_user:?}"));
    check("nothing is registered after all that", probes.list(16)?.0 == 0, format!("{:?}", probes.list(16)?));
    collisions(&probes, own, &is)
}

fn collisions(probes: &Probes, own: u32, is: &dyn Fn(&str, u32, u32)) -> Result<(), Error> {
    let first = Registration::observer(0, own);
    let handle = probes.accept(&first)?;
    is("registering the same again is refused", probes.register(&first)?.0, status::SAME_NAME);
    let mut other = Registration::observer(1, 0);
    other.name = first.name;
    is("the same name for every disk is refused", probes.register(&other)?.0, status::SAME_NAME);
    let mut other = Registration::observer(1, own);
    other.altitude = first.altitude;
    is("the same altitude is refused", probes.register(&other)?.0, status::SAME_ALTITUDE);
    other.place = BELOW;
    let below = probes.accept(&other)?;
    let more =
        [probes.accept(&Registration::observer(2, 0))?, probes.accept(&Registration::observer(3, own))?];
    for (what, disk) in [("one", own), ("every disk", 0)] {
        let fifth = probes.register(&Registration::observer(4, disk))?.0;
        is(&format!("a fifth stage for {what} is refused"), fifth, status::TOO_MANY);
    }
    let (count, lines) = probes.list(3)?;
    let (_, all) = probes.list(16)?;
    check("the list says how many there are", (count, lines.len(), all.len()) == (4, 3, 4), count);
    let there = all.iter().any(|l| {
        (l.handle, l.disk, l.kind, l.place, l.altitude, l.name)
            == (below, own, OBSERVER, BELOW, other.altitude, other.name)
    });
    check("and what each was registered as", there, format!("{all:?}"));
    is(
        "unregistering from DISPATCH_LEVEL is refused",
        probes.unregister(handle, AT_DISPATCH)?,
        status::LEVEL,
    );
    for one in [handle, below, more[0], more[1]] {
        is("unregistering succeeds", probes.unregister(one, 0)?, 0);
        is("and not twice", probes.unregister(one, 0)?, status::NOT_REGISTERED);
    }
    is("nor of what there never was", probes.unregister(0, 0)?, status::NOT_REGISTERED);
    let minor = Registration { version: ABI_VERSION + 5, ..first };
    let handle = probes.accept(&minor)?;
    is("a later minor version is taken", probes.unregister(handle, 0)?, 0);
    let seen = [probes.seen(0)?, probes.seen(2)?];
    check("each was detached once", seen.iter().all(|s| s.detached == 1), format!("{seen:?}"));
    Ok(())
}

/// Four stages at once, two of which keep every I/O, above and below encryption.
fn watched(disk: &Disk) -> Result<(), Error> {
    let (probes, own) = (Probes::open(&disk.bench)?, own_number()?.id);
    let actions = [Action::Pass, Action::Keep, Action::KeepEarly, Action::Keep];
    let mut handles = Vec::new();
    let before: Vec<_> = (0..4).map(|n| probes.seen(n)).collect::<Result<_, _>>()?;
    for (number, action) in (0..).zip(actions) {
        probes.mode(number, action, [0; 2])?;
        let mut r = Registration::observer(number, own);
        if number >= 2 {
            r.place = BELOW;
        }
        handles.push(probes.accept(&r)?);
    }
    let load = Load::start(disk.number, disk.sector);
    load.until(30);
    let outcome = load.end();
    check(
        "data reads back as it was written past four stages, some of which keep every I/O",
        outcome.good > 10 && outcome.wrong == 0 && outcome.errors.is_empty(),
        format!("{outcome:?}"),
    );
    let stages = driver::stages(own)?;
    let names: Vec<_> = stages.iter().map(|s| s.name.as_str()).collect();
    check(
        "the chain is in the order of places and altitudes",
        names == ["probe1", "probe0", "encrypt", "place", "probe3", "probe2"],
        format!("{names:?}"),
    );
    for (number, old) in (0..4).zip(before) {
        let s = probes.seen(number)?;
        let (requests, bytes) = (s.requests - old.requests, s.bytes - old.bytes);
        let told = stages.iter().find(|l| l.name == format!("probe{number}"));
        let same = told.is_some_and(|l| {
            (l.kind, l.altitude, l.requests, l.bytes) == (OBSERVER, 100 * (number + 1), requests, bytes)
        });
        check(
            &format!("stage {number} has seen what the driver says, down and up"),
            same && requests > 20 && requests == s.completions - old.completions,
            format!("{s:?} after {old:?}, {told:?}"),
        );
    }
    for handle in handles {
        probes.unregister(handle, 0)?;
    }
    let left = driver::stages(own)?.len();
    check("afterwards the volume's own stages are left", left == 2, left);
    Ok(())
}

/// Stages that answer what they may not, or end an I/O.
fn wrong(disk: &Disk) -> Result<(), Error> {
    let (probes, own) = (Probes::open(&disk.bench)?, own_number()?.id);
    let handle = probes.accept(&Registration::observer(0, own))?;
    let data = vec![0x77; 8192];
    for (what, action, written) in [
        ("that passes everything", Action::Pass, Some(Ok(8192))),
        ("that ends I/O with write protection", Action::End, Some(Err(ERROR_WRITE_PROTECT))),
        ("that only looks, and says that it has done the I/O,", Action::Pretend, None),
        ("that answers what there is not", Action::Garbage, None),
        ("that answers what there is not on the way up", Action::GarbageUp, None),
    ] {
        probes.mode(0, action, [0; 2])?;
        let got = disk.top.write(AT, &data);
        let fits = written.map_or(got.is_err(), |want| got == want);
        check(&format!("a write past a stage {what} ends as it must"), fits, format!("{got:?}"));
    }
    probes.mode(0, Action::Pass, [0; 2])?;
    let alive = disk.top.read(AT, 8192)?;
    check("and the disk goes on", alive == data, "");
    check("unregistering succeeds after that", probes.unregister(handle, 0)? == 0, "");
    Ok(())
}

/// Stages come and go while I/O flows: registered and unregistered, and whole drivers loaded and unloaded.
fn flow(disk: &Disk, other_side: u32) -> Result<(), Error> {
    const TURNS: u32 = 60;
    let (probes, own) = (Probes::open(&disk.bench)?, own_number()?.id);
    let load = Load::start(disk.number, disk.sector);
    let (mut bad, mut used) = (Vec::new(), 0);
    for turn in 0..TURNS {
        let action = [Action::Keep, Action::Pass, Action::KeepEarly][turn as usize % 3];
        probes.mode(0, action, [0; 2])?;
        let before = probes.seen(0)?.requests;
        let mut r = Registration::observer(0, if turn % 2 == 0 { own } else { 0 });
        r.place = if turn % 4 < 2 { ABOVE } else { other_side };
        let handle = probes.accept(&r)?;
        thread::sleep(Duration::from_millis(u64::from(turn % 8)));
        // Most stay until they have seen something.
        for _ in 0..if turn % 4 == 0 { 0 } else { 400 } {
            if probes.seen(0)?.requests > before {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let status = probes.unregister(handle, 0)?;
        let s = probes.seen(0)?;
        used += u32::from(s.requests > before);
        if status != 0 || (s.detached, s.after_detach, s.at_detach) != (1, 0, 0) {
            bad.push(format!("turn {turn}: {status:#x} {s:?}"));
        }
    }
    check(
        &format!(
            "{TURNS} times a stage leaves while I/O flows: detached once, with nothing inside and nothing after"
        ),
        bad.is_empty() && used > TURNS / 2,
        format!("{used} times used; {}", bad.join("; ")),
    );
    let (mut bad, mut used) = (Vec::new(), 0);
    for turn in 0..20 {
        let loaded = service(&disk.bench, "sluicecount", true)?;
        let mut count = None;
        for _ in 0..if turn % 2 == 0 { 1 } else { 400 } {
            thread::sleep(Duration::from_millis(turn % 6));
            count = driver::stages(own)?.into_iter().find(|s| s.name == "count");
            if count.as_ref().is_some_and(|s| s.requests > 0) {
                break;
            }
        }
        used += u32::from(count.as_ref().is_some_and(|s| s.requests > 0));
        let gone = service(&disk.bench, "sluicecount", false)?;
        if loaded != 0 || gone != 0 || count.is_none() {
            bad.push(format!("turn {turn}: {loaded:#x} {gone:#x} {count:?}"));
        }
    }
    check(
        "20 times the example driver is loaded and unloaded while I/O flows",
        bad.is_empty() && used > 5,
        format!("{used} times used; {}", bad.join("; ")),
    );
    load.until(60);
    let outcome = load.end();
    check(
        "and all that time data reads back as it was written",
        outcome.good > 50 && outcome.wrong == 0 && outcome.errors.is_empty(),
        format!("{outcome:?}"),
    );
    Ok(())
}

/// Locks the disk with a stage registered, which stays.
fn locked(disk: &Disk) -> Result<(), Error> {
    let (probes, own) = (Probes::open(&disk.bench)?, own_number()?.id);
    probes.mode(0, Action::Keep, [0; 2])?;
    let first = probes.seen(0)?;
    probes.accept(&Registration::observer(0, own))?;
    let load = Load::start(disk.number, disk.sector);
    load.until(5);
    let lock = driver::open()?.control(code::LOCK, DiskRequest::new(own).as_bytes(), 0);
    check("a disk locks with a stage in its chain, while I/O flows", lock.is_ok(), format!("{lock:?}"));
    let outcome = load.end();
    check("what was under way is whole", outcome.wrong == 0, format!("{outcome:?}"));
    let before = probes.seen(0)?;
    let read = disk.top.read(AT, 4096);
    let s = probes.seen(0)?;
    check(
        "a locked disk shows the stage nothing, and does not detach it",
        read.is_err()
            && s.requests == before.requests
            && s.detached == 0
            && s.requests - first.requests == s.completions - first.completions,
        format!("{read:?} {s:?}"),
    );
    Ok(())
}

/// After [`locked`], and unlocking.
fn unlocked_again(disk: &Disk) -> Result<(), Error> {
    let (probes, own) = (Probes::open(&disk.bench)?, own_number()?.id);
    let before = probes.seen(0)?;
    disk.top.read(AT, 4096)?;
    let s = probes.seen(0)?;
    let names: Vec<_> = driver::stages(own)?.into_iter().map(|s| s.name).collect();
    check(
        "a stage that was registered before unlocking is in the chain",
        s.requests > before.requests && names == ["probe0", "encrypt", "place"],
        format!("{s:?} {names:?}"),
    );
    let handle = probes.list(16)?.1.first().map(|line| line.handle).ok_or(TIMED_OUT)?;
    check("and is unregistered", probes.unregister(handle, 0)? == 0 && probes.seen(0)?.detached == 1, "");
    Ok(())
}

/// The device is pulled out while two stages are in the chain, one of which leaves at the same time.
fn surprise(disk: Disk) -> Result<(), Error> {
    const SURPRISE: u32 = 0x17;
    const REMOVE: u32 = 2;
    let (probes, own) = (Probes::open(&disk.bench)?, own_number()?.id);
    probes.mode(0, Action::Keep, [0; 2])?;
    let handle = probes.accept(&Registration::observer(0, own))?;
    let leaves = probes.accept(&Registration::observer(1, 0))?;
    disk.top.read(AT, 4096)?;
    let (number, status) = (disk.number, disk.pnp(SURPRISE, 0)?);
    check("SURPRISE_REMOVAL succeeds with stages in the chain", status == 0, format!("{status:#x}"));
    let bench = disk::Bench::open()?;
    drop(disk);
    let leaving = thread::spawn(move || Probes::open(&disk::Bench::open()?)?.unregister(leaves, 0));
    let status = disk::pnp(&bench, number, REMOVE, 0)?;
    check("and REMOVE_DEVICE", status == 0, format!("{status:#x}"));
    let (left, s) = (leaving.join().unwrap_or(Err(TIMED_OUT))?, probes.seen(1)?);
    check("while the other one leaves", left == 0 && s.detached == 1, format!("{left:#x} {s:?}"));
    let s = probes.seen(0)?;
    check("which does not detach the stage", s.detached == 0, format!("{s:?}"));
    let status = probes.unregister(handle, 0)?;
    let s = probes.seen(0)?;
    check(
        "its registration is taken back as ever",
        status == 0 && s.detached == 1,
        format!("{status:#x} {s:?}"),
    );
    Ok(())
}

/// A mapped volume has one side.
fn mapped(disk: &Disk) -> Result<(), Error> {
    let (probes, own) = (Probes::open(&disk.bench)?, own_number()?.id);
    let mut below = Registration::observer(1, own);
    below.place = BELOW;
    let got = probes.register(&below)?.0;
    check("below a mapped volume there is no place", got == status::REQUEST, format!("{got:#x}"));
    below.disk = 0;
    let handle = probes.accept(&below)?;
    let before = probes.seen(1)?;
    flow(disk, ABOVE)?;
    let s = probes.seen(1)?;
    check("a stage below every disk stays out of it", s.requests == before.requests, format!("{s:?}"));
    check("and goes", probes.unregister(handle, 0)? == 0, "");
    Ok(())
}

/// Registers the stage that the volume names.
fn transformer(disk: &Disk, place: u32) -> Result<(), Error> {
    let probes = Probes::open(&disk.bench)?;
    probes.mode(0, Action::Pass, [MASK; 2])?;
    let (got, _) = probes.register(&Registration::transformer(place))?;
    check("the stage that changes data is registered", got == 0, format!("{got:#x}"));
    Ok(())
}

fn xored(data: &[u8]) -> Vec<u8> {
    data.iter().map(|byte| byte ^ MASK).collect()
}

fn raw(image: &str, length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; length];
    let read = File::open(image).and_then(|file| file.seek_read(&mut bytes, DATA + AT));
    if read.is_ok_and(|n| n == length) { Ok(bytes) } else { Err(TIMED_OUT) }
}

/// What lies on the disk is what encrypting makes of the changed bytes, or below, the changed ciphertext.
fn transformed(disk: &Disk, image: &str) -> Result<(), Error> {
    let (probes, own) = (Probes::open(&disk.bench)?, own_number()?.id);
    let below = driver::stages(own)?.first().is_some_and(|s| s.name == "encrypt");
    let data: Vec<u8> = (0..65536u32).map(|i| (i * 7 / 3) as u8).collect();
    let write = |bytes: &[u8], mask: u8| -> Result<Vec<u8>, Error> {
        probes.mode(0, Action::Pass, [mask; 2])?;
        disk.top.write(AT, bytes)?;
        raw(image, bytes.len())
    };
    let with = write(&data, MASK)?;
    let back = disk.top.read(AT, data.len())?;
    check("data reads back through the stage that changes it", back == data, "");
    let expected = if below { xored(&write(&data, 0)?) } else { write(&xored(&data), 0)? };
    let side = if below { "the ciphertext, changed" } else { "the changed bytes, encrypted" };
    check(&format!("on the disk lie {side}"), with == expected && with != data, "");
    probes.mode(0, Action::Pass, [MASK; 2])?;
    let load = Load::start(disk.number, disk.sector);
    load.until(30);
    let outcome = load.end();
    check(
        "under load as well data reads back as it was written",
        outcome.good > 10 && outcome.wrong == 0 && outcome.errors.is_empty(),
        format!("{outcome:?}"),
    );
    let stage = driver::stages(own)?.into_iter().find(|s| s.name == "probe");
    check(
        "the driver says that this stage changes data",
        stage.as_ref().is_some_and(|s| s.kind == TRANSFORMER && s.requests > 20),
        format!("{stage:?}"),
    );
    disk.top.write(AT, &data)?;
    Ok(())
}

/// It leaves while I/O flows: the volume locks.
fn leaves(disk: &Disk) -> Result<(), Error> {
    let probes = Probes::open(&disk.bench)?;
    let handle = probes.list(16)?.1.first().map(|line| line.handle).ok_or(TIMED_OUT)?;
    let load = Load::start(disk.number, disk.sector);
    load.until(5);
    const USAGE: u32 = 0x16;
    const DEVICE_BUSY: u32 = 0x8000_0011;
    disk.pnp(USAGE, 0x101)?;
    let (busy, s) = (probes.unregister(handle, 0)?, probes.seen(0)?);
    disk.pnp(USAGE, 1)?;
    check(
        "while a page file lies on the volume it cannot leave, and stays registered",
        busy == DEVICE_BUSY && s.detached == 0 && probes.list(16)?.0 == 1,
        format!("{busy:#x} {s:?}"),
    );
    let status = probes.unregister(handle, 0)?;
    let (s, now) = (probes.seen(0)?, own_number()?.state);
    check(
        "a stage that changes data leaves while I/O flows, and the volume is locked",
        status == 0 && (s.detached, s.after_detach, s.at_detach) == (1, 0, 0) && now == state::LOCKED,
        format!("{status:#x} {s:?}, state {now}"),
    );
    let outcome = load.end();
    check("what was under way is whole", outcome.wrong == 0, format!("{outcome:?}"));
    let read = disk.top.read(AT, 4096);
    check("nothing is read without it", read.is_err(), format!("{:?}", read.map(|b| b.len())));
    Ok(())
}
