//! `sluice report` of volumes that are whole, damaged, or none. What a browser makes of the pages, `tests/conformance` sees.

use serde_json::{Value, json};

use crate::{
    bench::Bench,
    mapped::{PASS, encrypted, write},
};

fn page(bench: &Bench, more: &[&str]) -> String {
    let _ = std::fs::remove_file(bench.path("page"));
    let object = bench.ok(&[&["report", "image", "--output", "page"], more].concat());
    let page = String::from_utf8(bench.get("page")).unwrap();
    assert_eq!(
        (object["output"].as_str(), object["bytes"].as_u64()),
        (Some("page"), Some(page.len() as u64))
    );
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"), "{page}");
    page
}

/// Blocks 0 to 3 are in the trees, two of them equal; block 100 is in the journal.
fn written() -> Bench {
    let bench = encrypted(&["--size", "64M"]);
    let block = |number: u8| vec![number; 4096];
    write(&bench, 0, &[block(1), block(2), block(1), block(3)].concat());
    write(&bench, 100 * 4096, &block(4));
    bench
}

#[test]
fn the_page_goes_to_a_new_file_or_to_standard_output() {
    let bench = written();
    let to_file = page(&bench, &PASS);
    let run = bench.run(&[&["report", "image"], &PASS[..]].concat());
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    // The minute may have changed.
    assert_eq!(run.stdout.len(), to_file.len());
    bench.fails(&[&["report", "image", "--output", "page"], &PASS[..]].concat(), "exists", 7);
    bench.fails(&["report", "image", "--output", "new", "--passphrase-file", "wrong"], "no_key_fits", 3);
    bench.fails(&["report", "pass", "--output", "new"], "not_sluice", 4);
}

#[test]
fn a_volume_that_was_not_closed_says_so() {
    let bench = written();
    let page = page(&bench, &PASS);
    assert!(page.contains("The volume was not closed"), "{page}");
    // Space is what it is after recovery; shared blocks are those of the last checkpoint.
    assert!(page.contains(&format!("data-field=\"written_bytes\" data-value=\"{}\"", 5 * 4096)), "{page}");
    assert!(page.contains("<td data-chunks=\"2\">") && page.contains("<td data-blocks=\"2\">"), "{page}");
}

#[test]
fn a_volume_in_place_has_its_page_without_a_key() {
    let bench = Bench::formatted();
    let page = page(&bench, &[]);
    assert!(page.contains("there is nothing to account for") && page.contains("in place"), "{page}");
}

#[test]
fn a_volume_that_does_not_open_has_a_page_of_what_is_left() {
    let bench = written();
    let roots = bench.ok(&[&["dump", "image"], &PASS[..]].concat());
    for copy in roots["roots"].as_array().unwrap() {
        bench.damage(copy["address"].as_u64().unwrap(), |bytes| bytes[..4096].fill(1));
    }
    let page = page(&bench, &PASS);
    assert!(
        page.contains("no root record of it is good") && page.contains("What it holds is not known"),
        "{page}"
    );
    assert!(page.contains("class=\"unknown\""), "{page}");
}

#[test]
fn damage_in_the_table_is_told_and_the_rest_is_shown() {
    let bench = written();
    let tree = bench.ok(&[&["dump", "image", "tree", "table"], &PASS[..]].concat());
    let leaf = tree["pages"].as_array().unwrap().last().unwrap();
    bench.damage(leaf["address"].as_u64().unwrap(), |bytes| bytes[0] ^= 1);
    let page = page(&bench, &PASS);
    assert!(page.contains("Pages of the table of chunks that are damaged: 1."), "{page}");
}

#[test]
fn a_record_must_be_one_and_of_this_volume() {
    let bench = Bench::formatted();
    let uuid = bench.ok(&["info", "image"])["uuid"].clone();
    let line = |uuid: &Value, requests: u64| {
        let read = json!({"name": "read", "requests": requests, "bytes": 1, "errors": 0, "nanoseconds": 9,
            "latency": [[10, requests]]});
        let volume = json!({"uuid": uuid, "path": "", "export": "", "kind": "in_place", "volume_bytes": 1,
            "writable": true, "operations": [read], "stages": [], "mapped": null, "rates": {}});
        json!({"version": 1, "volumes": [volume]}).to_string()
    };
    let report = ["report", "image", "--output", "page", "--record", "record"];
    for (wrong, text) in [
        ("nonsense", "understand"),
        ("{\"version\": 2}", "understand"),
        ("{\"version\": 1, \"volumes\": {}}", "understand"),
        (&line(&json!("of another"), 1), "find this volume"),
        ("", "find this volume"),
    ] {
        bench.put("record", wrong.as_bytes());
        let message = bench.fails(&report, "io", 1)["message"].to_string();
        assert!(message.contains(text), "{wrong}: {message}");
    }
    // The last line counts.
    bench.put("record", format!("{}\n{}\n", line(&uuid, 3), line(&uuid, 5)).as_bytes());
    let page = page(&bench, &["--record", "record"]);
    assert!(page.contains("data-requests=\"read\" data-value=\"5\""), "{page}");
}

#[test]
fn a_volume_without_keys_needs_none() {
    let bench = Bench::new();
    bench.blank("image", 16 << 20);
    bench.ok(&["format", "image", "--mapped", "--no-encryption"]);
    assert!(page(&bench, &[]).contains("none: everybody can read it"));
}
