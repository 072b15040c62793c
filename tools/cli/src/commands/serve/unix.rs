//! nbdkit, started and looked after.

use std::{
    ffi::OsString,
    fs,
    io::{self, PipeReader, Read, Write, pipe},
    net::{IpAddr, SocketAddr},
    os::{
        fd::{AsFd, AsRawFd},
        unix::{ffi::OsStrExt, fs::FileTypeExt, net::UnixStream, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};
use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{Pid, Signal, kill_process},
};
use serde_json::json;
use signal_hook::{
    consts::{SIGABRT, SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    args::Serve,
    failure::Failure,
    output::{Report, size, tell},
};

#[path = "volumes.rs"]
pub(crate) mod volumes;

use volumes::Volume;

/// What stands for itself in a URI; RFC 3986 calls the rest reserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &RESERVED.remove(b'/');

/// The plugin's file.
const PLUGIN: &str = "libsluice_nbd.so";
/// Where it is looked for, beside the directory of this program.
const PLACES: [&str; 2] = ["/usr/local/lib/sluice", "/usr/lib/sluice"];

pub(super) fn run(args: &Serve, json: bool) -> Result<Report, Failure> {
    let plugin = plugin(args.plugin.as_deref())?;
    let place = Place::new(args)?;
    let volumes = volumes::open(&args.images, !args.read_only, &args.secret)?;
    let stopped = watch_signals()?;
    let (mut announced, mut aborted) = (false, false);
    loop {
        let (mut child, ready) = serve(args, &plugin, &place, &volumes)?;
        // After an abort everything is opened again even if we have been told to end: only then, by ending well, what has been
        // acknowledged becomes durable.
        if !aborted {
            stopped.of(child.id());
        }
        let was_ready = wait_until_ready(ready);
        stopped.of(child.id());
        if was_ready && !announced {
            announce(&place, &volumes, child.id(), json);
            announced = true;
        }
        let status = child.wait().map_err(|e| failed("wait for nbdkit", e))?;
        stopped.of(0);
        place.clean_up();
        if status.success() {
            return Ok(Report::said());
        }
        // nbdkit 1.32 may abort when a client vanishes in the middle of replies; the others want to go on.
        aborted = was_ready && status.signal() == Some(SIGABRT);
        if !aborted {
            return Err(Failure::NoServer { what: format!("nbdkit ended with {status}; it says why above") });
        }
        eprintln!("sluice: nbdkit ended with {status}; it is started again");
    }
}

/// The nbdkit that is to be told when we are told to end.
#[derive(Clone, Default)]
struct Stopped(Arc<(AtomicBool, AtomicU32)>);

impl Stopped {
    fn is_told(&self) -> bool {
        self.0.0.load(Ordering::SeqCst)
    }

    /// From now on it is this one; 0: there is none.
    fn of(&self, pid: u32) {
        self.0.1.store(pid, Ordering::SeqCst);
        if self.is_told() {
            self.tell();
        }
    }

    /// It finishes what is under way, and makes it durable.
    fn tell(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        if let Some(pid) = Pid::from_raw(self.0.1.load(Ordering::SeqCst).cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

fn watch_signals() -> Result<Stopped, Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|e| failed("watch for signals", e))?;
    let stopped = Stopped::default();
    let told = stopped.clone();
    thread::spawn(move || {
        for _ in &mut signals {
            told.tell();
        }
    });
    Ok(stopped)
}

/// Says where they are.
fn announce(place: &Place, volumes: &[Volume], pid: u32, json: bool) {
    let Some(Volume { bytes: first, .. }) = volumes.first() else { return };
    let (mut text, uri) = (String::new(), place.uri(""));
    if let [_] = volumes {
        text = format!("Serving {} as {uri} until it is stopped (Ctrl-C).", size(*first));
    } else {
        for Volume { name, bytes, .. } in volumes {
            text += &format!("Serving {name}, {} as {}\n", size(*bytes), place.uri(name));
        }
        text += "until they are stopped (Ctrl-C).";
    }
    let each = volumes.iter().map(
        |Volume { name, bytes, .. }| json!({"name": name, "uri": place.uri(name), "volume_bytes": bytes}),
    );
    let each: Vec<_> = each.collect();
    tell(
        json,
        &text,
        &json!({
            "ok": true, "command": "serve", "uri": uri, "volume_bytes": first, "pid": pid, "volumes": each,
        }),
    );
}

fn failed(what: &'static str, source: io::Error) -> Failure {
    Failure::NoServer { what: format!("cannot {what}: {source}") }
}

/// Where clients find it.
pub(crate) enum Place {
    Socket(PathBuf),
    Port { address: IpAddr, port: u16, tls: bool },
}

impl Place {
    fn new(args: &Serve) -> Result<Self, Failure> {
        if let Some(path) = &args.socket {
            let path = std::path::absolute(path).map_err(|e| failed("find the socket's folder", e))?;
            if is_left(&path) {
                fs::remove_file(&path).map_err(|e| failed("remove the old socket", e))?;
            }
            return Ok(Self::Socket(path));
        }
        let (address, tls) = (args.bind, args.tls.is_some());
        if !address.is_loopback() && !tls {
            return Err(Failure::NoServer {
                what: format!(
                    "{address} can be reached from elsewhere: give --tls with a folder of certificates"
                ),
            });
        }
        Ok(Self::Port { address, port: args.port, tls })
    }

    /// Where the volume of a name is found; without a name, the first.
    fn uri(&self, name: &str) -> String {
        let name = utf8_percent_encode(name, RESERVED);
        match self {
            Self::Socket(path) => {
                let path = percent_encode(path.as_os_str().as_bytes(), PATH);
                format!("nbd+unix:///{name}?socket={path}")
            }
            Self::Port { address, port, tls } => {
                let scheme = if *tls { "nbds" } else { "nbd" };
                let address = SocketAddr::new(*address, *port);
                let slash = if name.clone().next().is_some() { "/" } else { "" };
                format!("{scheme}://{address}{slash}{name}")
            }
        }
    }

    fn clean_up(&self) {
        if let Self::Socket(path) = self
            && is_left(path)
        {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether it is a socket on which nobody listens, left of a server that has ended. Another's is none of our business.
fn is_left(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    is_socket && UnixStream::connect(path).is_err()
}

pub(crate) fn plugin(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(plugin) = given {
        return std::path::absolute(plugin).map_err(|e| failed("find the plugin's folder", e));
    }
    let own = std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_path_buf));
    let places = own.into_iter().chain(PLACES.map(PathBuf::from));
    places.map(|place| place.join(PLUGIN)).find(|plugin| plugin.is_file()).ok_or_else(|| Failure::NoServer {
        what: format!(
            "{PLUGIN} lies neither beside this program nor in {}; --plugin names another place",
            PLACES.join(" or ")
        ),
    })
}

/// A pipe with `bytes` in it; they must be few.
fn filled(bytes: &[u8]) -> io::Result<PipeReader> {
    let (reader, mut writer) = pipe()?;
    writer.write_all(bytes)?;
    inherited(&reader)?;
    Ok(reader)
}

/// A child shall have it, too.
pub(crate) fn inherited(descriptor: impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfd(descriptor, FdFlags::empty())?)
}

/// Starts nbdkit as the arguments say. It ends with us, whatever becomes of us.
fn serve(
    args: &Serve,
    plugin: &Path,
    place: &Place,
    volumes: &[Volume],
) -> Result<(Child, PipeReader), Failure> {
    let mut options: Vec<OsString> = vec!["--exit-with-parent".into()];
    if let Some(certificates) = &args.tls {
        options.extend(["--tls=require".into(), "--tls-certificates".into(), certificates.into()]);
    }
    let (read_only, io, parameters) = (args.read_only, args.io.as_str(), Vec::new());
    // NBD knows flushes: its clients do not take for durable what they have not flushed.
    let (write_back, behind) = (true, false);
    let start_it = Start { plugin, place, volumes, read_only, write_back, io, behind, options, parameters };
    start(start_it, |nbdkit| nbdkit)
}

/// What a volume's nbdkit needs of it: the ends of two pipes, and the parameters that lead to them and to the image.
type HandedOver = ([PipeReader; 2], Vec<String>);

fn hand_over(volume: &Volume, start: &Start<'_>) -> io::Result<HandedOver> {
    let backend = volume.image.backend();
    backend.file().map(inherited).transpose()?;
    // A server may let in one of us at a time: what has read the header leaves before the plugin comes.
    backend.disconnect();
    let (key, header) = (filled(volume.key.as_bytes())?, filled(&*volume.header)?);
    let parameters = vec![
        format!("volume={}", volume.name),
        backend.file().map_or_else(
            || format!("uri={}", volume.image.path.display()),
            |file| format!("image={}", file.as_raw_fd()),
        ),
        format!("key={}", key.as_raw_fd()),
        format!("header={}", header.as_raw_fd()),
        format!("write={}", u8::from(!start.read_only)),
        format!("write_back={}", u8::from(start.write_back)),
        format!("io={}", start.io),
        // Of the filter that says to clients what there is.
        format!("exportname={}", volume.name),
    ];
    Ok(([key, header], parameters))
}

/// How nbdkit is started.
pub(crate) struct Start<'a> {
    pub plugin: &'a Path,
    pub place: &'a Place,
    pub volumes: &'a [Volume],
    pub read_only: bool,
    /// Whether a mapped volume's changes are answered before they are written.
    pub write_back: bool,
    /// Who carries out the I/O of mapped volumes: `threads` or `uring`.
    pub io: &'a str,
    /// It outlives us. (A filter of nbdkit's makes it end with its parent; so it shall have none.)
    pub behind: bool,
    /// Options of nbdkit; filters among them stand before ours.
    pub options: Vec<OsString>,
    /// Parameters of those filters, and of the plugin.
    pub parameters: Vec<String>,
}

/// A program that is no child of ours, and that no terminal ends. It begins when its standard input is closed.
pub(crate) fn behind(program: &str) -> Command {
    let mut setsid = Command::new("setsid");
    setsid.args(["--fork", "sh", "-c", r#"read go; exec "$0" "$@" </dev/null"#, program]);
    setsid.stdin(Stdio::piped()).stdout(Stdio::null());
    setsid
}

/// Starts nbdkit, after `adapt` has done to the command what is left to do. The plugin writes into the pipe when all volumes
/// are open.
pub(crate) fn start(
    start: Start<'_>,
    adapt: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<(Child, PipeReader), Failure> {
    let hand_over = || -> io::Result<_> {
        let (ready, told) = pipe()?;
        inherited(&told)?;
        let volumes = start.volumes.iter().map(|volume| hand_over(volume, &start));
        Ok((ready, told, volumes.collect::<io::Result<Vec<_>>>()?))
    };
    let (ready, told, volumes) = hand_over().map_err(|e| failed("hand the volumes over", e))?;
    let mut nbdkit = if start.behind { behind("nbdkit") } else { Command::new("nbdkit") };
    nbdkit.arg("--foreground").args(start.options).args(["--filter=blocksize", "--filter=exportname"]);
    match start.place {
        Place::Socket(path) => nbdkit.arg("--unix").arg(path),
        Place::Port { address, port, .. } => {
            nbdkit.args(["--ipaddr", &address.to_string(), "--port", &port.to_string()])
        }
    };
    if start.read_only {
        nbdkit.arg("--readonly");
    }
    // One block size is for all of them.
    let grain = start.volumes.iter().map(Volume::grain).max().unwrap_or(512);
    nbdkit.arg(start.plugin).args([format!("minblock={grain}"), "exportname-list=explicit".into()]);
    nbdkit.arg(format!("ready={}", told.as_raw_fd()));
    nbdkit.args(start.parameters).args(volumes.iter().flat_map(|(_, parameters)| parameters));
    let mut child = adapt(&mut nbdkit).spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Failure::NoServer { what: "nbdkit is not installed".into() },
        _ => failed("start nbdkit", source),
    })?;
    if start.behind {
        // Not before setsid, its parent, has ended: it would end with it.
        let go = child.stdin.take();
        child.wait().map_err(|e| failed("start nbdkit", e))?;
        drop(go);
    }
    // What else is started has no business with the images.
    for volume in start.volumes {
        let Some(file) = volume.image.backend().file() else { continue };
        let kept = fcntl_setfd(file, FdFlags::CLOEXEC);
        kept.map_err(|e| failed("keep an image from other programs", e.into()))?;
    }
    Ok((child, ready))
}

/// Waits for the first byte of what says that it is ready. False: it has ended.
pub(crate) fn wait_until_ready(mut ready: PipeReader) -> bool {
    ready.read(&mut [0]).is_ok_and(|length| length > 0)
}
