//! Every way to fail: what happened, what to do next, and how a script can tell.

use std::{io, path::PathBuf};

use sluice_engine::format::{Damage, DraftError, GeometryError, OtherCopy, Problem};
use sluice_mapped::{OpenError, layout::LayoutError};

#[cfg(unix)]
use crate::commands::mount::Trouble;
use crate::{mapped::open_error_text, output::Report};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot open {path}: {source}")]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot {what} {path}: {source}")]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} is full: not everything could be written")]
    Full { path: PathBuf },
    #[error("there is no room on {path} to move anything to")]
    NoRoom { path: PathBuf },
    #[error("{path} is write-protected")]
    WriteProtected { path: PathBuf },
    #[error("{path} is in use")]
    InUse { path: PathBuf },
    #[error("files are open on volume {volume}: {source}")]
    VolumeInUse { volume: String, source: io::Error },
    #[error("{path} is not a Sluice volume")]
    NotSluice { path: PathBuf },
    #[error("{path} holds a Sluice volume whose header is damaged: {}", damage_text(*.damage))]
    Damaged { path: PathBuf, damage: Damage },
    #[error("{path}: the header cannot be read; the device reports errors")]
    Unreadable { path: PathBuf },
    #[error("{path} cannot hold a volume: {}", geometry_text(*.error))]
    Geometry { path: PathBuf, error: GeometryError },
    #[error("{path} cannot hold a mapped volume: {}", layout_text(*.error))]
    Layout { path: PathBuf, error: LayoutError },
    #[error("the mapped volume on {path} cannot be opened: {}", open_error_text(*.error))]
    Mapped { path: PathBuf, error: OpenError },
    #[error("the mapped volume on {path} cannot be repaired: {}", open_error_text(*.error))]
    Unrepaired { path: PathBuf, error: OpenError },
    #[error("between bytes {offset} and {end} of the volume on {path} something is damaged")]
    Chunk { path: PathBuf, offset: u64, end: u64 },
    #[error("not everything is as it should be")]
    Found { report: Box<Report> },
    #[error("the volume is not encrypted: it has no keys")]
    NoKeys,
    #[error("its data has passed the stage {0:?} of another driver, and means nothing without it")]
    StageNeeded(String),
    #[error("{path} holds a volume in place, not a mapped one")]
    NotMapped { path: PathBuf },
    #[error("the volume has {now} bytes, more than {size}")]
    Shrink { size: u64, now: u64 },
    #[error("the volume was formatted without {what}")]
    Off { what: &'static str },
    #[error("no key slot opens with this {kind}")]
    NoKeyFits { kind: &'static str },
    #[error("the key is right, but the header has been tampered with")]
    Tampered,
    #[error("{path} is not empty: {found}")]
    NotEmpty { path: PathBuf, found: String },
    #[error("{path} exists")]
    Exists { path: PathBuf },
    #[error("{}", draft_text(*.0))]
    Draft(DraftError),
    #[error("bytes {offset} to {end} do not lie on the volume, which has {size}")]
    Range { offset: u64, end: u64, size: u64 },
    #[error("there is no {what} {number}: the volume has {count} {what}s, numbered from 0")]
    NoSuch { what: &'static str, number: u64, count: u64 },
    #[error("{0}")]
    Secret(String),
    #[error("the other copy of the header is good, but of another volume or history")]
    Foreign,
    #[error("{path} does not hold what was written to it")]
    ReadBack { path: PathBuf },
    #[error("{path} does not hold what the source holds")]
    Differs { path: PathBuf },
    #[error("not confirmed")]
    NotConfirmed,
    #[error("there are {0} such disks")]
    WhichDisk(usize),
    #[error("the backup does not fit: {0}")]
    Backup(String),
    #[error("there is no Sluice driver on this system")]
    NoDriver,
    #[error("no disk is called {0}")]
    NoSuchDisk(String),
    #[error("the driver refused: {0}")]
    Driver(String),
    #[cfg(unix)]
    #[error("{volume}: {failure}")]
    Of { volume: String, failure: Box<Self> },
    #[cfg(unix)]
    #[error("{0}")]
    Names(String),
    #[cfg(unix)]
    #[error(transparent)]
    Mount(#[from] Trouble),
    #[error("cannot serve: {what}")]
    NoServer { what: String },
    #[error("cannot measure: {what}")]
    Bench { what: String },
    #[error("standard output is no terminal")]
    NoTerminal,
    #[error("not enough memory to derive the key")]
    Memory,
    #[error("{path} is being converted in place, and {encrypted} of {total} bytes of it are encrypted")]
    UnderWay { path: PathBuf, encrypted: u64, total: u64 },
    #[error("{path} was to become a volume by `sluice convert`, which has not finished")]
    Unfilled { path: PathBuf },
    #[error("the conversion of {path} cannot go on: {what}")]
    Conversion { path: PathBuf, what: &'static str },
    #[error("{path} cannot be converted: {what}")]
    Unconvertible { path: PathBuf, what: String },
    #[error("stopped, with {done} of {total} bytes of {path} done")]
    Stopped { path: PathBuf, done: u64, total: u64 },
    #[error("stopped before everything was copied from {path}")]
    Interrupted { path: PathBuf },
}

impl Failure {
    /// What to do about it.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Open { .. } => "Check the path or URI, and that you may read and write what it names.",
            Self::Io { .. } => "Nothing was reported as done that is not. Check the device and try again.",
            Self::Full { .. } => {
                "Make room and run the command again. What was there is as it was, unless it was to be replaced."
            }
            Self::NoRoom { .. } => {
                "Make the disk or image larger, and then `sluice grow`; or discard something. The volume holds what it \
                 held."
            }
            Self::WriteProtected { .. } | Self::InUse { .. } | Self::VolumeInUse { .. } => {
                self.access_advice()
            }
            Self::NotSluice { .. } => {
                "If it should be one, `sluice header restore` puts a header back from a backup."
            }
            Self::Damaged { damage, .. } => damage_advice(*damage),
            Self::Unreadable { .. } => {
                "Copy the disk with a tool that skips bad sectors, and work on the copy."
            }
            Self::Geometry { .. } => "Use another disk, or make the image larger (at least 3 MiB).",
            Self::Layout { .. }
            | Self::Mapped { .. }
            | Self::Unrepaired { .. }
            | Self::Chunk { .. }
            | Self::Found { .. }
            | Self::NotMapped { .. }
            | Self::Shrink { .. }
            | Self::Off { .. }
            | Self::NoKeys => self.mapped_advice(),
            Self::NoKeyFits { .. } => {
                "Check keyboard layout and capitals. `sluice key list` shows what keys there are."
            }
            Self::Tampered => "Somebody has changed the header. Restore it from a backup that you trust.",
            Self::NotEmpty { .. } => "Formatting destroys it. Give --force if that is what you want.",
            Self::Exists { .. } => "Choose another name, or remove the file.",
            Self::Draft(error) => draft_advice(*error),
            Self::Range { .. } => "Choose --offset and --length within the volume.",
            Self::NoSuch { .. } => "`sluice dump IMAGE roots` shows how many there are of everything.",
            Self::Secret(_) | Self::NotConfirmed => "Nothing was changed.",
            Self::Foreign => {
                "Formatting was interrupted, or two copies of the disk were changed apart. `sluice info` shows the \
                 volume of copy A; give --force to keep that one. Nothing was changed."
            }
            Self::ReadBack { .. } => "The medium is failing: save what is on it.",
            Self::Backup(_) => "Give --force if you are sure that it belongs here. Nothing was changed.",
            Self::WhichDisk(_)
            | Self::NoDriver
            | Self::NoSuchDisk(_)
            | Self::Driver(_)
            | Self::NoServer { .. }
            | Self::Bench { .. }
            | Self::NoTerminal
            | Self::StageNeeded(_) => self.system_advice(),
            #[cfg(unix)]
            Self::Of { failure, .. } => failure.advice(),
            #[cfg(unix)]
            Self::Mount(trouble) => trouble.advice(),
            #[cfg(unix)]
            Self::Names(_) => "NAME=PATH gives a volume another name. Nothing was opened.",
            Self::Memory => "Close other programs, or use a machine with more memory.",
            Self::UnderWay { .. }
            | Self::Unfilled { .. }
            | Self::Conversion { .. }
            | Self::Unconvertible { .. }
            | Self::Stopped { .. }
            | Self::Differs { .. }
            | Self::Interrupted { .. } => self.convert_advice(),
        }
    }

    fn convert_advice(&self) -> &'static str {
        match self {
            Self::UnderWay { .. } => {
                "`sluice convert --in-place` goes on with it, `sluice convert --in-place --decrypt` makes it plain. Until \
                 then nothing else may write to it. Nothing was changed."
            }
            Self::Unfilled { .. } => "Run `sluice convert` again, with --force; what it holds is of no use.",
            Self::Conversion { .. } => {
                "Nothing was changed. Copy the disk, and keep it as it is: everything is on it, but not where the record \
                 says."
            }
            Self::Interrupted { .. } => {
                "The target is of no use; `sluice convert` again, with --force, begins anew."
            }
            Self::Differs { .. } => {
                "The source has been written to meanwhile, or the target's medium is failing. The target is of no use."
            }
            Self::Stopped { .. } => "Run the same command again: it goes on from there.",
            _ => "Nothing was changed.",
        }
    }

    fn access_advice(&self) -> &'static str {
        match self {
            Self::WriteProtected { .. } => {
                "Remove the write protection, or work on a copy. Nothing was changed."
            }
            Self::InUse { .. } => {
                "Another program has it open, or it is mounted: wait, stop it, or unmount. Nothing was changed."
            }
            _ => {
                "Close the files and programs that use it, or give --force: they then fail, and may lose what they \
                 have not written. Nothing was changed."
            }
        }
    }

    /// It is not the volume, but what is around it.
    fn system_advice(&self) -> &'static str {
        match self {
            Self::WhichDisk(_) => "Name one: `sluice status` shows numbers and UUIDs.",
            Self::NoDriver => {
                "Images are read here with `sluice cat`; install the driver to use a disk in Windows."
            }
            Self::NoSuchDisk(_) => "`sluice status` lists the disks.",
            Self::NoServer { .. } => "Install the package nbdkit, or do as it says. The volume is as it was.",
            Self::Bench { .. } => "`sluice bench --help` tells what it needs. Nothing is left of it.",
            Self::NoTerminal => "Give --json or --prometheus.",
            Self::StageNeeded(_) => {
                "Unlock it in Windows, with the driver of that stage loaded. Its keys and header can be changed here as ever."
            }
            _ => "`sluice status` shows the disk's state.",
        }
    }

    fn mapped_advice(&self) -> &'static str {
        match self {
            Self::Layout { .. } => {
                "Use another disk, make the image larger (at least 8 MiB), or choose another --size."
            }
            Self::Mapped { error: OpenError::NoMemory, .. } => {
                "Close other programs, or use a machine with more memory. Nothing was changed."
            }
            Self::Mapped { error: OpenError::List | OpenError::Space, .. } => {
                "`sluice check --repair` makes that anew from the map and the table, if they are whole. Nothing was \
                 changed."
            }
            Self::Mapped { error: OpenError::Page, .. } => {
                "If that is a leaf of its map, `sluice check --repair` opens the volume: of that leaf's blocks only what the \
                 journal says is left then. Nothing was changed."
            }
            Self::Unrepaired {
                error: OpenError::NoMemory | OpenError::NoSpace | OpenError::Page, ..
            } => {
                "What was put right up to there is, and the rest is as it was. Work on a copy of the disk: with more \
                 memory, or on one that is larger."
            }
            Self::Unrepaired { .. } => {
                "Nothing was changed. Save what can be read: `sluice cat` may open it, and fails only where something is \
                 damaged."
            }
            Self::Mapped { .. } => {
                "Copy the disk with a tool that skips bad sectors, and work on the copy. Nothing was changed."
            }
            Self::Chunk { .. } => "`sluice check` names what is lost; everything else can be read.",
            Self::Found { .. } => {
                "Save what can be read: `sluice cat` fails only where something is damaged."
            }
            Self::Shrink { .. } => "A volume can only become larger. Nothing was changed.",
            Self::Off { .. } => {
                "What a volume does at all is chosen when it is formatted. Nothing was changed."
            }
            Self::NoKeys => "Anybody can open it: leave the key out. Nothing was changed.",
            _ => "Nothing was changed.",
        }
    }

    /// A word for scripts, in JSON.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Io { .. } => "io",
            Self::Full { .. } => "full",
            Self::NoRoom { .. } => "no_room",
            Self::WriteProtected { .. } => "write_protected",
            Self::InUse { .. } | Self::VolumeInUse { .. } => "in_use",
            Self::NotSluice { .. } => "not_sluice",
            Self::Damaged { damage: Damage::Newer, .. } => "newer_version",
            Self::Damaged { damage: Damage::Misfit(Problem::DiskTooSmall { .. }), .. } => "disk_too_small",
            Self::Damaged { damage: Damage::Misfit(Problem::SectorSize { .. }), .. } => "sector_size",
            Self::Damaged { .. } => "damaged",
            Self::Unreadable { .. } => "unreadable",
            Self::Geometry { .. } => "geometry",
            Self::Layout { .. } => "layout",
            Self::Mapped { .. } | Self::Unrepaired { .. } => "volume_damaged",
            Self::Chunk { .. } => "chunk_damaged",
            Self::Found { .. } => "problems_found",
            Self::NoKeys => "not_encrypted",
            Self::StageNeeded(_) => "stage_needed",
            Self::NotMapped { .. } => "not_mapped",
            Self::Shrink { .. } => "shrink",
            Self::Off { .. } => "off",
            Self::NoKeyFits { .. } => "no_key_fits",
            Self::Tampered => "tampered",
            Self::NotEmpty { .. } => "not_empty",
            Self::Exists { .. } => "exists",
            Self::Draft(_) => "slot",
            Self::Range { .. } | Self::NoSuch { .. } => "range",
            Self::Secret(_) => "secret",
            Self::Foreign => "foreign_copy",
            Self::ReadBack { .. } | Self::Differs { .. } => "read_back",
            Self::NotConfirmed => "not_confirmed",
            Self::WhichDisk(_) => "which_disk",
            Self::Backup(_) => "backup",
            Self::NoDriver => "no_driver",
            Self::NoSuchDisk(_) => "no_such_disk",
            Self::Driver(_) => "driver",
            #[cfg(unix)]
            Self::Of { failure, .. } => failure.code(),
            #[cfg(unix)]
            Self::Mount(trouble) => trouble.code(),
            #[cfg(unix)]
            Self::Names(_) => "names",
            Self::NoServer { .. } => "no_server",
            Self::Bench { .. } => "bench",
            Self::NoTerminal => "no_terminal",
            Self::Memory => "memory",
            Self::UnderWay { .. } => "under_way",
            Self::Unfilled { .. } => "unfilled",
            Self::Conversion { .. } => "conversion",
            Self::Unconvertible { .. } => "unconvertible",
            Self::Stopped { .. } | Self::Interrupted { .. } => "stopped",
        }
    }

    /// The exit code; `--help` lists them.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            Self::NoKeyFits { .. } => 3,
            Self::NotSluice { .. } => 4,
            Self::Damaged { .. } | Self::Unreadable { .. } | Self::Tampered => 5,
            Self::Mapped { error: OpenError::NoMemory, .. }
            | Self::Unrepaired { error: OpenError::NoMemory, .. } => 1,
            Self::Mapped { .. } | Self::Unrepaired { .. } | Self::Chunk { .. } | Self::Found { .. } => 5,
            Self::InUse { .. } | Self::VolumeInUse { .. } => 6,
            Self::NotEmpty { .. } | Self::Exists { .. } | Self::Backup(_) | Self::Foreign => 7,
            Self::NotConfirmed | Self::Shrink { .. } | Self::Draft(DraftError::LastSlot) => 7,
            Self::UnderWay { .. } | Self::Unfilled { .. } | Self::Conversion { .. } => 5,
            Self::Unconvertible { .. } => 7,
            Self::NoDriver => 8,
            #[cfg(unix)]
            Self::Of { failure, .. } => failure.exit(),
            #[cfg(unix)]
            Self::Names(_) => 2,
            #[cfg(unix)]
            Self::Mount(trouble) => trouble.exit(),
            Self::Range { .. } | Self::NoSuch { .. } | Self::WhichDisk(_) => 2,
            _ => 1,
        }
    }

    /// An I/O error on `path`, told apart as far as people need.
    pub(crate) fn io(what: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { path }
            }
            io::ErrorKind::ReadOnlyFilesystem => Self::WriteProtected { path },
            io::ErrorKind::ResourceBusy => Self::InUse { path },
            _ => Self::Io { what, path, source },
        }
    }
}

fn damage_advice(damage: Damage) -> &'static str {
    match damage {
        Damage::Newer => "Use a newer version of sluice. Nothing was changed.",
        Damage::Misfit(Problem::DiskTooSmall { .. }) => {
            "The end of the disk is missing: find the whole disk, or read what is there with a copy of it extended to \
             the full size. Nothing was changed."
        }
        Damage::Misfit(Problem::SectorSize { .. }) => {
            "The volume was made on a disk with other sectors: use such a disk, or an image file of this one. Nothing \
             was changed."
        }
        _ => "Nothing was changed. `sluice header restore` puts a header back from a backup.",
    }
}

fn damage_text(damage: Damage) -> String {
    match damage {
        Damage::NoGoodCopy => "neither copy of it is good".into(),
        Damage::Newer => "it needs a newer version of sluice".into(),
        Damage::Misfit(problem) => problem_text(problem),
    }
}

/// What is wrong with a copy of the header.
pub(crate) fn problem_text(problem: Problem) -> String {
    match problem {
        Problem::Magic => "it does not begin like a header".into(),
        Problem::Checksum => "its checksum is wrong".into(),
        Problem::Newer => "it was written by a newer version".into(),
        Problem::Inconsistent => "its fields contradict each other".into(),
        Problem::DiskTooSmall { needed } => {
            format!("the disk is smaller than the {needed} bytes that it says")
        }
        Problem::SectorSize { volume } => {
            format!("the volume has sectors of {volume} bytes, the disk has others")
        }
    }
}

/// How the copy that is not in use is.
pub(crate) fn other_copy_text(other: OtherCopy) -> String {
    match other {
        OtherCopy::Same => "good".into(),
        OtherCopy::Older => "older: a change was interrupted".into(),
        OtherCopy::Foreign => "of another volume".into(),
        OtherCopy::Unreadable => "unreadable".into(),
        OtherCopy::Bad(problem) => format!("damaged: {}", problem_text(problem)),
    }
}

fn geometry_text(error: GeometryError) -> &'static str {
    match error {
        GeometryError::TooSmall => "it is smaller than 3 MiB",
        GeometryError::TooLarge => "it is larger than 256 TiB",
        GeometryError::SectorSize => "its sectors have neither 512 nor 4096 bytes",
    }
}

fn layout_text(error: LayoutError) -> &'static str {
    match error {
        LayoutError::TooSmall => "it is too small",
        LayoutError::Invalid => "sizes that it cannot have",
    }
}

fn draft_advice(error: DraftError) -> &'static str {
    match error {
        DraftError::NoFreeSlot => "Remove a key first: `sluice key remove`.",
        DraftError::LastSlot => "Add another key first, or nobody can ever open the volume.",
        DraftError::NoSuchSlot => "`sluice key list` shows the slots in use.",
        _ => "Nothing was changed.",
    }
}

fn draft_text(error: DraftError) -> &'static str {
    match error {
        DraftError::NoSuchSlot => "there is no such key slot in use",
        DraftError::SlotInUse => "the key slot is in use",
        DraftError::NoFreeSlot => "all key slots are in use",
        DraftError::LastSlot => "this is the last key",
        DraftError::Label => "the label is longer than 64 bytes",
        DraftError::NotMapped => "the volume is one in place",
        DraftError::NoMemory => "memory has run out",
    }
}
