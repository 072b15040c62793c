//! `header`: backup, restore, repair.

use std::fs;

use crate::bench::{Bench, CHEAP, COPY_B, DISK, MIB};

fn opens(bench: &Bench) -> bool {
    bench.run(&["cat", "image", "--length", "1", "--passphrase-file", "pass"]).code == 0
}

#[test]
fn a_damaged_copy_is_repaired_from_the_good_one() {
    let bench = Bench::formatted();
    let good = bench.get("image");
    for place in [0, COPY_B] {
        bench.put("image", &good);
        bench.damage(place, |bytes| bytes[..512].fill(0xee));
        assert!(opens(&bench), "one copy is enough");
        let info = bench.ok(&["info", "image"]);
        assert!(info["other_copy"].as_str().unwrap().starts_with("damaged"), "{info}");
        let name = if place == 0 { "A" } else { "B" };
        assert_eq!(bench.ok(&["header", "repair", "image"])["repaired"], name);
        assert!(bench.get("image") == good);
    }
    assert!(bench.ok(&["header", "repair", "image"])["repaired"].is_null());
}

#[test]
fn a_partition_table_over_the_first_copy_is_survived() {
    let bench = Bench::formatted();
    bench.damage(0, |bytes| bytes[..34 * 512].fill(0x55));
    let last = DISK - 33 * 512;
    bench.damage(last, |bytes| bytes.fill(0x55));
    assert!(opens(&bench));
    bench.ok(&["header", "repair", "image"]);
    assert_eq!(bench.ok(&["info", "image"])["copy_in_use"], "A");
}

#[test]
fn a_backup_brings_a_destroyed_header_back() {
    let bench = Bench::formatted();
    let good = bench.get("image");
    bench.ok(&["header", "backup", "image", "saved"]);
    assert_eq!(bench.get("saved"), good[..4096]);
    bench.fails(&["header", "backup", "image", "saved"], "exists", 7);
    // Both copies damaged: recognised as ours, so no force is needed.
    bench.damage(100, |bytes| bytes[0] ^= 1);
    bench.damage(COPY_B + 3000, |bytes| bytes[0] ^= 1);
    bench.fails(&["cat", "image", "--output", "out", "--passphrase-file", "pass"], "damaged", 5);
    bench.ok(&["header", "restore", "image", "saved"]);
    assert!(bench.get("image") == good);
    // Nothing left of it.
    bench.damage(0, |bytes| bytes[..4096].fill(0));
    bench.damage(COPY_B, |bytes| bytes[..4096].fill(0));
    bench.fails(&["header", "restore", "image", "saved"], "backup", 7);
    bench.ok(&["header", "restore", "image", "saved", "--force"]);
    assert!(bench.get("image") == good && opens(&bench));
}

#[test]
fn a_backup_of_something_else_is_refused() {
    let bench = Bench::formatted();
    bench.ok(&["header", "backup", "image", "mine"]);
    let other = Bench::formatted();
    other.ok(&["header", "backup", "image", "saved"]);
    fs::copy(other.path("saved"), bench.path("theirs")).unwrap();
    let restore = |file: &str| bench.fails(&["header", "restore", "image", file], "backup", 7);
    restore("theirs");
    bench.put("short", &bench.get("mine")[..4095]);
    restore("short");
    let mut torn = bench.get("mine");
    torn[2000] ^= 1;
    bench.put("torn", &torn);
    restore("torn");
    restore("image");
    bench.ok(&["header", "restore", "image", "theirs", "--force"]);
    assert!(bench.get("image")[..4096] == bench.get("theirs"));
}

#[test]
fn a_backup_for_another_size_is_refused() {
    let bench = Bench::formatted();
    bench.ok(&["header", "backup", "image", "saved"]);
    bench.blank("larger", DISK + MIB);
    bench.fails(&["header", "restore", "larger", "saved"], "backup", 7);
    // Where its second copy would lie past the end, force does not help.
    bench.blank("smaller", COPY_B);
    bench.fails(&["header", "restore", "smaller", "saved", "--force"], "backup", 7);
    bench.ok(&["header", "restore", "larger", "saved", "--force"]);
    assert_eq!(bench.ok(&["info", "larger"])["other_copy"], "good");
}

#[test]
fn an_interrupted_format_keeps_the_old_volume() {
    let bench = Bench::formatted();
    let old = bench.ok(&["info", "image"]);
    let other = Bench::formatted();
    let theirs = other.get("image");
    bench.damage(COPY_B, |bytes| bytes[..4096].copy_from_slice(&theirs[..4096]));
    let info = bench.ok(&["info", "image"]);
    assert_eq!((&info["uuid"], info["other_copy"].as_str()), (&old["uuid"], Some("of another volume")));
    bench.fails(&["header", "repair", "image"], "foreign_copy", 7);
    assert_eq!(bench.ok(&["header", "repair", "image", "--force"])["repaired"], "B");
    assert_eq!(bench.ok(&["info", "image"])["other_copy"], "good");
}

#[test]
fn a_changed_header_keeps_its_order_of_copies() {
    let bench = Bench::formatted();
    let old = bench.get("image");
    let change = ["key", "change", "image", "--passphrase-file", "pass", "--new-passphrase-file", "pass"];
    bench.ok(&[&change[..], &CHEAP[..]].concat());
    let new = bench.get("image");
    // A crash between the two writes: the second copy is new, the first still old.
    bench.damage(0, |bytes| bytes[..4096].copy_from_slice(&old[..4096]));
    let info = bench.ok(&["info", "image"]);
    assert_eq!((info["copy_in_use"].as_str(), info["sequence"].as_u64()), (Some("B"), Some(2)));
    assert!(info["other_copy"].as_str().unwrap().starts_with("older"));
    bench.ok(&["header", "repair", "image"]);
    assert!(bench.get("image") == new);
}
