//! Volumes on the disks of NBD servers, which may refuse, forget, vanish and come back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{fs, os::unix::net::UnixStream, process::Command, thread, time::Duration};

use fastrand::Rng;
use sluice_conformance::{
    Bench, KINDS, Kind, MIB,
    lower::{Lower, Program},
    numbered::{Writer, nbdsh, verify},
    run,
};

/// A new volume on a server's disk.
fn volume_on(program: Program, kind: Kind, name: &str) -> (Bench, Lower) {
    let mut bench = Bench::without_volume(&format!("{name}-{program:?}"), kind);
    let lower = Lower::start(&bench, program, 96);
    bench.lies_on(&lower.uri());
    run(&mut bench.format(kind));
    (bench, lower)
}

/// A server that has come back is asked again after a moment.
fn moment() {
    thread::sleep(Duration::from_millis(1200));
}

#[test]
fn both_kinds_lie_on_the_disks_of_servers() {
    let mut random = Rng::with_seed(3);
    let bytes: Vec<u8> = (0..20 * MIB).map(|_| random.u8(..)).collect();
    for program in [Program::File, Program::Blocks, Program::Memory, Program::Qemu] {
        for kind in KINDS {
            let (bench, _lower) = volume_on(program, kind, "lies");
            bench.fill("plain", &bytes);
            let server = bench.serve(&[]);
            run(Command::new("nbdcopy").arg("--flush").arg(bench.path("plain")).arg(server.uri()));
            let commands = ["write -P 9 21M 64k", "write -z 22M 1M", "flush", "read -P 9 21M 64k"];
            let mut io = Command::new("qemu-io");
            io.args(["-f", "raw"]).args(commands.iter().flat_map(|command| ["-c", *command]));
            run(io.arg(server.uri()));
            server.stop();
            assert!(bench.cat(20 * MIB) == bytes, "{program:?} {kind:?}");
            bench.check();
            if kind == Kind::Mapped {
                run(&mut bench.sluice("compact"));
                bench.check();
            }
            let server = bench.serve(&["--read-only"]);
            let mut io = Command::new("qemu-io");
            run(io.args(["-r", "-f", "raw", "-c", "read -P 9 21M 64k"]).arg(server.uri()));
            server.stop();
        }
    }
}

#[test]
fn what_was_flushed_survives_a_server_that_vanishes() {
    for kind in KINDS {
        let (bench, mut lower) = volume_on(Program::Forgetful, kind, "vanishes");
        for round in 0..3u64 {
            let server = bench.serve(&[]);
            let writer = Writer::start(&server);
            thread::sleep(Duration::from_millis(900 + 400 * round));
            lower.kill();
            // It ends at the first error.
            let durable = writer.durable();
            // What has been flushed is on the server, and nowhere else.
            let read = format!("h.pread(65536, {})", durable * 65536 % (32 << 20));
            assert!(!nbdsh(&server, &read).output().unwrap().status.success(), "{kind:?}: there is nobody");
            lower.again();
            moment();
            // What was being written is lost, or not: nothing more may be called durable, by anybody.
            let write = "h.pwrite(bytes(65536), 40 << 20); h.flush()";
            for code in [write, write, "h.flush()"] {
                let refused = nbdsh(&server, code).output().unwrap();
                assert!(!refused.status.success(), "{kind:?}: {refused:?}");
            }
            server.stop();
            verify(&bench, durable);
            bench.check();
        }
        let server = bench.serve(&[]);
        run(&mut nbdsh(&server, "h.pwrite(bytes(65536), 40 << 20); h.flush()"));
        server.stop();
        bench.check();
    }
}

#[test]
fn what_is_not_flushed_when_a_server_vanishes_is_never_called_durable() {
    for kind in KINDS {
        let (bench, mut lower) = volume_on(Program::Forgetful, kind, "forgets");
        let server = bench.serve(&[]);
        run(&mut nbdsh(&server, "h.pwrite(b'1' * 65536, 0); h.flush()"));
        // Acknowledged, and nothing else.
        run(&mut nbdsh(&server, "h.pwrite(b'2' * 65536, 0)"));
        lower.kill();
        lower.again();
        for _ in 0..3 {
            let flush = nbdsh(&server, "h.flush()").output().unwrap();
            assert!(!flush.status.success(), "{kind:?}: what was written last is gone: {flush:?}");
            moment();
        }
        server.stop();
        let found = bench.cat(65536);
        assert!(found == [b'1'; 65536] || found == [b'2'; 65536], "{kind:?}");
        bench.check();
    }
}

#[test]
fn a_server_that_comes_back_is_used_again_if_nothing_can_be_lost() {
    for kind in KINDS {
        let (bench, mut lower) = volume_on(Program::File, kind, "back");
        let server = bench.serve(&[]);
        run(&mut nbdsh(&server, "h.pwrite(b'1' * 65536, 0); h.flush()"));
        lower.kill();
        assert!(!nbdsh(&server, "h.pread(65536, 0)").output().unwrap().status.success());
        lower.again();
        moment();
        let code = "assert h.pread(65536, 0) == b'1' * 65536; h.pwrite(b'2' * 65536, 65536); h.flush()";
        run(&mut nbdsh(&server, code));
        server.stop();
        assert_eq!(bench.cat(131_072)[65536..], [b'2'; 65536]);
        bench.check();
    }
}

#[test]
fn a_server_that_comes_back_with_another_disk_is_not_believed() {
    for kind in KINDS {
        let (bench, mut lower) = volume_on(Program::File, kind, "other");
        let server = bench.serve(&[]);
        run(&mut nbdsh(&server, "h.pwrite(b'1' * 65536, 0); h.flush()"));
        lower.kill();
        fs::rename(bench.path("disk"), bench.path("kept")).unwrap();
        fs::File::create(bench.path("disk")).unwrap().set_len(96 * MIB).unwrap();
        lower.again();
        // The first finds out that the connection is broken, the next that there is another disk.
        for _ in 0..2 {
            let read = nbdsh(&server, "h.pread(65536, 0)").output().unwrap();
            assert!(!read.status.success(), "{kind:?}: {read:?}");
        }
        lower.kill();
        fs::rename(bench.path("kept"), bench.path("disk")).unwrap();
        lower.again();
        moment();
        run(&mut nbdsh(&server, "assert h.pread(65536, 0) == b'1' * 65536"));
        server.stop();
        bench.check();
    }
}

#[test]
fn what_cannot_hold_a_volume_is_refused() {
    let mut bench = Bench::without_volume("cannot", Kind::Mapped);
    let socket = bench.path("lower");
    let uri = format!("nbd+unix:///?socket={}", socket.display());
    bench.lies_on(&uri);
    let refused = |code: i32, word: &str| {
        let output = bench.format(Kind::Mapped).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && said.contains(word), "{word}: {output:?}");
    };
    refused(1, "cannot open nbd+unix:");
    let zeros = ["eval", "get_size=echo 67108864", "pread=head -c $3 /dev/zero"];
    let file = format!("file={}", bench.path("disk").display());
    fs::File::create(bench.path("disk")).unwrap().set_len(64 * MIB).unwrap();
    let cases: [(&[&str], &str); 3] = [
        (&[zeros[0], zeros[1], zeros[2], "pwrite=cat >/dev/null"], "cannot flush"),
        (&["--readonly", "file", &file], "write-protected"),
        (
            &[
                "--filter=blocksize-policy",
                "file",
                &file,
                "blocksize-minimum=64k",
                "blocksize-preferred=64k",
                "blocksize-error-policy=error",
            ],
            "multiples of 65536",
        ),
    ];
    for (arguments, word) in cases {
        let mut nbdkit = Command::new("nbdkit");
        nbdkit.args(["--foreground", "--unix"]).arg(&socket).args(arguments);
        let mut nbdkit = nbdkit.spawn().unwrap();
        while UnixStream::connect(&socket).is_err() {
            assert!(nbdkit.try_wait().unwrap().is_none(), "nbdkit does not start");
            thread::sleep(Duration::from_millis(20));
        }
        refused(1, word);
        nbdkit.kill().unwrap();
        nbdkit.wait().unwrap();
        fs::remove_file(&socket).unwrap();
    }
}
