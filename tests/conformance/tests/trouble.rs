//! Servers that are killed, images that are in use, clients that may not write.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{process::Command, thread, time::Duration};

use sluice_conformance::{
    Bench, KINDS,
    numbered::{Writer, verify},
    run,
};

#[test]
fn what_was_flushed_survives_kill_9() {
    for kind in KINDS {
        let bench = Bench::new("kill", kind, 96);
        for round in 0..4u64 {
            let server = bench.serve(&[]);
            let writer = Writer::start(&server);
            thread::sleep(Duration::from_millis(500 + 300 * round));
            server.kill();
            verify(&bench, writer.durable());
            bench.check();
        }
    }
}

#[test]
fn an_image_that_is_served_is_nobody_elses() {
    for kind in KINDS {
        let bench = Bench::new("use", kind, 64);
        let server = bench.serve(&[]);
        let second = bench.sluice("serve").arg("--socket").arg(bench.path("other")).output().unwrap();
        assert_eq!(second.status.code(), Some(6), "{second:?}");
        assert_eq!(bench.sluice("info").output().unwrap().status.code(), Some(6));
        server.stop();
        assert!(!bench.path("socket").exists(), "the socket goes with the server");
        run(&mut bench.sluice("info"));
    }
}

#[test]
fn a_wrong_key_and_an_address_for_all_are_refused() {
    for kind in KINDS {
        let bench = Bench::new("refused", kind, 64);
        let open = bench.sluice("serve").args(["--bind", "0.0.0.0"]).output().unwrap();
        assert!(
            open.status.code() == Some(1) && String::from_utf8_lossy(&open.stderr).contains("--tls"),
            "{open:?}"
        );
        bench.fill("pass", b"something else\n");
        let wrong = bench.sluice("serve").arg("--socket").arg(bench.path("socket")).output().unwrap();
        assert_eq!(wrong.status.code(), Some(3), "{wrong:?}");
    }
}

#[test]
fn looking_changes_nothing() {
    for kind in KINDS {
        let bench = Bench::new("look", kind, 64);
        let server = bench.serve(&[]);
        run(Command::new("qemu-io").args(["-f", "raw", "-c", "write -P 7 1M 1M"]).arg(server.uri()));
        // Not closed: opening has something to recover.
        server.kill();
        let before = std::fs::read(bench.path("image")).unwrap();
        let server = bench.serve(&["--read-only"]);
        run(Command::new("qemu-io").args(["-r", "-f", "raw", "-c", "read 1M 1M"]).arg(server.uri()));
        let write = Command::new("qemu-io")
            .args(["-f", "raw", "-c", "write 0 4k"])
            .arg(server.uri())
            .output()
            .unwrap();
        assert!(!write.status.success(), "{write:?}");
        server.stop();
        assert!(std::fs::read(bench.path("image")).unwrap() == before, "{kind:?}");
    }
}
