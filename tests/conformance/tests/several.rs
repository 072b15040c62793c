//! Several volumes served at once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::process::Command;

use sluice_conformance::{Bench, KINDS, Kind, MIB, run};

fn io(uri: &str, commands: &[&str]) {
    let mut io = Command::new("qemu-io");
    io.args(["-f", "raw"]);
    commands.iter().for_each(|command| {
        io.args(["-c", command]);
    });
    run(io.arg(uri));
}

#[test]
fn each_is_found_by_its_name_and_the_first_without_one() {
    for (one, two) in [(KINDS[0], KINDS[1]), (KINDS[1], KINDS[0])] {
        let (first, second) = (Bench::new("first", one, 64), Bench::new("second", two, 96));
        let server = first.serve(&[&format!("the second={}", second.path("image").display())]);
        let list = run(Command::new("nbdinfo").args(["--list", "--json"]).arg(server.uri())).stdout;
        let list = String::from_utf8_lossy(&list).into_owned();
        assert!(
            list.contains("\"export-name\": \"image\"") && list.contains("\"export-name\": \"the second\""),
            "{list}"
        );
        io(&server.uri_of("image"), &["write -P 1 1M 1M"]);
        io(
            &server.uri_of("the%20second"),
            &["read -P 0 1M 1M", "write -P 2 1M 1M", "flush"][usize::from(two == Kind::InPlace)..],
        );
        io(&server.uri(), &["read -P 1 1M 1M", "flush"]);
        let unknown = Command::new("nbdinfo").arg(server.uri_of("third")).output().unwrap();
        assert!(!unknown.status.success(), "{unknown:?}");
        server.stop();
        for (bench, value) in [(&first, 1), (&second, 2)] {
            assert!(bench.cat(2 * MIB)[MIB as usize..].iter().all(|byte| *byte == value));
            bench.check();
        }
    }
}

#[test]
fn all_of_them_or_none() {
    let (first, second) = (Bench::new("all", Kind::Mapped, 64), Bench::new("none", Kind::InPlace, 64));
    let other = second.path("image").display().to_string();
    let refused = |second: &str, code, words: &str| {
        let socket = first.path("socket");
        let refused = first.sluice("serve").arg(second).arg("--socket").arg(&socket).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(code) && said.contains(words), "{refused:?}");
        assert!(!socket.exists());
        run(&mut first.sluice("info"));
    };
    refused(&other, 2, "two volumes are called image");
    refused(&format!("={other}"), 2, "no name");
    refused("other=/nowhere/image", 1, "other: ");
    refused(&format!("again={}", first.path("image").display()), 6, "again: ");
    // Another key than the first one's.
    run(Command::new("cp").arg("--sparse=always").arg(second.path("image")).arg(second.path("copy")));
    second.fill("new", b"something else\n");
    let mut change = second.sluice_key("change");
    run(change.arg("--new-passphrase-file").arg(second.path("new")));
    refused(&format!("second={other}"), 3, "second: ");
    let server = first.serve(&[&second.path("copy").display().to_string()]);
    server.stop();
}
