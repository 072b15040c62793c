//! The function driver's role: `sluice.sys` drives an adapter of RAM disks, in every way that the filter's role is tried.

use std::{fs, path::PathBuf};

use crate::{
    Result,
    bench::{Bench, windows_path},
    client::Session,
    command,
    report::Report,
};

const DISK: u64 = 16 << 20;
/// How many allocations are tried in the short run; a life of an adapter with two disks has some seventy.
const SHORT: u64 = 120;
const LONG: u64 = 4000;

pub(crate) fn all(bench: &Bench, report: &mut Report, long: bool) -> Result<()> {
    for (name, suite) in [
        ("its units and their requests", "lives"),
        ("surprise removal", "surprise"),
        ("stages of other drivers on its units", "watched"),
    ] {
        report.section(&format!("The function driver of an adapter: {name}"));
        let session = Session::start(bench, report)?;
        run(&session, report, suite, &[])?;
        session.stop(report)?;
    }
    virtio(bench, report, None)?;
    for option in ["force-pending", "raise-completion", "dpc-inline"] {
        report.section(&format!("The function driver of an adapter, with the verifier's {option}"));
        let session = Session::start(bench, report)?;
        session.call(report, "verifier", &[option.to_owned()])?;
        run(&session, report, "lives", &[])?;
        run(&session, report, "surprise", &[])?;
        run(&session, report, "watched", &[])?;
        session.stop(report)?;
        virtio(bench, report, Some(option))?;
    }
    volume(bench, report)?;
    for miniport in bench.miniports()? {
        report.section(&format!("A miniport in C, linked to sluice.sys: {miniport}"));
        let session = Session::start(bench, report)?;
        let name = format!("miniport={miniport}");
        if miniport.starts_with("torture") {
            let all = format!("all={}", u8::from(miniport.contains("extended")));
            run(&session, report, "torture", &[name, all])?;
        } else {
            run(&session, report, "linked", &[name])?;
        }
        session.stop(report)?;
    }
    report.section("The function driver of an adapter: the n-th allocation fails");
    let session = Session::start(bench, report)?;
    let most = format!("most={}", if long { LONG } else { SHORT });
    run(&session, report, "starve", std::slice::from_ref(&most))?;
    run(&session, report, "virtio-starve", &[most])?;
    session.stop(report)
}

/// The miniport of virtio devices, on the bench's PCI functions.
fn virtio(bench: &Bench, report: &mut Report, option: Option<&str>) -> Result<()> {
    let with = option.map_or(String::new(), |option| format!(", with the verifier's {option}"));
    report.section(&format!("virtio block devices on PCI{with}"));
    let session = Session::start(bench, report)?;
    if let Some(option) = option {
        session.call(report, "verifier", &[option.to_owned()])?;
    }
    run(&session, report, "virtio", &[])?;
    session.stop(report)
}

/// Both roles, one above the other.
fn volume(bench: &Bench, report: &mut Report) -> Result<()> {
    report.section("The function driver of an adapter: a volume on its disk");
    let image = formatted(bench)?;
    let session = Session::start(bench, report)?;
    let passphrase = command::passphrase_file(bench, command::PASSPHRASE)?;
    let files =
        [format!("image={}", windows_path(&image)), format!("passphrase-file={}", windows_path(&passphrase))];
    run(&session, report, "volume", &files)?;
    session.stop(report)
}

fn formatted(bench: &Bench) -> Result<PathBuf> {
    let path = bench.file("adapter.img");
    let _ = fs::remove_file(&path);
    fs::File::create(&path)?.set_len(DISK)?;
    command::format(bench, &path, 512)?;
    Ok(path)
}

fn run(session: &Session<'_>, report: &mut Report, suite: &str, more: &[String]) -> Result<()> {
    let mut args = vec![format!("suite={suite}")];
    args.extend_from_slice(more);
    session.call(report, "adapter", &args)?;
    session.clean(report)
}
