//! A contestant's server, and what it takes.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::Failure;

/// How long a server may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// One that runs. Dropped, it is killed.
pub(super) struct Server {
    child: Child,
    name: String,
}

impl Server {
    /// Starts it and waits until it can be connected to.
    pub(super) fn start(mut command: Command, socket: &Path) -> Result<Self, Failure> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command
            .spawn()
            .map_err(|error| Failure::Bench { what: format!("{name} does not start: {error}") })?;
        let mut server = Self { child, name };
        let begun = Instant::now();
        while UnixStream::connect(socket).is_err() {
            if let Ok(Some(status)) = server.child.try_wait() {
                let said = server.child.stderr.take().map(std::io::read_to_string);
                let said = said.and_then(Result::ok).unwrap_or_default();
                return Err(server.trouble(&format!("ended with {status}: {}", said.trim())));
            }
            if begun.elapsed() > PATIENCE {
                return Err(server.trouble("is not ready after two minutes"));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    fn trouble(&self, what: &str) -> Failure {
        Failure::Bench { what: format!("{} {what}", self.name) }
    }

    /// Processor time of it and its children so far, in seconds.
    pub(super) fn processor(&self) -> f64 {
        let ticks: u64 = family(self.child.id()).into_iter().filter_map(ticks).sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    /// The most memory that it has had at once, in bytes.
    pub(super) fn memory(&self) -> u64 {
        family(self.child.id()).into_iter().filter_map(peak).sum()
    }

    /// Tells it to end, and waits until it has written everything.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM); // it may have ended by itself
        }
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(Some(_)) = self.child.try_wait() {
                return Ok(());
            }
            sleep(Duration::from_millis(5));
        }
        Err(self.trouble("does not end"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // nbdkit ends with the `sluice serve` that has started it.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A process and those that it has started.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&parent) = all.get(next) {
        next += 1;
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let children = children.unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    all
}

/// Clock ticks in which a process had a processor: utime and stime of proc_pid_stat(5).
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before them may hold anything, also parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// The most memory that a process has had: VmHWM of proc_pid_status(5).
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
