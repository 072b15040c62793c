//! The PDB: there, of this image, and the same wherever it was built.

use super::Subject;
use crate::{command, paths};
use anyhow::{Context, Result, ensure};
use object::Object;
use std::path::Path;
use std::process::Command;

/// The PDB's GUID and age are those that the image asks for, under a name without a folder.
pub(super) fn matching(subject: &Subject) -> Result<String> {
    let image = subject.image.parse()?;
    let wanted = image.pdb_info()?.context("the image names no PDB")?;
    let name = String::from_utf8_lossy(wanted.path());
    ensure!(subject.symbols.file_name().is_some_and(|file| *file == *name), "the image asks for {name:?}");
    let mut tool = Command::new("llvm-pdbutil-19");
    let summary = command::output(tool.args(["dump", "--summary"]).arg(&subject.symbols))?;
    let field = |name: &str| summary.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let guid = guid(&wanted.guid());
    ensure!(field("GUID:") == Some(&*guid), "the image asks for {guid}, the PDB is {:?}", field("GUID:"));
    ensure!(field("Age:") == Some(&*wanted.age().to_string()), "the PDB has another age");
    Ok(format!("{name} {guid}"))
}

/// The address in the image of a public symbol.
pub(super) fn public(subject: &Subject, name: &str) -> Result<u32> {
    let mut tool = Command::new("llvm-pdbutil-19");
    let dump = command::output(tool.args(["dump", "--publics"]).arg(&subject.symbols))?;
    let mut lines =
        dump.lines().skip_while(|line| !(line.contains("S_PUB32") && line.contains(&format!("`{name}`"))));
    // `flags = function, addr = 0001:4096`: section from one, offset, in decimal.
    let place = lines
        .nth(1)
        .and_then(|line| line.split_once("addr = "))
        .with_context(|| format!("no symbol {name}"))?
        .1;
    let (section, offset) = place.split_once(':').context("an address without a section")?;
    let index: usize = section.trim().parse()?;
    let image = subject.image.parse()?;
    let section = image.section_table().iter().nth(index.checked_sub(1).context("section zero")?);
    let start = section.context("a section that is not there")?.virtual_address.get(object::LittleEndian);
    Ok(start + offset.trim().parse::<u32>()?)
}

/// Neither the image nor the PDB names a folder of the machine that built it.
pub(super) fn no_machine_paths(subject: &Subject) -> Result<String> {
    let home = std::env::var("HOME").unwrap_or_default();
    let forbidden =
        [paths::root().display().to_string(), format!("{home}/.cargo"), format!("{home}/.rustup")];
    for file in [&subject.path, &subject.symbols] {
        let bytes = std::fs::read(file)?;
        for path in &forbidden {
            ensure!(!contains(&bytes, path.as_bytes()), "{} names {path}", short(file));
        }
    }
    Ok("in image and PDB".to_owned())
}

fn short(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// As LLVM's tools print it: the first three fields are little-endian numbers.
fn guid(b: &[u8; 16]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    let reversed = |bytes: &[u8]| hex(&bytes.iter().rev().copied().collect::<Vec<_>>());
    let [first, second, third] = [reversed(&b[..4]), reversed(&b[4..6]), reversed(&b[6..8])];
    format!("{{{first}-{second}-{third}-{}-{}}}", hex(&b[8..10]), hex(&b[10..]))
}
