//! NBD servers that nobody here wrote, with a disk for a volume to lie on.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::Bench;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// nbdkit, with a file.
    File,
    /// nbdkit, with a file, and a cache in front of it that is lost when it is killed, but for what was flushed.
    Forgetful,
    /// nbdkit, with a file, that takes only whole blocks of 4096 bytes.
    Blocks,
    /// nbdkit, with memory.
    Memory,
    /// qemu-nbd, with a file, for one client at a time.
    Qemu,
}

/// A server that runs.
pub struct Lower {
    program: Program,
    folder: PathBuf,
    child: Child,
}

impl Lower {
    /// Starts it in the bench's folder, with a disk of so many MiB.
    pub fn start(bench: &Bench, program: Program, mib: u64) -> Self {
        let disk = fs::File::create(bench.path("disk")).and_then(|file| file.set_len(mib * crate::MIB));
        disk.unwrap_or_else(|error| panic!("the disk: {error}"));
        let folder = bench.path("");
        let child = spawn(program, &folder, mib);
        Self { program, folder, child }
    }

    /// For clients.
    pub fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.folder.join("lower").display())
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(&mut self) {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        assert!(killed.is_ok(), "{killed:?}");
    }

    /// Starts it once more, on the same file.
    pub fn again(&mut self) {
        self.child = spawn(self.program, &self.folder, 0);
    }
}

impl Drop for Lower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts it, and waits until it listens.
fn spawn(program: Program, folder: &std::path::Path, mib: u64) -> Child {
    let socket = folder.join("lower");
    let _ = fs::remove_file(&socket);
    let mut command = Command::new(if program == Program::Qemu { "qemu-nbd" } else { "nbdkit" });
    let file = format!("file={}", folder.join("disk").display());
    if program == Program::Qemu {
        command.args(["--format=raw", "--persistent", "--discard=unmap", "--socket"]);
        command.arg(&socket).arg(folder.join("disk"));
    } else {
        command.args(["--foreground", "--unix"]).arg(&socket);
    }
    match program {
        Program::File => command.args(["file", &file]),
        Program::Forgetful => command.args(["--filter=cache", "file", &file, "cache=writeback"]),
        Program::Blocks => command.args(["--filter=blocksize-policy", "file", &file]).args([
            "blocksize-minimum=4096",
            "blocksize-preferred=4096",
            "blocksize-maximum=256k",
            "blocksize-error-policy=error",
        ]),
        Program::Memory => command.args(["memory", &format!("{}M", mib.max(1))]),
        Program::Qemu => &mut command,
    };
    let child = command.stderr(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let listens = || {
        thread::sleep(Duration::from_millis(25));
        UnixStream::connect(&socket).is_ok()
    };
    assert!((0..200).any(|_| listens()), "{command:?} does not listen");
    child
}
