//! What must hold of a driver before it is called a product. One function a check; all run, all are reported.

mod exports;
mod extended_state;
mod headers;
mod imports;
mod stack;
mod symbols;

use super::{build::Arch, pe::Image};
use anyhow::{Context, Result, bail};
use std::{fs, path::PathBuf};

/// A driver under examination.
pub(crate) struct Subject {
    pub(crate) arch: Arch,
    pub(crate) image: Image,
    pub(crate) path: PathBuf,
    pub(crate) symbols: PathBuf,
    /// The folder of its reviewed lists: `imports.txt` and `extended-state.txt`.
    pub(crate) lists: PathBuf,
}

impl Subject {
    pub(crate) fn new(arch: Arch, path: PathBuf, symbols: PathBuf, lists: PathBuf) -> Result<Self> {
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(Self { arch, image: Image::new(bytes)?, path, symbols, lists })
    }

    /// The lines of a reviewed list, without comments and blank lines.
    fn list(&self, name: &str) -> Result<Vec<String>> {
        let path = self.lists.join(name);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(lines.map(str::to_owned).collect())
    }
}

/// A check finds something worth a line, or says why the driver fails.
type Check = fn(&Subject) -> Result<String>;

const CHECKS: &[(&str, Check)] = &[
    ("machine", headers::machine),
    ("subsystem", headers::subsystem),
    ("entry point", headers::entry_point),
    ("sections", headers::sections),
    ("mitigations", headers::mitigations),
    ("checksum", headers::checksum),
    ("imports reviewed", imports::reviewed),
    ("imports exist", imports::exist),
    ("no C runtime", imports::no_c_runtime),
    ("exports", exports::complete),
    ("symbols", symbols::matching),
    ("no machine paths", symbols::no_machine_paths),
    ("extended state", extended_state::untouched),
    ("stack frames", stack::frames),
];

/// Runs every check and prints a line for each. Fails if one does.
pub(crate) fn run(subject: &Subject) -> Result<()> {
    let mut failed = 0;
    for (name, check) in CHECKS {
        match check(subject) {
            Ok(found) => println!("  ok    {name:<18} {found}"),
            Err(error) => {
                failed += 1;
                println!("  FAIL  {name:<18} {error:#}");
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} checks of {} failed", CHECKS.len(), subject.path.display());
    }
    Ok(())
}

pub(crate) use imports::accept;
