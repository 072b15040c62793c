//! `./x demo` and `./x e2e`: builds everything that the end-to-end runner needs, and runs it.

use crate::{driver, paths, setup, test, user_mode};
use anyhow::{Result, bail};
use sluice_e2e::{Mode, Options, Products};

/// Builds and runs. `long` fails every single allocation of the driver in turn.
/// `only`: parts of it, by name.
pub(crate) fn run(mode: Mode, long: bool, only: &[String]) -> Result<()> {
    eprintln!("x: setting up");
    setup::run()?;
    eprintln!("x: building the sluice command");
    let command = user_mode::linux_command()?;
    eprintln!("x: building sluice.exe and the test program for Windows");
    let windows_command = user_mode::windows_program("sluice-cli", "sluice")?;
    let client = user_mode::windows_program("sluice-e2e-client", "e2e-client")?;
    eprintln!("x: building sluice.sys (the first time takes some minutes)");
    let product = driver::build(&driver::SLUICE, driver::Arch::X64, "release")?;
    eprintln!("x: building the miniports in C");
    let miniports = Some(test::build_c_miniports()?);
    let products = Products { driver: Some(product.image), command, windows_command, miniports, client };
    let work = paths::target().join("e2e");
    let options =
        Options { mode, root: paths::root().to_path_buf(), work, products, long, only: only.to_vec() };
    match sluice_e2e::run(&options).failed {
        0 => Ok(()),
        failed => bail!("{failed} end-to-end checks failed"),
    }
}
