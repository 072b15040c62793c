//! `sluice mount` and `sluice unmount`: from an image to files, and back.
//!
//! ```text
//!   image ── nbdkit and our plugin ── socket ── nbdfuse ── a file ── loop device, ntfs-3g or fuse2fs ── folder
//! ```
//!
//! Once the file system is mounted, everything before it is detached from the tree of files and lives by being in use: when the
//! folder is unmounted, by whatever program, the file is closed, so nbdfuse ends, so nbdkit's last client has gone and it
//! closes the volume and ends. Nothing has to watch, and nothing is left behind. `record` says how `unmount` knows.

use crate::{
    args::{Mount, Unmount},
    failure::Failure,
    output::Report,
};

#[cfg(unix)]
#[path = "mount/disk.rs"]
mod disk;
#[cfg(unix)]
#[path = "mount/look.rs"]
mod look;
#[cfg(unix)]
#[path = "mount/record.rs"]
mod record;
#[cfg(unix)]
#[path = "mount/unix.rs"]
mod system;
#[cfg(unix)]
#[path = "mount/trouble.rs"]
mod trouble;
#[cfg(unix)]
#[path = "mount/unmount.rs"]
mod unmounting;
#[cfg(unix)]
pub(crate) use trouble::Trouble;

#[cfg(unix)]
pub(super) fn mount(args: &Mount) -> Result<Report, Failure> {
    system::run(args)
}

#[cfg(unix)]
pub(super) fn unmount(args: &Unmount) -> Result<Report, Failure> {
    unmounting::run(args)
}

/// There is no nbdkit.
#[cfg(not(unix))]
pub(super) fn mount(_args: &Mount) -> Result<Report, Failure> {
    Err(Failure::NoServer { what: "nbdkit does not run on this system".into() })
}

/// There is no nbdkit.
#[cfg(not(unix))]
pub(super) fn unmount(_args: &Unmount) -> Result<Report, Failure> {
    Err(Failure::NoServer { what: "nbdkit does not run on this system".into() })
}
