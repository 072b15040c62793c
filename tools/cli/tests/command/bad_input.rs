//! Every bad input has its own clear error and leaves all data as it was.

use std::{
    fs::{self, File},
    process::Command,
};

use sha2::{Digest, Sha256};

use crate::bench::{Bench, CHEAP, COPY_B, DISK, MIB};

/// Every command that takes a volume, with what it needs to get that far.
const COMMANDS: [&[&str]; 9] = [
    &["info", "image"],
    &["cat", "image", "--output", "out", "--passphrase-file", "pass"],
    &["key", "list", "image"],
    &["key", "add", "image", "--passphrase-file", "pass", "--new-key-file", "keyfile"],
    &["key", "change", "image", "--passphrase-file", "pass", "--new-key-file", "keyfile"],
    &["key", "remove", "image", "--slot", "0", "--passphrase-file", "pass"],
    &["header", "backup", "image", "saved"],
    &["header", "repair", "image"],
    &["dump", "image", "journal", "--passphrase-file", "pass"],
];

fn all_fail(bench: &Bench, error: &str, code: i32) {
    for command in COMMANDS {
        bench.fails(command, error, code);
    }
}

/// Changes a field of both copies and makes their checksums fit.
fn forge(bench: &Bench, at: usize, bytes: &[u8]) {
    for place in [0, COPY_B] {
        bench.damage(place, |copy| {
            copy[at..at + bytes.len()].copy_from_slice(bytes);
            copy[208..240].fill(0);
            let sum = Sha256::digest(&copy[..4096]);
            copy[208..240].copy_from_slice(&sum);
        });
    }
}

fn format(image: &str, more: &[&str]) -> Vec<String> {
    let words = [&["format", image, "--passphrase-file", "pass"], more, &CHEAP[..]].concat();
    words.into_iter().map(str::to_owned).collect()
}

fn format_fails(bench: &Bench, image: &str, more: &[&str], error: &str, code: i32) -> String {
    let words = format(image, more);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    bench.fails(&words, error, code)["message"].as_str().unwrap().to_owned()
}

#[test]
fn an_image_that_is_no_volume() {
    let bench = Bench::new();
    all_fail(&bench, "not_sluice", 4);
    for bytes in [0, 1, 511, 4095, 4096, MIB] {
        bench.blank("image", bytes);
        all_fail(&bench, "not_sluice", 4);
    }
    fs::remove_file(bench.path("image")).unwrap();
    all_fail(&bench, "open", 1);
}

#[test]
fn a_header_with_both_copies_damaged() {
    let bench = Bench::formatted();
    let good = bench.get("image");
    for (a, b) in [(0, 0), (7, 3), (8, 8), (100, 2100), (4095, 200), (230, 230)] {
        bench.put("image", &good);
        bench.damage(a, |bytes| bytes[0] ^= 0x10);
        bench.damage(COPY_B + b, |bytes| bytes[0] ^= 0x10);
        all_fail(&bench, "damaged", 5);
        format_fails(&bench, "image", &[], "not_empty", 7);
    }
}

#[test]
fn a_newer_version() {
    let bench = Bench::formatted();
    let good = bench.get("image");
    for at in [8, 12, 16] {
        bench.put("image", &good);
        // A version, or a feature, that is not known.
        forge(&bench, at, &[0x80]);
        all_fail(&bench, "newer_version", 5);
    }
}

#[test]
fn a_disk_smaller_than_its_header_says() {
    let bench = Bench::formatted();
    for bytes in [COPY_B + 4095, MIB, 4096] {
        File::options().write(true).open(bench.path("image")).unwrap().set_len(bytes).unwrap();
        all_fail(&bench, "disk_too_small", 5);
    }
}

#[test]
fn a_wrong_secret_of_each_kind() {
    let bench = Bench::formatted();
    let cat = ["cat", "image", "--output", "out"];
    for wrong in [["--passphrase-file", "wrong"], ["--key-file", "keyfile"]] {
        bench.fails(&[&cat[..], &wrong].concat(), "no_key_fits", 3);
    }
    let remove = ["key", "remove", "image", "--slot", "0", "--passphrase-file", "wrong"];
    bench.fails(&remove, "no_key_fits", 3);
}

#[test]
fn a_header_changed_by_somebody_without_a_key() {
    let bench = Bench::formatted();
    forge(&bench, 112, b"friendly label");
    bench.fails(COMMANDS[1], "tampered", 5);
    bench.fails(COMMANDS[3], "tampered", 5);
    // The label is shown all the same: `info` needs no key, and can promise nothing.
    assert_eq!(bench.ok(&["info", "image"])["label"], "friendly label");
}

#[test]
fn a_slot_with_a_cost_from_nowhere() {
    let bench = Bench::formatted();
    forge(&bench, 2048 + 8, &u32::MAX.to_le_bytes());
    let object = bench.fails(COMMANDS[1], "secret", 1);
    assert!(object["message"].as_str().unwrap().contains("cost"), "{object}");
}

#[test]
fn a_write_protected_image() {
    let bench = Bench::formatted();
    let mut permissions = bench.path("image").metadata().unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(bench.path("image"), permissions).unwrap();
    for command in [COMMANDS[3], COMMANDS[4], COMMANDS[5], COMMANDS[7]] {
        bench.fails(command, "write_protected", 1);
    }
    format_fails(&bench, "image", &["--force"], "write_protected", 1);
    bench.ok(&["info", "image"]);
    bench.ok(COMMANDS[1]);
}

#[test]
fn an_image_that_somebody_else_is_using() {
    let bench = Bench::formatted();
    let held = File::open(bench.path("image")).unwrap();
    held.lock_shared().unwrap();
    bench.ok(&["info", "image"]);
    for command in [COMMANDS[3], COMMANDS[7]] {
        bench.fails(command, "in_use", 6);
    }
    format_fails(&bench, "image", &["--force"], "in_use", 6);
    held.unlock().unwrap();
    held.lock().unwrap();
    all_fail(&bench, "in_use", 6);
    drop(held);
    bench.ok(&["header", "repair", "image"]);
}

/// Needs a superuser: a file system that is really full. Elsewhere it is not run.
#[test]
fn a_full_disk() {
    let bench = Bench::formatted();
    let Some(full) = Full::mount(&bench) else { return };
    bench.blank("full/image", DISK);
    full.fill();
    let message = format_fails(&bench, "full/image", &[], "full", 1);
    assert!(message.contains("full"), "{message}");
    assert!(bench.get("full/image").iter().all(|&byte| byte == 0), "something was written");
    let backup = bench.run(&["header", "backup", "image", "full/saved", "--json"]);
    assert_eq!(backup.json()["error"], "full", "{}", backup.json());
    let cat = ["cat", "image", "--passphrase-file", "pass", "--output", "full/out", "--json"];
    assert_eq!(bench.run(&cat).json()["error"], "full");
    assert!(!bench.path("full/out").exists(), "a part of the volume was left");
}

/// A small file system of its own, unmounted in the end.
struct Full<'a>(&'a Bench);

impl<'a> Full<'a> {
    fn mount(bench: &'a Bench) -> Option<Self> {
        fs::create_dir(bench.path("full")).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(bench.path("full"));
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(bench))
    }

    /// Takes what is left.
    fn fill(&self) {
        let zeros = vec![1; 1 << 20];
        assert!(fs::write(self.0.path("full/ballast"), zeros).is_err());
    }
}

impl Drop for Full<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path("full")).status();
    }
}

#[test]
fn format_refuses_what_holds_something() {
    let bench = Bench::new();
    let cases: [(usize, &[u8], &str); 8] = [
        (3, b"NTFS    ", "NTFS"),
        (3, b"-FVE-FS-", "BitLocker"),
        (510, &[0x55, 0xaa], "partition table"),
        (512, b"EFI PART", "GPT"),
        (0x438, &[0x53, 0xef], "ext4"),
        (0, b"LUKS\xba\xbe", "LUKS"),
        (500_000, b"x", "not all zeros"),
        (MIB as usize - 1, b"x", "not all zeros"),
    ];
    for (at, bytes, name) in cases {
        bench.blank("image", DISK);
        bench.damage(at as u64, |rest| rest[..bytes.len()].copy_from_slice(bytes));
        let message = format_fails(&bench, "image", &[], "not_empty", 7);
        assert!(message.contains(name), "{message}");
    }
    let words = format("image", &["--force"]);
    bench.ok(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let message = format_fails(&bench, "image", &[], "not_empty", 7);
    assert!(message.contains("Sluice"), "{message}");
}

#[test]
fn format_refuses_what_cannot_hold_a_volume() {
    let bench = Bench::new();
    for bytes in [0, 4096, 3 * MIB - 1] {
        bench.blank("image", bytes);
        format_fails(&bench, "image", &[], "geometry", 1);
    }
    bench.blank("image", 3 * MIB);
    let words = format("image", &[]);
    bench.ok(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let long = "ä".repeat(33);
    bench.blank("image", DISK);
    format_fails(&bench, "image", &["--label", &long], "slot", 1);
    let run = bench.run(&["format", ".", "--passphrase-file", "pass", "--json"]);
    assert_eq!(run.json()["error"], "open");
}

#[test]
fn a_driver_that_is_not_there() {
    let bench = Bench::new();
    for command in [&["status"][..], &["lock", "1"], &["lock"], &["unlock", "--passphrase-file", "pass"]] {
        let object = bench.fails(command, "no_driver", 8);
        assert!(object["advice"].as_str().unwrap().contains("sluice cat"));
    }
}

#[test]
fn a_command_line_that_makes_no_sense() {
    let bench = Bench::formatted();
    let wrong: [&[&str]; 6] = [
        &["frobnicate"],
        &["format"],
        &["cat", "image", "--passphrase-file", "pass", "--key-file", "keyfile"],
        &["key", "remove", "image", "--slot", "8"],
        &["format", "image", "--sector-size", "1024"],
        &["cat", "image", "--passphrase", "on the command line"],
    ];
    for command in wrong {
        let run = bench.run(&[command, &["--json"]].concat());
        assert_eq!((run.code, run.json()["error"].as_str()), (2, Some("usage")), "{command:?}");
        assert_eq!(bench.run(command).code, 2);
    }
    assert_eq!(bench.run(&["--help"]).code, 0);
}
