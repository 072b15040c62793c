//! The commands behind `./x`. `docs/building.md` says what each does and what only Windows can show.

mod command;
mod driver;
mod end_to_end;
mod paths;
mod setup;
mod test;
mod user_mode;
mod wdk;

use anyhow::{Result, bail};
use sluice_e2e::Mode;
use std::process::Command;

const HELP: &str = "usage: ./x COMMAND

  setup                       install what the other commands need (Debian 12, by apt)
  driver [--arch x64|arm64] [--profile release|dev]
                              build sluice.sys and check the product
  windows-cli                 build sluice.exe
  demo                        an NTFS file system through the driver, under Wine; a minute or two
  e2e [--long] [PART...]      the same and every end-to-end suite, or some: bench, scenario, mapped, discards, suites,
                              memory; --long fails every allocation of a mapped volume
  bench [xts|intercept|kernel|parts|mapped|virtio] ...
                              the benchmarks, each beside its rival in one run
  conformance [NAME...]       real clients and file systems on what `sluice serve` serves
  virtio                      the virtio-blk miniport on a device of QEMU's storage daemon
  c-miniport                  the miniports in C: built by every compiler, and hosted in user mode
  fuzz SECONDS [SEED]         every fuzz target for so long
  sim [mutants] [--seconds N] [--seed N] ...
                              the mapped volume on a simulated device that crashes, reorders, tears and lies
  test [STEP ...]             everything that CI runs, or the steps whose titles contain a word
";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Err(error) = dispatch(&arguments) {
        eprintln!("x: {error:#}");
        std::process::exit(1);
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        print!("{HELP}");
        return Ok(());
    };
    match name.as_str() {
        "help" | "--help" | "-h" => print!("{HELP}"),
        "setup" => setup::run()?,
        "driver" => driver::command(rest)?,
        "windows-cli" => {
            setup::run()?;
            println!("{}", user_mode::windows_program("sluice-cli", "sluice")?.display());
        }
        "demo" => end_to_end::run(Mode::Demo, false, &[])?,
        "e2e" => {
            let (long, only): (Vec<_>, Vec<_>) = rest.iter().cloned().partition(|word| word == "--long");
            end_to_end::run(Mode::Test, !long.is_empty(), &only)?;
        }
        "bench" => {
            setup::run()?;
            command::run(cargo_run("release", "sluice-bench").args(rest))?;
        }
        "fuzz" => {
            command::run(Command::new("sh").current_dir(paths::root()).arg("tests/fuzz/run.sh").args(rest))?
        }
        "conformance" => {
            setup::run()?;
            test::conformance(rest)?;
        }
        "virtio" => {
            setup::run()?;
            test::virtio()?;
        }
        "c-miniport" => {
            setup::run()?;
            test::c_miniport()?;
        }
        "sim" => command::run(cargo_run("sim", "sluice-sim").args(rest))?,
        "test" => test::run(rest)?,
        other => bail!("there is no command {other:?}; ./x help lists them"),
    }
    Ok(())
}

/// A program of the workspace, built and run; its arguments are to follow.
fn cargo_run(profile: &str, package: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(paths::root()).args([
        "run",
        "--quiet",
        "--profile",
        profile,
        "--package",
        package,
        "--",
    ]);
    cargo
}
