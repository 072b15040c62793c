//! Each allocation of `sluice.sys` fails once: a clean error, nothing lost,
//! and afterwards everything works.

use std::fs;

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

pub(crate) fn run(bench: &Bench, report: &mut Report, long: bool) -> Result<()> {
    report.section("The n-th allocation fails");
    let image = bench.file("memory.img");
    let _ = fs::remove_file(&image);
    fs::File::create(&image)?.set_len(DISK)?;
    command::format(bench, &image, 512)?;
    let session = Session::start(bench, report)?;
    let args = [
        format!("image=\\??\\{}", windows_path(&image)),
        format!("passphrase-file={}", windows_path(&command::passphrase_file(bench, command::PASSPHRASE)?)),
        format!("most={}", if long { LONG } else { SHORT }),
    ];
    let r = session.call(report, "starve", &args)?;
    report.say(&format!("{} allocations failed, one in each life of a disk", r["lives"]));
    session.clean(report)?;
    session.stop(report)
}
