//! A short slice of `sluice bench`: that it measures what it says. How fast anything is, is not judged.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::{fs, process::Command};

use serde_json::Value;
use sluice_conformance::{Bench, Kind, run, sluice};

const CONTESTANTS: &str = "sluice-in-place,sluice-mapped,nbdkit-file,qemu-luks,qemu-qcow2-zstd";

#[test]
fn everything_that_is_installed_is_measured() {
    let bench = Bench::new("bench", Kind::InPlace, 8);
    let (images, report) = (bench.path("images"), bench.path("report"));
    fs::create_dir(&images).unwrap();
    let mut command = Command::new(sluice());
    command.args([
        "bench",
        "--json",
        "--size=64M",
        "--rounds=1",
        "--seconds=1",
        "--contestants",
        CONTESTANTS,
    ]);
    command.arg("--folder").arg(&images).arg("--report").arg(&report);
    let said: Value = serde_json::from_slice(&run(&mut command).stdout).unwrap();

    let servers = said["servers"].as_array().unwrap();
    assert_eq!(servers.len(), CONTESTANTS.split(',').count());
    let named = |name: &str| servers.iter().find(|server| server["name"] == name).unwrap();
    for server in servers {
        assert_eq!(server["not_measured"], Value::Null, "{server}");
        for (work, found) in server["works"].as_object().unwrap() {
            // Where it compresses, qemu-nbd takes whole clusters alone.
            let refused = server["name"] == "qemu-nbd qcow2, zstd" && work.starts_with("random");
            assert_eq!(
                found["median"].as_f64().is_some_and(|speed| speed > 0.0),
                !refused,
                "{work}: {server}"
            );
        }
    }
    // Half of the data is duplicates, and the rest halves.
    let stored = |name: &str| named(name)["stored_bytes"].as_f64().unwrap() / f64::from(64 << 20);
    assert!((0.95..1.1).contains(&stored("sluice, in place")), "{}", stored("sluice, in place"));
    assert!((0.2..0.4).contains(&stored("sluice, mapped")), "{}", stored("sluice, mapped"));
    assert!((0.4..0.7).contains(&stored("qemu-nbd qcow2, zstd")));
    assert_eq!(said["ratios"].as_array().unwrap().len(), 3);

    let written: Value = serde_json::from_slice(&fs::read(report.join("bench.json")).unwrap()).unwrap();
    assert_eq!(written["servers"], said["servers"]);
    let table = fs::read_to_string(report.join("bench.md")).unwrap();
    let plot = fs::read_to_string(report.join("bench.svg")).unwrap();
    assert!(plot.starts_with("<svg") && plot.trim_end().ends_with("</svg>"), "{plot}");
    for server in servers {
        let name = server["name"].as_str().unwrap();
        assert!(table.contains(name) && plot.contains(name), "{name}");
    }
    assert_eq!(fs::read_dir(&images).unwrap().count(), 0, "nothing is left");
}

#[test]
fn what_is_missing_is_named() {
    let mut command = Command::new(sluice());
    let output = command.args(["bench", "--json"]).env("PATH", "").output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["ok"], &said["error"]), (&false.into(), &"bench".into()));
    assert!(said["message"].as_str().unwrap().contains("fio"), "{said}");
}
