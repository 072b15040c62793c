//! What can go wrong with mounting, beside what can go wrong with any volume.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("cannot mount: {0}")]
    Cannot(String),
    #[error("something is mounted on {path}")]
    Taken { path: PathBuf },
    #[error("the volume has several partitions:\n{0}")]
    WhichPartition(String),
    #[error("nothing that `sluice mount` mounted is on {path}")]
    NotMounted { path: PathBuf },
    #[error("{path} is in use by {users}")]
    Busy { path: PathBuf, users: String },
    #[error("{path} cannot be unmounted: {said}")]
    Stuck { path: PathBuf, said: String },
    #[error("{path} is unmounted, but the volume was not closed: {why}")]
    NotClosed { path: PathBuf, why: String },
    #[error("{path} is unmounted and the volume is closed, but writing to its image had failed meanwhile")]
    Losses { path: PathBuf },
}

impl Trouble {
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Cannot(_) => {
                "Nothing is mounted, and the volume is closed. Do as it says, or use `sluice serve`."
            }
            Self::Taken { .. } => "Choose another folder, or run `sluice unmount` first.",
            Self::WhichPartition(_) => "Choose one with --partition.",
            Self::NotMounted { .. } => {
                "Whoever mounts has to unmount: use the same account, and the same folder."
            }
            Self::Busy { .. } => {
                "Have them leave the folder and close its files, then unmount again. It is still mounted."
            }
            Self::Stuck { .. } => "It is still mounted. Unmount it as the same user, or as root with umount.",
            Self::NotClosed { .. } | Self::Losses { .. } => {
                "What had been flushed is there; what had not may be lost. Mount it again, and check the file system."
            }
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Cannot(_) => "no_mount",
            Self::Taken { .. } => "mount_point",
            Self::WhichPartition(_) => "which_partition",
            Self::NotMounted { .. } => "not_mounted",
            Self::Busy { .. } => "in_use",
            Self::Stuck { .. } => "no_unmount",
            Self::NotClosed { .. } => "not_closed",
            Self::Losses { .. } => "losses",
        }
    }

    pub(crate) fn exit(&self) -> u8 {
        match self {
            Self::WhichPartition(_) => 2,
            Self::Busy { .. } => 6,
            _ => 1,
        }
    }
}
