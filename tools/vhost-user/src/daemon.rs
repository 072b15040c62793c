//! QEMU's storage daemon, with a vhost-user block device on an image.

use std::{
    fs, io,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long it may take to listen, or to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program. Debian 12 has it in qemu-system-common, later releases in qemu-utils.
const PROGRAM: &str = "qemu-storage-daemon";

/// What kind of image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The disk's bytes.
    Raw,
    /// QEMU's own.
    Qcow2,
    /// No image: 1 GiB that takes any write and gives nothing back. For measuring the way there.
    Nothing,
}

impl Format {
    /// As QEMU's tools call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Nothing => "null-co",
        }
    }
}

/// What is exported.
#[derive(Clone, Copy, Debug)]
pub struct Export {
    /// The image's kind.
    pub format: Format,
    /// Bytes of a block.
    pub block: u32,
    /// Queues.
    pub queues: u16,
    /// Writes are taken.
    pub writable: bool,
}

/// The daemon. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    socket: PathBuf,
    monitor: PathBuf,
}

impl Daemon {
    /// Starts it on `image`, listening beside it, and waits until it does.
    ///
    /// # Errors
    /// It is not installed, or ends at once.
    pub fn start(image: &Path, export: &Export) -> io::Result<Self> {
        let (socket, monitor) = (image.with_extension("vhost"), image.with_extension("qmp"));
        for old in [&socket, &monitor] {
            match fs::remove_file(old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let read_only = if export.writable { "off" } else { "on" };
        let writable = if export.writable { "on" } else { "off" };
        let Export { format, block, queues, .. } = *export;
        let kind = format.name();
        let mut command = Command::new(PROGRAM);
        if format == Format::Nothing {
            command.args(["--blockdev", "driver=null-co,node-name=disk,size=1073741824,read-zeroes=off"]);
        } else {
            let (image, common) = (image.display(), format!("discard=unmap,read-only={read_only}"));
            command.args(["--blockdev", &format!("driver=file,node-name=file,filename={image},{common}")]);
            command.args(["--blockdev", &format!("driver={kind},node-name=disk,file=file,{common}")]);
        }
        command
            .arg("--export")
            .arg(format!(
                "type=vhost-user-blk,id=disk,node-name=disk,addr.type=unix,addr.path={},writable={writable},\
                 logical-block-size={block},num-queues={queues}",
                socket.display()
            ))
            .arg("--chardev")
            .arg(format!("socket,id=monitor,path={},server=on,wait=off", monitor.display()))
            .args(["--monitor", "chardev=monitor"])
            .stdin(Stdio::null());
        let child = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{PROGRAM}: {error}; `./x setup` installs it"))
        })?;
        let mut daemon = Self { child, socket, monitor };
        daemon.wait_until_it_listens()?;
        Ok(daemon)
    }

    /// The monitor comes after the export on the command line: when it is there, the export listens. Its own socket can be
    /// seen a moment before.
    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while !self.monitor.exists() {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("{PROGRAM}: {status}")));
            }
            if start.elapsed() > PATIENCE {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{PROGRAM} does not listen")));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Where the device listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The daemon's process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Changes the size of the disk, by the monitor. QEMU 7.2 changes it and tells the device's driver nothing.
    ///
    /// # Errors
    /// What the daemon says.
    pub fn resize(&self, bytes: u64) -> io::Result<()> {
        let stream = UnixStream::connect(&self.monitor)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answers = BufReader::new(stream.try_clone()?).lines();
        let mut ask = |line: String| -> io::Result<()> {
            (&stream).write_all(line.as_bytes())?;
            for answer in answers.by_ref() {
                let answer = answer?;
                if answer.contains("\"return\"") {
                    return Ok(());
                }
                if answer.contains("\"error\"") {
                    return Err(io::Error::other(answer));
                }
            }
            Err(io::ErrorKind::UnexpectedEof.into())
        };
        ask("{\"execute\": \"qmp_capabilities\"}\n".to_owned())?;
        let arguments = format!("{{\"node-name\": \"disk\", \"size\": {bytes}}}");
        ask(format!("{{\"execute\": \"block_resize\", \"arguments\": {arguments}}}\n"))
    }

    /// Ends it as a crash would: what it holds is lost.
    pub fn kill(mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }

    /// Has it end in order, with everything written.
    ///
    /// # Errors
    /// It ended badly.
    pub fn stop(mut self) -> io::Result<()> {
        if let Some(process) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        }
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("{PROGRAM}: {status}"))) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
