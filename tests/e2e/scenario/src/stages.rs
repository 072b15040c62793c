//! Stages of other drivers, on encrypted and mapped volumes: those that look, and those that change data.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Result,
    bench::{Bench, windows_path},
    client::{Disk, Session, Shape},
    command,
    report::Report,
};

const DISK: u64 = 32 << 20;

pub(crate) fn all(bench: &Bench, report: &mut Report) -> Result<()> {
    observers(bench, report)?;
    on_mapped(bench, report)?;
    transformers(bench, report, "above")?;
    transformers(bench, report, "below")
}

fn empty(bench: &Bench) -> Result<PathBuf> {
    let image = bench.file("stages.img");
    let _ = fs::remove_file(&image);
    fs::File::create(&image)?.set_len(DISK)?;
    Ok(image)
}

fn unlock(report: &mut Report, session: &Session<'_>) -> Result<()> {
    let (opened, said) = command::unlock(session, command::PASSPHRASE)?;
    report.check("the volume unlocks", opened, &format!("{said}\n{}", session.prefix.last_words()));
    Ok(())
}

/// One of the client's suites, and afterwards: has anybody found anything wrong?
fn suite(session: &Session<'_>, report: &mut Report, disk: Disk, name: &str, image: &str) -> Result<()> {
    session.on(report, disk, "stages", &[format!("name={name}"), format!("image={image}")])?;
    session.clean(report)
}

fn observers(bench: &Bench, report: &mut Report) -> Result<()> {
    report.section("Stages of other drivers that look");
    let image = empty(bench)?;
    command::format(bench, &image, 512)?;
    let session = Session::start(bench, report)?;
    let disk = session.create(report, &image, Shape::USUAL)?;
    unlock(report, &session)?;
    for name in ["refused", "watched", "wrong", "flow"] {
        suite(&session, report, disk, name, "-")?;
    }
    for option in ["force-pending", "raise-completion", "dpc-inline"] {
        session.call(report, "verifier", &[option.into()])?;
        suite(&session, report, disk, "flow", "-")?;
    }
    session.call(report, "verifier", &[])?;
    let said = command::status(&session)?;
    report.check("sluice.exe status goes on", said.contains("encrypt down"), &said);
    suite(&session, report, disk, "locked", "-")?;
    unlock(report, &session)?;
    let said = command::status(&session)?;
    report.check(
        "sluice.exe status shows the stage of another driver, and at which altitude it is",
        said.contains("probe0: of another driver, observes at 100"),
        &said,
    );
    suite(&session, report, disk, "unlocked-again", "-")?;
    suite(&session, report, disk, "surprise", "-")?;
    session.stop(report)
}

fn on_mapped(bench: &Bench, report: &mut Report) -> Result<()> {
    report.section("Stages of other drivers on a mapped volume");
    let image = empty(bench)?;
    command::format_mapped(bench, &image, 512, "64M")?;
    let session = Session::start(bench, report)?;
    let disk = session.create(report, &image, Shape { own_writes: true, ..Shape::USUAL })?;
    unlock(report, &session)?;
    suite(&session, report, disk, "mapped", "-")?;
    session.on(report, disk, "remove", &[])?;
    session.stop(report)
}

fn transformers(bench: &Bench, report: &mut Report, side: &str) -> Result<()> {
    report.section(&format!("A stage of another driver that changes data, {side} encryption"));
    let image = empty(bench)?;
    command::format_with_stage(bench, &image, "probe", side == "below")?;
    refused_here(bench, report, &image)?;
    let session = Session::start(bench, report)?;
    let disk = session.create(report, &image, Shape::USUAL)?;
    let (opened, said) = command::unlock(&session, command::PASSPHRASE)?;
    let told = said.contains("stage");
    report.check("without its stage the volume does not unlock, and says why", !opened && told, &said);
    suite(&session, report, disk, "transformer", side)?;
    unlock(report, &session)?;
    suite(&session, report, disk, "transformed", &windows_path(&image))?;
    suite(&session, report, disk, "leaves", "-")?;
    let (opened, said) = command::unlock(&session, command::PASSPHRASE)?;
    report.check("nor does it unlock after the stage has gone", !opened, &said);
    let other = if side == "below" { "above" } else { "below" };
    suite(&session, report, disk, "transformer", other)?;
    let (opened, said) = command::unlock(&session, command::PASSPHRASE)?;
    report.check("nor with it on the other side", !opened, &said);
    session.on(report, disk, "remove", &[])?;
    session.stop(report)
}

/// The command on Linux has no stages of drivers: it says so, and reads nothing.
fn refused_here(bench: &Bench, report: &mut Report, image: &Path) -> Result<()> {
    let back = bench.file("back.bin");
    let said =
        command::cat(bench, image, 4096, &back).err().map(|error| error.to_string()).unwrap_or_default();
    let nothing = fs::metadata(&back)?.len() == 0;
    report.check("sluice cat does not read it", said.contains("\"probe\"") && nothing, &said);
    Ok(())
}
