//! Programs for user mode: the `sluice` command for Linux, and Win64 programs that Wine runs.

use crate::{command, paths};
use anyhow::Result;
use std::{path::PathBuf, process::Command};

/// The `sluice` command for this system, optimized: Argon2id is slow enough as it is.
pub(crate) fn linux_command() -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(paths::root()).args(["build", "--quiet", "--release", "--package", "sluice-cli"]);
    command::run(&mut cargo)?;
    Ok(paths::target().join("release/sluice"))
}

/// A Win64 console program: `target/windows/x86_64-pc-windows-gnu/release/<name>.exe`.
///
/// `std` comes from Debian's rust-web-src, built by the compiler it goes with, and mingw-w64 links.
pub(crate) fn windows_program(package: &str, name: &str) -> Result<PathBuf> {
    const TRIPLE: &str = "x86_64-pc-windows-gnu";
    let target = paths::target().join("windows");
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(paths::root())
        .args(["build", "--quiet", "--release", "--package", package, "--target", TRIPLE])
        .args(["-Zbuild-std=std,panic_abort", "--target-dir"])
        .arg(&target)
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", "x86_64-w64-mingw32-gcc")
        .env_remove("RUSTFLAGS");
    command::run(&mut cargo)?;
    Ok(target.join(TRIPLE).join("release").join(format!("{name}.exe")))
}
