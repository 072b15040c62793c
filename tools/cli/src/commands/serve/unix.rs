//! nbdkit, started and looked after.

use std::{
    fs,
    io::{self, BufRead, BufReader, PipeReader, Write, pipe},
    net::IpAddr,
    os::{
        fd::{AsFd, AsRawFd},
        unix::{fs::FileTypeExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{Pid, Signal, kill_process},
};
use serde_json::json;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use sluice_engine::{format::Header, keys::VolumeKey, volume::Kind};
use zerocopy::IntoBytes;

use crate::{
    args::Serve,
    failure::Failure,
    image::Image,
    output::{Report, size, tell},
    secret::volume_key,
};

/// The plugin's file.
const PLUGIN: &str = "libsluice_nbd.so";
/// Where it is looked for, beside the directory of this program.
const PLACES: [&str; 2] = ["/usr/local/lib/sluice", "/usr/lib/sluice"];

pub(super) fn run(args: &Serve, json: bool) -> Result<Report, Failure> {
    let plugin = plugin(args)?;
    let place = Place::new(args)?;
    let image = Image::open(&args.image.image, !args.read_only)?;
    let copies = image.copies();
    let (header, _) = image.header(&copies)?;
    let key = volume_key(&header, &args.secret)?;
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|e| failed("watch for signals", e))?;
    let (mut child, ready) = start(args, &plugin, &place, &image, &header, &key)?;
    drop(key);
    let pid = child.id();
    thread::spawn(move || {
        for _ in &mut signals {
            // It finishes what is under way, and makes it durable.
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    });
    if wait_until_ready(ready) {
        let bytes = match header.kind() {
            Kind::InPlace(place) => place.sectors * u64::from(place.sector_size),
            Kind::Mapped(mapped) => mapped.volume_bytes,
        };
        let uri = place.uri();
        let text = format!("Serving {} as {uri} until it is stopped (Ctrl-C).", size(bytes));
        tell(
            json,
            &text,
            &json!({"ok": true, "command": "serve", "uri": uri, "volume_bytes": bytes, "pid": pid}),
        );
    }
    let status = child.wait().map_err(|e| failed("wait for nbdkit", e))?;
    place.clean_up();
    if status.success() {
        Ok(Report::said())
    } else {
        Err(Failure::NoServer { what: format!("nbdkit ended with {status}; it says why above") })
    }
}

fn failed(what: &'static str, source: io::Error) -> Failure {
    Failure::NoServer { what: format!("cannot {what}: {source}") }
}

/// Where clients find it.
enum Place {
    Socket(PathBuf),
    Port { address: IpAddr, port: u16, tls: bool },
}

impl Place {
    fn new(args: &Serve) -> Result<Self, Failure> {
        if let Some(path) = &args.socket {
            let path = std::path::absolute(path).map_err(|e| failed("find the socket's folder", e))?;
            let is_socket = fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_socket());
            // One that nobody listens on is left of a server that was killed.
            if is_socket && UnixStream::connect(&path).is_err() {
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

    fn uri(&self) -> String {
        match self {
            Self::Socket(path) => format!("nbd+unix:///?socket={}", path.display()),
            Self::Port { address, port, tls } => {
                let scheme = if *tls { "nbds" } else { "nbd" };
                match address {
                    IpAddr::V4(address) => format!("{scheme}://{address}:{port}"),
                    IpAddr::V6(address) => format!("{scheme}://[{address}]:{port}"),
                }
            }
        }
    }

    fn clean_up(&self) {
        if let Self::Socket(path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

fn plugin(args: &Serve) -> Result<PathBuf, Failure> {
    if let Some(plugin) = &args.plugin {
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
fn inherited(descriptor: impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfd(descriptor, FdFlags::empty())?)
}

/// Starts nbdkit. It writes its number into the pipe when it is ready.
fn start(
    args: &Serve,
    plugin: &Path,
    place: &Place,
    image: &Image,
    header: &Header<'_>,
    key: &VolumeKey,
) -> Result<(Child, PipeReader), Failure> {
    let hand_over = || -> io::Result<_> {
        let (ready, told) = pipe()?;
        inherited(&told)?;
        image.backend().file().map(inherited).transpose()?;
        Ok((ready, told, filled(key.as_bytes())?, filled(header.raw().as_bytes())?))
    };
    let (ready, told, key, copy) = hand_over().map_err(|e| failed("hand the volume over", e))?;
    let mut nbdkit = Command::new("nbdkit");
    nbdkit.args(["--foreground", "--exit-with-parent", "--filter=blocksize", "--pidfile"]);
    nbdkit.arg(format!("/proc/self/fd/{}", told.as_raw_fd()));
    match place {
        Place::Socket(path) => nbdkit.arg("--unix").arg(path),
        Place::Port { address, port, .. } => {
            nbdkit.args(["--ipaddr", &address.to_string(), "--port", &port.to_string()])
        }
    };
    if let Some(certificates) = &args.tls {
        nbdkit.arg("--tls=require").arg("--tls-certificates").arg(certificates);
    }
    if args.read_only {
        nbdkit.arg("--readonly");
    }
    let grain = match header.kind() {
        Kind::InPlace(place) => place.sector_size,
        Kind::Mapped(_) => 512,
    };
    // A server may let in one of us at a time: what has read the header leaves before the plugin comes.
    image.backend().disconnect();
    nbdkit.arg(plugin).args([
        image.backend().file().map_or_else(
            || format!("uri={}", image.path.display()),
            |file| format!("image={}", file.as_raw_fd()),
        ),
        format!("key={}", key.as_raw_fd()),
        format!("header={}", copy.as_raw_fd()),
        format!("write={}", u8::from(!args.read_only)),
        format!("io={}", args.io),
        format!("minblock={grain}"),
    ]);
    let child = nbdkit.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Failure::NoServer { what: "nbdkit is not installed".into() },
        _ => failed("start nbdkit", source),
    })?;
    Ok((child, ready))
}

/// False: it has ended.
fn wait_until_ready(ready: PipeReader) -> bool {
    let mut line = String::new();
    BufReader::new(ready).read_line(&mut line).is_ok_and(|length| length > 0)
}
