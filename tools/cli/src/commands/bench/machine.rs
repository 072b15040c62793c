//! What all of it ran on.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

/// Whatever has to be known beside a figure.
pub(super) struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    medium: String,
    programs: Vec<(&'static str, String)>,
}

/// A program, and how it is asked for its version.
const PROGRAMS: [(&str, &str); 6] = [
    ("nbdkit", "--version"),
    ("qemu-nbd", "--version"),
    ("fio", "--version"),
    ("openssl", "version"),
    ("zstd", "--version"),
    ("mkfs.btrfs", "--version"),
];

impl Machine {
    pub(super) fn read(folder: &Path) -> Self {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let version = |(program, option): (&'static str, &str)| {
            let output = Command::new(program).arg(option).output().ok()?;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let line = said.lines().find(|line| !line.trim().is_empty())?.trim().to_owned();
            Some((program, line))
        };
        Self {
            processor: model.map_or_else(|| "unknown".into(), |(_, name)| name.trim().into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().into(),
            medium: medium(folder),
            programs: PROGRAMS.into_iter().filter_map(version).collect(),
        }
    }

    pub(super) fn text(&self) -> String {
        let Self { processor, cores, kernel, medium, .. } = self;
        format!("{processor}, {cores} cores, Linux {kernel}; images on {medium}")
    }

    pub(super) fn json(&self) -> Value {
        let programs: serde_json::Map<_, _> =
            self.programs.iter().map(|(name, version)| ((*name).into(), json!(version))).collect();
        json!({
            "processor": self.processor, "cores": self.cores, "kernel": self.kernel, "medium": self.medium,
            "programs": programs,
        })
    }
}

/// The type of the file system that a folder lies on, by the longest mount point before it (proc_pid_mounts(5)).
fn medium(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        folder.starts_with(place).then_some((place.len(), kind))
    });
    mounts.max_by_key(|(length, _)| *length).map_or_else(|| "unknown".into(), |(_, kind)| kind.into())
}
