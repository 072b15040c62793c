//! What the image exports: the port's functions, each once, for miniports that are linked to it; and the import library by
//! which they are.

use super::Subject;
use crate::command;
use anyhow::{Result, bail};
use sluice_port::exports;
use std::{collections::BTreeSet, fs, process::Command};

/// Beside the port's functions: the entry points, and what compilers and the C parts call by name, which the linker
/// exports with them. No miniport is given those.
const OTHERS: &[&str] = &[
    "DllInitialize",
    "DllUnload",
    "DriverEntry",
    "__CxxFrameHandler3",
    "__CxxFrameHandler4",
    "__GSHandlerCheck_EH4",
    "_fltused",
    "calloc",
    "free",
    "malloc",
];

/// The exports are those of the tables, and the import library is written beside the image.
pub(super) fn complete(subject: &Subject) -> Result<String> {
    // Not by the crate that reads the rest: it takes lld's table, which counts its names apart, for cut off.
    let listed = command::output(Command::new("llvm-readobj-19").arg("--coff-exports").arg(&subject.path))?;
    let found: BTreeSet<String> =
        listed.lines().filter_map(|line| line.strip_prefix("  Name: ")).map(str::to_owned).collect();
    let wanted: BTreeSet<String> = exports::all().map(|export| export.name.to_owned()).collect();
    let missing: Vec<&String> = wanted.difference(&found).collect();
    let strange: Vec<&String> =
        found.difference(&wanted).filter(|name| !OTHERS.contains(&name.as_str())).collect();
    if !missing.is_empty() || !strange.is_empty() {
        bail!("missing: {missing:?}; not in the tables: {strange:?}");
    }
    let definitions = subject.path.with_extension("def");
    fs::write(&definitions, exports::document::definitions("sluice.sys"))?;
    let machine = match subject.arch {
        crate::driver::Arch::X64 => "i386:x86-64",
        crate::driver::Arch::Arm64 => "arm64",
    };
    let library = subject.path.with_extension("lib");
    let mut dlltool = Command::new("llvm-dlltool-19");
    command::run(dlltool.args(["-m", machine, "-d"]).arg(&definitions).arg("-l").arg(&library))?;
    Ok(format!("{} functions of the port; {}", wanted.len(), library.display()))
}
