//! `./x test`: everything that CI runs, step by step. A step that fails does not stop those after it.

use crate::{command, driver, end_to_end, paths, setup};
use anyhow::{Result, bail};
use sluice_e2e::Mode;
use std::{
    process::Command,
    time::{Duration, Instant},
};

/// What is run: a title, and what does it.
type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("set-up", setup::run),
    ("format of the sources", || cargo(&["fmt", "--all", "--check"])),
    ("clippy", || cargo(&["clippy", "--quiet", "--all-targets", "--", "--deny", "warnings"])),
    ("unit and integration tests", || cargo(&["test", "--quiet"])),
    ("VAES against OpenSSL", || {
        cargo(&["test", "--quiet", "--release", "--package", "sluice-xts", "--features", "vaes"])
    }),
    ("XTS in software alone", || {
        let software = "build.rustflags=[\"--cfg\", \"aes_force_soft\"]";
        cargo(&[
            "test",
            "--quiet",
            "--package=sluice-xts",
            "--target-dir=target/software",
            "--config",
            software,
        ])
    }),
    ("sluice.sys and its checks", || driver::command(&["--check-deterministic".into()])),
    ("sluice.sys on the kernel that counts its instructions", || {
        let words = ["kernel-driver", "driver", "write", "target/driver/x64/sluice.sys", "1000"];
        cargo(&[&["run", "--quiet", "--package", "sluice-bench", "--"], &words[..]].concat())
    }),
    ("sluice.sys for ARM64 links", || driver::command(&["--arch".into(), "arm64".into()])),
    ("the verifier catches rule-breaking drivers", || {
        script("tests/e2e/wine/breakers/run.sh", &["target/breakers"])
    }),
    ("end to end under Wine", || end_to_end::run(Mode::Test, false, &[])),
    ("real clients and file systems", || conformance(&[])),
    ("virtio-blk on QEMU's device", virtio),
    ("miniports in C", c_miniport),
    ("simulated crashes, a short slice", || simulator(&["--seconds", "40"])),
    ("the simulator finds deliberate mistakes", || simulator(&["mutants", "--seconds", "120"])),
    ("fuzzing, a short slice", || script("tests/fuzz/run.sh", &["5"])),
];

/// Runs all steps, or those whose title contains one of `wanted`.
pub(crate) fn run(wanted: &[String]) -> Result<()> {
    let chosen = STEPS
        .iter()
        .filter(|(title, _)| wanted.is_empty() || wanted.iter().any(|w| title.contains(w.as_str())));
    let mut results: Vec<(&str, Duration, Result<()>)> = Vec::new();
    for (title, step) in chosen {
        println!("\n==== {title}");
        let start = Instant::now();
        let result = step();
        if let Err(error) = &result {
            println!("{error:#}");
        }
        results.push((title, start.elapsed(), result));
    }
    println!("\n==== Summary");
    for (title, time, result) in &results {
        let verdict = if result.is_ok() { "ok  " } else { "FAIL" };
        println!("{verdict}  {:>6.1} s  {title}", time.as_secs_f64());
    }
    let failed = results.iter().filter(|(_, _, result)| result.is_err()).count();
    println!("\n{} passed, {failed} failed", results.len() - failed);
    if failed > 0 {
        bail!("{failed} steps failed");
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<()> {
    command::run(Command::new("cargo").current_dir(paths::root()).args(arguments))
}

/// All tests, or those whose names contain one of `wanted`. What is served is built first: the tests look for it beside
/// themselves.
pub(crate) fn conformance(wanted: &[String]) -> Result<()> {
    cargo(&["build", "--quiet", "--package", "sluice-cli", "--package", "sluice-nbd"])?;
    cargo(&[
        "clippy",
        "--quiet",
        "--package",
        "sluice-conformance",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ])?;
    let test = ["test", "--quiet", "--package", "sluice-conformance", "--no-fail-fast", "--"];
    cargo(&[&test[..], &wanted.iter().map(String::as_str).collect::<Vec<_>>()].concat())
}

/// The virtio-blk miniport on the device of a process that `cargo test` alone does not expect to be installed.
pub(crate) fn virtio() -> Result<()> {
    let package = "--package=sluice-vhost-user";
    cargo(&["clippy", "--quiet", package, "--all-targets", "--", "--deny", "warnings"])?;
    cargo(&["test", "--quiet", package, "--no-fail-fast"])
}

/// The miniports in C. For Windows they are built and linked to the names that `sluice.sys` exports; for this system they are
/// hosted as they are.
pub(crate) fn c_miniport() -> Result<()> {
    let package = "--package=sluice-c-miniport";
    cargo(&["clippy", "--quiet", package, "--all-targets", "--", "--deny", "warnings"])?;
    build_c_miniports()?;
    cargo(&["test", "--quiet", package, "--no-fail-fast"])
}

/// Builds them for Windows; answers the folder.
pub(crate) fn build_c_miniports() -> Result<std::path::PathBuf> {
    let package = "--package=sluice-c-miniport";
    let mut definitions = Command::new("cargo");
    definitions.current_dir(paths::root()).args(["run", "--quiet", package, "--bin", "definitions"]);
    let out = paths::target().join("c-miniport");
    std::fs::create_dir_all(&out)?;
    let list = out.join("sluice.def");
    std::fs::write(&list, command::output(&mut definitions)?)?;
    let list = list.to_string_lossy();
    script("tests/c-miniport/build.sh", &[&list, "target/c-miniport"])?;
    Ok(out)
}

fn simulator(arguments: &[&str]) -> Result<()> {
    command::run(crate::cargo_run("sim", "sluice-sim").args(arguments))
}

fn script(path: &str, arguments: &[&str]) -> Result<()> {
    command::run(Command::new("sh").current_dir(paths::root()).arg(path).args(arguments))
}
