//! The suites: each takes a disk in a stated condition and leaves it so.

mod faults;

use crate::{disk::Disk, report};

/// Runs a suite by name. `volume`: bytes of the volume on the disk.
pub fn run(name: &str, disk: &Disk, volume: u64) {
    match name {
        "faults" => faults::run(disk, volume),
        _ => report::fatal(format!("unknown suite {name}")),
    }
}
