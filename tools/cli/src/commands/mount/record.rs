//! What is remembered of a mount: a file in a folder of this user's, named after the mount's folder.
//!
//! Its first line says what is mounted; then comes what nbdkit, nbdfuse and the rest say. nbdkit says it by a descriptor that
//! has a lock on the file: the file is locked as long as nbdkit lives, and so says whether the volume is still open.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rustix::process::{Pid, Signal, getuid, kill_process};
use serde_json::{Value, json};

pub(super) struct Record {
    pub path: PathBuf,
    file: File,
}

/// A folder where nobody else of this machine writes.
pub(super) fn home() -> io::Result<PathBuf> {
    let user = getuid();
    let home = match env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        _ if user.is_root() => "/run/sluice".into(),
        Some(folder) if folder.is_absolute() => folder.join("sluice"),
        _ => env::temp_dir().join(format!("sluice-{}", user.as_raw())),
    };
    match DirBuilder::new().mode(0o700).create(&home) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(&home)?;
    if !found.is_dir() || found.uid() != user.as_raw() || found.mode() & 0o077 != 0 {
        return Err(io::Error::other(format!("{} is not a folder of this user's alone", home.display())));
    }
    Ok(home)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    options
}

fn place(dir: &Path) -> io::Result<PathBuf> {
    let name = percent_encode(dir.as_os_str().as_bytes(), NON_ALPHANUMERIC);
    Ok(home()?.join(format!("{name}.mount")))
}

impl Record {
    /// A new one, locked. None if there is one of a mount that lives.
    pub(super) fn create(dir: &Path, image: &Path, folder: &Path) -> io::Result<Option<Self>> {
        let path = place(dir)?;
        let mut file = options().create(true).open(&path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            other => other?,
        }
        file.set_len(0)?;
        let image = std::path::absolute(image)?;
        writeln!(file, "{}", json!({"image": image.to_string_lossy(), "folder": folder.to_string_lossy()}))?;
        Ok(Some(Self { path, file }))
    }

    /// What has been said up to now was of an opening that does not count.
    pub(super) fn forget_what_was_said(&self) -> io::Result<()> {
        let mut text = Vec::new();
        let mut file = self.log()?;
        file.read_to_end(&mut text)?;
        let head = text.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(head as u64)
    }

    /// The one there is.
    pub(super) fn find(dir: &Path) -> io::Result<Self> {
        let path = place(dir)?;
        Ok(Self { file: options().open(&path)?, path })
    }

    /// Whether nbdkit lives.
    pub(super) fn is_held(&self) -> bool {
        let held = matches!(self.file.try_lock(), Err(TryLockError::WouldBlock));
        if !held {
            let _ = self.file.unlock(); // or with the descriptor
        }
        held
    }

    /// Waits until nbdkit has ended; the lock is ours then.
    pub(super) fn wait(&self) -> io::Result<()> {
        self.file.lock()
    }

    /// For nbdkit: with the lock, which is nobody else's from here on.
    pub(super) fn give_lock(&mut self) -> io::Result<File> {
        let log = self.log()?;
        Ok(std::mem::replace(&mut self.file, log))
    }

    /// For everything else: without.
    pub(super) fn log(&self) -> io::Result<File> {
        options().open(&self.path)
    }

    /// What is mounted, and what has been said.
    pub(super) fn read(&self) -> io::Result<(Value, Vec<String>)> {
        let mut text = Vec::new();
        self.log()?.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines();
        let head = lines.next().and_then(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null);
        Ok((head, lines.map(str::to_owned).collect()))
    }

    /// The last that was said, for a message.
    pub(super) fn last_words(&self) -> String {
        let said = self.read().map(|(_, said)| said).unwrap_or_default();
        if said.is_empty() {
            "nobody says why".into()
        } else {
            said[said.len().saturating_sub(5)..].join("\n")
        }
    }

    /// Tells nbdkit and nbdfuse to end. Nobody else has the file open.
    pub(super) fn end_users(&self) {
        for (pid, _) in users(&self.path) {
            let _ = kill_process(pid, Signal::TERM); // or it has ended by itself
        }
    }

    pub(super) fn remove(self) {
        let _ = fs::remove_file(&self.path); // the next mount overwrites it
    }
}

/// Who has something at or below a path: working folder, program or open files.
pub(super) fn users(path: &Path) -> Vec<(Pid, String)> {
    let is_below = |link: PathBuf| fs::read_link(link).is_ok_and(|target| target.starts_with(path));
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = process.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        if number == Some(std::process::id().cast_signed()) {
            continue;
        }
        let place = process.path();
        let files = fs::read_dir(place.join("fd")).into_iter().flatten().flatten().map(|file| file.path());
        if ["cwd", "root", "exe"].map(|link| place.join(link)).into_iter().chain(files).any(is_below) {
            let name = fs::read_to_string(place.join("comm")).unwrap_or_default();
            found.push((pid, name.trim().to_owned()));
        }
    }
    found
}
