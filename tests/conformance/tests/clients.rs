//! Programs that copy, exercise and verify.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{fs, process::Command};

use fastrand::Rng;
use sluice_conformance::{Bench, KINDS, Kind, MIB, run};

/// Noise, zeros, repeats and text.
fn contents(mib: usize) -> Vec<u8> {
    let mut random = Rng::with_seed(1);
    let mut bytes = Vec::new();
    while bytes.len() < mib << 20 {
        match random.u32(..4) {
            0 => bytes.resize(bytes.len() + random.usize(1..300_000), 0),
            1 => (0..random.usize(1..100_000)).for_each(|_| bytes.push(random.u8(..))),
            2 => bytes.extend_from_within(bytes.len() / 2..),
            _ => {
                (0..random.usize(1..3000)).for_each(|i| bytes.extend(format!("line {i} of a text\n").bytes()))
            }
        }
    }
    bytes.truncate(mib << 20);
    bytes
}

#[test]
fn nbdcopy_and_qemu_img_find_what_was_copied() {
    let bytes = contents(40);
    for kind in KINDS {
        let bench = Bench::new("copy", kind, 96);
        bench.fill("plain", &bytes);
        let server = bench.serve(&[]);
        run(Command::new("nbdcopy").arg("--flush").arg(bench.path("plain")).arg(server.uri()));
        run(Command::new("nbdcopy").arg(server.uri()).arg(bench.path("back")));
        let back = fs::read(bench.path("back")).unwrap();
        assert!(
            back[..bytes.len()] == bytes[..] && back[bytes.len()..].iter().all(|byte| *byte == 0)
                || kind == Kind::InPlace
        );
        assert!(back[..bytes.len()] == bytes[..], "{kind:?}");
        // qemu reads by itself, and compares with what nbdcopy read.
        run(Command::new("qemu-img")
            .args(["compare", "-f", "raw", "-F", "raw"])
            .arg(bench.path("back"))
            .arg(server.uri()));
        server.stop();
        assert!(bench.cat(40 * MIB) == bytes, "{kind:?}");
        bench.check();
    }
}

#[test]
fn qemu_io_writes_reads_zeroes_and_discards_at_odd_places() {
    for kind in KINDS {
        let bench = Bench::new("qemu-io", kind, 64);
        let server = bench.serve(&[]);
        let commands = [
            "write -P 0x11 0 1M",
            "write -P 0x22 513 8191",
            "write -P 0x33 70000 1",
            "read -P 0x11 0 513",
            "read -P 0x22 513 8191",
            "read -P 0x33 70000 1",
            "read -P 0x11 70001 900000",
            "write -z 100000 200001",
            "read -P 0 100000 200001",
            "read -P 0x11 99000 1000",
            "read -P 0x11 300001 4096",
            "write -f -P 0x44 1M 3M",
            "discard 1M 1M",
            "read -P 0x44 2M 2M",
            "aio_write -P 0x55 5M 2M",
            "aio_write -P 0x66 7M 2M",
            "aio_flush",
            "flush",
            "read -P 0x55 5M 2M",
            "read -P 0x66 7M 2M",
        ];
        let mut io = Command::new("qemu-io");
        io.args(["-f", "raw", "-d", "unmap", "-t", "none"]);
        commands.iter().for_each(|command| {
            io.args(["-c", command]);
        });
        let said = run(io.arg(server.uri()));
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(!said.contains("failed") && !said.contains("error"), "{said}");
        server.stop();
        bench.check();
    }
}

#[test]
fn fio_verifies_random_writes_of_every_size_and_trims() {
    for kind in KINDS {
        let bench = Bench::new("fio", kind, 128);
        let server = bench.serve(&[]);
        // A trim and the write that follows it are not kept in order unless one waits for the other.
        let trims =
            if kind == Kind::Mapped { ("randtrimwrite", "16k-16k", 1) } else { ("randwrite", "4k-64k", 16) };
        for (how, sizes, depth) in [("randwrite", "512-256k", 16), ("randwrite", "4k-4k", 16), trims] {
            let mut fio = Command::new("fio");
            fio.current_dir(bench.path("")).args(["--name=verify", "--ioengine=nbd", "--size=48M"]);
            fio.arg(format!("--uri={}", server.uri())).arg(format!("--rw={how}"));
            fio.arg(format!("--bsrange={sizes}")).arg(format!("--iodepth={depth}"));
            fio.args(["--verify=crc32c", "--verify_fatal=1", "--randseed=7", "--fsync=200"]);
            fio.args(["--dedupe_percentage=40", "--buffer_compress_percentage=50", "--io_size=40M"]);
            run(&mut fio);
        }
        server.stop();
        bench.check();
    }
}

/// Whether this kernel has io_uring and lets us, as fio finds.
fn has_io_uring(bench: &Bench) -> bool {
    let mut fio = Command::new("fio");
    fio.current_dir(bench.path("")).args(["--name=try", "--ioengine=io_uring", "--rw=write", "--size=64k"]);
    fio.output().unwrap().status.success()
}

/// Many small requests at once, over and over the same place: memory is filled again as soon as it can be.
#[test]
fn threads_and_io_uring_carry_out_the_same() {
    let bench = Bench::new("io", Kind::Mapped, 384);
    for how in ["threads", "uring"] {
        if how == "uring" && !has_io_uring(&bench) {
            // Containers forbid it.
            let mut serve = bench.sluice("serve");
            serve.args(["--io", how, "--socket"]).arg(bench.path("socket"));
            let output = serve.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && said.contains("io_uring cannot be used"), "{output:?}");
            return;
        }
        let server = bench.serve(&["--io", how]);
        for (rw, sizes, size) in [("randwrite", "4k-4k", "96M"), ("randwrite", "512-256k", "64M")] {
            let mut fio = Command::new("fio");
            fio.current_dir(bench.path("")).args(["--name=verify", "--ioengine=nbd", "--iodepth=32"]);
            fio.arg(format!("--uri={}", server.uri())).arg(format!("--rw={rw}"));
            fio.arg(format!("--bsrange={sizes}")).arg(format!("--size={size}"));
            fio.args(["--verify=crc32c", "--verify_fatal=1", "--randseed=11", "--fsync=500"]);
            fio.args(["--dedupe_percentage=50", "--buffer_compress_percentage=50"]);
            run(&mut fio);
        }
        server.stop();
        bench.check();
    }
}

#[test]
fn holes_are_reported_and_discards_make_them() {
    let bench = Bench::new("holes", Kind::Mapped, 64);
    let server = bench.serve(&[]);
    let map = || {
        let map = run(Command::new("nbdinfo").args(["--map", "--totals"]).arg(server.uri()));
        String::from_utf8_lossy(&map.stdout).into_owned()
    };
    let data = |map: &str| -> u64 {
        let line = map.lines().find(|line| line.contains("data") && !line.contains("hole"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    assert_eq!(data(&map()), 0, "{}", map());
    let io = |commands: &[&str]| {
        let mut io = Command::new("qemu-io");
        io.args(["-f", "raw", "-d", "unmap"]);
        commands.iter().for_each(|command| {
            io.args(["-c", command]);
        });
        run(io.arg(server.uri()));
    };
    io(&["write -P 1 8M 3M", "write -P 1 20M 4k", "flush"]);
    assert_eq!(data(&map()), 3 * MIB + 4096, "{}", map());
    io(&["discard 9M 1M", "write -z 20M 4k", "flush"]);
    assert_eq!(data(&map()), 2 * MIB, "{}", map());
    server.stop();
    bench.check();
}
