//! What can go wrong, and how a program or a person is told.

use std::{fmt, io, path::Path};

/// The kinds of failure: each has a name for programs and an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The command line makes no sense.
    Usage,
    /// There is no Sluice volume.
    NotAVolume,
    /// No key slot opens with what was given.
    WrongKey,
    /// The header is damaged.
    Damaged,
    /// The header could not be read.
    Unreadable,
    /// The header was changed by somebody without a key.
    Tampered,
    /// The volume was made by a newer version.
    Newer,
    /// The disk is smaller than its header says.
    DiskTooSmall,
    /// The disk's sectors have another size than the volume's.
    SectorSize,
    /// The disk is too small or too large for a volume.
    Size,
    /// What is there would be lost.
    HoldsData,
    /// The last key slot would be emptied.
    LastSlot,
    /// There is no such key slot, or it is empty, or in use.
    Slot,
    /// The backup is no header, or of another volume or size.
    Backup,
    /// Somebody else is using the image.
    InUse,
    /// The image or its medium does not allow writing.
    WriteProtected,
    /// No space is left.
    NoSpace,
    /// A file is not there, or may not be opened.
    File,
    /// A range outside of the volume.
    Range,
    /// Memory has run out.
    NoMemory,
    /// Reading or writing failed.
    Io,
    /// No driver is there to talk to.
    NoDriver,
    /// The driver refused.
    Driver,
}

impl Kind {
    /// For programs.
    pub(crate) fn name(self) -> &'static str {
        self.row().0
    }

    /// What the process ends with.
    pub(crate) fn exit_code(self) -> u8 {
        self.row().1
    }

    fn row(self) -> (&'static str, u8) {
        match self {
            Self::Usage => ("usage", 2),
            Self::Range => ("range", 2),
            Self::NotAVolume => ("not-a-volume", 3),
            Self::WrongKey => ("wrong-key", 4),
            Self::Slot => ("slot", 4),
            Self::Damaged => ("damaged", 5),
            Self::Unreadable => ("unreadable", 5),
            Self::Tampered => ("tampered", 5),
            Self::Newer => ("newer-version", 6),
            Self::DiskTooSmall => ("disk-too-small", 6),
            Self::SectorSize => ("sector-size", 6),
            Self::Size => ("size", 6),
            Self::HoldsData => ("holds-data", 7),
            Self::LastSlot => ("last-slot", 7),
            Self::Backup => ("backup", 7),
            Self::InUse => ("in-use", 7),
            Self::WriteProtected => ("write-protected", 8),
            Self::NoSpace => ("no-space", 8),
            Self::File => ("file", 8),
            Self::Io => ("io", 8),
            Self::NoMemory => ("no-memory", 8),
            Self::NoDriver => ("no-driver", 9),
            Self::Driver => ("driver", 9),
        }
    }
}

/// A failure: what happened, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// The result of everything that can fail here.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure of the system while `doing` something with the file at `path`.
    pub(crate) fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind as E;
        let kind = match error.kind() {
            E::StorageFull | E::QuotaExceeded | E::FileTooLarge => Kind::NoSpace,
            E::ReadOnlyFilesystem => Kind::WriteProtected,
            E::NotFound | E::PermissionDenied | E::AlreadyExists | E::IsADirectory => Kind::File,
            E::ResourceBusy => Kind::InUse,
            E::OutOfMemory => Kind::NoMemory,
            _ => Kind::Io,
        };
        let failure = Self::new(kind, format!("cannot {doing} {}: {error}", path.display()));
        match kind {
            Kind::NoSpace => failure.hint("make room where the image lies, then run the command again"),
            Kind::WriteProtected => failure.hint("make the image or its medium writable, or work on a copy of it"),
            Kind::InUse => failure.hint("unmount it, or stop the program that uses it"),
            _ => failure,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n  {hint}"))
    }
}
