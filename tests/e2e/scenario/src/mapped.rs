//! A mapped volume in the driver: the same file system through it and back, what the disk holds of it, and the kernel at
//! its least convenient.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Result,
    bench::{Bench, windows_path},
    client::{Disk, Session, Shape},
    command,
    ntfs::MARKER,
    report::Report,
    scan::Plaintext,
};

const MIB: u64 = 1 << 20;
/// The disk. The volume is larger than it.
const DISK: u64 = 96 * MIB;
const VOLUME: &str = "128M";

pub(crate) fn all(bench: &Bench, report: &mut Report) -> Result<()> {
    file_system(bench, report)?;
    unencrypted(bench, report)?;
    shapes(bench, report)?;
    verifier_options(bench, report)
}

/// A formatted image, and a session in which its disk is unlocked.
fn unlocked<'b>(bench: &'b Bench, report: &mut Report, shape: Shape) -> Result<(Session<'b>, Disk)> {
    let image = image(bench);
    let _ = fs::remove_file(&image);
    fs::File::create(&image)?.set_len(DISK)?;
    command::format_mapped(bench, &image, shape.sector, VOLUME)?;
    open(bench, report, shape)
}

fn open<'b>(bench: &'b Bench, report: &mut Report, shape: Shape) -> Result<(Session<'b>, Disk)> {
    let session = Session::start(bench, report)?;
    let disk = session.create(report, &image(bench), Shape { own_writes: true, ..shape })?;
    let (opened, said) = command::unlock(&session, command::PASSPHRASE)?;
    report.check("the mapped volume unlocks", opened, &format!("{said}\n{}", session.prefix.last_words()));
    Ok((session, disk))
}

fn image(bench: &Bench) -> PathBuf {
    bench.file("mapped.img")
}

/// The scenario's NTFS image, which it has left.
fn plain(bench: &Bench) -> PathBuf {
    bench.file("plain.ntfs")
}

/// What Linux finds on the disk: the same bytes, and everything in order.
fn on_linux(bench: &Bench, report: &mut Report, file: &Path) -> Result<()> {
    let (want, back) = (fs::read(file)?, bench.file("back.bin"));
    command::cat(bench, &image(bench), want.len() as u64, &back)?;
    report.check("sluice cat gives the same bytes", fs::read(&back)? == want, "");
    let found = command::check(bench, &image(bench))?;
    report.check("sluice check finds nothing wrong", found.is_ok(), &format!("{found:?}"));
    Ok(())
}

fn file_system(bench: &Bench, report: &mut Report) -> Result<()> {
    report.section("A mapped volume: a file system through the driver");
    let file = plain(bench);
    let (session, disk) = unlocked(bench, report, Shape::USUAL)?;
    report.check("it has the size it was given", disk.capacity == 128 * MIB, &disk.capacity.to_string());
    session.on(report, disk, "watch", &[format!("pattern={}", &MARKER[..16])])?;
    session.round_trip(report, disk, &file)?;
    session.on(report, disk, "measure", &[format!("file={}", windows_path(&file))])?;
    let port = session.on(report, disk, "statistics", &[])?;
    report.check("the port saw no plaintext", port["pattern_hits"] == 0, &port.to_string());
    let (written, size) = (port["written_bytes"].as_u64().unwrap_or(u64::MAX), fs::metadata(&file)?.len());
    report.check(
        "writing it many times has stored it once",
        written > size / 20 && written < 3 * size,
        &format!("{written} bytes to the port, {size} of the file system"),
    );
    session.clean(report)?;
    report.section("A mapped volume: locked and unlocked");
    let (done, said) = command::lock(&session)?;
    report.check("it locks", done, &said);
    let (opened, said) = command::unlock(&session, command::PASSPHRASE)?;
    report.check("and unlocks", opened, &said);
    session.on(report, disk, "verify", &[format!("file={}", windows_path(&file))])?;
    session.clean(report)?;
    report.section("A mapped volume: removed and back");
    session.on(report, disk, "remove", &[])?;
    session.stop(report)?;
    on_linux(bench, report, &file)?;
    let found = Plaintext::of(&fs::read(&file)?).search(&fs::read(image(bench))?);
    report.check("there is no plaintext on the raw disk", found.count == 0, &format!("{found:?}"));
    let (session, disk) = open(bench, report, Shape::USUAL)?;
    session.on(report, disk, "verify", &[format!("file={}", windows_path(&file))])?;
    trouble(report, session, disk)
}

/// Nothing to keep secret: it unlocks without a key, and only without.
fn unencrypted(bench: &Bench, report: &mut Report) -> Result<()> {
    report.section("A mapped volume without encryption");
    let (image, file) = (image(bench), plain(bench));
    fs::File::create(&image)?.set_len(DISK)?;
    command::format_unencrypted(bench, &image, VOLUME)?;
    let session = Session::start(bench, report)?;
    let disk = session.create(report, &image, Shape { own_writes: true, ..Shape::USUAL })?;
    session.suite(report, disk, "control-keyless")?;
    let (opened, said) = command::unlock(&session, command::PASSPHRASE)?;
    report.check("a key for it is an error", !opened && said.contains("\"not_encrypted\""), &said);
    let (opened, said) = command::unlock_keyless(&session)?;
    report.check("it unlocks without a key", opened, &format!("{said}\n{}", session.prefix.last_words()));
    session.round_trip(report, disk, &file)?;
    let (locked, said) = command::lock(&session)?;
    report.check("locks", locked, &said);
    let (opened, said) = command::unlock_keyless(&session)?;
    report.check("and unlocks again", opened, &said);
    session.on(report, disk, "verify", &[format!("file={}", windows_path(&file))])?;
    session.clean(report)?;
    session.on(report, disk, "remove", &[])?;
    session.stop(report)?;
    on_linux(bench, report, &file)
}

/// A device that is busy, full, broken, and pulled out.
fn trouble(report: &mut Report, session: Session<'_>, disk: Disk) -> Result<()> {
    report.section("A mapped volume: durable, discarded, disturbed, full");
    session.suite(report, disk, "mapped")?;
    session.suite(report, disk, "unlocked")?;
    session.suite(report, disk, "answers-mapped")?;
    session.suite(report, disk, "reset-mapped")?;
    session.suite(report, disk, "programs-mapped")?;
    session.suite(report, disk, "doors")?;
    report.section("A mapped volume: the device fails a write");
    session.suite(report, disk, "mapped-fails")?;
    let (locked, said) = command::lock(&session)?;
    report.check("it locks", locked, &said);
    let (opened, said) = command::unlock(&session, command::PASSPHRASE)?;
    report.check("and unlocks", opened, &said);
    session.suite(report, disk, "mapped-mended")?;
    report.section("A mapped volume: surprise removal");
    session.suite(report, disk, "mapped-surprise")?;
    session.stop(report)
}

/// Other sector sizes, adapters and transfer limits.
fn shapes(bench: &Bench, report: &mut Report) -> Result<()> {
    let file = plain(bench);
    let rows = [
        ("sectors of 4096 bytes", Shape { sector: 4096, ..Shape::USUAL }),
        ("an adapter for legacy SRBs only", Shape { legacy: true, ..Shape::USUAL }),
        ("transfers of at most 4 KiB", Shape { max_transfer: 4096, ..Shape::USUAL }),
    ];
    for (name, shape) in rows {
        report.section(&format!("A mapped volume on a disk with {name}"));
        let (session, disk) = unlocked(bench, report, shape)?;
        session.round_trip(report, disk, &file)?;
        session.clean(report)?;
        session.on(report, disk, "remove", &[])?;
        session.stop(report)?;
        on_linux(bench, report, &file)?;
    }
    Ok(())
}

/// The kernel at its least convenient.
fn verifier_options(bench: &Bench, report: &mut Report) -> Result<()> {
    for option in ["force-pending", "raise-completion", "dpc-inline"] {
        report.section(&format!("A mapped volume with the verifier's {option}"));
        let (session, disk) = unlocked(bench, report, Shape::USUAL)?;
        session.call(report, "verifier", &[option.to_owned()])?;
        session.round_trip(report, disk, &plain(bench))?;
        if option == "force-pending" {
            session.call(report, "forced", &[])?;
        }
        session.clean(report)?;
        session.on(report, disk, "remove", &[])?;
        session.stop(report)?;
        on_linux(bench, report, &plain(bench))?;
    }
    Ok(())
}
