//! The pages that `sluice report` makes, in a real browser.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{collections::HashSet, fs, path::PathBuf, process::Command};

use serde_json::Value;
use sluice_conformance::{
    Bench, Kind, MIB,
    browser::{Seen, look, picture},
    run, sluice,
};

/// A name that is markup where it is not escaped.
const LABEL: &str = "<script>nosuch()</script>\"&amp;'";

fn json(command: &mut Command) -> Value {
    serde_json::from_slice(&run(command.arg("--json")).stdout).unwrap()
}

fn report(bench: &Bench, more: &[&str]) -> PathBuf {
    let page = bench.path("page.html");
    let _ = fs::remove_file(&page);
    run(bench.sluice("report").arg("--output").arg(&page).args(more));
    page
}

/// The numbers behind `name="..."` in the document, with the number that the same element has as `number`.
fn numbers(dom: &str, name: &str, number: &str) -> Vec<(String, u64)> {
    let begins = format!("{name}=\"");
    let found = dom.split(&begins).skip(1).filter_map(|rest| {
        let (value, rest) = rest.split_once('"')?;
        let element = rest.split('>').next()?;
        let number = element.split(&format!("{number}=\"")).nth(1)?.split('"').next()?.parse().ok()?;
        Some((value.to_owned(), number))
    });
    found.collect()
}

fn field(seen: &Seen, name: &str) -> Option<u64> {
    numbers(&seen.dom, "data-field", "data-value").into_iter().find(|pair| pair.0 == name).map(|pair| pair.1)
}

fn plain(dom: &str, name: &str) -> u64 {
    let begins = format!("{name}=\"");
    let values = dom.split(&begins).skip(1);
    values.map(|rest| rest.split('"').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn quiet(seen: &Seen) {
    assert_eq!(seen.console, Vec::<String>::new());
    assert_eq!(seen.requests, Vec::<String>::new());
}

/// Neither blank nor the same in both schemes.
fn drawn(page: &std::path::Path) {
    let mut backgrounds = Vec::new();
    for dark in [false, true] {
        let dots = picture(page, dark);
        assert_eq!(dots.len(), 1000 * 2000);
        let colours: HashSet<_> = dots.iter().collect();
        assert!(colours.len() > 50, "{} colours, dark {dark}", colours.len());
        let background = dots.iter().filter(|dot| **dot == dots[0]).count();
        assert!(background < dots.len() * 9 / 10, "{background} dots are background, dark {dark}");
        backgrounds.push(dots[0].iter().map(|part| u32::from(*part)).sum::<u32>());
    }
    assert!(backgrounds[0] > 600 && backgrounds[1] < 150, "{backgrounds:?}");
}

/// Text, some of it several times.
fn contents() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(4);
    let mut bytes = Vec::new();
    while bytes.len() < 8 << 20 {
        let block: Vec<u8> = (0..4096).map(|_| b"abcdefgh"[random.usize(..8)]).collect();
        for _ in 0..random.usize(1..6) {
            bytes.extend(&block);
        }
    }
    bytes.truncate(8 << 20);
    bytes
}

#[test]
fn a_mapped_volumes_page_says_what_info_says() {
    let bench = Bench::new("report", Kind::Mapped, 64);
    let mut format = bench.sluice("format");
    format.args(["--mapped", "--force", "--yes", "--kdf-memory", "1", "--kdf-time", "1", "--label", LABEL]);
    run(&mut format);
    bench.fill("plain", &contents());
    let server = bench.serve(&[]);
    run(Command::new("nbdcopy").arg("--flush").arg(bench.path("plain")).arg(server.uri()));
    let record = run(Command::new(sluice()).env("XDG_RUNTIME_DIR", bench.path("")).args([
        "top",
        "--json",
        "--interval",
        "0.1",
        "--count",
        "2",
    ]));
    fs::write(bench.path("record"), record.stdout).unwrap();
    server.stop();

    let info = json(&mut bench.sluice("info"));
    let record = bench.path("record").display().to_string();
    let page = report(&bench, &["--record", &record]);
    let seen = look(&page);
    quiet(&seen);
    let space = info["space"].as_object().unwrap();
    assert!(space.len() >= 8 && space["saved_by_dedup"].as_u64() > Some(MIB), "{info}");
    for (name, value) in space {
        assert_eq!(field(&seen, name), value.as_u64(), "{name}");
    }
    assert_eq!(field(&seen, "volume_bytes"), info["volume_bytes"].as_u64());
    assert!(seen.dom.contains("&lt;script&gt;nosuch()&lt;/script&gt;"), "the label is text");
    // Each block leads to one chunk, and each chunk is counted once.
    assert_eq!(plain(&seen.dom, "data-blocks") * 4096, space["written_bytes"].as_u64().unwrap());
    assert_eq!(plain(&seen.dom, "data-chunks") * 4096, space["unique_bytes"].as_u64().unwrap());
    let segments = json(bench.sluice("dump").arg("segments"))["segments"].as_array().unwrap().len();
    let classes: u64 = numbers(&seen.dom, "data-class", "data-value").iter().map(|pair| pair.1).sum();
    assert_eq!(classes, segments as u64);
    assert!(seen.dom.matches("class=\"heat").count() >= 2 * segments, "two maps");
    let writes = numbers(&seen.dom, "data-requests", "data-value");
    assert!(writes.iter().any(|(name, count)| name == "write" && *count > 0), "{writes:?}");
    // Whoever sees no pictures is told what they show.
    let pictures = seen.dom.matches("<svg").count();
    assert!(pictures >= 6 && seen.dom.matches("role=\"img\"").count() == pictures);
    assert!(seen.dom.matches("<desc id=").count() == pictures);
    drawn(&page);
}

#[test]
fn a_volume_that_is_served_is_described_by_its_server() {
    for kind in [Kind::Mapped, Kind::InPlace] {
        let bench = Bench::new("report-live", kind, 64);
        let server = bench.serve(&[]);
        let io = ["-f", "raw", "-c", "write -P 9 1M 1M", "-c", "flush"];
        run(Command::new("qemu-io").args(io).arg(server.uri()));
        let page = report(&bench, &[]);
        let seen = look(&page);
        quiet(&seen);
        let requests = numbers(&seen.dom, "data-requests", "data-value");
        assert!(requests.iter().any(|(name, count)| name == "write" && *count > 0), "{requests:?}");
        assert!(seen.dom.contains("is being served"));
        assert_eq!(field(&seen, "written_bytes"), (kind == Kind::Mapped).then_some(MIB));
        server.stop();
        let page = report(&bench, &[]);
        let seen = look(&page);
        quiet(&seen);
        assert!(seen.dom.contains("It is not being served"));
        assert_eq!(field(&seen, "image_bytes"), Some(64 * MIB));
    }
}

/// What the tests above would overlook if it did not work.
#[test]
fn the_browser_notices_errors_requests_and_blank_pages() {
    let bench = Bench::new("report-bite", Kind::InPlace, 8);
    bench.fill("bad.html", b"<script>nosuch()</script><img src='http://127.0.0.1:9/picture.png'>");
    let seen = look(&bench.path("bad.html"));
    assert!(seen.console.iter().any(|line| line.contains("nosuch")), "{:?}", seen.console);
    assert!(seen.requests.iter().any(|url| url.contains("127.0.0.1:9")), "{:?}", seen.requests);
    bench.fill("blank.html", b"<p>");
    let colours: HashSet<_> = picture(&bench.path("blank.html"), false).into_iter().collect();
    assert_eq!(colours.len(), 1);
}
