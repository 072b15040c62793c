//! `./x driver`: builds a WDM driver written in Rust for Windows, and checks what came out.

mod build;
mod catalog;
mod checks;
mod pe;
mod sign;

use crate::{command, paths, setup};
use anyhow::{Context, Result, bail};
pub(crate) use build::{Arch, Crate, build};
use std::{fs, process::Command};

/// The product.
pub(crate) const SLUICE: Crate = Crate { package: "sluice-kernel", library: "sluice" };

/// What `./x driver` is asked.
struct Wishes {
    arch: Arch,
    profile: String,
    accept_imports: bool,
    deterministic: bool,
}

/// `./x driver [--arch x64|arm64] [--profile release|dev] [--accept-imports] [--check-deterministic]`
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let wishes = parse(arguments)?;
    setup::run()?;
    let product = build(&SLUICE, wishes.arch, &wishes.profile)?;
    let lists = paths::root().join("driver/kernel");
    let subject = checks::Subject::new(wishes.arch, product.image.clone(), product.symbols.clone(), lists)?;
    if wishes.accept_imports {
        checks::accept(&subject)?;
    }
    println!("{}", product.image.display());
    checks::run(&subject)?;
    if wishes.deterministic {
        check_deterministic(&wishes, &product)?;
    }
    sign::sign(&product, wishes.arch)
}

fn parse(arguments: &[String]) -> Result<Wishes> {
    let mut wishes = Wishes {
        arch: Arch::X64,
        profile: "release".to_owned(),
        accept_imports: false,
        deterministic: false,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--arch" => wishes.arch = Arch::parse(value()?)?,
            "--profile" => wishes.profile = value()?.clone(),
            "--accept-imports" => wishes.accept_imports = true,
            "--check-deterministic" => wishes.deterministic = true,
            other => bail!("./x driver does not know {other:?}"),
        }
    }
    Ok(wishes)
}

/// Compiles and links all of Sluice's own crates a second time: image and symbols must be the same to the byte. (That
/// they do not depend on the folder either is the check "no machine paths".)
fn check_deterministic(wishes: &Wishes, product: &build::Product) -> Result<()> {
    let files = [&product.image, &product.symbols];
    let first = files.map(fs::read);
    let mut clean = Command::new("cargo");
    clean.current_dir(paths::root()).args(["clean", "--quiet", "--target-dir"]).arg(build::cargo_target());
    clean.args(["--target", wishes.arch.triple(), "--profile", &wishes.profile]);
    for package in [
        "chain",
        "xts",
        "polyval",
        "engine",
        "mapped",
        "control",
        "shim",
        "miniport-lower",
        "miniport-mapped",
        "miniport-ram",
        "kernel",
    ] {
        clean.arg("--package").arg(format!("sluice-{package}"));
    }
    command::run(&mut clean)?;
    build(&SLUICE, wishes.arch, &wishes.profile)?;
    for (path, before) in files.into_iter().zip(first) {
        if before? != fs::read(path)? {
            bail!("built twice, {} differs", path.display());
        }
    }
    println!("  ok    deterministic      image and symbols, built twice");
    Ok(())
}
