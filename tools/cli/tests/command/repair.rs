//! `sluice check --repair`: what it puts right, what it leaves, and when it changes nothing.

use std::fs::File;

use serde_json::Value;

use crate::{
    bench::{Bench, MIB},
    mapped::{DISK, formatted, write},
};

/// Different blocks, in the clear on the disk.
fn data() -> Vec<u8> {
    (0..MIB / 8).flat_map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}

/// The same data at 0 and at 4 MiB, in chunks of their own.
fn filled() -> Bench {
    let bench = formatted(&["--no-encryption", "--no-compression", "--no-dedup"]);
    write(&bench, 0, &data());
    write(&bench, 4 * MIB, &data());
    // Opening it once more brings all of it into the trees.
    write(&bench, 9 * MIB, &[1; 4096]);
    bench
}

fn assert_whole(bench: &Bench) {
    for offset in [0, 4 * MIB] {
        let (offset, length) = (offset.to_string(), MIB.to_string());
        let cat = bench.run(&["cat", "image", "-q", "--offset", &offset, "--length", &length]);
        assert!(cat.code == 0 && cat.stdout == data(), "{}", cat.stderr);
    }
    let checked = bench.ok(&["check", "image"]);
    assert_eq!(checked["damaged"], false, "{checked}");
}

/// Damages a copy of block 77.
fn damage_block(bench: &Bench) {
    let block = &data()[77 * 4096..78 * 4096];
    let place = bench.get("image").windows(4096).position(|window| window == block).unwrap();
    bench.damage(place as u64 + 20, |bytes| bytes[0] ^= 1);
}

/// Damages what lies where the newest root record says at `field`.
fn damage_at(bench: &Bench, field: usize) {
    let image = bench.get("image");
    let word = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
    let root = [4096, 8192].into_iter().max_by_key(|root| word(root + 16)).unwrap();
    let place = word(root + field);
    assert!((MIB..DISK).contains(&place));
    bench.damage(place, |bytes| bytes[2] ^= 1);
}

fn named(object: &Value) -> String {
    object["repaired"]["named"].to_string()
}

#[test]
fn a_damaged_chunk_is_restored_from_its_twin() {
    let bench = filled();
    damage_block(&bench);
    assert_eq!(bench.run(&["check", "image"]).code, 5);
    let text = String::from_utf8(bench.run(&["check", "image"]).stdout).unwrap();
    assert!(text.contains("sluice check --repair"), "{text}");
    let repaired = bench.ok(&["check", "image", "--repair"]);
    assert_eq!(
        (repaired["repaired"]["count"].as_u64(), repaired["remaining"].as_u64()),
        (Some(1), Some(0)),
        "{repaired}"
    );
    assert!(named(&repaired).contains("has the same contents"), "{repaired}");
    assert_whole(&bench);
    let again = bench.ok(&["check", "image", "--repair"]);
    assert_eq!(again["repaired"]["count"], 0, "{again}");
}

#[test]
fn what_has_no_twin_is_reported_and_the_rest_repaired() {
    let bench = formatted(&["--no-encryption", "--no-compression"]);
    write(&bench, 0, &data());
    write(&bench, 9 * MIB, &[1; 4096]);
    damage_block(&bench);
    damage_at(&bench, 128 + 48);
    let run = bench.run(&["check", "image", "--repair", "--json"]);
    let found = run.json();
    assert_eq!((run.code, found["error"].as_str()), (5, Some("problems_found")), "{found}");
    assert_eq!((found["repaired"]["count"].as_u64(), found["remaining"].as_u64()), (Some(1), Some(2)));
    assert_eq!(found["volume"]["lost_blocks"], serde_json::json!([77]), "{found}");
    let text = bench.run(&["check", "image", "--repair"]);
    assert!(String::from_utf8(text.stdout).unwrap().contains("block 77 (bytes"));
}

#[test]
fn a_volume_that_does_not_open_for_its_accounts_is_repaired() {
    // The root of the space tree, and the list of segments that hold pages.
    for field in [128 + 48, 80] {
        let bench = filled();
        damage_at(&bench, field);
        let refused = bench.fails(&["check", "image"], "volume_damaged", 5);
        assert!(refused["advice"].as_str().unwrap().contains("sluice check --repair"), "{refused}");
        let repaired = bench.ok(&["check", "image", "--repair"]);
        assert_eq!(repaired["repaired"]["count"], 1, "{repaired}");
        assert_whole(&bench);
    }
}

#[test]
fn without_the_table_nothing_is_changed() {
    let bench = filled();
    damage_at(&bench, 128 + 24);
    bench.damage(DISK - MIB, |bytes| bytes[50] ^= 1);
    let refused = bench.fails(&["check", "image", "--repair"], "volume_damaged", 5);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("table of chunks is damaged"), "{message}");
    assert!(refused["advice"].as_str().unwrap().starts_with("Nothing was changed."));
}

#[test]
fn the_headers_other_copy_is_written_anew() {
    let bench = filled();
    bench.damage(0, |bytes| bytes[50] ^= 1);
    assert_eq!(bench.run(&["check", "image"]).code, 5);
    let repaired = bench.ok(&["check", "image", "--repair"]);
    assert_eq!(repaired["repaired"]["header"], "A", "{repaired}");
    assert_whole(&bench);
    // A volume in place has nothing else.
    let bench = Bench::formatted();
    bench.damage(0, |bytes| bytes[50] ^= 1);
    let repaired = bench.ok(&["check", "image", "--repair", "--passphrase-file", "pass"]);
    assert_eq!(repaired["repaired"]["header"], "A", "{repaired}");
    bench.ok(&["check", "image", "--passphrase-file", "pass"]);
}

#[test]
fn repairing_wants_the_image_for_itself() {
    let bench = filled();
    let file = File::open(bench.path("image")).unwrap();
    file.lock_shared().unwrap();
    bench.ok(&["check", "image"]);
    bench.fails(&["check", "image", "--repair"], "in_use", 6);
}
