//! Puts together the WDK-shaped folder: see `tools/wdk/README.md`.

use super::exports;
use crate::{command, paths};
use anyhow::{Context, Result};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{fs, process::Command};

/// The version that the folder claims: the WDK that `build.ps1` names as the oldest it was written for.
pub(crate) const VERSION: &str = "10.0.22621.0";

const MINGW: &str = "/usr/share/mingw-w64/include";

/// Makes the folder anew and returns it. A fraction of a second, so there is no question of it being stale.
pub(crate) fn assemble() -> Result<PathBuf> {
    let folder = paths::target().join("wdk");
    let fresh = paths::target().join(format!("wdk.{}", std::process::id()));
    include(&fresh.join("Include").join(VERSION))?;
    libraries(&fresh.join("Lib").join(VERSION).join("km"))?;
    // A file of the same content keeps its date, so that an unchanged folder rebuilds nothing.
    if !same(&fresh, &folder)? {
        let _ = fs::remove_dir_all(&folder);
        fs::rename(&fresh, &folder).with_context(|| folder.display().to_string())?;
    } else {
        fs::remove_dir_all(&fresh)?;
    }
    Ok(folder)
}

/// `km/crt` comes first on wdk-build's include path: our headers lie there and take mingw-w64's in with include_next.
fn include(folder: &Path) -> Result<()> {
    let km = folder.join("km");
    fs::create_dir_all(&km)?;
    symlink(paths::root().join("tools/wdk/km"), km.join("crt"))?;
    for entry in fs::read_dir(format!("{MINGW}/ddk")).context("mingw-w64's DDK headers")? {
        let header = entry?;
        symlink(header.path(), km.join(header.file_name()))?;
    }
    symlink(MINGW, folder.join("shared"))?;
    Ok(())
}

fn libraries(folder: &Path) -> Result<()> {
    for (arch, machine) in [("x64", "i386:x86-64"), ("ARM64", "arm64")] {
        let folder = folder.join(arch);
        fs::create_dir_all(&folder)?;
        for (image, library) in exports::IMAGES {
            let names: Vec<String> = exports::of(image)?.into_iter().collect();
            let definition = folder.join(format!("{library}.def"));
            fs::write(&definition, format!("LIBRARY {image}\nEXPORTS\n{}\n", names.join("\n")))?;
            let mut tool = Command::new("llvm-dlltool-19");
            tool.args(["-m", machine]).arg("-d").arg(&definition).arg("-l");
            command::output(tool.arg(folder.join(format!("{library}.lib"))))?;
        }
        // wdk-build links the code that checks /GS cookies, and for ARM64 a runtime. Neither rustc nor clang emits
        // calls to them here: empty archives do.
        for empty in ["BufferOverflowFastFailK.lib", "arm64rt.lib"] {
            command::output(Command::new("llvm-ar-19").arg("rc").arg(folder.join(empty)))?;
        }
    }
    Ok(())
}

/// Whether two folders hold the same files. Links are compared by where they lead.
fn same(one: &Path, other: &Path) -> Result<bool> {
    let Ok(kind) = fs::symlink_metadata(other) else { return Ok(false) };
    let is = fs::symlink_metadata(one)?;
    if is.is_symlink() {
        return Ok(kind.is_symlink() && fs::read_link(one)? == fs::read_link(other)?);
    }
    if is.is_file() {
        return Ok(kind.is_file() && fs::read(one)? == fs::read(other)?);
    }
    let names = |folder: &Path| -> Result<Vec<_>> {
        let mut names =
            fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    };
    let ours = names(one)?;
    if !kind.is_dir() || ours != names(other)? {
        return Ok(false);
    }
    for name in ours {
        if !same(&one.join(&name), &other.join(&name))? {
            return Ok(false);
        }
    }
    Ok(true)
}
