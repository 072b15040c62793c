//! A real NTFS file system in a file, filled with real files, and checked by
//! the NTFS tools.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Result};

/// Stands in the file system, and nowhere on the raw disk.
pub(crate) const MARKER: &str = "SLUICE-PLAINTEXT: whoever reads this on the raw disk has found a leak.\n";

/// Most files to take from the repository.
const MOST: usize = 300;
/// Bytes of the one large file.
const LARGE: usize = 8 << 20;

fn tool(name: &str, args: &[&str]) -> Result<Vec<u8>> {
    let out = Command::new(name)
        .args(args)
        .output()
        .map_err(|e| Error::new(format!("{name}: {e} (package ntfs-3g)")))?;
    if out.status.success() {
        return Ok(out.stdout);
    }
    Err(Error::new(format!("{name} {args:?}: {}", String::from_utf8_lossy(&out.stderr))))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::new("a path is not UTF-8"))
}

/// Sources and documents of the repository, in a fixed order.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["docs", "driver", "compat-shim", "tools", "tests", "inf"].iter().map(|f| root.join(f)).collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            let known = path
                .extension()
                .is_some_and(|e| ["rs", "md", "c", "h", "toml", "sh", "inf"].iter().any(|k| e == *k));
            if path.is_dir() && path.file_name().is_some_and(|n| n != "target") {
                folders.push(path);
            } else if known {
                found.push(path);
            }
        }
    }
    found.sort();
    found.truncate(MOST);
    Ok(found)
}

/// What lies in the file system: name there, contents.
pub(crate) struct Contents(Vec<(String, Vec<u8>)>);

impl Contents {
    /// Real files from the repository, the marker, and a large file.
    pub(crate) fn gather(root: &Path) -> Result<Contents> {
        let mut files = vec![("marker.txt".to_owned(), MARKER.repeat(200).into_bytes())];
        let mut large = String::with_capacity(LARGE + 64);
        for line in 0.. {
            if large.len() >= LARGE {
                break;
            }
            // Writing to a string cannot fail.
            let _ = writeln!(
                large,
                "line {line:07} of the large file, check {:016x}",
                (line as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            );
        }
        files.push(("large.txt".to_owned(), large.into_bytes()));
        for path in sources(root)? {
            let inside = path.strip_prefix(root).map_err(|e| Error::new(e.to_string()))?;
            files.push((text(inside)?.replace('/', "_"), fs::read(&path)?));
        }
        Ok(Contents(files))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, c)| c.len()).sum()
    }

    /// A file system image of `size` bytes with everything in it.
    pub(crate) fn write_image(&self, image: &Path, size: u64, sector: u32, scratch: &Path) -> Result<()> {
        let _ = fs::remove_file(image);
        fs::File::create(image)?.set_len(size)?;
        let sector = sector.to_string();
        tool(
            "mkntfs",
            &["-F", "-q", "-Q", "-s", &sector, "-p", "0", "-H", "0", "-S", "0", "-L", "Sluice", text(image)?],
        )?;
        for (name, contents) in &self.0 {
            fs::write(scratch, contents)?;
            tool("ntfscp", &["-f", "-q", text(image)?, text(scratch)?, name])?;
        }
        fs::remove_file(scratch)?;
        Ok(())
    }

    /// Names that are missing, or whose contents differ, in the image.
    pub(crate) fn differences(&self, image: &Path) -> Result<Vec<String>> {
        let listing = String::from_utf8_lossy(&tool("ntfsls", &["-f", text(image)?])?).into_owned();
        let names: Vec<&str> = listing.lines().collect();
        let mut wrong = Vec::new();
        for (name, contents) in &self.0 {
            if !names.contains(&name.as_str()) || tool("ntfscat", &["-f", text(image)?, name])? != *contents {
                wrong.push(name.clone());
            }
        }
        Ok(wrong)
    }
}

/// `ntfsfix -n`: consistent without a repair?
pub(crate) fn check(image: &Path) -> Result<String> {
    tool("ntfsfix", &["-n", text(image)?]).map(|out| String::from_utf8_lossy(&out).into_owned())
}
