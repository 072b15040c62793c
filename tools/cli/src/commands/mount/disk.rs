//! An open volume as a file: nbdkit and nbdfuse.

use std::{
    fs, io,
    io::pipe,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::geteuid;

use super::{look::may_share, record::Record, trouble::Trouble};
use crate::{
    commands::serve::system::{Place, Start, behind, inherited, start, volumes::Volume, wait_until_ready},
    failure::Failure,
};

/// Both run until it is detached, or until nobody uses the file any more after it was let go.
pub(super) struct Disk<'a> {
    record: &'a mut Record,
    folder: &'a Path,
    let_go: bool,
}

/// How it is made.
pub(super) struct Attach<'a> {
    pub plugin: &'a Path,
    pub volume: &'a Volume,
    pub read_only: bool,
    /// All of it, or one partition.
    pub partition: Option<u32>,
    /// Where the socket and the file are, for a while.
    pub folder: &'a Path,
}

impl<'a> Disk<'a> {
    pub(super) fn attach(how: &Attach<'a>, record: &'a mut Record) -> Result<Self, Failure> {
        let failed = |error: io::Error| Trouble::Cannot(error.to_string());
        fs::create_dir_all(how.folder.join("disk")).map_err(failed)?;
        let place = Place::Socket(how.folder.join("socket"));
        let partition = how.partition.map(|number| format!("partition={number}"));
        let mut options = vec!["--filter=exitlast".into()];
        options.extend(partition.is_some().then(|| "--filter=partition".into()));
        let mut parameters = vec!["say=1".into()];
        parameters.extend(partition);
        let (plugin, place) = (how.plugin, &place);
        let (volumes, read_only) = (std::slice::from_ref(how.volume), how.read_only);
        record.forget_what_was_said().map_err(failed)?;
        let log = record.give_lock().map_err(failed)?;
        let disk = Self { record, folder: how.folder, let_go: false };
        // FUSE programs do not pass on every sync: what they are told is written has been.
        let (write_back, behind, io) = (false, true, "threads");
        let start_it =
            Start { plugin, place, volumes, read_only, write_back, io, behind, options, parameters };
        let (_, ready) = start(start_it, |nbdkit| nbdkit.stderr(log))?;
        if !wait_until_ready(ready) {
            return Err(Failure::NoServer { what: disk.record.last_words() });
        }
        disk.nbdfuse(how.read_only)?;
        Ok(disk)
    }

    fn nbdfuse(&self, read_only: bool) -> Result<(), Failure> {
        let start = || -> io::Result<_> {
            let (ready, told) = pipe()?;
            inherited(&told)?;
            let mut nbdfuse = behind("nbdfuse");
            nbdfuse.arg("--pidfile").arg(format!("/proc/self/fd/{}", told.as_raw_fd()));
            if !geteuid().is_root() && may_share() {
                nbdfuse.args(["-o", "allow_root"]);
            }
            if read_only {
                nbdfuse.arg("--readonly");
            }
            nbdfuse.arg(self.folder.join("disk")).arg("--unix").arg(self.folder.join("socket"));
            nbdfuse.stderr(self.record.log()?).status()?;
            Ok(ready)
        };
        let ready = start().map_err(|error| Trouble::Cannot(error.to_string()))?;
        if wait_until_ready(ready) { Ok(()) } else { Err(Trouble::Cannot(self.record.last_words()).into()) }
    }

    /// What has been said about it.
    pub(super) fn record(&self) -> &Record {
        self.record
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join("disk/nbd")
    }

    /// From here on it lives as long as the file is in use.
    pub(super) fn let_go(mut self) -> Result<(), Failure> {
        if !detach(self.folder, true) {
            return Err(
                Trouble::Cannot("the file system is mounted, but its disk cannot be hidden".into()).into()
            );
        }
        self.let_go = true;
        Ok(())
    }
}

/// Takes a disk out of the tree of files: at once, or as soon as nobody uses it.
pub(super) fn detach(folder: &Path, lazily: bool) -> bool {
    let how = if lazily { "-uzq" } else { "-uq" };
    let detached =
        Command::new("fusermount3").arg(how).arg(folder.join("disk")).stderr(Stdio::null()).status();
    let _ = fs::remove_file(folder.join("socket"));
    let removed = fs::remove_dir(folder.join("disk")).and_then(|()| fs::remove_dir(folder));
    detached.is_ok_and(|status| status.success()) && removed.is_ok()
}

/// The volume is closed when this returns.
impl Drop for Disk<'_> {
    fn drop(&mut self) {
        if self.let_go {
            return;
        }
        if !detach(self.folder, true) {
            // It has no client whose going would end it.
            self.record.end_users();
        }
        let _ = self.record.wait();
    }
}
