//! Unmounts, and cleans up what was left by a mount that did not end as it should.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::process::geteuid;
use serde_json::json;

use super::{
    disk::detach,
    look::tool,
    record::{Record, users},
    system::is_mounted,
    trouble::Trouble,
};
use crate::{args::Unmount, failure::Failure, output::Report, progress};

/// What the plugin says of a volume that it has closed, after its name.
const CLOSED: &str = ": closed";
/// Likewise, if writes have failed before.
const AFTER_LOSSES: &str = ": closed after losses";

pub(super) fn run(args: &Unmount) -> Result<Report, Failure> {
    let dir = resolve(&args.dir).map_err(|source| Failure::Open { path: args.dir.clone(), source })?;
    let record = Record::find(&dir).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::from(Trouble::NotMounted { path: dir.clone() }),
        _ => Failure::io("read", &dir, error),
    })?;
    let (head, _) = record.read().map_err(|e| Failure::io("read", &record.path, e))?;
    let lived = record.is_held();
    // Without it nothing that is written any more reaches the volume, which is closed all the same.
    let connected = users(&record.path).iter().any(|(_, name)| name == "nbdfuse");
    let mounted = is_mounted(&dir)?;
    if mounted {
        unmount(&dir)?;
    } else if lived {
        // It was never mounted wholly, or is being closed. Either way they are told to end.
        record.end_users();
    }
    // Left by a `sluice mount` that was killed.
    if let Some(folder) = head["folder"].as_str().map(Path::new).filter(|folder| folder.exists()) {
        let _ = detach(folder, true);
    }
    let bar = progress::spinner("Closing the volume");
    let waited = record.wait();
    bar.finish_and_clear();
    let said = waited.and_then(|()| record.read()).map_err(|e| Failure::io("read", &record.path, e));
    record.remove();
    let (_, mut said) = said?;
    said.retain(|line| !is_the_end_of_fuse(line));
    let count = said.len();
    if said.iter().any(|line| line.ends_with(AFTER_LOSSES)) {
        return Err(Trouble::Losses { path: dir }.into());
    }
    said.retain(|line| !line.ends_with(CLOSED));
    if said.len() == count {
        let why = said.last().filter(|_| lived).map_or("its server had ended before", String::as_str).into();
        return Err(Trouble::NotClosed { path: dir, why }.into());
    }
    if mounted && !connected {
        let why = "nbdfuse had ended before, and what was written since went nowhere".into();
        return Err(Trouble::NotClosed { path: dir, why }.into());
    }
    let image = head["image"].as_str().unwrap_or_default();
    let mut text =
        format!("Unmounted {}. {image} is closed, and everything written is on it.", dir.display());
    if !said.is_empty() {
        text += &format!("\nMeanwhile its server said:\n{}", said.join("\n"));
    }
    Ok(Report::new(text, json!({"dir": dir.to_string_lossy(), "image": image, "said": said})))
}

/// The folder's one name, also if it answers no more.
fn resolve(dir: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(dir).or_else(|error| {
        let dir = std::path::absolute(dir)?;
        let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else { return Err(error) };
        Ok(fs::canonicalize(parent)?.join(name))
    })
}

fn unmount(dir: &Path) -> Result<(), Failure> {
    let mut command = if geteuid().is_root() { tool("umount") } else { tool("fusermount3") };
    if !geteuid().is_root() {
        command.arg("-u");
    }
    let output = command.arg(dir).output().map_err(|e| Failure::io("unmount", dir, e))?;
    if output.status.success() {
        return Ok(());
    }
    let path = dir.to_path_buf();
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !said.contains("busy") {
        return Err(Trouble::Stuck { path, said }.into());
    }
    let mut users: Vec<_> = users(dir).iter().map(|(pid, name)| format!("{name} ({pid})")).collect();
    if users.is_empty() {
        users.push("somebody who cannot be seen from here".into());
    }
    Err(Trouble::Busy { path, users: users.join(", ") }.into())
}

/// What libfuse says when the kernel ends a mount, now and then: that is what was asked for.
fn is_the_end_of_fuse(line: &str) -> bool {
    ["fuse: reading device: ", "fuse_loop: "].iter().any(|begin| line.starts_with(begin))
}
