//! Each allocation of `sluice.sys` fails once: a clean error, nothing lost,
//! and afterwards everything works.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    Result,
    bench::{Bench, windows_path},
    client::Session,
    command,
    report::Report,
};

const DISK: u64 = 16 << 20;
/// No life of a disk has more allocations; a bound for the loop.
const MOST: u64 = 4000;
/// Of a mapped volume's many allocations, how many lie between two that are tried in the short run. Where it begins is
/// by a seed (`SLUICE_SEED` repeats a run), so that with time all are tried.
const STEP: u64 = 53;

pub(crate) fn run(bench: &Bench, report: &mut Report, long: bool) -> Result<()> {
    report.section("The n-th allocation fails");
    let image = empty(bench, DISK)?;
    command::format(bench, &image, 512)?;
    let all = [("most", MOST), ("first", 1), ("step", 1)];
    starve(bench, report, &image, &all, false)?;
    report.section("The n-th allocation fails: a mapped volume");
    let image = empty(bench, 3 * DISK)?;
    command::format_mapped(bench, &image, 512, "16M")?;
    let seed = seed();
    report.say(&format!("seed {seed}"));
    let some = [("most", MOST), ("first", 1 + seed % STEP), ("step", STEP)];
    starve(bench, report, &image, if long { &all } else { &some }, true)
}

fn seed() -> u64 {
    let given = std::env::var("SLUICE_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    given.unwrap_or_else(now)
}

fn empty(bench: &Bench, bytes: u64) -> Result<PathBuf> {
    let image = bench.file("memory.img");
    let _ = fs::remove_file(&image);
    fs::File::create(&image)?.set_len(bytes)?;
    Ok(image)
}

fn starve(
    bench: &Bench,
    report: &mut Report,
    image: &Path,
    plan: &[(&str, u64)],
    mapped: bool,
) -> Result<()> {
    let session = Session::start(bench, report)?;
    let mut args = vec![
        format!("image=\\??\\{}", windows_path(image)),
        format!("passphrase-file={}", windows_path(&command::passphrase_file(bench, command::PASSPHRASE)?)),
    ];
    args.extend(plan.iter().map(|(name, number)| format!("{name}={number}")));
    args.extend(mapped.then(|| "mapped".to_owned()));
    let r = session.call(report, "starve", &args)?;
    report.say(&format!("{} allocations failed, one in each life of a disk", r["lives"]));
    session.clean(report)?;
    session.stop(report)
}
