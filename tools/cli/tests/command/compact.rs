//! `sluice compact`: what becomes free, what the image file gives back, and what an interruption leaves.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::{Child, Command, Stdio},
    time::Instant,
};

use sluice_mapped::io::Request;

use crate::{
    bench::{Bench, CHEAP, MIB},
    mapped::{PASS, ask, encrypted, formatted, write},
};

const WRITTEN: u64 = 12 * MIB;

/// Blocks of their own that do not compress.
fn fill(bench: &Bench, bytes: u64) {
    let words = (1..=bytes / 8).map(|i| {
        let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    });
    write(bench, 0, &words.flat_map(u64::to_le_bytes).collect::<Vec<u8>>());
}

/// A volume of which every third block is left.
fn sparse(bench: &Bench) {
    fill(bench, WRITTEN);
    let blocks = (0..WRITTEN / 4096).filter(|block| block % 3 != 0);
    ask(bench, blocks.map(|block| Request::Discard { offset: block * 4096, length: 4096 }).collect());
}

fn contents(bench: &Bench) -> Vec<u8> {
    let cat = bench.run(&[&["cat", "image", "-q", "--length", &WRITTEN.to_string()], &PASS[..]].concat());
    assert_eq!(cat.code, 0, "{}", cat.stderr);
    cat.stdout
}

fn assert_clean(bench: &Bench) {
    let checked = bench.ok(&[&["check", "image"], &PASS[..]].concat());
    assert_eq!(
        (checked["damaged"].as_bool(), checked["volume"]["chunks"].as_u64()),
        (Some(false), Some(1024))
    );
}

fn compact(bench: &Bench, more: &[&str]) -> serde_json::Value {
    bench.ok(&[&["compact", "image"], &PASS[..], more].concat())
}

/// Bytes that the image takes.
fn allocated(bench: &Bench) -> u64 {
    fs::metadata(bench.path("image")).unwrap().blocks() * 512
}

#[test]
fn segments_become_free_and_the_image_shrinks_if_it_is_to() {
    let bench = encrypted(&["--size", "64M"]);
    sparse(&bench);
    let (before, full) = (contents(&bench), allocated(&bench));
    let done = compact(&bench, &[]);
    let bytes = |name: &str| done[name].as_u64().unwrap();
    assert!(bytes("bytes_before") > WRITTEN && bytes("bytes_after") < WRITTEN / 3 + MIB, "{done}");
    assert_eq!(bytes("freed_bytes"), bytes("bytes_before") - bytes("bytes_after"));
    assert_eq!((bytes("discarded_bytes"), &done["discard"]), (0, &false.into()));
    assert!(allocated(&bench) >= full, "it was not to shrink");
    assert!(contents(&bench) == before);
    assert_clean(&bench);
    // There is nothing left to do, but to tell what is free.
    let again = compact(&bench, &["--discard"]);
    assert!(again["freed_bytes"].as_u64().unwrap() <= MIB / 4, "{again}");
    assert!(again["discarded_bytes"].as_u64().unwrap() > full / 2 && again["discard_refused"].is_null());
    assert!(allocated(&bench) < full - WRITTEN / 2, "{} of {full}", allocated(&bench));
    assert!(contents(&bench) == before);
    assert_clean(&bench);
}

#[test]
fn the_policy_of_the_volume_counts_and_the_text_says_what_can_be_done() {
    let bench = formatted(&["--no-encryption", "--size", "64M"]);
    let text = |bench: &Bench| {
        let run = bench.run(&["compact", "image"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        String::from_utf8(run.stdout).unwrap()
    };
    let silent = text(&bench);
    assert!(silent.contains("sluice compact --discard") && !silent.contains("has been told"), "{silent}");
    bench.ok(&["set", "image", "--discard", "on"]);
    let telling = text(&bench);
    assert!(telling.contains("has been told") && !telling.contains("compact --discard"), "{telling}");
}

#[test]
fn a_volume_that_is_almost_full_is_compacted_too() {
    let bench = formatted(&["--no-encryption", "--size", "64M"]);
    let room = bench.ok(&["info", "image"])["space"]["free_bytes"].as_u64().unwrap();
    let blocks = room * 97 / 100 / 4096;
    fill(&bench, blocks * 4096);
    // One in four is gone: every segment has a little to give.
    let gone = (0..blocks).step_by(4);
    ask(&bench, gone.map(|block| Request::Discard { offset: block * 4096, length: 4096 }).collect());
    let done = bench.ok(&["compact", "image", "--discard"]);
    let freed = done["freed_bytes"].as_u64().unwrap();
    assert!(freed > room / 8, "{done}");
    assert_eq!(bench.ok(&["check", "image"])["damaged"], false);
}

/// Begins to compact, and waits until something is written.
fn begin(bench: &Bench) -> Child {
    let written = || fs::metadata(bench.path("image")).unwrap().modified().unwrap();
    let before = written();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args([&["compact", "image", "--discard"], &PASS[..]].concat())
        .current_dir(&bench.folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while written() == before {
        assert!(child.try_wait().unwrap().is_none(), "it has ended and written nothing");
    }
    child
}

#[test]
fn killed_at_any_moment_it_leaves_a_good_volume() {
    let bench = encrypted(&["--size", "64M"]);
    sparse(&bench);
    let (before, image) = (contents(&bench), bench.get("image"));
    let mut child = begin(&bench);
    let started = Instant::now();
    assert!(child.wait().unwrap().success());
    let whole = started.elapsed();
    let mut killed = 0;
    for part in 0..8 {
        bench.put("image", &image);
        let mut child = begin(&bench);
        std::thread::sleep(whole * part / 8);
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        assert_clean(&bench);
        assert!(contents(&bench) == before);
    }
    assert!(killed >= 3, "{killed} times");
    compact(&bench, &[]);
    assert!(contents(&bench) == before);
}

#[test]
fn what_cannot_be_compacted_is_refused() {
    let bench = encrypted(&["--size", "64M"]);
    bench.fails(&["compact", "image", "--passphrase-file", "wrong"], "no_key_fits", 3);
    bench.fails(&[&["compact", "pass"], &PASS[..]].concat(), "not_sluice", 4);
    let file = fs::File::open(bench.path("image")).unwrap();
    file.lock_shared().unwrap();
    bench.fails(&[&["compact", "image"], &PASS[..]].concat(), "in_use", 6);
    drop(file);
    fs::set_permissions(bench.path("image"), fs::Permissions::from_mode(0o444)).unwrap();
    bench.fails(&[&["compact", "image"], &PASS[..]].concat(), "write_protected", 1);
    bench.blank("other", 4 * MIB);
    bench.ok(&[&["format", "other"], &PASS, &CHEAP[..]].concat());
    bench.fails(&[&["compact", "other"], &PASS[..]].concat(), "not_mapped", 1);
}
