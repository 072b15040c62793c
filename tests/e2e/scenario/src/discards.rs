//! What a mapped volume tells its disk of free space.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Result,
    bench::Bench,
    client::{Disk, Session, Shape, Unmap},
    command,
    report::Report,
};

const DISK: u64 = 96 << 20;
const VOLUME: &str = "128M";

pub(crate) fn all(bench: &Bench, report: &mut Report) -> Result<()> {
    told(bench, report, "a mapped volume", Shape::USUAL)?;
    told(bench, report, "sectors of 4096 bytes", Shape { sector: 4096, ..Shape::USUAL })?;
    told(bench, report, "an adapter for legacy SRBs only", Shape { legacy: true, ..Shape::USUAL })?;
    told(bench, report, "UNMAPs shorter than a segment", Shape { unmap: Unmap::Short, ..Shape::USUAL })?;
    report.section("Discards: a disk without UNMAP");
    let image = empty(bench)?;
    command::format_discarding(bench, &image, 512, VOLUME)?;
    silent(bench, report, &image, Shape { unmap: Unmap::None, ..Shape::USUAL })?;
    report.section("Discards: a volume that is not to");
    let image = empty(bench)?;
    command::format_mapped(bench, &image, 512, VOLUME)?;
    silent(bench, report, &image, Shape::USUAL)
}

fn empty(bench: &Bench) -> Result<PathBuf> {
    let image = bench.file("discards.img");
    let _ = fs::remove_file(&image);
    fs::File::create(&image)?.set_len(DISK)?;
    Ok(image)
}

fn open<'b>(
    bench: &'b Bench,
    report: &mut Report,
    image: &Path,
    shape: Shape,
) -> Result<(Session<'b>, Disk)> {
    let session = Session::start(bench, report)?;
    let disk = session.create(report, image, Shape { own_writes: true, ..shape })?;
    unlock(report, &session)?;
    Ok((session, disk))
}

fn unlock(report: &mut Report, session: &Session<'_>) -> Result<()> {
    let (opened, said) = command::unlock(session, command::PASSPHRASE)?;
    report.check("the volume unlocks", opened, &format!("{said}\n{}", session.prefix.last_words()));
    Ok(())
}

fn close(bench: &Bench, report: &mut Report, image: &Path, session: Session<'_>, disk: Disk) -> Result<()> {
    session.on(report, disk, "remove", &[])?;
    session.stop(report)?;
    let found = command::check(bench, image)?;
    report.check("sluice check finds nothing wrong", found.is_ok(), &format!("{found:?}"));
    Ok(())
}

/// The disk is told, as much at once as it takes.
fn told(bench: &Bench, report: &mut Report, name: &str, shape: Shape) -> Result<()> {
    report.section(&format!("Discards: {name}"));
    let image = empty(bench)?;
    command::format_discarding(bench, &image, shape.sector, VOLUME)?;
    let (start, length) = command::segments(bench, &image)?;
    let (session, disk) = open(bench, report, &image, shape)?;
    session.suite(report, disk, "discards-told")?;
    let port = session.on(report, disk, "statistics", &[])?;
    let bytes = |name: &str| port[name].as_u64().unwrap_or(0) * u64::from(shape.sector);
    let (first, step, longest) = (bytes("unmap_first"), bytes("unmap_step"), bytes("unmap_longest"));
    let whole = bytes("unmapped").is_multiple_of(length) && first >= start;
    let good = match shape.unmap {
        // In pieces: that none is too long, the disk has seen to.
        Unmap::Short => whole && longest < length,
        _ => whole && (first - start).is_multiple_of(length) && step == length && longest == length,
    };
    report.check("of whole segments", good, &format!("segments of {length} bytes from {start}; {port}"));
    let (locked, said) = command::lock(&session)?;
    report.check("the volume locks", locked, &said);
    unlock(report, &session)?;
    session.suite(report, disk, "discards-refused")?;
    close(bench, report, &image, session, disk)
}

/// The disk is told nothing.
fn silent(bench: &Bench, report: &mut Report, image: &Path, shape: Shape) -> Result<()> {
    let (session, disk) = open(bench, report, image, shape)?;
    session.suite(report, disk, "discards-silent")?;
    close(bench, report, image, session, disk)
}
