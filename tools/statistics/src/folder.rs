//! Where servers are found: each has a socket in a folder that only its own user may look into, and answers every
//! connection with one snapshot.
//!
//! A socket is put there when somebody listens on it already. So one that refuses is what a server left that was killed.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::snapshot::Snapshot;

/// How a socket's name ends.
const ENDING: &str = "sock";
/// How long a server is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Of this user, if the session has one.
fn of_session() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
    folder.is_absolute().then(|| folder.join("sluice"))
}

/// Of servers that belong to no session.
fn of_system() -> PathBuf {
    "/run/sluice".into()
}

/// Where this process would put a socket.
pub fn own() -> PathBuf {
    of_session().unwrap_or_else(of_system)
}

/// Listens on a socket of this process in a folder, which is made if it is not there. Answers where.
///
/// # Errors
/// There can be no such folder, or others may look into it.
pub fn listen(folder: &Path) -> io::Result<(UnixListener, PathBuf)> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(folder)?;
    let own = found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_dir() || !own || found.mode() & 0o077 != 0 {
        return Err(io::Error::other("it is not a folder of this user alone"));
    }
    let pid = std::process::id();
    let (early, socket) = (folder.join(format!("{pid}.new")), folder.join(format!("{pid}.{ENDING}")));
    // Another process had this number.
    let _ = fs::remove_file(&early);
    let listener = UnixListener::bind(&early)?;
    fs::rename(&early, &socket)?;
    Ok((listener, socket))
}

/// What a socket led to.
#[derive(Debug)]
pub enum Found {
    /// A server.
    Server(Box<Snapshot>),
    /// Nobody: it was left by a server that was killed.
    Stale(PathBuf),
    /// Something that cannot be asked, or understood.
    Problem(PathBuf, io::Error),
}

/// Asks every server in the folders of this user and of the system.
pub fn ask_all() -> Vec<Found> {
    let mut folders: Vec<_> = of_session().into_iter().chain([of_system()]).collect();
    folders.dedup();
    folders.iter().flat_map(|folder| ask_in(folder)).collect()
}

/// Asks every server in a folder, in the order of their names. Without the folder there is none.
pub fn ask_in(folder: &Path) -> Vec<Found> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => return vec![Found::Problem(folder.into(), error)],
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut sockets: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == ENDING)).collect();
    sockets.sort();
    sockets.into_iter().filter_map(ask).collect()
}

/// A server that has so long for all that it says, not for each byte.
struct Patient {
    stream: UnixStream,
    until: Instant,
}

impl io::Read for Patient {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "it does not answer in time");
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(into).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => late(),
            _ => error,
        })
    }
}

/// `None`: it has gone meanwhile.
fn ask(socket: PathBuf) -> Option<Found> {
    let asked = UnixStream::connect(&socket)
        .and_then(|stream| Snapshot::read(Patient { stream, until: Instant::now() + PATIENCE }));
    match asked {
        Ok(snapshot) => Some(Found::Server(Box::new(snapshot))),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Some(Found::Stale(socket)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionReset) => {
            None
        }
        Err(error) => Some(Found::Problem(socket, error)),
    }
}
