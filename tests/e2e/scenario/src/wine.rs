//! Wine prefixes: made once, copied for each session, killed at its end; every
//! program run there has a time limit.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{Error, Result};

const LOADERS: [&str; 4] =
    ["/usr/lib/wine/wine64", "/usr/bin/wine64", "/usr/bin/wine", "/usr/local/bin/wine"];
const SERVERS: [&str; 4] = [
    "/usr/lib/wine/wineserver64",
    "/usr/lib/wine/wineserver",
    "/usr/bin/wineserver",
    "/usr/local/bin/wineserver",
];

/// A Wine prefix, its server running as long as any of its programs or drivers.
pub(crate) struct Prefix {
    folder: PathBuf,
}

/// How a program ended.
pub(crate) struct Ended {
    /// None: it was stopped by its time limit.
    pub(crate) code: Option<i32>,
    pub(crate) seconds: f64,
}

fn first(candidates: &[&str]) -> Result<PathBuf> {
    let found = candidates.iter().map(Path::new).find(|p| p.exists());
    found
        .map(Path::to_owned)
        .ok_or_else(|| Error::new(format!("Wine is not installed: none of {candidates:?} exists")))
}

/// Copies a folder tree, links as links.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    if status.success() { Ok(()) } else { Err(Error::new(format!("cannot copy {}", from.display()))) }
}

impl Prefix {
    /// Makes the template prefix unless it is there, and copies it to `folder`.
    pub(crate) fn fresh(template: &Path, folder: &Path) -> Result<Prefix> {
        if !template.exists() {
            let making = Prefix { folder: template.with_extension("making") };
            let _ = fs::remove_dir_all(&making.folder);
            fs::create_dir_all(&making.folder)?;
            let end = making.run("wineboot", &["-i".into()], Duration::from_secs(180), |_| {})?;
            making.server(&["-k"])?;
            if end.code != Some(0) {
                return Err(Error::new(format!("wineboot failed: {}", making.last_words())));
            }
            let folder = making.folder.clone();
            drop(making);
            fs::rename(folder, template)?;
        }
        let prefix = Prefix { folder: folder.to_owned() };
        if folder.exists() {
            prefix.server(&["-k"])?;
            fs::remove_dir_all(folder)?;
        }
        copy_tree(template, folder)?;
        // Persistent: otherwise the server ends the drivers' host seconds after the last program has gone.
        prefix.server(&["-p"])?;
        Ok(prefix)
    }

    /// A path inside the prefix's drive C.
    pub(crate) fn drive_c(&self, path: &str) -> PathBuf {
        self.folder.join("drive_c").join(path)
    }

    fn environment<'c>(&self, c: &'c mut Command) -> &'c mut Command {
        c.env("WINEPREFIX", &self.folder)
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all,warn+debugstr")
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .env_remove("DISPLAY")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("debug.log")
    }

    /// Runs a Windows program; each line of its output goes to `line` as it comes.
    pub(crate) fn run(
        &self,
        program: &str,
        args: &[String],
        limit: Duration,
        line: impl FnMut(&str),
    ) -> Result<Ended> {
        self.run_with_input(program, args, b"", limit, line)
    }

    /// The same, with something on its standard input.
    pub(crate) fn run_with_input(
        &self,
        program: &str,
        args: &[String],
        input: &[u8],
        limit: Duration,
        mut line: impl FnMut(&str),
    ) -> Result<Ended> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new(first(&LOADERS)?);
        self.environment(&mut command).arg(program).args(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that reads nothing may be gone already.
            let _ = stdin.write_all(input);
        }
        let lines = lines_of(&mut child);
        let start = Instant::now();
        loop {
            let left = limit.saturating_sub(start.elapsed());
            match lines.recv_timeout(left) {
                Ok(text) => line(&text),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    child.kill()?;
                    child.wait()?;
                    return Ok(Ended { code: None, seconds: start.elapsed().as_secs_f64() });
                }
            }
        }
        let code = child.wait()?.code();
        Ok(Ended { code, seconds: start.elapsed().as_secs_f64() })
    }

    fn server(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new(first(&SERVERS)?);
        self.environment(&mut command)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        Ok(())
    }

    /// The last debug lines: what the drivers said before it went wrong.
    pub(crate) fn last_words(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(self.log()).and_then(|mut f| f.read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        let tail = &lines[lines.len().saturating_sub(12)..];
        format!(
            "last debug lines ({}):\n{}",
            read.map_or_else(|e| e.to_string(), |n| format!("{n} bytes")),
            tail.join("\n")
        )
    }

    /// What the verifier appended to its file, which outlives the kernel host.
    pub(crate) fn verifier_log(&self) -> String {
        fs::read_to_string(self.drive_c("verifier.log")).unwrap_or_default()
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        // The server of this prefix alone, and with it every program and driver there.
        let _ = self.server(&["-k"]);
    }
}

/// The child's output, line by line, from a thread of its own.
fn lines_of(child: &mut Child) -> mpsc::Receiver<String> {
    let (to, from) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        thread::spawn(move || {
            for line in BufReader::new(out).split(b'\n').map_while(std::result::Result::ok) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if to.send(text).is_err() {
                    return;
                }
            }
        });
    }
    from
}
