//! Every suite in every condition of the disk it is meant for.

use std::{fs, path::PathBuf};

use crate::{
    Result,
    bench::Bench,
    client::{Disk, Session, Shape},
    command,
    report::Report,
};

const MIB: u64 = 1 << 20;
const DISK: u64 = 32 * MIB;

fn empty(bench: &Bench, name: &str) -> Result<PathBuf> {
    let path = bench.file(name);
    let _ = fs::remove_file(&path);
    fs::File::create(&path)?.set_len(DISK)?;
    Ok(path)
}

/// A file of `MiB` that differs in every block.
fn data(bench: &Bench) -> Result<PathBuf> {
    let path = bench.file("data.bin");
    let mut x = 0x1234_5678_9abc_def1u64;
    let bytes: Vec<u8> = (0..12 * MIB / 8)
        .flat_map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x.to_le_bytes()
        })
        .collect();
    fs::write(&path, bytes)?;
    Ok(path)
}

/// The test disk without any filter: what fails here is the bench's own fault.
pub(crate) fn bench_alone(bench: &Bench, report: &mut Report) -> Result<()> {
    report.section("The bench alone, without the filter");
    let image = empty(bench, "bench.img")?;
    let session = Session::start(bench, report)?;
    let disk = session.create(report, &image, Shape { filter: false, ..Shape::USUAL })?;
    let file = data(bench)?;
    session.round_trip(report, disk, &file)?;
    let same = fs::read(&image)?.starts_with(&fs::read(&file)?);
    report.check("the image file holds what was written", same, "");
    session.clean(report)?;
    for suite in ["plain", "faults", "cancel", "pnp-plain", "surprise"] {
        session.suite(report, disk, suite)?;
    }
    session.stop(report)
}

/// A formatted image, and a session in which its disk is unlocked.
fn unlocked<'b>(bench: &'b Bench, report: &mut Report, shape: Shape) -> Result<(Session<'b>, Disk)> {
    let image = empty(bench, "suite.img")?;
    command::format(bench, &image, shape.sector)?;
    let session = Session::start(bench, report)?;
    let disk = session.create(report, &image, shape)?;
    let (opened, said) = command::unlock(&session, command::PASSPHRASE)?;
    report.check("the volume unlocks", opened, &said);
    Ok((session, disk))
}

pub(crate) fn all(bench: &Bench, report: &mut Report) -> Result<()> {
    plain_disk(bench, report)?;
    locked(bench, report)?;
    open(bench, report)?;
    shapes(bench, report)?;
    verifier_options(bench, report)?;
    damaged(bench, report)
}

fn plain_disk(bench: &Bench, report: &mut Report) -> Result<()> {
    report.section("The filter on a disk that is not Sluice's");
    let image = empty(bench, "bench.img")?;
    let session = Session::start(bench, report)?;
    let disk = session.create(report, &image, Shape::USUAL)?;
    let file = data(bench)?;
    session.round_trip(report, disk, &file)?;
    let same = fs::read(&image)?.starts_with(&fs::read(&file)?);
    report.check("the image file holds what was written, untouched", same, "");
    session.clean(report)?;
    for suite in ["plain", "faults", "cancel", "pnp-plain", "surprise"] {
        session.suite(report, disk, suite)?;
    }
    session.stop(report)
}

fn locked(bench: &Bench, report: &mut Report) -> Result<()> {
    report.section("A locked volume");
    let image = empty(bench, "suite.img")?;
    command::format(bench, &image, 512)?;
    let before = fs::read(&image)?;
    let session = Session::start(bench, report)?;
    let disk = session.create(report, &image, Shape::USUAL)?;
    session.suite(report, disk, "locked")?;
    session.suite(report, disk, "answers-locked")?;
    session.suite(report, disk, "doors-locked")?;
    session.suite(report, disk, "control")?;
    session.on(report, disk, "remove", &[])?;
    session.stop(report)?;
    report.check("the image is as it was", fs::read(&image)? == before, "");
    Ok(())
}

fn open(bench: &Bench, report: &mut Report) -> Result<()> {
    report.section("An unlocked volume");
    let (session, disk) = unlocked(bench, report, Shape::USUAL)?;
    for suite in [
        "unlocked",
        "answers-in-place",
        "programs",
        "doors",
        "lies",
        "faults",
        "cancel",
        "reset",
        "pnp",
        "control",
    ] {
        report.section(&format!("An unlocked volume: {suite}"));
        session.suite(report, disk, suite)?;
    }
    report.section("An unlocked volume: lock");
    let (done, said) = command::lock(&session)?;
    report.check("the volume locks again", done, &said);
    session.suite(report, disk, "locked")?;
    let (opened, said) = command::unlock(&session, command::PASSPHRASE)?;
    report.check("and unlocks again", opened, &said);
    report.section("An unlocked volume: surprise removal");
    session.suite(report, disk, "surprise")?;
    session.stop(report)
}

/// Other sector sizes, adapters and transfer limits.
fn shapes(bench: &Bench, report: &mut Report) -> Result<()> {
    let file = data(bench)?;
    let rows = [
        ("sectors of 4096 bytes", Shape { sector: 4096, ..Shape::USUAL }),
        ("an adapter for legacy SRBs only", Shape { legacy: true, ..Shape::USUAL }),
        ("transfers of at most 4 KiB", Shape { max_transfer: 4096, ..Shape::USUAL }),
        ("transfers of up to 1 MiB", Shape { max_transfer: 1 << 20, ..Shape::USUAL }),
    ];
    for (name, shape) in rows {
        report.section(&format!("A disk with {name}"));
        let (session, disk) = unlocked(bench, report, shape)?;
        session.round_trip(report, disk, &file)?;
        session.clean(report)?;
        session.on(report, disk, "remove", &[])?;
        session.stop(report)?;
        same_on_linux(bench, report, &file)?;
    }
    report.section("A write-protected disk");
    let image = bench.file("suite.img");
    let session = Session::start(bench, report)?;
    let disk =
        session.create(report, &image, Shape { read_only: true, max_transfer: 1 << 20, ..Shape::USUAL })?;
    let (opened, said) = command::unlock(&session, command::PASSPHRASE)?;
    report.check("a write-protected volume unlocks", opened, &said);
    session.on(report, disk, "verify", &[format!("file={}", crate::bench::windows_path(&file))])?;
    session.on(report, disk, "remove", &[])?;
    session.stop(report)
}

/// `sluice cat` of suite.img begins with the file.
fn same_on_linux(bench: &Bench, report: &mut Report, file: &std::path::Path) -> Result<()> {
    let (want, back) = (fs::read(file)?, bench.file("back.bin"));
    command::cat(bench, &bench.file("suite.img"), want.len() as u64, &back)?;
    report.check("sluice cat gives the same bytes", fs::read(&back)? == want, "");
    Ok(())
}

/// The kernel at its least convenient.
fn verifier_options(bench: &Bench, report: &mut Report) -> Result<()> {
    let file = data(bench)?;
    for option in ["force-pending", "raise-completion", "dpc-inline"] {
        report.section(&format!("With the verifier's {option}"));
        let (session, disk) = unlocked(bench, report, Shape::USUAL)?;
        session.call(report, "verifier", &[option.to_owned()])?;
        session.round_trip(report, disk, &file)?;
        if option == "force-pending" {
            session.call(report, "forced", &[])?;
        }
        session.clean(report)?;
        session.suite(report, disk, "faults")?;
        session.suite(report, disk, "cancel")?;
        session.suite(report, disk, "surprise")?;
        session.stop(report)?;
    }
    Ok(())
}

/// Both header copies broken: nothing is read or written.
fn damaged(bench: &Bench, report: &mut Report) -> Result<()> {
    report.section("A volume with both headers damaged");
    let image = empty(bench, "suite.img")?;
    command::format(bench, &image, 512)?;
    let mut bytes = fs::read(&image)?;
    let second = (DISK / MIB - 1) * MIB;
    for at in [100, second as usize + 100] {
        bytes[at] ^= 0x10;
    }
    fs::write(&image, &bytes)?;
    let session = Session::start(bench, report)?;
    let disk = session.create(report, &image, Shape::USUAL)?;
    session.suite(report, disk, "damaged")?;
    session.suite(report, disk, "doors-damaged")?;
    let (opened, said) = command::unlock(&session, command::PASSPHRASE)?;
    report.check("a damaged volume does not unlock", !opened, &said);
    session.on(report, disk, "remove", &[])?;
    session.stop(report)?;
    report.check("the damaged image is as it was", fs::read(&image)? == bytes, "");
    Ok(())
}
