//! `wdk-build` on a host that is not Windows.
//!
//! The crate refuses for three reasons: it depends on the crate `windows` everywhere (to read the registry), two of
//! its functions are `compile_error!` elsewhere, and it makes symbolic links by Windows' own call. This takes the crate
//! as cargo fetched it, makes those edits in a copy, and fails if one of them no longer fits.

use crate::{command, paths};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::{fs, process::Command};

struct Edit {
    file: &'static str,
    from: &'static str,
    to: &'static str,
    /// How often `from` stands there.
    times: usize,
}

const EDITS: &[Edit] = &[
    Edit {
        file: "Cargo.toml",
        from: "[dependencies.windows]",
        to: "[target.'cfg(windows)'.dependencies.windows]",
        times: 1,
    },
    Edit {
        file: "src/utils.rs",
        from: "\nuse windows::{",
        to: "\n#[cfg(windows)]\nuse windows::{",
        times: 1,
    },
    Edit {
        file: "src/utils.rs",
        from: "    if let Some(path) = read_registry",
        to: "    #[cfg(windows)]\n    if let Some(path) = read_registry",
        times: 2,
    },
    Edit {
        file: "src/utils.rs",
        from: "\nfn read_registry",
        to: "\n#[cfg(windows)]\nfn read_registry",
        times: 1,
    },
    Edit { file: "src/utils.rs", from: "compile_error!(", to: "unreachable!(", times: 2 },
    Edit {
        file: "src/cargo_make.rs",
        from: "std::os::windows::fs::symlink_file",
        to: "std::os::unix::fs::symlink",
        times: 2,
    },
];

/// The folder of the edited copy. It is written again only when the crate that cargo fetched is another.
pub(crate) fn edited() -> Result<PathBuf> {
    let fetched = fetched()?;
    let version = fetched.file_name().context("the crate's folder has a name")?;
    let copy = paths::target().join("wdk-build").join(version);
    let done = copy.join(".edited");
    if !done.exists() {
        let _ = fs::remove_dir_all(&copy);
        copy_tree(&fetched, &copy)?;
        for edit in EDITS {
            let path = copy.join(edit.file);
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            fs::write(&path, apply(&text, edit)?)?;
        }
        fs::write(done, "")?;
    }
    Ok(copy)
}

fn apply(text: &str, edit: &Edit) -> Result<String> {
    let text = text.replace("\r\n", "\n");
    let found = text.matches(edit.from).count();
    if found != edit.times {
        bail!("wdk-build changed: {:?} stands {found} times in {}, not {}", edit.from, edit.file, edit.times);
    }
    Ok(text.replace(edit.from, edit.to))
}

/// Where cargo put the crate that Cargo.lock names.
fn fetched() -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(paths::root()).args(["metadata", "--format-version=1", "--locked"]);
    let metadata: serde_json::Value = serde_json::from_str(&command::output(&mut cargo)?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let package =
        packages.iter().find(|package| package["name"] == "wdk-build").context("wdk-build is not locked")?;
    let manifest = package["manifest_path"].as_str().context("wdk-build has no manifest")?;
    Ok(Path::new(manifest).parent().context("a manifest lies in a folder")?.to_owned())
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_that_no_longer_fits_is_an_error() {
        let edit = Edit { file: "f", from: "a\nb", to: "c", times: 1 };
        assert_eq!(apply("a\r\nb\r\n", &edit).unwrap(), "c\n");
        assert!(apply("a b", &edit).is_err());
        assert!(apply("a\nb a\nb", &edit).is_err());
    }
}
