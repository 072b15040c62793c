//! Volumes served to clients that nobody here wrote: nbdcopy, qemu-io, qemu-img, fio, nbdsh, and by nbdfuse the tools of ext4
//! and NTFS. `./x conformance` builds what is served, installs the clients and runs the tests.
#![allow(clippy::panic, reason = "a failed test may panic")]

pub mod browser;
pub mod lower;
pub mod numbered;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

const PASSPHRASE: &[u8] = b"correct horse battery staple\n";

/// One mebibyte.
pub const MIB: u64 = 1 << 20;

/// What a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Encrypted in place.
    InPlace,
    /// De-duplicated, compressed, encrypted.
    Mapped,
}

/// Both.
pub const KINDS: [Kind; 2] = [Kind::InPlace, Kind::Mapped];

/// A folder with a volume in it, or with what belongs to one on a server.
pub struct Bench {
    folder: PathBuf,
    image: PathBuf,
}

/// Runs a program to its end, which must be a good one.
pub fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; `./x conformance` installs it"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a program for nbdsh's Python, the one that its package is for.
pub fn python(program: &str, arguments: &[&str]) -> Output {
    run(Command::new("/usr/bin/python3").args(["-c", program]).args(arguments))
}

/// The command, as it was built beside this test.
pub fn sluice() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let program = test.ancestors().nth(2).map(|folder| folder.join("sluice")).unwrap_or_default();
    assert!(program.is_file(), "{} is not built: run `./x conformance`", program.display());
    program
}

impl Bench {
    /// A folder of its own with a new volume on an image of so many MiB.
    pub fn new(name: &str, kind: Kind, mib: u64) -> Self {
        Self::on(name, kind, mib, |_| {})
    }

    /// Likewise, in a folder that is prepared: something may be mounted there, or an image lie in it.
    pub fn on(name: &str, kind: Kind, mib: u64, prepare: impl FnOnce(&Path)) -> Self {
        let bench = Self::without_volume(name, kind);
        prepare(&bench.folder);
        bench.fill("pass", PASSPHRASE);
        if !bench.path("image").exists() {
            let image = fs::File::create(bench.path("image")).and_then(|file| file.set_len(mib * MIB));
            image.unwrap_or_else(|error| panic!("the image: {error}"));
        }
        run(&mut bench.format(kind));
        bench
    }

    /// A folder of its own, and no volume yet.
    pub fn without_volume(name: &str, kind: Kind) -> Self {
        let folder =
            std::env::temp_dir().join(format!("sluice-conformance-{}-{name}-{kind:?}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let bench = Self { image: folder.join("image"), folder };
        bench.fill("pass", PASSPHRASE);
        bench
    }

    /// From now on its volume lies on a server's disk.
    pub fn lies_on(&mut self, uri: &str) {
        self.image = uri.into();
    }

    /// Makes the volume.
    pub fn format(&self, kind: Kind) -> Command {
        let mut format = self.sluice("format");
        format.args(["--kdf-memory", "1", "--kdf-time", "1", "--yes"]);
        if kind == Kind::Mapped {
            format.arg("--mapped");
        }
        format
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes a file.
    pub fn fill(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// A command on the image, with its key.
    pub fn sluice(&self, what: &str) -> Command {
        let mut command = Command::new(sluice());
        command.arg(what).arg(&self.image).arg("--passphrase-file").arg(self.path("pass"));
        // Where servers are found.
        command.env("XDG_RUNTIME_DIR", &self.folder);
        command
    }

    /// A command on its keys.
    pub fn sluice_key(&self, what: &str) -> Command {
        let mut command = Command::new(sluice());
        command.args(["key", what]).arg(self.path("image")).arg("--passphrase-file").arg(self.path("pass"));
        command.args(["--kdf-memory", "1", "--kdf-time", "1"]);
        command
    }

    /// Serves the volume, and waits until it can be used.
    pub fn serve(&self, more: &[&str]) -> Server {
        let socket = self.path("socket").display().to_string();
        self.serve_on(&[&["--socket", &socket], more].concat())
    }

    /// Likewise, not on a socket if the arguments say so.
    pub fn serve_on(&self, more: &[&str]) -> Server {
        let socket = self.path("socket");
        let mut command = self.sluice("serve");
        command.arg("--json").args(more).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut said = String::new();
        if let Some(out) = child.stdout.take() {
            let mut out = BufReader::new(out);
            while !said.trim_end().ends_with('}') && out.read_line(&mut said).is_ok_and(|length| length > 0) {
            }
        }
        let pid = said.split("\"pid\":").nth(1).and_then(|rest| rest.split([',', '\n']).next());
        let nbdkit = pid.and_then(|pid| pid.trim().parse().ok()).and_then(Pid::from_raw);
        let nbdkit = nbdkit.unwrap_or_else(|| panic!("it is not served: {said:?}, {:?}", child.wait()));
        let uri = said.split("\"uri\": \"").nth(1).and_then(|rest| rest.split('"').next());
        let uri = uri.unwrap_or_default().to_owned();
        Server { child, nbdkit, socket, uri }
    }

    /// What is in the volume, read by the command, from its beginning on.
    pub fn cat(&self, length: u64) -> Vec<u8> {
        run(self.sluice("cat").args(["--length", &length.to_string()])).stdout
    }

    /// Everything that is stored is as it should be.
    pub fn check(&self) {
        run(&mut self.sluice("check"));
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A volume that is being served.
pub struct Server {
    child: Child,
    nbdkit: Pid,
    socket: PathBuf,
    uri: String,
}

impl Server {
    /// For clients.
    pub fn uri(&self) -> String {
        self.uri.clone()
    }

    /// For clients of one of several volumes, by its name as it stands in a URI.
    pub fn uri_of(&self, name: &str) -> String {
        format!("nbd+unix:///{name}?socket={}", self.socket.display())
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The process that serves, until `sluice serve` starts another.
    pub fn nbdkit(&self) -> i32 {
        self.nbdkit.as_raw_nonzero().get()
    }

    /// Stops it as an administrator would; it must end well.
    pub fn stop(mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let stopped = pid.map(|pid| kill_process(pid, Signal::TERM));
        let status = self.child.wait();
        assert!(status.as_ref().is_ok_and(|status| status.success()), "{stopped:?} {status:?}");
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(mut self) {
        let killed = kill_process(self.nbdkit, Signal::KILL);
        assert!(killed.is_ok(), "{killed:?}");
        let status = self.child.wait();
        assert!(status.as_ref().is_ok_and(|status| !status.success()), "{status:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(self.nbdkit, Signal::KILL);
        // It may have started another, which ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
