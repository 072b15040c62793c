//! Tells whoever asks what has been counted: one snapshot for each connection to a socket.
//!
//! Serving does not depend on it. If the socket cannot be made, that is said once, and there are no statistics.

use std::{
    fs,
    io::{self, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use sluice_statistics::{Snapshot, VERSION, folder};

use crate::watched::Tallies;

/// How long somebody who asks may take to listen.
const PATIENCE: Duration = Duration::from_secs(1);

/// The volumes that are served.
static VOLUMES: Mutex<Vec<Arc<Tallies>>> = Mutex::new(Vec::new());
/// The thread that answers, and where it listens.
static ANSWERING: Mutex<Option<(JoinHandle<()>, PathBuf)>> = Mutex::new(None);
/// It is to end.
static ENDING: AtomicBool = AtomicBool::new(false);

/// One more volume is served.
pub(crate) fn add(tallies: Arc<Tallies>) {
    VOLUMES.lock().unwrap_or_else(PoisonError::into_inner).push(tallies);
}

/// Answers from now on.
pub(crate) fn start() {
    let folder = folder::own();
    match begin() {
        Ok(answering) => *ANSWERING.lock().unwrap_or_else(PoisonError::into_inner) = Some(answering),
        Err(error) => {
            eprintln!(
                "sluice: there are no statistics, for lack of a socket in {}: {error}",
                folder.display()
            );
        }
    }
}

fn begin() -> io::Result<(JoinHandle<()>, PathBuf)> {
    let (listener, socket) = folder::listen(&folder::own())?;
    let begun = Instant::now();
    let thread = thread::Builder::new().name("statistics".into()).spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            if ENDING.load(Relaxed) {
                return;
            }
            // Whoever asked may have gone.
            let _ = answer(stream, begun);
        }
    })?;
    Ok((thread, socket))
}

fn answer(mut stream: UnixStream, begun: Instant) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let volumes = VOLUMES.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let volumes = volumes.iter().map(|tallies| tallies.volume()).collect();
    let snapshot = Snapshot {
        version: VERSION,
        pid: std::process::id(),
        uptime_ns: begun.elapsed().as_nanos() as u64,
        resident_bytes: resident(),
        volumes,
    };
    stream.write_all(&serde_json::to_vec(&snapshot)?)
}

/// Memory that this process has in use.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Answers no more. When this returns, no thread of it is left: the plugin's code may go.
pub(crate) fn stop() {
    let answering = ANSWERING.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((thread, socket)) = answering else { return };
    ENDING.store(true, Relaxed);
    // Wakes it.
    let woken = UnixStream::connect(&socket);
    let _ = fs::remove_file(&socket);
    if woken.is_ok() {
        let _ = thread.join();
    }
    VOLUMES.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
