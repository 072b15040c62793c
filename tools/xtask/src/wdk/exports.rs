//! The names that a real NT kernel exports on x64.
//!
//! Two sources, both outside Sluice's control: mingw-w64's import libraries, which list what Windows' own images
//! export, and `tools/wdk/newer-exports.txt`, a reviewed list of what mingw-w64's release is too old to know. Wine's
//! kernel is no source: it exports names that no x64 Windows does (KeQueryTickCount, KeInitializeSpinLock, ...).

use crate::{command, paths};
use anyhow::{Context, Result, bail};
use std::{collections::BTreeSet, fs, process::Command};

const LIBRARIES: &str = "/usr/x86_64-w64-mingw32/lib";

/// Images a driver may import from, with mingw-w64's name for the import library.
pub(crate) const IMAGES: &[(&str, &str)] =
    &[("ntoskrnl.exe", "ntoskrnl"), ("hal.dll", "hal"), ("wmilib.sys", "wmilib")];

/// The exports of one of [`IMAGES`], without regard to case. An image that is not listed is an error.
pub(crate) fn of(image: &str) -> Result<BTreeSet<String>> {
    let known = IMAGES.iter().find(|(name, _)| name.eq_ignore_ascii_case(image));
    let (name, library) = known.with_context(|| format!("no list of exports for {image}"))?;
    let symbols = command::output(Command::new("llvm-nm-19").arg(format!("{LIBRARIES}/lib{library}.a")))?;
    let mut names: BTreeSet<String> =
        symbols.lines().filter_map(|line| Some(line.split_once("__imp_")?.1.to_owned())).collect();
    if names.is_empty() {
        bail!("mingw-w64's import library for {name} holds no names");
    }
    if *name == "ntoskrnl.exe" {
        let path = paths::root().join("tools/wdk/newer-exports.txt");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        names.extend(newer(&text)?);
    }
    Ok(names)
}

/// The names of `newer-exports.txt`. Each must say which version of Windows brought it and where that is written.
fn newer(text: &str) -> Result<Vec<String>> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [name, _version, _source, ..] => Ok(name.to_owned()),
            _ => bail!("newer-exports.txt: {line:?} lacks a version or a source"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_export_must_name_version_and_source() {
        assert_eq!(newer("# x\n\nExA 10-2004 learn.microsoft.com\n").unwrap(), ["ExA"]);
        assert!(newer("ExA 10-2004\n").is_err());
    }

    #[test]
    fn known_exports_are_there_and_inventions_are_not() {
        let kernel = of("NTOSKRNL.EXE").unwrap();
        assert!(kernel.contains("IoCreateDevice") && kernel.contains("memcpy"));
        assert!(!kernel.contains("KeQueryTickCount"), "a name of 32-bit Windows");
        assert!(of("msvcrt.dll").is_err());
    }
}
