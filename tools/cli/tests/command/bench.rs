//! A folder with an image and secrets, and the command to run on them.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::Value;

pub(crate) const MIB: u64 = 1 << 20;
/// Not a whole number of MiB, so that copy B does not lie at the end.
pub(crate) const DISK: u64 = 4 * MIB + 12_288;
/// Where copy B lies on it.
pub(crate) const COPY_B: u64 = 3 * MIB;
/// Bytes of the volume.
pub(crate) const VOLUME: u64 = 2 * MIB;
/// The cheapest derivation: the tests are not about it.
pub(crate) const CHEAP: [&str; 4] = ["--kdf-memory", "1", "--kdf-time", "1"];

/// What a run gave.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Run {
    /// The object on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|e| panic!("{e}: {:?} {:?}", String::from_utf8_lossy(&self.stdout), self.stderr))
    }
}

/// A folder that goes when the test has passed.
pub(crate) struct Bench {
    pub(crate) folder: PathBuf,
}

impl Bench {
    /// A folder with secrets and an image of zeros.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let bench = Self { folder };
        bench.put("pass", b"correct horse battery staple\n");
        bench.put("other", b"another passphrase");
        bench.put("wrong", b"Tr0ub4dor&3\n");
        bench.put("keyfile", &(0..=255).cycle().take(10_000).collect::<Vec<u8>>());
        bench.blank("image", DISK);
        bench
    }

    /// The same, formatted.
    pub(crate) fn formatted() -> Self {
        let bench = Self::new();
        bench.ok(&[&["format", "image", "--passphrase-file", "pass"], &CHEAP[..]].concat());
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn put(&self, name: &str, contents: &[u8]) {
        fs::write(self.path(name), contents).unwrap();
    }

    pub(crate) fn get(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn blank(&self, name: &str, bytes: u64) {
        File::create(self.path(name)).unwrap().set_len(bytes).unwrap();
    }

    /// Changes bytes of the image.
    pub(crate) fn damage(&self, offset: u64, change: impl Fn(&mut [u8])) {
        let mut image = self.get("image");
        change(&mut image[offset as usize..]);
        self.put("image", &image);
    }

    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Run {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(args)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(input); // it may have ended already
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Run { code: output.status.code().unwrap(), stdout: output.stdout, stderr }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.run_with(args, b"")
    }

    /// Runs a command that must succeed; its object.
    pub(crate) fn ok(&self, args: &[&str]) -> Value {
        let run = self.run(&[args, &["--json"]].concat());
        assert_eq!(run.code, 0, "{args:?}: {}", run.json());
        assert_eq!(run.json()["ok"], true);
        run.json()
    }

    /// Runs a command that must fail in this way, without a change to any file here, and say so to people too.
    pub(crate) fn fails(&self, args: &[&str], error: &str, code: i32) -> Value {
        let before = self.snapshot();
        let run = self.run(&[args, &["--json"]].concat());
        let object = run.json();
        assert_eq!((object["error"].as_str(), run.code), (Some(error), code), "{args:?}: {object}");
        assert_eq!(object["ok"], false);
        assert!(object["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{object}");
        let plain = self.run(args);
        assert_eq!((plain.code, plain.stdout.as_slice()), (code, &b""[..]), "{args:?}");
        assert!(plain.stderr.contains(object["message"].as_str().unwrap()), "{}", plain.stderr);
        assert!(before == self.snapshot(), "{args:?} changed a file");
        object
    }

    /// Every file and what it holds.
    fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder); // only rubbish is left otherwise
        }
    }
}
