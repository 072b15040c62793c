//! What the image imports: reviewed, existing, no C runtime.

use super::Subject;
use crate::wdk::exports;
use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::{fs, path::Path};

const HEADER: &str = "\
# Every name that sluice.sys imports. A build that imports another set fails; review the difference, then write it here
# with `./x driver --accept-imports`.
";

/// The imports are exactly those of `imports.txt`.
pub(super) fn reviewed(subject: &Subject) -> Result<String> {
    let imported: BTreeSet<String> = lines(subject)?.into_iter().collect();
    let listed: BTreeSet<String> = subject.list("imports.txt")?.into_iter().collect();
    if imported == listed {
        return Ok(format!("{} names", imported.len()));
    }
    let new = imported.difference(&listed).map(|name| format!("\n          + {name}"));
    let gone = listed.difference(&imported).map(|name| format!("\n          - {name}"));
    let difference: String = new.chain(gone).collect();
    bail!("imports.txt differs; review it, then ./x driver --accept-imports{difference}")
}

/// A real NT kernel exports every one of them.
pub(super) fn exist(subject: &Subject) -> Result<String> {
    let mut of_image: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for (image, name) in subject.image.imports()? {
        if !of_image.contains_key(&image) {
            of_image.insert(image.clone(), exports::of(&image)?);
        }
        if !of_image[&image].contains(&name) {
            unknown.push(format!("{image}!{name}"));
        }
    }
    if !unknown.is_empty() {
        bail!("no known NT kernel exports {}; see tools/wdk/newer-exports.txt", unknown.join(", "));
    }
    Ok(format!("all exported by {}", of_image.into_keys().collect::<Vec<_>>().join(", ")))
}

/// Nothing of a C runtime: such images are not loaded in the kernel.
pub(super) fn no_c_runtime(subject: &Subject) -> Result<String> {
    const RUNTIMES: &[&str] =
        &["msvcr", "msvcp", "ucrtbase", "vcruntime", "api-ms-win-crt", "libgcc", "kernel32", "ntdll"];
    for (image, name) in subject.image.imports()? {
        if RUNTIMES.iter().any(|runtime| image.starts_with(runtime)) {
            bail!("{image}!{name}");
        }
    }
    Ok("none imported".to_owned())
}

/// Writes `imports.txt` anew.
pub(crate) fn accept(subject: &Subject) -> Result<()> {
    let path: &Path = &subject.lists.join("imports.txt");
    fs::write(path, format!("{HEADER}{}\n", lines(subject)?.join("\n")))?;
    Ok(())
}

fn lines(subject: &Subject) -> Result<Vec<String>> {
    let mut lines: Vec<String> =
        subject.image.imports()?.into_iter().map(|(image, name)| format!("{image}!{name}")).collect();
    lines.sort();
    Ok(lines)
}
