//! `./x setup`: everything the other commands need, by apt, on Debian 12.

use crate::command;
use anyhow::{Context, Result, bail};
use std::process::Command;

/// Package, and a file it brings. The file tells whether it is there, however it got there.
const PACKAGES: &[(&str, &str)] = &[
    ("rustc-web", "/usr/bin/rustc"), // the compiler that rust-web-src goes with
    ("rust-web-src", "/usr/lib/rustlib/src/rust/library/core/Cargo.toml"),
    ("clang-19", "/usr/bin/clang-19"),
    ("lld-19", "/usr/bin/lld-link-19"),
    ("llvm-19", "/usr/bin/llvm-pdbutil-19"),
    ("libclang-19-dev", "/usr/lib/llvm-19/lib/libclang.so"),
    ("gcc-mingw-w64-x86-64", "/usr/bin/x86_64-w64-mingw32-gcc"),
    ("mingw-w64-x86-64-dev", "/usr/share/mingw-w64/include/ddk/ntifs.h"),
    ("wine64", "/usr/lib/wine/wine64"),
    ("osslsigncode", "/usr/bin/osslsigncode"),
    ("ntfs-3g", "/usr/sbin/mkfs.ntfs"),
    ("nbdkit", "/usr/bin/nbdkit"),
    ("libnbd0", "/usr/lib/x86_64-linux-gnu/libnbd.so.0"),
    ("libnbd-bin", "/usr/bin/nbdcopy"),
    ("nbdfuse", "/usr/bin/nbdfuse"),
    ("python3-libnbd", "/usr/lib/python3/dist-packages/nbd.py"),
    ("fio", "/usr/bin/fio"),
    ("qemu-utils", "/usr/bin/qemu-io"),
    ("qemu-system-common", "/usr/bin/qemu-storage-daemon"),
    ("btrfs-progs", "/usr/sbin/mkfs.btrfs"),
    ("zstd", "/usr/bin/zstd"),
    ("e2fsprogs", "/usr/sbin/mke2fs"),
    ("fuse3", "/usr/bin/fusermount3"),
    ("fuse2fs", "/usr/bin/fuse2fs"),
    ("python3-prometheus-client", "/usr/lib/python3/dist-packages/prometheus_client/parser.py"),
    ("chromium-headless-shell", "/usr/bin/chromium-headless-shell"),
    ("fonts-dejavu-core", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
    ("valgrind", "/usr/bin/valgrind"),
    ("openssl", "/usr/bin/openssl"),
    ("libssl-dev", "/usr/include/openssl/ssl.h"),
    ("pkg-config", "/usr/bin/pkg-config"),
];

/// Installed where no other toolchain brings the command that stands second.
const UNLESS_COMMAND: &[(&str, &str)] = &[("rustfmt-web", "cargo-fmt"), ("rust-clippy-web", "cargo-clippy")];

/// Installs what is missing; a few milliseconds when nothing is.
pub(crate) fn run() -> Result<()> {
    let mut missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_debian_12() {
        bail!("missing: {}. Set-up knows Debian 12 only; install these by hand elsewhere", missing.join(" "));
    }
    apt(&["update", "-qq"]).context("the package lists could not be fetched")?;
    let optional = UNLESS_COMMAND.iter().filter(|(package, tool)| !on_path(tool) && is_available(package));
    missing.extend(optional.map(|(package, _)| *package));
    eprintln!("x: installing {}", missing.join(" "));
    apt(&[&["install", "-qq", "-y", "--no-install-recommends"], missing.as_slice()].concat())?;
    match self::missing() {
        left if left.is_empty() => Ok(()),
        left => bail!("apt-get succeeded, yet these are still missing: {}", left.join(" ")),
    }
}

fn missing() -> Vec<&'static str> {
    let there = |file: &str| std::path::Path::new(file).exists();
    PACKAGES.iter().filter(|(_, file)| !there(file)).map(|(package, _)| *package).collect()
}

fn is_debian_12() -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| line == "ID=debian") && release.contains("VERSION_ID=\"12\"")
}

fn is_available(package: &str) -> bool {
    command::output(Command::new("apt-cache").args(["show", "--no-all-versions", package])).is_ok()
}

/// Whether a command of this name is on the search path.
pub(crate) fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

fn apt(arguments: &[&str]) -> Result<()> {
    let root = command::output(Command::new("id").arg("-u"))?.trim() == "0";
    if !root && !on_path("sudo") {
        bail!("installing packages needs root: run ./x setup as root, or install sudo");
    }
    let mut command = if root { Command::new("env") } else { Command::new("sudo") };
    command::output(command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments)).map(drop)
}
