//! What is on a disk, and how it can be mounted here.

use std::{
    env, fs, io,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::geteuid;

use super::trouble::Trouble;
use crate::output::size;

/// What is on a disk.
pub(super) enum Found {
    /// A file system of that type.
    FileSystem(String),
    Partitions(Vec<Partition>),
}

pub(super) struct Partition {
    pub number: u32,
    bytes: u64,
    file_system: Option<String>,
}

impl Partition {
    /// For people.
    pub(super) fn text(&self) -> String {
        let file_system = self.file_system.as_deref().unwrap_or("no known file system");
        format!("  {}  {}, {file_system}", self.number, size(self.bytes))
    }
}

/// A program, which may lie where users other than root do not look.
pub(super) fn tool(name: &str) -> Command {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    let mut command = Command::new(name);
    command.env("PATH", path).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

fn said(command: &mut Command) -> Result<String, Trouble> {
    let output = command.output().map_err(|error| {
        Trouble::Cannot(format!("{} does not run: {error}", command.get_program().display()))
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// blkid's answer of a range, or of all.
fn kind(disk: &Path, range: Option<(u64, u64)>) -> Result<(Option<String>, bool), Trouble> {
    let mut blkid = tool("blkid");
    blkid.args(["--probe", "--output", "export"]);
    if let Some((offset, length)) = range {
        blkid.args(["--offset", &offset.to_string(), "--size", &length.to_string()]);
    }
    let said = said(blkid.arg(disk))?;
    let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    Ok((value("TYPE="), value("PTTYPE=").is_some()))
}

/// Finds out.
pub(super) fn look(disk: &Path) -> Result<Found, Trouble> {
    match kind(disk, None)? {
        (Some(file_system), _) => Ok(Found::FileSystem(file_system)),
        (None, true) => partitions(disk).map(Found::Partitions),
        (None, false) => Err(Trouble::Cannot("there is no file system that is known here".into())),
    }
}

fn partitions(disk: &Path) -> Result<Vec<Partition>, Trouble> {
    let mut partx = tool("partx");
    partx.args(["--show", "--noheadings", "--bytes", "--output", "NR,START,SIZE"]);
    let mut found = Vec::new();
    for line in said(partx.arg(disk))?.lines() {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [number, start, bytes] = numbers[..] else { continue };
        let (file_system, _) = kind(disk, start.checked_mul(512).map(|start| (start, bytes)))?;
        found.extend(u32::try_from(number).map(|number| Partition { number, bytes, file_system }));
    }
    Ok(found)
}

/// A way to mount.
pub(super) struct Way {
    /// For scripts.
    pub name: &'static str,
    pub command: Command,
}

/// The way to mount a file system of this type, by what there is. NTFS is always ntfs-3g's: kernels have either nothing for it or
/// something younger. Others are the kernel's where it may be asked, which takes root and a loop device.
pub(super) fn way(file_system: &str, disk: &Path, dir: &Path, read_only: bool) -> Result<Way, Trouble> {
    let root = geteuid().is_root();
    let access = if read_only { "ro" } else { "rw" };
    let (name, program, options) = match file_system {
        "ntfs" if !may_share() => {
            return Err(Trouble::Cannot(
                "ntfs-3g runs as root, to whom FUSE shows nothing of other users unless /etc/fuse.conf has the line \
                 user_allow_other"
                    .into(),
            ));
        }
        "ntfs" => ("ntfs-3g", "ntfs-3g", access.to_owned()),
        _ if root && has_loop_devices() => ("loop", "mount", format!("loop,{access}")),
        // With the kernel's checks of permissions, and for all, as root's mounts are.
        "ext2" | "ext3" | "ext4" if root => {
            ("fuse2fs", "fuse2fs", format!("{access},allow_other,default_permissions"))
        }
        // Who has the key may do everything.
        "ext2" | "ext3" | "ext4" => ("fuse2fs", "fuse2fs", format!("{access},fakeroot")),
        other => {
            return Err(Trouble::Cannot(format!(
                "a file system of type {other} is mounted by root alone, with a loop device"
            )));
        }
    };
    let mut command = tool(program);
    command.arg("-o").arg(options).arg(disk).arg(dir);
    Ok(Way { name, command })
}

/// Whether root may see what this user mounts by FUSE.
pub(super) fn may_share() -> bool {
    let allowed = || fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    geteuid().is_root() || allowed().lines().any(|line| line.trim() == "user_allow_other")
}

/// Containers often have none.
fn has_loop_devices() -> bool {
    let found = tool("losetup").arg("--find").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Why a program did not start.
pub(super) fn not_started(name: &str, error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::NotFound => Trouble::Cannot(format!("{name} is not installed")),
        _ => Trouble::Cannot(format!("{name}: {error}")),
    }
}
