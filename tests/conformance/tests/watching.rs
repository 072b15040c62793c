//! What `sluice top` says of servers: to people, to programs, to Prometheus.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use sluice_conformance::{Bench, KINDS, Kind, MIB, run, sluice};

fn top(bench: &Bench, arguments: &[&str]) -> Vec<u8> {
    let mut top = Command::new(sluice());
    run(top.env("XDG_RUNTIME_DIR", bench.path("")).arg("top").args(arguments)).stdout
}

fn info(bench: &Bench) -> Value {
    serde_json::from_slice(&run(bench.sluice("info").arg("--json")).stdout).unwrap()
}

fn uuid(bench: &Bench) -> String {
    info(bench)["uuid"].as_str().unwrap().to_owned()
}

/// What is said of this volume; others may be served at the same time.
fn told(bench: &Bench, uuid: &str) -> Option<Value> {
    let line: Value = serde_json::from_slice(&top(bench, &["--json", "--interval", "0.1"])).unwrap();
    assert_eq!(line["ok"], true);
    line["volumes"].as_array().unwrap().iter().find(|volume| volume["uuid"] == uuid).cloned()
}

/// The same, of one that is being opened.
fn opened(bench: &Bench, uuid: &str) -> Value {
    let found = (0..100).find_map(|_| told(bench, uuid));
    found.unwrap_or_else(|| panic!("it is not told of"))
}

fn sockets(bench: &Bench) -> Vec<PathBuf> {
    fs::read_dir(bench.path("sluice")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn io(uri: &str, commands: &[&str]) {
    let mut io = Command::new("qemu-io");
    io.args(["-f", "raw", "-d", "unmap"]);
    commands.iter().for_each(|command| {
        io.args(["-c", command]);
    });
    run(io.arg(uri));
}

#[test]
fn what_clients_do_is_counted() {
    for kind in KINDS {
        let bench = Bench::new("top", kind, 64);
        let info = info(&bench);
        let uuid = uuid(&bench);
        let server = bench.serve(&[]);
        let volume = opened(&bench, &uuid);
        assert!(volume["path"].as_str().is_some_and(|path| path.ends_with("/image")), "{volume}");
        assert!(volume["operations"].as_array().unwrap().iter().all(|one| one["requests"] == 0), "{volume}");
        io(&server.uri(), &["write -P 7 4M 1M", "read -P 7 4M 512k", "read 0 4k", "flush"]);
        let volume = told(&bench, &uuid).unwrap();
        let of = |name: &str| {
            let all = volume["operations"].as_array().unwrap();
            all.iter().find(|one| one["name"] == name).unwrap().clone()
        };
        assert_eq!(of("write")["bytes"], MIB, "{volume}");
        assert!(of("read")["bytes"].as_u64().unwrap() >= MIB / 2 + 4096, "{volume}");
        assert!(of("flush")["requests"].as_u64().unwrap() >= 1, "{volume}");
        for one in volume["operations"].as_array().unwrap() {
            let pairs = one["latency"].as_array().unwrap();
            let counted: u64 = pairs.iter().map(|pair| pair[1].as_u64().unwrap()).sum();
            assert_eq!((one["requests"].as_u64(), one["errors"].as_u64()), (Some(counted), Some(0)), "{one}");
        }
        let rates = &volume["rates"];
        assert!(rates["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.1), "{rates}");
        assert_eq!(rates["all"]["requests_per_second"], 0.0, "nobody does anything now");
        let stage = |name: &str| {
            let all = volume["stages"].as_array().unwrap();
            all.iter().find(|one| one["name"] == name).unwrap().clone()
        };
        assert!(stage("device_write")["nanoseconds"].as_u64() > Some(0), "{volume}");
        match kind {
            Kind::InPlace => {
                assert_eq!(stage("encrypt")["bytes"], MIB);
                assert_eq!(volume["mapped"], Value::Null);
            }
            Kind::Mapped => {
                assert!(stage("engine_busy")["nanoseconds"].as_u64() > Some(0), "{volume}");
                // One block, 256 times.
                let mapped = &volume["mapped"];
                assert_eq!(mapped["space"]["written_bytes"], MIB);
                assert_eq!(mapped["space"]["saved_by_dedup"], MIB - 4096);
                assert_eq!(mapped["engine"]["shared_bytes"], MIB - 4096);
                assert!(mapped["memory"]["cache_bytes"].as_u64() > Some(0), "{volume}");
                assert_eq!(mapped["memory"]["index_bytes"], info["mapped"]["dedup_memory"]);
                assert_eq!(mapped["log"]["journal_bytes"], info["mapped"]["journal_bytes"]);
                assert!(mapped["log"]["journal_used_bytes"].as_u64() > Some(0), "{volume}");
                assert_eq!(
                    (&mapped["log"]["failed"], &mapped["log"]["requests"]),
                    (&json!(false), &json!(0))
                );
            }
        }
        server.stop();
        assert!(told(&bench, &uuid).is_none(), "it has ended");
        assert_eq!(sockets(&bench), Vec::<PathBuf>::new(), "the socket goes with the server");
    }
}

#[test]
fn a_request_that_fails_is_counted_as_an_error() {
    let bench = Bench::new("top-errors", Kind::InPlace, 64);
    let uuid = uuid(&bench);
    let server = bench.serve(&[]);
    // The image loses its end while it is served.
    fs::OpenOptions::new().write(true).open(bench.path("image")).unwrap().set_len(8 * MIB).unwrap();
    let mut read = Command::new("qemu-io");
    let read = read.args(["-f", "raw", "-c", "read 32M 4k"]).arg(server.uri()).output().unwrap();
    assert!(!read.status.success(), "{read:?}");
    let volume = told(&bench, &uuid).unwrap();
    let reads = &volume["operations"][0];
    assert!(reads["name"] == "read" && reads["errors"].as_u64() > Some(0), "{volume}");
    server.stop();
}

#[test]
fn what_a_killed_server_leaves_is_known_for_what_it_is() {
    let bench = Bench::new("top-stale", Kind::Mapped, 64);
    let uuid = uuid(&bench);
    let server = bench.serve(&[]);
    opened(&bench, &uuid);
    server.kill();
    let left = sockets(&bench);
    assert_eq!(left.len(), 1, "{left:?}");
    let line: Value = serde_json::from_slice(&top(&bench, &["--json", "--interval", "0.1"])).unwrap();
    let stale = line["stale"].as_array().unwrap();
    assert!(stale.contains(&json!(left[0])) && told(&bench, &uuid).is_none(), "{line}");
}

/// Prints, by Prometheus' own parser, the samples of a file as JSON.
const PARSER: &str = r#"
import sys, json
from prometheus_client.parser import text_string_to_metric_families as parse
families = list(parse(open(sys.argv[1]).read()))
names = [f.name for f in families]
assert len(names) == len(set(names)), names
assert all(f.documentation and f.type != "unknown" for f in families), names
print(json.dumps([[f.type, s.name, s.labels, s.value] for f in families for s in f.samples]))
"#;

#[test]
fn prometheus_understands_the_text() {
    // What must be escaped: it is part of the path.
    let bench = Bench::new("a\"b\\n", Kind::Mapped, 64);
    let uuid = uuid(&bench);
    let server = bench.serve(&[]);
    opened(&bench, &uuid);
    fs::write(bench.path("metrics"), top(&bench, &["--prometheus"])).unwrap();
    let mut parser = Command::new("/usr/bin/python3");
    let parsed = run(parser.args(["-c", PARSER]).arg(bench.path("metrics"))).stdout;
    let parsed: Value = serde_json::from_slice(&parsed).unwrap();
    let samples = || parsed.as_array().unwrap().iter().filter(|sample| sample[2]["uuid"] == uuid.as_str());
    let info = samples().find(|sample| sample[1] == "sluice_volume_info").unwrap();
    assert_eq!(info[2]["path"], json!(bench.path("image")), "{info}");
    let size = samples().find(|sample| sample[1] == "sluice_volume_size_bytes").unwrap();
    assert!(size[0] == "gauge" && size[3].as_f64() > Some(0.0), "{size}");
    assert!(samples().filter(|sample| sample[0] == "counter").count() > 10);
    let buckets = samples().filter(|sample| sample[1] == "sluice_request_duration_seconds_bucket");
    let buckets: Vec<_> = buckets.filter(|sample| sample[2]["operation"] == "read").collect();
    assert!(buckets.len() > 10 && buckets.last().unwrap()[2]["le"] == "+Inf", "{buckets:?}");
    server.stop();
}

#[test]
fn the_live_view_works_on_a_terminal_and_leaves_it_as_it_was() {
    let bench = Bench::new("top-live", Kind::Mapped, 64);
    let uuid = uuid(&bench);
    let server = bench.serve(&[]);
    opened(&bench, &uuid);
    let command = format!("stty rows 40 cols 150; exec '{}' top --interval 0.2", sluice().display());
    let mut script = Command::new("script");
    script.args(["-qefc", &command]).arg("/dev/null").env("TERM", "xterm-256color");
    script.env("XDG_RUNTIME_DIR", bench.path("")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = script.spawn().unwrap();
    thread::sleep(Duration::from_millis(1500));
    script.stdin.as_mut().unwrap().write_all(b"\x1b[B").unwrap();
    thread::sleep(Duration::from_millis(500));
    script.stdin.as_mut().unwrap().write_all(b"q").unwrap();
    let output = script.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    for wanted in ["\x1b[?1049h", "sluice", "image", "requests", "cleaner", "memory"] {
        assert!(said.contains(wanted), "{wanted:?}: {said:?}");
    }
    assert!(said.rfind("\x1b[?1049l") > said.find("cleaner"), "{said:?}");
    server.stop();
}

#[test]
fn without_a_terminal_the_live_view_says_what_to_do() {
    let output = Command::new(sluice()).arg("top").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("--json"), "{output:?}");
}
