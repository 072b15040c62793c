//! What `sluice serve` hands over: descriptors that it has opened, by number.
//!
//! | parameter | what it is |
//! |---|---|
//! | `volume=NAME` | what clients ask for it by; what follows, up to the next, is of this volume |
//! | `image=N` | the image, open and locked; |
//! | `uri=URI` | or the NBD server whose disk it is. There are no secrets in a URI, only paths of files with some |
//! | `key=N` | a pipe with the 64 bytes of the volume key |
//! | `header=N` | a pipe with the 4096 bytes of the header that counts |
//! | `io=uring`, `io=threads` | who carries out a mapped volume's I/O |
//! | `write_back=1` | changes of a mapped volume are answered before they are written, which they are soon, or by the next flush |
//! | `write=1` | it may be written to; without this it is only looked at |
//! | `ready=N` | a pipe that gets a byte when all volumes are open |
//! | `say=1` | when a volume has been closed, that is said on standard error |
//!
//! The key never stands on a command line or in the environment, where others could see it. The locks are those of the
//! descriptors: they last as long as nbdkit does.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use sluice_backend::{Backend, OpenError};
use sluice_engine::{
    format::{COPY_BYTES, Header, RawHeader},
    keys::VolumeKey,
    volume::Kind,
};
use zeroize::Zeroizing;

use crate::carry::{How, WORKERS};

/// A volume, and its numbers as nbdkit has been told them.
#[derive(Debug, Default)]
struct Numbers {
    name: String,
    image: Option<u32>,
    uri: Option<PathBuf>,
    io: How,
    key: Option<u32>,
    header: Option<u32>,
    write: bool,
    write_back: bool,
}

static VOLUMES: Mutex<Vec<Numbers>> = Mutex::new(Vec::new());
static SAYS_CLOSED: AtomicBool = AtomicBool::new(false);
static READY: Mutex<Option<u32>> = Mutex::new(None);

/// Says that all volumes are open. (nbdkit's own word for it, its pidfile, comes before they are.)
pub(crate) fn say_ready() -> io::Result<()> {
    let number = *READY.lock().map_err(|_| invalid("an earlier parameter failed"))?;
    if number.is_some() {
        again(number, OpenOptions::new().write(true))?.write_all(b"\n")?;
    }
    Ok(())
}

/// Whether somebody wants to know when volumes have been closed.
pub(crate) fn says_closed() -> bool {
    SAYS_CLOSED.load(Ordering::Relaxed)
}

/// What is to be served.
pub(crate) struct Handover {
    pub(crate) name: String,
    /// The image's, or the URI.
    pub(crate) path: String,
    pub(crate) image: Backend,
    pub(crate) kind: Kind,
    pub(crate) uuid: [u8; 16],
    pub(crate) key: VolumeKey,
    pub(crate) write: bool,
    pub(crate) write_back: bool,
    pub(crate) io: How,
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what.into())
}

/// Takes a parameter.
pub(crate) fn set(name: &str, value: &str) -> io::Result<()> {
    let number = || value.parse().map_err(|_| invalid(format!("{name}={value} is no descriptor")));
    let earlier = |_| invalid("an earlier parameter failed");
    let mut volumes = VOLUMES.lock().map_err(|_| invalid("an earlier parameter failed"))?;
    match name {
        "volume" => volumes.push(Numbers { name: value.into(), ..Numbers::default() }),
        "say" => SAYS_CLOSED.store(number()? == 1, Ordering::Relaxed),
        "ready" => *READY.lock().map_err(earlier)? = Some(number()?),
        _ => {
            let volume = volumes.last_mut().ok_or_else(|| invalid(format!("{name} before any volume")))?;
            volume.set(name, value, number)?;
        }
    }
    Ok(())
}

impl Numbers {
    /// Takes a parameter of this volume.
    fn set(&mut self, name: &str, value: &str, number: impl Fn() -> io::Result<u32>) -> io::Result<()> {
        match name {
            "image" => self.image = Some(number()?),
            "uri" => self.uri = Some(value.into()),
            "io" => self.io = value.parse().map_err(|()| invalid(format!("io={value} is neither")))?,
            "key" => self.key = Some(number()?),
            "header" => self.header = Some(number()?),
            "write" => self.write = number()? == 1,
            "write_back" => self.write_back = number()? == 1,
            _ => {
                return Err(invalid(format!(
                    "there is no parameter {name}; `sluice serve` gives those there are"
                )));
            }
        }
        Ok(())
    }
}

/// Opens once more what is open under a number.
fn again(number: Option<u32>, options: &OpenOptions) -> io::Result<File> {
    let number = number.ok_or_else(|| invalid("this plugin is started by `sluice serve`"))?;
    options.open(format!("/proc/self/fd/{number}"))
}

/// Opens a server's disk.
fn connect(uri: &Path, write: bool) -> io::Result<Backend> {
    let backend = Backend::open(uri, write, WORKERS).map_err(|error| match error {
        OpenError::WriteProtected => invalid("the NBD server's disk is write-protected"),
        OpenError::InUse => invalid("the NBD server's disk is in use"),
        OpenError::Size(error) | OpenError::Failed(error) => error,
    })?;
    backend.remember()?;
    Ok(backend)
}

/// Reads what has been handed over, and says to `open` what each volume is. Once: the pipes are empty afterwards.
pub(crate) fn take<V>(open: impl Fn(Handover) -> io::Result<V>) -> io::Result<Vec<(String, V)>> {
    let volumes = VOLUMES.lock().map_err(|_| invalid("an earlier parameter failed"))?;
    let opened = |numbers: &Numbers| {
        let volume = read(numbers).and_then(&open);
        // With several, one must know which.
        let volume =
            volume.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", numbers.name)));
        Ok((numbers.name.clone(), volume?))
    };
    volumes.iter().map(opened).collect()
}

fn read(numbers: &Numbers) -> io::Result<Handover> {
    let mut bytes = Zeroizing::new([0; 64]);
    again(numbers.key, OpenOptions::new().read(true))?.read_exact(&mut *bytes)?;
    let key = VolumeKey::from_random(&mut bytes);
    let mut copy = [0; COPY_BYTES];
    again(numbers.header, OpenOptions::new().read(true))?.read_exact(&mut copy)?;
    let raw: &RawHeader = zerocopy::transmute_ref!(&copy);
    let header =
        Header::check(raw).map_err(|problem| invalid(format!("the header is not good: {problem:?}")))?;
    let write = numbers.write;
    let (image, path) = match (&numbers.uri, numbers.image) {
        (Some(uri), _) => (connect(uri, write)?, uri.clone()),
        (None, image) => {
            let file = again(image, OpenOptions::new().read(true).write(write))?;
            let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default();
            (Backend::of(file)?, path)
        }
    };
    let (name, path) = (numbers.name.clone(), path.to_string_lossy().into_owned());
    let (kind, uuid) = (header.kind(), header.uuid());
    let Numbers { write_back, io, .. } = *numbers;
    Ok(Handover { name, path, image, kind, uuid, key, write, write_back, io })
}
