//! `./x driver`: builds a WDM driver written in Rust for Windows, and checks what came out.

mod build;

use crate::setup;
use anyhow::{Context, Result, bail};
pub(crate) use build::{Arch, Crate, build};

/// The product.
pub(crate) const SLUICE: Crate = Crate { package: "sluice-kernel", library: "sluice" };

/// `./x driver [--arch x64|arm64] [--profile release|dev]`
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let mut arch = Arch::X64;
    let mut profile = "release".to_owned();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--arch" => arch = Arch::parse(value()?)?,
            "--profile" => profile = value()?.clone(),
            other => bail!("./x driver does not know {other:?}"),
        }
    }
    setup::run()?;
    let product = build(&SLUICE, arch, &profile)?;
    println!("{}", product.image.display());
    Ok(())
}
