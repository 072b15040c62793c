//! Each allocation of `sluice.sys` fails once: a clean error, nothing lost,
//! and afterwards everything works.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Result,
    bench::{Bench, windows_path},
    client::Session,
    command,
    report::Report,
};

const DISK: u64 = 16 << 20;
/// How many allocations are tried in the short run.
const SHORT: u64 = 40;
/// No life of a disk has more; a bound for the loop.
const LONG: u64 = 4000;
/// Of a mapped volume's many allocations, how many lie between two that are tried in the short run.
const STEP: u64 = 31;

pub(crate) fn run(bench: &Bench, report: &mut Report, long: bool) -> Result<()> {
    let most = format!("most={}", if long { LONG } else { SHORT });
    report.section("The n-th allocation fails");
    let image = empty(bench, DISK)?;
    command::format(bench, &image, 512)?;
    starve(bench, report, &image, std::slice::from_ref(&most))?;
    report.section("The n-th allocation fails: a mapped volume");
    let image = empty(bench, 3 * DISK)?;
    command::format_mapped(bench, &image, 512, "16M")?;
    let step = format!("step={}", if long { 1 } else { STEP });
    starve(bench, report, &image, &[most, step, "mapped".to_owned()])
}

fn empty(bench: &Bench, bytes: u64) -> Result<PathBuf> {
    let image = bench.file("memory.img");
    let _ = fs::remove_file(&image);
    fs::File::create(&image)?.set_len(bytes)?;
    Ok(image)
}

fn starve(bench: &Bench, report: &mut Report, image: &Path, more: &[String]) -> Result<()> {
    let session = Session::start(bench, report)?;
    let mut args = vec![
        format!("image=\\??\\{}", windows_path(image)),
        format!("passphrase-file={}", windows_path(&command::passphrase_file(bench, command::PASSPHRASE)?)),
    ];
    args.extend_from_slice(more);
    let r = session.call(report, "starve", &args)?;
    report.say(&format!("{} allocations failed, one in each life of a disk", r["lives"]));
    session.clean(report)?;
    session.stop(report)
}
