//! `key`: who may open a volume.

use crate::bench::{Bench, CHEAP};

fn opens(bench: &Bench, source: &[&str]) -> bool {
    bench.run(&[&["cat", "image", "--length", "1"], source].concat()).code == 0
}

const PASS: [&str; 2] = ["--passphrase-file", "pass"];
const OTHER: [&str; 2] = ["--passphrase-file", "other"];

#[test]
fn keys_come_and_go() {
    let bench = Bench::formatted();
    let key = |words: &[&str]| bench.ok(&[&["key"], words, &PASS].concat());
    let added =
        key(&[&["add", "image", "--new-key-file", "keyfile", "--label", "vault"], &CHEAP[..]].concat());
    assert_eq!(added["slot"], 1);
    assert!(opens(&bench, &PASS) && opens(&bench, &["--key-file", "keyfile"]));
    assert!(!opens(&bench, &["--key-file", "image"]));
    let code = key(&[&["add", "image", "--new-recovery-code"], &CHEAP[..]].concat());
    let text = code["recovery_code"].as_str().unwrap().to_lowercase().replace('-', " ");
    bench.put("code", text.as_bytes());
    assert!(opens(&bench, &["--recovery-file", "code"]));
    assert!(opens(&bench, &["--passphrase-file", "code"]), "a code typed as a passphrase");
    let listed = bench.ok(&["key", "list", "image"]);
    let kinds: Vec<_> =
        listed["slots"].as_array().unwrap().iter().map(|slot| slot["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["passphrase", "key file", "recovery code"]);
    assert_eq!(listed["slots"][1]["label"], "vault");
    let changed = key(&[&["change", "image", "--new-passphrase-file", "other"], &CHEAP[..]].concat());
    assert_eq!(changed["slot"], 0);
    assert!(opens(&bench, &OTHER) && !opens(&bench, &PASS));
    bench.ok(&["key", "remove", "image", "--slot", "1", "--passphrase-file", "other"]);
    assert!(!opens(&bench, &["--key-file", "keyfile"]) && opens(&bench, &OTHER));
    bench.ok(&["key", "remove", "image", "--slot", "0", "--recovery-file", "code"]);
    assert!(!opens(&bench, &OTHER) && opens(&bench, &["--recovery-file", "code"]));
    assert_eq!(bench.ok(&["info", "image"])["other_copy"], "good");
    bench.fails(&["key", "remove", "image", "--slot", "2", "--recovery-file", "code"], "slot", 7);
    bench.fails(&["key", "remove", "image", "--slot", "0", "--recovery-file", "code"], "slot", 1);
}

#[test]
fn eight_keys_and_no_more() {
    let bench = Bench::formatted();
    for slot in 1..8 {
        bench.put("next", format!("passphrase {slot}").as_bytes());
        let add = ["key", "add", "image", "--passphrase-file", "pass", "--new-passphrase-file", "next"];
        assert_eq!(bench.ok(&[&add[..], &CHEAP[..]].concat())["slot"], slot);
    }
    let add = ["key", "add", "image", "--passphrase-file", "pass", "--new-passphrase-file", "other"];
    bench.fails(&[&add[..], &CHEAP[..]].concat(), "slot", 1);
    assert!(opens(&bench, &PASS) && opens(&bench, &["--passphrase-file", "next"]));
}

#[test]
fn secrets_come_from_standard_input_too() {
    let bench = Bench::new();
    let format = [&["format", "image", "--passphrase-file", "-"], &CHEAP[..]].concat();
    assert_eq!(bench.run_with(&format, b"from a pipe\n").code, 0);
    for typed in [&b"from a pipe"[..], b"from a pipe\n", b"from a pipe\r\n"] {
        assert_eq!(
            bench.run_with(&["cat", "image", "--length", "1", "--passphrase-file", "-"], typed).code,
            0
        );
    }
    assert_eq!(bench.run_with(&["cat", "image", "--passphrase-file", "-"], b"From a pipe\n").code, 3);
}

#[test]
fn a_secret_that_cannot_be_had_is_named() {
    let bench = Bench::formatted();
    bench.put("empty", b"\n");
    bench.put("typo", b"AAAAAA-AAAAAA-AAAAAA-AAAAAA-AAAAAA-AAAB");
    let add = |new: &[&str], error, code| {
        let add = ["key", "add", "image", "--passphrase-file", "pass"];
        bench.fails(&[&add[..], new, &CHEAP[..]].concat(), error, code);
    };
    add(&["--new-passphrase-file", "empty"], "secret", 1);
    add(&["--new-passphrase-file", "missing"], "open", 1);
    bench.put("empty", b"");
    add(&["--new-key-file", "empty"], "secret", 1);
    let long = "x".repeat(65);
    add(&["--new-key-file", "keyfile", "--label", &long], "slot", 1);
    let run = bench.run(&["cat", "image", "--recovery-file", "typo"]);
    assert!(run.code == 1 && run.stderr.contains("mistyped"), "{}", run.stderr);
    // No terminal to ask at.
    let run = bench.run(&["key", "remove", "image", "--slot", "0"]);
    assert!(run.code == 1 && run.stderr.contains("--passphrase-file"), "{}", run.stderr);
}
