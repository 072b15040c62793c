//! What lies under the image is full, or fails for a while; clients that vanish.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use sluice_conformance::{Bench, KINDS, Kind, MIB, python, run};

/// Writes, has trouble begin, sees errors, has it end, goes on. What was flushed can be read all the time. `mapped` says whether
/// the volume is one; if so, what it acknowledged before the first error may be lost, so the next flush must fail, once.
const CLIENT: &str = r#"
import nbd, os, random, sys
uri, trouble, mapped = sys.argv[1], sys.argv[2], sys.argv[3] == "mapped"
step, noise = 65536, random.Random(1)
h = nbd.NBD()
h.connect_uri(uri)
good = {}
def write(number):
    data = noise.randbytes(step)
    h.pwrite(data, number * step)
    good[number] = data
def read_all():
    for number, data in good.items():
        assert h.pread(step, number * step) == data, number
for number in range(100):
    write(number)
h.flush()

ballast = None
if trouble.endswith("ballast"):
    ballast = open(trouble, "wb", buffering=0)
    try:
        while True:
            ballast.write(bytes(step))
    except OSError:
        pass
else:
    open(trouble, "w").close()
errors = []
for number in range(200, 700):
    try:
        write(number)
    except nbd.Error as error:
        errors.append(error.errno)
assert len(errors) > 100 and set(errors) <= {"EIO", "ENOSPC"}, errors
read_all()

if ballast: ballast.close()
os.unlink(trouble)
# The first that comes is served.
write(150)
try:
    h.flush()
    assert not mapped, "what was lost is not told"
except nbd.Error:
    assert mapped
# Whoever is told so writes again what was not flushed.
for number in list(good):
    if number >= 100:
        write(number)
h.flush()
read_all()
for number in range(200, 300):
    write(number)
h.flush()
read_all()
with open(sys.argv[4], "wb") as out:
    for number, data in good.items():
        out.seek(number * step)
        out.write(data)
h.shutdown()
"#;

/// Has it go wrong and right again, and looks at what is left.
fn suffer(bench: &Bench, kind: Kind, trouble: &Path, model: &Path) {
    let server = bench.serve(&[]);
    let kind = if kind == Kind::Mapped { "mapped" } else { "in place" };
    python(CLIENT, &[&server.uri(), &trouble.display().to_string(), kind, &model.display().to_string()]);
    server.stop();
    let expected = fs::read(model).unwrap();
    let found = bench.cat(expected.len() as u64);
    for (number, (found, expected)) in found.chunks(65536).zip(expected.chunks(65536)).enumerate() {
        // Where nothing was written that was told to be good, anything may be.
        assert!(found == expected || expected.iter().all(|byte| *byte == 0), "{kind}: {number}");
    }
    bench.check();
}

/// A small file system, until it is dropped.
struct Small(PathBuf);

impl Small {
    fn mount(folder: &Path) -> Self {
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"]).arg(folder));
        Self(folder.into())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_file_system_under_the_image_loses_nothing() {
    for kind in KINDS {
        let mut small = None;
        let bench = Bench::on("full", kind, 96, |folder| small = Some(Small::mount(folder)));
        let model = std::env::temp_dir().join(format!("sluice-conformance-{}-model", std::process::id()));
        suffer(&bench, kind, &bench.path("ballast"), &model);
        fs::remove_file(model).unwrap();
        drop(small);
    }
}

/// A file that fails while another is there: by nbdkit's filter, and nbdfuse.
struct Failing {
    nbdkit: Child,
    nbdfuse: Child,
    folder: PathBuf,
}

impl Failing {
    fn new(folder: &Path) -> Self {
        let (backing, socket, disk) = (folder.join("backing"), folder.join("below"), folder.join("disk"));
        fs::File::create(&backing).and_then(|file| file.set_len(96 * MIB)).unwrap();
        fs::create_dir(&disk).unwrap();
        let mut nbdkit = Command::new("nbdkit");
        nbdkit.args(["--foreground", "--filter=error", "--unix"]).arg(&socket).arg("file").arg(&backing);
        nbdkit.args(["error=EIO", "error-pwrite-rate=100%"]);
        let switch = folder.join("trouble").display().to_string();
        nbdkit.args([format!("error-pwrite-file={switch}"), format!("error-trim-file={switch}")]);
        nbdkit.args([
            format!("error-zero-file={switch}"),
            "error-trim-rate=100%".into(),
            "error-zero-rate=100%".into(),
        ]);
        let nbdkit = nbdkit.stderr(Stdio::null()).spawn().unwrap();
        wait_for(&socket);
        let nbdfuse = Command::new("nbdfuse")
            .arg(&disk)
            .arg("--unix")
            .arg(&socket)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(&disk.join("nbd"));
        std::os::unix::fs::symlink(disk.join("nbd"), folder.join("image")).unwrap();
        Self { nbdkit, nbdfuse, folder: folder.into() }
    }
}

fn wait_for(path: &Path) {
    for _ in 0..100 {
        if path.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{} does not appear; is there /dev/fuse?", path.display());
}

impl Drop for Failing {
    fn drop(&mut self) {
        let _ = Command::new("fusermount3").arg("-uz").arg(self.folder.join("disk")).status();
        let _ = self.nbdfuse.wait();
        let _ = self.nbdkit.kill();
        let _ = self.nbdkit.wait();
    }
}

#[test]
fn an_image_that_fails_for_a_while_loses_nothing() {
    for kind in KINDS {
        let mut failing = None;
        let bench = Bench::on("failing", kind, 96, |folder| failing = Some(Failing::new(folder)));
        suffer(&bench, kind, &bench.path("trouble"), &bench.path("model"));
        drop(failing);
    }
}

/// Many clients go in the middle of what they send and of what they are sent. Others may have to connect once more: nbdkit 1.32
/// may abort then, and is started again.
const VANISHING: &str = r#"
import nbd, os, random, sys, time
def connect():
    h = nbd.NBD()
    h.connect_uri(sys.argv[1])
    return h
def insist(what):
    for attempt in range(100):
        try:
            return what(connect())
        except nbd.Error:
            time.sleep(0.1)
    raise Exception("the server has gone")
mark = random.Random(2).randbytes(1 << 20)
h = connect()
h.pwrite(mark, 0)
h.flush()
h.shutdown()
for round in range(60):
    if os.fork() == 0:
        g = insist(lambda g: g)
        for i in range(8):
            at = (4 + (round * 8 + i) % 40) << 20
            if round % 3 == 2:
                g.aio_pread(nbd.Buffer(1 << 20), at)
            else:
                g.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(os.urandom(1 << 20))), at)
        for i in range(round % 5):
            g.poll(0)
        os._exit(0)
    os.wait()
    assert insist(lambda h: h.pread(1 << 20, 0)) == mark
insist(lambda h: h.pwrite(mark, 2 << 20, nbd.CMD_FLAG_FUA))
assert insist(lambda h: h.pread(1 << 20, 2 << 20)) == mark
"#;

#[test]
fn clients_that_vanish_in_mid_request_harm_nobody() {
    for kind in KINDS {
        let bench = Bench::new("vanish", kind, 96);
        let server = bench.serve(&[]);
        python(VANISHING, &[&server.uri()]);
        server.stop();
        bench.check();
    }
}

/// Written, and not flushed.
const UNFLUSHED: &str = r#"
import nbd, os, random, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
for turn in range(500):
    h.pwrite(random.Random(turn).randbytes(4096), turn * 4096)
os.kill(int(sys.argv[2]), 6)
try:
    for attempt in range(1000000):
        h.pread(4096, 0)
    sys.exit("it goes on")
except nbd.Error:
    pass
"#;

/// See [`UNFLUSHED`].
const STILL_THERE: &str = r#"
import nbd, random, sys, time
for attempt in range(100):
    try:
        h = nbd.NBD()
        h.connect_uri(sys.argv[1])
        break
    except nbd.Error:
        time.sleep(0.1)
for turn in range(500):
    assert h.pread(4096, turn * 4096) == random.Random(turn).randbytes(4096), turn
"#;

#[test]
fn a_server_that_aborts_takes_nothing_with_it_that_it_has_acknowledged() {
    for kind in KINDS {
        for round in 0..6 {
            let bench = Bench::new("abort", kind, 96);
            let mut server = bench.serve(&[]);
            python(UNFLUSHED, &[&server.uri(), &server.nbdkit().to_string()]);
            if round % 2 == 0 {
                // Told to end just then, it ends well nevertheless.
                server.stop();
                server = bench.serve(&[]);
            }
            python(STILL_THERE, &[&server.uri()]);
            server.stop();
            bench.check();
        }
    }
}
