//! ext4 and NTFS, made and checked by their own tools through the served volume: nbdfuse makes a file of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command},
    thread,
    time::Duration,
};

use fastrand::Rng;
use sluice_conformance::{Bench, KINDS, Server, run};

/// A served volume as a file.
struct AsFile {
    nbdfuse: Child,
    folder: PathBuf,
}

impl AsFile {
    fn new(bench: &Bench, server: &Server) -> Self {
        let folder = bench.path("fuse");
        fs::create_dir_all(&folder).unwrap();
        let mut nbdfuse = Command::new("nbdfuse");
        let nbdfuse = nbdfuse.arg(&folder).arg("--unix").arg(server.socket()).spawn().unwrap();
        let found = Self { nbdfuse, folder };
        for _ in 0..100 {
            if found.path().exists() {
                return found;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("nbdfuse shows no file; is there /dev/fuse?");
    }

    fn path(&self) -> PathBuf {
        self.folder.join("nbd")
    }

    fn end(mut self) {
        run(Command::new("fusermount3").arg("-u").arg(&self.folder));
        assert!(self.nbdfuse.wait().unwrap().success());
    }
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut random = Rng::with_seed(9);
    (0..bytes).map(|_| random.u8(..)).collect()
}

#[test]
fn ext4_is_made_filled_and_clean() {
    for kind in KINDS {
        let bench = Bench::new("ext4", kind, 128);
        bench.fill("file", &noise(5_000_000));
        let server = bench.serve(&[]);
        let disk = AsFile::new(&bench, &server);
        run(Command::new("mke2fs").args(["-q", "-t", "ext4", "-F"]).arg(disk.path()));
        let file = bench.path("file");
        for number in 0..6 {
            let write = format!("write {} file{number}", file.display());
            run(Command::new("debugfs").args(["-w", "-R", &write]).arg(disk.path()));
        }
        run(Command::new("debugfs").args(["-w", "-R", "rm file3"]).arg(disk.path()));
        run(Command::new("e2fsck").arg("-fn").arg(disk.path()));
        disk.end();
        server.stop();
        bench.check();
        // And once more, after it was closed.
        let server = bench.serve(&["--read-only"]);
        let disk = AsFile::new(&bench, &server);
        run(Command::new("e2fsck").arg("-fn").arg(disk.path()));
        let dump = format!("dump file5 {}", bench.path("back").display());
        run(Command::new("debugfs").args(["-R", &dump]).arg(disk.path()));
        assert!(fs::read(bench.path("back")).unwrap() == fs::read(&file).unwrap());
        disk.end();
        server.stop();
    }
}

#[test]
fn ntfs_is_made_filled_and_clean() {
    for kind in KINDS {
        let bench = Bench::new("ntfs", kind, 128);
        bench.fill("file", &noise(3_000_000));
        let server = bench.serve(&[]);
        let disk = AsFile::new(&bench, &server);
        run(Command::new("mkntfs").args(["--fast", "--force", "--quiet"]).arg(disk.path()));
        for number in 0..4 {
            run(Command::new("ntfscp")
                .arg("-f")
                .arg(disk.path())
                .arg(bench.path("file"))
                .arg(format!("file{number}")));
        }
        run(Command::new("ntfsfix").arg("-n").arg(disk.path()));
        let back = run(Command::new("ntfscat").arg("-f").arg(disk.path()).arg("file2")).stdout;
        assert!(back == fs::read(bench.path("file")).unwrap());
        disk.end();
        server.stop();
        bench.check();
    }
}
