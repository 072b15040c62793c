//! The suites: each takes a disk in a stated condition and leaves it so.

pub(crate) mod adapter;
mod answers;
mod control;
mod discards;
mod doors;
mod endings;
mod faults;
mod lies;
pub(crate) mod linked;
mod mapped;
mod miniport;
mod policy;
mod programs;
mod sleep;
pub(crate) mod stages;
pub(crate) mod torture;
pub(crate) mod virtio;
pub(crate) mod watched;

use crate::{disk::Disk, report};
use policy::State;

/// Runs a suite by name. `volume`: bytes of the volume on the disk.
pub(crate) fn run(name: &str, disk: Disk, volume: u64) {
    match name {
        "faults" => faults::run(&disk),
        "programs" => programs::on_volume(&disk, true),
        "programs-mapped" => programs::on_volume(&disk, false),
        "locked" => policy::run(&disk, State::Locked, volume),
        "unlocked" => policy::run(&disk, State::Unlocked, volume),
        "plain" => policy::run(&disk, State::Plain, volume),
        "answers-locked" => answers::run(&disk, answers::Kind::Locked),
        "answers-in-place" => answers::run(&disk, answers::Kind::InPlace),
        "answers-mapped" => answers::run(&disk, answers::Kind::Mapped),
        "doors" => doors::run(&disk, State::Unlocked),
        "doors-damaged" => doors::run(&disk, State::Damaged),
        "doors-locked" => doors::run(&disk, State::Locked),
        "lies" => lies::run(&disk, volume),
        "locked-reads" => policy::reads_locked(&disk),
        "damaged" => policy::damaged(&disk),
        "mapped" => mapped::run(&disk, volume),
        "mapped-fails" => mapped::fails(&disk),
        "mapped-mended" => mapped::mended(&disk),
        "discards-told" => discards::told(&disk),
        "discards-refused" => discards::refused(&disk),
        "discards-silent" => discards::silent(&disk),
        "mapped-surprise" => mapped::surprise(&disk),
        "control" => control::run(&disk),
        "control-keyless" => control::keyless(),
        "reset" => endings::reset(&disk),
        "reset-mapped" => endings::reset_mapped(&disk),
        "cancel" => endings::cancel(&disk),
        "pnp" => endings::pnp(&disk, true),
        "pnp-plain" => endings::pnp(&disk, false),
        "surprise" => endings::surprise(disk),
        _ => report::fatal(format!("unknown suite {name}")),
    }
}
